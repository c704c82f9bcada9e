"""Published versions of boards: they stay as they were, and are reachable from the page of the suite."""

from __future__ import annotations

import datetime
import json

import pytest
from made_up import a_score

from dvbench.cli import main
from dvbench.errors import UserError
from dvbench.suite import load_suite
from leaderboard.boards import boards, publish
from leaderboard.build import build
from leaderboard.plans import seeds_of_suite

DAY = datetime.date(2026, 11, 27)
EVIL = "<script>alert('x')</script>"


def table(best: float, error: str | None = None) -> dict:
    rows = {("p", name, seed): {"f": a_score(value)} for seed in (0, 1) for name, value in (("A", best), ("B", 0.5))}
    return rows | {("p", "C", 0): error, ("p", "C", 1): None}


def test_an_old_board_stays_as_it_was(write, tmp_path):
    store = write(table(0.75))
    first = publish(store.root, "small", "First publication.", DAY)
    before = first.read_bytes()
    write(table(0.25))
    assert publish(store.root, "small", "A was corrected.", DAY + datetime.timedelta(days=3)).stem == "2"
    assert first.read_bytes() == before
    newest, oldest = boards(store.root, "small")
    assert (newest.version, oldest.version) == (2, 1)
    assert oldest.tables.overall.rows[0][0].text == "A"
    assert newest.tables.overall.rows[0][0].text == "B"
    build(store.root, tmp_path / "site")
    page = (tmp_path / "site/small/index.html").read_text()
    for board in (newest, oldest):
        assert f'<a href="boards/{board.version}.html">' in page
    assert "2026-11-30: A was corrected." in page
    assert "Results of 30 November 2026" in (tmp_path / "site/index.html").read_text()
    assert "not published as a version yet" not in page
    old = (tmp_path / "site/small/boards/1.html").read_text()
    assert "0.750" in old
    assert "0.250" not in old


def test_what_has_changed_since_the_last_version_is_said(write, tmp_path):
    store = write(table(0.75))
    build(store.root, tmp_path / "site")
    assert "Versions of this board" not in (tmp_path / "site/small/index.html").read_text()
    publish(store.root, "small", "First publication.", DAY)
    with pytest.raises(UserError, match="has not changed since version 1"):
        publish(store.root, "small", "Again.", DAY)
    write(table(0.25))
    build(store.root, tmp_path / "site")
    assert "not published as a version yet" in (tmp_path / "site/small/index.html").read_text()


def test_texts_of_a_board_are_escaped(write, tmp_path):
    store = write(table(0.75, EVIL))
    path = publish(store.root, "small", f"First {EVIL}.", DAY)
    changed = json.loads(path.read_text())
    changed["tables"]["overall"]["rows"][0][0]["text"] = EVIL
    changed["digest"] = ""  # as boards of before there was one
    path.write_text(json.dumps(changed))
    build(store.root, tmp_path / "site")
    for name in ("index.html", "boards/1.html"):
        assert EVIL not in (tmp_path / "site/small" / name).read_text()


def _cut(path):
    path.write_bytes(path.read_bytes()[:100])


def _renamed(path):
    path.rename(path.with_name("7.json"))


def _edited(path):
    path.write_text(path.read_text().replace("First publication.", "Another publication."))


def _later(path):
    """Versions 1 and 3 without 2."""
    third = json.loads(path.read_text()) | {"version": 3, "digest": ""}
    path.with_name("3.json").write_text(json.dumps(third))


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (_cut, "is no board"),
        (_renamed, "is version 1 of the board"),
        (_edited, r"1\.json was changed after it was published: restore it"),
        (_later, r"2\.json is missing, and later versions are there"),
    ],
)
def test_a_damaged_board_is_named(write, tmp_path, damage, message):
    store = write(table(0.75))
    damage(publish(store.root, "small", "First publication.", DAY))
    with pytest.raises(UserError, match=message):
        build(store.root, tmp_path / "site")


def test_a_day_before_the_last_version_is_refused(write):
    store = write(table(0.75))
    publish(store.root, "small", "First publication.", DAY)
    write(table(0.25))
    with pytest.raises(UserError, match="version 1 is of 2026-11-27, after today, 2026-11-26"):
        publish(store.root, "small", "A was corrected.", DAY - datetime.timedelta(days=1))
    assert [board.version for board in boards(store.root, "small")] == [1]


def test_the_command(write, capsys):
    store = write(table(0.75))
    results = ["--results", str(store.root)]
    assert main(["leaderboard", "publish", "small", "--changes", " ", *results]) == 2
    assert main(["leaderboard", "publish", "other", "--changes", "New.", *results]) == 2
    assert main(["leaderboard", "publish", "small", *results]) == 2
    assert main(["leaderboard", "publish", "small", "--changes", "x" * 500, *results]) == 2
    assert not boards(store.root, "small")
    errors = capsys.readouterr().err
    assert "Traceback" not in errors
    assert main(["leaderboard", "publish", "small", "--changes", "First.", *results]) == 0
    assert [board.changes for board in boards(store.root, "small")] == ["First."]


def test_a_plan_with_fewer_seeds_than_its_suite_says_so(write, tmp_path):
    known = load_suite("board-points")
    store = write({("p", "A", 0): {"f": 0.5}}, suite="board-points")
    build(store.root, tmp_path / "site")
    for page in ("board-points/index.html", "index.html", "submissions.html"):
        text = (tmp_path / "site" / page).read_text(encoding="utf-8")
        assert f"1 of the suite's {len(known.seeds)} seeds" in text
    assert known.version == 1  # that of the plan: another version can have other seeds
    assert seeds_of_suite("board-points", 2) == seeds_of_suite("unknown", 1) == 0
