"""Values what the user gives: checks settings, reads tables, says what was understood, and then computes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from dvbench.errors import UserError, validation_message
from dvbench.own_data.defaults import check_parameters
from dvbench.own_data.output import files_read
from dvbench.own_data.value import TRAINING, How, Observer, choose, value_table
from dvbench.settings import Training

if TYPE_CHECKING:
    from dvbench.own_data.values import Values
    from dvbench.problems.source import Source
    from dvbench.tables.reading import Table


class Report(Protocol):
    """What shows lines and progress: `dvbench.console`."""

    def say(self, line: str, /) -> None:
        """Print a line."""

    def counting(self, what: str, /) -> AbstractContextManager[Observer]:
        """Show how many of some parts are done."""


class Worded:
    """Rewrites lines, keeps them, and shows them in a report if there is one.

    Parameters
    ----------
    report : Report, optional
    words : callable
        Rewrites a line.

    Attributes
    ----------
    lines : list of str
    """

    def __init__(self, report: Report | None, words: Callable[[str], str]) -> None:
        self._report, self._words = report, words
        self.lines: list[str] = []

    def say(self, line: str, /) -> None:
        """Keep a line, and print it."""
        self.lines.append(self._words(line))
        if self._report is not None:
            self._report.say(self.lines[-1])

    def counting(self, what: str, /) -> AbstractContextManager[Observer]:
        """Show how many of some parts are done."""
        return nullcontext(lambda *_: None) if self._report is None else self._report.counting(what)


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

    from dvbench.registry import find

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
        raise UserError(validation_message(error)) from error
    if trained.epochs < 1:
        raise UserError("epochs must be at least 1: an untrained model values nothing")
    if parameters and evaluator is None:
        raise UserError("parameters are those of an evaluator: choose one with --evaluator")
    return How(evaluator, model, utility, folds, seed, trained, device, dict(parameters or {}))


def check_seed(seed: object) -> None:
    """Raise a `UserError` if it is no seed."""
    if not isinstance(seed, int) or isinstance(seed, bool) or seed < 0:
        raise UserError(f"seed must be a whole number from 0 on, not {seed!r}")


def value_data(
    X: Any,
    y: Any,
    label: str | None,
    groups: Any,
    validation: Any,
    reading: Mapping[str, Any],
    how: How,
    report: Report | None,
    words: Callable[[str], str] = str,
) -> Values:
    """Read data and value them; see `dvbench.value`.

    Parameters
    ----------
    X, y, label, groups, validation
        See `dvbench.value`.
    reading : mapping
        Other arguments of `dvbench.tables.reading.read_arrays`.
    how : How
        See `settings_of`.
    report : Report, optional
        Shows what was understood, and progress. Without it nothing is shown.
    words : callable
        Rewrites lines and errors, which name options of the command line; see `dvbench.own_data.arguments.in_python`.

    Raises
    ------
    UserError
        If data cannot be read or valued.
    """
    try:
        table, judges = read_data(X, y, label, groups, validation, reading)
        choice = choose(table, how, validated=judges is not None)
        shown = Worded(report, words)
        for line in (*table.understood, *choice.lines, *(f"note: {remark}" for remark in table.remarks)):
            shown.say(line)
        with shown.counting("fold") as observe:
            values = value_table(table, choice, how, judges, observe)
    except UserError as error:
        raise UserError(words(str(error))) from error
    understood, remarks = (tuple(map(words, lines)) for lines in (values.understood, values.remarks))
    made_with = {**files_read(table=X, validation=validation), **values.made_with}
    return replace(values, understood=understood, remarks=remarks, made_with=made_with)


def read_data(
    X: Any, y: Any, label: str | None, groups: Any, validation: Any, reading: Mapping[str, Any]
) -> tuple[Table, Source | None]:
    """Read a table, and a validation set of its own."""
    from dvbench.tables.reading import read_arrays, read_validation

    if y is not None and label is not None:
        raise UserError("give the labels as y, or the name of their column as label, not both")
    table = read_arrays(X, y, label=label, groups=groups, **reading)
    if validation is None:
        return table, None
    judges = read_validation(validation, table)
    if shared := _shared(table.source, judges):
        note = f"{shared:,} of the {len(judges.labels):,} rows of the validation set are rows of the table too"
        note += ": a row that judges itself is worth more than it would be to others"
        table = replace(table, remarks=(*table.remarks, note))
    return table, judges


def _shared(source: Source, judges: Source) -> int:
    """Number of rows of a validation set that the table has too, with the same label."""
    from dvbench.tables.copies import row_hashes

    ours, theirs = (row_hashes(each.take(np.arange(len(each.labels))), each.labels) for each in (source, judges))
    return int(np.isin(theirs, ours).sum())
