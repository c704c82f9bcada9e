"""What is computed on a table: the user's choices, the defaults for the others, and the lines that say so."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from dvbench.errors import UserError, validation_message
from dvbench.games import enumerable
from dvbench.own_data.defaults import (
    check_model,
    check_parameters,
    check_takes,
    chosen_utility,
    default_evaluator,
    enumerates,
    evaluator_parameters,
    takes_utility,
)
from dvbench.own_data.given import check_seed
from dvbench.registry import find
from dvbench.settings import EvaluatorSettings, Training

if TYPE_CHECKING:
    from dvbench.tables.reading import Table

TRAINING = Training(epochs=20, batch_size=32, lr=0.01)
MODEL = "logistic_regression"


@dataclass(frozen=True)
class How:
    """How a table is valued; what is None is chosen.

    Parameters
    ----------
    evaluator : str, optional
    model : str or object, optional
        A name, a network, an estimator of scikit-learn or a model of OpenDataVal.
    utility : {"accuracy", "log_loss", "mse"}, optional
    folds : int
    seed : int
    training : Training
    device : str
    parameters : mapping
        Of the evaluator.
    """

    evaluator: str | None = None
    model: Any = None
    utility: str | None = None
    folds: int = 5
    seed: int = 0
    training: Training = TRAINING
    device: str = "auto"
    parameters: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Choice:
    """What is computed, after the user's choices and the defaults, and the lines that say so.

    ``exact`` says that all coalitions of the groups are enumerated.
    """

    settings: EvaluatorSettings
    model: Any
    model_name: str
    utility: str
    lines: tuple[str, ...]
    exact: bool = False


def choose(table: Table, how: How, validated: bool = False) -> Choice:
    """Choose evaluator, model and utility; imports no torch.

    Parameters
    ----------
    table : Table
    how : How
    validated : bool
        Whether there is a validation set of its own, so that rows are not divided into folds.

    Raises
    ------
    UserError
        If something does not exist or does not fit together.
    """
    kind, grouped = table.source.kind, table.group is not None
    model = MODEL if how.model is None else how.model
    if isinstance(model, str):
        model = find("models", model).name
    elif isinstance(model, type):
        raise UserError(f"{model.__name__} is a class: give an object, such as {model.__name__}()")
    named = isinstance(model, str)
    network = named or (hasattr(model, "parameters") and hasattr(model, "state_dict"))
    lines = []
    if how.evaluator is None:
        evaluator, why = default_evaluator(kind, grouped, network)
        lines.append(f"evaluator: {evaluator}, because {why}; --evaluator chooses another")
    else:
        evaluator = find("evaluators", how.evaluator).name
    name = model if named else type(model).__name__
    check_model(evaluator, network, name)
    entry = find("evaluators", evaluator)
    check_takes(entry, kind)
    utility, why_utility = chosen_utility(how.utility, kind, entry)
    if why_utility:
        lines.append(f"utility: {utility}, because {why_utility}; --utility chooses another")
    groups = 0 if table.source.groups is None else len(np.unique(table.source.groups))
    chosen = evaluator_parameters(entry, utility, not grouped and not validated, groups)
    params = chosen | dict(how.parameters)
    exact = enumerates(entry, params, groups)
    if exact:
        folds = "" if validated else " in each fold"
        fewer = "" if enumerable(groups, 10) else "; --parameter permutations=10 would sample them"
        lines.append(
            f"values are exact for this model: it is trained on all {2**groups:,} coalitions of the groups{folds}"
            + fewer
        )
    elif "permutations" in chosen and "permutations" not in how.parameters:
        lines.append(
            f"sampling: {params['permutations']} permutations of the groups; --parameter permutations=N changes it"
        )
    if "sampling" in chosen and "sampling" not in how.parameters:
        lines.append(f"sampling: {params['sampling']['permutations']} permutations of the rows in each fold")
    settings = EvaluatorSettings(name=evaluator, params=params)
    return Choice(settings, model, name, utility, tuple(lines), exact)


def settings_of(
    evaluator: str | None,
    model: Any,
    utility: str | None,
    folds: int,
    seed: int,
    training: Mapping[str, Any] | None,
    device: str,
    parameters: Mapping[str, Any] | None = None,
) -> How:
    """Check settings before a table is read; imports no torch.

    Raises
    ------
    UserError
        If an evaluator or a named model does not exist, or a number is wrong.
    """
    from pydantic import ValidationError

    if evaluator is not None:
        check_parameters(find("evaluators", evaluator), parameters or {})
    if isinstance(model, str):
        find("models", model)
    if not isinstance(folds, int) or isinstance(folds, bool) or folds < 2:
        raise UserError(f"folds must be a whole number from 2 on, not {folds!r}")
    check_seed(seed)
    try:
        trained = Training.model_validate(TRAINING.model_dump() | dict(training or {}))
    except ValidationError as error:
        raise UserError(validation_message(error, "training")) from error
    if trained.epochs < 1:
        raise UserError("epochs must be at least 1: an untrained model values nothing")
    if parameters and evaluator is None:
        raise UserError("parameters are those of an evaluator: choose one with --evaluator")
    return How(evaluator, model, utility, folds, seed, trained, device, dict(parameters or {}))


def uses_utility(choice: Choice) -> bool:
    """Whether the evaluator judges models by a utility."""
    entry = find("evaluators", choice.settings.name)
    return takes_utility(entry) or hasattr(entry.load(), "input_metric")


def uses_validation(choice: Choice) -> bool:
    """Whether the evaluator judges by a validation set."""
    return bool(getattr(find("evaluators", choice.settings.name).load(), "uses_validation", True))


def judge_in_words(choice: Choice) -> str:
    """The model, and its utility, in words; an evaluator without `input_model` uses none."""
    if not hasattr(find("evaluators", choice.settings.name).load(), "input_model"):
        return "no model"
    linear = choice.model_name == MODEL and choice.utility == "mse"  # which it is for a regression
    return f"{'linear_regression' if linear else choice.model_name} ({choice.utility})"
