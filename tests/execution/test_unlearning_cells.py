"""Cells whose evaluator is an unlearning method: valued, judged, repeated, planned and refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from dvbench.cli import main
from dvbench.errors import UserError
from dvbench.execution import scoring
from dvbench.execution.evaluator_making import make_evaluator
from dvbench.execution.planning import make_plan, narrow
from dvbench.execution.run import run_cells
from dvbench.execution.suite_checks import check_suite
from dvbench.problems.build import build_from_settings
from dvbench.registry import find
from dvbench.results import Store
from dvbench.scoring.contract import Valuation
from dvbench.scoring.retraining import Retraining
from dvbench.scoring.unlearned_points import PointUnlearningExperiment
from dvbench.settings import EvaluatorSettings
from dvbench.suite import Suite, load_suite
from dvbench.tasks.output_divergence import output_divergence
from dvbench.unlearning_methods.plain_ascent import PlainAscent

SUITE = """
version = 1
description = "Small."
seeds = [0, 1]

[[problems]]
label = "few"
dataset = "digits"
sizes = { train = 60, validation = 30, test = 40 }
groups = { by = "classes" }
model = "logistic_regression"
training = { epochs = 5, lr = 0.05 }
tasks = ["output_divergence", "knowledge_retention", "retrained_agreement", "rank_stability"]

[[unlearning]]
name = "plain_ascent"
params = { steps = 10, lr = 0.01 }

[[unlearning]]
name = "plain_ascent"
label = "strong"
params = { steps = 10, lr = 0.1 }

[[unlearning]]
name = "scrub"
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


@pytest.mark.slow
def test_cells_are_valued_and_judged(suite: Suite, store: Store) -> None:
    check_suite(suite)
    results = {result.cell.key.evaluator: result for result in run_cells(make_plan(suite).cells[:3], store, "cpu", 0)}
    assert list(results) == ["plain_ascent", "strong", "scrub"]
    for result in results.values():
        assert (result.status, result.dataset.players) == ("ok", 10)
        assert all(score.error is None for score in result.scores.values())
        assert (result.cost.fits, result.cost.unlearned) == (1, 10)
        assert result.diagnostics["train_seconds"] > 0
        assert result.diagnostics["unlearn_seconds"] > 0
    mine = results["plain_ascent"]
    assert mine.evaluator_object == "dvbench.unlearning_methods.plain_ascent:PlainAscent"
    # By hand: the same models.
    cell = mine.cell
    problem = build_from_settings(cell.problem, 0)
    judge = PointUnlearningExperiment(Retraining(problem, cell.problem.model, cell.problem.training))
    method = PlainAscent(steps=10, lr=0.01)
    np.testing.assert_array_equal(store.array(mine, "values"), judge.utilities_lost(judge.unlearner(method)))
    outcome = output_divergence(problem, Valuation(np.zeros(10), None, lambda: judge.outputs(method)), np.empty(0))
    assert mine.scores["output_divergence"].metrics == outcome.metrics
    # Stronger unlearning goes further from retrained models and forgets more.
    strong = results["strong"]
    assert strong.scores["output_divergence"].value > mine.scores["output_divergence"].value
    left = [each.scores["knowledge_retention"].metrics["kr_forget"] for each in (strong, mine)]
    assert left[0] < left[1]


def test_the_same_cell_has_the_same_scores(suite: Suite, store: Store, tmp_path: Path) -> None:
    cell = make_plan(suite).cells[0]
    (first,), (again,) = (run_cells([cell], each, "cpu", 0) for each in (store, Store(tmp_path / "again")))
    assert first.scores == again.scores
    assert first.arrays == again.arrays


def test_models_to_judge_by_are_trained_once_for_all_methods(suite: Suite, store: Store, monkeypatch) -> None:
    made = []

    class Seen(PointUnlearningExperiment):
        def __init__(self, retraining: Retraining) -> None:
            super().__init__(retraining)
            made.append(self)

    monkeypatch.setattr(scoring, "make_unlearning_experiment", Seen)
    assert len(list(run_cells(make_plan(suite).cells[:3], store, "cpu", 0))) == 3
    (judge,) = made
    # The full model twice, once to look at its losses, and one without each class.
    assert judge.full.fits.count == 12


