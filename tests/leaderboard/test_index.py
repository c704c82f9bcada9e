"""The index reads what changed, and says what is there."""

from __future__ import annotations

import sqlite3
from contextlib import closing

import numpy as np
import pytest
from made_up import a_cell, a_result, a_score, scores_of

from dvbench.errors import UserError
from dvbench.results import About, Plan, Score, Store, Submission
from leaderboard.build import build
from leaderboard.index import index_path, open_index
from leaderboard.plans import merged_plan, suite_names
from leaderboard.suite_scores import suite_scores

TABLE = {("p", name, seed): {"f": 0.1 * seed} for name in "AB" for seed in (0, 1)}
VALUES = {"values": np.zeros(20)}


@pytest.fixture
def reads(monkeypatch) -> list[str]:
    """Every result file that is parsed."""
    read, parse = [], Store.parse

    def spy(self, content, path):
        read.append(f"{path.parent.parent.name}-{path.parent.name}")
        return parse(self, content, path)

    monkeypatch.setattr(Store, "parse", spy)
    return read


def test_only_what_changed_is_read_again(write, reads):
    store = write(TABLE)
    before = scores_of(store).scores
    assert sorted(reads) == ["A-seed-0", "A-seed-1", "B-seed-0", "B-seed-1"]
    reads.clear()
    assert scores_of(store).scores.equals(before)
    assert reads == []
    store.write(a_result(a_cell("p", "B", 1, ("f",)), {"f": a_score(0.7)}), VALUES)
    assert scores_of(store).scores["value"].tolist() == [0.0, 0.1, 0.0, 0.7]
    assert reads == ["B-seed-1"]


def test_a_changed_file_of_the_same_size_and_time_is_read_again(write):
    import os

    store = write(TABLE)
    assert scores_of(store).scores["value"].tolist() == [0.0, 0.1, 0.0, 0.1]
    path = store.root / "small/p/B/seed-1/result.json"
    old = path.stat()
    store.write(a_result(a_cell("p", "B", 1, ("f",)), {"f": a_score(0.2)}, seconds=2.0), VALUES)
    os.utime(path, ns=(old.st_atime_ns, old.st_mtime_ns))
    assert path.stat().st_size == old.st_size
    assert scores_of(store).scores["value"].tolist() == [0.0, 0.1, 0.0, 0.2]


def test_what_is_gone_is_forgotten(write):
    store = write(TABLE)
    scores_of(store)
    store.remove(a_cell("p", "A", 0, ("f",)).key)
    assert scores_of(store).scores["status"].tolist() == ["missing", "ok", "ok", "ok"]
    write({("p", "A", 1): {"f": 0.5}})
    assert scores_of(store).scores["value"].tolist() == [0.5]


@pytest.mark.parametrize("content", [b"", b"this is no database", b"SQLite format 3\x00" + b"\xff" * 5000])
def test_an_index_that_is_broken_is_made_anew(write, content):
    store = write(TABLE)
    index_path(store.root, "small").write_bytes(content)
    assert scores_of(store).scores["value"].tolist() == [0.0, 0.1, 0.0, 0.1]


def test_a_damaged_page_is_found(write, reads):
    store = write({("p", name, seed): {"f": 0.1} for name in "ABCDEFGH" for seed in range(10)})
    before = scores_of(store).scores
    path = index_path(store.root, "small")
    content = bytearray(path.read_bytes())
    content[8192:12288] = bytes(4096)
    path.write_bytes(content)
    reads.clear()
    assert scores_of(store).scores.equals(before)
    assert len(reads) == 80


