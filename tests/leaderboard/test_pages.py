"""What is shown: the tables, that nothing in them can break out, and that building is repeatable."""

from __future__ import annotations

import csv
import dataclasses
import math
import re
import subprocess
import sys
import tomllib

import numpy as np
import pytest
from made_up import a_cell, a_result, a_score, scores_of, tables_of
from markdown_it import MarkdownIt
from pydantic import ValidationError

from dvbench.errors import UserError
from dvbench.registry import suite_files
from dvbench.results import Verified
from leaderboard import markdown, tables
from leaderboard.build import build
from leaderboard.console_rows import rows_for_console
from leaderboard.site.payloads import suite_data
from leaderboard.statistics import suite_statistics

EVIL = (
    "<script>alert('x')</script> | a\n\n| b | c |\n# heading [link](http://evil.example) `code` <img src=x onerror=y>"
)
TABLE = {
    ("digits", "A", 0): {"f": 0.6, "loss": 2.0},
    ("digits", "A", 1): {"f": 0.8, "loss": 4.0},
    ("digits", "B", 0): {"f": 0.9, "loss": a_score(None, error=EVIL)},
    ("digits", "B", 1): {"f": 0.9, "loss": a_score(None, error=EVIL)},
    ("digits", "C", 0): EVIL,
    ("digits", "C", 1): None,
}


@pytest.fixture
def store(write):
    return write(TABLE, ("f", "loss"))


def html_of(text: str) -> str:
    return MarkdownIt("gfm-like", {"html": True, "linkify": False}).render(text)


@pytest.mark.parametrize(
    ("value", "decimals", "expected"),
    [
        (0.12345, 3, "0.123"),
        (0.0, 3, "0.000"),
        (-0.5, 2, "-0.50"),
        (0.00012, 3, "0.00012"),
        (0.0042, 2, "0.0042"),
        (1.25e-16, 3, "0.000"),
        (1234.5678, 3, "1235"),
        (3.2e9, 1, "3.20e+09"),
        (math.nan, 3, ""),
    ],
)
def test_number(value, decimals, expected):
    assert tables.number(value, decimals) == expected


@pytest.mark.parametrize(
    ("mean", "low", "high", "expected"),
    [
        (0.5, 0.4, 0.6, "0.500 [0.400, 0.600]"),
        (0.5, math.nan, math.nan, "0.500"),
        (4321.0, 4308.7, 4333.3, "4321 [4309, 4333]"),
        (1e-5, 8e-6, 1.2e-5, "0.00001 [0.000008, 0.000012]"),
    ],
)
def test_an_interval_stands_in_brackets(mean, low, high, expected):
    assert tables.between(mean, low, high) == expected


def test_clean_keeps_to_one_short_line():
    assert tables.clean("a\n\t b\u202ec\x00d") == "a b c d"
    assert tables.clean("x" * 1000) == "x" * 399 + "…"


def test_no_description_of_a_suite_is_cut():
    descriptions = [tomllib.loads(path.read_text())["description"] for path in suite_files().values()]
    assert len(descriptions) > 20
    assert [tables.clean(text, tables.OF_DESCRIPTION) for text in descriptions] == descriptions


def test_problem_table(store):
    (table,) = tables_of(store).problems
    assert [(entry.text, entry.note) for entry in table.header] == [
        ("evaluator", ""),
        ("f", "f1 ↑, n = 2"),
        ("loss", "f1 ↓, n = 2"),
    ]
    a, b, c = table.rows
    assert [row[0].text for row in table.rows] == ["A", "B", "C"]
    assert a[1:] == (
        tables.Entry("0.700 [-0.571, 1.971]", note="#2"),
        tables.Entry("3.000 [-9.706, 15.706]", note="#1", best=True),
    )
    assert b[1:] == (tables.Entry("0.900", note="#1", best=True), tables.Entry("", alarm="failed"))
    assert c[1:] == (tables.Entry("", alarm="failed and missing"),) * 2


@pytest.mark.parametrize("outcome", [{"f": 0.5}, "out of memory"])
def test_one_evaluator_alone_has_no_rank(write, tmp_path, outcome):
    store = write({("p", name, 0): outcome if name == "A" else {"f": 0.4} for name in ("A", "random")})
    made = tables_of(store)
    entries = dict(zip((entry.text for entry in made.overall.header), made.overall.rows[0], strict=True))
    assert [entries[name].text for name in ("evaluator", "tier", "rank", "mean rank")] == ["A", "", "", ""]
    assert not entries["evaluator"].best
    assert made.separable == ""
    build(store.root, tmp_path / "site")
    for path in ("small.md", "small/index.html", "about/evaluators/A.html"):
        text = (tmp_path / "site" / path).read_text(encoding="utf-8")
        assert "0 of 0" not in text
        assert "****" not in text
        assert not re.search(r"[> ]nan\b", text)


