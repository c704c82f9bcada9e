"""What is refused of a bundle whose form is in order: other plans, other cells, other people's names."""

from __future__ import annotations

import json
from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from made_up_bundles import (
    MINE,
    SUBMISSION,
    TITLE,
    Files,
    made_up_files,
    relisted,
    result_path,
    with_result,
    with_submission,
    with_values,
    write_zip,
)

from dvbench.errors import UserError
from dvbench.registry import entries, suite_files
from dvbench.results import Store
from dvbench.settings import EvaluatorSettings
from dvbench.submission.bundle import Bundle, read_bundle
from dvbench.submission.checks import check_cells, check_identity, check_plans, confusable_form, remarks
from dvbench.suite import load_suite

KNN = EvaluatorSettings(name="knn_shapley")


@pytest.fixture
def read(tmp_path: Path) -> Callable[[Files], Bundle]:
    folders = (tmp_path / f"into-{number}" for number in count())
    return lambda files: read_bundle(write_zip(tmp_path / "mine.zip", files), next(folders), check_plans)


def checked(bundle: Bundle, published: Store | None = None) -> None:
    check_cells(bundle)
    check_identity(bundle, published)


def first_cell(said: Any) -> Any:
    return said["plans"][0]["cells"][0]


def test_nothing_is_wrong_with_an_honest_one(read) -> None:
    bundle = read(made_up_files(10))
    checked(bundle)
    assert remarks(bundle) == []


def test_what_is_missing_is_said(read) -> None:
    (line,) = remarks(read(made_up_files(2)))
    assert line.startswith("missing of suite 'quick': 8 of 10 cells: quick/digits-logistic_regression-features0.2x2/")


def _suite(said: Any) -> None:
    plan = said["plans"][0]
    plan["suite"] = "../../etc/evil.toml".rpartition("/")[2]
    for cell in plan["cells"]:
        cell["key"]["suite"] = "evil.toml"


def _evaluator(said: Any) -> None:
    for cell in said["plans"][0]["cells"]:
        cell["evaluator"].update(name="\x1b]0;x:Mine", label=TITLE)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda said: said["plans"][0]["cells"].pop(), "cells differ, or are left out"),
        (lambda said: said["plans"][0]["cells"].append(first_cell(said)), "cells differ, or are left out"),
        (lambda said: first_cell(said)["problem"]["sizes"].update(test=1000), "cells differ, or are left out"),
        (lambda said: first_cell(said)["key"].update(seed=7), "cells differ, or are left out"),
        (lambda said: first_cell(said)["evaluator"]["params"].update(k=1), "cells differ, or are left out"),
        (lambda said: first_cell(said)["tasks"].pop(), "cells differ, or are left out"),
        (lambda said: said["plans"][0].update(suite_version=1), "results of version 1 of suite 'quick', which is at"),
        (lambda said: said["plans"][0].update(cells=[]), "has other evaluators than loose_mine.Mine"),
        (lambda said: first_cell(said)["key"].update(evaluator="other"), "has other evaluators than loose_mine.Mine"),
        (lambda said: said["plans"].append(said["plans"][0]), "two of its plans are of the same suite"),
        (_evaluator, "is a registered name, or module:Class"),
        (_suite, "'evil.toml' is not a suite of dvbench"),
    ],
)
def test_nobody_chooses_problems_or_seeds(read, here: Path, change: Callable[[Any], object], message: str) -> None:
    (here / "evil.toml").write_text("[[[")
    with pytest.raises(UserError, match=message):
        checked(read(with_submission(made_up_files(), change)))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda said: said["cell"]["problem"]["training"].update(epochs=50), "it was run with other settings or tasks"),
        (lambda said: said["cell"]["evaluator"]["params"].update(k=1), "it was run with other settings or tasks"),
        (
            lambda said: said["cell"]["problem"].update(dataset="csv:/etc/passwd"),
            "it was run with other settings or tasks",
        ),
        (lambda said: said["cell"]["tasks"].pop(), "it was run with other settings or tasks"),
        (lambda said: said["scores"].pop("point_removal"), "it has no score of point_removal"),
        (
            lambda said: said["scores"].update(lds=said["scores"]["point_removal"]),
            "a score of lds, which is not a task of its suite",
        ),
        (
            lambda said: said["scores"]["point_removal"].update(version=99),
            "by version 99 of point_removal, whose version is",
        ),
    ],
)
def test_nobody_chooses_how_a_cell_is_run(read, change: Callable[[Any], object], message: str) -> None:
    with pytest.raises(UserError, match=message):
        checked(read(with_result(made_up_files(), change)))