TAMPERED = {
    "value": "UPDATE scores SET value = 0.9",
    "text for a number": "UPDATE scores SET value = 'high'",
    "number for a text": "UPDATE scores SET task = 5",
    "nothing for a text": "UPDATE scores SET metrics = NULL",
    "no json": "UPDATE scores SET metrics = '{'",
    "lengths": "UPDATE scores SET lengths = '{\"c\": 1000000}'",
    "points": "UPDATE scores SET points = X'00'",
    "text for points": "UPDATE scores SET points = CAST(points AS TEXT)",
    "axes": "UPDATE scores SET axes = '[]'",
    "no text": "UPDATE scores SET error = CAST(X'FF80' AS TEXT)",
    "score away": "DELETE FROM scores WHERE id = 1",
    "score of no result": "INSERT INTO scores (id, task) VALUES (99, 'f')",
    "result away, scores not": "DELETE FROM results WHERE id = 1",
    "result of another evaluator": "UPDATE results SET evaluator = 'B'",
    "seed": "UPDATE results SET seed = 'x'",
    "hash of a file": "UPDATE results SET sha256 = ''",
    "hash of a row": "UPDATE results SET digest = NULL",
    "planned away": "DELETE FROM planned",
    "planned twice": "INSERT INTO planned SELECT * FROM planned",
    "parameters": "UPDATE planned SET params = '{'",
    "tasks": "UPDATE planned SET tasks = '[\"g\"]'",
    "version": "UPDATE plan SET version = 'x'",
    "two plans": "INSERT INTO plan SELECT * FROM plan",
    "plan away": "DELETE FROM plan",
    "column": "ALTER TABLE scores ADD COLUMN more",
    "table": "DROP TABLE planned",
    "view": "DROP TABLE planned; CREATE VIEW planned AS SELECT * FROM scores",
    "trigger": "CREATE TRIGGER t AFTER INSERT ON scores BEGIN UPDATE scores SET value = 1; END",
    "schema": "PRAGMA writable_schema = 1; UPDATE sqlite_master SET sql = 'CREATE TABLE plan (' WHERE name = 'plan'",
}


@pytest.mark.parametrize("name", TAMPERED)
def test_an_index_whose_content_is_wrong_is_made_anew(write, reads, name):
    curves = {"x": [0.0, 1.0], "c": [0.5, 1.0]}
    score = Score(version=1, headline="f1", higher_is_better=True, metrics={"f1": 0.5}, curves=curves, axes={"c": "x"})
    store = write({("p", name, seed): {"f": score} for name in "AB" for seed in (0, 1)})
    before = scores_of(store)
    path = index_path(store.root, "small")
    with closing(sqlite3.connect(path)) as database:
        database.executescript(TAMPERED[name])
    reads.clear()
    with open_index(store, "small") as index:
        assert [line.lines["c"].tolist() for line in index.curves("A")] == [[0.5, 1.0]] * 2
        after = suite_scores(index)
    assert after.scores.equals(before.scores)
    assert after.cells.equals(before.cells)
    assert len(reads) == 4
    assert not path.exists()  # the next index is written anew
    assert scores_of(store).scores.equals(before.scores)
    reads.clear()
    assert scores_of(store).scores.equals(before.scores)
    assert reads == []


def test_an_index_of_another_version_is_another_file(write, reads, monkeypatch):
    store = write(TABLE)
    scores_of(store)
    reads.clear()
    monkeypatch.setattr("leaderboard.index.VERSION", 1000)
    scores_of(store)
    assert len(reads) == 4


def test_a_cache_that_cannot_be_written_to_is_done_without(write, monkeypatch, tmp_path):
    store = write(TABLE)
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("DVBENCH_CACHE", str(tmp_path / "file" / "below"))
    assert scores_of(store).scores["value"].tolist() == [0.0, 0.1, 0.0, 0.1]


def test_nothing_is_written_among_results_and_nothing_there_is_believed(write):
    """An index beside results could come from whoever made them, with triggers that change what is put in."""
    store = write(TABLE)
    before = sorted(store.root.rglob("*"))
    scores_of(store)
    assert sorted(store.root.rglob("*")) == before
    made = index_path(store.root, "small").read_bytes()
    for position in (store.root, store.root / "small"):
        for name in (".index.sqlite", index_path(store.root, "small").name):
            (position / name).write_bytes(made)
    store.write(a_result(a_cell("p", "B", 1, ("f",)), {"f": a_score(0.7)}), VALUES)
    assert scores_of(store).scores["value"].tolist() == [0.0, 0.1, 0.0, 0.7]


def test_several_may_begin_an_index_at_once(write):
    from concurrent.futures import ThreadPoolExecutor

    store = write(TABLE)
    for _ in range(10):
        index_path(store.root, "small").unlink(missing_ok=True)
        with ThreadPoolExecutor(4) as pool:
            actual = list(pool.map(lambda _: scores_of(store).scores["value"].tolist(), range(4)))
        assert actual == [[0.0, 0.1, 0.0, 0.1]] * 4


def test_a_renamed_suite_has_an_index_of_its_own(write):
    store = write(TABLE)
    scores_of(store)
    (store.root / "small").rename(store.root / "large")
    with pytest.raises(UserError, match="plan of another suite"):
        scores_of(store, "large")


