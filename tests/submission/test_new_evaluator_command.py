"""``dvbench new-evaluator``: from an empty folder to a verified submission, and names that cannot be used."""

from __future__ import annotations

import multiprocessing
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from dvbench.results import Store

NAME = "fold_margins"
EVALUATOR = f"{NAME}:FoldMargins"


@pytest.fixture
def folder(dvbench, here: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    assert dvbench("new-evaluator", NAME).code == 0
    monkeypatch.chdir(here / NAME)
    yield here / NAME
    sys.modules.pop(NAME, None)


def test_it_says_what_it_wrote_and_what_is_next(dvbench, here: Path) -> None:
    said = dvbench("new-evaluator", NAME, "--out", "deep/er")
    assert (said.code, said.err) == (0, "")
    assert said.out.splitlines() == [
        f"deep/er/{NAME}: README.md, {NAME}.py, submission.toml, test_{NAME}.py",
        f"next: cd deep/er/{NAME} && python -m pytest && dvbench run quick --evaluator {EVALUATOR}",
    ]
    files = [path.read_text() for path in (here / "deep/er" / NAME).iterdir()]
    assert not any("NAME" in text or "CLASS" in text for text in files)


@pytest.mark.slow
def test_from_the_skeleton_to_a_verified_submission(dvbench, folder: Path) -> None:
    said = dvbench("run", "quick", "--evaluator", EVALUATOR, "--dataset", "digits", "--seeds", "0", "--jobs", 0)
    assert (said.code, said.err) == (0, "")
    said = dvbench("submit", "runs", "--evaluator", EVALUATOR)
    assert said.code == 2
    assert "submission.toml: fill in authors, reference, code, licence\n" in said.err
    text = (
        (folder / "submission.toml").read_text().replace("[]", '["Ada"]').replace('code = ""', 'code = "https://a.b"')
    )
    (folder / "submission.toml").write_text(text.replace('= ""', '= "unpublished"'))
    assert dvbench("submit", "runs", "--evaluator", EVALUATOR).code == 0
    bundle = f"{NAME}.FoldMargins.zip"
    again = ("--tolerance", 0, "--sample", 1, "--trust", EVALUATOR, "--jobs", 0, "--into", "published")
    said = dvbench("verify", bundle, *again)
    assert (said.code, said.err) == (0, "")
    assert said.out.splitlines()[-1] == "3 cells, 3 recomputed, 1 re-run, 0 failed, 0 left as claimed, 0 mismatches"
    scores = [result.scores for result in Store(folder / "published").results("quick")]
    (actual,) = (each["noisy_label_detection"] for each in scores if "noisy_label_detection" in each)
    assert actual.metrics["auroc"] > 0.75


def test_its_own_test_passes(folder: Path) -> None:
    process = multiprocessing.get_context("fork").Process(target=_pytest, args=(folder,))
    process.start()
    process.join(300)
    assert process.exitcode == 0


def _pytest(folder: Path) -> None:
    """In a process forked from this one, which need not import OpenDataVal again."""
    sys.path.insert(0, str(folder))
    sys.exit(pytest.main(["-q", "-p", "no:cacheprovider", str(folder)]))


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("Margins", "cannot be the name of a module"),
        ("fold-margins", "cannot be the name of a module"),
        ("2fold", "cannot be the name of a module"),
        ("class", "cannot be the name of a module"),
        ("a/b", "cannot be the name of a module"),
        ("../up", "cannot be the name of a module"),
        ("", "cannot be the name of a module"),
        ("é", "cannot be the name of a module"),
        ("a" * 50, "cannot be the name of a module"),
        ("knn_shapley", "there is an evaluator knn_shapley"),
        ("knnshap1ey", "there is an evaluator knn_shapley"),
        ("json", "is the name of another module"),
        ("numpy", "is the name of another module"),
        ("dvbench", "is the name of another module"),
        ("test_mine", "is the name of another module"),
        ("taken", "taken exists already"),
    ],
)
def test_names_that_cannot_be_used(dvbench, here: Path, name: str, message: str) -> None:
    (here / "taken").mkdir()
    before = sorted(here.rglob("*"))
    said = dvbench("new-evaluator", name)
    assert said.code == 2
    assert message in said.err
    assert said.err.count("\n") == 1
    assert sorted(here.rglob("*")) == before
