"""Cells whose evaluator is a selection strategy: chosen, recorded, scored from the record, resumed and refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from dvbench.cli import main
from dvbench.errors import UserError
from dvbench.execution.planning import make_plan, narrow
from dvbench.execution.run import run_cells, score_saved_values
from dvbench.execution.suite_checks import check_suite
from dvbench.problems.build import build_from_settings
from dvbench.registry import find
from dvbench.results import Result, Store
from dvbench.scoring.retraining import Retraining
from dvbench.scoring.selection_experiment import SelectionExperiment
from dvbench.selecting.record import unpacked
from dvbench.settings import Noise
from dvbench.suite import Suite, load_suite

SUITE = """
version = 1
description = "Small."
seeds = [0]

[[problems]]
label = "few"
dataset = "digits"
sizes = { train = 120, validation = 40, test = 60 }
noise = { kind = "labels", rate = 0.3, draw = "any", validation = true }
model = { name = "mlp", params = { hidden = [8] } }
training = { epochs = 3, lr = 0.01 }
selection = { fractions = [0.1, 0.5, 1.0], every = 2, epochs = 5, batch_size = 16, lr = 0.02 }
tasks = ["selection_accuracy"]

[[selection]]
name = "full"

[[selection]]
name = "chg_shapley"

[[selection]]
name = "random"

[[selection]]
name = "grad_match_pb"

