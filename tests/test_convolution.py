"""A short gated convolution: a filter for each channel, a gate, and a reach and a state that are constants."""

from functools import partial

import pytest
import torch
from torch.nn import functional as F

from harness import attention
from harness.attention import check
from harness.attention.convolution import Convolution
from harness.attention.trial import LONG, WIDTH, numbers, read


@pytest.mark.parametrize("window", [1, 2, 5, 200])
def test_the_laws_hold_at_other_windows(window):
    failed = [v.law for v in check.check_variant(partial(Convolution, window=window)) if not v.passed]
    alone = ["depends_on_the_past"] if window == 1 else []  # it reaches itself only
    assert failed == [*alone, "golden_fingerprint_stands"]


@pytest.mark.parametrize("window", [1, 3, 7])
def test_it_is_torchs_own_depthwise_convolution_times_a_gate(window):
    mixer, x = check.make(partial(Convolution, window=window)), numbers(LONG)
    gate, values = mixer.project_in(x).chunk(2, -1)
    kernel = mixer.filter.T.flip(-1)[:, None]  # (C, 1, r): torch's last tap is the newest token
    heard = F.conv1d(F.pad(values.mT, (window - 1, 0)), kernel, groups=WIDTH).mT
    torch.testing.assert_close(mixer(x)[0], mixer.project_out(gate * heard), rtol=1e-9, atol=1e-9)


def test_nothing_further_back_is_reached():
    mixer, x = check.make(partial(Convolution, window=3)), numbers(20)
    (gradient,) = torch.autograd.grad(mixer(x)[0][:, 10].sum(), x)
    assert [t for t in range(20) if gradient[:, t].abs().max() > 0] == [8, 9, 10]


def test_growth_is_exact():
    mixer = check.make(partial(Convolution, window=3))
    for n in (2**power for power in range(4, 13)):
        assert mixer.state_size(n) == 2 * WIDTH
        assert mixer.scored_pairs(1, n) == 0
        assert mixer.flops(n + 1) - mixer.flops(n) == mixer.flops(1, n) == 6 * WIDTH**2
    _, state = read(mixer, numbers(LONG), [1] * LONG)
    assert state.values.shape[1:] == (2, WIDTH)


def test_an_impossible_window_is_refused():
    with pytest.raises(ValueError, match=r"attention\.window=0: "):
        attention.configured("convolution", [("window", 0)])(WIDTH, 2)