def test_a_mean_over_some_seeds_is_marked(write):
    (table,) = tables_of(write({("p", "A", 0): {"f": 0.5}, ("p", "A", 1): None, ("p", "B", 0): None})).problems
    assert table.rows[0][1] == tables.Entry("0.500", note="n = 1, #1", alarm="1 missing", best=True)


def test_nobody_is_best_where_all_failed(write):
    report = tables_of(write({("p", "A", 0): "broke", ("p", "B", 0): None}))
    assert not any(entry.best for table in (report.overall, *report.problems) for row in table.rows for entry in row)
    assert [row[1].alarm for row in report.problems[0].rows] == ["failed", "missing"]


def test_evaluators_are_shown_where_they_are_planned(write):
    report = tables_of(write({("p", "A", 0): {"f": 0.5}, ("q", "B", 0): {"f": 0.5}}))
    assert [[row[0].text for row in table.rows] for table in report.problems] == [["A"], ["B"]]


def test_unplanned_places_say_so(write):
    store = write({("p", "A", 0): {"f": 0.5, "g": 0.5}}, ("f", "g"))
    cells = (*store.plan("small").cells, a_cell("p", "B", 0, ("f",)))
    store.write_plan(store.plan("small").model_copy(update={"cells": cells}))
    rows = tables_of(store).problems[0].rows
    assert [(entry.text, entry.alarm) for entry in rows[1]] == [("B", ""), ("", "missing"), ("not planned", "")]
    assert rows_for_console(scores_of(store))[1][1][2:4] == ["-", ""]


def test_overall_table(store):
    overall = tables_of(store).overall
    # Seed 0 and 1 alike: A is (2, 1), B is (1, 2.5), C is (3, 2.5).
    texts = [[entry.text or entry.alarm for entry in row] for row in overall.rows]
    assert texts == [
        ["A", "1", "1-3", "1.50", "", "4", "0", "0", "0", "1.50", "claimed"],
        ["B", "1", "1-3", "1.75", "", "2", "2", "0", "0", "1.50", "claimed"],
        ["C", "1", "1-3", "2.75", "", "0", "2", "2", "0", "", ""],
    ]
    assert tables_of(store).separable.startswith("0 of 2 neighbouring ranks are separable. These are fewer than 6")


def test_reference_rows_are_set_apart(write, tmp_path):
    """Random values by their class, an ablation by the plan of the suite."""
    table = {("p", name, 0): {"f": value} for name, value in (("A", 0.5), ("B", 0.4), ("random", 0.9), ("weak", 0.1))}
    store = write(table)
    store.write_plan(store.plan("small").model_copy(update={"roles": {"weak": "ablation"}}))
    report = tables_of(store)
    assert [(row[0].text, row[2].text) for row in report.overall.rows] == [("A", "1-2"), ("B", "1-2")]
    assert [(row[0].text, row[1].text) for row in report.references.rows] == [
        ("random", "random"),
        ("weak", "ablation"),
    ]
    notes = {row[0].text: (row[1].note, row[1].best) for row in report.problems[0].rows}
    assert notes == {"A": ("#1", True), "B": ("#2", False), "random": ("", False), "weak": ("", False)}
    assert [row[:2] for row in rows_for_console(scores_of(store))[1]] == [
        ["A", "1-2"], ["B", "1-2"], ["random", ""], ["weak", ""]
    ]  # fmt: skip
    build(store.root, tmp_path / "out")
    page = (tmp_path / "out/small/index.html").read_text(encoding="utf-8")
    overall, _, apart = page.partition('<tfoot id="references">')
    assert "evaluators/random.html" not in overall
    assert "evaluators/random.html" in apart
    assert "### Reference rows" in (tmp_path / "out/small.md").read_text(encoding="utf-8")


