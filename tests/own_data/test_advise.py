"""`dvbench advise`: planted tables where one evaluator is right, or none is, budgets, and what is refused."""

from __future__ import annotations

import math
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from made_up_boards import BOARD, FAST, Lines, a_table, row

import dvbench
from dvbench.cli import main
from dvbench.errors import UserError
from dvbench.own_data import advise
from dvbench.own_data.advise import Candidate, advise_table, candidates, conclude
from dvbench.own_data.nearest import label_noise, nearest
from dvbench.own_data.pilot import Trial, _Measure, choice_of
from dvbench.results import published_gains as table
from dvbench.results.published_gains import published_gains, write_gains
from dvbench.tables.reading import read_arrays
from leaderboard.published_gains import gains_of_results

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
def test_the_evaluator_that_finds_planted_noise_is_advised():
    said = Lines()
    advice = advise_table(a_table(), "find", 60.0, BOARD, 0, said)
    assert advice.evaluator == "knn_shapley"
    assert advice.low > 0.3
    assert advice.gains["hardness_shapley"].mean() < 0
    assert any(line.startswith("near: p of s") for line in said)
    assert advice.lines[-1].startswith("advice: knn_shapley, because it gains most")


@pytest.mark.slow
def test_where_labels_mean_nothing_the_advice_is_none():
    advice = advise_table(a_table(separable=False), "find", 60.0, BOARD, 0, Lines())
    assert advice.evaluator is None
    assert advice.lines[-1].endswith("random values may do as well")


@pytest.mark.slow
@pytest.mark.parametrize("goal", ["select", "pay"])
def test_other_goals_have_pilots_too(goal):
    advice = advise_table(a_table(), goal, 60.0, [row("knn_shapley", 0.4, goal=goal)], 0, Lines())
    assert len(advice.gains["knn_shapley"]) >= 4
    assert np.isfinite(advice.low)


def test_kept_rows_are_compared_with_as_many_random_ones():
    """A model of rows is worth the mean of theirs, of 120 training rows: 0 to 119. Nothing is flipped."""
    measure = _Measure(a_table(), "select", 0, 0)
    worth = np.random.default_rng(0).permutation(120).astype(float)
    sizes = []

    def retrain(coalitions):
        sizes.extend(map(len, coalitions))
        return np.array([worth[rows].mean() for rows in coalitions])

    measure._retrain = retrain
    right, wrong, guessed = (measure._kept(values) for values in (worth, -worth, np.random.default_rng(1).random(120)))
    assert set(sizes) == {12, 36, 60}
    assert right + wrong == pytest.approx(2 * (59.5 - (np.mean([113.5, 101.5, 89.5]) - right)))  # 59.5: of all rows
    assert 30 < right < 55
    assert abs(guessed) < 12
    assert not measure.problem.corrupted.any()
    assert _Measure(a_table(), "find", 0, 0).problem.corrupted.sum() == 24


def test_the_cheapest_of_those_that_cannot_be_told_apart_is_advised():
    chosen = [Candidate("dear", 0.4, 1.0, 50.0), Candidate("cheap", 0.3, 0.1, 5.0), Candidate("bad", 0.2, 0.1, 1.0)]
    wave = np.array([0.02, -0.02] * 4)
    gains = {"dear": 0.301 + wave, "cheap": 0.3 - wave, "bad": 0.1 + wave}
    advice = conclude("find", chosen, gains)
    assert advice.evaluator == "cheap"
    assert "cannot be told from dear" in advice.lines[-1]
    gains["cheap"] = gains["cheap"] - 0.1
    assert conclude("find", chosen, gains).evaluator == "dear"


def test_a_lower_gain_is_not_preferred_for_less_than_ten_seconds():
    wave = np.array([0.02, -0.02] * 4)
    gains = {"best": 0.301 + wave, "quick": 0.3 - wave}
    for seconds, advised in ((10.5, "best"), (11.5, "quick")):
        chosen = [Candidate("quick", 0.3, 0.1, 1.0), Candidate("best", 0.4, 0.2, seconds)]
        assert conclude("pay", chosen, gains).evaluator == advised


