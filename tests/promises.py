"""The promises: what is tried against each, and how it ended, gathered from all tests into one table.

A test marked ``torture`` asks for ``times`` and ``promise``: ``times(100)`` is 100 under ``pytest -m torture`` and a
tenth of it otherwise; ``promise(row, tried, survived, twins, caught)`` holds that all survived and that every broken
twin was caught, and adds both to the table, which is printed at the end and written to a page by ``--promises=PAGE``.
"""

import json
from collections import Counter
from pathlib import Path

ROWS = {
    1: ("kill -9 at any moment", "kills; every run ends with the bits of an undisturbed one"),
    2: (
        "kill at a chosen write",
        "moments of a write, states of a run; the old bytes or the new ones, and it goes on",
    ),
    3: ("a signal with grace", "signals, in six phases; a verified checkpoint within 5 s, the same bits after it"),
    4: (
        "disk full, read-only, short write",
        "failures at each call of a write, each write of a run and of every verb; told, nothing lost",
    ),
    5: ("a changed file", "bit flips, cuts, zeros, swaps over every kind of file of a run; noticed, the file named"),
    6: ("two processes, one run", "races of eight processes; one runs, seven say who"),
    7: ("NaN", "injections into loss, gradient and weights; stopped at that update, marked"),
    8: ("a run dies", "other runs of the sweep; all done, the dead one listed with its reason"),
    9: ("bad config", "mistyped lines; exit 2 within 2 s, one line, no folder"),
    10: ("a stranger's folder", "attacks, and files changed by chance; read or refused in words, nothing in them run"),
    11: ("the report as a carrier", "words of a hostile record; text of the page, which loads nothing"),
    12: ("the same sweep twice at once", "runs; trained by one process each"),
    13: ("Ctrl-C in a sweep", "interrupts; gone within 5 s, no process left, finished by the same command"),
    14: ("thousands of runs", "records, one in a hundred damaged; counted exactly, the bad ones named, in seconds"),
    15: ("a cluster", "points on SLURM, on two hosts, some killed, preempted, lost; the bits of launcher=local"),
}
COUNTS = ("tried", "survived", "twins", "caught")
HEAD = """\
# What survives what

Each promise is tried by tests that are marked `torture`: `pytest -m torture` at the numbers below, every other run of
the tests at a tenth of them. A *broken twin* is a deliberately wrong implementation that the same test has to catch.
The table is generated, on one machine with two cores, by

```bash
python -m pytest -m torture --promises=docs/reliability.md
```

A row stays as it is when only tests of others are named there. Row 15 is three sweeps of 40 points: on SLURM
without accounting, with it, and on two hosts that share a folder.

"""


def record(properties, row, **counts):
    """Note what a test tried."""
    properties("promise", json.dumps({"row": row} | counts))
    assert counts["survived"] == counts["tried"], f"{ROWS[row][0]}: {counts}"
    assert counts["caught"] == counts["twins"], f"{ROWS[row][0]}: {counts}"
    assert counts["tried"] or counts["twins"]


def gathered(reports):
    """row -> counts, over the reports of all tests."""
    found = {}
    for report in reports:
        for name, value in getattr(report, "user_properties", ()):
            if name == "promise" and report.when == "call":
                counts = json.loads(value)
                found.setdefault(counts["row"], Counter()).update({key: int(counts[key]) for key in COUNTS})
    return dict(sorted(found.items()))


def table(found, there=""):
    """The promises as Markdown; a row that was not tried stays as it is ``there``."""
    lines = ["| # | hazard | what is tried and what is held | tried | survived | twins caught |", "| --- " * 6 + "|"]
    stay = {int(line.split()[1]): line for line in there.splitlines() if line.startswith("| ") and line[2].isdecimal()}
    for row in sorted({*found, *(stay.keys() & ROWS.keys())}):
        if row not in found:
            lines.append(stay[row])
            continue
        counts = found[row]
        caught = f"{counts['caught']} of {counts['twins']}" if counts["twins"] else "-"
        lines.append(f"| {row} | {' | '.join(ROWS[row])} | {counts['tried']:,} | {counts['survived']:,} | {caught} |")
    return "\n".join(lines) + "\n"


def write(page, found):
    """The page of the promises."""
    page = Path(page)
    there = page.read_text(encoding="utf-8") if page.exists() else ""
    page.write_text(HEAD + table(found, there), encoding="utf-8")
