"""The command line: verbs, no logic. No verb means ``run``; ``--help`` of every verb shows examples."""

import argparse
import importlib.util
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from harness import signals
from harness.examples import EXAMPLES
from harness.nearest import Refusal, refusing, unknown

ILL = {"FAILED": "failed", "OOM": "ran out of memory", "CORRUPT": "cannot be read"}  # how a run ended that is no result


def main(line: Sequence[str] | None = None) -> int:
    """Run a command line and return its exit code: 0 done, 1 something failed, 2 refused, 75 preempted, 130 Ctrl-C."""
    words = list(sys.argv[1:] if line is None else line)
    try:
        _own_tasks()
        named = bool(words) and not words[0].startswith("-") and "=" not in words[0]
        verb = words.pop(0) if named else "run"
        if verb not in VERBS:
            raise unknown("verb ", verb, VERBS)
        return VERBS[verb](_arguments(verb, words))
    except Refusal as refusal:
        print(f"harness: {refusal}", file=sys.stderr)
        return 2
    except BrokenPipeError:  # whoever read along has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except OSError as error:
        print(f"harness: {error}", file=sys.stderr)
        return 1
    except (signals.Interrupted, KeyboardInterrupt) as interrupted:
        print("harness: interrupted; the same command does what is missing", file=sys.stderr)
        return getattr(interrupted, "code", 130)


def _own_tasks() -> None:
    """A researcher's own ``tasks.py`` in the working folder would be imported in place of ours."""
    ours, found = Path(__file__).parent.parent / "tasks", importlib.util.find_spec("tasks")
    if found is None or found.origin is None or Path(found.origin).parent != ours:
        origin = found.origin if found else None
        raise Refusal(f"{origin} hides the harness's own package tasks: run from another folder, or type `harness ...`")


class _Parser(argparse.ArgumentParser):
    """Refuses in one sentence, like everything else."""

    def error(self, message: str) -> NoReturn:
        raise Refusal(f"{message}; `{self.prog} --help` shows examples")


def _arguments(verb: str, words: list[str]) -> argparse.Namespace:
    parser = _parser(verb)
    arguments, rest = parser.parse_known_intermixed_args(words)
    if rest:
        raise unknown("option ", rest[0], parser._option_string_actions)
    return arguments


def _parser(verb: str) -> argparse.ArgumentParser:
    program = "python -m harness" + ("" if verb == "run" else f" {verb}")
    about = VERBS[verb].__doc__ + ("\nverbs: " + ", ".join(VERBS) if verb == "run" else "")
    form = argparse.RawDescriptionHelpFormatter
    parser = _Parser(program, description=about, epilog=EXAMPLES[verb], formatter_class=form, allow_abbrev=False)
    if verb == "run":
        parser.add_argument("settings", nargs="*", metavar="key=value", help="settings, as in conf/config.yaml")
        parser.add_argument("-m", dest="sweep", action="store_true", help="run the product of all values: seed=0,1,2")
        parser.add_argument("--cfg", action="store_true", help="print the composed config and stop")
        parser.add_argument("--results", type=Path, default=Path("results"), metavar="DIR", help="results folder")
    elif verb in ("plot", "compare"):
        several = "results folder, may be repeated"
        parser.add_argument("--results", type=Path, action="append", metavar="DIR", help=several)
        some = {"nargs": "+", "action": "extend", "default": []}
        parser.add_argument("--where", **some, metavar="COLUMN=VALUE", help="only these rows")
        parser.add_argument("--allow-mixed", action="store_true", help="draw rows of different code versions together")
        if verb == "compare":
            parser.add_argument("--by", nargs="+", metavar="COLUMN", help="what to group by")
    elif verb == "show":
        parser.add_argument("settings", nargs="+", metavar="RUN|key=value", help="a run's folder name, or settings")
        parser.add_argument("--results", type=Path, default=Path("results"), metavar="DIR", help="results folder")
    elif verb == "inside":
        parser.add_argument("run", metavar="RUN", help="a run's folder name")
        parser.add_argument("--lengths", metavar="N,N,...", help="default: those that the run was evaluated at")
        parser.add_argument("--split", default="broad", metavar="SPLIT", help="default: broad")
        parser.add_argument("--items", type=int, default=32, metavar="N", help="per length, default: 32")
        parser.add_argument("--results", type=Path, default=Path("results"), metavar="DIR", help="results folder")
    elif verb == "list":
        shelves = "tasks|bounds|traces|attention|positions|scratchpads"
        parser.add_argument("shelf", nargs="?", metavar=shelves, help="default: everything")
        parser.add_argument("--page", action="store_true", help="tasks or attention as Markdown, a section for each")
    elif verb == "check":
        what = "task=NAME and attention=NAME, with settings"
        parser.add_argument("settings", nargs="*", metavar="key=value", help=what)
        some = "results folder whose runs count as baselines, may be repeated"
        parser.add_argument("--results", type=Path, action="append", metavar="DIR", help=some)
    return parser


