"""docs/performance.md, a function of the rows of one bench.csv, or of those of several machines."""

from collections.abc import Iterable, Iterator, Sequence

import pandas as pd

from harness.bench.cases import COPY, FAMILIES, LINEAR, MATRIX
from harness.bench.promises import Promise, crossover, promises
from harness.nearest import Refusal

HEAD = """# How fast it is

Every number here is from `python -m harness bench` on one machine: subjects lie in processes of their own (the parts
of one run in one) with one thread each and are timed in rounds, one after the other, so that whatever else the machine
does meets all of them. A time is a median with the quartiles beside it; a ratio is the median over rounds of one
subject's time over the other's in the same round. Shares are of what the machine was seen to do in the same
comparison: `matrix`, the best rate of a product of two large float32 matrices, and `copy`, bytes read and written by a
copy that fits no cache.
2 layers, 4 heads, batch 64, 64 tokens, a vocabulary of 128, float32, no dropout, learning rate 1e-3 where nothing
else is said.

```bash
pip install -e ".[bench]"
python -m harness bench
```

`python -m harness bench --page results/bench/bench.csv` prints this page of your own rows; with several files,
what is promised has a column for each machine, and the rest is of the first. A number holds on no other machine; the
guards in `tests/test_work.py` (operators, FLOPs and bytes of an update, of a decoded token, of twice the length) hold
everywhere, and they run with the tests.
"""
WHY = """
## What was done, and what was not

- **Only what is asked for is computed.** The readout, the MLP of the last block and the way back from its heads are
  computed at supervised positions alone; attention that weighs keys also makes queries and scores for those alone. It
  is the same function: values and gradients equal the plain form's to rounding (`tests/test_work.py`, two laws of
  every variant).
- **Few queries meet the inputs themselves.** Where the last block of softmax attention is asked for a few positions
  and no key is turned or kept, the queries go through the weights of the keys, and what they read through those of the
  values, in the place of all tokens: q · (K x) = (K' q) · x. It is done from a third of the FLOPs on; of the last
  block's mixing alone it leaves half of the time at 64 tokens and width 64 and a quarter at width 256 (one query, Intel
  Xeon), of the updates of `task=pairwise`, which supervises three positions, nothing that shows.
- **Freed memory stays.** glibc hands large blocks back to the kernel at every update and clears their pages anew; the
  harness tells it not to. The rows `untouched` and `kept` show what it is worth to a peer.
- **The MLP goes a slice of rows at a time**, forward and backward, so that its hidden numbers stay in the last-level
  cache, and its GELU a tile of them at a time, so that what its passes hand on stays in the cache of a core. GPT-2's
  tanh is computed as the sigmoid it is, for which torch has a vectorised kernel. The tiles save 6 % to 8 % of
  an update (Intel Xeon, side by side with the form before). They and the inputs in the place of keys came last: the
  rows of the AMD EPYC are without both.
- **The optimizer is torch's fused AdamW.**
- **Decoding** writes into reserved caches and scores a single query by batched products; the prompt is read once for
  all step budgets that continue it.
- **Tried, and left out because it did not pay here:** `torch.compile` of a whole update (27 s to compile, 3 % faster
  after); several smaller batches an update, so that more of it stays in the cache (between 2 % faster at width 256
  and 10 % slower at width 64); attention in blocks of queries by batched products in the place of torch's fused
  kernel (1 % to 2 %); decoding in groups of sequences whose caches fit the last-level cache (10 % to 80 % slower: the
  products of a single query are not limited by memory, and each group pays for its own calls); large pages for the
  allocator (0 % to 3 %); oneDNN's fused GELU with its slope made anew on the way back (3 % to 8 % slower); the bias of
  the MLP as a column of its matrix (0 %).
- **Left out:** several runs in one process on a GPU (`launcher=replicas`); no GPU was at hand to measure it on.
"""


