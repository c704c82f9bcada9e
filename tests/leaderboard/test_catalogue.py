"""The pages about methods, tasks and data sets, which unite all suites."""

from __future__ import annotations

import inspect
import math
import re

import pytest
from made_up import a_score

import dvbench
from dvbench.registry import entries
from leaderboard.build import build
from leaderboard.descriptions import describe
from leaderboard.site.catalogue import costs, goals_of, judgement, usage
from leaderboard.site.data_set_titles import data_set_description
from leaderboard.site.digests import Digest
from leaderboard.wording import METHODS, said_of

NAMED = [(kind, name) for kind in (*METHODS, "tasks", "datasets") for name in entries(kind)]


@pytest.fixture
def site(write, tmp_path):
    values = {"A": 0.9, "B": 0.8, "C": 0.7, "D": 0.1, "random": 0.5}
    table = {(f"p{p}", name, 0): {"f": value} for p in range(6) for name, value in values.items()}
    write(table, suite="first")
    table = {("digits", name, 0): {"f": 1 - value, "g": a_score(value)} for name, value in values.items()}
    store = write(table, ("f", "g"), suite="second")
    build(store.root, tmp_path / "site", repository="https://example.org/here/")
    return tmp_path / "site"


def text_of(page) -> str:
    return " ".join(re.sub(r"<[^>]+>", " ", page.read_text(encoding="utf-8")).split())


def test_a_method_has_its_places_in_all_suites(site):
    page = text_of(site / "about/evaluators/A.html")
    assert "Strong in f : place 1 of 4 in first Strong" in page  # six problems tell A and D apart
    assert "Weak in f : place 4 of 4 in second (the data do not show it)" in page
    assert "1.00 s in first ; 1.00 s in second" in page


def test_several_settings_of_a_method_share_a_cost():
    seconds = {("s", "B"): 1.0, ("s", "B-hard"): 9.0, ("t", "B-1"): 2.0, ("t", "B-2"): 3.5, ("u", "B"): math.nan}
    rows = [{"suite": suite, "evaluator": label, "seconds": value} for (suite, label), value in seconds.items()]
    assert list(costs("B", rows)) == [
        ("s", "B,B-hard", "1.00 s"),
        ("t", "B-1,B-2", "2.00 to 3.50 s"),
        ("u", "B", "not known, because a valuation failed,"),
    ]


def test_a_task_has_its_random_values_and_everybody_in_order(site):
    page = text_of(site / "about/tasks/f.html")
    assert "0.500 in first, 0.500 in second" in page
    assert "Ceiling none: no training is repeated for it." in page
    assert re.search(r"A 1 1 0.900 B 2 .* C 3 .* D 4 .* random random 0.500", page)


def test_a_data_set_lists_its_problems_and_its_source(site):
    page = (site / "about/datasets/digits.html").read_text(encoding="utf-8")
    assert "https://doi.org/10.24432/C50P49" in page
    assert "second/datasets/digits.html#digits" in page
    assert '<a href="https://example.org/here/blob/HEAD/dvbench/datasets/digits.py">' in page


@pytest.mark.parametrize(
    ("place", "of", "expected"),
    [(1, 4, "strong"), (2, 4, ""), (4, 4, "weak"), (1, 3, ""), (7, 27, ""), (6, 27, "strong"), (21, 27, "weak")],
)
def test_the_first_and_the_last_quarter_are_judged(place, of, expected):
    assert judgement({"place": float(place), "of": of}) == expected
    assert judgement({"place": math.nan, "of": of}) == ""


@pytest.mark.parametrize(
    ("kind", "text", "said"),
    [
        ("evaluators", "An evaluator, evaluators", "An evaluator, evaluators"),
        ("unlearning", "An evaluator with a failed valuation", "An unlearning method with a failed run"),
        ("unlearning", "Evaluators further apart can differ", "Unlearning methods further apart can differ"),
        ("selection", "An evaluator is an evaluator.", "A selection strategy is a selection strategy."),
        ("selection", "random values have 0 in an evaluation", "random choices have 0 in an evaluation"),
    ],
)
def test_other_methods_are_not_called_evaluators(kind, text, said):
    assert said_of(kind, text) == said


