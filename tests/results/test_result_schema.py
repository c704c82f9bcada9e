"""What a result may say."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from pydantic import ValidationError
from result_samples import sample_cell, sample_plan, sample_result

from dvbench.errors import validation_message
from dvbench.results import About, CellKey, Environment, Plan, Result, Score
from dvbench.results.schema import as_json
from dvbench.settings import DatasetSettings
from dvbench.suite import load_suite
from dvbench.tasks.point_addition import point_addition


def test_round_trip() -> None:
    result, plan = sample_result(), sample_plan()
    assert Result.model_validate_json(as_json(result)) == result
    assert Plan.model_validate_json(as_json(plan)) == plan
    assert as_json(result).endswith("}\n")


def changed(path: str, value: object) -> str:
    """JSON of the sample with one place of it changed."""
    whole = json.loads(as_json(sample_result()))
    *parents, last = path.split(".")
    position = whole
    for parent in parents:
        position = position[parent]
    position[last] = value
    return json.dumps(whole)


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ("extra", 1, "the file: unknown key 'extra'; allowed are schema_version, "),
        ("cell.key.extra", 1, "cell.key: unknown key 'extra'; allowed are suite, problem, evaluator, seed"),
        ("schema_version", 3, "schema_version: Input should be 2"),
        ("cost.seconds", float("nan"), "cost.seconds: Input should be a finite number"),
        ("cost.seconds", -1, "cost.seconds: Input should be greater than or equal to 0"),
        ("diagnostics.d", float("nan"), "diagnostics.d: Input should be a finite number"),
        ("scores.noisy_label_detection.metrics.auroc", float("nan"), "scores.noisy_label_detection.metrics.auroc: "),
        ("scores.noisy_label_detection.curves.c", [float("inf")], "scores.noisy_label_detection.curves.c.0: "),
        (
            "scores.noisy_label_detection.headline",
            "f1",
            "scores.noisy_label_detection: neither an error nor the headline metric 'f1'",
        ),
        ("dataset.revision", "abc", "dataset.revision: String should match pattern"),
        ("arrays", {"../../etc": {"sha256": "0" * 64, "length": 4}}, "arrays.../../etc"),
        ("arrays", {"values": {"sha256": "no", "length": 4}}, "arrays.values.sha256: String should match pattern"),
        ("error", "but it is ok", "the file: a result that is ok has a dataset and a cost, and no error"),
        ("cost", None, "the file: a result that is ok has a dataset and a cost, and no error"),
        ("status", "failed", "the file: a failed result has an error, and neither arrays nor scores"),
        ("status", "fine", "status: Input should be 'ok', 'failed' or 'declined'"),
    ],
)
def test_what_is_refused_and_how_it_is_said(path: str, value: object, message: str) -> None:
    with pytest.raises(ValidationError) as error:
        Result.model_validate_json(changed(path, value))
    assert validation_message(error.value).startswith(message)
    assert "\n" not in validation_message(error.value)


@pytest.mark.parametrize("name", ["", ".", "..", "../up", "a/b", "a\\b", "/root", "a b", "a\n", "é", "x" * 81])
@pytest.mark.parametrize("field", ["suite", "problem", "evaluator"])
def test_a_key_cannot_leave_its_folder(field: str, name: str) -> None:
    with pytest.raises(ValidationError, match=field):
        CellKey(**{"suite": "s", "problem": "p", "evaluator": "e", "seed": 0, field: name})


HOSTILE = "\ud800\x1b[2J\u202e\n" + "x" * 100_000


def test_texts_are_cut_and_cleaned() -> None:
    failed = sample_result(
        status="failed", error=HOSTILE, scores={}, evaluator_object=HOSTILE, evaluator_version=HOSTILE
    )
    score = Score(version=1, headline="f1", higher_is_better=True, error=HOSTILE)
    for text, longest in (
        (failed.error, 2000), (score.error, 2000), (failed.evaluator_object, 300), (failed.evaluator_version, 300),
    ):  # fmt: skip
        assert text is not None
        assert text.startswith("??[2J? xxx")
        assert (len(text), text.isprintable()) == (longest, True)
    assert Result.model_validate_json(as_json(failed)) == failed


def test_environments_are_cut_and_cleaned() -> None:
    fields = dict.fromkeys(("platform", "processor", "device", "python"), HOSTILE)
    environment = Environment(**fields, cores=1, packages={HOSTILE: HOSTILE})
    texts = [
        *environment.model_dump(include=set(fields)).values(),
        *environment.packages,
        *environment.packages.values(),
    ]
    assert len(texts) == 6
    assert all(len(text) == 300 and text.isprintable() for text in texts)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("diagnostics", {f"n{number}": 1.0 for number in range(1001)}),
        ("environment.packages", {f"n{number}": "1" for number in range(1001)}),
        ("scores.noisy_label_detection.metrics", {f"n{number}": 1.0 for number in range(1001)}),
        ("scores.noisy_label_detection.curves", {f"n{number}": [] for number in range(1001)}),
        ("scores.noisy_label_detection.error", "failed, and has metrics"),
    ],
)
def test_a_result_is_not_made_large_by_what_nobody_reads(path: str, value: object) -> None:
    with pytest.raises(ValidationError):
        Result.model_validate_json(changed(path, value))


def test_names_of_numbers_are_cut_and_cleaned() -> None:
    fields = {"version": 1, "headline": "h", "higher_is_better": True, "metrics": {"h": 1.0, HOSTILE: 2.0}}
    score = Score.model_validate({**fields, "curves": {HOSTILE: [1.0]}, "axes": {HOSTILE: "player"}})
    result = sample_result(diagnostics={HOSTILE: 1.0})
    for name in (*list(score.metrics)[1:], *score.curves, *score.axes, *result.diagnostics):
        assert (len(name), name.isprintable()) == (200, True)


@pytest.mark.parametrize(
    ("link", "allowed"),
    [
        ("https://example.org:8080/mine", True),
        ("https://example.org:\u0668\u0660/mine", False),
        ("https://ex\u0430mple.org/mine", False),
        ("https://example.org/mine\n", False),
        ("https://user@example.org/", False),
    ],
)
def test_links_are_plain_ascii(link: str, allowed: bool) -> None:
    about = {"name": "Mine", "version": "1", "authors": ["Ada"], "reference": "none", "code": link, "licence": "MIT"}
    if allowed:
        assert About.model_validate(about).code == link
    else:
        with pytest.raises(ValidationError, match="a link is https://"):
            About.model_validate(about)


def test_seeds_are_not_negative() -> None:
    with pytest.raises(ValidationError, match="seed"):
        CellKey(suite="s", problem="p", evaluator="e", seed=-1)


def test_folder_and_name_of_a_cell() -> None:
    key = sample_cell(3).key
    assert key.folder == "small/digits-mlp-labels0.2/random/seed-3"
    assert str(key) == "digits-mlp-labels0.2 random seed 3"


def test_value_of_a_score() -> None:
    about = {"version": 1, "headline": "f1", "higher_is_better": True}
    assert Score(**about, metrics={"f1": 0.5}).value == 0.5
    assert Score(**about, error="boom").value is None


def test_x_axes_of_curves_exist() -> None:
    about = {"version": 1, "headline": "h", "higher_is_better": True, "metrics": {"h": 1.0}, "curves": {"c": [1.0]}}
    assert Score.model_validate({**about, "axes": {"c": "player"}}).axes == {"c": "player"}
    for axes in ({"c": "nothing"}, {"other": "player"}):
        with pytest.raises(ValidationError, match="x axis"):
            Score.model_validate({**about, "axes": axes})


def test_axes_of_scores_of_version_1() -> None:
    """Version 1 did not save them; its tasks' curves have known names."""
    scores = {
        "detection": {"fraction": [0.0, 1.0], "recall": [0.0, 1.0], "longer": [1.0, 2.0, 3.0]},
        "divergence": {"log10_loss": [0.0], "full": [1.0]},
        "retention": {
            "full_forget": [0.0, 1.0], "train_loss": [1.0, 0.5, 0.1], "test_loss": [1.0, 0.5, 0.1],
            "step": [0.0, 5.0], "unlearning_forget": [0.2, 0.3],
        },
        "lds": {"summed": [1.0], "performance": [2.0]},
    }  # fmt: skip
    expected = {
        "detection": {"recall": "fraction", "longer": "player"},
        "divergence": {"full": "log10_loss"},
        "retention": {
            "full_forget": "player", "train_loss": "epoch", "test_loss": "epoch", "unlearning_forget": "step"
        },
        "lds": {"summed": "coalition", "utility": "coalition"},
    }  # fmt: skip
    first = sample_result().model_dump(mode="json")
    first["schema_version"] = 1
    about = {"version": 1, "headline": "h", "higher_is_better": True, "metrics": {"h": 1.0}}
    first["scores"] = {name: {**about, "curves": curves} for name, curves in scores.items()}
    first["diagnostics"] = {"performance_full": 0.5, "metric_full": 0.25}
    upgraded = Result.model_validate(first)
    assert upgraded.scores["lds"].curves == {"summed": [1.0], "utility": [2.0]}
    assert upgraded.diagnostics == {"utility_full": 0.5, "metric_full": 0.25}
    assert {name: score.axes for name, score in upgraded.scores.items()} == expected


