"""What ``conf/`` offers: the choices of each group, and the yaml of each. No hydra is needed to look."""

from pathlib import Path

import tasks

_HERE = Path(__file__).parent
CONF = next(folder for folder in (_HERE / "conf", _HERE.parent / "conf") if (folder / "config.yaml").exists())


def choices(group: str) -> list[str]:
    """What can be chosen for a group, sorted."""
    return tasks.names() if group == "task" else sorted(path.stem for path in (CONF / group).glob("*.yaml"))


def text(group: str, name: str) -> str:
    """The yaml of a choice. Raises FileNotFoundError if there is none; a task has none."""
    return (CONF / group / f"{name}.yaml").read_text(encoding="utf-8")