def run(arguments: argparse.Namespace) -> int:
    """Train and evaluate what is missing, then say what was seen and what theory says."""
    from harness import config

    if not arguments.settings:
        _parser("run").print_help()
        return 2
    if arguments.cfg:
        print(config.printed(arguments.settings, arguments.sweep), end="")
        return 0
    points = config.points(arguments.settings, arguments.sweep)
    launcher = config.launcher(arguments.settings, arguments.sweep)
    with signals.watching():  # also while torch is imported
        from harness.launch import launch

        ended = launch(points, arguments.results, launcher.jobs)
    _tell(points, list(ended))
    return 0 if all(ended.values()) else 1


def _tell(points: Sequence, folders: Sequence[Path]) -> None:
    from harness import store
    from harness.report import compare, summary

    begun = [folder for folder in folders if (folder / "run.json").exists()]
    for folder in set(folders) - set(begun):
        print(f"harness: {folder.name} was ended before it began", file=sys.stderr)
    if not begun:
        return
    rows = store.read_folders(begun)
    status = rows.groupby("run")["status"].first()
    if len(points) > 1:
        print(compare.text(compare.table(rows)), end="")
        print("; ".join(f"{count} {name}" for name, count in status.value_counts().items()))
    elif "accuracy" in rows:
        print(f"{summary.table(rows)}\n\n{begun[0] / 'accuracy.png'}\n")
    for run, ended in status.items():
        if ended in ILL:
            reason = rows.loc[rows["run"] == run, "reason"].iloc[0]
            logged = any(folder.name == run and (folder / "log.txt").exists() for folder in begun)
            more = "; the whole story is in its log.txt" if logged and ended != "CORRUPT" else ""
            print(f"harness: {run} {ILL[ended]}: {reason}{more}", file=sys.stderr)
    if len(points) == 1 and not {"CORRUPT", "RUNNING"} & set(status):
        print("\n".join(filter(None, (summary.seen(rows), summary.loss(rows)))))
        print(summary.theory(points[0].task_name, points[0].task, rows))


def plot(arguments: argparse.Namespace) -> int:
    """Draw accuracy against length, steps and state, and cost against length, a figure for each task."""
    from harness import store

    roots = arguments.results or [Path("results")]
    found = _rows(arguments, roots)
    from harness.report import figures  # matplotlib

    for task, rows in found.groupby("task"):
        for name in figures.AGAINST:
            with refusing():
                figure = getattr(figures, name)(rows, allow_mixed=arguments.allow_mixed)
            for kind in ("png", "svg"):
                path = roots[0] / "figures" / f"{task}-{name.replace('_', '-')}.{kind}"
                store.write(path, figures.render(figure, kind))
            print(path.with_suffix(".png"))
    return 0


def compare(arguments: argparse.Namespace) -> int:
    """Print a table of runs, a row for each recipe or for whatever --by names, and write it as Markdown and CSV."""
    from harness import store

    roots = arguments.results or [Path("results")]
    rows = _rows(arguments, roots)
    from harness.report import compare  # scipy

    with refusing():
        table = compare.table(rows, arguments.by, allow_mixed=arguments.allow_mixed)
    store.write(roots[0] / "compare.md", compare.markdown(table))
    store.write(roots[0] / "compare.csv", table.to_csv(index=False))
    print(compare.text(table), end="")
    print(f"\n{roots[0] / 'compare.md'}  {roots[0] / 'compare.csv'}")
    return 0


def _rows(arguments: argparse.Namespace, roots: Sequence[Path]):
    from harness import store
    from harness.report.select import select

    rows = store.read(roots)
    if rows.empty:
        folders = ", ".join(str(root / "runs") for root in roots)
        raise Refusal(f"there is no run in {folders}: `python -m harness task=NAME` makes one")
    with refusing():
        return select(rows, arguments.where)


