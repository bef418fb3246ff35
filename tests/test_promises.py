"""The page of the promises says what ``pytest -m torture`` found, at the numbers that are promised."""

import shlex
import subprocess
import sys
from collections import Counter
from pathlib import Path
from types import SimpleNamespace

import pytest

from tests import promises

PAGE = Path(__file__).parent.parent / "docs" / "reliability.md"
LEAST = {1: 100, 2: 60, 3: 120, 4: 180, 5: 1000, 6: 20, 7: 100, 8: 17, 9: 300, 10: 1030}  # tried
LEAST |= {11: 20, 12: 60, 13: 10, 14: 1000, 15: 120}
TWINS = {1: 2, 2: 4, 3: 1, 4: 3, 5: 1, 6: 1, 7: 1, 8: 1, 9: 1, 10: 2, 11: 1, 12: 1, 13: 1, 14: 1, 15: 1}


def told(page):
    """row -> [tried, survived, twins caught] of the page."""
    lines = [line.strip("| ").split(" | ") for line in page.splitlines() if line.startswith("| ")]
    return {int(cells[0]): [cell.replace(",", "") for cell in cells[3:]] for cells in lines if cells[0].isdecimal()}


def test_the_page_has_every_promise_at_its_number_and_all_survived():
    page = PAGE.read_text(encoding="utf-8")
    found = told(page)
    assert set(found) == set(promises.ROWS) == set(LEAST)
    for row, (tried, survived, twins) in found.items():
        assert int(tried) >= LEAST[row], promises.ROWS[row]
        assert survived == tried
        assert twins == f"{TWINS[row]} of {TWINS[row]}"
    assert page.startswith(promises.HEAD)


def test_the_command_that_makes_the_page_is_understood():
    (line,) = (line for line in promises.HEAD.splitlines() if line.startswith("python -m pytest"))
    known = [sys.executable, *shlex.split(line)[1:], "--markers"]  # reads all options and stops
    done = subprocess.run(known, cwd=PAGE.parents[1], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    "counts",
    [(100, 99, 0, 0), (100, 100, 2, 1), (0, 0, 0, 0)],
    ids=["one lost", "a twin not caught", "nothing tried"],
)
def test_a_promise_that_is_not_kept_is_an_error(counts):
    with pytest.raises(AssertionError):
        promises.record(lambda *_: None, 1, **dict(zip(promises.COUNTS, counts, strict=True)))


def test_the_table_adds_what_all_tests_tried():
    def report(row, when="call", **counts):
        kept = []
        promises.record(lambda *pair: kept.append(pair), row, **dict.fromkeys(promises.COUNTS, 0) | counts)
        return SimpleNamespace(user_properties=kept, when=when)

    reports = [report(6, tried=9, survived=9), report(1, tried=1, survived=1), report(6, twins=1, caught=1)]
    reports += [report(6, "teardown", tried=9, survived=9), SimpleNamespace()]  # said once more; a warning
    found = promises.gathered(reports)
    assert told(promises.table(found)) == {1: ["1", "1", "-"], 6: ["9", "9", "1 of 1"]}


def test_a_row_that_was_not_tried_stays():
    page = promises.table({1: Counter(tried=9, survived=9), 6: Counter(tried=5, survived=5)})
    again = promises.table({6: Counter(tried=7, survived=6)}, page)
    assert told(again) == {1: ["9", "9", "-"], 6: ["7", "6", "-"]}
