"""Understand the label column: classes or numbers, and which cells are missing."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from dvbench.errors import UserError
from dvbench.tables.cells import Cells, as_texts, is_text
from dvbench.tables.encoders import LARGEST
from dvbench.tables.numbers import Profile, profile

if TYPE_CHECKING:
    import pyarrow as pa

TableKind = Literal["classification", "regression"]
FEW = 20
MANY = 100
SHOWN = 5
WHOLE = re.compile(r"[+-]?\d+(\.0*)?", re.ASCII)


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


def understand(cells: Cells, name: str, kind: TableKind | None, decimal: str | None) -> Labels:
    """Understand the label column of a table.

    Raises
    ------
    UserError
        If labels are missing, or all the same, or do not fit ``kind``.
    """
    column = as_texts(cells.column(name))
    texts = profile(column)
    numeric = texts.share > 0.5 and texts.share == 1
    check_present(cells, name, texts, numeric)
    array = np.array(column.to_pylist(), dtype=str)
    guess, reason = _guess(cells, name, texts, numeric)
    if guess == "regression" and kind is None and not numeric:
        _refuse_mixed(cells, name, texts)
    if (kind or guess) == "classification":
        return _classes(cells, name, texts, array, reason if kind in (None, guess) else "as you asked")
    return _targets(cells, name, texts, array, decimal, reason if kind in (None, guess) else "as you asked")


def check_present(cells: Cells, name: str, texts: Profile, numeric: bool) -> None:
    """Raise a `UserError` that names all rows without a label."""
    absent = texts.codes < 0
    if numeric:
        absent |= np.append(texts.missing, False)[texts.codes]
    rows = np.flatnonzero(absent)
    if len(rows):
        raise UserError(
            f"column '{name}' of {cells.name} has {len(rows)} missing labels, in {cells.where(rows)}: "
            "fill them in or drop these rows"
        )


def _guess(cells: Cells, name: str, texts: Profile, numeric: bool) -> tuple[TableKind, str]:
    """The kind, and why."""
    distinct, n = len(texts.texts), len(texts.codes)
    if not numeric:
        if texts.share > 0.5 and texts.numeric.sum() > FEW:
            return "regression", ""
        return "classification", "text"
    if not all(map(WHOLE.fullmatch, texts.texts)):
        return "regression", "numbers that are not whole"
    if texts.are_codes():
        return "classification", "whole numbers with leading zeros or many digits"
    numbers = np.unique(texts.numbers("."))
    contiguous = numbers[0] in (0, 1) and numbers[-1] - numbers[0] == len(numbers) - 1
    repeated = n >= 2 * distinct
    if repeated and (distinct <= FEW or (contiguous and distinct <= MANY)):
        shape = "whole numbers that repeat" if distinct > 2 else "two whole numbers"
        return "classification", shape
    return "regression", f"{distinct:,} different whole numbers"


def _refuse_mixed(cells: Cells, name: str, texts: Profile) -> None:
    rows = texts.rows_of(~texts.numeric)
    raise UserError(
        f"label column '{name}' of {cells.name} holds numbers, but '{texts.texts[texts.codes[rows[0]]]}' in "
        f"{cells.where(rows, 3)}: correct it, or use --kind classification to take each text as a class"
    )


def _classes(cells: Cells, name: str, texts: Profile, array: np.ndarray, reason: str) -> Labels:
    counts = dict(zip(texts.texts, texts.counts.tolist(), strict=True))
    if len(counts) == 1:
        raise UserError(
            f"label column '{name}' of {cells.name} is '{texts.texts[0]}' in every row, so there is nothing to "
            "predict: choose another --label"
        )
    if len(counts) == len(array):
        raise UserError(
            f"label column '{name}' of {cells.name} is different in every row, like an id: choose another --label"
        )
    classes = _order(texts)
    number = {text: k for k, text in enumerate(classes)}
    codes = np.array([number[text] for text in texts.texts])[texts.codes]
    listed = ", ".join(f"{text} {counts[text]:,}" for text in classes[:SHOWN])
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
    remarks = []
    folded = Counter(" ".join(text.casefold().split()) for text in classes)
    alike = [text for text in classes if folded[" ".join(text.casefold().split())] > 1]
    if alike:
        remarks.append(f"classes {_quoted(alike)} differ only in case or blanks")
    values: dict[float, list[str]] = {}
    for text, reading in zip(texts.texts, texts.readings, strict=True):
        if reading is not None and reading.point is not None:
            values.setdefault(reading.point, []).append(text)
    for same in values.values():
        if len(same) > 1:
            remarks.append(f"classes {_quoted(same)} are the same number, written differently")
    rare = [text for text in classes if counts[text] == 1]
    if rare:
        noun = "class has" if len(rare) == 1 else "classes have"
        remarks.append(f"{len(rare)} {noun} one row ({_quoted(rare)})")
    odd = [text for text, missing in zip(texts.texts, texts.missing, strict=True) if missing]
    if odd:
        remarks.append(f"{_quoted(odd)} is taken for a class, and not for a missing label")
    return tuple(remarks)


def _quoted(texts: list[str]) -> str:
    more = f" and {len(texts) - SHOWN} more" if len(texts) > SHOWN else ""
    return ", ".join(f"'{text}'" for text in texts[:SHOWN]) + more


def _targets(cells: Cells, name: str, texts: Profile, array: np.ndarray, decimal: str | None, reason: str) -> Labels:
    if texts.share < 1:
        rows = texts.rows_of(~texts.numeric)
        raise UserError(
            f"label column '{name}' of {cells.name} cannot be a regression: '{texts.texts[texts.codes[rows[0]]]}' in "
            f"{cells.where(rows, 3)} is not a number"
        )
    decimal = _decimal(cells, name, texts, decimal)
    numbers = texts.numbers(decimal)
    wrong = np.flatnonzero(~(np.abs(numbers) <= LARGEST))
    if len(wrong):
        raise UserError(
            f"label column '{name}' of {cells.name} has infinite or too large numbers in "
            f"{cells.where(wrong)}: correct them"
        )
    if numbers.min() == numbers.max():
        raise UserError(
            f"label column '{name}' of {cells.name} is '{texts.texts[0]}' in every row, so there is nothing to "
            "predict: choose another --label"
        )
    low, high = array[numbers.argmin()], array[numbers.argmax()]
    understood = f"regression by column '{name}' ({reason}): from {low} to {high}; --kind classification for the other"
    return Labels("regression", numbers, array, (), decimal, understood, ())


def _decimal(cells: Cells, name: str, texts: Profile, decimal: str | None) -> str:
    possible = texts.conventions()
    if not possible or (decimal is not None and texts.differ() and decimal not in possible):
        raise UserError(
            f"label column '{name}' of {cells.name} mixes decimal points and decimal commas: write them in one way"
        )
    if len(possible) == 1 or not texts.differ():
        return possible[0]
    if decimal is None and any("," in text for text in texts.texts):
        example = next(text for text in texts.texts if "," in text)
        raise UserError(
            f"label column '{name}' of {cells.name} has numbers such as '{example}' that can be read in two ways: "
            "say --decimal . or --decimal ,"
        )
    return decimal or "."


def group_texts(cells: Cells, name: str) -> np.ndarray:
    """Groups of all rows, as text; a `UserError` if some are missing or all are the same."""
    column: pa.Array = as_texts(cells.column(name))
    rows = np.flatnonzero(column.is_null().to_numpy(zero_copy_only=False))
    if len(rows):
        raise UserError(
            f"column '{name}' of {cells.name} has {len(rows)} rows without a group, in {cells.where(rows)}: "
            "fill them in or drop these rows"
        )
    groups = np.array(column.to_pylist(), dtype=str)
    if len(groups) and (groups == groups[0]).all():
        raise UserError(
            f"column '{name}' of {cells.name} is the same in every row, so there is only one group: value the rows"
        )
    return groups


def looks_like_a_label(cells: Cells, name: str) -> bool:
    """Whether a column could be what is predicted: not constant, and no text or date that differs in every row."""
    column = cells.column(name)
    distinct = len(column.unique().drop_null())
    if distinct < 2:
        return False
    import pyarrow as pa

    return not (
        pa.types.is_timestamp(column.type)
        or (is_text(column) and distinct == len(column) and profile(column).share < 1)
    )
