"""Do what is missing of a study: its runs, its measurements without training, and the record of both."""

import importlib
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tqdm import tqdm

from harness import config, store
from harness.identity import folder
from harness.launch import launch
from harness.nearest import refusing
from harness.store import Json
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
    record = {"study": study.name, "size": size, "words": list(words), "arms": arms}
    record |= _measured(study, size, root)
    _save(root, record)
    ended = launch(every, root, launcher) if every else {}
    for name, arguments in study.measured(size).items():
        if name not in record["theory"]:
            record["tables"][name] = store.save_table(root, study.name, size, name, _rows(name, arguments))
            record["theory"][name] = arguments
            _save(root, record)
    return ended


def _measured(study: Study, size: str, root: Path) -> dict[str, Json]:
    """``theory`` and ``tables`` of what was measured before under the same arguments, is there, and vouched for."""
    before, asked = _last(study.name, size, root), study.measured(size)
    theory, tables = before.get("theory", {}), before.get("tables", {})
    held = [
        name
        for name in tables
        if theory.get(name) == asked.get(name) and store.load_table(root, before, name) is not None
    ]
    return {"theory": {name: theory[name] for name in held}, "tables": {name: tables[name] for name in held}}


def _rows(name: str, arguments: Mapping[str, Any]) -> list[Json]:
    module = importlib.import_module(f"harness.theory.{name}")
    with refusing():
        return list(tqdm(module.rows(**arguments), desc=f"theory {name}", unit=" rows", disable=None))


def _save(root: Path, record: Json) -> None:
    store.save_study(root, record | {"changed": _now()})


def _last(study: str, size: str, root: Path) -> Json:
    path = store.study_file(root, study, size)
    return store.load_study(path) if path.exists() else {}


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
