"""Inside a model: measures against brute force and known matrices, matrices against layers, the verb from outside."""

import doctest
import shutil
from functools import partial

import numpy as np
import pandas as pd
import pytest
import torch
from torch.autograd.functional import jacobian

from harness import attention, config, experiment, inside, store
from harness.__main__ import main
from harness.attention import Attention
from harness.attention.check import make
from harness.attention.trial import HEADS, WIDTH, numbers
from harness.attention.window import Window
from harness.draw import Source
from harness.model import build
from harness.report import inside as report
from harness.theory.rank import random_rank
from tests.conftest import variant
from tests.test_experiment import SMALL

CAUSAL = [name for name in attention.names() if attention.load(name).masks[0] == "causal"]
CAUSAL = [name for name in CAUSAL if issubclass(attention.load(name), Attention) and attention.load(name).order == 2]
QUICK = [*SMALL, "train.updates=3", "evaluate.examples=4", "evaluate.splits=[broad]"]
N = 12


def point(*line):
    (found,) = config.points([*QUICK, *line])
    return found


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """(further settings) -> results folder and run folder of a finished run, each made once."""
    root, known = tmp_path_factory.mktemp("inside"), {}

    def made(*line):
        if line not in known:
            known[line] = experiment.run(point(*line), root, quiet=True)
        return root, known[line]

    return made


def lower(values):
    return np.tril(values) / np.tril(values).sum(-1, keepdims=True)


def random(*shape):
    return np.random.default_rng(3).normal(size=shape)


def band(width):
    return lower(np.tril(np.ones((N, N))) - np.tril(np.ones((N, N)), -width))


