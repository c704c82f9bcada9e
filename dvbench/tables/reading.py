"""Read a user's table: the door of `dvbench.tables`.

Every cell is text first. Then each column gets a role (label, group, feature) and a type, and `Table.understood` says
what was understood, with the option that overrides each guess, before anything is computed.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from dvbench.errors import UserError, unknown
from dvbench.problems.source import Source, classification, regression
from dvbench.tables.cells import Cells, as_texts, from_objects
from dvbench.tables.encoders import LARGEST, Encoder
from dvbench.tables.features import TYPES, Fit, encode, fit
from dvbench.tables.labels import Labels, TableKind, group_texts, looks_like_a_label, understand
from dvbench.tables.numbers import profile
from dvbench.tables.objects import as_array, read_cells

LABEL_NAMES = re.compile(r"label|target|class|y|outcome", re.IGNORECASE)
SHOWN = 5


@dataclass(frozen=True, eq=False)
class Table:
    """A table that was understood.

    Parameters
    ----------
    source : Source
        Encoded features, float64, with labels, classes and groups.
    name : str
        Name of the file, or "the table" for objects in memory.
    label : str
        Name of the label column.
    group : str or None
        Name of the column that groups the rows.
    rows : numpy.ndarray of shape (n,)
        How the user's table numbers its rows: the line of a text file, whose first line is 1, the row of a sheet, or
        the index of a data frame; otherwise from 0.
    numbering : {"line", "row", "index"}
        The word for these numbers.
    targets : numpy.ndarray of str, shape (n,)
        Label cells as they stand in the table.
    understood : tuple of str
        Lines to show before anything is computed.
    remarks : tuple of str
        Doubts about the data.
    encoders : mapping of str to Encoder, or None
        What encodes each feature column; None for an array of numbers, which is used as it is.
    decimal : {".", ","}
        Decimal separator of targets.
    """

    source: Source
    name: str
    label: str
    group: str | None
    rows: np.ndarray
    numbering: str
    targets: np.ndarray
    understood: tuple[str, ...]
    remarks: tuple[str, ...]
    encoders: Mapping[str, Encoder] | None = None
    decimal: str = "."


def read_table(
    data: Any,
    *,
    label: str | None = None,
    group: str | None = None,
    kind: TableKind | None = None,
    features: Sequence[str] | None = None,
    drop: Sequence[str] = (),
    types: Mapping[str, str] | None = None,
    decimal: str | None = None,
) -> Table:
    """Read a table with column names.

    Parameters
    ----------
    data : str, Path, data frame, data set of Hugging Face or mapping
        A file of text with separators, Excel, Parquet or JSON lines, or an object in memory.
    label : str, optional
        Column to predict. By default the only one that is named label, target, class, y or outcome, else the last.
    group : str, optional
        Column that holds the group of each row; it is not a feature.
    kind : {"classification", "regression"}, optional
        By default it follows from the label.
    features : sequence of str, optional
        Use only these columns as features.
    drop : sequence of str
        Columns not to use.
    types : mapping of str to str, optional
        Types of columns: number, category, date, day-first, month-first, text, or identifier, which leaves it out.
    decimal : {".", ","}, optional
        Decimal separator; by default it is found.

    Returns
    -------
    Table

    Raises
    ------
    UserError
        If the table cannot be read, or could be misread. The message says what to do.
    """
    cells = read_cells(data)
    types = dict(types or {})
    _check_options(cells, types, decimal, [*(features or ()), *drop, *types])
    if not len(cells.rows):
        raise UserError(f"{cells.name} has no rows of data")
    notes = list(cells.notes)
    if label is None:
        label = _guess_label(cells, [name for name in cells.columns if name not in {group, *drop}])
        notes.append(f"the label is column '{label}'; --label names another")
    labels = understand(cells, label, kind, decimal)
    groups = None if group is None else _groups(cells, label, group)
    names = [name for name in features or cells.columns if name not in {label, group, *drop}]
    fitted = fit(cells, names, types, decimal)
    if not fitted.encoders:
        left_out = "; ".join(f"'{name}': {reason}" for name, reason in list(fitted.left_out.items())[:SHOWN])
        raise UserError(
            f"{cells.name} has no features besides its label{f' ({left_out})' if left_out else ''}: add some"
        )
    return _table(cells, label, group, labels, groups, encode(cells, fitted.encoders), fitted, notes)


def _table(
    cells: Cells,
    label: str,
    group: str | None,
    labels: Labels,
    groups: np.ndarray | None,
    features: np.ndarray,
    fitted: Fit | None,
    notes: list[str],
) -> Table:
    source = (
        classification(features, labels.values, labels.classes)
        if labels.kind == "classification"
        else regression(features, labels.values)
    )
    lines = [*notes, labels.understood, *_summary(len(cells.rows), features, fitted, groups, group)]
    return Table(
        source=replace(source, groups=groups, standardise=features.ndim == 2),
        name=cells.name,
        label=label,
        group=group,
        rows=cells.rows,
        numbering=cells.numbering,
        targets=labels.texts,
        understood=tuple(lines),
        remarks=labels.remarks,
        encoders=None if fitted is None else fitted.encoders,
        decimal=labels.decimal,
    )


def _check_options(cells: Cells, types: Mapping[str, str], decimal: str | None, names: Iterable[str]) -> None:
    for name in names:
        cells.column(name)
    for name, chosen in types.items():
        if chosen not in TYPES:
            raise unknown(f"type for column '{name}'", chosen, TYPES)
    if decimal not in (None, ".", ","):
        raise UserError(f"the decimal separator must be a point or a comma, not '{decimal}'")


def _guess_label(cells: Cells, names: list[str]) -> str:
    listed = ", ".join(names[:20]) + (", ..." if len(names) > 20 else "")
    named = [name for name in names if LABEL_NAMES.fullmatch(name)]
    guess = named[0] if len(named) == 1 else names[-1]
    if len(names) < 2 or not looks_like_a_label(cells, guess):
        raise UserError(f"say which column of {cells.name} is the label, with --label: one of {listed}")
    return guess


def _groups(cells: Cells, label: str, group: str) -> np.ndarray:
    if group == label:
        raise UserError(f"column '{group}' of {cells.name} is the label: group by another column")
    return group_texts(cells, group)


def _summary(
    rows: int, features: np.ndarray, fitted: Fit | None, groups: np.ndarray | None, group: str | None
) -> list[str]:
    """What was understood of the features and groups."""
    parts = [f"{rows:,} rows"]
    lines = []
    if fitted is None:
        parts.append(
            f"features of shape {features.shape[1:]}" if features.ndim > 2 else f"{features.shape[1]} numeric columns"
        )
    else:
        parts.append(_kinds(fitted))
        lines += _details(fitted)
    if groups is not None:
        parts.append(f"{len(np.unique(groups)):,} groups by column '{group}'")
    return ["; ".join(parts), *lines]


def _kinds(fitted: Fit) -> str:
    words = {"number": "numeric", "category": "categorical", "date": "date", "text": "text"}
    parts: list[str] = []
    for kind, word in words.items():
        names = [name for name, chosen in fitted.types.items() if chosen == kind]
        if names:
            width = sum(fitted.encoders[name].width for name in names)
            made = {"category": "indicators", "date": "parts", "text": "components"}.get(kind)
            parts.append(
                f"{len(names):,} {word}{' columns' if not parts else ''}" + (f" -> {width:,} {made}" if made else "")
            )
    if fitted.left_out:
        listed = ", ".join(f"{name}: {reason}" for name, reason in list(fitted.left_out.items())[:SHOWN])
        more = f", and {len(fitted.left_out) - SHOWN} more" if len(fitted.left_out) > SHOWN else ""
        parts.append(f"{len(fitted.left_out)} left out ({listed}{more}; --as NAME=category keeps one)")
    return ", ".join(parts)


def _details(fitted: Fit) -> list[str]:
    lines = fitted.notes[:SHOWN]
    if len(fitted.notes) > SHOWN:
        lines.append(f"and {len(fitted.notes) - SHOWN} more remarks of this kind")
    if fitted.imputed:
        counts = sorted(fitted.imputed.items(), key=lambda item: -item[1])
        listed = ", ".join(f"{name} {count:,}" for name, count in counts[:SHOWN])
        more = f", and {len(counts) - SHOWN} more columns" if len(counts) > SHOWN else ""
        lines.append(f"{sum(fitted.imputed.values()):,} missing cells were imputed: {listed}{more}")
    return lines


def read_arrays(
    X: Any,
    y: Any = None,
    *,
    label: str | None = None,
    groups: Any = None,
    kind: TableKind | None = None,
    types: Mapping[str, str] | None = None,
    features: Sequence[str] | None = None,
    drop: Sequence[str] = (),
    decimal: str | None = None,
) -> Table:
    """Read features and labels from Python.

    Parameters
    ----------
    X : array of shape (n, ...), torch tensor, or a table as in `read_table`
        An array of numbers is used as it is, with all of its columns.
    y : array of shape (n,), or one-hot of shape (n, classes), optional
        By default a column of ``X`` holds the labels.
    label : str, optional
        Name of the label column of ``X``, if ``y`` is None.
    groups : array of shape (n,) or str, optional
        Groups of the rows, or the name of a column of ``X``.
    kind, types, features, drop, decimal
        As in `read_table`.

    Returns
    -------
    Table

    Raises
    ------
    UserError
        If it cannot be used.
    """
    if y is None or isinstance(y, str):
        return read_table(
            X, label=y or label, group=groups, kind=kind, features=features, drop=drop, types=types, decimal=decimal
        )
    if not _has_names(X) and np.issubdtype((matrix := as_array(X)).dtype, np.number):
        return _read_matrix(matrix, y, groups, kind, decimal)
    cells = read_cells(X if _has_names(X) else {f"column {k}": column for k, column in enumerate(as_array(X).T)})
    cells, label = _append(cells, "y", y)
    group = groups
    if groups is not None and not isinstance(groups, str):
        cells, group = _append(cells, "group", groups)
    return read_table(
        cells, label=label, group=group, kind=kind, features=features, drop=drop, types=types, decimal=decimal
    )


def _has_names(X: Any) -> bool:
    return isinstance(X, str | Mapping) or hasattr(X, "columns") or hasattr(X, "column_names") or hasattr(X, "suffix")


def _append(cells: Cells, word: str, values: Any) -> tuple[Cells, str]:
    """Add a column of labels or groups, named like the series that it comes from."""
    name = str(getattr(values, "name", None) or word)
    while name in cells.columns:
        name += "_"
    array = _flat(as_array(values), word)
    if len(array) != len(cells.rows):
        raise UserError(f"{word} has {len(array)} rows, but X has {len(cells.rows)}")
    return replace(cells, columns={**cells.columns, name: from_objects(array.tolist())}), name


def _flat(array: np.ndarray, word: str) -> np.ndarray:
    """Labels of shape (n,): a single column is flattened, and one-hot rows become class numbers."""
    if array.ndim == 2 and array.shape[1] == 1:
        return array[:, 0]
    if array.ndim == 2 and ((array == 0) | (array == 1)).all() and (array.sum(axis=1) == 1).all():
        return np.flatnonzero(array) % array.shape[1]  # row by row, so this is the class of each row
    if array.ndim != 1:
        raise UserError(f"{word} must have the shape (n,), not {array.shape}")
    return array


def _read_matrix(matrix: np.ndarray, y: Any, groups: Any, kind: TableKind | None, decimal: str | None) -> Table:
    matrix = matrix[:, np.newaxis] if matrix.ndim == 1 else matrix
    cells, label = _append(Cells("the table", {}, np.arange(len(matrix)), "row"), "y", y)
    group = None
    if isinstance(groups, str):
        raise UserError("an array has no column names: give the groups themselves")
    if groups is not None:
        cells, group = _append(cells, "group", groups)
    matrix, notes = _complete(matrix.astype(np.float64), cells)
    labels = understand(cells, label, kind, decimal)
    names = None if group is None else _groups(cells, label, group)
    return _table(cells, label, group, labels, names, matrix, None, notes)


def _complete(matrix: np.ndarray, cells: Cells) -> tuple[np.ndarray, list[str]]:
    """Replace missing numbers by the median of their column; infinite ones are refused."""
    wrong = np.flatnonzero((np.abs(matrix) > LARGEST).reshape(len(matrix), -1).any(axis=1))
    if len(wrong):
        raise UserError(f"X has infinite or too large numbers in {cells.where(wrong)}: correct them")
    missing = np.isnan(matrix)
    if not missing.any():
        return matrix, []
    if missing.all(axis=0).any():
        raise UserError("X has columns without any number: drop them")
    filled: np.ndarray = np.where(missing, np.nanmedian(matrix, axis=0), matrix)
    return filled, [f"{int(missing.sum()):,} missing numbers were imputed"]


def read_validation(data: Any, table: Table) -> Source:
    """Read rows that are only used for validation, in the way that a table was read.

    Parameters
    ----------
    data : table as in `read_table`, or a pair ``(X, y)``
        It must have the feature columns and the label column of the table.
    table : Table

    Returns
    -------
    Source
        Encoded by the encoders of the table, with the classes of the table.

    Raises
    ------
    UserError
        If it lacks a column, or has a class that the table does not have.
    """
    if isinstance(data, tuple):
        X, y = data
        if table.encoders is None:
            matrix = as_array(X).astype(np.float64)
            cells, label = _append(Cells("the validation set", {}, np.arange(len(matrix)), "row"), "y", y)
            if matrix.shape[1:] != table.source.take(np.arange(1)).shape[1:]:
                raise UserError(f"the validation set has rows of shape {matrix.shape[1:]}, unlike the table")
            return _validation_source(_complete(matrix, cells)[0], cells, label, table)
        cells, label = _append(read_cells(X), "y", y)
    else:
        cells, label = read_cells(data), table.label
    if table.encoders is None:
        raise UserError("the table is an array: give the validation set as a pair of arrays (X, y)")
    return _validation_source(encode(cells, table.encoders), cells, label, table)


def _validation_source(features: np.ndarray, cells: Cells, label: str, table: Table) -> Source:
    texts = profile(as_texts(cells.column(label)))
    absent = np.flatnonzero(texts.codes < 0)
    if len(absent):
        raise UserError(f"column '{label}' of {cells.name} has {len(absent)} missing labels, in {cells.where(absent)}")
    if table.source.kind == "regression":
        numbers = texts.numbers(table.decimal)
        wrong = np.flatnonzero(~(np.abs(numbers) <= LARGEST))
        if len(wrong):
            raise UserError(f"column '{label}' of {cells.name} is not a number in {cells.where(wrong)}")
        return replace(regression(features, numbers), standardise=table.source.standardise)
    new = [text for text in texts.texts if text not in table.source.classes]
    if new:
        raise UserError(f"class '{new[0]}' of {cells.name} is not a class of {table.name}: correct or drop these rows")
    codes = np.array([table.source.classes.index(text) for text in texts.texts])[texts.codes]
    return replace(classification(features, codes, table.source.classes), standardise=table.source.standardise)
