"""Reads what the user gives: settings, a table, and a validation set of its own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from dvbench.errors import UserError, validation_message
from dvbench.own_data.value import TRAINING, How
from dvbench.settings import Training

if TYPE_CHECKING:
    from dvbench.problems.source import Source
    from dvbench.tables.reading import Table


def settings_of(
    evaluator: str | None,
    model: Any,
    utility: str | None,
    folds: int,
    seed: int,
    training: Mapping[str, Any] | None,
    device: str,
) -> How:
    """Check settings before a table is read; imports no torch.

    Raises
    ------
    UserError
        If an evaluator or a named model does not exist, or a number is wrong.
    """
    from pydantic import ValidationError

    from dvbench.registry import find

    if evaluator is not None:
        find("evaluators", evaluator)
    if isinstance(model, str):
        find("models", model)
    if not isinstance(folds, int) or isinstance(folds, bool) or folds < 2:
        raise UserError(f"folds must be a whole number from 2 on, not {folds!r}")
    if not isinstance(seed, int) or isinstance(seed, bool) or seed < 0:
        raise UserError(f"seed must be a whole number from 0 on, not {seed!r}")
    try:
        trained = Training.model_validate(TRAINING.model_dump() | dict(training or {}))
    except ValidationError as error:
        raise UserError(validation_message(error)) from error
    if trained.epochs < 1:
        raise UserError("epochs must be at least 1: an untrained model values nothing")
    return How(evaluator, model, utility, folds, seed, trained, device)


def read(
    X: Any, y: Any, label: str | None, groups: Any, validation: Any, reading: Mapping[str, Any]
) -> tuple[Table, Source | None]:
    """Read a table, and a validation set of its own.

    Parameters
    ----------
    X, y, label, groups, validation
        See `dvbench.value`.
    reading : mapping
        Other arguments of `dvbench.tables.reading.read_arrays`.

    Raises
    ------
    UserError
        If it cannot be read, or arguments contradict each other.
    """
    from dvbench.tables.reading import read_arrays, read_validation

    if y is not None and label is not None:
        raise UserError("give the labels as y, or the name of their column as label, not both")
    table = read_arrays(X, y, label=label, groups=groups, **reading)
    return table, None if validation is None else read_validation(validation, table)
