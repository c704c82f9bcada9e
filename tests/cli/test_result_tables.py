"""Tables of numbers at any width: every number that is shown is whole, and columns that are not shown are named."""

from __future__ import annotations

import io
from itertools import pairwise

import pytest
from rich.console import Console

from dvbench.console import number_table

HEADERS = [
    "evaluator", "rank", "noisy label detection ↑", "point removal ↑", "rank stability ↑", "noisy feature detection ↑",
    "retrained agreement ↓", "sec", "failed", "missing",
]  # fmt: skip
ROWS = [
    ["partial_unlearning_shapley", "1.5", "0.81", "-0.22", "1.00", "0.77*", "-0.03", "1234.5", "0", "12"],
    ["knn_shapley", "12.0", "-0.22", "0.09", "-0.46*", "0.50", "0.11", "0.1", "3", "0"],
    ["my.very.long.module.name.of.somebody.MyEvaluator", "20.5", "-", "", "-1.00", "0.12", "-0.98", "17.0", "0", "0"],
]
IMPORTANT = ["evaluator", "rank", "failed", "missing"]


def printed(width: int, rows: list[list[str]]) -> tuple[list[str], list[str]]:
    """Lines of the table without those of its header, and the headers that are left out."""
    console = Console(file=io.StringIO(), width=width, color_system=None)
    left_out = number_table(HEADERS, rows, IMPORTANT, console)
    lines = console.file.getvalue().splitlines()
    assert all(len(line) <= width for line in lines)
    return lines, left_out


@pytest.mark.parametrize("width", [40, 60, 80, 100, 120, 200])
def test_every_number_is_whole(width: int) -> None:
    lines, left_out = printed(width, ROWS)
    words = " ".join(lines).split()
    for row in ROWS:
        for header, number in list(zip(HEADERS, row, strict=True))[1:]:
            if header not in left_out and number:
                assert number in words, (width, header, number)
    assert not {"evaluator", "rank"} & set(left_out)


def test_columns_are_left_out_from_the_last_one_and_the_important_ones_stay() -> None:
    left_out = [printed(width, ROWS)[1] for width in (200, 120, 100, 80, 60)]
    assert left_out[0] == []
    others = [header for header in HEADERS if header not in IMPORTANT]
    assert left_out[3]
    assert left_out[3] == others[-len(left_out[3]) :]
    for wider, narrower in pairwise(left_out):
        assert set(wider) <= set(narrower)


def test_a_name_that_fits_is_not_folded() -> None:
    lines, _ = printed(60, ROWS[:2])
    assert any(line.startswith("partial_unlearning_shapley ") for line in lines)


def test_a_run_says_which_columns_are_not_shown(dvbench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dvbench.console.out", Console(width=30, color_system=None))
    said = dvbench("run", "tiny.toml", "--jobs", 0, "--seeds", 0)
    assert "1 column did not fit here and can be found in runs/leaderboard/tiny.md: sec\n" in (said.out)
