"""Numbers and claims in documents are what published results say."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from dvbench.own_data.defaults import FOR_GROUPS, FOR_ROWS
from dvbench.results import Store
from leaderboard.evidence import Evidence, updated
from leaderboard.evidence import main as evidence_command

ROOT = Path(__file__).parents[2]
RESULTS = ROOT / "results"
DOCUMENTS = [
    path for path in (ROOT / "README.md", *ROOT.glob("docs/**/*.md")) if re.search("<!--[#=!]", path.read_text())
]


@pytest.fixture(scope="module")
def evidence() -> Evidence:
    return Evidence(RESULTS)


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.stem)
def test_documents_say_what_the_results_say(document: Path, evidence: Evidence) -> None:
    text = document.read_text()
    after, failed = updated(text, evidence)
    assert failed == []
    assert after == text


def test_numbers_are_those_of_the_results(evidence: Evidence) -> None:
    by_problem: dict[str, list[float]] = {}
    seconds: dict[str, list[float]] = {}
    for result in Store(RESULTS).results("quick"):
        if result.cell.evaluator.title == "lava":
            assert result.seconds is not None
            seconds.setdefault(result.cell.key.problem, []).append(result.seconds)
            if "point_removal" in result.scores:
                score = result.scores["point_removal"]
                by_problem.setdefault(result.cell.key.problem, []).append(score.metrics[score.headline])
    mean = np.mean([np.mean(each) for each in by_problem.values()])
    assert evidence.score("quick", "point_removal", "lava") == pytest.approx(mean)
    assert evidence.seconds("quick", "lava") == pytest.approx(np.mean([np.median(each) for each in seconds.values()]))
    assert evidence.place("quick", "point_removal", evidence.best("quick", "point_removal")) == 1
    assert "random" not in evidence._suite("quick").order("point_removal")


def test_goals_are_ranked_by_their_own_tasks(evidence: Evidence) -> None:
    """A table of a goal has the ranks of that goal, and those above zero are who the interval says."""
    view = evidence._suite("board-points").view("select")
    ranked = [name for name, role in zip(view.table["evaluator"], view.table["role"], strict=True) if not role]
    lines = evidence.goal_table("board-points", "select", kept="point_addition").splitlines()
    assert lines[0] == "| evaluator | rank | gain | kept | seconds |"
    assert [line.split("`")[1] for line in lines[2:]] == ranked
    shown = [line.split("`")[1] for line in lines[2:] if re.search(r"\| \+[\d.]+ \[\d", line)]
    assert evidence.better_than_random("board-points", "select") == shown != ranked
    by_goal = [line.split(" | ")[0] for line in evidence.tiers("quick", find="noisy_label_detection").splitlines()[2:]]
    assert set(by_goal) == {"| find"}
    assert evidence.neighbours("board-points", "select") == len(ranked) - 1
    with pytest.raises(ValueError, match="no score for the goal pay"):
        evidence.separable("board-points", "pay")


def test_reasons_for_defaults_hold(evidence: Evidence) -> None:
    assert evidence.best("board-points", "noisy_label_detection") == FOR_ROWS
    assert evidence.best("quick", "partial_agreement") == FOR_GROUPS


def test_a_document_is_updated(evidence: Evidence) -> None:
    text = (
        'LAVA takes **9.99**<!--= 1 / 8 --> s, 7%<!--= 1 / 8 -->, 1<!--= 12345 --> and a<!--= "1-4" -->.<!--! 1 < 2 -->'
    )
    after, failed = updated(text, evidence)
    assert after == (
        'LAVA takes **0.12**<!--= 1 / 8 --> s, 12%<!--= 1 / 8 -->, 12,345<!--= 12345 --> and 1-4<!--= "1-4" -->.'
        "<!--! 1 < 2 -->"
    )
    assert failed == []
    assert updated("<!--! 2 < 1 -->", evidence)[1] == ["2 < 1"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (" <!--= 1 -->", "follows no number"),
        ("5<!--= 1", "is not closed"),
        ("\n5<!--= 1\n2<!--= 3 -->", "line 3: a comment .* is not closed here or above"),
        ("<!--# 'x' -->\n| a |\n", "line 1: .* a table without <!-- end -->"),
        ("5<!--= 1 / 0 -->", "1 / 0: division by zero"),
        ("5<!--= ) -->", r"\): "),
        ('5<!--= score("quick", "point_removal", "nobody") -->', "quick has no score of nobody in point_removal"),
        ('5<!--= __import__("os") -->', "'__import__' is not defined"),
        ('<!--! score("nowhere", "point_removal", "lava") > 0 -->', "nowhere"),
    ],
)
def test_what_cannot_be_read_is_an_error(text: str, message: str, evidence: Evidence) -> None:
    with pytest.raises(ValueError, match=message):
        updated(text, evidence)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "No such file"),
        (b"\xff\xfe", "can't decode"),
        (b"1<!--= 2 --> and 5<!--= 1", "line 1: a comment"),
        (b'1<!--= 2 -->, 5<!--= seconds("nowhere", "lava") -->', "nowhere"),
        (b"1<!--= 2 -->, 5<!--= 1 / 0 -->", "division by zero"),
    ],
)
def test_an_error_is_one_line_and_nothing_is_written(tmp_path, monkeypatch, capsys, content, message) -> None:
    document = tmp_path / "page.md"
    if content is not None:
        document.write_bytes(content)
    monkeypatch.setattr("sys.argv", ["evidence", str(document), "--results", str(RESULTS), "--write"])
    assert evidence_command() == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert message in error
    assert content is None or document.read_bytes() == content


def test_the_exit_code_says_whether_a_document_is_outdated(tmp_path, monkeypatch) -> None:
    document = tmp_path / "page.md"
    document.write_text("1<!--= 2 -->")
    words = ["evidence", str(document), "--results", str(RESULTS)]
    for options, code in (([], 1), (["--write"], 0), ([], 0)):
        monkeypatch.setattr("sys.argv", [*words, *options])
        assert evidence_command() == code
    assert document.read_text() == "2<!--= 2 -->"