def test_the_column_of_the_providers_is_no_feature(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    frame = pd.DataFrame({"x": np.arange(80) * 1.7, "who": list("abcd") * 20, "kind": list("uuvv") * 20})
    frame.to_csv("mine.csv", index=False)
    seen = []

    def stop(table, *_):
        seen.append((list(table.encoders), len(np.unique(table.source.groups))))
        raise UserError("enough")

    monkeypatch.setattr(advise, "advise_table", stop)
    asked = ["--label", "kind", "--goal", "pay", "--group", "who", "--valid", "mine.csv"]
    assert main(["advise", "mine.csv", *asked]) == 2
    with pytest.raises(UserError, match="enough"):
        dvbench.advise(frame, label="kind", goal="pay", groups="who")
    with pytest.raises(UserError, match="no column"):
        dvbench.advise(frame, label="kind", goal="pay", groups="whose")
    assert seen == [(["x"], 4)] * 2


def test_all_rows_are_valued_by_as_many_providers_as_there_are():
    """The pilot has ten; Partial Unlearning Shapley unlearns one after the other."""
    board = [row("partial_unlearning_shapley", 0.5, goal="pay"), row("data_shapley", 0.4, goal="pay")]

    def whole(count: int) -> dict[str, float]:
        table = a_table(n=600)
        groups = np.arange(600) % count
        table = replace(table, group="who", source=replace(table.source, groups=groups))
        found = candidates(table, "pay", 1e6, nearest(table, "pay", board), board)
        assert len({each.pilot for each in found}) == 2
        return {each.name: each.whole for each in found}

    few, many = whole(10), whole(200)
    assert many["partial_unlearning_shapley"] > 5 * few["partial_unlearning_shapley"]


def test_a_pilot_of_providers_has_the_settings_of_value():
    """Ten providers are few enough for exact values."""
    assert choice_of(a_table(), "pay", "data_shapley").settings.params == {"permutations": 114}
    assert choice_of(a_table(), "pay", "data_shapley", 200).settings.params == {"permutations": 21}
    assert choice_of(a_table(), "find", "data_shapley").settings.params == {}


def test_cheap_candidates_come_before_dear_ones_that_gain_more(monkeypatch):
    """With 100 s, four repeats of 20 s leave no time for another dear one, but for all cheap ones."""
    seconds = {"dear": 20.0, "dearer": 24.0, "middle": 2.0, "cheap": 0.1, "cheaper": 0.01}
    monkeypatch.setattr(advise, "_seconds", lambda table, goal, name, *_: seconds[name])
    board = [row(name, 0.5 - 0.01 * place) for place, name in enumerate(seconds)]
    table = a_table()
    found = [each.name for each in candidates(table, "find", 100.0, nearest(table, "find", board), board)]
    assert found == ["dear", "middle", "cheap", "cheaper"]


def test_a_cheap_one_is_tried_even_if_it_gained_nothing_elsewhere(monkeypatch):
    monkeypatch.setattr(advise, "_seconds", lambda table, goal, name, *_: {"a": 1.0, "b": 2.0, "c": 0.1}.get(name, 0))
    board = [row("a", 0.1), row("b", -0.1), row("c", -0.2), row("random", 0.0)]
    table = a_table()
    found = candidates(table, "find", 20.0, nearest(table, "find", board), board)
    assert [each.name for each in found] == ["a", "c"]


def test_who_gains_nothing_is_not_advised():
    gains = {"a": np.array([0.1, -0.1, 0.05, -0.04]), "b": np.full(4, -0.2)}
    chosen = [Candidate("a", 0.4, 1.0, 50.0), Candidate("b", 0.3, 0.1, 5.0)]
    for goal, words in (("find", "random values"), ("select", "random rows"), ("pay", "paying all alike")):
        advice = conclude(goal, chosen, gains)
        assert advice.evaluator is None
        assert words in advice.lines[-1]


def test_the_nearest_problems_are_those_of_like_size():
    board = [row("knn_shapley", 0.4, "tiny", 20), row("knn_shapley", 0.4, "like", 210), row("a", 1, "huge", 10**6)]
    found = nearest(a_table(), "find", board)
    assert [problem for (_, problem), _, _ in found] == ["like", "tiny", "huge"]
    assert [gap for _, gap, _ in found] == sorted(gap for _, gap, _ in found)
    with pytest.raises(UserError, match=r"no suite .* goal 'pay'"):
        nearest(a_table(), "pay", board)


def test_problems_of_boards_count_before_those_of_smaller_suites():
    like, far = row("a", 0.4, "like", 200), row("a", 0.4, "far", 10_000)
    small, board = replace(like, suite="quick"), replace(far, suite="board-points")
    assert [names for names, _, _ in nearest(a_table(), "find", [small, board])] == [("board-points", "far")]
    assert [names for names, _, _ in nearest(a_table(), "find", [small])] == [("quick", "like")]
    others = [replace(board, goal="pay"), small]
    assert [names for names, _, _ in nearest(a_table(), "find", others)] == [("quick", "like")]
    said = Lines()
    with pytest.raises(UserError, match="too small"):
        advise_table(
            a_table(), "find", 1e-6, [replace(row(FAST[0], 0.4), suite=name) for name in ("quick", "board-x")], 0, said
        )
    assert "left out: problems of quick, because larger boards have the goal 'find'" in said
    assert not any(line.startswith("near: p of quick") for line in said)


def test_nothing_is_left_out_silently_where_there_is_no_board():
    said = Lines()
    with pytest.raises(UserError, match="too small"):
        advise_table(a_table(), "find", 1e-6, BOARD, 0, said)
    assert not any(line.startswith("left out") for line in said)


def test_wrong_labels_are_estimated():
    assert label_noise(a_table()) < 0.02
    assert label_noise(a_table(flipped=40)) == pytest.approx(0.2, abs=0.05)


def test_candidates_fit_the_budget_and_gain_something():
    table, near = a_table(), nearest(a_table(), "find", BOARD)
    board = [*BOARD, row("random", 0.0), row("data_shapley", 0.45), row("not_measured", 0.5)]
    names = [each.name for each in candidates(table, "find", 1e6, near, [*board[:-1]])]
    assert names == ["data_shapley", *FAST]
    assert "data_shapley" not in [each.name for each in candidates(table, "find", 2.0, near, board[:-1])]
    with pytest.raises(UserError, match=r"--budget 1e-05 s is too small: .* is expected to need"):
        candidates(table, "find", 1e-5, near, BOARD)
    with pytest.raises(UserError, match="no evaluator with known costs gained more"):
        candidates(table, "find", 2.0, near, [row("data_shapley", -0.1)])
    assert [each.name for each in candidates(table, "find", 1e6, near, [row("knn_shapley", -0.1)])] == ["knn_shapley"]


def test_expected_seconds_are_corrected_by_the_pilot():
    corrected = advise._measured(Candidate("a", 0.4, 0.5, 10.0), Trial([0.1] * 4, [9.0, 2.0, 2.0, 2.0]))
    assert (corrected.pilot, corrected.whole) == (2.0, 40.0)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--goal", "find", "--label", "x"], "'dvbench value' values the rows of a regression"),
        (["--goal", "find", "--label", "kind", "--budget", "soon"], "a time is a number with a unit"),
        (["--goal", "find", "--label", "kind", "--results", "nowhere"], "there is no results folder"),
        (["--goal", "find", "--label", "kin"], "kin"),
        (["--goal", "fun", "--label", "kind"], "fun"),
        (["--label", "kind"], "--goal"),
    ],
)
def test_mistakes_end_in_one_line(tmp_path, capsys, monkeypatch, words, message):
    monkeypatch.chdir(tmp_path)
    frame = pd.DataFrame({"x": np.arange(80) * 1.7, "kind": ["a", "b"] * 40})
    frame.to_csv("mine.csv", index=False)
    assert main(["advise", "mine.csv", *words]) == 2
    error = capsys.readouterr().err.strip()
    assert message in " ".join(error.split())
    assert "Traceback" not in error


