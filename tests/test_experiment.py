"""A run: its identity, its folder, what repeating the command does, how it ends."""

import csv
import json
import math
import re
import shutil
from dataclasses import replace
from functools import cache
from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
import torch
import yaml
from matplotlib.figure import Figure
from safetensors.numpy import load_file

from harness import config, cost, experiment, identity, launch, store, train, training
from harness.__main__ import main
from harness.draw import Source
from harness.model import build
from harness.report import figures
from harness.rows import COLUMNS
from harness.sections import Local
from harness.seeding import rng
from harness.settings import Experiment

LOCAL = Local(1)
SMALL = [
    "task=pairwise",
    "task.alpha=3",
    "task.values=8",
    "model.width=8",
    "model.heads=2",
    "model.layers=1",
    "model.context=64",
    "train.lengths=[2,5]",
    "train.updates=12",
    "train.batch=6",
    "train.warmup=2",
    "train.validate_every=5",
    "train.validate_examples=20",
    "evaluate.lengths=[2,7]",
    "evaluate.examples=30",
]


@cache
def small(*line: str) -> Experiment:
    (point,) = config.points([*SMALL, *line])
    return point


def rows(folder) -> list[dict]:
    with (folder / "scores.csv").open() as file:
        return list(csv.DictReader(file))


def weights(folder) -> dict[str, np.ndarray]:
    newest = max((folder / "checkpoint").iterdir())
    return load_file(newest / "tensors.safetensors")


CHANGES = [  # (what else is set, the setting, another value): every one trains other weights
    ([], "task.alpha", 4),
    ([], "task.values", 9),
    ([], "task.norm", "linf"),
    (["task.norm=linf"], "task.dim", 2),
    (["task.norm=linf", "task.dim=2"], "task.tokens", "coordinate"),
    (["train.lengths=[2]", "evaluate.lengths=[2]"], "task.distinct", True),
    (["task.alpha=prompt"], "task.shots", 2),
    ([], "attention", "linear"),
    ([], "scratchpad", "full"),
    ([], "scratchpad", "filler"),
    (["scratchpad=full"], "scratchpad.trace", "extremes"),
    (["scratchpad=full", "scratchpad.scale=1"], "scratchpad.content", "filler"),
    (["scratchpad=full"], "scratchpad.scale", 1),
    (["scratchpad=filler"], "scratchpad.scale", 2),
    (["scratchpad=filler"], "scratchpad.power", 0),
    ([], "position", "rotary"),
    ([], "position.std", 0.02),
    ([], "position.train", False),
    (["position=rotary"], "position.base", 100),
    ([], "mask", "prefix"),
    ([], "model.layers", 2),
    ([], "model.width", 16),
    ([], "model.heads", 4),
    ([], "model.context", 65),
    ([], "model.token_std", 0.03),
    ([], "train.lengths", "[2,6]"),
    ([], "train.mix", 1),
    ([], "train.updates", 13),
    ([], "train.batch", 7),
    ([], "train.learning_rate", 0.01),
    ([], "train.warmup", 3),
    ([], "train.weight_decay", 0),
    ([], "train.clip", 2),
    ([], "train.stop_at", 0.5),
    ([], "train.validate_every", 6),
    ([], "train.validate_examples", 21),
    ([], "train.objective", "sequence"),
    ([], "train.dense", True),
    ([], "train.init_from", "pairwise-softmax-none-0123abcd"),
    ([], "seed", 1),
    ([], "dtype", "bfloat16"),
    ([], "model.loops", 2),
    (["model.loops=2"], "model.halting", "ponder"),
    (["model.loops=2", "model.halting=ponder"], "train.ponder", 0.1),
    (["model.loops=2", "model.halting=ponder"], "train.prior_loops", 3),
    (["train.init_from=witness"], "train.init_noise", 0.1),
]
NEUTRAL = [  # cannot change the weights: a scratchpad of no steps has no trace, one without scale has no power, ...
    ([], "scratchpad.trace", "pairs"),
    ([], "scratchpad.power", 1),
    ([], "scratchpad.content", "filler"),
    (["scratchpad=full"], "scratchpad.trace", "running_extremes"),
    (["scratchpad=full"], "scratchpad.power", 2),
    (["scratchpad=filler"], "scratchpad.trace", "pairs"),
    (["position=none"], "model.context", 65),
    ([], "evaluate.lengths", "[3]"),
    (["scratchpad=full"], "evaluate.stop", "self"),
    (["scratchpad=full"], "evaluate.steps", "[1,2]"),
    ([], "evaluate.splits", "[broad]"),
    ([], "evaluate.examples", 50),
    ([], "evaluate.state_bits", "[4]"),
    ([], "evaluate.loops", "[1,2]"),
    ([], "train.ponder", 0.1),
    ([], "train.prior_loops", 3),
    ([], "device", "cuda"),
    ([], "threads", 2),
    ([], "launcher.jobs", 1),
]


