"""What comes out of a comparison: a row for each entry, with the machine it was measured on."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from importlib import metadata

import numpy as np

from harness import config, identity
from harness.bench.cases import COPY, MATRIX, PEERS, Comparison, Entry
from harness.bench.race import Timing, race
from harness.store import Json

MACHINE = "cpu threads torch numpy python transformers x_transformers commit dirty quick".split()
MEASURES = (
    "family case subject memory width n batch seconds seconds_low seconds_high repetitions calls "
    "ratio ratio_low ratio_high flops of_matrix bytes of_copy status"
).split()
COLUMNS = [*MEASURES, *MACHINE]
INSTALL = "pip install -e '.[bench]'"


@dataclass(frozen=True)
class Quartiles:
    """The median of some numbers and what half of them lie between."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Sequence[float]) -> "Quartiles":
        """Of at least one number."""
        low, median, high = np.percentile(values, (25, 50, 75)).tolist()
        return cls(median, low, high)


def machine(quick: bool) -> Json:
    """The columns that are the same in every row of a run: what the numbers depend on besides what was timed."""
    (some,) = config.points(["task=parity"])
    known = identity.fingerprint(some) | {peer: _version(peer) for peer in PEERS.values()} | {"quick": quick}
    return {name: known[name] for name in MACHINE}


def missing(comparison: Comparison) -> list[str]:
    """The peers of a comparison that are not installed."""
    return list(dict.fromkeys(entry.subject.name for entry in comparison.entries if not entry.subject.there))


def measured(comparison: Comparison, tick: Callable[[], object] = lambda: None) -> list[Json]:
    """Time a comparison: a row for each entry, those of a peer that is not installed without numbers."""
    there = [entry for entry in comparison.entries if entry.subject.there]
    timings = race([(entry.subject, entry.arguments) for entry in there], comparison.effort, tick)
    return list(told(comparison, dict(zip(there, timings, strict=True))))


def told(comparison: Comparison, timings: dict[Entry, Timing]) -> Iterator[Json]:
    """A row for each entry of a comparison; one without a timing has the status *missing*.

    ``ratio`` is the median, over the rounds that both took part in, of the seconds of an entry over those of the
    reference in the same round. ``of_matrix`` and ``of_copy`` are shares of the best rates of this comparison's
    ceilings.
    """
    medians = {entry: Quartiles.of(timing.seconds).median for entry, timing in timings.items()}
    product, copied = (_best(medians, name, work) for name, work in ((MATRIX, "flops"), (COPY, "bytes")))
    references = {entry.n: timings[entry] for entry in reversed(timings) if entry.name == comparison.reference}
    for entry in comparison.entries:
        about = {
            "family": comparison.family, "case": comparison.case, "subject": entry.name,
            "memory": "kept" if entry.subject.kept else "untouched", "width": entry.width, "n": entry.n,
            "batch": entry.batch, "flops": entry.flops, "bytes": entry.bytes, "status": "missing",
        }  # fmt: skip
        if entry in timings:
            timing, reference = timings[entry], references.get(entry.n)
            about |= _spread("seconds", timing.seconds)
            about |= {"status": "measured", "repetitions": len(timing.seconds), "calls": timing.calls}
            about["of_matrix"] = entry.flops / medians[entry] / product if entry.flops and product else None
            about["of_copy"] = entry.bytes / medians[entry] / copied if entry.bytes and copied else None
            if reference and entry.name not in (MATRIX, COPY):
                pairs = zip(timing.seconds, reference.seconds, strict=False)  # the longer took part in more rounds
                about |= _spread("ratio", [own / other for own, other in pairs])
        yield {name: about.get(name) for name in MEASURES}


def _best(medians: dict[Entry, float], name: str, work: str) -> float | None:
    rates = [getattr(entry, work) / seconds for entry, seconds in medians.items() if entry.name == name]
    return max(rates, default=None)


def _spread(name: str, values: Sequence[float]) -> Json:
    found = Quartiles.of(values)
    return {name: found.median, f"{name}_low": found.low, f"{name}_high": found.high}


def _version(package: str) -> str | None:
    """Of an installed package, by the name it is imported under."""
    try:
        return metadata.version(package.replace("_", "-"))
    except metadata.PackageNotFoundError:
        return None


def lines(rows: Sequence[Json]) -> list[str]:
    """One comparison for a terminal: who, how long, against the reference, of the ceilings."""
    (first, *_), table = rows, []
    width = f", width {first['width']}" if first["width"] else ""
    table.append(f"{first['family']}: {first['case']}{width}")
    for row in rows:
        name = f"{row['subject']}{', untouched memory' if row['memory'] == 'untouched' else ''} n={row['n']}"
        if row["status"] == "missing":
            table.append(f"  {name:<42} not installed: {INSTALL}")
            continue
        spread = f"{1e3 * row['seconds']:>10.4g} ms [{1e3 * row['seconds_low']:.4g}, {1e3 * row['seconds_high']:.4g}]"
        more = [f"{row['ratio']:.3g} of the reference"] if row["ratio"] is not None else []
        more += [f"{row[of]:.0%} of {of[3:]}" for of in ("of_matrix", "of_copy") if row[of] is not None]
        table.append(f"  {name:<42} {spread:<34} {', '.join(more)}")
    return table
