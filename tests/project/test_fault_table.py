"""The table of faults in docs/clusters.md has every fault in every way of computing, and names the tests of faults."""

from __future__ import annotations

import re
from itertools import product
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/clusters.md").read_text()
FAULTS = (
    "worker killed",
    "node killed",
    "disk full",
    "clock off by an hour",
    "two drivers at once",
    "network cut to the head",
)
WAYS = ("worker processes", "shared folder", "shards", "Ray", "SLURM")


def rows() -> list[list[str]]:
    table = PAGE.partition("<!-- faults: begin -->")[2].partition("<!-- faults: end -->")[0].strip().splitlines()
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in table[2:]]


def test_every_fault_is_there_once_in_every_way() -> None:
    assert [tuple(row[:2]) for row in rows()] == list(product(FAULTS, WAYS))


def test_every_row_names_tests_or_says_that_there_is_none() -> None:
    for *_, happens, tests in rows():
        assert happens
        assert tests == "no test" or all(re.fullmatch(r"`test_\w+`", name) for name in tests.split(", "))


def test_the_tests_of_faults_are_named() -> None:
    """That named tests exist is checked for all pages."""
    defined = re.findall(r"^def (test_\w+)", (ROOT / "tests/execution/test_faults.py").read_text(), re.MULTILINE)
    assert defined
    assert set(defined) <= set(re.findall(r"`(test_\w+)`", PAGE))
