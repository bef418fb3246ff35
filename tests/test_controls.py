"""The controls: a mean that scores nothing, and a map that mixes nothing."""

import pytest
import torch
from torch.nn import functional as F

from harness import attention
from harness.attention.check import LAWS, check_variant, make
from harness.attention.identity import Identity
from harness.attention.softmax import Softmax
from harness.attention.trial import BATCH, LONG, SHORT, WIDTH, numbers, read
from harness.attention.uniform import Uniform
from tasks.verdict import judge

PREFIXES = (0, 1, 40, LONG)
BOTH = pytest.mark.parametrize("kind", [Uniform, Identity], ids=["uniform", "identity"])


def may_see(tokens, prefix):
    """(T, T) by the definition of the mask."""
    return torch.tensor([[j <= t or (t < prefix and j < prefix) for j in range(tokens)] for t in range(tokens)])


@pytest.mark.parametrize("prefix", PREFIXES)
def test_softmax_with_queries_of_zero_is_uniform(prefix):
    mixer, softmax, x = make(Uniform), make(Softmax), numbers(LONG)
    with torch.no_grad():
        for part, values in zip(softmax.project_in.parameters(), mixer.project_in.parameters(), strict=True):
            part[:WIDTH] = 0
            part[2 * WIDTH :] = values
    softmax.project_out.load_state_dict(mixer.project_out.state_dict())
    torch.testing.assert_close(mixer(x, prefix=prefix)[0], softmax(x, prefix=prefix)[0])
    torch.testing.assert_close(mixer.mixing(x, prefix).expand(-1, 2, -1, -1), softmax.mixing(x, prefix))


@pytest.mark.parametrize("prefix", PREFIXES)
def test_uniform_weighs_all_that_is_seen_alike(prefix):
    mixer, x, seen = make(Uniform), numbers(LONG), may_see(LONG, prefix)
    weights = mixer.mixing(x, prefix)
    assert torch.equal(weights, (seen / seen.sum(-1, keepdim=True).double()).expand(BATCH, 1, -1, -1))
    torch.testing.assert_close(mixer.project_out(weights[:, 0] @ mixer.project_in(x)), mixer(x, prefix=prefix)[0])


def test_uniform_knows_no_order():
    mixer, x = make(Uniform), numbers(LONG)
    shuffled = x[:, torch.randperm(LONG, generator=torch.Generator().manual_seed(0))]
    torch.testing.assert_close(mixer(shuffled)[0][:, -1], mixer(x)[0][:, -1])
    torch.testing.assert_close(mixer(shuffled, prefix=LONG)[0], mixer(x, prefix=LONG)[0])
    assert (mixer(shuffled)[0][:, 60] - mixer(x)[0][:, 60]).abs().max() > 0.01, "the tokens in between have other pasts"


@pytest.mark.parametrize("prefix", PREFIXES)
def test_identity_mixes_nothing(prefix):
    mixer, x = make(Identity), numbers(LONG)
    out = mixer(x, prefix=prefix)[0]
    assert torch.equal(mixer.mixing(x, prefix), torch.eye(LONG).double().expand(BATCH, 1, -1, -1))
    weight = mixer.project_out.weight @ mixer.project_in.weight
    bias = mixer.project_out.weight @ mixer.project_in.bias + mixer.project_out.bias
    torch.testing.assert_close(out, F.linear(x, weight, bias))
    shuffle = torch.randperm(LONG, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(mixer(x[:, shuffle], prefix=prefix)[0], out[:, shuffle])


def test_the_state_of_identity_holds_no_numbers_and_counts():
    mixer = make(Identity)
    _, state = read(mixer, numbers(SHORT), [4, 1, 8], room=99)
    assert tuple(state) == (SHORT,)
    assert mixer.empty(BATCH, room=99) == mixer.empty(1)
    assert mixer.empty(1)._fields == ("seen",)


@BOTH
def test_growth_is_exact(kind):
    mixer, numbers_held = make(kind), WIDTH if kind is Uniform else 0
    for n in (2**power for power in range(4, 13)):
        assert mixer.state_size(n) == numbers_held
        assert mixer.scored_pairs(1, n) == mixer.scored_pairs(n) == mixer.scored_pairs(n, None, n) == 0
        assert mixer.flops(n, None, n) == mixer.flops(n) == n * mixer.flops(1, n) == 4 * n * WIDTH**2
        assert mixer.serial_steps(n) == 1


@BOTH
def test_heads_change_nothing(kind):
    one, many = make(lambda width, _: kind(width, 1)), make(lambda width, _: kind(width, 12))
    assert torch.equal(one(numbers(SHORT))[0], many(numbers(SHORT))[0])


@pytest.mark.parametrize("name", ["uniform", "identity"])
def test_there_is_nothing_to_place(name):
    with pytest.raises(ValueError, match=f"position=rotary: attention={name} has no queries and keys to rotate"):
        attention.configured(name, (), rotate=lambda x, seen: x)
    with pytest.raises(ValueError, match=f"position=alibi: attention={name} has no scores to take distances from"):
        attention.configured(name, (), bias=lambda queries, keys, heads: 0)
    for mask in attention.MASKS:
        assert attention.configured(name, (), mask=mask)(WIDTH, 2)


# Specimens of maps that call themselves local and are not, and of one that is and does not say so.


class SeesItsPast(Identity):
    breaks = {"depends_on_the_past"}

    def forward(self, x, state=None, prefix=0):
        out, state = super().forward(x, state, prefix)
        return (out + out.cumsum(1) if state is None and not prefix else out), state


class SeesItsPrefix(Identity):
    breaks = {"a_prefix_sees_itself", "depends_on_the_past"}

    def forward(self, x, state=None, prefix=0):
        out, state = super().forward(x, state, prefix)
        return (out + out[:, :prefix].sum(1, keepdim=True) if prefix else out), state


class DoesNotSayThatItIsLocal(Identity):
    breaks = {"depends_on_the_past", "a_prefix_sees_itself"}
    local = False


@pytest.mark.parametrize("specimen", [SeesItsPast, SeesItsPrefix, DoesNotSayThatItIsLocal])
def test_the_laws_of_local_maps_catch(specimen):
    laws = ("depends_on_the_past", "a_prefix_sees_itself")
    failed = {law: judge(LAWS[law], specimen).detail for law in laws if not judge(LAWS[law], specimen).passed}
    assert set(failed) == specimen.breaks
    assert all(failed.values())


@BOTH
def test_every_law_holds_for_a_control(kind):
    assert not [verdict for verdict in check_variant(kind) if not verdict.passed]
