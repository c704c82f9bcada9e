"""Views by goal: which tasks belong to which, and that their numbers are those of these tasks alone."""

from __future__ import annotations

from typing import get_args

import pytest
from made_up import a_score, scores_of

from dvbench.registry import entries
from dvbench.scoring.contract import task
from dvbench.settings import Goal
from leaderboard import markdown
from leaderboard.build import build
from leaderboard.drawing import svg
from leaderboard.exhibits import exhibits
from leaderboard.goal_tables import _gain_entry, goal_tables, probability
from leaderboard.goals import IN_WORDS, goal_of, goal_view, suite_goals
from leaderboard.statistics import suite_statistics
from leaderboard.tables import suite_tables

FIND, SELECT = ("noisy_label_detection", "auroc"), ("point_addition", "kept_against_random")


@pytest.fixture
def suite(write):
    """A finds wrong labels, B selects; seven problems with two seeds."""
    quality = {"A": (0.9, 0.1), "B": (0.6, 0.3), "random": (0.5, 0.0), "Mine": (0.7, None)}
    table = {
        (f"p{p}", name, seed): {
            FIND[0]: a_score(find + 0.001 * seed, FIND[1]),
            SELECT[0]: a_score(select, SELECT[1], error=None if select is not None else "no luck"),
        }
        for p in range(7)
        for name, (find, select) in quality.items()
        for seed in (0, 1)
    }
    return write(table, (FIND[0], SELECT[0]))


def test_every_task_of_dvbench_states_its_goal():
    stated = {name: entry.definition.metadata.get("goal") for name, entry in entries("tasks").items()}
    assert set(stated.values()) == set(get_args(Goal)) == set(IN_WORDS)
    assert {name: goal_of(name) for name in stated} == stated
    judging = {name for name, entry in entries("tasks").items() if entry.definition.metadata.get("judges_unlearning")}
    assert {name for name, goal in stated.items() if goal == "unlearn"} == judging
    assert goal_of("a_task_of_nobody") == "check"


def test_a_task_with_an_unknown_goal_is_refused():
    with pytest.raises(ValueError, match=r"find or select .* not 'fnid'"):
        task(version=1, headline="f", higher_is_better=True, goal="fnid")(lambda *_: None)


def test_each_goal_ranks_by_its_own_tasks(suite):
    scores = scores_of(suite)
    assert suite_goals(scores) == ["find", "select"]
    find, select = (goal_view(scores, goal) for goal in ("find", "select"))
    assert find.table["evaluator"].tolist() == ["A", "Mine", "B", "random"]
    assert select.table["evaluator"].tolist() == ["B", "A", "Mine", "random"]
    assert find.tasks == {"noisy_label_detection": ("auroc", True)}
    rows = find.table.set_index("evaluator")
    assert rows.loc["A", "noisy_label_detection"] == pytest.approx(0.9005)
    assert rows.loc["A", "gain"] == pytest.approx(0.4)
    assert rows.loc["A", "tier"] == 1
    assert rows.loc["B", "tier"] > 1
    assert rows.loc["A", "seconds"] == pytest.approx(1.5)
    assert find.problems == 7
    with pytest.raises(ValueError, match="no score for the goal pay"):
        goal_view(scores, "pay")


def test_a_mean_that_lacks_a_problem_is_not_shown(suite):
    rows = goal_view(scores_of(suite), "select").table.set_index("evaluator")
    assert rows["point_addition"].isna().to_dict() == {"A": False, "B": False, "random": False, "Mine": True}


def test_tables_say_what_is_not_better_than_random(suite):
    find, select = goal_tables(scores_of(suite))
    header = ["evaluator", "tier", "rank", "noisy_label_detection", "gain", "share of the best", "seconds", "front"]
    assert [entry.text for entry in find.table.header] == header
    rows = {row[0].text: row for row in select.table.rows}
    assert rows["B"][4].text == "+0.300 [0.300, 0.300]"
    assert rows["B"][4].note == ""
    assert rows["Mine"][4].note == "not shown to be better than random"
    assert rows["B"][5].text == "100%"
    assert rows["random"][0].note == "random"
    assert find.separable == (
        "2 of 2 neighbouring ranks are separable. Evaluators further apart can differ: the first of a tier is worse "
        "than the first of the one before."
    )


@pytest.mark.parametrize(
    ("low", "high", "note"),
    [(0.1, 0.3, ""), (-0.1, 0.3, "not shown to be better than random"), (-0.3, -0.1, "worse than random")],
)
def test_what_is_said_of_a_gain(low, high, note):
    row = {"role": "", "gain": (low + high) / 2, "gain_low": low, "gain_high": high, "n_ok": 2, "n_missing": 2}
    assert _gain_entry(row).note == note
    few = _gain_entry(row | {"n_ok": 1})  # what is missing counts as the worst, so its gain would be made up
    assert (few.text, few.note) == ("", "most cells are missing")


def test_pages_show_each_goal(suite, tmp_path):
    scores = scores_of(suite)
    text = markdown.render(*both(scores))
    assert "## find: find wrong labels" in text
    build(suite.root, tmp_path / "site")
    page = (tmp_path / "site/small/index.html").read_text()
    assert 'id="goal-find"' in page
    assert 'id="goal-pay"' not in page


def test_the_figure_labels_the_front_alone_and_does_not_depend_on_the_machine(suite):
    drawn = [next(each for each in exhibits(suite, scores_of(suite)) if each.name == "pareto_front") for _ in range(2)]
    axes = [axis for axis in drawn[0].figures[""].axes if axis.get_visible()]
    assert [axis.get_title().split()[0] for axis in axes] == ["Find", "Select"]
    assert [[text.get_text() for text in axis.texts] for axis in axes] == [["A >0.99"], ["B >0.99"]]
    for axis in axes:
        grey = [line for line in axis.lines if line.get_marker() == "o" and line.get_color() == "0.7"]
        assert len(grey) == 2
    assert svg(drawn[0].figures[""]) == svg(drawn[1].figures[""])
    table = drawn[0].table
    assert table.loc[table["goal"] == "find", "evaluator"].tolist() == ["A", "Mine", "B", "random"]


def both(scores):
    return suite_tables(scores, suite_statistics(scores)), goal_tables(scores)


@pytest.mark.parametrize(("value", "text"), [(0.0, "<0.01"), (1.0, ">0.99"), (0.25, "0.25"), (float("nan"), "")])
def test_a_probability_that_was_drawn_is_never_certain(value, text):
    assert probability(value) == text