[[selection]]
name = "evaluator_values"
params = { evaluator = "knn_shapley" }
"""


@pytest.fixture
def suite(tmp_path: Path) -> Suite:
    (tmp_path / "small.toml").write_text(SUITE)
    return load_suite(str(tmp_path / "small.toml"))


def refusal(suite: Suite) -> str:
    with pytest.raises(UserError) as error:
        check_suite(suite)
    assert "\n" not in str(error.value)
    return str(error.value)


def run(suite: Suite, store: Store) -> dict[str, Result]:
    results = {result.cell.key.evaluator: result for result in run_cells(make_plan(suite).cells, store, "cpu", 0)}
    assert all(score.error is None for result in results.values() for score in result.scores.values())
    return results


def test_cells_are_chosen_recorded_and_scored(suite: Suite, store: Store) -> None:
    check_suite(suite)
    results = run(suite, store)
    assert {result.status for result in results.values()} == {"ok"}
    how = suite.problems[0].selection
    problem = build_from_settings(suite.problems[0].settings, 0)
    full = results["full"].scores["selection_accuracy"]
    for name, result in results.items():
        score = result.scores["selection_accuracy"]
        # All points: to the bit what Full is, whoever chose them. GradMatch weighs its points.
        if name != "grad_match_pb":
            assert score.metrics["accuracy_1"] == full.metrics["full"], name
        assert score.metrics["full"] == full.metrics["full"]
        arrays = {each: store.array(result, each) for each in result.arrays}
        choices = unpacked(arrays, 120, how, keeps_all=name == "full")
        assert len(choices[0]) == {"chg_shapley": 3, "grad_match_pb": 3}.get(name, 1)
        counts = [[len(each.indices) for each in one] for one in choices]
        assert counts == [[n] * len(choices[0]) for n in ((120,) * 3 if name == "full" else (12, 60, 120))]
        shares = [np.mean([problem.corrupted[each.indices].mean() for each in one]) for one in choices]
        np.testing.assert_allclose(score.curves["mislabelled"], shares, atol=1e-6)
        assert result.diagnostics["seconds_0.1"] >= result.diagnostics["selection_seconds_0.1"] >= 0
        assert result.diagnostics["relative_seconds_0.5"] > 0
        assert result.cost.fits == (1 if name == "full" else 3)
    assert full.curves["accuracy"] == [round(full.metrics["full"], 6)] * 3
    assert full.metrics["area_relative"] == pytest.approx(1)
    assert results["chg_shapley"].evaluator_object == "dvbench.selection.chg_shapley:CHGShapley"
    assert "weights" in results["grad_match_pb"].arrays
    # The evaluator's values: those of knn_shapley, highest first.
    from dvbench.execution.valuation import valuate
    from dvbench.settings import EvaluatorSettings

    cell = results["evaluator_values"].cell
    values = valuate(
        problem, EvaluatorSettings(name="knn_shapley"), cell.problem.model, cell.problem.training, key=("small", 0)
    ).arrays["values"]
    kept = unpacked({"chosen": store.array(results["evaluator_values"], "chosen")}, 120, how)[0][0].indices
    assert set(kept) == set(np.argsort(-values, kind="stable")[:12])


def test_scores_are_computed_from_the_record_alone(suite: Suite, store: Store, tmp_path: Path) -> None:
    cells = make_plan(suite).cells[1:3]
    before = {result.cell.key.evaluator: result for result in run_cells(cells, store, "cpu", 0)}
    other = Store(tmp_path / "other")
    swapped = dict(zip(before, reversed(before), strict=True))
    for name, result in before.items():  # each gets what the other one chose
        arrays = {each: store.array(before[swapped[name]], each) for each in before[swapped[name]].arrays}
        other.write(result.model_copy(update={"scores": {}}), arrays)
    after = {result.cell.key.evaluator: result for result in score_saved_values(cells, other, "cpu", 0)}
    for name in before:
        assert after[name].scores == before[swapped[name]].scores
    assert before["random"].scores != before["chg_shapley"].scores


def test_more_points_than_a_fraction_allows_get_no_score(suite: Suite, store: Store, tmp_path: Path) -> None:
    full, chg = make_plan(suite).cells[:2]
    results = list(run_cells([full, chg], store, "cpu", 0))
    everything = {name: store.array(results[0], name) for name in results[0].arrays}
    other = Store(tmp_path / "other")
    other.write(results[1].model_copy(update={"scores": {}}), everything)
    (result,) = score_saved_values([chg], other, "cpu", 0)
    error = result.scores["selection_accuracy"].error
    assert error.startswith("120 of 120 points were chosen at fraction 0.1, which allows 12")


def test_by_hand_the_same_accuracy(suite: Suite, store: Store) -> None:
    (result,) = run_cells(make_plan(suite).cells[1:2], store, "cpu", 0)
    cell = result.cell
    problem = build_from_settings(cell.problem, 0)
    experiment = SelectionExperiment(
        Retraining(problem, cell.problem.model, cell.problem.training), cell.problem.selection
    )
    one = unpacked({"chosen": store.array(result, "chosen")}, 120, cell.problem.selection)[1]
    trained = []
    experiment.train(lambda network, number: one[number], trained.append)
    hits = trained[-1].eval()(problem.test.x).argmax(dim=1) == problem.test.y.argmax(dim=1)
    assert result.scores["selection_accuracy"].metrics["accuracy_0.5"] == pytest.approx(float(hits.float().mean()))
    assert experiment.retraining.model.network is not trained[-1]


def test_the_same_cell_has_the_same_record(suite: Suite, store: Store, tmp_path: Path) -> None:
    cells = make_plan(suite).cells[1:2]
    (first,), (again,) = (run_cells(cells, each, "cpu", 0) for each in (store, Store(tmp_path / "again")))
    assert first.scores == again.scores
    assert first.arrays == again.arrays


def test_noise_is_drawn_from_all_classes_and_is_in_the_validation_set_too(suite: Suite) -> None:
    settings = suite.problems[0].settings
    noisy = build_from_settings(settings, 0)
    clean = build_from_settings(settings.model_copy(update={"noise": Noise()}), 0)
    changed = (noisy.train.y != clean.train.y).any(dim=1).numpy()
    np.testing.assert_array_equal(changed, noisy.corrupted)
    assert 0.2 * 120 < changed.sum() < 0.3 * 120  # a tenth of the drawn labels are the true ones
    assert 0 < (noisy.validation.y != clean.validation.y).any(dim=1).sum() <= 12
    assert (noisy.test.y == clean.test.y).all()
    assert noisy.revision == clean.revision
    trusted = Noise(kind="labels", rate=0.3, draw="any")
    without = build_from_settings(settings.model_copy(update={"noise": trusted}), 0)
    assert (without.validation.y == clean.validation.y).all()
    assert (without.train.y == noisy.train.y).all()


def test_rare_classes_keep_their_fraction() -> None:
    from dvbench.problems.build import build_problem
    from dvbench.settings import Imbalance, Sizes

    sizes = Sizes(train=600, validation=100, test=100)
    whole, rare = (
        build_problem("digits", sizes, Noise(), 0, None, each) for each in (None, Imbalance(classes=0.3, keep=0.1))
    )
    before, after = (problem.train.y.sum(dim=0) for problem in (whole, rare))
    thin = after < before
    assert int(thin.sum()) == 3
    assert after[thin].tolist() == [round(0.1 * count) for count in before[thin].tolist()]
    assert rare.players == int(after.sum())
    assert (rare.validation.y == whole.validation.y).all()
    assert rare.revision != whole.revision


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('name = "random"', 'name = "randum"', "no selection strategy is named 'randum': did you mean 'random'?"),
        ('evaluator = "knn_shapley"', 'evaluator = "knn"', "no evaluator is named 'knn'"),
        (
            'name = "random"',
            'name = "el2n"\nparams = { at_start = 3 }',
            "cannot make selection strategy el2n: at_start",
        ),
        ("every = 2, epochs = 5", "every = 5, epochs = 5", None),
        (
            '"selection_accuracy"',
            '"output_divergence"',
            "suite 'small': output_divergence judges unlearning methods, and",
        ),
    ],
)
def test_what_cannot_work_is_found_before_anything_runs(
    old: str, new: str, message: str | None, tmp_path: Path
) -> None:
    (tmp_path / "small.toml").write_text(SUITE.replace(old, new))
    suite = load_suite(str(tmp_path / "small.toml"))
    if message is None:
        check_suite(suite)
    else:
        assert refusal(suite).startswith(message)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (SUITE + '\n[[evaluators]]\nname = "random"\n', "a suite has evaluators or selection strategies, not both"),
        (
            SUITE + '\n[[unlearning]]\nname = "scrub"\n',
            "a suite has unlearning methods or selection strategies, not bot",
        ),
        (SUITE.partition("[[selection]]")[0] + "[selection]\n", "selection strategies are tables, [[selection]]"),
        (SUITE.replace("0.1, 0.5", "0.5, 0.1"), "fractions must ascend"),
        (SUITE.replace("0.1, 0.5, 1.0", "1.5"), "less than or equal to 1"),
        (SUITE.replace("selection = {", "imbalance = {"), "unknown key 'batch_size'"),
        (
            SUITE.replace(
                'tasks = ["selection_accuracy"]', 'groups = { by = "classes" }\ntasks = ["selection_accuracy"]'
            ),
            "selection and imbalance allow no groups",
        ),
        (
            "\n".join(line for line in SUITE.splitlines() if not line.startswith("selection =")),
            "problem 'few' needs selection =",
        ),
        (
            SUITE.partition("[[selection]]")[0] + '[[evaluators]]\nname = "random"\n',
            "problem 'few' has settings of selection",
        ),
    ],
)
def test_suites_that_are_wrong(text: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "small.toml").write_text(text)
    with pytest.raises(UserError, match=r"small\.toml: ") as error:
        load_suite(str(tmp_path / "small.toml"))
    assert message in str(error.value)


def test_what_does_not_fit_a_problem_is_a_failure_of_one_line(suite: Suite, store: Store) -> None:
    first = suite.problems[0]
    few = first.selection.model_copy(update={"fractions": (0.01,)})
    crops = first.selection.model_copy(update={"augmentation": "crop_and_flip"})
    for how, message in ((few, "fraction 0.01 keeps 1 of 120 rows"), (crops, "crops and flips are of images")):
        changed = suite.model_copy(update={"problems": (first.model_copy(update={"selection": how}),)})
        (result,) = run_cells(make_plan(changed).cells[:1], store, "cpu", 0)
        assert result.status == "failed"
        assert result.error.startswith(message)


def test_strategies_are_chosen_by_name_and_a_strangers_is_added(suite: Suite, store: Store, script) -> None:
    assert [(one.kind, one.name) for one in narrow(suite, ["cgsv"]).evaluators] == [("selection", "cgsv")]
    with pytest.raises(UserError, match=r"^knn_shapley is an evaluator, and suite 'small' has selection strategies$"):
        narrow(suite, ["knn_shapley"])
    with pytest.raises(UserError, match=r"^glister is a selection strategy, and suite 'quick' has evaluators$"):
        narrow(load_suite("quick"), ["glister"])
    script(
        "my_strategies",
        "from dataclasses import dataclass\n"
        "from dvbench.selecting.contract import ValueStrategy\n\n"
        "@dataclass(frozen=True)\n"
        "class Large(ValueStrategy):\n"
        '    """Large gradients."""\n'
        "    def values(self, points):\n"
        "        return points.gradients.squared_norms()\n\n"
        "class NoStrategy:\n    pass\n",
    )
    own = narrow(suite, ["my_strategies:Large"])
    check_suite(own)
    (result,) = run_cells(make_plan(own).cells, store, "cpu", 0)
    assert result.status == "ok"
    assert result.evaluator_version.startswith("sha256:")
    assert refusal(narrow(suite, ["my_strategies:NoStrategy"])).startswith(
        "my_strategies:NoStrategy is not a selection st"
    )


def test_strategies_are_listed_and_described(capsys) -> None:
    assert main(["list", "selection"]) == 0
    assert "grad_match_pb" in capsys.readouterr().out
    assert main(["describe", "glister"]) == 0
    shown = capsys.readouterr().out
    assert "\nper_class: bool = False\n" in shown
    assert shown.startswith("glister (selection strategy, dvbench.selection.glister:Glister)")
    assert main(["describe", "chg_shapley"]) == 0
    shown = capsys.readouterr().out
    assert shown.startswith("chg_shapley (evaluator,")
    assert shown.endswith(
        "There is also a selection strategy of this name: dvbench describe chg_shapley --kind selection\n"
    )
    assert main(["describe", "chg_shapley", "--kind", "selection"]) == 0
    assert capsys.readouterr().out.startswith("chg_shapley (selection strategy,")
    assert main(["describe", "glister", "--kind", "models"]) == 2
    assert find("selection", "GradMatchPB").name == "grad_match_pb"
