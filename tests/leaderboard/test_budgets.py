"""Evaluators with two budgets, on scores whose differences are known."""

from __future__ import annotations

import pytest
from made_up import scores_of

from leaderboard.evidence import Evidence
from leaderboard.exhibit import suite_results
from leaderboard.exhibits.budgets import budgets


def exhibits(store):
    return budgets(suite_results(store, scores_of(store)), ())


def test_differences_and_their_intervals(write):
    gains = {"p": 0.1, "q": 0.2, "r": 0.6}
    table = {}
    for problem, gain in gains.items():
        for seed, noise in ((0, -0.01), (1, 0.01)):
            table[problem, "game", seed] = {"f": 0.3 + noise}
            table[problem, "game-20s", seed] = {"f": 0.3 + gain + noise}
            table[problem, "other", seed] = {"f": 0.5}
    (exhibit,) = exhibits(write(table))
    (row,) = exhibit.table.to_dict("records")
    assert (row["task"], row["evaluator"], row["problems"]) == ("f", "game", 3)
    assert (row["score"], row["score_larger"], row["difference"]) == pytest.approx((0.3, 0.6, 0.3))
    # The standard deviation of 0.1, 0.2 and 0.6 is 0.2646; Student's t with two degrees of freedom reaches to 4.303.
    half = 4.303 * 0.2646 / 3**0.5
    assert (row["difference_ci_low"], row["difference_ci_high"]) == pytest.approx((0.3 - half, 0.3 + half), abs=1e-3)


def test_the_figure_has_a_line_for_each_pair(write):
    table = {("p", name, 0): {"f": score} for name, score in (("game", 0.2), ("game-20s", 0.4), ("other", 0.5))}
    (exhibit,) = exhibits(write(table))
    axis = exhibit.figures[""].axes[0]
    lines = {line.get_label(): line.get_ydata().tolist() for line in axis.get_lines()}
    assert (lines["game"], lines["other"]) == ([0.2, 0.4], [0.5, 0.5])  # its level goes on to the longest budget


def test_a_budget_alone_is_no_pair(write):
    assert exhibits(write({("p", name, 0): {"f": 0.2} for name in ("game-20s", "game-hard", "other")})) == []


def test_a_table_for_documents(write):
    scores = {"slow": (0.2, 0.3), "game": (0.3, 0.6)}
    table = {
        (problem, name + suffix, 0): {"f": score + 0.1 * (bool(suffix) and problem == "q")}
        for problem in "pq"
        for name, both in scores.items()
        for suffix, score in zip(("", "-20s"), both, strict=True)
    }
    evidence = Evidence(write(table).root)
    lines = evidence.budget_table("small", score="f").splitlines()
    assert lines[0] == "| evaluator | score | change | seconds | larger budget |"
    assert lines[2].startswith("| `game` | 0.30 | +0.350 [-0.285, 0.985] | 1.00 | 1.00 |")
    assert evidence.gains_with_time("small", "f") == evidence.loses_with_time("small", "f") == []


@pytest.mark.parametrize(("task", "gains", "loses"), [("f", ["game"], ["slow"]), ("loss", ["slow"], ["game"])])
def test_who_gains_with_time_depends_on_what_is_better(write, task, gains, loses):
    table = {
        (problem, name + suffix, 0): {task: 0.5 + 0.01 * number + change * bool(suffix)}
        for number, problem in enumerate("pqr")
        for name, change in (("game", 0.1 + 0.01 * number), ("slow", -0.1 - 0.01 * number))
        for suffix in ("", "-20s")
    }
    evidence = Evidence(write(table, (task,)).root)
    assert evidence.gains_with_time("small", task) == gains
    assert evidence.loses_with_time("small", task) == loses