def a_view(goal, tiers, at_home=True, observations=10, data=""):
    """The view of a goal with one evaluator in each tier: A, B, ..."""
    rows = [
        {"kind": "evaluators", "name": name, "label": name, "tier": tier} for tier, name in enumerate("ABC"[:tiers], 1)
    ]
    return {"goal": goal, "data": data, "at_home": at_home, "observations": observations, "rows": rows}


def test_strengths_are_those_of_the_boards_by_goal():
    views = {
        "board-first": [a_view("pay", 3, at_home=False), a_view("find", 2, observations=5), a_view("check", 1)],
        "board-second": [a_view("find", 3), a_view("find", 1, data="image"), a_view("pay", 1)],
        "quick": [a_view("find", 1), a_view("select", 1)],
    }
    digests = [
        Digest(suite, "", 1, [], [], {}, [], [view | {"suite": suite} for view in those])
        for suite, those in views.items()
    ]
    shown = {
        words: [(row["suite"], row["tier"], row["tiers"]) for row in where]
        for words, where in goals_of("evaluators", "A", digests)
    }
    assert shown == {
        "find wrong labels and broken features": [("board-second", 1, 3), ("board-first", 1, 2)],
        "pay providers what their data are worth": [("board-second", 1, 1), ("board-first", 1, 3)],
    }
    ((_, of_b), (_, pays)) = goals_of("evaluators", "B", digests)
    assert [(row["suite"], row["tier"]) for row in (*of_b, *pays)] == [
        ("board-second", 2), ("board-first", 2), ("board-first", 2),
    ]  # fmt: skip
    assert list(goals_of("unlearning", "A", digests)) == []


@pytest.mark.parametrize(
    ("base", "sentence"),
    [
        (
            "openml:1590",
            "A table of 48,842 rows and 14 columns, from which the column ‘class’ is predicted, one of 2 classes.",
        ),
        (
            "openml:42712",
            "A table of 17,379 rows and 12 columns, from which the column ‘count’ is predicted, a number.",
        ),
        (
            "openml:1489",
            "A table of 5,404 rows and 5 columns, from which one more column is predicted, one of 2 classes.",
        ),
        ("openml:1", describe("datasets", "openml").sentence),
        ("digits", describe("datasets", "digits").sentence),
    ],
)
def test_a_table_of_openml_is_described_by_what_it_is(base, sentence):
    described = data_set_description(base)
    assert described.sentence == sentence
    assert described.references
    assert bool(described.paragraphs) == (base in ("openml:1", "digits"))


def test_a_task_states_its_metric_once_and_no_older_version(write, tmp_path):
    store = write({("digits", name, 0): {"point_addition": 0.5} for name in "AB"}, ("point_addition",))
    build(store.root, tmp_path / "site")
    page = text_of(tmp_path / "site/about/tasks/point_addition.html")
    assert page.count("the test utility of the model trained on the most valuable points minus") == 1
    assert "Points are added in steps of 5%" in page
    assert "Further metrics are of the first half" in page
    assert "Version 1" not in page


@pytest.mark.parametrize(("kind", "name"), NAMED)
def test_every_plug_in_has_a_name_for_people_and_a_sentence(kind, name):
    description = describe(kind, name)
    assert 0 < len(description.title) < 45
    assert re.fullmatch(r"[A-Z].*[.?]", description.sentence)


def test_every_evaluator_names_a_paper_that_can_be_followed():
    from leaderboard.bibliography import linked

    without = {
        name
        for name in entries("evaluators")
        if not any(address for text in describe("evaluators", name).references for _, address in linked(text))
    }
    assert without == {"random"}


@pytest.mark.parametrize(("kind", "name"), [pair for pair in NAMED if pair[0] in METHODS])
def test_lines_to_copy_are_calls_of_dvbench(kind, name):
    command, python = usage(kind, name, "quick", describe(kind, name))
    assert command.split()[0] == "dvbench"
    compile(python, "copied", "exec")
    call = re.search(r"dvbench\.(\w+)\((.*)\)", python)
    arguments = set(re.findall(r"(\w+)=", call[2]))
    assert arguments <= set(inspect.signature(getattr(dvbench, call[1])).parameters)
    assert name in command
    assert name in python
