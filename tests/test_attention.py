"""Every variant keeps every law, every law catches a broken variant, and what each variant promises beyond."""

import doctest
import inspect
from copy import copy
from functools import partial
from typing import NamedTuple

import pytest
import torch
import yaml
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from harness import attention
from harness.attention import check, linear, softmax
from harness.attention.base import Mixer, Spared, hold_prefix, unrotated
from harness.attention.check import LAWS, check_variant
from harness.attention.kernel import Memory
from harness.attention.softmax import allowed
from harness.attention.topk import TopK
from harness.attention.trial import HEADS, LONG, SHORT, WIDTH, numbers, prefixes, read
from harness.attention.window import Window
from harness.groups import CONF
from harness.model.positions import Rotary
from tasks.verdict import judge

turn = Rotary(context=LONG, width=WIDTH, head_width=WIDTH // HEADS, base=10_000.0).rotate
ROTATIONS = {"unrotated": unrotated, "rotary": turn}


class Softmax(softmax.Softmax):
    """Whose outputs all go through ``mix``, where specimens are broken."""

    absorbs = False


class Linear(linear.Linear):
    """With the settings of its yaml."""

    def __init__(self, width, heads, rotate=unrotated):
        super().__init__(width, heads, feature="elu", features=16, rotate=rotate)


@pytest.mark.parametrize("law", LAWS)
def test_law(variant, law):
    verdict = judge(LAWS[law], variant)
    assert verdict.passed, verdict.detail


@pytest.mark.parametrize("law", [law for law in LAWS if law != "golden_fingerprint_stands"])
def test_law_rotated(variant, law):
    if "rotate" in variant.keywords:  # it has queries and keys
        verdict = judge(LAWS[law], partial(variant, rotate=turn))
        assert verdict.passed, verdict.detail


@pytest.mark.parametrize("rotation", ROTATIONS)
@pytest.mark.parametrize(
    "setting",
    [
        partial(Window, window=5, sinks=2),
        partial(Window, window=2, sinks=9),  # more sinks than the prefix of the short has tokens
        partial(Window, window=100, sinks=0),
        partial(TopK, k=1),
        partial(TopK, k=40),
    ],
    ids=lambda setting: "-".join(map(str, (setting.func.__name__, *setting.keywords.values()))),
)
def test_the_laws_hold_at_other_settings(setting, rotation):
    failed = {v.law: v.detail for v in check_variant(partial(setting, rotate=ROTATIONS[rotation])) if not v.passed}
    assert list(failed) == ["golden_fingerprint_stands"], failed


@pytest.mark.parametrize("name", attention.names())
def test_one_yaml_one_class(name):
    settings = yaml.safe_load((CONF / "attention" / f"{name}.yaml").read_text())
    assert settings.pop("name") == name
    parameters = list(inspect.signature(attention.load(name).__init__).parameters)
    turned = ["rotate"] if issubclass(attention.load(name), attention.Attention) else []
    turned += ["bias"] if getattr(attention.load(name), "biased", False) else []
    assert parameters == ["self", "width", "heads", *settings, *turned]


def test_every_yaml_has_a_class():
    yamls = {path.stem for path in (CONF / "attention").glob("*.yaml")}
    assert sorted(yamls - {"hybrid"}) == attention.names()  # a hybrid is a list of variants


def test_the_example_of_the_laws_runs():
    assert doctest.testmod(check) == (0, 2)


@pytest.mark.parametrize(
    ("name", "settings", "says"),
    [
        ("window", {"window": 0, "sinks": 0}, "attention.window=0: "),
        ("window", {"window": 16, "sinks": -1}, "attention.sinks=-1: "),
        ("topk", {"k": 0}, "attention.k=0: "),
    ],
)
def test_impossible_settings_are_refused(name, settings, says):
    with pytest.raises(ValueError, match=says):
        attention.configured(name, settings.items())(WIDTH, HEADS)


def test_a_mask_that_a_variant_cannot_keep_is_refused(monkeypatch):
    monkeypatch.setattr(linear.Linear, "masks", ("causal",))
    settings = {"feature": "elu", "features": 16}.items()
    with pytest.raises(ValueError, match="mask=encoder: attention=linear can be causal"):
        attention.configured("linear", settings, mask="encoder")
    with pytest.raises(ValueError, match="prefix=2 of 3 tokens: this map can be causal"):
        check.make(Linear)(numbers(3), prefix=2)
    assert attention.configured("linear", settings, mask="causal")(WIDTH, HEADS)


# Specimens: a variant with one thing broken. ``breaks`` are exactly the laws that fail, but the golden numbers may too.


class Float32Output(Linear):
    breaks = {
        "shape_and_dtype_are_kept",
        "two_forms_agree",
        "parallel_is_the_sum_of_passes",
        "the_last_outputs_are_those_of_all",
    }

    def forward(self, x, state=None, prefix=0):
        out, state = super().forward(x, state, prefix)
        return (out.float() if x.shape[1] == 1 and state is None else out), state


class SqueezesOneToken(Linear):
    breaks = {
        "shape_and_dtype_are_kept",
        "two_forms_agree",
        "parallel_is_the_sum_of_passes",
        "the_last_outputs_are_those_of_all",
    }

    def forward(self, x, state=None, prefix=0):
        out, state = super().forward(x, state, prefix)
        return (out.squeeze(1) if state is None else out), state


class LosesLongState(Linear):
    breaks = {"shape_and_dtype_are_kept", "state_size"}

    def forward(self, x, state=None, prefix=0):
        out, after = super().forward(x, state, prefix)
        return out, (after if x.shape[1] < LONG else None)


class StateWhileTraining(Linear):
    breaks = {"shape_and_dtype_are_kept"}

    def forward(self, x, state=None, prefix=0):
        out, after = super().forward(x, state, prefix)
        return out, after or self.empty(len(x))


class OverflowsOnLarge(Linear):
    breaks = {"finite"}

    def forward(self, x, state=None, prefix=0):
        out, state = super().forward(x, state, prefix)
        return out * (x.exp() / x.exp()), state


class DividesByZero(Softmax):
    breaks = {"finite"}

    def forward(self, x, state=None, prefix=0):
        out, state = super().forward(x, state, prefix)
        return out * (x / x), state


class InfiniteGradientAtZero(Softmax):
    breaks = {"finite"}

    def forward(self, x, state=None, prefix=0):
        out, state = super().forward(x, state, prefix)
        return out + 0 * x.square().sqrt(), state


class PeeksAhead(Softmax):
    breaks = {"causal", "two_forms_agree", "resume", "parallel_is_the_sum_of_passes"}

    def mix(self, q, k, v, state, prefix):
        return super().mix(q, k, v, state, prefix) if state else (F.scaled_dot_product_attention(q, k, v), None)


class PeeksWithoutGradient(Softmax):
    breaks = {"causal", "two_forms_agree", "resume", "parallel_is_the_sum_of_passes"}

    def mix(self, q, k, v, state, prefix):
        mixed, state = super().mix(q, k, v, state, prefix)
        return mixed + v.detach().mean(2, keepdim=True), state


class SeesOnlyItself(Linear):
    breaks = {"depends_on_the_past", "a_prefix_sees_itself"}

    def mix(self, q, k, v, state, prefix):
        return v, state and state._replace(seen=state.seen + v.shape[2])

    def naive_mix(self, q, k, v, prefix):
        return v

    def mix_flops(self, tokens, seen, prefix):
        return 0


class ForgetsNormaliser(Linear):
    breaks = {"two_forms_agree"}

    def naive_mix(self, q, k, v, prefix):
        scores = (F.elu(q) + 1) @ (F.elu(k) + 1).mT
        return (scores * allowed(q.shape[2], q.shape[2], prefix, q.device)) @ v


class ForgetsScale(Softmax):
    breaks = {"two_forms_agree"}

    def naive_mix(self, q, k, v, prefix):
        return super().naive_mix(q * self.head_width**0.5, k, v, prefix)


class WrongGradient(Softmax):
    breaks = {"two_forms_agree"}

    def naive_mix(self, q, k, v, prefix):
        return super().naive_mix(q, k.detach(), v, prefix)


class Float32Inside(Linear):
    breaks = {"two_forms_agree"}

    def mix(self, q, k, v, state, prefix):
        mixed, state = super().mix(q, k, v, state, prefix)
        return mixed.float().double(), state


class DropsState(Linear):
    breaks = {"resume"}

    def mix(self, q, k, v, state, prefix):
        return super().mix(q, k, v, state and state._replace(total=torch.zeros_like(state.total)), prefix)


class StateWithoutGradient(Linear):
    breaks = {"resume"}

    def mix(self, q, k, v, state, prefix):
        return super().mix(q, k, v, state and state._replace(total=state.total.detach()), prefix)


class ReadsUnwrittenRoom(Softmax):
    breaks = {"resume", "flops_are_counted", "the_last_outputs_are_those_of_all"}

    def mix(self, q, k, v, state, prefix):
        if state is None or q.shape[2] > 1:
            return super().mix(q, k, v, state, prefix)
        state = state.append(k, v)  # a single token sees all rows, whether they are written or not
        return F.scaled_dot_product_attention(q, state.keys, state.values), state


class OverwritesState(Linear):
    breaks = {"a_state_may_be_read_twice"}

    def mix(self, q, k, v, state, prefix):
        mixed, after = super().mix(q, k, v, state, prefix)
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

    def mix(self, q, k, v, state, prefix):
        mixed, after = super().mix(q, k, v, state, prefix)
        return (mixed + mixed.mean(0, keepdim=True) if state else mixed), after


class HalfTheState(Softmax):
    breaks = {"state_size"}

    def state_size(self, length):
        return super().state_size(length) // 2


class NeverCounts(Linear):
    breaks = {"state_size", "an_illegal_prefix_is_refused"}

    def mix(self, q, k, v, state, prefix):
        mixed, after = super().mix(q, k, v, state, prefix)
        return mixed, after and after._replace(seen=0)


class SeenLast(NamedTuple):
    total: Tensor
    features: Tensor
    seen: int


class SeenComesLast(Linear):
    breaks = {"state_size"}

    def mix(self, q, k, v, state, prefix):
        mixed, after = super().mix(q, k, v, state and Memory(state.seen, state.total, state.features), prefix)
        return mixed, after and SeenLast(after.total, after.features, after.seen)

    def empty(self, batch, room=0):
        return SeenLast(*super().empty(batch)[1:], 0)


class BatchComesSecond(Linear):
    breaks = {"state_size"}

    def mix(self, q, k, v, state, prefix):
        mixed, after = super().mix(q, k, v, state and state._replace(total=state.total.transpose(0, 1)), prefix)
        return mixed, after and after._replace(total=after.total.transpose(0, 1))

    def empty(self, batch, room=0):
        state = super().empty(batch)
        return state._replace(total=state.total.transpose(0, 1))


class OtherAtSeventeen(Linear):
    breaks = {"parallel_is_the_sum_of_passes"}

    def mix(self, q, k, v, state, prefix):
        mixed, after = super().mix(q, k, v, state, prefix)
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
    breaks = {"flops_are_counted", "what_is_spared_is_counted"}

    def mix_flops(self, tokens, seen, prefix):
        return super().mix_flops(tokens, None, prefix)


class CountsMaskedAsFree(Softmax):
    breaks = {"flops_are_counted", "what_is_spared_is_counted"}

    def mix_flops(self, tokens, seen, prefix):
        return 4 * self.scored_pairs(tokens, seen, prefix) * self.head_width


class ComputesTwice(Linear):
    breaks = {"flops_are_counted"}

    def mix(self, q, k, v, state, prefix):
        return checkpoint(super().mix, q, k, v, state, prefix, use_reentrant=False)


class HalfAPair(Softmax):
    breaks = {"scored_pairs"}

    def scored_pairs(self, tokens, seen=None, prefix=0):
        return super().scored_pairs(tokens, seen, prefix) / 2


class MorePairsThanFlops(Softmax):
    breaks = {"scored_pairs", "what_is_spared_is_counted"}

    def scored_pairs(self, tokens, seen=None, prefix=0):
        return 99 * super().scored_pairs(tokens, seen, prefix)


class MorePairsInParts(Softmax):
    breaks = {"scored_pairs"}

    def scored_pairs(self, tokens, seen=None, prefix=0):
        return super().scored_pairs(tokens, seen, prefix) + (seen or 0) * (tokens > 1)


class MorePairsThanKeys(Softmax):
    breaks = {"growth_is_at_most_linear"}

    def scored_pairs(self, tokens, seen=None, prefix=0):
        return super().scored_pairs(tokens, seen, prefix) + (seen or 0) // 100 * (tokens == 1)


class QuadraticState(Softmax):
    breaks = {"growth_is_at_most_linear", "state_size"}

    def state_size(self, length):
        return super().state_size(length) * length


class NoSteps(Softmax):
    breaks = {"serial_steps"}

    def serial_steps(self, tokens, prefix=0):
        return 0


class FewerStepsForMore(Linear):
    breaks = {"serial_steps"}

    def serial_steps(self, tokens, prefix=0):
        return 1 + tokens % 64


class ForgetsThePrefixsFlops(Linear):
    breaks = {"flops_are_counted"}

    def mix_flops(self, tokens, seen, prefix):
        return super().mix_flops(tokens, seen, 0)


class IgnoresThePrefix(Softmax):
    breaks = {"a_prefix_sees_itself"}

    def mix(self, q, k, v, state, prefix):
        return super().mix(q, k, v, state, 0)

    def naive_mix(self, q, k, v, prefix):
        return super().naive_mix(q, k, v, 0)


class IgnoresThePrefixInOneForm(Linear):
    breaks = {"two_forms_agree"}

    def naive_mix(self, q, k, v, prefix):
        return super().naive_mix(q, k, v, 0)


class LeaksBeyondThePrefix(Softmax):
    breaks = {"causal", "resume", "parallel_is_the_sum_of_passes", "the_last_outputs_are_those_of_all"}

    def mix(self, q, k, v, state, prefix):
        return super().mix(q, k, v, state, min(prefix + 1, q.shape[2]) if prefix else 0)

    def naive_mix(self, q, k, v, prefix):
        return super().naive_mix(q, k, v, min(prefix + 1, q.shape[2]) if prefix else 0)


class ForgetsThePrefixAfterIt(Linear):
    breaks = {"resume"}

    def mix(self, q, k, v, state, prefix):
        mixed, after = super().mix(q, k, v, state, prefix)
        return mixed, after and (after._replace(total=state.total) if prefix else after)


class DoesNotCountThePrefix(Linear):
    breaks = {"state_size", "an_illegal_prefix_is_refused"}

    def mix(self, q, k, v, state, prefix):
        mixed, after = super().mix(q, k, v, state, prefix)
        return mixed, after and after._replace(seen=after.seen - prefix)


class ClipsALongPrefix(Softmax):
    breaks = {"an_illegal_prefix_is_refused"}

    def forward(self, x, state=None, prefix=0):
        return super().forward(x, state, min(prefix, x.shape[1]))


class ClipsASplitPrefix(Softmax):
    breaks = {"an_illegal_prefix_is_refused"}

    def forward(self, x, state=None, prefix=0):
        return super().forward(x, state, 0 if state and state.seen else prefix)


class TakesAPrefixForNone(Linear):
    breaks = {"an_illegal_prefix_is_refused"}
    masks = ("causal",)

    def forward(self, x, state=None, prefix=0):
        return super().forward(x, state, 0)


class TurnsFromZeroAgain(Softmax):
    breaks = {"resume", "the_last_outputs_are_those_of_all"}

    def __init__(self, width, heads):
        super().__init__(width, heads, lambda x, seen: turn(x, 0))


class TurnsTheStateAgain(Softmax):
    breaks = {"resume"}

    def mix(self, q, k, v, state, prefix):
        mixed, after = super().mix(q, k, v, state, prefix)
        return mixed, after and after._replace(keys=turn(after.keys, 1))


class TurnsInOneForm(Linear):
    breaks = {"two_forms_agree", "flops_are_counted"}

    def mix(self, q, k, v, state, prefix):
        self.rotate = turn
        mixed = super().mix(q, k, v, state, prefix)
        self.rotate = unrotated
        return mixed


class ReachesOneTooFar(Window):
    breaks = {"two_forms_agree"}

    def __init__(self, width, heads):
        super().__init__(width, heads, window=5, sinks=2)

    def naive_mix(self, q, k, v, prefix):
        nearer = copy(self)
        nearer.window -= 1
        return Window.naive_mix(nearer, q, k, v, prefix)


class ForgetsTheSinks(Window):
    breaks = {"resume"}

    def __init__(self, width, heads):
        super().__init__(width, heads, window=5, sinks=2)

    def _keep(self, x):
        return x[:, :, -7:]


class KeepsEverything(Window):
    breaks = {"state_size"}

    def __init__(self, width, heads):
        super().__init__(width, heads, window=5, sinks=2)

    def _keep(self, x):
        return x


class KeepsOneMore(TopK):
    breaks = {"two_forms_agree"}

    def __init__(self, width, heads):
        super().__init__(width, heads, k=4)

    def naive_mix(self, q, k, v, prefix):
        fewer = copy(self)
        fewer.k -= 1
        return TopK.naive_mix(fewer, q, k, v, prefix)


class ChoosesAmongAll(TopK):
    breaks = {"causal", "two_forms_agree", "resume", "parallel_is_the_sum_of_passes"}

    def __init__(self, width, heads):
        super().__init__(width, heads, k=4)

    def weigh(self, q, k, v, prefix):
        scores = (q / self.head_width**0.5) @ k.mT
        best = scores >= scores.topk(min(self.k, k.shape[2])).values[..., -1:]
        kept = best & allowed(q.shape[2], k.shape[2], prefix, q.device)
        return scores.masked_fill(~kept, -1e9).softmax(-1) @ v


class EndsTooEarly(Softmax):
    breaks = {"the_last_outputs_are_those_of_all", "what_is_spared_is_counted"}

    def ending(self, x, last, state=None, prefix=0):
        end, state = super().ending(x, min(last + 1, x.shape[1]), state, prefix)
        return end[:, :last], state


class ForgetsWhatItDoesNotSay(Softmax):
    breaks = {"the_last_outputs_are_those_of_all", "what_is_spared_is_counted"}

    def ending(self, x, last, state=None, prefix=0):
        return super().ending(x[:, -last:], last, state, 0 if last < x.shape[1] else prefix)


class SparesNothing(Softmax):
    breaks = {"what_is_spared_is_counted"}

    def spared(self, tokens, last, seen=None, prefix=0):
        return Spared()


class SparesPairsThatWereNot(Softmax):
    breaks = {"what_is_spared_is_counted"}

    def spared(self, tokens, last, seen=None, prefix=0):
        spared = super().spared(tokens, last, seen, prefix)
        return spared._replace(pairs=spared.pairs + 10 * self.scored_pairs(tokens, seen, prefix))


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
    masks = ("causal",)

    class Sum(NamedTuple):
        seen: int
        total: Tensor  # (B, 1, C)

    def __init__(self, width, heads):
        super().__init__()
        self.project = nn.Linear(width, width)

    def forward(self, x, state=None, prefix=0):
        hold_prefix(prefix, x.shape[1], state, self.masks)
        seen, before = (0, 0) if state is None else state
        totals = before + x.cumsum(1)
        counts = torch.arange(seen + 1, seen + 1 + x.shape[1])[:, None]
        return self.project(totals / counts), state and self.Sum(seen + x.shape[1], totals[:, -1:])

    def naive(self, x, prefix=0):
        return torch.stack([self.project(x[:, : t + 1].mean(1)) for t in range(x.shape[1])], 1)

    def empty(self, batch, room=0):
        return self.Sum(0, self.project.weight.new_zeros(batch, 1, len(self.project.weight)))

    def state_size(self, length):
        return len(self.project.weight)

    def flops(self, tokens, seen=None, prefix=0):
        return 2 * tokens * self.project.weight.numel()

    def scored_pairs(self, tokens, seen=None, prefix=0):
        return 0

    def serial_steps(self, tokens, prefix=0):
        return 1


class MeanOfAll(RunningMean):
    """A stranger's variant that cannot be causal: y_t = W · mean of all. Nothing is carried from token to token."""

    masks = ("encoder",)

    def forward(self, x, state=None, prefix=0):
        hold_prefix(prefix, x.shape[1], state, self.masks)
        return self.project(x.mean(1, keepdim=True).expand_as(x)), None

    def naive(self, x, prefix=0):
        return self.project(sum(x[:, t] for t in range(x.shape[1])) / x.shape[1])[:, None].expand_as(x)

    def empty(self, batch, room=0):
        raise NotImplementedError

    def state_size(self, length):
        raise NotImplementedError


@pytest.mark.parametrize("stranger", [RunningMean, MeanOfAll])
def test_a_strangers_variant_is_checked(stranger):
    failed = {verdict.law: verdict.detail for verdict in check_variant(stranger) if not verdict.passed}
    assert list(failed) == ["golden_fingerprint_stands"], failed


def test_the_laws_try_every_mask_of_a_variant_and_no_other():
    assert prefixes(check.make(Softmax), SHORT) == prefixes(check.make(Softmax), SHORT, state=True) == [0, 8, SHORT]
    assert prefixes(check.make(RunningMean), SHORT) == prefixes(check.make(RunningMean), SHORT, state=True) == [0]
    assert (prefixes(check.make(MeanOfAll), SHORT), prefixes(check.make(MeanOfAll), SHORT, state=True)) == ([SHORT], [])


WINDOWS = [(5, 2), (2, 9), (16, 0), (1, 0), (200, 3), (5, 100)]


def may_see(tokens, prefix):
    """(T, T) by the definition of the mask."""
    return torch.tensor([[j <= t or (t < prefix and j < prefix) for j in range(tokens)] for t in range(tokens)])


def weights(mixer, x, prefix):
    """(B, H, T, T), what each query makes of each key: what is mixed of unit vectors."""
    q, k, _ = mixer.project(x.detach())
    return mixer.mix(q, k, torch.eye(x.shape[1], dtype=q.dtype).expand(*q.shape[:2], -1, -1), None, prefix)[0]


@pytest.mark.parametrize("tokens", [1, SHORT, LONG])
@pytest.mark.parametrize(("window", "sinks"), WINDOWS)
def test_a_window_reaches_its_neighbours_and_the_sinks(window, sinks, tokens):
    mixer, places = check.make(partial(Window, window=window, sinks=sinks)), torch.arange(tokens)
    near = (places[:, None] - places).abs() < window
    for prefix in {0, min(3, tokens), tokens // 2, 2 * tokens // 3, tokens}:
        reach = may_see(tokens, prefix) & (near | (places < sinks))
        assert torch.equal(weights(mixer, numbers(tokens), prefix) > 0, reach.expand(3, HEADS, -1, -1))
        assert mixer.scored_pairs(tokens, None, prefix) == HEADS * reach.sum()
        for cut in range(max(prefix, 1), tokens):
            parts = mixer.scored_pairs(cut, 0, prefix), mixer.scored_pairs(tokens - cut, cut)
            assert parts == tuple(HEADS * part.sum() for part in (reach[:cut, :cut], reach[cut:]))


def test_a_windows_price_is_linear():
    mixer = check.make(partial(Window, window=16, sinks=2))
    for prefix in (lambda tokens: 0, lambda tokens: 1000, lambda tokens: tokens):
        low, middle, high = (mixer.mix_flops(tokens, None, prefix(tokens)) for tokens in (1024, 2048, 3072))
        assert high - middle == middle - low <= 4 * WIDTH * 1024 * (16 + 2 + 63 + 15)
    assert [mixer.state_size(n) for n in (0, 1, 17, 18, 19, 4096)] == [2 * WIDTH * n for n in (0, 1, 17, 18, 18, 18)]
    assert [mixer.scored_pairs(1, n - 1) for n in (1, 17, 18, 19, 4096)] == [HEADS * n for n in (1, 17, 18, 18, 18)]
    assert [mixer.mix_flops(1, n - 1, 0) for n in (1, 17, 18, 19, 4096)] == [4 * WIDTH * n for n in (1, 17, 18, 18, 18)]


def test_a_windows_state_does_not_grow_with_room():
    mixer = check.make(partial(Window, window=5, sinks=2))
    _, state = read(mixer, numbers(LONG), [1] * LONG, room=4096)
    assert state.keys.shape[2] == state.values.shape[2] == 7


@pytest.mark.parametrize("tokens", [1, 4, 5, SHORT, LONG])
def test_topk_keeps_the_k_best_that_the_mask_allows(tokens):
    mixer, softmax = check.make(partial(TopK, k=4)), check.make(Softmax)
    for prefix in {0, tokens // 2, tokens}:
        every, kept = weights(softmax, numbers(tokens), prefix), weights(mixer, numbers(tokens), prefix)
        best, mask = kept > 0, may_see(tokens, prefix)
        assert torch.equal(best.sum(-1), mask.sum(-1).clamp(max=4).expand(3, HEADS, -1))
        assert (every.where(best, torch.inf).amin(-1) >= every.where(~best, 0).amax(-1)).all()
        torch.testing.assert_close(kept, every.where(best, 0) / every.where(best, 0).sum(-1, keepdim=True))


@pytest.mark.parametrize(("dtype", "error"), [(torch.float32, 1e-5), (torch.float64, 1e-12)])
def test_topk_keeps_all_that_are_tied_however_they_are_rounded(dtype, error):
    mixer = check.make(partial(TopK, k=4)).to(dtype)
    x = numbers(3).detach()[:, torch.arange(LONG) % 3].to(dtype)  # three tokens, again and again
    kept = (weights(mixer, x, LONG) > 0).unflatten(-1, (1, LONG))[..., : LONG // 3 * 3].unflatten(-1, (-1, 3)).sum(-2)
    assert set(kept.flatten().tolist()) == {0, LONG // 3}, "of each token all are kept or none"
    out, (parts, _) = mixer(x)[0], read(mixer, x, [67] + [1] * (LONG - 67))
    torch.testing.assert_close(out, mixer.naive(x), rtol=error, atol=error)
    torch.testing.assert_close(out, parts, rtol=error, atol=error)


ALL = [partial(Window, window=LONG, sinks=0), partial(Window, window=1, sinks=LONG), partial(TopK, k=LONG)]


@pytest.mark.parametrize("rotation", ROTATIONS)
@pytest.mark.parametrize("wide", ALL)
def test_with_everything_in_reach_it_is_softmax(wide, rotation):
    softmax, mixer = (check.make(partial(kind, rotate=ROTATIONS[rotation])) for kind in (Softmax, wide))
    for prefix in (0, 40, LONG):
        x = numbers(LONG)
        torch.testing.assert_close(mixer(x, prefix=prefix)[0], softmax(x, prefix=prefix)[0])


@pytest.mark.parametrize(
    ("kind", "pairs", "numbers"), [(Softmax, HEADS, 2 * WIDTH), (partial(TopK, k=4), HEADS, 2 * WIDTH), (Linear, 0, 0)]
)
def test_growth_is_exact(kind, pairs, numbers):
    mixer = check.make(kind)
    for growth, f in ((pairs, lambda n: mixer.scored_pairs(1, n)), (numbers, mixer.state_size)):
        for n in (2**power for power in range(4, 13)):
            assert f(n + 1) - f(n) == growth
            assert f(n + 1) - 2 * f(n) + f(n - 1) == 0


def test_softmax_scores_what_the_mask_allows():
    mixer = check.make(Softmax)
    for tokens, seen in ((1, 0), (13, 0), (1, 70), (13, 70)):
        assert mixer.scored_pairs(tokens, seen) == HEADS * may_see(seen + tokens, 0)[seen:].sum()
        assert mixer.scored_pairs(seen + tokens) == mixer.scored_pairs(seen) + mixer.scored_pairs(tokens, seen)
    for prefix in range(14):
        assert mixer.scored_pairs(13, 0, prefix) == HEADS * may_see(13, prefix).sum()
        assert torch.equal(weights(mixer, numbers(13), prefix) > 0, may_see(13, prefix).expand(3, HEADS, -1, -1))


def test_linear_scores_inside_its_chunks():
    mixer = check.make(Linear)
    assert [mixer.scored_pairs(n) for n in (1, 32, 33, 67)] == [HEADS * n for n in (1, 528, 529, 1062)]
    assert [mixer.serial_steps(n) for n in (1, 32, 33, 67)] == [1, 1, 2, 3]
    assert [mixer.scored_pairs(67, None, n) for n in (1, 34, 35, 67)] == [HEADS * n for n in (1059, 529, 528, 0)]
    assert [mixer.serial_steps(67, n) for n in (1, 34, 35, 67)] == [4, 3, 2, 1]


@pytest.mark.parametrize("prefix", [0, 40, LONG])
def test_rotated_linear_attention_is_roformers(prefix):
    """Σ (R_t φ(q_t))·(R_j φ(k_j)) v_j / Σ φ(q_t)·φ(k_j), with each R written out as a matrix (Su et al. 2021)."""
    mixer = check.make(partial(Linear, rotate=turn))
    q, k, v = mixer.project(numbers(LONG).detach())
    angles = torch.arange(LONG)[:, None] * 10_000.0 ** (-torch.arange(0, 6, 2, dtype=torch.float64) / 6)
    planes = torch.stack([angles.cos(), -angles.sin(), angles.sin(), angles.cos()], -1).unflatten(-1, (2, 2))
    matrices = torch.stack([torch.block_diag(*place) for place in planes])  # (T, D, D)
    q, k = F.elu(q) + 1, F.elu(k) + 1
    turned_q, turned_k = (torch.einsum("tde,bhte->bhtd", matrices, x) for x in (q, k))
    mask = may_see(LONG, prefix)
    mixed = (turned_q @ turned_k.mT * mask) @ v / ((q @ k.mT * mask).sum(-1, keepdim=True) + 1e-6)
    torch.testing.assert_close(mixer(numbers(LONG), prefix=prefix)[0], mixer._merge(mixed))