def test_a_cell_that_no_plan_asks_for(read) -> None:
    files = made_up_files(1)
    moved = {path.replace("seed-0", "seed-8"): content for path, content in files.items()}
    path = next(path for path in moved if path.endswith("result.json"))
    moved[path] = moved[path].replace(b'"seed": 0', b'"seed": 8')
    with pytest.raises(UserError, match="seed-8': it is not planned"):
        checked(read(with_result(moved, lambda said: None)))


@pytest.mark.parametrize(
    ("label", "other"),
    [
        ("Data_Shapley", "data_shapley"),
        ("datashapley", "data_shapley"),
        ("data-shap1ey", "data_shapley"),
        ("data_shapIey", "data_shapley"),
        ("lnn_shapley", None),
        ("knn.shapley", "knn_shapley"),
        ("d_v_r_1", "dvrl"),
        ("rand0rn", "random"),
        ("randorn", "random"),
        ("unlearning_shap1ey-hard", "unlearning_shapley-hard"),
        ("c1ass_vvise_shapley", "class_wise_shapley"),
    ],
)
def test_names_that_pass_for_another(read, label: str, other: str | None) -> None:
    bundle = read(made_up_files(1, MINE.model_copy(update={"label": label})))
    if other is None:
        checked(bundle)
        return
    with pytest.raises(UserError, match=f"{label} looks like {other}, which exists already"):
        checked(bundle)


def test_no_two_names_of_dvbench_pass_for_each_other() -> None:
    shipped = {each.title for name in suite_files() for each in load_suite(name).evaluators}
    names = {*shipped, *entries("evaluators"), *entries("unlearning")}
    assert len({confusable_form(name) for name in names}) == len(names)


def test_a_name_of_dvbench_for_something_else(read) -> None:
    plain = made_up_files(1, KNN)
    own = {"name": "loose_mine:Mine", "label": "knn_shapley"}
    files = with_submission(plain, lambda said: [cell["evaluator"].update(own) for cell in said["plans"][0]["cells"]])
    with pytest.raises(UserError, match="in suite 'quick' knn_shapley has other settings"):
        checked(read(files))
    files = made_up_files(1, KNN)
    with pytest.raises(
        UserError, match=r"knn_shapley is the name of evaluators\.\S+, but its results are of knn_shapley"
    ):
        checked(read(files))


@pytest.mark.parametrize("attribute", ["knn_shapley", "KNNShapley"])
def test_results_of_a_baseline_from_before_it_was_a_class(read, attribute: str) -> None:
    files = made_up_files(1, KNN)
    result = json.loads(files[result_path(files)])
    result["evaluator_object"] = f"evaluators.baselines.knn_shapley:{attribute}"
    files[result_path(files)] = json.dumps(result).encode()
    checked(read(relisted(files, "submissions/knn_shapley.json")))


def test_a_name_that_only_another_suite_has(read) -> None:
    elsewhere = load_suite("unlearning-cpu").evaluators[0]
    bundle = read(made_up_files(1, MINE.model_copy(update={"label": elsewhere.title})))
    with pytest.raises(UserError, match=f"{elsewhere.title} is the name of .*, but its results are of loose_mine:Mine"):
        checked(bundle)


def test_results_of_several_evaluators(read) -> None:
    files = with_result(made_up_files(2), lambda said: said.update(evaluator_object="other:Other"))
    with pytest.raises(UserError, match="of several evaluators: loose_mine:Mine, other:Other"):
        checked(read(files))


@pytest.fixture
def published(tmp_path: Path) -> Store:
    for path, content in made_up_files().items():
        place = tmp_path / "results" / path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(content)
    return Store(tmp_path / "results")


def test_a_submission_may_be_copied_again(read, published: Store) -> None:
    checked(read(made_up_files()), published)


