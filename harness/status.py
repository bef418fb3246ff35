"""How far the sweeps of a results folder are: told by their records, claims and checkpoints, by no process."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

from harness import store
from harness.catalogue import aligned
from harness.nearest import printable
from harness.store import Json

STATES = "done diverged running interrupted failed unreadable waiting".split()
ENDED = {"DONE": "done", "DIVERGED": "diverged", "FAILED": "failed", "OOM": "failed"}
AGAIN = dict.fromkeys(("interrupted", "failed"), "; the same command tries again")
TOLD = 20  # runs told one by one, of a kind


class Standing(NamedTuple):
    """Where a run stands."""

    run: str
    state: str  # one of STATES
    about: str  # of a running one who is at it and how far; otherwise the reason, if there is one


def standings(root: Path) -> dict[str, Standing]:
    """Every run that has begun, by name."""
    return {folder.name: _standing(folder) for folder in store.runs(root)}


def text(root: Path) -> str:
    """A line for each sweep, then who runs what, what was interrupted, and what failed with its reason."""
    there, complaints = standings(root), []
    lines = [["", "points", *STATES]]
    titles = {
        frozenset(run for runs in study["arms"].values() for run in runs): f"{study['study']} {study['size']}"
        for study in _readable(store.load_study, store.studies([root]), complaints)
    }
    for sweep in _readable(store.load_sweep, store.sweeps(root), complaints):
        title = titles.get(frozenset(sweep.runs), f"sweep {sweep.name}")
        lines.append([title, *_counts([there.get(run) for run in sweep.runs])])
    lines.append(["all runs", *_counts(list(there.values()))])
    return "\n".join([aligned(lines), *_one_by_one(there), *complaints])


def _readable(load: Callable[[Path], Any], paths: Iterable[Path], complaints: list[str]) -> Iterator[Any]:
    """What can be read of these; of what cannot, a complaint."""
    for path in paths:
        try:
            yield load(path)
        except OSError as error:
            complaints.append(f"\n{printable(error)}")


def _counts(found: Sequence[Standing | None]) -> list[str]:
    counts = Counter("waiting" if one is None else one.state for one in found)
    return [f"{len(found):,}", *(f"{counts[state]:,}" if counts[state] else "-" for state in STATES)]


def _one_by_one(there: dict[str, Standing]) -> Iterator[str]:
    for state in ("running", "interrupted", "failed", "unreadable"):
        some = [one for one in there.values() if one.state == state]
        if some:
            yield f"\n{state}{AGAIN.get(state, '')}:"
            yield aligned([[f"  {printable(one.run)}", one.about] for one in some[:TOLD]])
            if len(some) > TOLD:
                yield f"  and {len(some) - TOLD:,} more"


def _standing(folder: Path) -> Standing:
    try:
        record, owner = store.load_record(folder), store.owner(folder)
        state = ENDED.get(str(record.get("status")), "interrupted")
        if owner:
            return Standing(folder.name, "running", _who(folder, record, owner))
        reason = record.get("reason") or ("" if state in ("done", "diverged") else "its process is gone")
        return Standing(folder.name, state, printable(reason))
    except OSError as error:
        return Standing(folder.name, "unreadable", printable(error))


def _who(folder: Path, record: Json, owner: Json) -> str:
    """Who is at a run, since when, and how far it has come."""
    who = " ".join(f"{key} {owner[key]}" for key in ("host", "pid", "job") if key in owner) or "somebody"
    settings = store.load_settings(folder).get("train")
    last = settings.get("updates") if isinstance(settings, dict) else None
    far = "evaluates" if "update" in record else f"update {store.reached(folder)} of {last} saved"
    return printable(f"{who}, {_since(owner)}, {far}")


def _since(owner: Json) -> str:
    """How long ago an owner came."""
    try:
        ago = int((datetime.now(UTC) - datetime.fromisoformat(str(owner["since"]))).total_seconds())
    except (KeyError, ValueError, TypeError):
        return "for some time"
    return f"for {ago // 3600}:{ago // 60 % 60:02d}:{ago % 60:02d}"