def show(arguments: argparse.Namespace) -> int:
    """Show one problem with its twin and every trace, or what a run's model wrote."""
    from harness import config, store
    from harness.settings import Experiment
    from tasks.base import SPLITS

    named = dict(word.split("=", 1) for word in arguments.settings if word.startswith(("length=", "split=")))
    settings = [word for word in arguments.settings if not word.startswith(("length=", "split="))]
    length, split = named.get("length"), named.get("split", SPLITS[0])
    if length is None or not length.isdecimal():
        raise Refusal(f"length={length}: show needs one length, an integer")
    if split not in SPLITS:
        raise unknown("split=", split, SPLITS)
    if not settings:
        raise Refusal("show: task=NAME or a run is needed")
    if "=" in settings[0]:
        if "split" in named:
            raise Refusal(f"split={split}: show task=NAME shows twins, of boundary; show RUN takes split=")
        (point,), folder = config.points(settings), None
    else:
        folder = _run_folder(settings[0], arguments.results)
        if settings[1:]:
            raise Refusal(f"{settings[1]}: show RUN takes length= and split=")
        point = Experiment.of(store.from_yaml(folder / "config.yaml"))
    if not point.task.shortest <= int(length) <= point.task.longest:
        raise Refusal(f"length={length}: {point.task.shortest} to {point.task.longest} are possible for this task")
    from harness import show  # torch

    lines = show.written(folder, point, int(length), split) if folder else show.instance(point, int(length))
    with refusing():
        text = "\n".join(lines)
    print(text)
    return 0


def inside(arguments: argparse.Namespace) -> int:
    """Show what a run's layers make of tokens: matrices, their ranks against length, how many keys a query reaches."""
    from harness import store
    from harness.settings import Experiment
    from tasks.base import SPLITS

    folder = _run_folder(arguments.run, arguments.results)
    point = Experiment.of(store.from_yaml(folder / "config.yaml"))
    words = arguments.lengths.split(",") if arguments.lengths else [str(length) for length in point.evaluate.lengths]
    if not all(map(str.isdecimal, words)):
        raise Refusal(f"--lengths {arguments.lengths}: integers with commas between them are needed")
    if arguments.split not in SPLITS:
        raise unknown("--split ", arguments.split, SPLITS)
    from harness import inside  # torch
    from harness.report import inside as report  # matplotlib

    with refusing():
        rows, pictures = inside.look(folder, point, map(int, words), arguments.split, arguments.items)
    figure = report.figure(rows, pictures)
    path = arguments.results / "figures" / f"{folder.name}-inside-{arguments.split}"
    for kind in ("png", "svg"):
        store.write(path.with_suffix(f".{kind}"), report.render(figure, kind))
    store.write(path.with_suffix(".csv"), report.over_items(rows, "head").to_csv(index=False))
    print(f"{report.table(rows)}\n\n{report.seen(rows)}\n\n{path}.csv  {path}.png")
    return 0


def _run_folder(name: str, results: Path) -> Path:
    from harness import store

    folders = {folder.name: folder for folder in store.runs(results)}
    if name not in folders:
        raise unknown("run ", name, folders)
    return folders[name]


def list_(arguments: argparse.Namespace) -> int:
    """List the tasks with what theory knows of them, the traces, attention variants, positions and scratchpads."""
    from harness.catalogue import SHELVES, shelf
    from harness.pages import PAGES, page

    if arguments.page:
        if arguments.shelf not in PAGES:
            raise Refusal(f"list --page: {' and '.join(f'`list {name} --page`' for name in PAGES)} print Markdown")
        print(page(arguments.shelf), end="")
        return 0
    if arguments.shelf is not None and arguments.shelf not in SHELVES:
        raise unknown("list ", arguments.shelf, SHELVES)
    print("\n\n".join(shelf(name) for name in ([arguments.shelf] if arguments.shelf else SHELVES)))
    return 0


def check(arguments: argparse.Namespace) -> int:
    """Hold the laws against a task and a variant with your settings; is the task a test, what does the variant cost?"""
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
        print("\n".join(validity.lines(point, validity.points(point, arguments.results or [Path("results")]))))
    if "attention" in groups:
        mask = next((word.removeprefix("mask=") for word in arguments.settings if word.startswith("mask=")), None)
        for chosen in check.variants(config.variant(arguments.settings), mask):
            found = check.of_variant(chosen, config.variant([f"attention={chosen.name}"]), mask)
            passed &= all(verdict.passed for verdict in found)
            print("\n".join(check.verdicts(f"attention={chosen.name}", found)), end="\n\n", flush=True)
            print("\n".join(check.cost(chosen, mask)))
    return 0 if passed else 1


VERBS = {"run": run, "plot": plot, "compare": compare, "list": list_, "show": show, "inside": inside, "check": check}

if __name__ == "__main__":
    sys.exit(main())