def page(rows: pd.DataFrame, *others: pd.DataFrame) -> str:
    """The whole page; of other machines what is promised.

    Refusal for rows of ``bench --quick``, which measure nothing.
    """
    machines = [rows, *others]
    if any(some["quick"].astype(str).eq("True").any() for some in machines):
        raise Refusal(
            "these rows are those of `bench --quick`, which tries whether everything runs and measures nothing"
        )
    parts = [
        HEAD,
        *map(_machine, machines),
        "![Ratios to peers, and time against length](figures/performance.png)\n",
        _promised(machines),
    ]
    for family in FAMILIES:
        there = rows[rows["family"] == family]
        if len(there):
            parts.append(f"## {family.capitalize()}\n\n" + "\n".join(_tables(there)))
    return "\n".join(parts) + WHY


def _machine(rows: pd.DataFrame) -> str:
    first = rows.iloc[0]
    rates = [
        f"{word} {value:,.0f} {unit}"
        for word, name, work, scale, unit in (
            ("products", MATRIX, "flops", 1e9, "GFLOP/s"),
            ("copies", COPY, "bytes", 1e9, "GB/s"),
        )
        for value in [_best(rows, name, work) / scale]
    ]
    versions = ", ".join(f"{name} {first[name]}" for name in ("torch", "transformers", "x_transformers", "python"))
    commits = "; ".join(
        f"{', '.join(same['family'].unique())} at commit `{str(commit)[:8]}`" + " with changes" * (str(dirty) == "True")
        for (commit, dirty), same in rows.groupby(["commit", "dirty"], sort=False, dropna=False)
    )
    return f"Measured on: {first['cpu']}, one thread, {versions}; {', '.join(rates)}; {commits}.\n"


def _best(rows: pd.DataFrame, name: str, work: str) -> float:
    there = rows[(rows["subject"] == name) & (rows["status"] == "measured")]
    return float((there[work] / there["seconds"]).max())


def _promised(machines: Sequence[pd.DataFrame]) -> str:
    lines = []
    for promise in promises():
        bound = f"{'at least' if promise.least else 'at most'} {promise.bound:g}{promise.unit}"
        lines.append((promise.family, promise.what, bound, *(_found(promise, rows) for rows in machines)))
    head = ("family", "what", "promised", *(rows["cpu"].iloc[0] for rows in machines))
    return "## What is promised\n\n" + _table(head, lines)


def _found(promise: Promise, rows: pd.DataFrame) -> str:
    value = promise.found(rows)
    if value is None:
        return "not measured"
    return f"{value:.3g}{promise.unit} {'kept' if promise.kept(rows) else '**not kept**'}"


def _tables(rows: pd.DataFrame) -> Iterator[str]:
    """A table for each comparison of a family, and where variants become faster than softmax."""
    for (case, width), there in rows.groupby(["case", rows["width"].where(rows["width"].notna(), -1)], sort=False):
        shown = there[~there["subject"].isin((MATRIX, COPY))]
        if shown.empty:
            continue
        size = f", width {width:g}" if width > 0 else ""
        yield f"### {case}{size}\n"
        yield _table(
            ("who", "n", "ms", "quartiles", "times the reference", "of matrix", "of copy", "repetitions"),
            map(_line, shown.to_dict("records")),
        )
        if case == "mixer alone":
            told = {kind: crossover(rows, kind, width) for kind in LINEAR}
            words = ", ".join(f"{kind} {'nowhere' if n is None else f'{n:,}'}" for kind, n in told.items())
            yield f"Faster than softmax from this n on, of those measured: {words}.\n"


def _line(row: dict) -> tuple[str, ...]:
    name = row["subject"] + (", untouched" if row["memory"] == "untouched" else "")
    if row["status"] == "missing":
        return (name, f"{row['n']:,}", "not installed", "", "", "", "", "")
    share = [f"{row[of]:.0%}" if pd.notna(row[of]) else "" for of in ("of_matrix", "of_copy")]
    ratio = f"{row['ratio']:.3g}" if pd.notna(row["ratio"]) else ""
    low, high = (f"{1e3 * row[f'seconds_{end}']:.4g}" for end in ("low", "high"))
    return (
        name,
        f"{row['n']:,}",
        f"{1e3 * row['seconds']:.4g}",
        f"{low} to {high}",
        ratio,
        *share,
        f"{row['repetitions']:g}",
    )


def _table(head: tuple[str, ...], lines: Iterable[tuple[str, ...]]) -> str:
    rows = [head, tuple("---" for _ in head), *lines]
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)
