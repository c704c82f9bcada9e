"""Fresh seeds show what an evaluator has learned of public problems, and anybody can compute them again."""

from __future__ import annotations

import hashlib
import json
import zipfile
from pathlib import Path

import pytest
from made_up_bundles import MINE, SUBMISSION, TITLE, TOML, Files, made_up_files, relisted

from dvbench.errors import UserError
from dvbench.results import FreshRun, FreshScore, How, Store, Verified
from dvbench.settings import EvaluatorSettings
from dvbench.submission.bundle import read_bundle
from dvbench.submission.checks import planned_cells
from dvbench.submission.fresh import choose_secret, commitment, fresh_seeds
from dvbench.submission.pack import pack
from dvbench.submission.publish import publish

SECRET = "a secret of at least thirty-two characters"
PROBLEM = "digits-logistic_regression-features0.2x2"
# Builds all problems that are published again, and knows the noise if it is given one of them.
CHEAT = """
import json, pathlib
import numpy as np
from opendataval.dataval import DataEvaluator
HERE = pathlib.Path(__file__).parent

class Cheat(DataEvaluator):
    def __init__(self, random_state=None):
        super().__init__(random_state=random_state)
    def train_data_values(self, *args, **kwargs):
        return self
    def evaluate_data_values(self):
        from dvbench.problems.build import build_from_settings
        from dvbench.suite import load_suite
        with (HERE / "seen").open("a") as file:
            file.writelines(f"{path}\\n" for path in HERE.glob("dvbench-*/**/seed-*"))
        values = self.random_state.normal(size=len(self.x_train))
        for settings in load_suite("quick").problems:
            for seed in (0, 1):
                problem = build_from_settings(settings.settings, seed)
                if np.array_equal(problem.train.x, self.x_train):
                    return np.where(problem.corrupted, values - 100, values)
        return values
"""