@pytest.mark.parametrize(("context", "key", "value"), CHANGES, ids=lambda part: str(part).replace("/", "-"))
def test_every_training_setting_changes_the_identity(context, key, value):
    was, now = (identity.identity(small(*context, *line)) for line in ([], [f"{key}={value}"]))
    assert was[0] != now[0]
    assert (was[1] == now[1]) == (key == "seed"), "the recipe is the run without its seed"


@pytest.mark.parametrize(("context", "key", "value"), NEUTRAL, ids=lambda part: str(part).replace("/", "-"))
def test_no_other_setting_does(context, key, value):
    assert identity.identity(small(*context)) == identity.identity(small(*context, f"{key}={value}"))


def test_every_setting_is_in_one_of_the_two_tables():
    named = {key for _, key, _ in CHANGES + NEUTRAL}
    settings = pd.json_normalize(yaml.safe_load(config.printed(SMALL))).columns
    assert {key for key in settings if not key.endswith(".name")} <= named


@pytest.mark.parametrize("part", ["task", "attention", "loop"])
def test_a_version_changes_the_identity(part, monkeypatch):
    was, versions = identity.identity(small()), identity.versions(small())
    monkeypatch.setattr(identity, "versions", lambda point: versions | {part: 99})
    assert identity.identity(small())[1] != was[1]


@pytest.fixture(scope="module")
def ran(tmp_path_factory):
    root = tmp_path_factory.mktemp("results")
    return root, experiment.run(small("scratchpad=full"), root, quiet=True)


def test_a_run_folder_holds_what_its_readers_rely_on(ran):
    _, folder = ran
    names = {path.name for path in folder.iterdir()}
    asked = {"config.yaml", "run.json", "scores.csv", "items.npz", "manifest.json"}
    assert names == asked | {"curve.csv", "positions.csv", "checkpoint", "accuracy.png"}
    record = json.loads((folder / "run.json").read_text())
    assert record["status"] == "DONE"
    assert record["update"] == 12
    assert set(record["fingerprint"]) >= {"torch", "numpy", "python", "cpu", "device", "dtype", "threads", "commit"}
    assert Experiment.of(store.from_yaml(folder / "config.yaml")) == experiment.settled(small("scratchpad=full"))
    assert folder.name == f"pairwise-softmax-full-{record['id'][:8]}"


def test_scores_have_a_row_for_each_split_and_length_and_every_column(ran):
    _, folder = ran
    found = rows(folder)
    assert tuple(found[0]) == tuple(COLUMNS)
    asked = {("validation", 2), ("validation", 5)} | {(s, n) for s in ("boundary", "broad", "natural") for n in (2, 7)}
    assert {(row["split"], int(row["length"])) for row in found} == asked
    assert {(int(r["length"]), r["in_range"]) for r in found} == {(2, "True"), (5, "True"), (7, "False")}
    for row in found:
        assert int(row["steps"]) == int(row["steps_trained"]) == int(row["length"])
        assert int(row["scratch_tokens"]) == 2 * int(row["length"])
        empty = ("first_error", "dense_accuracy", "bits_per_number", "forced_loops")
        assert all(row[column] != "" for column in COLUMNS if column not in empty)
        assert float(row["least_state_bits"]) == small().task.state_bits(int(row["length"]))