def test_methods_are_chosen_by_name_or_label_and_a_strangers_is_added(suite: Suite, store: Store, script) -> None:
    assert [one.title for one in narrow(suite, ["plain_ascent"]).evaluators] == ["plain_ascent"]
    assert [one.title for one in narrow(suite, ["scrub", "strong"]).evaluators] == ["scrub", "strong"]
    added = narrow(suite, ["fine_tuning"])
    assert [(one.kind, one.name) for one in added.evaluators] == [("unlearning", "fine_tuning")]
    script(
        "my_methods",
        "from dataclasses import dataclass\n"
        "from dvbench.unlearning.contract import UnlearningMethod, ascend, descend\n\n"
        "@dataclass(frozen=True)\n"
        "class Both(UnlearningMethod):\n"
        '    """Up and down."""\n'
        "    weight: float = 2.0\n"
        "    def rules(self, step):\n"
        "        return ascend, lambda logits, batch: self.weight * descend(logits, batch)\n\n"
        "class NoMethod:\n    pass\n",
    )
    own = narrow(suite, ["my_methods:Both"])
    check_suite(own)
    (result,) = run_cells(make_plan(own).cells[:1], store, "cpu", 0)
    assert result.status == "ok"
    assert result.evaluator_version.startswith("sha256:")
    assert refusal(narrow(suite, ["my_methods:NoMethod"])).startswith("my_methods:NoMethod is not an unlearning method")


REHEARSE = """from dataclasses import dataclass
from dvbench.unlearning.contract import UnlearningMethod, ascend, descend

@dataclass(frozen=True)
class Rehearse(UnlearningMethod):
    '''Ascent on the forget set, weighted descent on the validation set.'''
    weight: float = 1.0
    def rules(self, step):
        return ascend, lambda logits, batch: self.weight * descend(logits, batch)
"""


def valued_with(method: object) -> Suite:
    """The suite quick with Partial Unlearning Shapley by an unlearning method."""
    params = {"method": method, "utility": "log_loss"}
    evaluator = EvaluatorSettings(name="partial_unlearning_shapley", params=params)
    quick = narrow(load_suite("quick"), datasets=["digits"], tasks=["point_removal"], seeds=[0])
    return quick.model_copy(update={"evaluators": (evaluator,)})


def test_a_suite_sets_the_parameters_of_a_custom_method_of_an_evaluator(script) -> None:
    script("my_rehearsal", REHEARSE)
    suite = valued_with({"name": "my_rehearsal:Rehearse", "weight": 2.0, "steps": 3})
    check_suite(suite)
    method = make_evaluator(suite.evaluators[0], 0).method
    assert (type(method).__name__, method.weight, method.steps) == ("Rehearse", 2.0, 3)


@pytest.mark.parametrize(
    ("method", "message"),
    [
        (
            {"name": "gradient_ascend"},
            "no unlearning method is named 'gradient_ascend': did you mean 'gradient_ascent'?",
        ),
        ("scrup", "no unlearning method is named 'scrup': did you mean 'scrub'?"),
        ({"name": "scrub", "gama": 2.0}, "no parameter of scrub is named 'gama': did you mean 'gamma'?"),
        (
            {"name": "my_rehearsal:Rehearse", "wait": 2.0},
            "no parameter of my_rehearsal:Rehearse is named 'wait': did you mean 'weight'?",
        ),
        ({"name": "scrub", "lr": -1.0}, "cannot make unlearning method scrub: lr is a finite number above 0, not -1.0"),
        ({"lr": 0.1}, "method is the name of an unlearning method, or a mapping of its name and parameters"),
    ],
)
def test_wrong_methods_of_an_evaluator_are_found_before_anything_runs(method: object, message: str, script) -> None:
    script("my_rehearsal", REHEARSE)
    assert refusal(valued_with(method)).startswith(message)


def test_wrong_values_of_an_evaluators_parameters_are_found_before_anything_runs() -> None:
    suite = valued_with("scrub")
    wrong = EvaluatorSettings(name="unlearning_shapley", params={"sampling": {"permutation": 3}})
    message = "no parameter of sampling is named 'permutation': did you mean 'permutations'?"
    assert refusal(suite.model_copy(update={"evaluators": (wrong,)})) == message
    wrong = EvaluatorSettings(name="unlearning_shapley", params={"utility": "accuracy"})
    message = "cannot make unlearning_shapley: utility is 'metric' or 'log_loss', not 'accuracy'"
    assert refusal(suite.model_copy(update={"evaluators": (wrong,)})) == message


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("{ steps = 10, lr = 0.1 }", "{ step = 10 }", "no parameter of plain_ascent is named 'step': did you mean"),
        (
            "{ steps = 10, lr = 0.1 }",
            "{ lr = 0 }",
            "cannot make unlearning method plain_ascent: lr is a finite number above 0",
        ),
        ('name = "scrub"', 'name = "srub"', "no unlearning method is named 'srub': did you mean 'scrub'?"),
        ('groups = { by = "classes" }\n', "", "suite 'small': output_divergence needs groups, such as groups = { by"),
        ("[[unlearning]]", "[[evaluators]]", "no evaluator is named 'plain_ascent'"),
        (
            'dataset = "digits"',
            'dataset = "breast_cancer"',
            "suite 'small': retrained_agreement on few: 2 players are too few",
        ),
        ('dataset = "digits"', 'dataset = "diabetes"', "diabetes is a regression data set and has no classes to group"),
        (
            "{ steps = 10, lr = 0.1 }",
            "{ steps = 1.5 }",
            "cannot make unlearning method plain_ascent: steps is a whole number of at least 1, not 1.5",
        ),
    ],
)
def test_what_cannot_work_is_found_before_anything_runs(old: str, new: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "small.toml").write_text(SUITE.replace(old, new))
    assert refusal(load_suite(str(tmp_path / "small.toml"))).startswith(message)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (SUITE + '\n[[evaluators]]\nname = "random"\n', "a suite has evaluators or unlearning methods, not both"),
        (SUITE.partition("[[unlearning]]")[0] + "[unlearning]\n", "unlearning methods are tables, [[unlearning]]"),
    ],
)
def test_suites_that_are_wrong(text: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "small.toml").write_text(text)
    with pytest.raises(UserError, match=r"small\.toml: ") as error:
        load_suite(str(tmp_path / "small.toml"))
    assert message in str(error.value)