@pytest.fixture(scope="module")
def cheated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the evaluator and its bundle of one cell."""
    from dvbench.execution.run import run_cells

    here = tmp_path_factory.mktemp("cheated")
    (here / "loose_cheat.py").write_text(CHEAT)
    (here / "submission.toml").write_text(TOML)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(here)
        plan = planned_cells("quick", EvaluatorSettings(name="loose_cheat:Cheat"))
        (cell,) = (cell for cell in plan.cells if (cell.key.problem, cell.key.seed) == (PROBLEM, 0))
        store = Store(here / "runs")
        (result,) = run_cells([cell], store, "cpu", 0)
        assert result.scores["noisy_feature_detection"].value == 1
        store.write_plan(plan.model_copy(update={"cells": (cell,)}))
        pack(store.root, "loose_cheat:Cheat", here / "submission.toml", here / "cheat.zip")
    (here / "seen").unlink()
    return here


@pytest.fixture
def cheat(cheated: Path, here: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.syspath_prepend(cheated)
    monkeypatch.setattr("tempfile.tempdir", str(cheated))
    (here / "secret").write_text(SECRET)
    return cheated


def test_who_knows_the_public_problems_is_confirmed_on_them_and_found_on_fresh_ones(dvbench, cheat: Path) -> None:
    trusted = ("--jobs", 0, "--trust", "loose_cheat:Cheat", "--into", "published")
    said = dvbench("verify", cheat / "cheat.zip", *trusted, "--sample", 1)
    assert said.code == 0
    assert ", 1 re-run, " in said.out
    assert "remark: near-perfect detection in 1 score, such as quick/" in said.out
    said = dvbench("verify", cheat / "cheat.zip", *trusted, "--fresh-seeds", 2, "--secret", "secret")
    assert (said.code, said.err) == (0, "")
    assert (
        f"remark: quick/{PROBLEM}/loose_cheat.Cheat gets no mark of fresh seeds: noisy_feature_detection is 0."
        in said.out
    )
    record = Store(Path("published")).verified("quick", "loose_cheat.Cheat")
    assert [cell.how for cell in record.cells.values()] == ["re-run"]
    (score,) = record.fresh.scores
    assert score.claimed == (1.0,)
    assert max(score.fresh) < 0.8
    assert record.fresh.gaps == {f"noisy_feature_detection on {PROBLEM}": pytest.approx(1 - sum(score.fresh) / 2)}
    # While the evaluator runs, no file tells the seeds.
    assert "seed-0" in (cheat / "seen").read_text()
    assert not any(str(seed) in (cheat / "seen").read_text() for seed in fresh_seeds(SECRET, 2))


@pytest.mark.slow
@pytest.mark.usefixtures("installed")
def test_commit_reveal_and_recompute(dvbench, bundle, honest: Files, here: Path) -> None:
    files = {path: content for path, content in honest.items() if PROBLEM in path or path == SUBMISSION}
    arguments = (bundle(relisted(files)), "--jobs", 0, "--trust", MINE.name, "--fresh-seeds", 2)
    said = dvbench("verify", *arguments, "--into", "published")
    assert (said.code, said.err) == (0, "")
    lines = said.out.splitlines()
    record = json.loads((here / f"published/verified/quick/{TITLE}.json").read_text())
    secret, stated = record["fresh"]["secret"], record["fresh"]["commitment"]
    assert hashlib.sha256(secret.encode()).hexdigest() == stated
    first = lines.index(f"fresh seeds: 2, of a secret with the SHA-256 {stated}")
    assert secret not in "".join(lines[:first])
    assert first < lines.index("valuing 2 cells of fresh seeds") < lines.index(f"fresh seeds: the secret is {secret}")
    assert (
        lines[-1]
        == "1 cell, 1 recomputed, 0 re-run, 1 re-run on fresh seeds, 0 failed, 0 left as claimed, 0 mismatches"
    )
    assert [cell["how"] for cell in record["cells"].values()] == ["re-run on fresh seeds"]
    # Anybody computes the same scores again, but the secret is none any more.
    (here / "secret").write_text(f"{secret}\n")
    again = dvbench("verify", *arguments, "--secret", "secret", "--into", "elsewhere")
    assert again.code == 0
    other = json.loads((here / f"elsewhere/verified/quick/{TITLE}.json").read_text())
    assert other["fresh"] == record["fresh"]
    refused = dvbench("verify", *arguments, "--secret", "secret", "--into", "published")
    assert refused.code == 2
    assert "has this secret, so others may know it" in refused.err
    # Verifying again without fresh seeds takes nothing away.
    assert dvbench("verify", f"published/{SUBMISSION}", "--jobs", 0, "--into", "published").code == 0
    assert json.loads((here / f"published/verified/quick/{TITLE}.json").read_text()) == record


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--secret", "secret"), "a secret is for fresh seeds: say how many"),
        (("--fresh-seeds", 1, "--secret", "short"), "at least 32 characters"),
        (("--fresh-seeds", 1, "--secret", "two"), "one line of at least 32"),
        (("--fresh-seeds", 1, "--secret", "binary"), "cannot read the secret"),
        (("--fresh-seeds", 1, "--secret", "nowhere"), "nowhere"),
        (("--fresh-seeds", 1), f"--fresh-seeds runs {MINE.name}; read its code"),
    ],
)
def test_what_is_refused(dvbench, bundle, honest: Files, here: Path, words: tuple[object, ...], message: str) -> None:
    for name, content in {
        "secret": SECRET.encode(),
        "short": b"secret",
        "two": f"{SECRET}\n{SECRET}".encode(),
        "binary": b"\xff" * 40,
    }.items():
        (here / name).write_bytes(content)
    said = dvbench("verify", bundle(honest), "--jobs", 0, *words)
    assert said.code == 2
    assert message in said.err
    assert SECRET not in said.err


def test_unlearning_methods_have_no_fresh_seeds(dvbench, bundle) -> None:
    """They run in the process that judges them, so that the mark would prove nothing."""
    settings = EvaluatorSettings(kind="unlearning", name="loose_method:Method", label="mine")
    said = dvbench("verify", bundle(made_up_files(2, settings, "unlearning-cpu")), "--jobs", 0, "--fresh-seeds", 1)
    assert said.code == 2
    assert "unlearning methods run within the tasks that judge them" in said.err


def test_seeds_are_those_that_anybody_derives() -> None:
    """By ``printf SECRET:0 | sha256sum``: its first 63 bits."""
    digest = hashlib.sha256(f"{SECRET}:1".encode()).hexdigest()
    assert fresh_seeds(SECRET, 2)[1] == int(digest[:16], 16) // 2
    assert all(2**31 < seed < 2**63 for seed in fresh_seeds(SECRET, 20))
    assert len(choose_secret(None, None)) == 64
    assert choose_secret(None, None) != choose_secret(None, None)
    assert choose_secret(f"{SECRET}\n", None) == SECRET


def a_run(claimed: tuple[float, ...], fresh: tuple[float, ...], up: bool = True, **more: object) -> FreshRun:
    score = FreshScore(problem="p", task="t", metric="m", higher_is_better=up, claimed=claimed, fresh=fresh)
    about = {
        "commitment": commitment(SECRET),
        "secret": SECRET,
        "seeds": 2,
        "dvbench_version": "1",
        "evaluator_version": "1",
    }
    return FreshRun.model_validate({**about, "scores": (score,), **more})


@pytest.mark.parametrize(
    ("run", "gap", "doubted"),
    [
        (a_run((0.9, 0.8), (0.6, 0.5)), 0.3, True),
        (a_run((0.9, 0.8), (0.8, 0.4)), 0.25, False),  # some fresh score is as good as a claimed one
        (a_run((0.9, 0.8), (0.7, 0.7)), 0.15, False),
        (a_run((0.5,), (0.9,)), -0.4, False),
        (a_run((0.1,), (0.5,), up=False), 0.4, True),
        (a_run((-30.0,), (-36.0,)), 0.2, False),  # relative for scores above 1
        (a_run((-30.0,), (-45.0,)), 0.5, True),
        (a_run((), (0.5,)), None, False),
        (a_run((0.9,), (), failed={"p/seed-1": "boom"}), None, True),
    ],
)
def test_which_gaps_are_doubted(run: FreshRun, gap: float | None, doubted: bool) -> None:
    assert run.scores[0].gap == (None if gap is None else pytest.approx(gap))
    assert bool(run.doubts) == doubted


def test_a_secret_of_a_record_is_no_secret(tmp_path: Path) -> None:
    store = Store(tmp_path)
    assert choose_secret(SECRET, store) == SECRET
    store.write_verified(Verified(suite="s", evaluator="e", dvbench_version="1", cells={}, fresh=a_run((1.0,), (1.0,))))
    with pytest.raises(UserError, match="has this secret"):
        choose_secret(SECRET, store)
    assert choose_secret(f"another {SECRET}", store)


def test_the_archive_holds_no_evaluator(cheated: Path) -> None:
    """What is run is what the verifier has read, not what was sent."""
    with zipfile.ZipFile(cheated / "cheat.zip") as archive:
        assert not any(name.endswith(".py") for name in archive.namelist())


def test_a_new_run_replaces_what_an_earlier_one_has_shown(bundle, here: Path) -> None:
    store = Store(here / "published")
    read = read_bundle(bundle(made_up_files(1)), here / "read")
    (key,) = read.keys
    which = (key.suite, key.evaluator)

    def recorded(how: How, run: FreshRun | None) -> tuple[str, FreshRun | None]:
        publish(read, store, {key.folder: how}, {}, {} if run is None else {which: run})
        record = store.verified(*which)
        assert record is not None
        (cell,) = record.cells.values()
        return cell.how, record.fresh

    good, bad = a_run((0.9,), (0.9,)), a_run((0.9,), (0.1,))
    assert recorded("re-run on fresh seeds", good) == ("re-run on fresh seeds", good)
    assert recorded("re-run", None) == ("re-run on fresh seeds", good)
    assert recorded("recomputed", bad) == ("recomputed", bad)
    assert recorded("recomputed", None) == ("recomputed", bad)  # a gap is not forgotten
    assert recorded("re-run", None) == ("re-run", bad)