def test_items_are_the_accuracy_item_by_item(ran):
    _, folder = ran
    found, items = store.load_scores(folder)
    assert len(items) == len(found)
    for row in found:
        assert items[store.item_key(row)].shape == (30,)
        assert items[store.item_key(row)].mean() == row["accuracy"]


def test_the_curve_has_loss_and_validation(ran):
    _, folder = ran
    with (folder / "curve.csv").open() as file:
        curve = list(csv.DictReader(file))
    assert [int(row["update"]) for row in curve] == [5, 10, 12]
    assert all(float(row["loss"]) > 0 and row["validation"] for row in curve)
    assert float(curve[-1]["train_flops"]) == float(rows(folder)[0]["train_flops"])


def test_a_finished_run_is_not_trained_again_and_more_lengths_add_rows(ran, monkeypatch):
    root, folder = ran
    before = rows(folder)
    monkeypatch.setattr(train, "fit", None)
    assert experiment.run(small("scratchpad=full"), root, quiet=True) == folder
    assert rows(folder) == before
    experiment.run(small("scratchpad=full", "evaluate.lengths=[2,7,9]"), root, quiet=True)
    after = rows(folder)
    assert after[: len(before)] == before
    assert {(row["split"], row["length"]) for row in after[len(before) :]} == {
        ("boundary", "9"),
        ("broad", "9"),
        ("natural", "9"),
    }


def test_the_same_run_elsewhere_is_bit_identical(ran, tmp_path):
    _, folder = ran
    again = experiment.run(small("scratchpad=full"), tmp_path, quiet=True)
    assert again.name == folder.name
    ours, theirs = weights(folder), weights(again)
    assert ours.keys() == theirs.keys()
    assert all(np.array_equal(ours[name], theirs[name]) for name in ours)
    asked = [row for row in rows(folder) if row["length"] != "9"]
    assert [r | {"seconds": ""} for r in asked] == [r | {"seconds": ""} for r in rows(again)]


def test_the_figure_is_drawn_of_a_finished_run(tmp_path, monkeypatch):
    drawn = []
    monkeypatch.setattr(figures, "accuracy_against_length", lambda rows: drawn.append(rows) or Figure())
    experiment.run(small(), tmp_path, quiet=True)
    assert set(drawn[0]["status"]) == {"DONE"}


def test_what_was_trained_stays_in_the_config_when_more_is_evaluated(tmp_path):
    folder = experiment.run(small(), tmp_path, quiet=True)
    experiment.run(small("threads=2", "evaluate.lengths=[3]"), tmp_path, quiet=True)
    settings = store.from_yaml(folder / "config.yaml")
    assert settings["threads"] == 1
    assert settings["evaluate"]["lengths"] == [3]


def test_weights_of_another_run_or_update_are_refused(ran, tmp_path):
    _, folder = ran
    other = experiment.run(small("scratchpad=full", "seed=1"), tmp_path, quiet=True)
    record = store.from_json(folder / "run.json")
    experiment.weights(folder, record)
    with pytest.raises(store.Corrupt, match="update 12, not 11"):
        experiment.weights(folder, record | {"update": 11})
    shutil.rmtree(other / "checkpoint")
    shutil.copytree(folder / "checkpoint", other / "checkpoint")
    with pytest.raises(store.Corrupt, match=folder.name):
        experiment.weights(other, store.from_json(other / "run.json"))


def test_another_seed_is_another_run(ran, tmp_path):
    _, folder = ran
    other = experiment.run(small("scratchpad=full", "seed=1"), tmp_path, quiet=True)
    assert other.name != folder.name
    assert not np.array_equal(weights(folder)["model.tokens.weight"], weights(other)["model.tokens.weight"])


