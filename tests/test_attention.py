"""Every variant keeps every law, every law catches a broken variant, and what softmax and linear promise beyond."""

import doctest
import inspect
from functools import partial
from typing import NamedTuple

import pytest
import torch
import yaml
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from harness import attention
from harness.attention import check
from harness.attention.base import Mixer
from harness.attention.check import HEADS, LAWS, LONG, WIDTH, check_variant
from harness.attention.linear import Linear
from harness.attention.softmax import Softmax
from harness.config import CONF
from tasks.check import judge


@pytest.mark.parametrize("law", LAWS)
def test_law(variant, law):
    verdict = judge(LAWS[law], variant)
    assert verdict.passed, verdict.detail


@pytest.mark.parametrize("name", attention.names())
def test_one_yaml_one_class(name):
    settings = yaml.safe_load((CONF / "attention" / f"{name}.yaml").read_text())
    assert settings.pop("name") == name
    assert ["self", "width", "heads", *settings] == list(inspect.signature(attention.load(name).__init__).parameters)


def test_every_yaml_has_a_class():
    assert sorted(path.stem for path in (CONF / "attention").glob("*.yaml")) == attention.names()


def test_the_example_of_the_laws_runs():
    assert doctest.testmod(check) == (0, 2)


# Specimens: a variant with one thing broken. ``breaks`` are exactly the laws that fail, but the golden numbers may too.


class Float32Output(Linear):
    breaks = {"shape_and_dtype_are_kept", "two_forms_agree", "parallel_is_the_sum_of_prefixes"}

    def forward(self, x, state=None):
        out, state = super().forward(x, state)
        return (out.float() if x.shape[1] == 1 and state is None else out), state


class SqueezesOneToken(Linear):
    breaks = {"shape_and_dtype_are_kept", "two_forms_agree", "parallel_is_the_sum_of_prefixes"}

    def forward(self, x, state=None):
        out, state = super().forward(x, state)
        return (out.squeeze(1) if state is None else out), state


class LosesLongState(Linear):
    breaks = {"shape_and_dtype_are_kept", "state_size"}

    def forward(self, x, state=None):
        out, after = super().forward(x, state)
        return out, (after if x.shape[1] < LONG else None)


class StateWhileTraining(Linear):
    breaks = {"shape_and_dtype_are_kept"}

    def forward(self, x, state=None):
        out, after = super().forward(x, state)
        return out, after or self.empty(len(x))


class OverflowsOnLarge(Linear):
    breaks = {"finite"}

    def forward(self, x, state=None):
        out, state = super().forward(x, state)
        return out * (x.exp() / x.exp()), state


class DividesByZero(Softmax):
    breaks = {"finite"}

    def forward(self, x, state=None):
        out, state = super().forward(x, state)
        return out * (x / x), state


class InfiniteGradientAtZero(Softmax):
    breaks = {"finite"}

    def forward(self, x, state=None):
        out, state = super().forward(x, state)
        return out + 0 * x.square().sqrt(), state


class PeeksAhead(Softmax):
    breaks = {"causal", "two_forms_agree", "resume", "parallel_is_the_sum_of_prefixes"}

    def mix(self, q, k, v, state):
        return super().mix(q, k, v, state) if state else (F.scaled_dot_product_attention(q, k, v), None)


class PeeksWithoutGradient(Softmax):
    breaks = {"causal", "two_forms_agree", "resume", "parallel_is_the_sum_of_prefixes"}

    def mix(self, q, k, v, state):
        mixed, state = super().mix(q, k, v, state)
        return mixed + v.detach().mean(2, keepdim=True), state


class SeesOnlyItself(Linear):
    breaks = {"depends_on_the_past"}

    def mix(self, q, k, v, state):
        return v, state and state._replace(seen=state.seen + v.shape[2])

    def naive_mix(self, q, k, v):
        return v

    def mix_flops(self, tokens, seen):
        return 0


