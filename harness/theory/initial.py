"""How an ordinary model starts, against GPT-2: standard deviations with their sampling intervals (claim C0).

Radford et al. 2019 and the code of it: tokens 0.02, positions 0.01, weights 0.02, those that write into the residual
stream 0.02 / sqrt(2 layers). Here weights have the variance of width 768 at every width C: times sqrt(768 / C), which
is 1 at GPT-2's own. Of N independent normal numbers (N - 1) s² / σ² is χ² with N - 1 degrees of freedom.
"""

from collections.abc import Iterator, Sequence
from math import sqrt
from typing import Any

from scipy.stats import chi2
from torch import Tensor, cat, nn

from harness import config
from harness.model import GPT, build

WITHIN = 0.999  # of an interval: of the 40 rows of five seeds and two widths one is outside by chance once in 25 times
OWN = 768  # width of GPT-2


def rows(seeds: Sequence[int] = (0, 1, 2, 3, 4), widths: Sequence[int] = (64, 768), layers: int = 2) -> Iterator[dict]:
    """A row for each seed, width and kind of number: ``std``, its interval, ``expected`` and is it ``outside``."""
    for seed in seeds:
        for width in widths:
            line = ["task=pairwise", f"seed={seed}", f"model.width={width}", f"model.layers={layers}"]
            model = build(config.points(line)[0])
            scale = 0.02 * sqrt(OWN / width)
            expected = {"tokens": 0.02, "positions": 0.01, "weights": scale, "residual": scale / sqrt(2 * layers)}
            for kind, numbers in kinds(model).items():
                about = {"seed": seed, "width": width, "layers": layers, "kind": kind}
                yield about | against(numbers, expected[kind])


def kinds(model: GPT) -> dict[str, Tensor]:
    """(N,) each: the numbers of a model that are drawn alike. Positions are those of a learned table."""
    linear = {name: module.weight for name, module in model.named_modules() if isinstance(module, nn.Linear)}
    writes = {name for name in linear if name.endswith("project_out")}
    return {
        "tokens": model.tokens.weight.detach().flatten(),
        "positions": model.position.table.weight.detach().flatten(),
        "weights": cat([linear[name].detach().flatten() for name in linear if name not in writes]),
        "residual": cat([linear[name].detach().flatten() for name in writes]),
    }


def against(numbers: Tensor, expected: float) -> dict[str, Any]:
    """The standard deviation of (N,) numbers, the interval for that of their distribution; ``outside`` is 0 or 1."""
    count, std = len(numbers), float(numbers.double().std())
    low, high = (std * sqrt((count - 1) / chi2.ppf(end, count - 1)) for end in ((1 + WITHIN) / 2, (1 - WITHIN) / 2))
    outside = int(not low <= expected <= high)
    return {"numbers": count, "std": std, "low": low, "high": high, "expected": expected, "outside": outside}
