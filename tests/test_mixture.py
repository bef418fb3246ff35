"""What the training mixture is for: without broad instances a model learns the generator of the twins."""

import json

from harness import config, experiment, store


def test_trained_on_the_boundary_alone_the_broad_split_stays_far_below(tmp_path):
    """The broken twin of the mixture: same settings, no broad instances. It learns the generator, not the question."""
    short = ["task=pairwise", "train.lengths=[4,8]", "train.updates=1200", "evaluate.lengths=[4,8]"]
    worst = {}
    for mix in (0.5, 1):
        (point,) = config.points([*short, f"train.mix={mix}", "evaluate.splits=[boundary,broad]"])
        folder = experiment.run(point, tmp_path, quiet=True)
        assert json.loads((folder / "run.json").read_text())["status"] == "DONE"
        rows = store.read_run(folder)
        worst[mix] = rows[rows["split"] != "validation"].groupby("split")["accuracy"].min()
    assert worst[0.5]["broad"] > 0.95
    assert worst[1]["broad"] < 0.7
    assert worst[1]["boundary"] > worst[1]["broad"] + 0.05