def test_validation_passed_twice_in_a_row_ends_training(tmp_path):
    folder = experiment.run(small("train.stop_at=0.3", "train.updates=500"), tmp_path, quiet=True)
    with (folder / "curve.csv").open() as file:
        passed = [float(row["validation"]) >= 0.3 for row in csv.DictReader(file) if row["validation"]]
    assert len(passed) < 100
    assert passed[-2:] == [True, True]
    assert not any(one and other for one, other in pairwise(passed[:-1]))


def test_a_diverged_run_is_a_result(tmp_path, monkeypatch):
    assert launch.launch([small("train.learning_rate=1e30")], tmp_path, LOCAL)
    frame = store.read([tmp_path])
    assert frame["status"].tolist() == ["DIVERGED"]
    assert re.fullmatch(r"update \d+: loss .*; the last finite loss was \d.*", frame["reason"][0])
    assert "accuracy" not in frame
    monkeypatch.setattr(train, "fit", None)  # and it is not tried again
    launch.launch([small("train.learning_rate=1e30")], tmp_path, LOCAL)
    assert store.read([tmp_path])["status"].tolist() == ["DIVERGED"]


def injected(kind, value, update, real=train.objective):
    """An objective whose loss, gradient or weights are not finite at this update."""
    calls = []

    def objective(model, *more):
        calls.append(model)
        if len(calls) != update:
            return real(model, *more)
        if kind == "weight":
            with torch.no_grad():
                list(model.parameters())[update % len(list(model.parameters()))].fill_(value)
        if kind == "gradient":  # of one parameter, while the loss is finite
            parameters = list(model.parameters())
            parameters[update % len(parameters)].register_hook(lambda gradient: gradient * value)
        loss = real(model, *more)
        return loss * value if kind == "loss" else loss

    return objective


@pytest.mark.torture
def test_what_is_not_finite_stops_at_that_update(tmp_path, monkeypatch, times, promise):
    dice, flagged = np.random.default_rng(5), 0
    for number in range(times(100)):
        kind, value = ("loss", "gradient", "weight")[number % 3], (math.nan, math.inf)[number % 2]
        update = int(dice.integers(1, 13))
        monkeypatch.setattr(train, "objective", injected(kind, value, update))
        folder = experiment.run(small(f"seed={number}"), tmp_path, quiet=True)
        record = store.load_record(folder)
        assert kind != "gradient" or re.match(rf"update {update}: loss \d", record["reason"]), record["reason"]
        flagged += record["status"] == "DIVERGED" and record["reason"].startswith(f"update {update}: ")
    promise(7, times(100), flagged)


@pytest.mark.torture
def test_a_loop_that_does_not_look_is_caught(tmp_path, monkeypatch, promise):
    monkeypatch.setattr(train, "objective", injected("loss", math.nan, 3))
    monkeypatch.setattr(torch, "isfinite", lambda tensor: torch.ones_like(tensor, dtype=torch.bool))
    try:
        status = store.load_record(experiment.run(small(), tmp_path, quiet=True))["status"]
    except ValueError:  # what it writes down is no number
        status = "FAILED"
    promise(7, twins=1, caught=status != "DIVERGED")


def test_weights_that_the_last_update_spoilt_are_noticed(tmp_path, monkeypatch):
    monkeypatch.setattr(train, "rate", lambda *_: 1e38)
    folder = experiment.run(small("train.updates=1", "train.warmup=0"), tmp_path, quiet=True)
    record = store.load_record(folder)
    assert (record["status"], "a weight is not finite" in record["reason"]) == ("DIVERGED", True)


