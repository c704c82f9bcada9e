"""The front page: its views, its sentences, and the table of goals."""

from __future__ import annotations

import json
import re
from dataclasses import replace

import pandas as pd
import pytest
from made_up import a_cell, a_score, scores_of

from leaderboard.build import build
from leaderboard.site import front
from leaderboard.statistics import suite_statistics

DETECT, PAY = "noisy_label_detection", "symmetry"


@pytest.fixture
def store(write):
    """A finds best and B pays best (lower gaps); six problems tell the last from the first."""
    found, gaps = {"A": 0.9, "B": 0.6, "C": 0.55, "D": 0.1}, {"A": 3.0, "B": 0.5, "C": 2.0, "D": 1.0}
    return write(
        {
            (f"p{p}", name, 0): {DETECT: a_score(found[name]), PAY: a_score(gaps[name], up=False)}
            for p in range(6)
            for name in found
        },
        (DETECT, PAY),
    )


@pytest.fixture
def scores(store):
    return scores_of(store)


@pytest.fixture
def views(scores):
    return list(front.views(scores, suite_statistics(scores)))


def test_a_goal_ranks_by_its_own_tasks(views):
    chosen = front.best_views(views)
    assert {goal: [row["label"] for row in view["rows"]] for goal, view in chosen.items()} == {
        "find": ["A", "B", "C", "D"],
        "pay": ["B", "D", "C", "A"],
    }
    assert chosen["find"]["observations"] == 6
    assert chosen["find"]["rows"][0]["seconds"] == 1.0


def test_the_suite_with_the_most_observations_is_shown(views):
    small = [view | {"suite": "other", "observations": 1} for view in views]
    assert front.best_views([*small, *views])["find"]["suite"] == "small"


def test_a_suite_of_what_the_goal_is_about_is_shown_before_larger_ones(views):
    """Points find wrong labels; that they pay nobody is no reason to show them first for that."""
    assert {view["goal"]: view["at_home"] for view in views} == {"find": True, "pay": False}
    providers = [view | {"suite": "other", "observations": 1, "at_home": not view["at_home"]} for view in views]
    chosen = front.best_views([*views, *providers])
    assert {goal: view["suite"] for goal, view in chosen.items()} == {"find": "small", "pay": "other"}


def test_sentences_say_who_is_first_and_what_is_not_known(views):
    rows = views[0]["rows"]
    equal = {"find": views[0] | {"rows": [row | {"tier": 1} for row in rows]}}
    assert front.statements(equal)[0]["text"] == (
        "A has the best mean rank of 4, but the data of this suite do not tell the first and the last apart."
    )
    tied = [
        row | {"tier": tier, "seconds": s} for row, tier, s in zip(rows, (1, 1, 2, 3), (5.0, 0.25, 1, 1), strict=True)
    ]
    assert front.statements({"find": views[0] | {"rows": tied}})[0]["text"] == (
        "A has the best mean rank of 4, and the data do not tell it from 1 other. The fastest of these is B, 0.25 s."
    )
    assert front.statements({"check": views[0]}) == []
    assert front.statements({"find": views[0] | {"problems": 5}}) == []  # ranks on so few hold for these alone


def test_the_matrix_has_a_tier_for_each_goal(views):
    rows = {row["label"]: row for row in front.matrix(front.best_views(views))}
    assert rows["A"]["find"]["tier"] == 1
    assert rows["A"]["pay"]["tier"] == rows["A"]["pay"]["tiers"] > 1
    assert rows["A"]["pay"]["shade"] == 0
    assert rows["A"]["pay"]["against_random"] == ""  # there are no random values


def test_the_matrix_says_who_is_not_shown_to_be_better_than_random(write, tmp_path):
    table = {"A": (0.9, 0.9), "B": (0.6, 0.4), "C": (0.1, 0.1), "random": (0.5, 0.5)}
    store = write(
        {
            (f"p{p}", name, 0): {DETECT: a_score(table[name][p % 2] + p / 1000, "auroc")}
            for p in range(6)
            for name in table
        },
        (DETECT,),
    )
    scores = scores_of(store)
    rows = {row["label"]: row for row in next(front.views(scores, suite_statistics(scores)))["rows"]}
    said = {name: row["against_random"] for name, row in rows.items()}
    assert said == {"A": "", "B": "not shown to be better than random", "C": "worse than random"}
    build(store.root, tmp_path / "site")
    page = (tmp_path / "site/index.html").read_text(encoding="utf-8")
    assert re.search(r'class="doubted" title="not shown to be better than random">tier \d of \d', page)