def test_names_that_look_like_that_of_a_submission(read, published: Store) -> None:
    bundle = read(made_up_files(1, MINE.model_copy(update={"label": "loose_mine-Mine"})))
    with pytest.raises(UserError, match=r"loose_mine-Mine looks like loose_mine\.Mine"):
        checked(bundle, published)


def test_the_name_of_a_submission_of_others(read, published: Store) -> None:
    files = with_submission(made_up_files(), lambda said: said["about"].update(code="https://example.org/other"))
    with pytest.raises(UserError, match=r"has a loose_mine\.Mine from https://example\.org/mine"):
        checked(read(files), published)


def test_a_name_that_has_results_which_nobody_submitted(read, published: Store) -> None:
    (published.root / SUBMISSION).unlink()
    with pytest.raises(UserError, match=r"has results of loose_mine\.Mine that were not submitted"):
        checked(read(made_up_files()), published)


def test_another_evaluator_under_the_label_of_a_submission(read, published: Store, tmp_path: Path) -> None:
    label = MINE.model_copy(update={"label": "nice"})
    for path, content in made_up_files(1, label).items():
        place = tmp_path / "other" / path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(content)
    files = made_up_files(1, EvaluatorSettings(name="theirs:Theirs", label="nice"))
    with pytest.raises(UserError, match="nice is loose_mine:Mine in"):
        checked(read(files), Store(tmp_path / "other"))


def test_values_that_look_odd_are_remarked(read, published: Store) -> None:
    files = with_values(made_up_files(4), np.zeros(100), position=0)
    files = with_values(files, np.arange(100.0) % 10, position=1)
    files = with_values(with_values(files, np.arange(100.0), position=2), np.arange(100.0), position=3)
    failure = {"status": "failed", "error": "\x1b[31mred", "scores": {}, "arrays": {}}
    lines = remarks(read(files))
    folders = [path.removesuffix("/result.json") for path in sorted(files) if path.endswith("result.json")]
    assert f"{folders[0]}: all values are the same" in lines
    assert f"{folders[1]}: only 10 distinct values for 100 players" in lines
    assert f"the same values in 2 cells, such as {folders[2]}, {folders[3]}" in lines
    assert not any(folders[2] in line or folders[3] in line for line in lines if "the same values" not in line)
    path = f"{folders[0]}/values.npy"
    files.pop(path)
    lines = remarks(read(with_result(files, lambda said: said.update(failure))))
    assert f"failed: {folders[0]}: ?[31mred" in lines


def test_remarks_of_one_kind_are_few_lines(read) -> None:
    files = made_up_files(6)
    for position in range(6):
        files = with_values(files, np.zeros(100), position=position)
    everything, few = remarks(read(files)), remarks(read(files), most=3)
    assert sum("all values are the same" in line for line in everything) == 6
    assert sum("all values are the same" in line for line in few) == 3
    assert len(few) == len(everything) - 6 + 4
    assert "and 3 more remarks of this kind; --all-remarks lists them" in few
    assert remarks(read(files), most=5) == everything  # to say that there is one more takes a line too


def test_equal_second_values_are_one_remark(read) -> None:
    files = made_up_files(6)
    for position in range(2, 5):
        path = result_path(files, position)
        files |= {path.replace("result.json", "repeat.npy"): files[path.replace("result.json", "values.npy")]}
        files = with_result(
            files, lambda said: said["arrays"].update(repeat=said["arrays"]["values"]), position=position
        )
    (line,) = (line for line in remarks(read(files)) if "second values" in line)
    assert f"in 3 cells, such as {result_path(files, 2).removesuffix('/result.json')}: " in line


def test_values_of_another_evaluator_are_remarked(read, published: Store) -> None:
    lines = remarks(read(made_up_files(2, MINE.model_copy(update={"label": "new"}))), published)
    assert sum(line.endswith(f": its values are those of {TITLE}") for line in lines) == 2


def test_results_of_two_versions_are_remarked(read) -> None:
    files = with_result(made_up_files(2), lambda said: said.update(evaluator_version="2"))
    assert "results of 2 versions of the evaluator: 1, 2" in remarks(read(files))


def test_a_submission_says_whose_it_is() -> None:
    assert json.loads(made_up_files()[SUBMISSION])["evaluator"] == TITLE
