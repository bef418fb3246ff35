"""``dtype=bfloat16``: products are rounded, weights and what is recorded are not; every variant can."""

import pytest
import torch
from torch.nn import functional as F

from harness import attention, config, experiment, store, train
from harness.draw import Source
from harness.model import build
from harness.seeding import rng

SMALL = "task=pairwise task.alpha=3 task.values=8 model.width=16 model.heads=2 train.lengths=[4,8]".split()


def learned(name, mask, dtype):
    """The gradient of one update's loss, what the model then says, and the dtype of its products."""
    (point,) = config.points([*SMALL, f"attention={name}", f"mask={mask}", f"dtype={dtype}", "device=cpu"])
    model, batch, seen = build(point), Source.of(point).batch(8, 16, 0.5, 1), []
    model.norm.register_forward_hook(lambda *_: seen.append(F.linear(torch.ones(1, 1), torch.ones(1, 1)).dtype))
    with experiment.computing(point):
        train.objective(model, batch, point.train, rng(0, "places", 1)).backward()
        said = model.generate(batch.prompt, batch.count(), batch.forced())
    gradients = [p.grad.flatten() for p in model.parameters() if p.grad is not None]
    assert {p.dtype for p in model.parameters()} | {g.dtype for g in gradients} == {torch.float32}
    return torch.cat(gradients), said, set(seen)


@pytest.mark.parametrize(
    ("name", "mask"), [(name, mask) for name in attention.names() for mask in attention.load(name).masks]
)
def test_gradients_are_those_of_float32_but_for_rounding(name, mask):
    whole, _, exact = learned(name, mask, "float32")
    rounded, said, short = learned(name, mask, "bfloat16")
    assert (exact, short) == ({torch.float32}, {torch.bfloat16})
    assert F.cosine_similarity(whole, rounded, dim=0) > 0.99
    assert not torch.equal(whole, rounded)
    assert said.shape == (16, 2)


def test_a_run_says_its_dtype_and_is_another_run(tmp_path):
    line = [*SMALL, "train.updates=3", "evaluate.examples=20", "evaluate.splits=[broad]"]
    folders = []
    for dtype in ("float32", "bfloat16"):
        (point,) = config.points([*line, f"dtype={dtype}"])
        folders.append(experiment.run(point, tmp_path, quiet=True))
    assert len({folder.name for folder in folders}) == 2
    for folder, dtype in zip(folders, ("float32", "bfloat16"), strict=True):
        rows, _ = store.load_scores(folder)
        assert {row["dtype"] for row in rows} == {dtype}
        assert store.from_json(folder / "run.json")["fingerprint"]["dtype"] == dtype


def test_a_run_from_before_there_was_a_choice_is_read_as_float32():
    (point,) = config.points(SMALL)
    settings = point.settings()
    del settings["dtype"]
    assert type(point).of(settings) == point