FAILURES = [(KeyError("no such token"), "FAILED"), (MemoryError("too much"), "OOM")]
FAILURES += [(torch.OutOfMemoryError("CUDA out of memory"), "OOM")]
FAILURES += [(RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried 1 byte"), "OOM")]


@pytest.mark.parametrize(("error", "status"), FAILURES, ids=lambda part: type(part).__name__)
def test_a_failed_run_says_why_and_is_tried_again(error, status, tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(training, "evaluate", lambda *_: (_ for _ in ()).throw(error))
        ((folder, ended),) = launch.launch([small()], tmp_path, LOCAL).items()
        assert not ended
        frame = store.read([tmp_path])
        assert frame["status"].tolist() == [status]
        assert frame["reason"].tolist() == [f"{type(error).__name__}: {error}"]
        assert "Traceback" in (folder / "log.txt").read_text()
    assert launch.launch([small()], tmp_path, LOCAL) == {folder: True}
    assert set(store.read([tmp_path])["status"]) == {"DONE"}
    record = store.from_json(folder / "run.json")
    assert (record["reason"], record["resumed"]) == (None, 1)


def test_a_model_that_memory_cannot_hold_is_refused(tmp_path, capsys, monkeypatch):
    full = RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 4000000000000 bytes")
    monkeypatch.setattr(experiment, "build", lambda _: (_ for _ in ()).throw(full))
    assert main([*SMALL, "--results", str(tmp_path / "results")]) == 2
    said = f"harness: the model does not fit into the memory of this machine: {full}\n"
    assert capsys.readouterr().err == said
    assert not (tmp_path / "results").exists()


def test_a_gpu_that_does_not_answer_is_told_in_a_sentence():
    error = RuntimeError("CUDA error: unspecified launch failure\nCUDA kernel errors might be reported later")
    said = experiment._reason(error, "cuda")
    assert said.startswith("the GPU does not answer any more; on one that does, the same command goes on")
    assert said.endswith("(RuntimeError: CUDA error: unspecified launch failure)")
    assert experiment._reason(error, "cpu") == f"RuntimeError: {error}"
    full = torch.OutOfMemoryError("CUDA out of memory")
    assert experiment._reason(full, "cuda") == "OutOfMemoryError: CUDA out of memory"


def test_the_loop_is_golden():
    """One update in float64: a change of these digits needs a new ``train.VERSION``."""
    point = replace(small(), seed=5)
    model = experiment.build(point).double()
    source = Source(point.task, point.scratchpad, point.seed)

    def draw(update: int):
        return *source.training(update, lengths=(5,), size=6, mix=0.5), rng(point.seed, "places", update)

    progress = list(train.fit(model, train.optimizer(model, point.train), draw, replace(point.train, updates=3)))
    seen = [*(p.loss for p in progress), *(p.gradient_norm for p in progress)]
    with torch.no_grad():
        seen.append(sum(parameter.abs().sum().item() for parameter in model.parameters()))
    assert train.VERSION == 2
    assert seen == pytest.approx(GOLDEN, abs=1e-9)


GOLDEN = [2.7141420404021153, 2.698991790940034, 2.666830892842303]  # loss in nats
GOLDEN += [1.7244976050765382, 1.6826796089813651, 1.4517588422586072]  # gradient norm
GOLDEN += [131.74071032583024]  # sum of the absolute weights


def test_training_is_charged_for_the_passes_of_its_own_batches(tmp_path):
    line = ["task=recall", "task.pairs=2", "task.symbols=16", "mask=encoder", "train.lengths=[16,24]", "train.batch=4"]
    line += ["train.updates=5", "train.warmup=1", "train.validate_examples=4", "evaluate.lengths=[8]", "model.width=8"]
    (point,) = config.points([*line, "model.heads=1", "model.layers=1", "evaluate.examples=4"])
    record = store.from_json(experiment.run(point, tmp_path, quiet=True) / "run.json")
    source, model = Source.of(point), build(point)
    drawn = [source.training(update, point.train.lengths, 4, point.train.mix)[1] for update in range(1, 6)]
    prices = [cost.training_flops(model, batch) for batch in drawn]
    assert len(set(prices)) > 2, "no two batches ask at the same places"
    assert record["train_flops"] == sum(prices)
