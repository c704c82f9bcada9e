"""What an evaluator needs: arrays, settings and seeds, and no name of a data set or seed of a problem."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from dvbench.problems.variants import VARIANTS
from dvbench.randomness import integer_seed
from dvbench.settings import EvaluatorSettings, ModelSettings, Training

if TYPE_CHECKING:
    from dvbench.problems.evaluator_data import EvaluatorData
    from dvbench.problems.problem import Problem
    from dvbench.results import Cell


@dataclass(frozen=True)
class ValuationInput:
    """What a valuation needs.

    Parameters
    ----------
    data : EvaluatorData
    evaluator : EvaluatorSettings
    model : ModelSettings
    training : Training
        How the evaluator trains the model.
    seed : int
        Seed of the evaluator.
    model_seed : int
        Seed of the model's initial weights and minibatches.
    """

    data: EvaluatorData
    evaluator: EvaluatorSettings
    model: ModelSettings
    training: Training
    seed: int
    model_seed: int


def in_variant(cell: Cell, problem: Problem, name: str) -> tuple[Cell, Problem]:
    """Change a cell and its problem to a variant; see `dvbench.problems.variants`.

    Raises
    ------
    UserError
        If the problem has no such variant.
    """
    variant = VARIANTS[name]
    training = variant.training(cell.problem.training)
    settings = cell.problem.model_copy(update={"training": training})
    return cell.model_copy(update={"problem": settings}), variant.change(problem)


def input_of_cell(cell: Cell, problem: Problem, purpose: str) -> ValuationInput:
    """Return the input of a cell's valuation, or of that of a variant if it is the purpose; see `make_input`."""
    if purpose in VARIANTS:
        cell, problem = in_variant(cell, problem, purpose)
        purpose = "valuation" if VARIANTS[purpose].same_seeds else purpose
    key = (cell.key.suite, cell.key.seed)
    return make_input(problem, cell.evaluator, cell.problem.model, cell.problem.training, key, purpose)


def make_input(
    problem: Problem,
    evaluator: EvaluatorSettings,
    model: ModelSettings,
    training: Training,
    key: tuple[str, int],
    purpose: str,
) -> ValuationInput:
    """Return the input of a valuation of a problem.

    Parameters
    ----------
    problem : Problem
    evaluator : EvaluatorSettings
    model : ModelSettings
    training : Training
    key : tuple of str and int
        Suite and seed, from which all randomness is derived.
    purpose : str
        Part of the key from which random numbers are derived: the second valuation has another purpose than the first.
        The purpose of a variant is its name, if it has seeds of its own.
    """
    suite, number = key
    seed = integer_seed(suite, problem.dataset, evaluator.name, number, purpose)
    model_seed = integer_seed(suite, problem.dataset, number, purpose, "model")
    return ValuationInput(problem.for_evaluators, evaluator, model, training, seed, model_seed)
