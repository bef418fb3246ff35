"""One run from start to end: build, fit, evaluate, write rows. Repeating it does what is missing."""

import traceback
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch

from harness import constructed, memory, rows, store, train, training
from harness.identity import fingerprint, folder, identity, settled, versions
from harness.model import GPT, build
from harness.nearest import Refusal, refusing, unknown
from harness.sequence import vocabulary
from harness.settings import Experiment
from harness.signals import Interrupted
from harness.store import Checkpoint, Json

BITS = ("torch", "numpy", "cpu")  # of the fingerprint: what no setting says and the last digits may depend on


def check(experiment: Experiment, root: Path, here: bool = True) -> None:
    """Raise Refusal for what only torch or the other runs can tell.

    A device that is not there, settings that the variant refuses, a run to go on with on another device or with other
    threads than it began, a run to start from that cannot be. What depends on the machine is asked if it runs ``here``.
    """
    experiment = settled(experiment)
    if here and experiment.device == "cuda" and not torch.cuda.is_available():
        raise Refusal("device=cuda: this machine has none that torch can use, cpu is possible")
    try:
        with refusing():
            build(experiment)
    except Exception as error:
        if not _out_of_memory(error):
            raise
        raise Refusal(f"the model does not fit into the memory of this machine: {error}") from error
    where = folder(experiment, root)
    record = store.load_record(where)
    if "sha256" in record.get("init_from", {}):
        _hold_origin(record["init_from"], where, root)
    if "update" in record or record.get("status") == "DIVERGED":
        return
    if not store.has_checkpoint(where):
        _first(experiment, root)
        return
    for key in ("device", "threads") if here else ("threads",):
        asked, was = getattr(experiment, key), record["fingerprint"][key]
        if asked != was:
            other = f"{where.name} is trained in part with {key}={was} and other {key} give other weights"
            raise Refusal(f"{key}={asked}: {other}; go on with {key}={was} or delete {where}")


def computing(experiment: Experiment) -> torch.autocast:
    """What a run computes in: under ``dtype=bfloat16`` its products are rounded, by the rules of torch's autocast."""
    return torch.autocast(experiment.device, torch.bfloat16, enabled=experiment.dtype == "bfloat16")


def run(experiment: Experiment, root: Path, quiet: bool = False) -> Path:
    """Do what is missing of a run and return its folder: train, from the last checkpoint on, and evaluate.

    The run's status is DONE or DIVERGED after it; FAILED, OOM or PREEMPTED, with the reason, if an exception passes
    through. Raises Refusal, and Claimed while another process works on the run, with nothing changed.
    """
    experiment = settled(experiment)
    torch.set_num_threads(experiment.threads)
    memory.keep()
    check(experiment, root)
    where, model = folder(experiment, root), build(experiment).to(experiment.device)
    if not _over(experiment, model, where):
        with store.claim(where):
            if not _over(experiment, model, where):  # nobody else has done it meanwhile
                _go_on(experiment, model, where, root, quiet)
    return where


def _go_on(experiment: Experiment, model: GPT, where: Path, root: Path, quiet: bool) -> None:
    record = _begun(experiment, where)
    try:
        if "update" not in record:
            found = store.load_checkpoint(where)
            if found is None and experiment.train.init_from is not None:
                record["init_from"] = _start(experiment, model, root)
            record["notes"] = list(dict.fromkeys([*record["notes"], *(found.complaints if found else [])]))
            _note(where, record)
            with computing(experiment):
                outcome = training.finish(experiment, model, where, found, quiet)
            _note(where, record, **outcome)
        if missing := rows.missing(experiment, model, where, record):
            model.load_state_dict(weights(where, record))  # what is evaluated is what was saved
            with computing(experiment):
                rows.measure(experiment, model, where, missing, quiet)
        from harness.report import figures  # half a second, and no update waits for it

        figure = figures.accuracy_against_length(store.read_run(where).assign(status="DONE"))
        store.write(where / "accuracy.png", figures.render(figure))
        _note(where, record, status="DONE")
    except train.Diverged as error:
        _note(where, record, status="DIVERGED", reason=str(error))
    except (Interrupted, KeyboardInterrupt) as error:
        _note(where, record, status="PREEMPTED", reason=str(error) or "SIGINT")
        raise
    except Exception as error:
        status = "OOM" if _out_of_memory(error) else "FAILED"
        _note(where, record, status=status, reason=_reason(error, experiment.device))
        store.append(where / store.LOG, traceback.format_exc())
        raise


def weights(where: Path, record: Json) -> dict[str, torch.Tensor]:
    """The weights that a run's training ended with.

    Raises Corrupt, naming what is damaged, unless the last checkpoint verifies and is this run's.
    """
    return _last(where, record).under("model.")


def trained(where: Path, experiment: Experiment, record: Json) -> GPT:
    """The model that a run's training ended with. Raises ValueError, in a sentence, if it has none."""
    if "update" not in record:
        why = record.get("reason") or "its training did not come to an end"
        raise ValueError(f"{where.name} has status {record['status']} and no model: {why}")
    model = build(experiment)
    model.load_state_dict(weights(where, record))
    return model


