"""Hold the laws against a task and a variant with your settings; is the task a test, what does the variant cost?"""

import argparse

from harness.nearest import Refusal
from harness.verbs.rows import add_roots, roots


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What may follow."""
    what = "task=NAME and attention=NAME, with settings"
    parser.add_argument("settings", nargs="*", metavar="key=value", help=what)
    add_roots(parser, "results folder whose runs count as baselines, may be repeated")


def run(arguments: argparse.Namespace) -> int:
    """See above."""
    from harness import check, config

    groups = {word.partition("=")[0].partition(".")[0] for word in arguments.settings}
    if not groups & {"task", "attention"}:
        raise Refusal("check: task=NAME or attention=NAME is needed, or both")
    passed = True
    if "task" in groups:
        sized = any(word.startswith("model.context=") for word in arguments.settings)
        (point,) = config.points([*arguments.settings, *([] if sized else ["model.context=1000000"])])  # none is built
        from harness import validity  # scikit-learn

        found = check.of_task(point.task)
        passed &= all(verdict.passed for verdict in found)
        print("\n".join(check.verdicts(point.task_name, found)), end="\n\n", flush=True)
        print("\n".join(validity.lines(point, validity.points(point, roots(arguments)))))
    if "attention" in groups:
        mask = next((word.removeprefix("mask=") for word in arguments.settings if word.startswith("mask=")), None)
        for chosen in check.variants(config.variant(arguments.settings), mask):
            found = check.of_variant(chosen, config.variant([f"attention={chosen.name}"]), mask)
            passed &= all(verdict.passed for verdict in found)
            print("\n".join(check.verdicts(f"attention={chosen.name}", found)), end="\n\n", flush=True)
            print("\n".join(check.cost(chosen, mask)))
    return 0 if passed else 1
