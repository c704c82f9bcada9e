"""``dvbench verify``: what is as claimed is confirmed to the bit, and what is not is named."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from made_up_bundles import (
    MINE,
    SUBMISSION,
    TITLE,
    Files,
    in_schema_1,
    made_up_files,
    relisted,
    result_path,
    with_result,
    with_submission,
    with_values,
)

from dvbench.errors import UserError
from dvbench.results import Store
from dvbench.settings import EvaluatorSettings
from leaderboard.index import open_index
from leaderboard.suite_scores import suite_scores

LABELS = f"quick/digits-logistic_regression-labels0.2/{TITLE}/seed-0"
FEATURES = f"quick/digits-logistic_regression-features0.2x2/{TITLE}/seed-0"
SUBSETS = f"quick/digits-logistic_regression-labels0.2-10subsets/{TITLE}/seed-0"
EXACTLY = ("--tolerance", 0, "--jobs", 0)


def place_of(files: Files, folder: str) -> int:
    return sorted(path for path in files if path.endswith("result.json")).index(f"{folder}/result.json")


def altered(files: Files, folder: str, change: Callable[[Any], object]) -> Files:
    return with_result(files, change, place_of(files, folder))


def mismatches(out: str) -> list[str]:
    return [line.removeprefix("mismatch: ") for line in out.splitlines() if line.startswith("mismatch: ")]


def test_what_is_as_claimed_is_confirmed_to_the_bit_without_the_evaluator(dvbench, bundle, honest: Files) -> None:
    said = dvbench("verify", bundle(honest), *EXACTLY)
    assert (said.code, said.err) == (0, "")
    lines = said.out.splitlines()
    assert lines[0].endswith("mine.zip: 3 cells, each whole and as planned")
    assert lines[1].startswith("remark: missing of suite 'quick': 7 of 10 cells: ")
    assert lines[-1] == "3 cells, 3 recomputed, 0 re-run, 0 failed, 0 left as claimed, 0 mismatches"


def test_every_alteration_is_named(dvbench, bundle, honest: Files, here: Path) -> None:
    def labels(said: Any) -> None:
        said["scores"]["point_removal"]["curves"]["random"][3] += 0.25
        said["scores"]["noisy_label_detection"]["metrics"]["auroc"] = 0.99

    def features(said: Any) -> None:
        said["diagnostics"]["distinct_values"] = 7.0
        said["scores"]["noisy_feature_detection"] |= {"curves": {}, "axes": {}}

    files = altered(altered(honest, LABELS, labels), FEATURES, features)
    values = np.arange(10.0)
    files = with_values(files, values, place_of(files, SUBSETS))
    said = dvbench("verify", bundle(files), "--jobs", 0, "--into", "published")
    assert said.code == 1
    actual = mismatches(said.out)
    assert any(line.startswith(f"{LABELS}: point_removal.random[3]: claimed ") for line in actual)
    assert any(line.startswith(f"{LABELS}: noisy_label_detection.auroc: claimed 0.99, found ") for line in actual)
    assert f"{FEATURES}: distinct_values: claimed 7.0, found 100.0" in actual
    assert any(line.startswith(f"{FEATURES}: noisy_feature_detection.") and "no curve" in line for line in actual)
    assert any(line.startswith(f"{SUBSETS}: partial_agreement.") for line in actual)
    assert not any("rank_stability" in line or "point_addition" in line for line in actual)
    *_, more, counts = said.out.splitlines()
    assert len(actual) == 50
    assert counts.endswith(f", {50 + int(more.split()[1])} mismatches")
    assert not (here / "published").exists()


@pytest.mark.parametrize("number", [0, 1])
def test_a_bundle_of_schema_1_is_verified_like_one_of_schema_2(dvbench, bundle, honest: Files, number: int) -> None:
    older = in_schema_1(honest)
    assert b'"reachable"' in older[f"{LABELS}/result.json"]
    assert b'"axes"' not in older[f"{LABELS}/result.json"]
    said = dvbench("verify", bundle((older, honest)[number]), *EXACTLY, "--into", "published")
    assert (said.code, said.err) == (0, "")
    assert said.out.splitlines()[-1] == "3 cells, 3 recomputed, 0 re-run, 0 failed, 0 left as claimed, 0 mismatches"
    # The copy can be verified too.
    assert dvbench("verify", f"published/{SUBMISSION}", *EXACTLY).code == 0


def test_alterations_of_a_bundle_of_schema_1_are_named(dvbench, bundle, honest: Files) -> None:
    def change(said: Any) -> None:
        said["scores"]["noisy_feature_detection"]["metrics"]["auroc"] = 0.99

    said = dvbench("verify", bundle(altered(in_schema_1(honest), FEATURES, change)), *EXACTLY)
    assert said.code == 1
    (line,) = mismatches(said.out)
    assert line.startswith(f"{FEATURES}: noisy_feature_detection.auroc: claimed 0.99, found ")


def test_a_bundle_of_schema_1_with_another_plan_is_refused(dvbench, bundle, honest: Files) -> None:
    def change(said: Any) -> None:
        said["plans"][0]["cells"][0]["sizes"]["reachable"] += 1

    said = dvbench("verify", bundle(with_submission(in_schema_1(honest), change)), *EXACTLY)
    assert said.code == 2
    assert "cells differ, or are left out" in said.err


def test_another_x_axis_is_a_mismatch(dvbench, bundle, honest: Files) -> None:
    def change(said: Any) -> None:
        said["scores"]["noisy_feature_detection"]["axes"]["recall"] = "player"

    said = dvbench("verify", bundle(altered(honest, FEATURES, change)), *EXACTLY)
    assert said.code == 1
    assert mismatches(said.out) == [
        f"{FEATURES}: noisy_feature_detection.axis of recall: claimed player, found fraction"
    ]


def test_a_small_deviation_is_tolerated_as_far_as_is_said(dvbench, bundle, honest: Files) -> None:
    def change(said: Any) -> None:
        said["scores"]["noisy_feature_detection"]["metrics"]["auroc"] += 0.004

    files = altered(honest, FEATURES, change)
    assert dvbench("verify", bundle(files), "--jobs", 0).code == 0
    assert dvbench("verify", bundle(files), "--jobs", 0, "--tolerance", 0.003).code == 1


@pytest.mark.slow
def test_the_copy_has_the_scores_that_were_computed_again(dvbench, bundle, honest: Files, here: Path) -> None:
    """Within the tolerance, nobody chooses."""

    def change(said: Any) -> None:
        said["scores"]["noisy_feature_detection"]["metrics"]["auroc"] += 0.004

    files = altered(honest, FEATURES, change)
    assert dvbench("verify", bundle(files), "--jobs", 0, "--into", "published").code == 0
    published = json.loads((here / "published" / FEATURES / "result.json").read_text())
    true = json.loads(honest[f"{FEATURES}/result.json"])
    assert published["scores"] == true["scores"]
    # It is whole, says so, and counts as verified.
    assert dvbench("verify", f"published/{SUBMISSION}", *EXACTLY).code == 0
    with open_index(Store(here / "published"), "quick") as index:
        cells = suite_scores(index).cells.set_index(["problem", "seed"])
    assert cells.loc[(FEATURES.split("/")[1], 0), "mark"] == "recomputed"


@pytest.mark.parametrize(
    "params",
    [{"method": "pwn:X"}, {"method": {"name": "pwn:X", "weight": 2.0}}, {"deep": [{"pwn:X": 1}]}],
    ids=["value", "method", "key"],
)
def test_what_parameters_name_is_not_imported(dvbench, bundle, here: Path, params, monkeypatch) -> None:
    (here / "pwn.py").write_text("from pathlib import Path\nPath('executed').touch()\nclass X: ...\n")
    monkeypatch.syspath_prepend(here)
    settings = EvaluatorSettings(name="unlearning_shapley", label="mine2", params=params)
    target = {"evaluator_object": "evaluators.unlearning_shapley:UnlearningShapley"}
    files = made_up_files(1, settings)
    result = json.loads(files[result_path(files)]) | target
    files = relisted(files | {result_path(files): json.dumps(result).encode()}, "submissions/mine2.json")
    said = dvbench("verify", bundle(files), "--jobs", 0, "--sample", 1)
    assert said.code == 2
    assert "--sample runs pwn:X; read its code, and if you trust it add --trust pwn:X" in said.err
    assert not (here / "executed").exists()


def test_a_cell_whose_tasks_all_failed_stays_a_claim(dvbench, bundle, honest: Files, here: Path) -> None:
    """Nothing of it was computed again, so that its data were not either."""

    def change(said: Any) -> None:
        for score in said["scores"].values():
            score |= {"metrics": {}, "curves": {}, "axes": {}, "error": "boom"}

    said = dvbench("verify", bundle(altered(honest, FEATURES, change)), *EXACTLY, "--into", "published")
    assert said.out.splitlines()[-1] == "3 cells, 2 recomputed, 0 re-run, 0 failed, 1 left as claimed, 0 mismatches"
    record = Store(here / "published").verified("quick", TITLE)
    assert not any(FEATURES.split("/")[1] in name for name in record.cells)


def test_values_of_other_data_are_not_scored(dvbench, bundle, honest: Files) -> None:
    files = altered(honest, FEATURES, lambda said: said["dataset"].update(revision="0" * 64))
    files = altered(files, SUBSETS, lambda said: said["dataset"].update(test=499))
    said = dvbench("verify", bundle(files), "--jobs", 0)
    assert said.code == 1
    actual = mismatches(said.out)
    assert {line.partition(":")[0] for line in actual} == {FEATURES, SUBSETS}
    assert all("there are no values for the data set as it is now" in line for line in actual)


def test_a_second_valuation_that_is_claimed_and_not_there(dvbench, bundle, honest: Files) -> None:
    files = altered(honest, LABELS, lambda said: said["arrays"].pop("repeat"))
    files.pop(f"{LABELS}/repeat.npy")
    files = altered(files, LABELS, lambda said: None)
    said = dvbench("verify", bundle(files), *EXACTLY)
    assert said.code == 1
    (line,) = mismatches(said.out)
    assert line.startswith(f"{LABELS}: rank_stability: claimed ")


def test_a_task_that_is_shown_as_failed_is_no_boast(dvbench, bundle, honest: Files) -> None:
    def change(said: Any) -> None:
        said["scores"]["point_removal"] |= {"metrics": {}, "curves": {}, "axes": {}, "error": "\x1b[31mboom"}

    said = dvbench("verify", bundle(altered(honest, LABELS, change)), *EXACTLY)
    assert said.code == 0
    assert f"remark: {LABELS}: point_removal failed: ?[31mboom" in said.out


def test_values_are_computed_again_only_by_what_is_trusted(dvbench, bundle, honest: Files) -> None:
    said = dvbench("verify", bundle(honest), *EXACTLY, "--sample", 1)
    assert said.code == 2
    assert said.err == f"error: --sample runs {MINE.name}; read its code, and if you trust it add --trust {MINE.name}\n"


@pytest.mark.usefixtures("installed")
def test_values_are_computed_again_copied_and_verified_where_they_are(
    dvbench, bundle, honest: Files, here: Path
) -> None:
    again = ("--sample", 2, "--trust", MINE.name)
    said = dvbench("verify", bundle(honest), *EXACTLY, *again, "--into", "published")
    assert (said.code, said.err) == (0, "")
    assert "largest deviation of a value: 0 of the range of the values" in said.out
    store = Store(here / "published")
    there = {str(path.relative_to(store.root)): path for path in store.root.rglob("*") if path.is_file()}
    record = f"verified/quick/{TITLE}.json"
    assert there.keys() == {*honest, record}
    assert all(there[path].read_bytes() == honest[path] for path in honest if path != SUBMISSION)
    verified = store.verified("quick", TITLE)
    assert verified is not None
    assert sorted(cell.how for cell in verified.cells.values()) == ["re-run", "re-run", "recomputed"]
    hashes = json.loads(honest[SUBMISSION])["files"]
    assert {cell.sha256 for cell in verified.cells.values()} == {
        digest for path, digest in hashes.items() if path.endswith("result.json")
    }
    said = dvbench("verify", "published/" + SUBMISSION, *EXACTLY, "--into", "published")  # recomputed only, this time
    assert said.code == 0
    assert store.verified("quick", TITLE) == verified


@pytest.mark.slow
@pytest.mark.usefixtures("installed")
def test_values_that_were_not_computed_are_found_where_scores_do_not_tell(dvbench, bundle, honest: Files) -> None:
    files = honest
    for folder in (LABELS, FEATURES, SUBSETS):
        values = np.load(io.BytesIO(honest[f"{folder}/values.npy"]))
        files = with_values(
            files, np.where(np.arange(len(values)) == 4, values - 1e-3, values), place_of(files, folder)
        )
    again = ("--sample", 3, "--trust", MINE.name, "--jobs", 0)
    assert dvbench("verify", bundle(files), *again).code == 0
    said = dvbench("verify", bundle(files), *again, "--tolerance", 1e-5)
    assert said.code == 1
    assert sum(": values of player 4: claimed " in line for line in mismatches(said.out)) == 3


@pytest.mark.usefixtures("installed")
def test_another_version_of_the_evaluator_is_not_run(dvbench, bundle, honest: Files) -> None:
    files = honest
    for folder in (LABELS, FEATURES, SUBSETS):
        files = altered(files, folder, lambda said: said.update(evaluator_version="sha256:0"))
    said = dvbench("verify", bundle(files), *EXACTLY, "--sample", 1, "--trust", MINE.name)
    assert said.code == 2
    assert "was valued by loose_mine:Mine sha256:0, and sha256:" in said.err


def test_published_results_are_verified_in_their_folder(dvbench, runs: Path, here: Path) -> None:
    said = dvbench("verify", runs, "--suite", "quick", "--evaluator", TITLE, *EXACTLY, "--into", "recorded")
    assert (said.code, said.err) == (0, "")
    assert said.out.splitlines()[-1] == "3 cells, 3 recomputed, 0 re-run, 0 failed, 0 left as claimed, 0 mismatches"
    assert [str(path.relative_to(here / "recorded")) for path in (here / "recorded").rglob("*.json")] == [
        f"verified/quick/{TITLE}.json"
    ]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--suite", "no"), "has no plan of suite 'no'; it has quick"),
        (("--evaluator", "no"), "has no such results"),
    ],
)
def test_published_results_that_are_not_there(dvbench, runs: Path, words: tuple[str, ...], message: str) -> None:
    said = dvbench("verify", runs, *words, "--jobs", 0)
    assert said.code == 2
    assert message in said.err


@pytest.mark.parametrize("name", ["os:system", "loose_method:UnlearningMethod", "a_package_that_is_not_here"])
def test_what_an_unlearning_method_claims_stays_a_claim_and_is_not_executed(
    dvbench, bundle, here: Path, name: str
) -> None:
    settings = EvaluatorSettings(kind="unlearning", name=name, label="mine", params={"command": "touch executed"})
    (here / "loose_method.py").write_text("open('executed', 'w')")
    said = dvbench("verify", bundle(made_up_files(2, settings, "unlearning-cpu")), *EXACTLY, "--into", "published")
    assert said.code == 0
    assert f"remark: scores that need {name} remain claimed: " in said.out
    assert said.out.splitlines()[-1].startswith("2 cells, 0 recomputed, 0 re-run, 0 failed, 2 left as claimed")
    assert not (here / "executed").exists()
    assert not (here / "published/verified").exists()
    said = dvbench("verify", "mine.zip", *EXACTLY, "--sample", 1)
    assert said.code == 2
    assert not (here / "executed").exists()


def test_ctrl_c_leaves_nothing(dvbench, bundle, honest: Files, here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("dvbench.execution.scoring.build_from_settings", interrupted)
    said = dvbench("verify", bundle(honest), "--jobs", 0, "--into", "published")
    assert said.code == 130
    assert said.err == "interrupted: nothing was copied or recorded\n"
    assert not (here / "published").exists()


def test_a_refused_bundle_is_one_line(dvbench, bundle) -> None:
    files = made_up_files()
    said = dvbench("verify", bundle({**files, result_path(files): b"{}"}), "--jobs", 0)
    assert (said.code, said.out) == (2, "")
    assert said.err.count("\n") == 1
    assert "does not have the SHA-256" in said.err


def test_what_a_submission_no_longer_has_goes_and_nothing_else_does(dvbench, bundle, honest: Files, here: Path) -> None:
    assert dvbench("verify", bundle(honest), "--jobs", 0, "--into", "published").code == 0
    (here / "innocent").touch()
    path = here / "published" / SUBMISSION
    said = json.loads(path.read_bytes())
    others = f"{LABELS.replace(TITLE, 'other')}/values.npy"
    said["files"] |= {"../innocent": "0" * 64, others: "0" * 64}
    path.write_text(json.dumps(said))
    (here / "published" / others).parent.mkdir(parents=True)
    (here / "published" / others).touch()
    kept = {name: content for name, content in honest.items() if not name.startswith(f"{LABELS}/")}
    assert dvbench("verify", bundle(relisted(kept)), "--jobs", 0, "--into", "published").code == 0
    assert (here / "innocent").exists()
    assert (here / "published" / others).exists()
    assert not list((here / "published" / LABELS).iterdir())
    verified = Store(here / "published").verified("quick", TITLE)
    assert verified is not None
    assert len(verified.cells) == 2


def test_what_strangers_wrote_moves_no_cursor(dvbench, bundle, honest: Files) -> None:
    files = honest
    for folder in (LABELS, FEATURES, SUBSETS):
        files = altered(files, folder, lambda said: said.update(evaluator_object="\x1b[2J\nline"))
    said = dvbench("verify", bundle(files), "--jobs", 0)
    assert said.code == 2
    assert said.err.rstrip("\n").isprintable()
    assert "?[2J line" in said.err
    files = altered(honest, FEATURES, lambda said: _more(said["scores"]["noisy_feature_detection"]["metrics"]))
    said = dvbench("verify", bundle(files), "--jobs", 0)
    assert said.code == 1
    assert "noisy_feature_detection.?[2Jmore: claimed 1.0, found None" in said.out
    assert all(line.isprintable() for line in said.out.splitlines())


def _more(metrics: Any) -> None:
    metrics["\x1b[2Jmore"] = 1.0


def test_data_that_cannot_be_had_says_nothing_about_what_is_claimed(
    dvbench, bundle, honest: Files, monkeypatch: pytest.MonkeyPatch
) -> None:
    def gone(_: str) -> None:
        raise UserError("cannot get digits")

    monkeypatch.setattr("dvbench.problems.build.load_source", gone)
    said = dvbench("verify", bundle(honest), "--jobs", 0)
    assert (said.code, said.err) == (2, "error: cannot get digits\n")
    assert mismatches(said.out) == []