def _last(where: Path, record: Json) -> Checkpoint:
    found = store.load_checkpoint(where)
    if found is None:
        raise store.Corrupt(f"{where} has no checkpoint")
    if found.facts["update"] != record["update"]:
        stale = f"{where / 'checkpoint'} holds update {found.facts['update']}, not {record['update']}"
        raise store.Corrupt("; ".join([*found.complaints, stale]))
    return found


def _first(experiment: Experiment, root: Path) -> tuple[Path, Json] | None:
    """Folder and record of the run that ``train.init_from`` names, if it does; Refusal unless its weights fit."""
    name = experiment.train.init_from
    if name is None:
        return None
    if name == constructed.BY_HAND:
        constructed.fitting(experiment)
        return None
    there = {folder.name: folder for folder in store.runs(root)}
    if name not in there:
        raise unknown("train.init_from=", name, there, list(there)[:20])
    record = store.load_record(there[name])
    if "update" not in record:
        raise Refusal(f"train.init_from={name}: its training is not finished, its status is {record['status']}")
    with refusing():
        its = _shape(Experiment.of(store.load_settings(there[name])))
    ours = _shape(experiment)
    for key in ours | its:
        if ours.get(key) != its.get(key):
            raise Refusal(f"train.init_from={name}: it has {key}={its.get(key)}, not {ours.get(key)}")
    return there[name], record


def _hold_origin(began: Json, where: Path, root: Path) -> None:
    """Raise Refusal if the run that this one began from has other weights by now; it may be gone."""
    found = store.load_checkpoint(store.run_folder(root, began["run"]))
    if found is not None and found.sha256 != began["sha256"]:
        again = f"it has been trained again and has other weights now; delete {where} to start from them"
        raise Refusal(f"train.init_from={began['run']}: {again}")


def _shape(experiment: Experiment) -> Json:
    """What two runs must share for the weights of one to fit the other."""
    sizes = ("layers", "width", "heads", "halting", *(("context",) if experiment.bounded else ()))
    shape = {f"attention.{key}": value for key, value in experiment.attention.plain().items()}
    shape |= {"position": experiment.position.name}
    shape |= {f"model.{key}": getattr(experiment.model, key) for key in sizes}
    return shape | {"vocabulary": vocabulary(experiment.task)}


def _start(experiment: Experiment, model: GPT, root: Path) -> Json:
    """Start from the weights of another run, or from those that are set by hand; what is recorded of it."""
    if experiment.train.init_from == constructed.BY_HAND:
        began = constructed.start(experiment, model)
    else:
        where, record = _first(experiment, root)
        found = _last(where, record)
        model.load_state_dict(found.under("model."))
        began = {"run": record["run"], "id": record["id"], "sha256": found.sha256}
    if experiment.train.init_noise:
        constructed.disturb(model, experiment.train.init_noise, experiment.seed)
    return began


def over(experiment: Experiment, root: Path) -> bool:
    """Whether nothing is missing of a run; not of one whose folder cannot be read."""
    try:
        return _over(experiment, build(experiment), folder(experiment, root))
    except OSError:
        return False


def _over(experiment: Experiment, model: GPT, where: Path) -> bool:
    """Whether nothing is missing."""
    record = store.load_record(where)
    done = record.get("status") == "DONE" and not rows.missing(experiment, model, where, record)
    return done or record.get("status") == "DIVERGED"


def _begun(experiment: Experiment, where: Path) -> Json:
    """The record of a run that goes on or begins; what was trained stays in its settings and its fingerprint."""
    record, settings = store.load_record(where), experiment.settings()
    if "update" in record:
        settings = store.load_settings(where) | {"evaluate": settings["evaluate"]}
    if not record:
        run_id, recipe = identity(experiment)
        record = {"run": where.name, "id": run_id, "recipe": recipe[:8], "versions": versions(experiment)}
        record |= {"started": _now(), "resumed": 0, "notes": []}
    elif record["status"] != "DONE":
        record["resumed"] += 1
    if "update" not in record:
        now = fingerprint(experiment)
        was = record.setdefault("fingerprint", now)
        if not store.has_checkpoint(where):
            record["fingerprint"] = now
        elif others := [f"{key} {now[key]}, not {was[key]}" for key in BITS if now[key] != was[key]]:
            record["notes"].append(f"went on with {', '.join(others)}: not the same bits")
    store.save_settings(where, settings)
    _note(where, record, status="RUNNING", reason=None)
    return record


def _note(where: Path, record: Json, **facts: Any) -> None:
    record |= facts | {"changed": _now()}
    store.save_record(where, record)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def _reason(error: Exception, device: str) -> str:
    """What a failure was, in a sentence."""
    said = f"{type(error).__name__}: {error}"
    lost = device == "cuda" and not isinstance(error, torch.OutOfMemoryError) and "CUDA" in str(error)
    more = "the GPU does not answer any more; on one that does, the same command goes on from the last checkpoint"
    return f"{more} ({said.splitlines()[0]})" if lost else said


def _out_of_memory(error: Exception) -> bool:
    """Torch on a CPU has no type for it."""
    return isinstance(error, MemoryError | torch.OutOfMemoryError) or "can't allocate memory" in str(error)
