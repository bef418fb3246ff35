"""The GPT is GPT-2, its cached decoding is reading again, and what it costs is what torch counts."""

from itertools import product

import numpy as np
import pytest
import torch
from torch import nn
from transformers import GPT2Config, GPT2LMHeadModel

from harness import cost
from harness.attention.check import count_flops
from harness.attention.linear import Linear
from harness.attention.softmax import Softmax
from harness.config import points
from harness.model import GPT, Learned, build
from harness.sequence import encode, vocabulary
from tasks.pairwise import Pairwise

BATCH, VOCAB, LAYERS, WIDTH, HEADS, CONTEXT = 3, vocabulary(Pairwise()), 2, 10, 2, 230


def gpt(variant, dtype=torch.float64):
    """A small model far from its initial distributions: no bias is zero, no two logits are close."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        mixers = [variant(WIDTH, HEADS) for _ in range(LAYERS)]
        model = GPT(VOCAB, WIDTH, mixers, Learned(CONTEXT, WIDTH, std=0.01))
        for parameter in model.parameters():
            nn.init.normal_(parameter, std=0.3)
    return model.to(dtype)


def some(tokens):
    """(B, T) tokens."""
    return torch.from_numpy(np.random.default_rng(tokens).integers(0, VOCAB, (BATCH, tokens)))


def problems(scratchpad, length):
    """A batch of pairwise."""
    (experiment,) = points(["task=pairwise", f"scratchpad={scratchpad}"])
    instance = experiment.task.sample(np.random.default_rng(length), BATCH, length, "broad")
    return encode(experiment.task, experiment.scratchpad, instance, length)


PROBLEMS = list(product(["none", "filler", "full"], [2, 9, 70]))

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
    everywhere, _ = model(some(13))
    for at in (slice(3, 7), slice(-1, None), slice(0, 1)):
        assert torch.allclose(model(some(13), at=at)[0], everywhere[:, at], rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("given", [1, 13, 70])
@pytest.mark.parametrize("forced", [{}, {0: 5}, {3: 7, 4: 2}, {0: 1, 1: 2, 6: 3}, {8: 4}])
def test_generate_is_reading_again(variant, given, forced):
    model, count, calls = gpt(variant), 9, []
    hook = model.register_forward_hook(lambda _, read, said: calls.append((*read, said[0][:, -1])))
    written = model.generate(some(given), count, forced)
    hook.remove()
    sequence, seen = torch.cat([some(given), written], 1), 0
    assert written.shape == (BATCH, count)
    for read, state, logits in calls:
        assert torch.equal(read, sequence[:, seen : seen + read.shape[1]]), "the tokens after those already read"
        assert {layer.seen for layer in state} == {seen}
        seen += read.shape[1]
        again = model(sequence[:, :seen])[0][:, -1]
        assert torch.allclose(logits, again, rtol=1e-9, atol=1e-9)
        assert torch.equal(sequence[:, seen], again.argmax(-1))
    assert all((written[:, offset] == token).all() for offset, token in forced.items())
    assert len(calls) == count - len(forced)
    made = [(read.shape[1], state[0].seen) for read, state, _ in calls]
    assert made == cost.passes(given, count, forced)


@pytest.mark.parametrize(("scratchpad", "length"), PROBLEMS)
def test_answering_costs_what_torch_counts(variant, scratchpad, length):
    model, batch = gpt(variant).requires_grad_(False), problems(scratchpad, length)
    stated = cost.answering(model, batch)
    answered, _ = count_flops(model.generate, batch.prompt, batch.count, batch.forced)
    assert answered == BATCH * (stated.prompt_flops + stated.decode_flops)
    first, _ = cost.passes(batch.given, batch.count, batch.forced)[0]
    prompt, _ = count_flops(lambda: model(batch.tokens[:, :first], model.empty(BATCH), at=slice(-1, None)))
    _, state = model(batch.tokens[:, : batch.given + batch.count - 1], model.empty(BATCH))
    assert prompt == BATCH * stated.prompt_flops
    carried = [tensor for layer in state for tensor in layer[1:]]
    assert BATCH * stated.state_bytes == sum(tensor.nbytes for tensor in carried)


@pytest.mark.parametrize(("scratchpad", "length"), PROBLEMS)
def test_training_costs_what_torch_counts(variant, scratchpad, length):
    model, batch = gpt(variant), problems(scratchpad, length)
    forward, (logits, _) = count_flops(lambda: model(batch.tokens[:, :-1], at=batch.supervised))
    backward, _ = count_flops(logits.sum().backward)
    assert forward + backward == 3 * forward == cost.training_flops(model, batch)


def test_answering_takes_a_serial_step_for_each_pass_and_chunk():
    steps = {
        (kind.__name__, scratchpad): cost.answering(gpt(kind), problems(scratchpad, 70)).serial_steps
        for kind, scratchpad in product((Softmax, Linear), ("none", "full"))
    }
    assert steps == {
        ("Softmax", "none"): 1,  # 70 tokens and three marks are read at once, and the answer is said
        ("Softmax", "full"): 141,  # 140 scratch tokens, the answer
        ("Linear", "none"): 2,  # 73 tokens are two chunks
        ("Linear", "full"): 142,
    }
    assert cost.training_serial_steps(gpt(Softmax), 131) == 1
    assert cost.training_serial_steps(gpt(Linear), 131) == 3


@pytest.mark.parametrize("scratchpad", ["none", "filler", "full"])
def test_answering_with_softmax_scores_every_pair_once(scratchpad):
    batch = problems(scratchpad, 9)
    tokens = batch.given + batch.count - 1
    assert cost.answering(gpt(Softmax), batch).scored_pairs == LAYERS * HEADS * tokens * (tokens + 1) // 2


@pytest.mark.parametrize(("kind", "pairs", "numbers"), [(Softmax, LAYERS * HEADS, LAYERS * 2 * WIDTH), (Linear, 0, 0)])
def test_a_models_growth_is_exact(kind, pairs, numbers):
    mixers = [block.mixer for block in gpt(kind).blocks]
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
        model = GPT(500, width, mixers, Learned(300, width, std=0.01), token_std)
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
    model = gpt(variant)
    model(some(CONTEXT))
    with pytest.raises(ValueError, match=f"model.context={CONTEXT}: a sequence of {CONTEXT + 1} tokens"):
        model(some(CONTEXT + 1))
    model.generate(some(CONTEXT - 2), 3)  # the last token said is not read
    with pytest.raises(ValueError, match=f"model.context={CONTEXT}: a sequence of {CONTEXT + 1} tokens"):
        model.generate(some(CONTEXT - 2), 4)
