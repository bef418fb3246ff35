"""The command line: verbs, no logic. No verb means ``run``; ``--help`` of every verb shows examples."""

import argparse
import importlib.util
import logging
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NoReturn

from harness import signals, verbs
from harness.examples import EXAMPLES
from harness.nearest import Refusal, printable, unknown

VERBS = verbs.names()
DEBUG = "--debug"
STORY = logging.getLogger("harness")


def main(line: Sequence[str] | None = None) -> int:
    """Run a command line and return its exit code: 0 done, 1 something failed, 2 refused, 75 preempted, 130 Ctrl-C."""
    words = list(sys.argv[1:] if line is None else line)
    with _debugging(DEBUG in words):
        try:
            return _done([word for word in words if word != DEBUG])
        except BrokenPipeError:  # whoever read along has seen enough
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return 1
        except (signals.Interrupted, KeyboardInterrupt) as interrupted:
            STORY.debug("where", exc_info=True)
            print("harness: interrupted; the same command does what is missing", file=sys.stderr)
            return getattr(interrupted, "code", 130)
        except Exception as error:
            STORY.debug("where", exc_info=True)
            named = "" if isinstance(error, Refusal | OSError) else f"{type(error).__name__}: "
            more = f"; this is a mistake of ours, {DEBUG} shows where" if named else ""
            print(f"harness: {named}{printable(error)}{more}", file=sys.stderr)
            return 2 if isinstance(error, Refusal) else 1


def _done(words: list[str]) -> int:
    _own_tasks()
    named = bool(words) and not words[0].startswith("-") and "=" not in words[0]
    verb = words.pop(0) if named else verbs.FIRST
    if verb not in VERBS:
        raise unknown("verb ", verb, VERBS)
    if verb == verbs.FIRST and not words:
        _parser(verb).print_help()
        return 2
    return verbs.load(verb).run(_arguments(verb, words))


@contextmanager
def _debugging(wanted: bool) -> Iterator[None]:
    """With ``--debug`` what is told of an error is followed by where it came from."""
    handler = logging.StreamHandler()
    STORY.addHandler(handler)
    STORY.setLevel(logging.DEBUG if wanted else logging.WARNING)
    try:
        yield
    finally:
        STORY.removeHandler(handler)


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
    program = "python -m harness" + ("" if verb == verbs.FIRST else f" {verb}")
    about = verbs.load(verb).__doc__ + ("\nverbs: " + ", ".join(VERBS) if verb == verbs.FIRST else "")
    form = argparse.RawDescriptionHelpFormatter
    parser = _Parser(program, description=about, epilog=EXAMPLES[verb], formatter_class=form, allow_abbrev=False)
    verbs.load(verb).add_arguments(parser)
    parser.add_argument(DEBUG, action="store_true", help="show where an error came from")
    return parser


if __name__ == "__main__":
    sys.exit(main())
