"""Read a user's table: the door of `dvbench.tables`.

Every cell is text first. Then each column gets a role (label, group, feature) and a type, and `Table.understood` says
what was understood, with the option that overrides each guess, before anything is computed.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from difflib import get_close_matches
from typing import Any, get_args

import numpy as np

from dvbench.errors import UserError, unknown
from dvbench.problems.source import Source, classification, regression
from dvbench.tables.arrays import append, as_columns, as_numbers, complete, has_names
from dvbench.tables.cells import Cells, from_objects
from dvbench.tables.copies import copies_of_label, shared_by_groups
from dvbench.tables.encoders import Encoder
from dvbench.tables.features import TYPES, Fit, encode, fit
from dvbench.tables.labels import Labels, TableKind, alike, group_texts, guess_label, labels_like, understand
from dvbench.tables.numbers import may_count_rows, profile
from dvbench.tables.objects import read_cells
from dvbench.tables.summary import listed, summarise

MIN_ROWS = 10
MIN_CLASS_ROWS = 3


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
    cells : Cells
        All columns as they stand in the table; of arrays those of the labels and the groups alone.
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
    cells: Cells
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
    _check_kind(kind)
    cells = read_cells(data)
    types = dict(types or {})
    features = [features] if isinstance(features, str) else features
    drop = [drop] if isinstance(drop, str) else drop
    _check_options(cells, types, decimal, [*(features or ()), *drop, *types])
    if not len(cells.rows):
        raise UserError(f"{cells.name} has no rows of data")
    notes = list(cells.notes)
    if label is None:
        label, reason = guess_label(cells, [name for name in cells.columns if name not in {group, *drop}])
        notes.append(f"the label is column '{label}', {reason}; --label names another")
    cells.column(label)
    if label in drop:
        raise UserError(f"column '{label}' is the label, and cannot be dropped")
    if label in types:
        raise UserError(
            f"column '{label}' is the label, which has no type: use --kind classification or --kind regression"
        )
    groups = None if group is None else group_texts(cells, group, label)
    cells = replace(cells, group=group)
    names = [name for name in features or cells.columns if name not in {label, group, *drop}]
    if unused := next((name for name in types if name not in names), None):
        raise UserError(f"column '{unused}' is not used as a feature, so leave it out of --as")
    fitted = fit(cells, names, types, decimal)
    try:
        labels = understand(cells, label, kind, decimal, fitted.decimal)
    except UserError as error:
        raise UserError("; ".join([str(error), *fitted.fault_lines()])) from None
    if fitted.faults:
        raise UserError(f"{cells.name}: {'; '.join(fitted.fault_lines())}")
    if not fitted.encoders:
        left_out = listed([f"'{name}': {reason}" for name, reason in fitted.left_out.items()])
        reasons = f" ({left_out}): keep one with --as COLUMN=TYPE" if left_out else ""
        raise UserError(f"{cells.name} has no features besides its label{reasons}")
    features_read = encode(cells, fitted.encoders, fitted.numbers)
    return _table(cells, label, group, labels, groups, features_read, fitted, notes)


def check_sizes(table: Table) -> None:
    """Raise a `UserError` if the rows of some class cannot be in all of the three sets of a suite."""
    if len(table.rows) < MIN_ROWS:
        raise UserError(f"{table.name} has {len(table.rows)} rows of data: at least {MIN_ROWS} are needed")
    if table.source.kind == "classification":
        counts = np.bincount(table.source.labels)
        if counts.min() < MIN_CLASS_ROWS:
            raise UserError(
                f"class '{table.source.classes[counts.argmin()]}' in column '{table.label}' of {table.name} has "
                f"{counts.min()} rows, but each of the three sets needs one: add rows of this class, merge it with "
                "another class, or drop it"
            )


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
    remarks = labels.remarks
    if groups is not None:
        remarks += (*alike(groups.tolist(), "groups"), *shared_by_groups(groups, features, labels.values))
    if fitted is not None:
        remarks += tuple(
            f"column '{name}' has another number in each row: if it only numbers them, --drop '{name}'"
            for name, numbers in fitted.numbers.items()
            if may_count_rows(numbers)
            or (cells.identifies(name, len(np.unique(numbers))) and may_count_rows(numbers[cells.first_of_equal_rows]))
        )
    if fitted is not None and labels.kind == "classification":
        remarks += copies_of_label(cells, fitted.encoders, label, labels)
    return Table(
        source=replace(source, groups=groups, standardise=features.ndim == 2),
        name=cells.name,
        label=label,
        group=group,
        rows=cells.rows,
        numbering=cells.numbering,
        targets=labels.texts,
        cells=cells,
        understood=(*notes, labels.understood, *summarise(features, fitted, groups, group)),
        remarks=remarks,
        encoders=None if fitted is None else fitted.encoders,
        decimal=labels.decimal,
    )


def _check_kind(kind: str | None) -> None:
    if kind not in (None, *get_args(TableKind)):
        raise unknown("kind of problem", str(kind), get_args(TableKind))


def _check_options(cells: Cells, types: Mapping[str, str], decimal: str | None, names: Iterable[str]) -> None:
    for name in names:
        cells.column(name)
    for name, chosen in types.items():
        if chosen not in TYPES:
            raise unknown(f"type for column '{name}'", chosen, TYPES)
    if decimal not in (None, ".", ","):
        raise UserError(f"the decimal separator must be a point or a comma, not '{decimal}'")


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
    if y is None and not has_names(X):
        raise UserError("X has no column of labels: give them as y")
    if y is None or isinstance(y, str):
        return read_table(
            X, label=y or label, group=groups, kind=kind, features=features, drop=drop, types=types, decimal=decimal
        )
    if not has_names(X) and (matrix := as_numbers(X)) is not None:
        return _read_matrix(matrix, y, groups, kind, decimal)
    cells, label = append(read_cells(X if has_names(X) else as_columns(X)), "y", y)
    group = groups
    if groups is not None and not isinstance(groups, str):
        cells, group = append(cells, "group", groups)
    return read_table(
        cells, label=label, group=group, kind=kind, features=features, drop=drop, types=types, decimal=decimal
    )


def _read_matrix(matrix: np.ndarray, y: Any, groups: Any, kind: TableKind | None, decimal: str | None) -> Table:
    _check_kind(kind)
    if isinstance(groups, str):
        raise UserError("an array has no column names: give the groups themselves")
    if not matrix.size:
        raise UserError(f"X has the shape {matrix.shape}: it must have rows and columns")
    cells, label = append(Cells("the table", {}, np.arange(len(matrix)), "row"), "y", y)
    group = None
    if groups is not None:
        cells, group = append(cells, "group", groups)
    matrix, notes = complete(matrix, cells)
    labels = understand(cells, label, kind, decimal)
    names = None if group is None else group_texts(cells, group, label)
    return _table(cells, label, group, labels, names, matrix, None, notes)


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
    name, shape = "the validation set", table.source.take(np.arange(1)).shape[1:]
    if isinstance(data, tuple) and len(data) != 2:
        raise UserError(f"{name} must be a table or a pair (X, y), not {len(data)} values")
    if isinstance(data, tuple) and not len(data[0]):
        raise UserError(f"{name} has no rows")
    if not isinstance(data, tuple):
        if table.encoders is None:
            raise UserError("the table is an array: give the validation set as a pair of arrays (X, y)")
        cells = read_cells(data)
        if not len(cells.rows):
            raise UserError(f"{cells.name} has no rows of data")
        _check_columns(cells, table.encoders)
        return _validation_source(encode(cells, table.encoders), cells, table.label, table)
    X, y = data
    if table.encoders is not None:
        cells, label = append(replace(read_cells(X if has_names(X) else as_columns(X)), name=name), "y", y)
        _check_columns(cells, table.encoders)
        return _validation_source(encode(cells, table.encoders), cells, label, table)
    matrix = as_numbers(X)
    if matrix is None or matrix.shape[1:] != shape:
        raise UserError(f"{name} must have rows of numbers of shape {shape}, like the table")
    cells, label = append(Cells(name, {}, np.arange(len(matrix)), "row"), "y", y)
    return _validation_source(complete(matrix, cells)[0], cells, label, table)


def _check_columns(cells: Cells, needed: Iterable[str]) -> None:
    """Raise a `UserError` if other rows lack a feature of the table."""
    if lacks := next((name for name in needed if name not in cells.columns), None):
        similar = get_close_matches(lacks, list(cells.columns), n=1)
        meant = f" (did you mean '{similar[0]}'?)" if similar else ""
        raise UserError(
            f"{cells.name} has no column '{lacks}'{meant}, which is a feature of the table: add it, or leave it out of "
            f"the table with --drop '{lacks}'"
        )


def _validation_source(features: np.ndarray, cells: Cells, label: str, table: Table) -> Source:
    units = set() if table.source.classes else profile(from_objects(table.targets.tolist())).units()
    values = labels_like(cells, label, table.source.classes, table.decimal, units)
    source = (
        regression(features, values)
        if not table.source.classes
        else classification(features, values, table.source.classes)
    )
    return replace(source, standardise=table.source.standardise)