class ForgetsNormaliser(Linear):
    breaks = {"two_forms_agree"}

    def naive_mix(self, q, k, v):
        q, k = F.elu(q) + 1, F.elu(k) + 1
        return (q @ k.mT).tril() @ v


class ForgetsScale(Softmax):
    breaks = {"two_forms_agree"}

    def naive_mix(self, q, k, v):
        return super().naive_mix(q * self.head_width**0.5, k, v)


class WrongGradient(Softmax):
    breaks = {"two_forms_agree"}

    def naive_mix(self, q, k, v):
        return super().naive_mix(q, k.detach(), v)


class Float32Inside(Linear):
    breaks = {"two_forms_agree"}

    def mix(self, q, k, v, state):
        mixed, state = super().mix(q, k, v, state)
        return mixed.float().double(), state


class DropsState(Linear):
    breaks = {"resume"}

    def mix(self, q, k, v, state):
        return super().mix(q, k, v, state and state._replace(total=torch.zeros_like(state.total)))


class StateWithoutGradient(Linear):
    breaks = {"resume"}

    def mix(self, q, k, v, state):
        return super().mix(q, k, v, state and state._replace(total=state.total.detach()))


class ReadsUnwrittenRoom(Softmax):
    breaks = {"resume", "flops_are_counted"}

    def mix(self, q, k, v, state):
        if state is None or q.shape[2] > 1:
            return super().mix(q, k, v, state)
        state = state.append(k, v)
        return F.scaled_dot_product_attention(q, state.keys, state.values), state


class OverwritesState(Linear):
    breaks = {"a_state_may_be_read_twice"}

    def mix(self, q, k, v, state):
        mixed, after = super().mix(q, k, v, state)
        if state and not torch.is_grad_enabled():
            after = after._replace(total=state.total.copy_(after.total))
        return mixed, after


class SeesOtherRows(Softmax):
    breaks = {"rows_do_not_see_one_another"}

    def _merge(self, mixed):
        out = super()._merge(mixed)
        return out + out.mean(0, keepdim=True)


class SeesOtherRowsWhenDecoding(Linear):
    breaks = {"rows_do_not_see_one_another", "resume"}

    def mix(self, q, k, v, state):
        mixed, after = super().mix(q, k, v, state)
        return (mixed + mixed.mean(0, keepdim=True) if state else mixed), after


class HalfTheState(Softmax):
    breaks = {"state_size"}

    def state_size(self, length):
        return super().state_size(length) // 2


class NeverCounts(Linear):
    breaks = {"state_size"}

    def mix(self, q, k, v, state):
        mixed, after = super().mix(q, k, v, state)
        return mixed, after and after._replace(seen=0)


class SeenLast(NamedTuple):
    total: Tensor
    seen: int


class SeenComesLast(Linear):
    breaks = {"state_size"}

    def mix(self, q, k, v, state):
        mixed, after = super().mix(q, k, v, state)
        return mixed, after and SeenLast(after.total, after.seen)

    def empty(self, batch, room=0):
        return SeenLast(super().empty(batch).total, 0)


class BatchComesSecond(Linear):
    breaks = {"state_size"}

    def mix(self, q, k, v, state):
        mixed, after = super().mix(q, k, v, state and state._replace(total=state.total.transpose(0, 1)))
        return mixed, after and after._replace(total=after.total.transpose(0, 1))

    def empty(self, batch, room=0):
        state = super().empty(batch)
        return state._replace(total=state.total.transpose(0, 1))


class OtherAtSeventeen(Linear):
    breaks = {"parallel_is_the_sum_of_prefixes"}

    def mix(self, q, k, v, state):
        mixed, after = super().mix(q, k, v, state)
        return (mixed if state or q.shape[2] != 17 else 2 * mixed), after


class DeadParameter(Softmax):
    breaks = {"every_parameter_is_trained"}

    def __init__(self, width, heads):
        super().__init__(width, heads)
        self.temperature = nn.Parameter(torch.ones(heads))


