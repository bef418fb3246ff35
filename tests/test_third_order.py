"""Third-order attention: pairs that are weighed, its price in triples, its limits, and match3 by hand-set weights."""

from itertools import product

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from harness import attention
from harness.attention.check import make
from harness.attention.softmax import Softmax
from harness.attention.third_order import BLOCK, ThirdOrder
from harness.attention.trial import BATCH, HEADS, SHORT, WIDTH, numbers
from harness.model.positions import Rotary

D = WIDTH // HEADS
turn = Rotary(context=64, width=WIDTH, head_width=D, base=10_000.0).rotate
TOKENS = 37  # more than two blocks


def may_see(tokens, prefix):
    """(T, T) by the definition of the mask."""
    return torch.tensor([[j <= t or (t < prefix and j < prefix) for j in range(tokens)] for t in range(tokens)])


def parts(mixer, x):
    """q, a, b, u, w, (B, H, T, D) each, straight from the projection."""
    return mixer.project_in(x).view(*x.shape[:2], 5, HEADS, D).permute(2, 0, 3, 1, 4)


def tensor(mixer, x, prefix):
    """(B, H, T, T, T): what token t makes of the pair (j, l)."""
    q, a, b, _, _ = parts(mixer, x)
    reach = may_see(x.shape[1], prefix)
    scores = torch.einsum("bhtd,bhjd,bhld->bhtjl", q, a, b) / D**0.5
    weights = scores.exp() * (reach[:, :, None] & reach[:, None])
    return weights / weights.sum((-1, -2), keepdim=True)


