"""The time that suites of texts should take on a GPU, from their work and speeds that were measured on an H200.

Speeds are those of docs/performance.md: tokens per second of training, and seconds of an
unlearning step on 8 texts of the forget set and 8 of the validation set, both with whole minibatches in a pass.
"""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from dvbench.execution.planning import make_plan
from dvbench.execution.suite_checks import check_suite
from dvbench.settings import Sizes
from dvbench.suite import load_suite

CORPORA, LENGTH, BATCH = 3, 768, 8
CELL_SECONDS = 30.0  # to start, read texts and build the model; a cell in the same process takes less
MINUTE = 60


@dataclass(frozen=True)
class Speed:
    tokens_per_second: float
    unlearning_step: float


SPEEDS = {"gpt2": Speed(209_000, 0.068), "gpt2_xl": Speed(34_000, 0.310)}


def work(evaluator, problem) -> tuple[float, int]:
    """Trainings on all corpora, in parts of which smaller ones are counted, and unlearned coalitions."""
    sizes, n = problem.sizes, CORPORA
    epoch_of_gradients = (sizes.train + sizes.validation) / sizes.train / problem.training.epochs
    match evaluator.name:
        case "unlearning_shapley":
            return 1, 2 * (2**n - 1) + 1  # two draws of minibatches, and all corpora
        case "partial_unlearning_shapley":
            return 1 + 1, n  # the full model, and one on each corpus alone
        case "data_shapley":
            return scoring(n), 0
        case "leave_one_out":
            return 1 + (n - 1), 0
        case "trac_in":
            times = 1 if evaluator.params.get("checkpoints") == "last" else problem.training.epochs
            return 1 + times * epoch_of_gradients, 0
        case "in_run_data_shapley":
            return 2, 0  # measured on a small model
        case "hessian_influence" | "logra":
            return 1 + 3 * epoch_of_gradients, 0
        case "in_context_probing":  # forward passes, a third of a step, over each text with each of 32 questions
            return 1 + 32 / 3 / problem.training.epochs, 0
        case "random" | "bm25" | "embedding_similarity":
            return 0, 0
    raise AssertionError(evaluator.name)


def scoring(n: int) -> float:
    """All coalitions, of which the tasks need no others: of n corpora, half are in each on average."""
    return 2**n / 2


def seconds(evaluator, problem) -> float:
    speed, training = SPEEDS[problem.model.name], problem.training
    fits, unlearned = work(evaluator, problem)
    method = evaluator.params.get("method", {})
    steps = unlearned * method.get("steps", 0) * method.get("batch_size", 0) / BATCH
    a_fit = problem.sizes.train * LENGTH * training.epochs / speed.tokens_per_second
    return fits * a_fit + steps * speed.unlearning_step


def seconds_of_scoring(problem) -> float:
    fit = problem.sizes.train * LENGTH * problem.training.epochs / SPEEDS[problem.model.name].tokens_per_second
    return scoring(CORPORA) * fit


def test_minutes_are_less_than_five() -> None:
    suite = load_suite("text-gpu-minutes")
    (problem,) = suite.problems
    total = seconds_of_scoring(problem) + sum(seconds(each, problem) for each in suite.evaluators)
    assert total + 2 * CELL_SECONDS < 5 * MINUTE  # all cells in one process


def test_the_hour_is_less_than_half_and_each_cell_less_than_six_minutes() -> None:
    """A cell may be scored alone, and then trains the models of all coalitions."""
    suite = load_suite("text-gpu-hour")
    (problem,) = suite.problems
    cells = [seconds(each, problem) + CELL_SECONDS for each in suite.evaluators]
    assert sum(cells) + seconds_of_scoring(problem) < 30 * MINUTE
    assert max(cells) + seconds_of_scoring(problem) < 6 * MINUTE


def test_a_minute_suite_has_all_evaluators_for_texts() -> None:
    """Those of the tiny suite, which can all be computed on texts, at one rate for all; but one takes too long."""
    tiny, minutes = (load_suite(name) for name in ("text-tiny", "text-gpu-minutes"))
    assert [each.title for each in minutes.evaluators] == [
        each.title for each in tiny.evaluators if each.name != "hessian_influence"
    ]
    assert minutes.seeds == (0,)
    assert {each.params["method"]["lr"] for each in minutes.evaluators if "method" in each.params} == {2e-5}


@pytest.mark.parametrize("name", ["text-gpu-minutes", "text-gpu-hour"])
def test_they_are_planned_and_can_be_run(name, text_mirror) -> None:
    suite = load_suite(name)
    assert len(make_plan(suite).cells) == len(suite.evaluators)
    (problem,) = suite.problems
    # The made-up corpora are smaller than those of wiki_web_stories.
    data = {"dataset": load_suite("text-tiny").problems[0].dataset, "sizes": Sizes(train=60, validation=30, test=50)}
    few = problem.model_copy(update=data)
    check_suite(suite.model_copy(update={"problems": (few,)}))
