"""Understand the label column: classes or numbers, and which cells are missing."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Set
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from dvbench.errors import LONGEST_SHOWN, UserError, plain
from dvbench.tables.cells import Cells, as_texts
from dvbench.tables.encoders import LARGEST
from dvbench.tables.number_text import MINUS, read_number
from dvbench.tables.numbers import Profile, check_alike, counts_rows, mixed, profile

if TYPE_CHECKING:
    import pyarrow as pa

TableKind = Literal["classification", "regression"]
LABEL_NAMES = re.compile(r"label|target|class|y|outcome", re.IGNORECASE)
FEW = 20
MANY = 100
SHOWN = 5
WHOLE = re.compile(rf"[+{MINUS}]?\d+(\.0*)?", re.ASCII)


@dataclass(frozen=True, eq=False)
class Labels:
    """Labels of all rows.

    Parameters
    ----------
    kind : {"classification", "regression"}
    values : numpy.ndarray of shape (n,)
        Class numbers, int64, or targets, float64.
    texts : numpy.ndarray of str, shape (n,)
        Cells as they stand in the table.
    classes : tuple of str
        Empty for regression.
    decimal : {".", ","}
        Decimal separator of targets.
    understood : str
    remarks : tuple of str
    """

    kind: TableKind
    values: np.ndarray
    texts: np.ndarray
    classes: tuple[str, ...]
    decimal: str
    understood: str
    remarks: tuple[str, ...]


def guess_label(cells: Cells, names: list[str]) -> tuple[str, str]:
    """Name of the column that is most likely the label, and why.

    Raises
    ------
    UserError
        If it cannot be guessed, because several columns before the last one are named like labels, or the column is
        the same in every row, or identifies rows, or is a date.
    """
    named = [name for name in names if LABEL_NAMES.fullmatch(name)]
    several = len(named) > 1 and names[-1] not in named
    guess, reason = (named[0], "by its name") if len(named) == 1 else (names[-1] if names else "", "the last one")
    if len(names) < 2 or several or not _may_be_label(cells, guess):
        shown = ", ".join(names[:20]) + (", ..." if len(names) > 20 else "")
        raise UserError(f"say which column of {cells.name} is the label, with --label: one of {shown}")
    return guess, reason


def _may_be_label(cells: Cells, name: str) -> bool:
    import pyarrow as pa

    column = cells.column(name)
    distinct = len(column.unique().drop_null())
    if distinct < 2 or pa.types.is_timestamp(column.type):
        return False
    if distinct < len(column):
        return True
    texts = profile(as_texts(column))
    return texts.share == 1 and not counts_rows(name, texts.numbers((texts.conventions() or ".")[0]))


def understand(
    cells: Cells, name: str, kind: TableKind | None, decimal: str | None = None, other_columns: str | None = None
) -> Labels:
    """Understand the label column of a table.

    Parameters
    ----------
    cells : Cells
    name : str
        The label column.
    kind : {"classification", "regression"}, optional
        Kind that the user set; by default it follows from the labels.
    decimal : {".", ","}, optional
        Decimal separator that the user set.
    other_columns : {".", ","}, optional
        Decimal separator of the other columns, which decides for numbers with two readings.

    Returns
    -------
    Labels

    Raises
    ------
    UserError
        If labels are missing, or all the same, or do not fit ``kind``.
    """
    column = as_texts(cells.column(name))
    texts = profile(column)
    _check_present(cells, name, texts, texts.share == 1 and kind != "classification")
    array = np.array(column.to_pylist(), dtype=str)
    guess, reason = _guess(texts)
    if guess == "regression" and kind is None and texts.share < 1:
        _refuse_mixed(cells, name, texts)
    reason = reason if kind in (None, guess) else "as you asked"
    if (kind or guess) == "classification":
        return _classes(cells, name, texts, array, reason)
    return _targets(cells, name, texts, array, _decimal(cells, name, texts, decimal, other_columns), reason)


def _check_present(cells: Cells, name: str, texts: Profile, numeric: bool) -> None:
    """Raise a `UserError` that names all rows without a label; NA and the like are none if the others are numbers."""
    absent = texts.codes < 0
    if numeric:
        absent |= np.append(texts.missing, False)[texts.codes]
    rows = np.flatnonzero(absent)
    if len(rows):
        count = f"{len(rows):,} missing label{'s' if len(rows) > 1 else ''}"
        raise UserError(
            f"label column '{name}' of {cells.name} has {count}, in {cells.where(rows)}: fill them in, drop these "
            "rows, or choose another --label"
        )


def _guess(texts: Profile) -> tuple[TableKind, str]:
    """The kind, and why."""
    distinct, n = len(texts.texts), len(texts.codes)
    if texts.share < 1:
        if texts.share > 0.5 and texts.numeric.sum() > FEW:
            return "regression", ""
        return "classification", "text"
    if not all(map(WHOLE.fullmatch, texts.present())):
        unit = any(reading is not None and reading.unit for reading in texts.readings)
        return "regression", "numbers with a unit" if unit else "numbers that are not whole"
    if texts.are_codes():
        return "classification", "whole numbers with leading zeros or many digits"
    numbers = np.unique(texts.numbers("."))
    contiguous = numbers[0] in (0, 1) and numbers[-1] - numbers[0] == len(numbers) - 1
    if n >= 2 * distinct and (distinct <= FEW or (contiguous and distinct <= MANY)):
        return "classification", "whole numbers that repeat"
    return "regression", f"{distinct:,} different whole numbers"


def _refuse_mixed(cells: Cells, name: str, texts: Profile) -> None:
    rows = texts.rows_of(~texts.numeric & ~texts.missing)
    raise UserError(
        f"label column '{name}' of {cells.name} holds numbers, but '{_shown(texts, rows[0])}' in "
        f"{cells.where(rows, 3)}: correct it, or use --kind classification to take each text as a class"
    )


def _classes(cells: Cells, name: str, texts: Profile, array: np.ndarray, reason: str) -> Labels:
    counts = dict(zip(texts.texts, texts.counts.tolist(), strict=True))
    if len(counts) == 1:
        raise _constant(cells, name, texts.texts[0])
    if len(counts) == len(array):
        raise UserError(
            f"label column '{name}' of {cells.name} is different in every row, like an id: choose another --label"
        )
    classes = _order(texts)
    number = {text: k for k, text in enumerate(classes)}
    codes = np.array([number[text] for text in texts.texts])[texts.codes]
    listed = ", ".join(f"{plain(text, LONGEST_SHOWN)} {counts[text]:,}" for text in classes[:SHOWN])
    more = f", and {len(classes) - SHOWN} more" if len(classes) > SHOWN else ""
    other = "--kind regression is impossible here" if texts.share < 1 else "--kind regression for the other"
    understood = f"classification by column '{name}' ({reason}): {len(classes)} classes ({listed}{more}); {other}"
    return Labels("classification", codes, array, classes, ".", understood, _class_remarks(classes, counts, texts))


def _order(texts: Profile) -> tuple[str, ...]:
    """Alphabetical, or ascending if all are numbers in one convention."""
    if texts.share == 1 and texts.conventions() and not texts.missing.any():
        convention = texts.conventions()[0]
        values = [r.point if convention == "." else r.comma for r in texts.readings if r is not None]
        return tuple(text for _, text in sorted(zip(values, texts.texts, strict=True)))
    return tuple(sorted(texts.texts))


def _class_remarks(classes: tuple[str, ...], counts: dict[str, int], texts: Profile) -> tuple[str, ...]:
    remarks = list(alike(classes, "classes"))
    rare = [text for text in classes if counts[text] == 1]
    if rare:
        noun = "class has" if len(rare) == 1 else "classes have"
        remarks.append(f"{len(rare)} {noun} one row ({_quoted(rare)})")
    odd = [text for text, missing in zip(texts.texts, texts.missing, strict=True) if missing]
    if odd:
        remarks.append(f"{_quoted(odd)} is taken for a class, and not for a missing label")
    return tuple(remarks)


def alike(texts: Iterable[str], noun: str) -> tuple[str, ...]:
    """Remarks about classes or groups that may be meant to be the same: they look alike, or are the same number."""
    by_word: dict[str, list[str]] = {}
    by_number: dict[int | float, list[str]] = {}
    for text in dict.fromkeys(texts):
        visible = "".join(character for character in text if unicodedata.category(character) != "Cf")
        by_word.setdefault(" ".join(visible.casefold().split()), []).append(text)
        reading = read_number(text)
        if text.isdecimal():
            by_number.setdefault(int(text), []).append(text)  # exact, also with more digits than a float keeps
        elif reading is not None and reading.point is not None:
            by_number.setdefault(reading.point, []).append(text)
    remarks = []
    for what, found in (
        ("differ only in case, blanks or invisible characters", by_word.values()),
        ("are the same number, written differently", by_number.values()),
    ):
        if same := [texts for texts in found if len(texts) > 1]:
            more = f" and {len(same) - SHOWN} more sets" if len(same) > SHOWN else ""
            remarks.append(f"{noun} {'; '.join(map(_quoted, same[:SHOWN]))}{more} {what}")
    return tuple(remarks)


def _shown(texts: Profile, row: int) -> str:
    """Text of a row, for a message."""
    return plain(texts.texts[texts.codes[row]], LONGEST_SHOWN)


def _quoted(texts: list[str]) -> str:
    more = f" and {len(texts) - SHOWN} more" if len(texts) > SHOWN else ""
    return ", ".join(f"'{plain(text, LONGEST_SHOWN)}'" for text in texts[:SHOWN]) + more


def _targets(cells: Cells, name: str, texts: Profile, array: np.ndarray, decimal: str, reason: str) -> Labels:
    numbers = texts.numbers(decimal)
    wrong = np.flatnonzero(~(np.abs(numbers) <= LARGEST))
    if len(wrong):
        raise UserError(
            f"label column '{name}' of {cells.name} has infinite or too large numbers in {cells.where(wrong)}: correct "
            "them"
        )
    low, high = array[numbers.argmin()], array[numbers.argmax()]
    if numbers.min() == numbers.max():
        raise _constant(cells, name, low)
    understood = f"regression by column '{name}' ({reason}): from {low} to {high}; --kind classification for the other"
    return Labels("regression", numbers, array, (), decimal, understood, ())


def _constant(cells: Cells, name: str, text: str) -> UserError:
    return UserError(
        f"label column '{name}' of {cells.name} is '{plain(text, LONGEST_SHOWN)}' in every row, so there is nothing to "
        "predict: choose another --label"
    )


def _decimal(cells: Cells, name: str, texts: Profile, decimal: str | None, other_columns: str | None) -> str:
    """Decimal separator of targets; a `UserError` if they are no numbers, or have two readings."""
    column, possible = f"label column '{name}' of {cells.name}", texts.conventions()
    if texts.share < 1:
        rows = texts.rows_of(~texts.numeric)
        raise UserError(
            f"{column} cannot be a regression: '{_shown(texts, rows[0])}' in {cells.where(rows, 3)} is not a number"
        )
    if units := mixed(texts.units()):
        raise UserError(f"{column} mixes units ({units}): convert them to one")
    if not possible:
        raise UserError(f"{column} mixes decimal points and decimal commas: write them in one way")
    if not texts.differ():
        return possible[0]
    if decimal is not None and decimal not in possible:
        raise UserError(f"{column} has numbers that are none with the decimal separator '{decimal}'")
    clear = cells.points_mean_decimals and not any("," in text for text in texts.texts)
    if decimal is None and len(possible) == 2 and other_columns is None and not clear:
        example = next(t for t, r in zip(texts.texts, texts.readings, strict=True) if r and r.point != r.comma)
        raise UserError(
            f"{column} has numbers such as '{example}' that can be read in two ways: use --decimal . or --decimal ,"
        )
    return decimal or (possible if len(possible) == 1 else other_columns or ".")


def group_texts(cells: Cells, name: str, label: str) -> np.ndarray:
    """Groups of all rows, as text.

    Raises
    ------
    UserError
        If the column is the label, or some rows have no group, or all have the same.
    """
    column: pa.Array = as_texts(cells.column(name))
    if name == label:
        raise UserError(f"column '{name}' of {cells.name} is the label: group by another column")
    rows = np.flatnonzero(column.is_null().to_numpy(zero_copy_only=False))
    if len(rows):
        raise UserError(
            f"column '{name}' of {cells.name} has {len(rows):,} rows without a group, in {cells.where(rows)}: "
            "fill them in or drop these rows"
        )
    groups = np.array(column.to_pylist(), dtype=str)
    if len(groups) and (groups == groups[0]).all():
        raise UserError(
            f"column '{name}' of {cells.name} is '{groups[0]}' in every row, so there is only one group and nothing "
            "to compare it with: group by another column, or value the rows"
        )
    return groups


def labels_like(
    cells: Cells, name: str, classes: tuple[str, ...], decimal: str = ".", units: Set[str] = frozenset()
) -> np.ndarray:
    """Class numbers, or targets, of other rows, read like those of a table.

    Parameters
    ----------
    cells : Cells
    name : str
        Of the column.
    classes : tuple of str
        Of the table; none of a regression.
    decimal : {".", ","}
        Decimal separator of the targets of a regression.
    units : set of str
        Units of the targets of the table, see `Profile.units`.

    Raises
    ------
    UserError
        If a label is missing, or is no number of a regression, or is one in another unit, or is a class that the table
        does not have.
    """
    texts = profile(as_texts(cells.column(name)))
    _check_present(cells, name, texts, not classes)
    if not classes:
        values = texts.numbers(decimal)
        wrong = np.flatnonzero(~(np.abs(values) <= LARGEST))
        if len(wrong):
            raise UserError(
                f"label column '{name}' of {cells.name} is not a number in {cells.where(wrong)}: correct it"
            )
        try:
            check_alike(units, texts.units())
        except UserError as error:
            raise UserError(f"label column '{name}' of {cells.name}: {error}") from None
        return values
    new = np.array([text not in classes for text in texts.texts], dtype=bool)
    if new.any():
        rows = texts.rows_of(new)
        raise UserError(
            f"class '{_shown(texts, rows[0])}' in {cells.where(rows, 3)} of {cells.name} is not a class of "
            f"the table ({_quoted(list(classes))}): correct or drop these rows"
        )
    codes: np.ndarray = np.array([classes.index(text) for text in texts.texts], dtype=np.int64)[texts.codes]
    return codes