def test_declined_is_neither_failed_nor_missing(write, tmp_path):
    """B does not apply to r and is first elsewhere; C declines one of two seeds of r, which counts as failed."""
    values = {"A": 0.5, "B": 0.9, "C": 0.1}
    store = write({(p, name, seed): {"f": v} for p in "pqr" for name, v in values.items() for seed in (0, 1)})
    for name, seeds in (("B", (0, 1)), ("C", (1,))):
        for seed in seeds:
            cell = a_cell("r", name, seed, ("f",))
            store.remove(cell.key)
            store.write(a_result(cell, status="declined", error="no <classes>"))
    suite = scores_of(store)
    of_r = suite.scores[suite.scores["problem"] == "r"].set_index(["evaluator", "seed"])["status"]
    assert of_r[["B", "C"]].tolist() == ["declined", "declined", "ok", "failed"]
    report = tables_of(store)
    texts = {row[0].text: [entry.text or entry.alarm for entry in row[3:9]] for row in report.overall.rows}
    # In r, A is first and C last of two, which counts as last of three.
    assert texts["A"] == ["1.67", "", "6", "0", "0", "0"]
    assert texts["B"] == ["1.00", "", "4", "0", "0", "2"]
    assert texts["C"] == ["3.00", "", "5", "1", "0", "0"]
    assert {row[0].text: (row[1].note, row[1].alarm) for row in report.problems[2].rows}["B"] == ("declined", "")
    assert [(each.evaluator, each.declined) for each in report.failures] == [("B", True), ("C", False)]
    data = suite_data(suite, suite_statistics(suite))
    seconds = [problem["seconds"] for problem in data["problems"]]
    assert seconds == [[1.5, 1.5, 1.5], [1.5, 1.5, 1.5], [1.5, False, None]]  # scripts leave out what is false
    build(store.root, tmp_path / "out")
    page = (tmp_path / "out/small/index.html").read_text(encoding="utf-8")
    failed, _, declined = page.partition('<h2 id="declined">')
    assert "declined in some seeds only" in failed
    assert "no &lt;classes&gt;" in declined
    assert ", 2 declined." in page
    assert "## Declined cells" in (tmp_path / "out/small.md").read_text(encoding="utf-8")


def test_who_declines_most_is_not_ranked(write):
    store = write({(p, name, 0): {"f": v} for p in "pqr" for name, v in (("A", 0.5), ("B", 0.9))})
    for p in "pq":
        cell = a_cell(p, "B", 0, ("f",))
        store.remove(cell.key)
        store.write(a_result(cell, status="declined", error="no classes"))
    report = tables_of(store)
    assert [row[0].text for row in report.overall.rows] == ["A"]
    assert [[entry.text for entry in row[:2]] for row in report.references.rows] == [["B", "declines most"]]


def test_a_failed_valuation_is_told_once(store):
    failures = tables_of(store).failures
    assert [(each.evaluator, each.problem, each.tasks, each.seeds) for each in failures] == [
        ("B", "digits", "loss", "seeds 0, 1"),
        ("C", "digits", "all tasks", "seed 0"),
    ]


def test_console_rows(store):
    headers, rows = rows_for_console(scores_of(store))
    assert headers == ["evaluator", "rank", "f ↑", "loss ↓", "sec", "failed", "missing"]
    assert rows == [
        ["A", "1-3", "0.70", "3.00", "1.5", "0", "0"],
        ["B", "1-3", "0.90", "-", "1.5", "2", "0"],
        ["C", "1-3", "-", "-", "", "2", "2"],
    ]


def test_files(store, tmp_path):
    paths = build(store.root, tmp_path / "out")
    assert [path.name for path in paths] == ["small.md", "small.csv", "index.html"]
    with paths[1].open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [(row["task"], row["evaluator"]) for row in rows] == [
        (task, each) for task in ("f", "loss") for each in "ABC"
    ]
    assert ",".join(rows[0]) == (
        "problem,task,metric,evaluator,mean,low,high,rank,n_ok,n_failed,n_missing,n_declined,"
        "seconds,fits,unlearned,peak_memory_mb,gpu_memory_mb"
    )
    assert ",".join(rows[0].values()) == "digits,f,f1,A,0.7,-0.57062,1.97062,2,2,0,0,0,1.5,3,2,5,0"
    assert (rows[5]["mean"], rows[5]["rank"], rows[5]["n_failed"], rows[5]["n_missing"]) == ("", "2.5", "1", "1")


def test_building_twice_gives_the_same_bytes(store, tmp_path):
    def files(name):
        build(store.root, tmp_path / name)
        return {
            str(p.relative_to(tmp_path / name)): p.read_bytes() for p in (tmp_path / name).rglob("*") if p.is_file()
        }

    assert files("one") == files("two")


def test_suites_can_be_chosen(write, tmp_path):
    write({("p", "A", 0): {"f": 0.5}}, suite="one")
    root = write({("p", "A", 0): {"f": 0.5}}, suite="second").root
    assert [path.name for path in build(root, tmp_path / "out", ["second"])] == [
        "second.md",
        "second.csv",
        "index.html",
    ]
    assert 'href="one/' not in (tmp_path / "out/index.html").read_text(encoding="utf-8")
    build(root, tmp_path / "out")
    assert 'href="one/index.html"' in (tmp_path / "out/index.html").read_text(encoding="utf-8")


def test_markdown_says_the_same_and_cannot_be_broken(store):
    text = markdown.render(tables_of(store))
    assert "| A | 0.700 &#91;-0.571, 1.971&#93; (#2) | **3.000 &#91;-9.706, 15.706&#93;** (#1) |" in text
    assert "| B | **0.900** (#1) | ⚠ failed |" in text
    html = html_of(text)
    assert html.count("<h1>") == 1
    assert html.count("<table>") == 3
    assert "<script" not in html
    assert "<img" not in html
    assert "<a " not in html
    assert "&lt;script&gt;alert('x')&lt;/script&gt; | a | b | c | # heading [link](http://evil.example) `code`" in html


