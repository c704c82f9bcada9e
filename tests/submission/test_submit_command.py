"""``dvbench submit``: what is packed, what is left out, and that it can be read."""

from __future__ import annotations

import shutil
import zipfile
from pathlib import Path

import pytest
from made_up_bundles import MINE, TITLE, TOML, Files, made_up_files

from dvbench.results import Store
from dvbench.submission.bundle import read_bundle
from dvbench.suite import load_suite

CELL = f"quick/digits-logistic_regression-labels0.2/{TITLE}/seed-0"


@pytest.fixture
def results(here: Path) -> Path:
    """Made-up results of all of `quick`, as `dvbench run` would leave them."""
    write(here / "results", made_up_files(10))
    return here / "results"


def write(root: Path, files: Files) -> None:
    for path, content in files.items():
        if not path.startswith("submissions/"):
            (root / path).parent.mkdir(parents=True, exist_ok=True)
            (root / path).write_bytes(content)


def test_all_results_are_packed_and_can_be_read(dvbench, results: Path, here: Path) -> None:
    said = dvbench("submit", results, "--evaluator", MINE.name)
    assert (said.code, said.err) == (0, "")
    assert said.out.splitlines()[-2].startswith(f"{TITLE}.zip: 10 cells of quick, ")
    assert said.out.splitlines()[-1] == f"next: dvbench verify {TITLE}.zip"
    bundle = read_bundle(here / f"{TITLE}.zip", here / "into")
    assert len(bundle.keys) == 10
    assert bundle.submission is not None
    assert bundle.submission.about.authors == ("Ada",)


def test_the_same_results_make_the_same_bytes(dvbench, results: Path, here: Path) -> None:
    for name in ("one.zip", "two.zip"):
        assert dvbench("submit", results, "--evaluator", TITLE, "--out", name).code == 0
    assert (here / "one.zip").read_bytes() == (here / "two.zip").read_bytes()
    with zipfile.ZipFile(here / "one.zip") as archive:
        assert archive.namelist() == sorted(archive.namelist())


def test_a_run_is_packed_with_all_of_its_arrays(honest: Files) -> None:
    assert f"{CELL}/repeat.npy" in honest
    assert sum(path.endswith("result.json") for path in honest) == 3


def test_what_is_not_of_a_shipped_suite_is_left_out_and_told(dvbench, results: Path) -> None:
    own = next(results.glob("quick/digits*")).parent
    shutil.copytree(own, results / "own")
    for path in results.glob("own/*/*/*/result.json"):
        path.write_bytes(path.read_bytes().replace(b'"suite": "quick"', b'"suite": "own"'))
    moved = f"quick/digits-logistic_regression-labels0.2/{TITLE}"
    shutil.move(results / moved / "seed-1", results / moved / "seed-5")
    path = results / moved / "seed-5" / "result.json"
    path.write_bytes(path.read_bytes().replace(b'"seed": 1', b'"seed": 5'))
    file = results / CELL / "result.json"
    file.write_bytes(file.read_bytes().replace(b'"epochs": 5', b'"epochs": 50'))
    said = dvbench("submit", results, "--evaluator", TITLE)
    assert said.code == 0
    assert "left out: 'own' is not a suite of dvbench" in said.out
    assert f"left out: {moved}/seed-5: its suite has no such problem or seed" in said.out
    assert f"left out: {CELL}: it was run with other settings or tasks than those of its suite" in said.out
    assert f"{TITLE}.zip: 8 cells of quick" in said.out
    assert "missing of suite 'quick': 2 of 10 cells" in said.out


def test_results_of_an_older_suite_are_left_out(dvbench, results: Path) -> None:
    current = load_suite("quick").version
    for path in results.glob("quick/*/*/*/result.json"):
        stated, older = (b'"suite_version": %d' % version for version in (current, current - 1))
        path.write_bytes(path.read_bytes().replace(stated, older))
    said = dvbench("submit", results, "--evaluator", TITLE)
    assert said.code == 2
    assert f"no result of suite 'quick' is of its current version {current}; run it again" in said.err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--evaluator", "no_such"), "has no results of no_such that can be submitted"),
        (("--evaluator", TITLE, "--out", "mine.tar"), "mine.tar must end in .zip"),
        (
            ("--evaluator", TITLE, "--about", "no.toml"),
            "write a TOML file with name, version, authors, reference, code",
        ),
        (("--evaluator", TITLE, "--about", "broken.toml"), "broken.toml is not TOML"),
        (("--evaluator", TITLE, "--about", "empty.toml"), "fill in name, version, authors, reference, code, licence"),
        (("--evaluator", TITLE, "--about", "part.toml"), "part.toml: correct authors, code ("),
    ],
)
def test_what_cannot_be_packed(dvbench, results: Path, here: Path, words: tuple[str, ...], message: str) -> None:
    (here / "broken.toml").write_text("[")
    (here / "empty.toml").touch()
    (here / "part.toml").write_text(TOML.replace("['Ada']", "[]").replace("https://", "http://"))
    said = dvbench("submit", results, *words)
    assert said.code == 2
    assert message in said.err
    assert not list(here.glob("*.zip"))


def test_two_mistakes_are_said_at_once(dvbench, here: Path) -> None:
    (here / "part.toml").write_text(TOML.replace("['Ada']", "[]"))
    said = dvbench("submit", "nope", "--evaluator", TITLE, "--about", "part.toml")
    assert said.code == 2
    assert said.err.endswith("there is no folder nope; and part.toml: fill in authors\n")
    (here / "results").mkdir()
    said = dvbench("submit", "results", "--evaluator", TITLE, "--about", "part.toml")
    assert "results has no results of" in said.err
    assert said.err.endswith("; and part.toml: fill in authors\n")


@pytest.mark.parametrize("docstring", ["", '    """Mine."""\n'])
def test_an_evaluator_without_a_docstring_is_remarked_on(
    dvbench, here: Path, results: Path, monkeypatch, docstring: str
) -> None:
    version = next(Store(results).results("quick")).evaluator_version
    monkeypatch.setattr("dvbench.submission.pack.evaluator_version", lambda settings: version)
    module, _, name = MINE.name.partition(":")
    (here / f"{module}.py").write_text(f"class {name}:\n{docstring}    pass\n")
    said = dvbench("submit", results, "--evaluator", MINE.name)
    assert said.code == 0
    assert (f"{MINE.name} has no docstring" in said.out) == (not docstring)


def test_a_name_that_passes_for_another_is_not_packed(dvbench, here: Path) -> None:
    write(here / "results", made_up_files(2, MINE.model_copy(update={"label": "Data-Shapley"})))
    said = dvbench("submit", "results", "--evaluator", "Data-Shapley")
    assert said.code == 2
    assert "Data-Shapley looks like data_shapley" in said.err
    assert not list(here.glob("*.zip"))


def test_results_from_before_a_change_of_the_evaluator_are_not_packed(dvbench, here: Path, results: Path, monkeypatch):
    for version, code in (("another", 2), (next(Store(results).results("quick")).evaluator_version, 0)):
        monkeypatch.setattr("dvbench.submission.pack.evaluator_version", lambda settings, version=version: version)
        said = dvbench("submit", results, "--evaluator", TITLE)
        assert said.code == code
        before = "10 cells came before the last change of the evaluator; run again: dvbench run quick --evaluator "
        assert (before in said.err) == (code == 2)
        assert bool(list(here.glob("*.zip"))) == (code == 0)