def addition(**changes: object) -> dict:
    """A result with a score of point addition of version 1."""
    rising, straight = [(step / 20) ** 0.5 for step in range(1, 21)], [step / 20 for step in range(1, 21)]
    curves = {"fraction": straight, "add_high": rising, "add_low": straight, "random": straight}
    score = {
        "version": 1, "headline": "early_gap", "higher_is_better": True, "metrics": {"early_gap": 0.2},
        "curves": curves, "axes": dict.fromkeys(("add_high", "add_low", "random"), "fraction"),
    }  # fmt: skip
    return sample_result().model_dump(mode="json") | {"scores": {"point_addition": score | changes}}


def test_scores_of_point_addition_of_version_1_are_read_by_their_curves() -> None:
    """As the task itself computes them, so that nothing is trained again."""
    content = addition()
    curves = content["scores"]["point_addition"]["curves"]
    utilities = np.array([curves[name] for name in ("add_high", "add_low", "random")])
    outcome = point_addition.score(None, None, utilities)  # type: ignore[arg-type]
    score = Result.model_validate(content).scores["point_addition"]
    assert (score.version, score.headline) == (point_addition.version, point_addition.headline)
    assert score.metrics.keys() <= outcome.metrics.keys()
    kept = [name for name in outcome.metrics if name.startswith("kept_")]
    assert {name: score.metrics[name] for name in kept} == pytest.approx({name: outcome.metrics[name] for name in kept})
    assert score.metrics["early_gap"] == 0.2
    assert Result.model_validate(Result.model_validate(content).model_dump()).scores["point_addition"] == score