@pytest.mark.parametrize("tokens", [1, 2, SHORT, BLOCK, BLOCK + 1, TOKENS])
def test_it_is_its_formula(tokens):
    mixer, x = make(ThirdOrder), numbers(tokens)
    for prefix in {0, min(5, tokens), tokens // 2, tokens}:
        weights = tensor(mixer, x, prefix)
        _, _, _, u, w = parts(mixer, x)
        mixed = torch.einsum("bhtjl,bhjd,bhld->bhtd", weights, u, w)
        expected = mixer.project_out(mixed.transpose(1, 2).flatten(2))
        torch.testing.assert_close(mixer(x, prefix=prefix)[0], expected)
        torch.testing.assert_close(mixer.mixing(x, prefix), (weights.sum(-1) + weights.sum(-2)) / 2)


def test_what_is_mixed_is_the_share_of_each_token_in_the_pairs():
    mixer, x = make(ThirdOrder), numbers(TOKENS)
    for prefix in (0, 20, TOKENS):
        shares = mixer.mixing(x, prefix)
        assert torch.equal(shares > 0, may_see(TOKENS, prefix).expand(BATCH, HEADS, -1, -1))
        torch.testing.assert_close(shares.sum(-1), torch.ones(BATCH, HEADS, TOKENS).double())


def rows_of(mixer):
    """The rows of ``project_in`` that make q, a, b, u and w."""
    return mixer.project_in.weight.detach().split(WIDTH), mixer.project_in.bias.detach().split(WIDTH)


def test_the_order_in_a_pair_is_a_name():
    """To exchange (a, u) with (b, w) changes nothing."""
    mixer, other, x = make(ThirdOrder), make(ThirdOrder), numbers(TOKENS)
    for part, exchanged in zip(rows_of(mixer), rows_of(other), strict=True):
        for mine, theirs in zip((0, 1, 2, 3, 4), (0, 2, 1, 4, 3), strict=True):
            exchanged[theirs].copy_(part[mine])
    for prefix in (0, 20, TOKENS):
        torch.testing.assert_close(other(x, prefix=prefix)[0], mixer(x, prefix=prefix)[0])
        torch.testing.assert_close(other.mixing(x, prefix), mixer.mixing(x, prefix))


def test_with_a_constant_second_token_it_is_softmax():
    """b = w = 1 for all tokens: q · (a ∘ 1) and u ∘ 1."""
    mixer, softmax, x = make(ThirdOrder), make(Softmax), numbers(TOKENS)
    weights, biases = rows_of(mixer)
    for constant in (2, 4):
        weights[constant].zero_(), biases[constant].fill_(1)
    with torch.no_grad():
        softmax.project_in.weight.copy_(torch.cat([weights[0], weights[1], weights[3]]))
        softmax.project_in.bias.copy_(torch.cat([biases[0], biases[1], biases[3]]))
    softmax.project_out.load_state_dict(mixer.project_out.state_dict())
    for prefix in (0, 20, TOKENS):
        torch.testing.assert_close(mixer(x, prefix=prefix)[0], softmax(x, prefix=prefix)[0])
        alike = may_see(TOKENS, prefix) / may_see(TOKENS, prefix).sum(-1, keepdim=True)
        torch.testing.assert_close(mixer.mixing(x, prefix), (softmax.mixing(x, prefix) + alike) / 2)


def test_triples_are_counted():
    mixer = make(ThirdOrder)
    for prefix in range(14):
        assert mixer.scored_pairs(13, None, prefix) == HEADS * may_see(13, prefix).sum(-1).square().sum()
    for tokens, seen in ((1, 0), (13, 0), (1, 70), (13, 70)):
        assert mixer.scored_pairs(tokens, seen) == HEADS * may_see(seen + tokens, 0)[seen:].sum(-1).square().sum()
        assert mixer.scored_pairs(seen + tokens) == mixer.scored_pairs(seen) + mixer.scored_pairs(tokens, seen)


def test_growth_is_exact():
    """A token scores H (n + 1)² triples and adds 4 C numbers to the state; a sequence of whole blocks costs a cubic."""
    mixer = make(ThirdOrder)
    for n in (2**power for power in range(4, 13)):
        assert mixer.scored_pairs(1, n) == HEADS * (n + 1) ** 2
        assert mixer.scored_pairs(1, n + 1) - 2 * mixer.scored_pairs(1, n) + mixer.scored_pairs(1, n - 1) == 2 * HEADS
        assert mixer.flops(1, n) == 12 * WIDTH**2 + 4 * WIDTH * (n + 1) ** 2
        assert mixer.state_size(n + 1) - mixer.state_size(n) == 4 * WIDTH
        assert mixer.state_size(n + 1) - 2 * mixer.state_size(n) + mixer.state_size(n - 1) == 0
        prices = [mixer.flops(BLOCK * m) for m in (n - 1, n, n + 1, n + 2)]  # 4 C Σ 16 · (16 i)²
        assert prices[3] - 3 * prices[2] + 3 * prices[1] - prices[0] == 4 * WIDTH * BLOCK**3 * 2
        assert mixer.flops(n, None, n) == 12 * n * WIDTH**2 + 4 * WIDTH * n**3


class Largest(TorchDispatchMode):
    """The most numbers that one result of a call holds."""

    def __init__(self):
        super().__init__()
        self.numbers = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        if isinstance(out, torch.Tensor):
            self.numbers = max(self.numbers, out.numel())
        return out


@pytest.mark.parametrize("prefix", [0, 64])
def test_a_block_of_scores_is_the_most_that_is_held_at_a_time(prefix):
    mixer = make(ThirdOrder)
    with torch.no_grad(), Largest() as largest:
        mixer(numbers(64), prefix=prefix)
    assert largest.numbers == BATCH * HEADS * BLOCK * 64 * 64


def test_rotary_positions_are_refused():
    with pytest.raises(ValueError, match="position=rotary: attention=third_order has no queries and keys to rotate"):
        attention.configured("third_order", (), rotate=turn)


def test_why_rotary_positions_are_refused():
    """Two turned vectors know their distance, three that are multiplied coordinate by coordinate do not."""
    q, a, b = (numbers(3, seed).detach().unflatten(2, (HEADS, D)).transpose(1, 2) for seed in range(3))
    here, later = ([turn(x, seen) for x in (q, a, b)] for seen in (0, 7))
    pairs, triples = (
        [torch.einsum(formula, *turned[:count]) for turned in (here, later)]
        for formula, count in (("bhtd,bhjd->bhtj", 2), ("bhtd,bhjd,bhld->bhtjl", 3))
    )
    torch.testing.assert_close(*pairs)
    assert (triples[0] - triples[1]).abs().max() > 0.1


def witness(modulus):
    """A map of one head that says of each residue whether it is in a match3 with two that it sees, and what it reads.

    A residue x is the vector (cos α, sin α, 1, 0, 0) with α = 2π x / p, a blank (0, 0, 0, 1, 0). Of three residues
    q · (a ∘ b) is cos(α + β + γ), a sum of four products: 1 if they add up to 0 and else cos(2π / p) at most. A blank
    with a blank scores something between the two, a blank with a residue 0, so all weight goes to pairs of residues,
    where u ∘ w is 1, if there is a match, and to the blank, where it is 0, if there is none.
    """
    angles = 2 * torch.pi * torch.arange(modulus, dtype=torch.double) / modulus
    units = cos, sin, residue, blank, _ = torch.eye(5).double()
    residues = angles.cos()[:, None] * cos + angles.sin()[:, None] * sin + residue
    between = (1 + angles[1].cos()) / 2
    sharp = 100 * 5**0.5 / (1 - between)  # scores that differ, differ by 100 or more
    q = sharp * torch.stack([cos, -cos, -sin, -sin, between * residue])
    a, b = torch.stack([cos, sin, sin, cos, blank]), torch.stack([cos, sin, cos, sin, blank])
    u = w = torch.outer(cos, residue)  # to the first coordinate from the third
    mixer = ThirdOrder(5, heads=1).double().requires_grad_(False)
    mixer.project_in.weight.copy_(torch.cat([q, a, b, u, w]))
    mixer.project_out.weight.copy_(units)
    mixer.project_in.bias.zero_(), mixer.project_out.bias.zero_()
    return mixer, torch.cat([blank[None], residues])


@pytest.mark.parametrize("modulus", [4, 5, 7])
@pytest.mark.parametrize("mask", ["causal", "encoder"])
def test_a_head_of_width_five_answers_match3_on_all_triples(modulus, mask):
    """Are there j and l that t sees with x_t + x_j + x_l = 0? On every sequence of three, at each of its residues."""
    mixer, vectors = witness(modulus)
    triples = torch.tensor(list(product(range(modulus), repeat=3)))
    tokens = torch.cat([torch.zeros(len(triples), 1, dtype=torch.long), 1 + triples], 1)  # a blank comes first
    said = mixer(vectors[tokens], prefix=4 if mask == "encoder" else 0)[0][:, 1:, 0]
    for row, answers in zip(triples.tolist(), said.tolist(), strict=True):
        for t, answer in enumerate(answers):
            seen = row if mask == "encoder" else row[: t + 1]
            matched = any((row[t] + x + y) % modulus == 0 for x, y in product(seen, repeat=2))
            assert abs(answer - matched) < 1e-9, (row, t, answer)


def test_the_same_head_answers_match3_at_length():
    """Random residues modulo 401, 60 of them: some are in a match and some are not."""
    mixer, vectors = witness(401)
    row = torch.randint(0, 401, (60,), generator=torch.Generator().manual_seed(0))
    said = mixer(vectors[torch.cat([torch.zeros(1, dtype=torch.long), 1 + row])][None])[0][0, 1:, 0]
    sums = row[:, None, None] + row[:, None] + row
    matched = torch.stack([(sums[t, : t + 1, : t + 1] % 401 == 0).any() for t in range(60)])
    assert 10 < matched.sum() < 50
    torch.testing.assert_close(said, matched.double())