def test_a_name_cannot_add_a_column_to_a_markdown_table(store):
    report = tables_of(store)
    (table,) = report.problems
    rows = tuple((tables.Entry(tables.clean(EVIL)), *row[1:]) for row in table.rows)
    html = html_of(markdown.render(dataclasses.replace(report, problems=(dataclasses.replace(table, rows=rows),))))
    body = html.split("<h2>digits</h2>")[1].split("</table>")[0]
    assert body.count("<tr>") == 4
    assert body.count("<td") == 9
    assert "<script" not in body


def test_names_from_results_are_no_formulas_in_a_spreadsheet():
    """The schema lets no task, metric, problem or evaluator begin with a sign."""
    with pytest.raises(ValidationError):
        a_score(0.5, headline="=1+1")


@pytest.mark.parametrize("suites", [None, ["small"]])
def test_no_folder(tmp_path, suites):
    with pytest.raises(UserError, match=r"there is no results folder .*: run a suite first"):
        build(tmp_path / "nowhere", tmp_path / "out", suites)


def test_no_suite(tmp_path):
    with pytest.raises(UserError, match="has no suite"):
        build(tmp_path, tmp_path / "out")


def test_unknown_suite(store, tmp_path):
    with pytest.raises(UserError, match="did you mean 'small'"):
        build(store.root, tmp_path / "out", ["smal"])
    assert not (tmp_path / "out").exists()


def test_a_broken_result_leaves_the_old_pages(store, tmp_path):
    before = build(store.root, tmp_path / "out")[0].read_bytes()
    (store.root / "small/digits/A/seed-0/result.json").write_text("{}")
    with pytest.raises(UserError, match="is not a result"):
        build(store.root, tmp_path / "out")
    assert (tmp_path / "out/small.md").read_bytes() == before


@pytest.mark.parametrize("file", ["small/digits/A/seed-0/result.json", "small/plan.json", "verified/small/A.json"])
def test_a_file_that_is_cut_short_stops_the_pages_of_its_own_suite(store, write, tmp_path, file):
    for suite in ("first", "third"):
        write({("p", "A", 0): {"f": 0.5}}, suite=suite)
    record = Verified(suite="small", evaluator="A", dvbench_version="0.2.0", cells={})
    store.write_verified(record)
    build(store.root, tmp_path / "out")
    before = {path: path.read_bytes() for path in (tmp_path / "out").rglob("small*/**/*") if path.is_file()}
    assert len(before) > 5
    for suite in ("first", "third"):
        store.write(a_result(a_cell("p", "A", 0, ("f",), suite), {"f": a_score(0.25)}), {"values": np.zeros(20)})
    broken = store.root / file
    broken.write_bytes(broken.read_bytes()[:-20])
    with pytest.raises(UserError, match=rf"the pages of suite 'small' were not written: .*{file} is not"):
        build(store.root, tmp_path / "out")
    for suite in ("first", "third"):
        assert "0.25" in (tmp_path / "out" / f"{suite}.md").read_text(encoding="utf-8")
        assert "small/index.html" not in (tmp_path / "out" / suite / "index.html").read_text(encoding="utf-8")
    assert {path: path.read_bytes() for path in before} == before
    home = (tmp_path / "out/index.html").read_text(encoding="utf-8")
    assert "a file of the results cannot be read: small." in home
    assert str(tmp_path) not in home


def test_a_submission_that_is_cut_short_stops_only_the_suites_with_its_cells(store, write, tmp_path):
    write({("p", "Lone", 0): {"f": 0.5}}, suite="first")
    (store.root / "submissions").mkdir()
    broken = store.root / "submissions/Lone.json"
    broken.write_text('{"schema_version": 1')
    with pytest.raises(UserError, match=rf"the pages of suite 'first' were not written: .*{broken.name} is not a sub"):
        build(store.root, tmp_path / "out")
    assert (tmp_path / "out/small.md").exists()
    broken.rename(broken.with_name("Nobody.json"))  # it has no cell in any suite
    with pytest.raises(UserError, match=r"Nobody\.json is not a submission of dvbench"):
        build(store.root, tmp_path / "out")
    assert (tmp_path / "out/first.md").exists()


@pytest.mark.slow
def test_the_leaderboard_needs_no_torch():
    code = "import sys, leaderboard; assert not {'pandas', 'scipy', 'jinja2'} & set(sys.modules)\n"
    code += "import leaderboard.build; assert not {'torch', 'opendataval', 'dvbench.models'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