class GoesUphill(Softmax):
    breaks = {"every_parameter_is_trained"}

    def __init__(self, width, heads):
        super().__init__(width, heads)
        for parameter in self.parameters():
            parameter.register_hook(torch.neg)


class UnsavedWeight(Softmax):
    breaks = {"saved_and_loaded"}

    def __init__(self, width, heads):
        super().__init__(width, heads)
        self.scale = torch.rand(()).item()

    def _merge(self, mixed):
        return self.scale * super()._merge(mixed)


class ForgetsSeenFlops(Softmax):
    breaks = {"flops_are_counted"}

    def mix_flops(self, tokens, seen):
        return super().mix_flops(tokens, None)


class CountsMaskedAsFree(Softmax):
    breaks = {"flops_are_counted"}

    def mix_flops(self, tokens, seen):
        return 4 * self.scored_pairs(tokens, seen) * self.head_width


class ComputesTwice(Linear):
    breaks = {"flops_are_counted"}

    def mix(self, q, k, v, state):
        return checkpoint(super().mix, q, k, v, state, use_reentrant=False)


class HalfAPair(Softmax):
    breaks = {"scored_pairs"}

    def scored_pairs(self, tokens, seen=None):
        return super().scored_pairs(tokens, seen) / 2


class MorePairsThanFlops(Softmax):
    breaks = {"scored_pairs"}

    def scored_pairs(self, tokens, seen=None):
        return 99 * super().scored_pairs(tokens, seen)


class MorePairsInParts(Softmax):
    breaks = {"scored_pairs"}

    def scored_pairs(self, tokens, seen=None):
        return super().scored_pairs(tokens, seen) + (seen or 0) * (tokens > 1)


class MorePairsThanKeys(Softmax):
    breaks = {"growth_is_at_most_linear"}

    def scored_pairs(self, tokens, seen=None):
        return super().scored_pairs(tokens, seen) + (seen or 0) // 100 * (tokens == 1)


class QuadraticState(Softmax):
    breaks = {"growth_is_at_most_linear", "state_size"}

    def state_size(self, length):
        return super().state_size(length) * length


class NoSteps(Softmax):
    breaks = {"serial_steps"}

    def serial_steps(self, tokens):
        return 0


class FewerStepsForMore(Linear):
    breaks = {"serial_steps"}

    def serial_steps(self, tokens):
        return 1 + tokens % 64


class OldGolden(Softmax):
    breaks = {"golden_fingerprint_stands"}
    golden = {1: (*Softmax.golden[1][:3], Softmax.golden[1][3] * (1 + 1e-8))}


class RaisedVersion(Softmax):
    breaks = {"golden_fingerprint_stands"}
    version = 2


SPECIMENS = [value for value in globals().values() if isinstance(value, type) and hasattr(value, "breaks")]


@pytest.mark.parametrize("specimen", SPECIMENS)
def test_the_laws_catch(specimen):
    failed = {verdict.law: verdict.detail for verdict in check_variant(specimen) if not verdict.passed}
    assert specimen.breaks <= set(failed) <= specimen.breaks | {"golden_fingerprint_stands"}, failed
    assert all(failed.values()), "a failed verdict says why"


@pytest.mark.parametrize("law", LAWS)
def test_every_law_has_a_specimen(law):
    assert any(law in specimen.breaks for specimen in SPECIMENS), f"write a variant that breaks {law}"


class RunningMean(Mixer):
    """A stranger's variant that has no heads: y_t = W · mean of x_0 .. x_t, through a sum as its state."""

    version, golden = 1, {}

    class Sum(NamedTuple):
        seen: int
        total: Tensor  # (B, 1, C)

    def __init__(self, width, heads):
        super().__init__()
        self.project = nn.Linear(width, width)

    def forward(self, x, state=None):
        seen, before = (0, 0) if state is None else state
        totals = before + x.cumsum(1)
        counts = torch.arange(seen + 1, seen + 1 + x.shape[1])[:, None]
        return self.project(totals / counts), state and self.Sum(seen + x.shape[1], totals[:, -1:])

    def naive(self, x):
        return torch.stack([self.project(x[:, : t + 1].mean(1)) for t in range(x.shape[1])], 1)

    def empty(self, batch, room=0):
        return self.Sum(0, self.project.weight.new_zeros(batch, 1, len(self.project.weight)))

    def state_size(self, length):
        return len(self.project.weight)

    def flops(self, tokens, seen=None):
        return 2 * tokens * self.project.weight.numel()

    def scored_pairs(self, tokens, seen=None):
        return 0

    def serial_steps(self, tokens):
        return 1


