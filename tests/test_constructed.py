"""Weights that are set by hand are a run like any other: evaluated, looked into, started from, disturbed."""

import numpy as np
import pytest
import torch

from harness import constructed, store
from harness.__main__ import main
from harness.config import points
from harness.experiment import run, trained
from harness.model import build
from harness.nearest import Refusal
from harness.settings import Experiment
from tasks.pairwise import Pairwise

SHAPES = "attention=softmax position=none model.layers=1 model.width=8 model.heads=2".split()
ASKED = ["evaluate.examples=40", "evaluate.splits=[boundary,broad]"]


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    root = tmp_path_factory.mktemp("results")
    return constructed.run(Pairwise(), "softmax", [4, 16], ASKED, root), root


def test_its_rows_are_ordinary_and_say_whose_weights_they_are(made):
    where, _ = made
    rows = store.read_run(where)
    assert set(rows["weights"]) == {"witness"}
    assert set(rows["train_flops"]) == {0}
    assert rows[rows["split"] != "validation"]["accuracy"].tolist() == [1.0] * 4
    assert rows["in_range"].all()
    record = store.from_json(where / "run.json")
    assert record["status"] == "DONE"
    assert record["fingerprint"]["device"] in ("cpu", "cuda"), "the one that it was, not the choice among them"


def test_asked_again_it_asks_what_is_missing(made):
    where, root = made
    before = store.load_scores(where)[0]
    again = constructed.run(Pairwise(), "softmax", [4, 16], ["evaluate.examples=60", ASKED[1]], root)
    assert again == where
    assert len(store.load_scores(where)[0]) == 2 * len(before)


def test_it_is_not_the_run_that_would_be_trained_with_its_settings(made):
    where, _ = made
    experiment = Experiment.of(store.from_yaml(where / "config.yaml"))
    from harness.identity import folder

    assert folder(experiment, where.parent.parent) != where


def test_its_model_is_built_from_its_settings(made):
    where, _ = made
    experiment, record = Experiment.of(store.from_yaml(where / "config.yaml")), store.from_json(where / "run.json")
    model, by_hand = trained(where, experiment, record), constructed.WITNESSES["softmax"].build(Pairwise(), 16)
    for one, other in zip(model.parameters(), by_hand.parameters(), strict=True):
        assert torch.equal(one, other)


def test_training_can_start_from_it_by_folder_and_by_word(made):
    where, root = made
    words = [*SHAPES, "train.lengths=[16]", "evaluate.lengths=[16]", "train.updates=1", "train.learning_rate=1e-7"]
    for origin in (where.name, "witness"):
        (point,) = points(["task=pairwise", *words, *ASKED, f"train.init_from={origin}"])
        rows = store.read_run(run(point, root, quiet=True))
        assert set(rows["weights"]) == {"trained"}
        assert rows[rows["split"] == "boundary"]["accuracy"].tolist() == [1.0]


def test_noise_is_so_much_of_each_tensor_and_another_for_each_seed():
    (point,) = points(["task=pairwise"])
    clean = build(point)
    changed = [build(point) for _ in range(3)]
    for model, seed in zip(changed, (0, 0, 1), strict=True):
        constructed.disturb(model, 0.1, seed)
    for old, new, same, other in zip(*(model.parameters() for model in (clean, *changed)), strict=True):
        assert torch.equal(new, same)
        assert not torch.equal(new, other)
        if old.square().sum() > 0 and old.numel() > 500:
            ratio = ((new - old).square().mean() / old.square().mean()).sqrt().item()
            assert np.isclose(ratio, 0.1, rtol=0.1)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["train.init_from=witness"], "model.width=8 model.heads=2"),
        (["train.init_noise=0.1"], "there is nothing to add noise to"),
        (["train.init_noise=-1", "train.init_from=witness"], "0 or more is needed"),
    ],
)
def test_what_does_not_fit_is_refused_in_a_sentence(words, said, tmp_path):
    with pytest.raises(Refusal, match=said):
        run(points(["task=pairwise", *words])[0], tmp_path)
    assert not list(tmp_path.iterdir())


def test_the_verb_says_what_was_seen_and_why(tmp_path, capsys):
    there = ["length=8", "evaluate.examples=20", "--results", str(tmp_path)]
    assert main(["theory", "task=pairwise", "witness=softmax", *there]) == 0
    said = capsys.readouterr().out
    assert "1.000" in said
    assert "exact on every prompt" in said
    assert main(["theory", "task=parity", "witness=softmax", *there]) == 2
    assert "it is for" in capsys.readouterr().err
    assert main(["theory", "task=pairwise", "witness=sofmax", *there]) == 2
    assert "did you mean softmax" in capsys.readouterr().err
