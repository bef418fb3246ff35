"""The GPT is GPT-2, its cached decoding is reading again, and what it costs is what torch counts."""

from functools import cache, partial
from itertools import product

import numpy as np
import pytest
import torch
from torch import nn
from transformers import GPT2Config, GPT2LMHeadModel

from harness import cost, settings
from harness.attention import MASKS, Attention, Mixer
from harness.attention.check import count_flops
from harness.attention.softmax import Softmax
from harness.config import points
from harness.model import GPT, Learned, build
from harness.model.positions import Nowhere, Rotary, Sinusoidal
from harness.scratchpad import Scratchpad
from harness.sections import OBJECTIVES
from harness.sequence import IGNORE, encode, vocabulary
from tasks.pairwise import Pairwise
from tasks.words import Words
from tests.conftest import variant as configured

BATCH, VOCAB, LAYERS, WIDTH, HEADS, CONTEXT = 3, vocabulary(Pairwise()), 2, 12, 2, 230


POSITIONS = {
    "learned": lambda: Learned(CONTEXT, WIDTH, WIDTH // HEADS, std=0.01, train=True),
    "sinusoidal": lambda: Sinusoidal(CONTEXT, WIDTH, WIDTH // HEADS, base=10000.0, scale=0.5),
    "rotary": lambda: Rotary(CONTEXT, WIDTH, WIDTH // HEADS, base=10000.0),
    "none": lambda: Nowhere(CONTEXT, WIDTH, WIDTH // HEADS),
}


def gpt(variant, dtype=torch.float64, mask="causal", place="learned", vocab=VOCAB):
    """A small model far from its initial distributions: no bias is zero, no two logits are close."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        position, queried = POSITIONS[place](), issubclass(getattr(variant, "func", variant), Attention)
        variant = partial(variant, rotate=position.rotate) if queried else variant  # others have nothing to rotate
        mixers = [variant(WIDTH, HEADS) for _ in range(LAYERS)]
        model = GPT(vocab, WIDTH, mixers, position, mask=mask)
        for parameter in model.parameters():
            nn.init.normal_(parameter, std=0.3)
    return model.to(dtype)


def at_once(model, tokens):
    """The prefix of a pass over so many tokens: none, or all of them for maps that cannot be causal."""
    return 0 if "causal" in model.blocks[0].mixer.masks else tokens


def some(tokens):
    """(B, T) tokens."""
    return torch.from_numpy(np.random.default_rng(tokens).integers(0, VOCAB, (BATCH, tokens)))


@cache
def problems(scratchpad, length):
    """A batch of pairwise."""
    (experiment,) = points(["task=pairwise", f"scratchpad={scratchpad}"])
    instance = experiment.task.sample(np.random.default_rng(length), BATCH, length, "broad")
    return encode(experiment.task, experiment.scratchpad, instance, length)


PROBLEMS = [case for case in product(["none", "filler", "full"], [2, 9, 70]) if case != ("full", 70)]

THEIR_NAMES = {
    "tokens.": "transformer.wte.",
    "position.table.": "transformer.wpe.",
    "blocks.": "transformer.h.",
    "norm_mixer.": "ln_1.",
    "mixer.project_in.": "attn.c_attn.",
    "mixer.project_out.": "attn.c_proj.",
    "norm_mlp.": "ln_2.",
    "mlp.project_in.": "mlp.c_fc.",
    "mlp.project_out.": "mlp.c_proj.",
    "norm.": "transformer.ln_f.",
}


def theirs(model):
    """Hugging Face's GPT-2 with the weights of ours."""
    sizes = {"vocab_size": VOCAB, "n_positions": CONTEXT, "n_embd": WIDTH, "n_layer": LAYERS, "n_head": HEADS}
    other = GPT2LMHeadModel(GPT2Config(**sizes, attn_implementation="eager"))
    weights = {"lm_head.weight": model.tokens.weight}
    for name, weight in model.state_dict().items():
        for our, their in THEIR_NAMES.items():
            name = name.replace(our, their)
        weights[name] = weight.T if ".c_" in name and weight.ndim == 2 else weight  # their Conv1D is (in, out)
    other.load_state_dict(weights)
    return other.to(model.tokens.weight.dtype).eval()


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-5), (torch.float64, 1e-12)])
@pytest.mark.parametrize("tokens", [1, 13, 101])
def test_softmax_gpt_is_gpt2(dtype, tolerance, tokens):
    model = gpt(Softmax, dtype)
    logits, _ = model(some(tokens))
    expected = theirs(model)(some(tokens)).logits
    assert logits.std() > 0.3
    assert torch.allclose(logits, expected, rtol=tolerance, atol=tolerance)


def test_logits_are_given_where_they_are_asked_for(variant):
    model = gpt(variant)
    read = partial(model, some(13), prefix=at_once(model, 13))
    everywhere, _ = read()
    for at in (slice(3, 7), slice(-1, None), slice(0, 1)):
        assert torch.allclose(read(at=at)[0], everywhere[:, at], rtol=1e-12, atol=1e-12)
    at = torch.tensor([[0, 5, 12], [3, 4, 5], [12, 0, 0]])
    expected = torch.stack([everywhere[row, places] for row, places in enumerate(at)])
    assert torch.allclose(read(at=at)[0], expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("place", POSITIONS)
def test_reading_under_a_mask_is_what_the_mask_says(variant, mask, place):
    """Causal: each logit of a pass over what came before; prefix: the given see each other; encoder: all do."""
    model, tokens, given = gpt(variant, mask=mask, place=place), some(13), 5
    everywhere = model.read(tokens, given, slice(None))
    for last in range(given - 1, 13):
        prefix = {"causal": 0, "prefix": given, "encoder": last + 1}[mask]
        expected = model(tokens[:, : last + 1], prefix=prefix)[0][:, -1]
        assert torch.allclose(everywhere[:, last], expected, rtol=1e-9, atol=1e-9)
    at = torch.tensor([[4, 5, 12], [6, 7, 8], [12, 11, 9]])
    expected = torch.stack([everywhere[row, places] for row, places in enumerate(at)])
    assert torch.allclose(model.read(tokens, given, at), expected, rtol=1e-9, atol=1e-9)


def hold_no_peeking(model, task, batch):
    """The loss of each target depends on no token from that target's place on, unless the mask shows it as given.

    An answer inside the prompt is no token of the sequence; under mask=prefix it may see all that is given, no more.
    """
    places, rows = (batch.targets.T != IGNORE).nonzero(as_tuple=True)
    copies = batch.read[rows]  # one for each target: no row sees another
    embedded = []
    hook = model.tokens.register_forward_hook(lambda _, __, out: embedded.append(out.requires_grad_()) or out)
    logits = model.read(copies, batch.given, places[:, None])
    hook.remove()
    loss = nn.functional.cross_entropy(logits[:, 0], batch.targets[rows, places], reduction="sum")
    passes = [one.abs().sum(-1) for one in torch.autograd.grad(loss, embedded)]  # an encoder's: a place after the other
    reached = torch.cat([nn.functional.pad(one, (0, copies.shape[1] - one.shape[1])) for one in passes])
    for place, tokens in zip(places.tolist(), reached, strict=True):
        first = max(place + 1, batch.given) if model.mask == "prefix" else place + 1
        assert tokens[first:].sum() == 0, f"what is said at {place} has seen a token from {first} on"
        assert tokens[: place + 1].sum() > 0


def peek(task, variant, mask, place):
    """Hold the law in all that a run can train on."""
    length = task.shortest + 1
    instance = task.sample(np.random.default_rng(1), 2, length, "broad")
    full = Scratchpad("full", "trace", None, None if task.traces else 0, 0).canonical(task)
    dense = task.so_far(instance.prompt) is not None
    model = gpt(variant, mask=mask, place=place, vocab=vocabulary(task))
    for objective in ("answer",) if mask == "prefix" else OBJECTIVES:  # the prompt would see what it has to predict
        readout = dense and (mask, objective) in (("causal", "answer"), ("encoder", "answer"))  # else it is refused
        hold_no_peeking(model, task, encode(task, full, instance, length, objective, readout))


@pytest.mark.parametrize("place", POSITIONS)
@pytest.mark.parametrize("kept", Softmax.masks)
def test_no_prediction_peeks_at_what_it_predicts(task, kept, place):
    peek(task, Softmax, kept, place)


PLACED = list(zip([Pairwise(), Words()] * 2, POSITIONS, strict=True))  # answers after the prompt and inside it


@pytest.mark.parametrize(("asked", "place"), PLACED, ids=list(POSITIONS))
def test_no_map_lets_a_prediction_peek(variant, mask, asked, place):
    peek(asked, variant, mask, place)


def test_the_law_of_no_peeking_catches_the_prompt_seen_while_it_is_predicted():
    task = Pairwise()
    none, instance = Scratchpad("none", "trace", None, 0.0, 0.0), task.sample(np.random.default_rng(1), 2, 4, "broad")
    batch = encode(task, none, instance, 4, "sequence")
    model = gpt(Softmax)
    model.read = lambda tokens, given, at: model(tokens, prefix=tokens.shape[1], at=at)[0]
    with pytest.raises(AssertionError, match="what is said at 0 has seen a token from 1 on"):
        hold_no_peeking(model, task, batch)


@pytest.mark.parametrize("given", [1, 13, 70])
@pytest.mark.parametrize("forced", [{}, {0: 5}, {3: 7, 4: 2}, {0: 1, 1: 2, 6: 3}, {8: 4}])
def test_generate_is_reading_again(variant, mask, given, forced):
    model, count, calls = gpt(variant, mask=mask), 9, []
    hook = model.register_forward_hook(
        lambda _, read, named, said: calls.append((*read, *named.values(), said[0][:, -1])), with_kwargs=True
    )
    written = model.generate(some(given), count, forced)
    hook.remove()
    sequence, made = torch.cat([some(given), written], 1), []
    assert written.shape == (BATCH, count)
    for offset in sorted(set(range(count)) - set(forced)):
        again = model.read(sequence[:, : given + offset], given, slice(-1, None))[:, 0]
        assert torch.equal(sequence[:, given + offset], again.argmax(-1))
    assert all((written[:, offset] == token).all() for offset, token in forced.items())
    for read, *state in (call[:2] for call in calls):
        layers = state[0] if state and isinstance(state[0], list) else None
        made.append((read.shape[1], layers[0].seen if layers else None))
    assert made == [(one.tokens, one.seen) for one in cost.passes(mask, given, count, forced)]
    assert len(calls) == count - len(forced)


@pytest.mark.parametrize("mask", MASKS)
def test_generate_leaves_alone_whoever_said_the_word_and_ends_when_all_have(mask):
    model, given, word = gpt(Softmax, mask=mask), some(13), 3
    free = model.generate(given, 20)
    word = int(free[0, 4])  # the first row says it at 4 or before, others may never
    when = [(row == word).nonzero()[:1, 0].tolist() for row in free]
    written = model.generate(given, 20, {8: word}, until=word, after=2)
    for row, said in enumerate(when):
        if said and said[0] <= 8:
            assert torch.equal(written[row, : written.shape[1]], free[row, : written.shape[1]])
        else:
            assert written[row, 8] == word
    last = max(said[0] if said and said[0] <= 8 else 8 for said in when)
    assert written.shape[1] == last + 3


@pytest.mark.parametrize(("scratchpad", "length"), PROBLEMS)
def test_answering_costs_what_torch_counts(variant, mask, scratchpad, length):
    model, batch = gpt(variant, mask=mask).requires_grad_(False), problems(scratchpad, length)
    stated = cost.answering(model, batch)
    answered, _ = count_flops(model.generate, batch.prompt, batch.count(), batch.forced())
    assert answered == BATCH * (stated.prompt_flops + stated.decode_flops)
    first = cost.passes(mask, batch.given, batch.count(), batch.forced())[0]
    prompt, _ = count_flops(model.generate, batch.prompt, 1 + first.tokens - batch.given, batch.forced())
    assert prompt == BATCH * stated.prompt_flops
    if mask != "encoder":
        _, state = model(batch.tokens[:, : batch.given + batch.count() - 1], model.empty(BATCH))
        carried = [tensor for layer in state for tensor in layer[1:]]
        assert BATCH * stated.state_bytes == sum(tensor.nbytes for tensor in carried)
    else:
        assert stated.state_bytes == 0, "every token starts anew"


def test_answering_inside_the_prompt_costs_what_torch_counts(variant, mask):
    (experiment,) = points(["task=recall", "train.lengths=[16]", "evaluate.lengths=[24]"])
    instance = experiment.task.sample(np.random.default_rng(0), BATCH, 24, "broad")
    batch = encode(experiment.task, experiment.scratchpad, instance, 24)
    model = gpt(variant, mask=mask, vocab=vocabulary(experiment.task)).requires_grad_(False)
    stated = cost.answering(model, batch)
    answered, _ = count_flops(model.read, batch.prompt, batch.given, batch.said)
    assert np.isclose(answered, BATCH * (stated.prompt_flops + stated.decode_flops))
    assert stated.serial_steps == max(block.mixer.serial_steps(batch.given) for block in model.blocks)


@pytest.mark.parametrize(("scratchpad", "length"), PROBLEMS)
def test_training_costs_what_torch_counts(variant, mask, scratchpad, length):
    model, batch = gpt(variant, mask=mask), problems(scratchpad, length)
    forward, logits = count_flops(lambda: model.read(batch.read, batch.given, batch.supervised))
    backward, _ = count_flops(logits.sum().backward)
    assert forward + backward == cost.training_flops(model, batch)
    learned = type(model.blocks[0].mixer).training_flops is Mixer.training_flops
    assert (backward == 2 * forward) == learned, "what is not learned is passed once on the way back"


def test_training_costs_are_of_the_positions_that_are_supervised(variant, mask):
    (experiment,) = points(["task=recall", "train.lengths=[16]", "evaluate.lengths=[24]"])
    instance = experiment.task.sample(np.random.default_rng(0), BATCH, 24, "broad")
    for objective in OBJECTIVES:
        batch = encode(experiment.task, experiment.scratchpad, instance, 24, objective)
        model = gpt(variant, mask=mask, vocab=vocabulary(experiment.task))
        forward, logits = count_flops(lambda m=model, b=batch: m.read(b.read, b.given, b.supervised))
        backward, _ = count_flops(logits.sum().backward)
        assert forward + backward == cost.training_flops(model, batch)


def test_answering_takes_a_serial_step_for_each_pass_and_chunk():
    steps = {
        (name, scratchpad): cost.answering(gpt(configured(name)), problems(scratchpad, 70)).serial_steps
        for name, scratchpad in product(("softmax", "linear"), ("none", "full"))
    }
    assert steps == {
        ("softmax", "none"): 1,  # 70 tokens and three marks are read at once, and the answer is said
        ("softmax", "full"): 141,  # 140 scratch tokens, the answer
        ("linear", "none"): 3,  # 73 tokens are three chunks
        ("linear", "full"): 143,
    }
    training = {
        (name, mask): cost.training_serial_steps(gpt(configured(name), mask=mask), problems("none", 127))
        for name, mask in product(("softmax", "linear"), MASKS)
    }
    assert {steps for (name, _), steps in training.items() if name == "softmax"} == {1}
    assert training["linear", "causal"] == 5  # 131 tokens
    assert training["linear", "prefix"] == 2  # 129 given at once, then the rest
    assert training["linear", "encoder"] == 1


@pytest.mark.parametrize("scratchpad", ["none", "filler", "full"])
def test_answering_with_softmax_scores_every_pair_that_is_asked_for_once(scratchpad):
    batch = problems(scratchpad, 9)
    tokens = batch.given + batch.count() - 1
    made = cost.passes("causal", batch.given, batch.count(), batch.forced())
    unasked = sum(
        place + 1 for one in made for place in range(one.seen, one.seen + one.tokens - 1)
    )  # in the last block
    pairs = HEADS * (LAYERS * tokens * (tokens + 1) // 2 - unasked)
    assert cost.answering(gpt(Softmax), batch).scored_pairs == pairs


@pytest.mark.parametrize(
    ("name", "pairs", "numbers"), [("softmax", LAYERS * HEADS, LAYERS * 2 * WIDTH), ("linear", 0, 0), ("gru", 0, 0)]
)
def test_a_models_growth_is_exact(name, pairs, numbers):
    mixers = [block.mixer for block in gpt(configured(name)).blocks]
    scored, carried = (
        lambda n: sum(mixer.scored_pairs(1, n) for mixer in mixers),
        lambda n: sum(mixer.state_size(n) for mixer in mixers),
    )
    for growth, f in ((pairs, scored), (numbers, carried)):
        for n in (2**power for power in range(4, 13)):
            assert f(n + 1) - f(n) == growth
            assert f(n + 1) - 2 * f(n) + f(n - 1) == 0


def hold_normal(name, weight, std):
    """N(0, std²): mean, standard deviation and fourth moment within 5 standard errors."""
    n, z = weight.numel(), weight.detach().double().flatten() / std
    errors = [z.mean() * n**0.5, (z.std() - 1) * (2 * n) ** 0.5, (z.pow(4).mean() - 3) * (n / 96) ** 0.5]
    assert all(abs(error) < 5 for error in errors), f"{name}, {errors} standard errors off"


@pytest.mark.parametrize(("width", "layers", "token_std"), [(768, 2, 0.02), (60, 3, 0.5)])
def test_initial_distributions_are_gpt2s(width, layers, token_std):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        mixers = [Softmax(width, 4) for _ in range(layers)]
        model = GPT(500, width, mixers, Learned(300, width, width // 4, std=0.01, train=True), token_std)
    std = 0.02 * (768 / width) ** 0.5
    for name, parameter in model.named_parameters():
        if name.endswith("bias"):
            assert not parameter.any(), name
        elif "norm" in name:
            assert (parameter == 1).all(), name
        else:
            writes = std / (2 * layers) ** 0.5 if "project_out" in name else std
            hold_normal(name, parameter, {"tokens.weight": token_std, "position.table.weight": 0.01}.get(name, writes))


def test_build_is_a_function_of_the_seed():
    line = [
        "task=pairwise",
        "model.width=12",
        "model.heads=3",
        "model.layers=3",
        "model.context=99",
        "train.lengths=[4]",
    ]
    first, other = points([*line, "evaluate.lengths=[4]", "seed=0,1"], sweep=True)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        before = torch.get_rng_state()
        one = build(first)
        assert torch.equal(torch.get_rng_state(), before), "torch's global generator is left as it was"
        torch.manual_seed(2)
        again, another = build(first).state_dict(), build(other).state_dict()
    assert all(torch.equal(weight, again[name]) for name, weight in one.state_dict().items())
    assert not torch.equal(one.tokens.weight, another["tokens.weight"])
    assert one.tokens.weight.shape == (vocabulary(first.task), 12)
    assert (len(one.blocks), one.position.context, one.blocks[0].mixer.heads) == (3, 99, 3)
    weights = [block.mixer.project_in.weight for block in one.blocks]
    assert not torch.equal(weights[0], weights[1]), "every layer has weights of its own"


def test_a_sequence_longer_than_the_context_is_refused(variant):
    mask = getattr(variant, "func", variant).masks[0]
    model = gpt(variant, mask=mask)
    model(some(CONTEXT), prefix=at_once(model, CONTEXT))
    with pytest.raises(ValueError, match=f"model.context={CONTEXT}: a sequence of {CONTEXT + 1} tokens"):
        model(some(CONTEXT + 1), prefix=at_once(model, CONTEXT + 1))
    model.generate(some(CONTEXT - 2), 3)  # the last token said is not read
    with pytest.raises(ValueError, match=f"model.context={CONTEXT}: a sequence of {CONTEXT + 1} tokens"):
        model.generate(some(CONTEXT - 2), 4)


def test_the_masks_of_settings_are_those_of_the_maps():
    assert settings.MASKS == MASKS  # twice, since settings know no torch and maps nothing of the house