@pytest.fixture
def planted(tmp_path, monkeypatch):
    """A table file in the working folder, and boards of fast evaluators."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("leaderboard.published_gains.published_gains", lambda: BOARD)
    rng = np.random.default_rng(0)
    y = np.arange(150) % 2
    frame = pd.DataFrame({"x": rng.normal(size=150) + 4 * y, "noise": rng.normal(size=150), "kind": y})
    frame.to_csv("mine.csv", index=False)
    return frame


@pytest.mark.slow
def test_the_function_does_what_the_command_does(planted, capsys):
    asked = ["--label", "kind", "--goal", "find", "--budget", "20s", "--drop", "noise", "--as", "x=number"]
    assert main(["advise", "mine.csv", *asked]) == 0
    said = capsys.readouterr().out
    advice = dvbench.advise("mine.csv", label="kind", goal="find", budget=20, drop=["noise"], types={"x": "number"})
    assert capsys.readouterr() == ("", "")
    assert advice.evaluator == "knn_shapley"
    assert advice.label == "kind"
    understood = "classification by column 'kind'"
    assert understood in said
    assert advice.understood[0].startswith(understood)
    assert "--kind" not in advice.summary()
    assert repr(advice) == advice.summary()
    assert advice.summary().endswith(advice.lines[-1])
    command = "dvbench value mine.csv --label kind --evaluator knn_shapley --drop noise --as x=number"
    assert command in " ".join(said.split())
    frame = dvbench.advise(planted, label="kind", goal="find", budget=20, drop=["noise"])
    arrays = dvbench.advise(planted[["x"]].to_numpy(), planted["kind"].to_numpy(), goal="find", budget=20)
    assert frame.gain == pytest.approx(advice.gain, abs=0.05)
    assert arrays.evaluator == advice.evaluator


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"goal": "fun"}, "`goal` is find, select, pay, not 'fun'"),
        ({"goal": ["find"]}, "`goal` is find, select, pay, not"),
        ({"budget": 0}, "`budget` is a time above 0, not 0"),
        ({"budget": math.nan}, "`budget` is a time above 0, not nan"),
        ({"budget": math.inf}, "`budget` is a time above 0, not inf"),
        ({"budget": "10min"}, "`budget` is a time above 0, not '10min'"),
        ({"budget": True}, "`budget` is a time above 0, not True"),
        ({"seed": -1}, "seed must be a whole number"),
        ({"label": "x"}, "dvbench.value values the rows of a regression"),
        ({"results": "nowhere"}, "there is no results folder"),
    ],
)
def test_errors_name_the_arguments_of_the_function(planted, arguments, message):
    with pytest.raises(UserError, match=re.escape(message)) as raised:
        dvbench.advise("mine.csv", **{"label": "kind", "goal": "find"} | arguments)
    assert "--" not in str(raised.value)


def test_targets_of_a_regression_are_refused(tmp_path, monkeypatch, capsys):
    """Prices that repeat are no classes."""
    monkeypatch.chdir(tmp_path)
    pd.DataFrame({"x": np.arange(200) * 0.7, "price": np.arange(200) % 60 + 0.5}).to_csv("mine.csv", index=False)
    assert main(["advise", "mine.csv", "--label", "price", "--goal", "find"]) == 2
    assert "'price' is a number: 'dvbench value' values the rows of a regression" in " ".join(
        capsys.readouterr().err.split()
    )
    with pytest.raises(UserError, match=r"'price' is a number: dvbench\.value values"):
        dvbench.advise("mine.csv", label="price", goal="find")


def test_intervals_stay_within_the_range_of_the_gain():
    wide = {"a": np.array([0.5, 0.5, 0.5, 0.1])}
    chosen = [Candidate("a", 0.4, 1.0, 50.0)]
    assert (conclude("find", chosen, wide).high, conclude("select", chosen, wide).high > 0.5) == (0.5, True)


def test_a_pilot_that_is_too_easy_is_said():
    """Nearly all labels are equal, so a flipped one is found by its class."""
    y = np.arange(200) // 195
    table = read_arrays(np.random.default_rng(0).normal(size=(200, 2)), y)
    (line,) = advise.imbalance(table, "find")
    assert line.startswith("note: 98% of the rows have the label '0'")
    assert advise.imbalance(table, "select") == advise.imbalance(a_table(), "find") == []


def test_few_rows_are_refused():
    with pytest.raises(UserError, match="59 rows are too few"):
        advise_table(a_table(n=59), "find", 60.0, BOARD, 0, Lines())


@pytest.mark.slow
def test_the_table_that_comes_with_dvbench_is_that_of_the_published_results(tmp_path):
    """If not: ``python tests/benchmarks/advice_tables.py results``."""
    known = {row.dataset: (row.features, row.classes) for row in published_gains()}
    made = gains_of_results(ROOT / "results", known)
    assert tuple(made) == published_gains()
    write_gains(made, tmp_path / "published_gains.csv")
    assert (tmp_path / "published_gains.csv").read_bytes() == table.TABLE.read_bytes()
    assert {row.goal for row in made} == {"find", "select", "pay"}
    assert all(math.isfinite(row.gain) and row.seconds >= 0 and row.rows > 0 for row in made)