class Window(Softmax):
    """A stranger's variant with a setting: softmax over the last ``window`` tokens; a cache that stops growing."""

    golden = {}

    def __init__(self, width, heads, window):
        super().__init__(width, heads)
        self.window = window

    def mix(self, q, k, v, state):
        kept = 0 if state is None else state.keys.shape[2]
        if state is not None:
            k, v = torch.cat([state.keys, k], 2), torch.cat([state.values, v], 2)
        mask = q.new_ones(q.shape[2], k.shape[2], dtype=torch.bool)
        mixed = F.scaled_dot_product_attention(q, k, v, mask.tril(kept) & mask.triu(kept + 1 - self.window))
        last = slice(max(k.shape[2] - self.window, 0), None)
        return mixed, state and type(state)(state.seen + q.shape[2], k[:, :, last], v[:, :, last])

    def naive_mix(self, q, k, v):
        rows = []
        for t in range(q.shape[2]):
            near = slice(max(t + 1 - self.window, 0), t + 1)
            weights = (q[:, :, t, None] * k[:, :, near]).sum(-1).div(self.head_width**0.5).softmax(-1)
            rows.append((weights[..., None] * v[:, :, near]).sum(2))
        return torch.stack(rows, 2)

    def empty(self, batch, room=0):
        return super().empty(batch)

    def state_size(self, length):
        return super().state_size(min(length, self.window))

    def mix_flops(self, tokens, seen):
        return super().mix_flops(tokens, min(seen or 0, self.window))

    def scored_pairs(self, tokens, seen=None):
        return self.heads * sum(min(t + 1, self.window) for t in range(seen or 0, (seen or 0) + tokens))


@pytest.mark.parametrize("stranger", [RunningMean, partial(Window, window=8), partial(Window, window=64)])
def test_a_strangers_variant_is_checked(stranger):
    failed = {verdict.law: verdict.detail for verdict in check_variant(stranger) if not verdict.passed}
    assert list(failed) == ["golden_fingerprint_stands"], failed


@pytest.mark.parametrize(("kind", "pairs", "numbers"), [(Softmax, HEADS, 2 * WIDTH), (Linear, 0, 0)])
def test_growth_is_exact(kind, pairs, numbers):
    mixer = check.make(kind)
    for growth, f in ((pairs, lambda n: mixer.scored_pairs(1, n)), (numbers, mixer.state_size)):
        for n in (2**power for power in range(4, 13)):
            assert f(n + 1) - f(n) == growth
            assert f(n + 1) - 2 * f(n) + f(n - 1) == 0


def test_softmax_scores_what_the_mask_allows():
    mixer = check.make(Softmax)
    for tokens, seen in ((1, 0), (13, 0), (1, 70), (13, 70)):
        allowed = torch.ones(tokens, seen + tokens).tril(seen)
        assert mixer.scored_pairs(tokens, seen) == HEADS * allowed.sum()
        assert mixer.scored_pairs(seen + tokens) == mixer.scored_pairs(seen) + mixer.scored_pairs(tokens, seen)


def test_linear_scores_inside_its_chunks():
    mixer = check.make(Linear)
    assert [mixer.scored_pairs(n) for n in (1, 64, 65, 131)] == [HEADS * n for n in (1, 2080, 2081, 4166)]
    assert [mixer.serial_steps(n) for n in (1, 64, 65, 131)] == [1, 1, 2, 3]
