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
from leaderboard.site.catalogue import METHODS, costs, judgement, usage

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