def test_a_broken_result_changes_nothing(write):
    store = write(TABLE)
    scores_of(store)
    path = store.root / "small/p/B/seed-1/result.json"
    whole = path.read_bytes()
    path.write_bytes(b"{}")
    with pytest.raises(UserError, match="is not a result"):
        scores_of(store)
    path.write_bytes(whole)
    assert scores_of(store).scores["value"].tolist() == [0.0, 0.1, 0.0, 0.1]


def test_curves_come_back_as_they_were(write):
    curves = {"fraction": [0.0, 0.5, 1.0], "recall": [0.0, 0.75, 1.0], "single": [0.25]}
    axes = {"recall": "fraction", "single": "player"}
    score = Score(version=1, headline="f1", higher_is_better=True, metrics={"f1": 0.5}, curves=curves, axes=axes)
    store = write({("p", "A", 0): {"f": score, "g": 0.5}, ("p", "B", 0): {"f": 0.5, "g": 0.5}}, ("f", "g"))
    with open_index(store, "small") as index:
        (read,) = index.curves("A")
        assert list(index.curves("B")) == []
    assert (read.task, read.axes) == ("f", axes)
    assert {name: line.tolist() for name, line in read.lines.items()} == curves


def submitted(store: Store, evaluator: str, cells, suite="small", version=1, trials=None) -> None:
    about = About(
        name="Mine", version="1", authors=("A. Author",), reference="None.", code="https://example.org/x", licence="MIT"
    )
    plan = Plan(suite=suite, suite_version=version, description="Small.", cells=tuple(cells), trials=trials)
    store.write_submission(Submission(evaluator=evaluator, about=about, plans=(plan,), files={}))


def test_submissions_are_planned_beside_the_suites_own(write):
    store = write({("p", "A", 0): {"f": 0.5}})
    cells = [a_cell("p", "Mine", seed, ("f",)) for seed in (0, 1)]
    store.write(a_result(cells[0], {"f": a_score(0.9)}), VALUES)
    assert scores_of(store).remarks == ("1 result(s) that are not planned are left out.",)
    submitted(store, "Mine", cells)
    scores = scores_of(store).scores
    assert scores[["evaluator", "seed", "status"]].to_numpy().tolist() == [
        ["A", 0, "ok"], ["Mine", 0, "ok"], ["Mine", 1, "missing"],
    ]  # fmt: skip
    assert scores_of(store).remarks == ()


def test_the_pages_of_a_submission_say_that_it_has_no_description(write, tmp_path):
    store = write({("p", "A", 0): {"f": 0.5}})
    submitted(store, "Mine", [a_cell("p", "Mine", 0, ("f",))])
    build(store.root, tmp_path / "site")
    for page in ("about/evaluators/Mine.html", "small/evaluators/Mine.html"):
        assert "Its description is not part of the submission" in (tmp_path / "site" / page).read_text(encoding="utf-8")


def test_no_submission_says_which_trials_count(write):
    store = write({("p", "A", 0): {"f": 0.5}})
    submitted(store, "Mine", [a_cell("q", "Mine", 0, ("f",), "other")], "other", trials="small")
    assert [merged_plan(store, suite).trials for suite in ("small", "other")] == [None, None]


def test_the_suites_own_plan_goes_before_that_of_a_submission(write):
    store = write({("p", "A", 0): {"f": 0.5}})
    other = a_cell("p", "A", 0, ("f", "g"))
    submitted(store, "A", [other])
    assert merged_plan(store, "small").cells == store.plan("small").cells


def test_a_submission_to_another_version_of_the_suite_is_refused(write):
    store = write({("p", "A", 0): {"f": 0.5}})
    cell = a_cell("p", "Mine", 0, ("f",), version=2)
    store.write(a_result(cell, {"f": a_score(0.9)}), VALUES)
    submitted(store, "Mine", [cell], version=2)
    scores = scores_of(store).scores
    assert scores["status"].tolist() == ["ok", "missing"]
    assert "other settings than planned" in scores["error"].iloc[1]


def test_a_suite_that_was_only_submitted_to_is_there(write):
    store = write({("p", "A", 0): {"f": 0.5}})
    submitted(store, "Mine", [a_cell("p", "Mine", 0, ("f",), suite="other")], suite="other")
    assert suite_names(store) == ["other", "small"]
    assert scores_of(store, "other").scores["status"].tolist() == ["missing"]