@pytest.mark.parametrize(
    "changes",
    [
        {"curves": {}, "axes": {}},
        {"curves": {"add_high": [0.5], "random": [0.5], "fraction": [1.0]}, "axes": {"add_high": "fraction"}},
        {"version": 3},
        {"metrics": {}, "curves": {}, "axes": {}, "error": "boom"},
    ],
    ids=["without curves", "short", "newer", "failed"],
)
def test_other_scores_of_point_addition_stay_as_they_are(changes: dict) -> None:
    content = addition(**changes)
    score = Result.model_validate(content).scores["point_addition"]
    assert (score.version, score.headline) == (changes.get("version", 1), "early_gap")


@pytest.mark.parametrize("curve", [None, "abc", ["a"] * 20, [[0.5]] * 20, [{}] * 20])
def test_curves_that_are_none_are_refused_like_any_other(curve: object) -> None:
    content = addition()
    content["scores"]["point_addition"]["curves"]["random"] = curve
    with pytest.raises(ValidationError):
        Result.model_validate(content)


def test_what_a_result_lacks() -> None:
    about = {"headline": "f1", "higher_is_better": True}
    done = Score(version=1, metrics={"f1": 1.0}, **about)
    result = sample_result(scores={"done": done, "old": done, "broken": Score(version=1, error="boom", **about)})
    assert result.lacks({"done": 1, "old": 2, "broken": 1, "new": 1}) == ["old", "broken", "new"]