@pytest.mark.parametrize(
    ("matrix", "rank", "block", "keys"),
    [
        (np.eye(N), N, 0, 1),
        (np.full((N, N), 1 / N), 1, 1, N),
        (np.roll(np.eye(N), 3, 0), N, 3, 1),  # three rows of the first half come from the last columns
        (random(N, 3) @ random(3, N), 3, 3, None),
        (np.tril(np.ones((N, N))), N, 1, (N + 1) / 2),  # causal sums: of full rank, and rank 1 wherever they are cut
        (band(4), N, 3, (1 + 2 + 3 + 4 * (N - 3)) / N),  # few keys and full rank
    ],
    ids=["identity", "uniform", "shift", "three", "causal sums", "window"],
)
def test_known_matrices(matrix, rank, block, keys):
    assert inside.rank(matrix) == rank
    assert inside.rank(matrix[N // 2 :, : N // 2]) == block
    assert inside.epsilon_rank(matrix) <= rank
    assert inside.effective_rank(matrix) <= rank + 1e-9
    if keys is not None:
        assert inside.keys(matrix).mean() == pytest.approx(keys)


@pytest.mark.parametrize(("matrix", "rank"), [(np.eye(N), N), (np.full((N, N), 1 / N), 1), (np.zeros((N, N)), 0)])
def test_where_all_singular_values_are_equal_or_zero_the_three_ranks_agree(matrix, rank):
    assert inside.rank(matrix) == inside.epsilon_rank(matrix) == rank
    assert inside.effective_rank(matrix) == pytest.approx(rank)


@pytest.mark.parametrize("epsilon", [0.02, 0.1, 0.5])
def test_the_epsilon_rank_is_the_first_truncation_that_is_near_enough(epsilon):
    matrices = np.stack([lower(np.exp(scale * random(9, 9))) for scale in (0.1, 1, 4)])
    found = inside.epsilon_rank(matrices, epsilon)
    for matrix, r in zip(matrices, found, strict=True):
        u, s, v = np.linalg.svd(matrix)
        errors = [np.abs(matrix - u[:, :k] * s[:k] @ v[:k]).sum(1).max() for k in range(10)]
        assert errors[r] <= epsilon
        assert all(error > epsilon for error in errors[:r])
    assert len(set(found)) > 1


def test_the_effective_rank_is_the_entropy_of_the_spectrum():
    matrix = random(6, 8)
    values = np.sqrt(np.linalg.eigvalsh(matrix @ matrix.T))
    shares = values / values.sum()
    assert inside.effective_rank(matrix) == pytest.approx(np.prod(shares**-shares))
    assert inside.effective_rank(7 * matrix) == pytest.approx(inside.effective_rank(matrix))


def test_keys_do_not_mind_signs_and_scale():
    assert inside.keys(np.array([[3.0, -3, 0], [0, 0, 0], [1, 1, 1]])) == pytest.approx([2, 0, 3])


def test_only_rows_that_do_not_sum_to_one_are_scaled():
    even, other = lower(np.exp(random(5, 5))), random(5, 5)
    np.testing.assert_array_equal(inside.in_unit_rows(even), even)
    scaled = inside.in_unit_rows(np.stack([even, 9 * even, other, 0 * even]))
    np.testing.assert_allclose(scaled[:2], [even, even])
    assert np.abs(scaled[2]).sum(-1).max() == pytest.approx(1)
    np.testing.assert_array_equal(scaled[3], 0 * even)


@pytest.mark.parametrize(("bound", "theory"), [(0.5, 1), (1.5, 9), (3, 87), (4, 163), (6, 191)])
def test_untrained_ranks_are_those_of_theory(bound, theory):
    """The table in /work/shared/THEORY.md, b.1, at n = 256: rank is a constant below B = 1.5, most of n from 4 on."""
    assert theory / 1.35 <= random_rank(256, bound, draws=3) <= theory * 1.35


@pytest.mark.parametrize("name", CAUSAL)
def test_what_was_reaches_what_is_through_the_state(name):
    """A block below the diagonal has no more rank than the state has numbers for each coordinate of a value."""
    mixer, x = make(variant(name)), numbers(64)
    matrices = mixer.mixing(x).detach().numpy()
    assert inside.rank(matrices[..., 32:, :32]).max() <= mixer.state_size(32) / (mixer.heads * mixer.head_width)


def test_linear_attention_is_of_full_rank_and_of_low_rank_below_the_diagonal():
    linear, softmax = (make(variant(name)).mixing(numbers(64))[0].detach().numpy() for name in ("linear", "softmax"))
    width = WIDTH // HEADS
    assert inside.rank(linear).tolist() == [64, 64]
    assert inside.rank(linear[:, 32:, :32]).tolist() == [width, width]
    assert inside.rank(softmax[:, 32:, :32]).min() > width


def test_a_window_fixes_the_keys_and_not_the_rank():
    matrices = make(partial(Window, window=4, sinks=0)).mixing(0.1 * numbers(64))[0].detach().numpy()
    assert inside.keys(matrices).max() <= 4
    assert inside.rank(matrices).tolist() == [64, 64]


@pytest.mark.parametrize("name", attention.names())
def test_the_matrix_times_the_values_is_what_the_layer_says(name, trained):
    """On an item of a trained run, in which each variant is a layer. Of order 3 the matrix is a marginal."""
    mask = attention.load(name).masks[0]
    names = [other for other in attention.names() if attention.load(other).masks[0] == mask]
    settings = f"attention=hybrid attention.layers=[{','.join(names)}] model.layers={len(names)} mask={mask}".split()
    _, folder = trained(*settings)
    given, _ = inside.calls(inside.restored(folder, point(*settings)), Source.of(point()).items("broad", 7, 1))
    mixer, x, prefix = given[names.index(name)]
    with torch.no_grad():
        matrix = mixer.mixing(x, prefix)
        assert matrix is not None or not isinstance(mixer, Attention)
        if matrix is not None and mixer.order == 2:
            if isinstance(mixer, Attention):
                said = mixer._merge(matrix @ mixer.project(x)[2])
            else:  # a control: one head, whose values are all that is projected
                said = mixer.project_out(matrix[:, 0] @ mixer.project_in(x))
            torch.testing.assert_close(said, mixer(x, prefix=prefix)[0], rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("name", ["gru", "linear"])
def test_the_influence_is_the_norm_of_the_jacobian(name):
    mixer, x = make(variant(name)), numbers(7)[:1].detach()
    found = inside.influence(mixer, x, 0)
    derivative = jacobian(lambda x: mixer(x)[0], x)[0, :, :, 0]  # (T, C, T, C)
    torch.testing.assert_close(found[0, 0], derivative.square().sum((1, 3)).sqrt(), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize(
    ("line", "length", "tokens", "prefix", "said"),
    [
        ([], 5, 8, 0, [7]),  # START 5 numbers THINK ANSWER
        (["mask=prefix"], 5, 8, 7, [7]),
        (["mask=encoder"], 5, 8, 8, [7]),
        (["scratchpad=full", "scratchpad.trace=running_extremes"], 5, 18, 0, [17]),  # 5 steps of two tokens
        (["scratchpad=full", "scratchpad.trace=running_extremes", "mask=prefix"], 5, 18, 7, [17]),
        (["task=copying"], 4, 10, 0, [6, 7, 8, 9]),
        (["task=copying", "mask=encoder"], 4, 7, 7, [6]),
        (["task=recall", "task.pairs=1"], 8, 9, 0, None),
        (["task=recall", "task.pairs=1", "mask=prefix"], 8, 9, 9, None),
        (["task=recall", "task.pairs=1", "mask=encoder"], 8, None, None, None),  # up to the query,
    ],
    ids=lambda value: "-".join(value) if isinstance(value, list) and value and isinstance(value[0], str) else None,
)
def test_an_item_is_read_as_in_evaluation(line, length, tokens, prefix, said):
    line = [word for word in QUICK if not (line and line[0].startswith("task=") and word.startswith("task"))] + line
    (run,) = config.points([*line, f"train.lengths=[{length}]", f"evaluate.lengths=[{length}]"])
    model, batch = build(run).double(), Source.of(run).items("broad", length, 1)
    ((mixer, x, read),), asked = inside.calls(model, batch)
    said = batch.said[0].tolist() if said is None else said
    tokens, prefix = (said[0] + 1, said[0] + 1) if tokens is None else (tokens, prefix)
    assert (x.shape[1], read, asked) == (tokens, prefix, said[: 1 if run.mask == "encoder" else None])
    with torch.no_grad():
        later = torch.arange(tokens) >= torch.arange(1, tokens + 1).clamp(min=prefix)[:, None]
        assert (mixer.mixing(x, read)[..., later] == 0).all()
        matrix = inside.in_unit_rows(mixer.mixing(x, read)[0].numpy())
        assert matrix.sum(-1) == pytest.approx(1)
        places = model.position.places(batch.tokens.shape[1])[:tokens]
        stream = model.tokens(batch.tokens[:, :tokens]) + model.position(places)
        stream = model.blocks[0].think(stream + mixer(x, None, read)[0])
        logits = (model.norm(stream) @ model.tokens.weight.T)[:, asked]
        evaluated = model.read(batch.prompt if batch.inside else batch.read, batch.given, torch.tensor([said]))
    torch.testing.assert_close(logits, evaluated[:, : len(asked)], rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize(
    ("mask", "keys", "rank"), [("causal", sum(range(2, 12)) / 10, 9), ("prefix", 111 / 11, 1), ("encoder", 11, 1)]
)
def test_beside_each_measure_stands_that_of_uniform_weights(mask, keys, rank, trained):
    """Of 11 tokens a causal query that has a choice sees 2 to 11, one in the prefix all its 10, the last one 11.

    Those of the prefix alike and a last one that is nearly so are of rank 1 but for ε.
    """
    _, folder = trained(f"mask={mask}")
    rows, _ = inside.look(folder, point(f"mask={mask}"), [8], "broad", 2)
    first = rows.iloc[0]
    assert first["keys_uniform"] == pytest.approx(keys)
    assert first["keys_answer_uniform"] == pytest.approx(11)
    assert first["block_rank_uniform"] == 1
    assert first["epsilon_rank_uniform"] == rank


def measured(items, split="broad", **columns):
    """Rows as ``inside.look`` makes them: one layer of one head at one length."""
    about = {"run": "run", "task": "pairwise", "mask": "causal", "split": split, "layer": 1, "attention": "softmax"}
    about |= {"matrix": "mixing", "head": 1, "length": 4, "tokens": 7}
    measures = dict.fromkeys(report.MEASURES, 1.0) | dict.fromkeys(report.UNIFORM, 2.0)
    base = pd.DataFrame({"item": range(items)} | measures).assign(**about)
    return base.assign(**columns)


def test_intervals_are_over_items_and_twins_count_as_one():
    values = [3.0, 3.0, 5.0, 5.0]
    broad, boundary = (report.over_items(measured(4, split, keys=values)).iloc[0] for split in ("broad", "boundary"))
    assert broad["items"] == boundary["items"] == 4
    assert (broad["keys_low"], broad["keys_high"]) == report.t_interval(values)
    assert (boundary["keys_low"], boundary["keys_high"]) == report.t_interval([3, 5])
    assert broad["keys"] == boundary["keys"] == 4


def test_heads_are_averaged_within_an_item_or_kept_apart():
    rows = pd.concat([measured(3, keys=[1.0, 2, 3]), measured(3, head=2, keys=[3.0, 2, 1])])
    (layer,) = report.over_items(rows).to_dict("records")
    assert (layer["keys"], layer["keys_low"], layer["keys_high"]) == (2, 2, 2)
    assert report.over_items(rows, "head")["head"].tolist() == [1, 2]


def test_growth_is_a_power_from_five_lengths_on():
    lengths = [4, 8, 16, 32, 64]
    rows = pd.concat([measured(2, length=n, tokens=n, epsilon_rank=3.0 * n**0.5) for n in lengths])
    assert (
        "the ε-rank grows as T^0.50 [0.50, 0.50], from 6 at T = 4 to 24 at T = 64 (uniform weights: 2)"
        in report.seen(rows)
    )
    assert "the ε-rank goes from 6 at T = 4 to 17 at T = 32" in report.seen(rows[rows["length"] < 64])
    assert "the ε-rank is 6 at T = 4" in report.seen(rows[rows["length"] == 4])


def test_the_example_of_the_exponent_runs():
    assert doctest.testmod(report) == (0, 1)


@pytest.fixture
def looked(trained, capsys):
    """What the verb says of a run."""

    def look(settings, *flags):
        root, folder = trained(*settings)
        assert main(["inside", folder.name, *flags, "--results", str(root)]) == 0
        return root / "figures", folder.name, capsys.readouterr().out

    return look


FILES = ("csv", "png", "svg")


def test_the_verb_writes_a_table_and_a_figure_and_says_what_is_seen(looked):
    folder, run, said = looked(["model.layers=2"])
    table = pd.read_csv(folder / f"{run}-inside-broad.csv")
    assert table[["layer", "head", "length", "tokens"]].values.tolist() == [
        [layer, head, length, length + 3] for layer in (1, 2) for head in (1, 2) for length in (2, 7)
    ]
    assert set(table["items"]) == {32}
    assert (table["epsilon_rank"] <= table["tokens"]).all()
    assert (table["block_rank"] <= table["tokens"] // 2).all()
    assert (table["keys"] <= table["keys_uniform"]).all()
    assert (table["keys_low"] <= table["keys"]).all()
    assert (folder / f"{run}-inside-broad.png").read_bytes().startswith(b"\x89PNG")
    assert max(map(len, said.split("\n\n")[0].splitlines())) <= 140
    assert "Layer 2 (softmax): the ε-rank goes from" in said
    assert f"{run}-inside-broad.csv" in said


def test_asked_again_it_writes_the_same_bytes(looked):
    found = []
    for _ in range(2):
        folder, run, said = looked([], "--lengths", "3,2", "--split", "boundary", "--items", "6")
        found.append([said, *((folder / f"{run}-inside-boundary.{kind}").read_bytes() for kind in FILES)])
    assert found[0] == found[1]


def test_five_lengths_make_an_exponent(looked):
    _, _, said = looked([], "--lengths", "2,3,5,8,12", "--items", "4")
    assert "Layer 1 (softmax): the ε-rank grows as T^" in said


def test_what_is_no_mixing_matrix_is_called_so(looked):
    folder, run, said = looked(["attention=hybrid", "attention.layers=[gru,linear]", "model.layers=2"], "--items", "4")
    table = pd.read_csv(folder / f"{run}-inside-broad.csv")
    gru, linear = table[table["layer"] == 1], table[table["layer"] == 2]
    assert (len(gru), len(linear)) == (2, 4)
    assert set(gru["matrix"]) == {"influence"}
    assert gru[list(report.RANKS)].isna().all(axis=None)
    assert gru["keys"].between(1, gru["keys_uniform"]).all()
    assert linear[list(report.MEASURES)].notna().all(axis=None)
    assert f"Layer 1 (gru; {report.KINDS['influence']}): the number of inputs that reach an output goes from" in said


def drawn(trained, *settings, lengths=(2, 7)):
    _, folder = trained(*settings)
    return report.figure(*inside.look(folder, point(*settings), lengths, "broad", 4))


def curves(figure):
    return [axis for axis in figure.axes if axis.get_xscale() == "log"]


def test_a_panel_for_each_head_of_each_layer_and_the_line_of_all_tokens(trained):
    figure = drawn(trained, "model.layers=2")
    pictures = [axis for axis in figure.axes if axis.images]
    assert [axis.images[0].get_array().shape for axis in pictures] == 4 * [(10, 10)]
    assert pictures[0].get_ylabel() == "layer 1 · softmax\nquery t"
    assert pictures[-1].get_xlabel() == "key j"
    assert {axis.images[0].get_cmap().name for axis in pictures} == {"Blues"}
    assert len(curves(figure)) == len(report.PANELS)
    for axis in curves(figure):
        assert any(np.array_equal(line.get_xdata(), line.get_ydata()) for line in axis.lines)
        assert "y = T" in [text.get_text() for text in axis.texts]
        assert sum(line.get_marker() in ("o", "s") for line in axis.lines) == 2
    said = figure.legends[0]
    assert [text.get_text() for text in said.get_texts()] == ["layer 1 · softmax", "layer 2 · softmax"]
    assert "mean of 4 items, band: 95 % t interval" in said.get_title().get_text().replace("\n", " ")


def test_negative_weights_have_zero_in_the_middle(trained):
    figure = drawn(trained, "attention=linear", "position=rotary")
    images = [axis.images[0] for axis in figure.axes if axis.images]
    assert {image.get_cmap().name for image in images} == {"RdBu"}
    assert images[0].norm(0) == pytest.approx(0.5)


def test_of_third_order_a_marginal_is_shown(trained):
    settings = ["attention=third_order"]
    _, folder = trained(*settings)
    rows, pictures = inside.look(folder, point(*settings), [2, 7], "broad", 2)
    assert set(rows["matrix"]) == {picture.matrix for picture in pictures} == {"marginal"}
    assert rows["epsilon_rank"].notna().all()
    said = "marginal of weights on pairs, not a mixing matrix"
    assert f"Layer 1 (third_order; {said}): the ε-rank goes" in report.seen(rows)
    assert said in report.figure(rows, pictures).legends[0].get_title().get_text().replace("\n", " ")


def test_influence_alone_has_no_panels_of_ranks(trained):
    figure = drawn(trained, "attention=gru")
    (axis,) = curves(figure)
    assert axis.get_title("left").startswith("keys reached")
    (picture,) = [axis for axis in figure.axes if axis.images]
    assert picture.get_ylabel() == "layer 1 · gru\noutput t"
    assert "not a mixing matrix" in figure.legends[0].get_title().get_text().replace("\n", " ")


def test_the_largest_matrix_that_can_be_read_is_drawn(trained, monkeypatch):
    monkeypatch.setattr(inside, "LEGIBLE", 9)
    _, folder = trained()
    for lengths, shown in (((2, 7, 5), 5), ((8, 7), 7), ((6, 2), 6)):
        _, pictures = inside.look(folder, point(), lengths, "broad", 2)
        assert [(picture.length, picture.matrices.shape[-1]) for picture in pictures] == [(shown, shown + 3)]


@pytest.mark.parametrize(
    ("flags", "says"),
    [
        (["--lengths", "2,x"], "--lengths 2,x: integers with commas between them are needed"),
        (["--lengths", "2,2"], "evaluate.lengths=[2,2]: each length once"),
        (["--lengths", "1"], "evaluate.lengths=1: pairwise has lengths 2 to"),
        (["--lengths", "62"], "model.context=64: the longest sequence of evaluate.lengths takes 66 tokens"),
        (["--split", "borad"], "--split borad does not exist, did you mean broad? There is: boundary, broad, natural"),
        (["--items", "1"], "--items 1: 2 to 10000 are possible"),
        (["--lenghts", "2"], "option --lenghts does not exist, did you mean --lengths?"),
    ],
)
def test_what_cannot_be_looked_at_is_refused_in_a_sentence(flags, says, trained, capsys):
    root, folder = trained()
    assert main(["inside", folder.name, *flags, "--results", str(root)]) == 2
    said = capsys.readouterr().err
    assert says in said
    assert said.count("\n") == 1


def test_a_run_that_is_not_there_is_refused_with_the_nearest(trained, capsys):
    root, folder = trained()
    assert main(["inside", folder.name[:-1], "--results", str(root)]) == 2
    assert f"run {folder.name[:-1]} does not exist, did you mean {folder.name}?" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (
            lambda record: record.update(status="FAILED", reason="RuntimeError: no"),
            "has status FAILED and no model: Run",
        ),
        (lambda record: record.update(status="PREEMPTED"), "has status PREEMPTED and no model: its training did not"),
        (lambda record: record["versions"].update(attention=0), "has version 0 of its attention, now it has"),
    ],
)
def test_a_run_without_this_model_is_refused(change, says, trained, tmp_path, capsys):
    _, folder = trained()
    copy = tmp_path / "runs" / folder.name
    shutil.copytree(folder, copy)
    record = store.from_json(copy / "run.json")
    if "version" not in says:
        del record["update"]
    change(record)
    store.save_record(copy, record)
    assert main(["inside", folder.name, "--results", str(tmp_path)]) == 2
    assert f"{folder.name} {says}" in capsys.readouterr().err
