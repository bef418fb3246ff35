"""Do what is missing of a study: its runs, its measurements without training, and the record of both."""

import importlib
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tqdm import tqdm

from harness import config, store
from harness.identity import folder
from harness.launch import launch
from harness.nearest import refusing
from harness.study import Study


def conduct(study: Study, size: str, words: Sequence[str], root: Path) -> dict[Path, bool]:
    """Run a study; for each run folder whether nothing is missing.

    ``words`` replace axes and settings in every arm. The record is written before the first run, so that whatever is
    there of an interrupted study can be judged. Raises Refusal, with nothing created, for what cannot be run.
    """
    points = study.points(size, words)
    every = list(dict.fromkeys(point for arm in points.values() for point in arm))
    arms = {arm: [folder(point, root).name for point in of_arm] for arm, of_arm in points.items()}
    lines = [line for of_arm in study.lines(size, words).values() for line in of_arm]
    launcher = config.launcher(lines[0], sweep=True) if lines else None
    before = _last(study.name, size, root)
    record = {"study": study.name, "size": size, "words": list(words), "arms": arms, "theory": before.get("theory", {})}
    store.save_study(root, record | {"changed": _now()})
    ended = launch(every, root, launcher) if every else {}
    measured = _measured(study, size, record, root)
    store.save_study(root, record | {"theory": measured, "changed": _now()})
    return ended


def _measured(study: Study, size: str, record: dict[str, Any], root: Path) -> dict[str, Any]:
    """Measure what is not there yet under these arguments; name -> arguments."""
    asked = study.measured(size)
    for name, arguments in asked.items():
        there = store.load_table(root, study.name, size, name)
        if there is not None and record["theory"].get(name) == arguments:
            continue
        module = importlib.import_module(f"harness.theory.{name}")
        with refusing():
            rows = list(tqdm(module.rows(**arguments), desc=f"theory {name}", unit=" rows", disable=None))
        store.save_table(root, study.name, size, name, rows)
    return asked


def _last(study: str, size: str, root: Path) -> dict[str, Any]:
    return next((r for _, r in store.load_studies([root]) if (r["study"], r["size"]) == (study, size)), {})


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
