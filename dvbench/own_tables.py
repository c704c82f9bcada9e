"""The functions of the Python interface for a table of the user: `value`, `select` and `advise`.

They are those of `dvbench`, which imports them from here; what they do is in `dvbench.own_data`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from dvbench.own_data.advise import Advice
    from dvbench.own_data.given import Report
    from dvbench.own_data.select import Selection
    from dvbench.own_data.values import Values
    from dvbench.settings import Goal

_Result = TypeVar("_Result", "Values", "Selection")


def value(
    X: Any,
    y: Any = None,
    *,
    label: str | None = None,
    groups: Any = None,
    evaluator: str | None = None,
    parameters: Mapping[str, Any] | None = None,
    model: Any = None,
    validation: Any = None,
    utility: str | None = None,
    kind: str | None = None,
    features: Sequence[str] | None = None,
    drop: Sequence[str] = (),
    types: Mapping[str, str] | None = None,
    decimal: str | None = None,
    folds: int = 5,
    seed: int = 0,
    training: Mapping[str, Any] | None = None,
    device: str = "auto",
    progress: bool | None = None,
) -> Values:
    """Value the rows of a table, or groups of its rows.

    The table is divided into folds. Each fold is the validation set once, while the rows of the other folds are valued;
    a value is the mean over the folds in which a row was valued. What was understood of the table is printed before
    anything is computed, and is kept in the result.

    Parameters
    ----------
    X : path, numpy.ndarray, pandas or polars DataFrame, torch.Tensor or datasets.Dataset
        Features of shape (n, columns), or a whole table with its label. Files are CSV, TSV, Parquet, Excel or JSON
        lines.
    y : array of shape (n,), optional
        Labels or targets, if ``X`` does not hold them.
    label : str, optional
        Column of ``X`` to predict.
    groups : str or array of shape (n,), optional
        Column of ``X`` with the group of each row, or these groups. Groups are valued instead of rows.
    evaluator : str, optional
        Name of an evaluator, or ``"module:Class"``. By default one that the published results recommend.
    parameters : mapping, optional
        Parameters of the evaluator, such as ``{"permutations": 500}``; see ``dvbench describe EVALUATOR``.
    model : str, torch.nn.Module, scikit-learn estimator or OpenDataVal model, optional
        By default logistic regression, or linear regression.
    validation : path, table or tuple (X, y), optional
        A validation set of its own, with the same columns. All rows of ``X`` are valued on it once.
    utility : {"accuracy", "log_loss", "mse"}, optional
        What a model is judged by, if the evaluator judges models.
    kind : {"classification", "regression"}, optional
        By default guessed from the labels.
    features, drop : sequence of str
        The only columns to use as features; columns not to use.
    types : mapping of str to str, optional
        Types of columns that are not to be guessed: "number", "category", "date", "text" or "identifier".
    decimal : {".", ","}, optional
        Decimal mark, where numbers can be read in two ways.
    folds : int
        At least 2.
    seed : int
        Seed of all random numbers.
    training : mapping, optional
        How networks are trained: ``epochs``, ``batch_size``, ``lr``, ``weight_decay``.
    device : {"auto", "cpu", "cuda"}
    progress : bool, optional
        Whether what was understood, and progress, are printed. By default only if standard output is a terminal.

    Returns
    -------
    dvbench.own_data.values.Values
        ``values`` (a data frame), ``summary()``, ``plot()`` and ``to_csv(path)``.

    Raises
    ------
    dvbench.errors.UserError
        If the table or an argument cannot be used; the message says what to do.
    """
    from dvbench.own_data.arguments import errors_in_python
    from dvbench.own_data.choice import settings_of
    from dvbench.own_data.given import Given
    from dvbench.own_data.value import value_data

    reading = {"kind": kind, "features": features, "drop": drop, "types": types or {}, "decimal": decimal}
    with errors_in_python():
        how = settings_of(evaluator, model, utility, folds, seed, training, device, parameters)
        values = value_data(Given(X, y, label, groups, validation, reading), how, _report(progress))
    return _in_python(values)


def select(
    X: Any,
    y: Any = None,
    *,
    fraction: float,
    label: str | None = None,
    strategy: str = "grad_match_pb",
    params: Mapping[str, Any] | None = None,
    model: str = "logistic_regression",
    validation: Any = None,
    features: Sequence[str] | None = None,
    drop: Sequence[str] = (),
    types: Mapping[str, str] | None = None,
    decimal: str | None = None,
    kind: str | None = None,
    seed: int = 0,
    training: Mapping[str, Any] | None = None,
    device: str = "auto",
    progress: bool | None = None,
) -> Selection:
    """Select the rows of a table on which a model is best trained.

    A model is trained on the rows that a selection strategy keeps, and rows are chosen anew every few epochs; the last
    choice is returned.

    Parameters
    ----------
    X, y, label, validation, features, drop, types, decimal, kind
        As in `value`. Labels are classes; ``kind="classification"`` takes every number as one. The validation set is
        for strategies that use one; by default it is the rows themselves.
    fraction : float
        Fraction of the rows to keep, above 0 and at most 1.
    strategy : str
        Name of a selection strategy, or ``"module:Class"``. By default the one that is first in the published results
        of the suite ``selection-features``.
    params : mapping, optional
        Parameters of the strategy.
    model : str
        Name of a model.
    seed : int
        Seed of all random numbers.
    training : mapping, optional
        How the model is trained: ``epochs``, ``every`` (epochs between selections), ``batch_size``, ``lr``,
        ``momentum``, ``weight_decay``.
    device : {"auto", "cpu", "cuda"}
    progress : bool, optional
        Whether what was understood, and progress, are printed. By default only if standard output is a terminal.

    Returns
    -------
    dvbench.own_data.select.Selection
        ``kept`` (a data frame of the rows themselves), ``positions``, ``summary()`` and ``to_csv(path)``.

    Raises
    ------
    dvbench.errors.UserError
        If the table or an argument cannot be used; the message says what to do.
    """
    from dvbench.own_data.arguments import errors_in_python
    from dvbench.own_data.given import Given
    from dvbench.own_data.select import check_settings, select_data

    reading = {"kind": kind, "features": features, "drop": drop, "types": types or {}, "decimal": decimal}
    given = Given(X, y, label, None, validation, reading)
    with errors_in_python():
        how = check_settings(strategy, fraction, model, seed, training)
        kept = select_data(given, strategy, params or {}, model, how, seed, device, _report(progress))
    return _in_python(kept)


def advise(
    X: Any,
    y: Any = None,
    *,
    goal: Goal,
    label: str | None = None,
    groups: Any = None,
    validation: Any = None,
    budget: float = 600.0,
    results: str | Path | None = None,
    features: Sequence[str] | None = None,
    drop: Sequence[str] = (),
    types: Mapping[str, str] | None = None,
    decimal: str | None = None,
    kind: str | None = None,
    seed: int = 0,
    progress: bool | None = None,
) -> Advice:
    """Advise which evaluator to use for a table of classes, or none.

    Boards say which evaluators gain most on the problems that are nearest to the table. A pilot tries these on a part
    of the table. If none is shown to gain something, that is the advice.

    Parameters
    ----------
    X, y, label, groups, validation, features, drop, types, decimal, kind
        As in `value`. Labels are classes; ``kind="classification"`` takes every number as one. The groups are no
        feature; their number decides what valuing all rows takes. The validation set is only checked: the pilot makes
        providers and validation sets of its own.
    goal : {"find", "select", "pay"}
        What values are for: to find wrong labels, to select the rows to train on, or to pay providers.
    budget : float
        Seconds of the pilot. Valuing all rows afterwards may take as long again.
    results : str or Path, optional
        Results folder whose boards are asked. By default the published ones, a table of which comes with dvbench.
    seed : int
        Seed of all random numbers.
    progress : bool, optional
        Whether what was understood, and progress, are printed. By default only if standard output is a terminal.

    Returns
    -------
    dvbench.own_data.advise.Advice
        ``evaluator`` (None if nothing is shown to gain something), ``gain`` with its interval ``low`` to ``high``,
        ``gains`` of all that were tried, and ``summary()``.

    Raises
    ------
    dvbench.errors.UserError
        If the table or an argument cannot be used, or the budget is too small; the message says what to do.
    """
    from dvbench.own_data.advise import advise_data
    from dvbench.own_data.arguments import errors_in_python, in_python
    from dvbench.own_data.given import Given
    from leaderboard.published_gains import gains_of_boards

    reading = {"kind": kind, "features": features, "drop": drop, "types": types or {}, "decimal": decimal}
    given = Given(X, y, label, groups, validation, reading)
    boards = partial(gains_of_boards, None if results is None else Path(results))
    with errors_in_python():
        advice = advise_data(given, goal, budget, boards, seed, _report(progress))
    lines, understood = (tuple(map(in_python, each)) for each in (advice.lines, advice.understood))
    return replace(advice, lines=lines, understood=understood)


def _in_python(result: _Result) -> _Result:
    """Name arguments of Python in what was said of a table."""
    from dvbench.own_data.arguments import in_python

    understood, remarks = (tuple(map(in_python, lines)) for lines in (result.understood, result.remarks))
    lines = {name: list(map(in_python, result.made_with[name])) for name in ("understood", "remarks")}
    return replace(result, understood=understood, remarks=remarks, made_with={**result.made_with, **lines})


def _report(progress: bool | None) -> Report:
    """Return what shows lines and progress, or shows nothing."""
    from dvbench import console
    from dvbench.own_data.arguments import InPython
    from dvbench.own_data.given import Silent

    return InPython(console) if (console.out.is_terminal if progress is None else progress) else Silent()