def test_another_data_set_has_another_title(suite: Suite) -> None:
    chosen = narrow(suite, datasets=["digits", "breast_cancer", "digits"])
    assert [problem.title for problem in chosen.problems] == ["few", "breast_cancer-few"]
    labelled = narrow(load_suite("efficiency-cpu"), datasets=["digits", "wine"])
    assert len({problem.title for problem in labelled.problems}) == 8
    assert {problem.title for problem in labelled.problems} >= {"digits-1000", "wine-59500"}


def test_evaluators_cannot_be_judged_as_methods() -> None:
    quick = load_suite("quick")
    problem = quick.problems[0].model_copy(update={"tasks": ("output_divergence",)})
    assert refusal(quick.model_copy(update={"problems": (problem,)})) == (
        "suite 'quick': output_divergence judges unlearning methods, and the suite has evaluators"
    )


@pytest.mark.slow
def test_a_method_that_alters_what_it_is_given_alters_no_other(suite: Suite, store: Store, script, tmp_path) -> None:
    script(
        "wild_methods",
        "from dataclasses import dataclass\n"
        "import torch\n"
        "from dvbench.unlearning.contract import UnlearningMethod, ascend\n\n"
        "@dataclass(frozen=True)\n"
        "class Wild(UnlearningMethod):\n"
        '    """It writes to labels and draws from global generators."""\n'
        "    def labels(self, y, generator):\n"
        "        y[:] = 0.25\n"
        "        return y\n"
        "    def rules(self, step):\n"
        "        return lambda logits, batch: ascend(logits, batch) + 0.1 * torch.randn(1), None\n",
    )
    cells = [make_plan(narrow(suite, [name])).cells[0] for name in ("wild_methods:Wild", "plain_ascent")]
    beside = {result.cell.key.evaluator: result.scores for result in run_cells(cells, store, "cpu", 0)}
    for cell in cells:  # alone, each has the scores that it had beside the other
        (alone,) = run_cells([cell], Store(tmp_path / "alone"), "cpu", 0)
        assert alone.scores == beside[cell.key.evaluator]


def test_names_of_the_other_kind_say_so(suite: Suite) -> None:
    with pytest.raises(UserError, match=r"^knn_shapley is an evaluator, and suite 'small' has unlearning methods$"):
        narrow(suite, ["knn_shapley"])
    with pytest.raises(UserError, match=r"^scrub is an unlearning method, and suite 'quick' has evaluators$"):
        narrow(load_suite("quick"), ["scrub"])


def test_divergence_is_a_failure_of_that_cell_alone(suite: Suite, store: Store) -> None:
    wild = suite.evaluators[1].model_copy(update={"params": {"steps": 10, "lr": 1e38}})
    cells = make_plan(suite.model_copy(update={"evaluators": (wild, suite.evaluators[2])})).cells[:2]
    results = {result.cell.key.evaluator: result for result in run_cells(cells, store, "cpu", 0)}
    assert results["strong"].status == "failed"
    assert "unlearning diverged for" in results["strong"].error
    assert results["scrub"].status == "ok"


def test_points_as_players_are_refused(suite: Suite, store: Store) -> None:
    problem = suite.problems[0].model_copy(update={"groups": None})
    big = problem.model_copy(update={"sizes": problem.sizes.model_copy(update={"train": 120})})
    (result,) = run_cells(make_plan(suite.model_copy(update={"problems": (big,)})).cells[:1], store, "cpu", 0)
    assert result.error.startswith("120 players are too many to judge unlearning by: at most 100; give the problem")


def test_methods_are_listed_and_described(capsys) -> None:
    assert main(["list", "unlearning"]) == 0
    listed = capsys.readouterr().out
    assert "negative_preference" in listed
    assert main(["describe", "scrub"]) == 0
    shown = capsys.readouterr().out
    assert shown.startswith("scrub (unlearning method, dvbench.unlearning_methods.scrub:Scrub)")
    assert "frozen" not in shown
    assert find("unlearning", "NegGradPlus").name == "neg_grad_plus"
