"""Turn columns of text into numbers, in one convention for decimals."""

from __future__ import annotations

import re
from collections.abc import Set
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from dvbench.errors import UserError
from dvbench.tables.number_text import MISSING, Reading, read_number

if TYPE_CHECKING:
    import pyarrow as pa

IDENTIFIER = re.compile(
    r"(.*[\s_.-])?(id|uuid|guid|key|index|rownames?|row_?(number|num|nr|no))|column \d+", re.IGNORECASE
)
ENOUGH_ROWS = 20  # a few numbers can be different and close by chance
FEW_ROWS = 10  # in a smaller table a column may count the rows by chance
CODE = re.compile(r"0\d+|\d{16,}", re.ASCII)
DIGITS = re.compile(r"\d+", re.ASCII)


@dataclass(frozen=True, eq=False)
class Profile:
    """The different texts of a column and what they may mean as numbers.

    Parameters
    ----------
    texts : list of str
        Different texts, in the order in which they come first.
    codes : numpy.ndarray of int64, shape (n,)
        Number of the text of each row; -1 if the cell is empty.
    counts : numpy.ndarray of int64, shape (len(texts),)
        Rows of each text.
    readings : list of Reading or None
        Of each text; None if it is no number.
    missing : numpy.ndarray of bool, shape (len(texts),)
        Texts that stand for a missing number, such as NA.
    """

    texts: list[str]
    codes: np.ndarray
    counts: np.ndarray
    readings: list[Reading | None]
    missing: np.ndarray

    @property
    def numeric(self) -> np.ndarray:
        """Which texts are numbers."""
        return np.array([reading is not None for reading in self.readings], dtype=bool)

    @property
    def share(self) -> float:
        """Share of the rows that are numbers, among those that are neither empty nor stand for a missing number."""
        present = self.counts[~self.missing].sum()
        return float(self.counts[self.numeric].sum() / present) if present else 0.0

    def present(self) -> list[str]:
        """Texts that do not stand for a missing number."""
        return [text for text, missing in zip(self.texts, self.missing, strict=True) if not missing]

    def are_codes(self) -> bool:
        """Whether all are whole numbers and some has a leading zero, or more digits than a number keeps."""
        texts = self.present()
        return any(map(CODE.fullmatch, texts)) and all(map(DIGITS.fullmatch, texts))

    def rows_of(self, texts: np.ndarray) -> np.ndarray:
        """Rows whose text is one of these; ``texts`` is a mask."""
        return np.flatnonzero(np.append(texts, False)[self.codes])

    def units(self) -> set[str]:
        """Units of the numbers, as `Reading` has them."""
        return {reading.unit for reading in self.readings if reading is not None}

    def conventions(self) -> str:
        """Decimal separators in which all texts that are numbers can be read: "." or "," or ".,", or nothing."""
        readings = [reading for reading in self.readings if reading is not None]
        point = all(reading.point is not None for reading in readings)
        comma = all(reading.comma is not None for reading in readings)
        return "." * point + "," * comma

    def differ(self) -> bool:
        """Whether the two conventions give different numbers."""
        return any(reading is not None and reading.point != reading.comma for reading in self.readings)

    def numbers(self, decimal: str) -> np.ndarray:
        """Number of each row, float64; NaN if it is missing, or no number in this convention."""
        attribute = "point" if decimal == "." else "comma"
        values = [np.nan if r is None or (v := getattr(r, attribute)) is None else v for r in self.readings]
        numbers: np.ndarray = np.append(np.array(values, dtype=np.float64), np.nan)[self.codes]
        return numbers


def mixed(units: Set[str]) -> str:
    """Units in words if they differ, or if only some numbers are percentages; else nothing."""
    if len(units - {""}) < 2 and not (units & {"%", "‰"} and len(units) > 1):
        return ""
    return ", ".join(unit.upper() or "none" for unit in sorted(units))


def check_alike(units: Set[str], others: Set[str]) -> None:
    """Raise a `UserError` if later rows have numbers in another unit than those of the table."""
    if mixed(units | others):
        ours, theirs = (" and ".join(unit.upper() or "none" for unit in sorted(each)) for each in (units, others))
        raise UserError(f"it has numbers in another unit than the table ({theirs} instead of {ours}): convert them")


def profile(cells: pa.Array) -> Profile:
    """Profile a column of text."""
    encoded = cells.dictionary_encode()
    texts: list[str] = encoded.dictionary.to_pylist()
    codes = encoded.indices.fill_null(-1).to_numpy(zero_copy_only=False).astype(np.int64)
    missing = np.array([text.lower() in MISSING for text in texts], dtype=bool)
    readings = [None if absent else read_number(text) for text, absent in zip(texts, missing, strict=True)]
    return Profile(texts, codes, np.bincount(codes[codes >= 0], minlength=len(texts)), readings, missing)


def plain_numbers(cells: pa.Array) -> np.ndarray | None:
    """Numbers of a column if all cells are empty or written plainly, such as 12.5; None if it needs a closer look.

    This is quick: it looks at no single cell in Python.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    try:
        numbers = pc.cast(cells, pa.float64())
    except pa.ArrowInvalid:
        return None
    if pc.any(pc.match_substring_regex(cells, r"^(0\d|\d{16}|[^\d]*[a-zA-Z])")).as_py():
        return None
    plain: np.ndarray = numbers.to_numpy(zero_copy_only=False)
    return plain


def counts_rows(name: str, numbers: np.ndarray) -> str | None:
    """Reason to leave a column of numbers out because it only identifies the rows; None if it does not."""
    if not len(numbers) or not np.isfinite(numbers).all() or not (numbers % 1 == 0).all():
        return None
    identifier = IDENTIFIER.fullmatch(name) is not None
    counting = numbers[0] in (0, 1) and np.array_equal(numbers, np.arange(len(numbers)) + numbers[0])
    if counting and (identifier or len(numbers) >= FEW_ROWS):
        return "it counts the rows"
    if identifier and len(np.unique(numbers)) == len(numbers):
        return "an id, different in every row"
    return None


def may_count_rows(numbers: np.ndarray) -> bool:
    """Whether whole numbers are all different and close to each other, as numbers of rows are."""
    n = len(numbers)
    whole = n >= ENOUGH_ROWS and bool(np.isfinite(numbers).all() and (numbers % 1 == 0).all())
    return whole and bool(np.ptp(numbers) < 2 * n) and len(np.unique(numbers)) == n