def test_numbers_of_the_chooser_are_not_rounded_twice(write):
    store = write({(f"p{p}", name, 0): {DETECT: p / 9} for p in range(6) for name in "ABC"}, (DETECT,))
    scores = scores_of(store)
    numbers = suite_statistics(scores)
    numbers.cost["seconds"] = 165.2751
    assert {row["seconds"] for row in next(front.views(scores, numbers))["rows"]} == {165.2751}


@pytest.mark.parametrize(
    ("dataset", "kind", "expected"),
    [("digits", "", "image"), ("wine", "", "table"), ("imdb:encoder=x", "", "text"), ("x", "language", "text")],
)
def test_kinds_of_data(dataset, kind, expected):
    assert front.data_kind(dataset, kind) == expected


def test_findings_beside_the_results_are_the_first_sentences(store, tmp_path):
    assert front.findings(store.root) == []
    (store.root.parent / "docs").mkdir()
    text = "# Findings\n\nIntro.\n\n- **LAVA** has 0.93<!--= x -->\n  in [quick](#the-board). More.\n"
    text += '- Is <b>it</b>? No.\n\n## The board\n\nIt has 4<!--= evaluators("small") -->.\n'
    path = store.root.parent / "docs/findings.md"
    path.write_text(text.replace("<!--= ", "<!-- "))
    assert front.findings(store.root) == []  # a file of somebody else
    path.write_text(text)
    assert front.findings(store.root) == [
        {"text": "LAVA has 0.93 in quick.", "anchor": "the-board", "suite": "small"},
        {"text": "Is <b>it</b>?", "anchor": "", "suite": ""},
    ]
    of_another_suite = text + '\nThere it has 1<!--= seeds("elsewhere") -->.\n'
    path.write_text(of_another_suite)
    assert front.findings(store.root) == []
    path.write_text(text)
    build(store.root, tmp_path / "site", docs="docs")
    page = (tmp_path / "site/index.html").read_text(encoding="utf-8")
    assert "Is &lt;b&gt;it&lt;/b&gt;?" in page
    assert 'href="docs/findings/index.html#the-board"' in page
    build(store.root, tmp_path / "alone")
    page = (tmp_path / "alone/index.html").read_text(encoding="utf-8")
    assert '<a href="small/index.html#goals">Evidence: small</a>' in page


def test_the_data_of_the_chooser_are_those_of_the_views(store, views, tmp_path):
    build(store.root, tmp_path / "site")
    script = (tmp_path / "site/front-data.js").read_text(encoding="utf-8")
    told = json.loads(script.removeprefix("dvbench.front(").removesuffix(");\n"))
    assert told["views"] == json.loads(json.dumps(views))
    assert list(told["goals"]) == ["find", "pay"]


def test_results_without_a_ranking_have_a_front_page(write, tmp_path):
    store = write({("p", "A", 0): None})
    assert a_cell("p", "A", 0, ("f",)).tasks == ("f",)
    build(store.root, tmp_path / "site")
    page = (tmp_path / "site/index.html").read_text(encoding="utf-8")
    assert 'id="chooser"' not in page
    assert "small/index.html" in page


@pytest.mark.parametrize(
    ("kind", "problem_kinds", "players", "section"),
    [
        ("evaluators", ["classification"], ["points"], "Rows"),
        ("evaluators", ["classification"] * 2, ["points", "10 random"], "Rows"),
        ("evaluators", ["classification"], ["10 random"], "Providers and other groups of rows"),
        ("evaluators", ["language"], ["points"], "Texts and corpora"),
        ("unlearning", ["language"], ["corpora"], "Unlearning"),
        ("selection", ["classification"], ["points"], "Choosing training data"),
    ],
)
def test_suites_stand_under_what_they_value(scores, kind, problem_kinds, players, section):
    cells = pd.DataFrame({"kind": kind, "problem_kind": problem_kinds, "players": players})
    assert front.section(replace(scores, cells=cells)) == section


def test_suites_with_more_results_stand_first():
    cards = [
        {"suite": name, "section": section, "counts": {"cells": cells}}
        for name, section, cells in (("a", "Rows", 3), ("b", "Unlearning", 9), ("c", "Rows", 8))
    ]
    assert [(name, [card["suite"] for card in those]) for name, those in front.in_sections(cards)] == [
        ("Rows", ["c", "a"]),
        ("Unlearning", ["b"]),
    ]