def test_an_error_without_words_is_named() -> None:
    assert validation_message(ValueError()) == "ValueError"
    assert validation_message(OSError(2, "No such file", "x")) == "[Errno 2] No such file: 'x'"


def test_a_result_of_version_1_is_read_as_one_of_version_2() -> None:
    """What version 1 wrote: settings of the problem beside the key, a reachable set, and data sets of answers."""
    result = sample_result()
    content = json.loads(result.model_dump_json())
    problem = content["cell"].pop("problem")
    problem["sizes"]["reachable"] = problem["sizes"].pop("validation")
    problem["dataset"] = "tiny_text_answers"
    content["cell"] |= problem
    content["dataset"]["reachable"] = content["dataset"].pop("validation")
    content["schema_version"] = 1
    old = Result.model_validate_json(json.dumps(content))
    assert old.cell.problem.dataset == DatasetSettings(name="tiny_text", params={"counted": "answers"})
    assert str(old.cell.problem.dataset) == old.cell.problem.dataset.identity == "tiny_text_answers"
    assert old.cell.problem.sizes == result.cell.problem.sizes
    assert old.dataset == result.dataset
    assert Result.model_validate_json(old.model_dump_json()) == old


GENTLE = {"name": "gradient_ascent", "steps": 20, "batch_size": 8, "lr": 1e-4}


@pytest.mark.parametrize(
    ("name", "first", "second"),
    [
        ("unlearning_shapley", {}, {}),
        ("unlearning_shapley", {"permutations": 10}, {"sampling": {"permutations": 10}}),
        ("unlearning_shapley", {"memory": 5, "utility": "log_loss"}, {"memory": 5, "utility": "log_loss"}),
        ("unlearning_shapley", {"method": "scrub"}, {"method": "scrub"}),
        (
            "unlearning_shapley",
            {"method": "scrub", "lr": 0.1, "seconds": 3.0, "antithetic": True, "truncation": 0.5},
            {
                "method": {"name": "scrub", "lr": 0.1},
                "sampling": {"seconds": 3.0, "antithetic": True, "truncation": 0.5},
            },
        ),
        (
            "partial_unlearning_shapley",
            {"steps": 20, "batch_size": 8, "lr": 1e-4, "utility": "log_loss"},
            {"method": GENTLE, "utility": "log_loss"},
        ),
        ("data_shapley", {"permutations": 10}, {"permutations": 10}),
    ],
)
def test_settings_of_unlearning_evaluators_of_version_1(name: str, first: dict, second: dict) -> None:
    """Version 1 gave the settings of unlearning and of sampling as parameters of the evaluator."""
    content = sample_result().model_dump(mode="json") | {"schema_version": 1}
    content["cell"] = content["cell"] | content["cell"].pop("problem")
    content["cell"]["evaluator"] = {"kind": "evaluators", "name": name, "label": None, "params": first}
    assert Result.model_validate(content).cell.evaluator.params == second


@pytest.mark.parametrize("name", ["quick", "partial-cpu", "subset-level-cpu", "text-tiny"])
def test_published_cells_of_version_1_have_the_evaluators_of_todays_suite(name: str) -> None:
    path = Path(__file__).parents[2] / "results" / name / "plan.json"
    published = Plan.model_validate_json(path.read_text(encoding="utf-8"))
    evaluators = {cell.evaluator.title: cell.evaluator for cell in published.cells}
    todays = {evaluator.title: evaluator for evaluator in load_suite(name).evaluators}
    assert {title: evaluators[title] for title in todays} == todays
