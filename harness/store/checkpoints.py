"""Checkpoints: tensors, facts and the curve so far, each vouched for by its SHA-256."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from harness.store import disk
from harness.store.disk import Corrupt
from harness.store.text import SMALL, Json, from_csv, from_json, read, to_json

GENERATIONS = 2  # checkpoints kept
HUGE = 8 * 2**30  # bytes of a part that is read back
TENSORS, FACTS, CURVE, MANIFEST = "tensors.safetensors", "facts.json", "curve.csv", "manifest.json"


class Checkpoint(NamedTuple):
    """A checkpoint that verified."""

    tensors: dict[str, Any]
    facts: Json
    curve: list[Json]
    sha256: str  # of the file with the tensors
    complaints: list[str]  # a sentence for each newer one that did not verify

    def under(self, prefix: str) -> dict[str, Any]:
        """The tensors whose names start so, under the rest of their names."""
        return {name.removeprefix(prefix): part for name, part in self.tensors.items() if name.startswith(prefix)}


def save_checkpoint(folder: Path, update: int, tensors: Mapping[str, Any], facts: Json, curve: str = "") -> None:
    """Write ``checkpoint/<update>``: its parts, and last the manifest of their SHA-256 that makes it count.

    It is read back; then what is not among the last ``GENERATIONS`` goes, and whatever claims to be newer: it did not
    verify, or this update would not be made again. Raises Corrupt if what is read back is not what was written.
    """
    from safetensors.torch import save

    target = folder / "checkpoint" / f"{update:08d}"
    facts = facts | {"run": folder.name, "update": update}
    parts = {TENSORS: save(dict(tensors)), FACTS: to_json(facts).encode(), CURVE: curve.encode()}
    for name, data in parts.items():
        disk.write(target / name, data)
    disk.write(target / MANIFEST, to_json({name: disk.sha256(data) for name, data in parts.items()}))
    _verified(target)
    kept = [generation for generation in _generations(folder) if generation.name <= target.name][:GENERATIONS]
    for other in (folder / "checkpoint").glob("[0-9]" * 8):
        if other.name > target.name or other.name < kept[-1].name:
            disk.remove(other / MANIFEST)  # first, so that half of it is none
            disk.remove(other)


def load_checkpoint(folder: Path) -> Checkpoint | None:
    """The newest checkpoint that verifies and is this run's; None if there is none at all.

    Raises Corrupt if there are some and none of them is fit to go on from.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load

    complaints = []
    for generation in _generations(folder):
        try:
            parts, manifest = _verified(generation)
            facts = from_json(generation / FACTS)
            if (facts.get("run"), facts.get("update")) != (folder.name, int(generation.name)):
                whose = f"{facts.get('run')} at update {facts.get('update')}"
                raise Corrupt(f"{generation} holds the checkpoint of {whose}")
            curve = from_csv(generation / CURVE) if parts[CURVE] else []
            return Checkpoint(load(parts[TENSORS]), facts, curve, manifest[TENSORS], complaints)
        except SafetensorError as error:
            complaints.append(f"{generation / TENSORS}: {error}")
        except OSError as error:
            complaints.append(str(error))
    if complaints:
        raise Corrupt("no checkpoint can be read: " + "; ".join([*complaints, f"delete {folder} to begin anew"]))
    return None


def has_checkpoint(folder: Path) -> bool:
    """Whether there is a checkpoint, be it damaged or not."""
    return bool(_generations(folder))


def reached(folder: Path) -> int:
    """The update of the newest checkpoint, 0 if there is none."""
    return max((int(generation.name) for generation in _generations(folder)), default=0)


def _verified(generation: Path) -> tuple[dict[str, bytes], Json]:
    """The parts of a checkpoint and its manifest. Raises Corrupt unless each part is what the manifest says."""
    manifest = from_json(generation / MANIFEST)
    if read(generation / MANIFEST, SMALL).decode() != to_json(manifest):
        raise Corrupt(f"{generation / MANIFEST} is not what was written")
    parts = {name: read(generation / name, HUGE) for name in (TENSORS, FACTS, CURVE)}
    for name, data in parts.items():
        if manifest.get(name) != disk.sha256(data):
            raise Corrupt(f"{generation / name} does not have the SHA-256 of its manifest")
    return parts, manifest


def _generations(folder: Path) -> list[Path]:
    complete = (folder / "checkpoint").glob("[0-9]" * 8 + f"/{MANIFEST}")
    return sorted((manifest.parent for manifest in complete), reverse=True)
