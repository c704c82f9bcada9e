"""What turns the cells of one column into columns of numbers, in the same way for the table and for later rows."""

from __future__ import annotations

import re
import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from dvbench.errors import UserError
from dvbench.tables.cells import as_texts, is_text
from dvbench.tables.numbers import check_alike, plain_numbers, profile

if TYPE_CHECKING:
    import pyarrow as pa

LARGEST = float(np.finfo(np.float32).max)


class Encoder(Protocol):
    """Encodes one column."""

    @property
    def width(self) -> int:
        """Number of columns that it makes."""
        ...

    def encode(self, cells: pa.Array) -> np.ndarray:
        """Encode cells as float64 of shape (n, width); a `UserError` names a cell that cannot be encoded."""
        ...


@dataclass(frozen=True)
class Numbers:
    """Numbers, without the unit after them; missing ones are replaced.

    ``sign`` is their currency, "%" or "‰": numbers of another one are refused.
    """

    decimal: str
    fill: float
    unit: str = ""
    sign: str = ""
    width: int = 1

    def encode(self, cells: pa.Array) -> np.ndarray:
        """Encode cells; a text that is no number is refused."""
        return self.complete(read_numbers(cells, self.decimal, self.unit, self.sign))[:, np.newaxis]

    def complete(self, numbers: np.ndarray) -> np.ndarray:
        """Replace missing numbers."""
        return np.where(np.isnan(numbers), self.fill, numbers)


@dataclass(frozen=True)
class Indicators:
    """One column for each category, or for the second of two; a cell of no known category lies between all of them."""

    categories: tuple[str, ...]
    missing: bool

    @property
    def width(self) -> int:
        """Columns: one of two categories is enough; empty cells have their own."""
        return len(self.categories) - (len(self.categories) == 2) + self.missing

    def encode(self, cells: pa.Array) -> np.ndarray:
        """Encode cells."""
        import pyarrow as pa
        import pyarrow.compute as pc

        found = pc.index_in(as_texts(cells), pa.array(self.categories, pa.string()))
        codes = found.fill_null(-1).to_numpy(zero_copy_only=False)
        known = self.categories[1:] if len(self.categories) == 2 else self.categories
        first = len(self.categories) - len(known)
        columns = [(codes == first + k).astype(np.float64) for k in range(len(known))]
        empty = cells.is_null().to_numpy(zero_copy_only=False)
        if first:
            columns[0][(codes < 0) & ~empty] = 0.5
        if self.missing:
            columns.append(empty.astype(np.float64))
        return np.column_stack(columns)


@dataclass(frozen=True)
class Text:
    """Text of many different values, as components that skrub's ``StringEncoder`` finds.

    Parameters
    ----------
    encoder : skrub.StringEncoder
    kept : numpy.ndarray of int
        Its components that are used.
    low, high : numpy.ndarray of shape (len(kept),)
        Smallest and largest component of a text of the table. Later texts lie between them: words that the table does
        not have would otherwise be far from everything in it.
    """

    encoder: Any
    kept: np.ndarray
    low: np.ndarray
    high: np.ndarray

    @property
    def width(self) -> int:
        """Number of components."""
        return len(self.kept)

    def encode(self, cells: pa.Array) -> np.ndarray:
        """Encode cells; each different text is encoded once."""
        different = cells.dictionary_encode()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            codes = self.encoder.transform(text_series(different.dictionary)).to_numpy(dtype=np.float64)[:, self.kept]
        codes = np.clip(codes, self.low, self.high)
        numbers = different.indices.fill_null(-1).to_numpy(zero_copy_only=False)
        rows: np.ndarray = np.vstack([codes, np.zeros(self.width)])[numbers]  # an empty cell has no part of any word
        return rows


def text_series(cells: pa.Array) -> Any:
    """Text without empty cells as a pandas column."""
    import pandas as pd

    return pd.Series(cells.drop_null().to_pylist(), name="text", dtype="str")


def without_unit(cells: pa.Array, unit: str) -> pa.Array:
    """Text without a unit at its end."""
    import pyarrow.compute as pc

    return pc.utf8_trim_whitespace(pc.replace_substring_regex(cells, re.escape(unit) + "$", ""))


def read_numbers(cells: pa.Array, decimal: str, unit: str = "", sign: str = "") -> np.ndarray:
    """Numbers of a column without a unit, NaN if missing; a `UserError` names the first text that is no number."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if pa.types.is_timestamp(cells.type):
        raise UserError("it holds dates, and not numbers")
    given = cells
    cells = without_unit(cells, unit) if unit and is_text(cells) else cells
    if not is_text(cells):
        check_alike({sign}, {""} if len(cells) > cells.null_count else set())
        numbers = pc.cast(cells, pa.float64(), safe=False).to_numpy(zero_copy_only=False)
    elif decimal != "." or sign or (numbers := plain_numbers(cells)) is None:
        texts = profile(cells)
        numbers = texts.numbers(decimal)
        wrong = np.isnan(numbers) & (texts.codes >= 0) & ~np.append(texts.missing, False)[texts.codes]
        if wrong.any():
            row = int(np.argmax(wrong))
            raise UserError(f"'{given[row].as_py()}' is not a number")
        check_alike({sign}, texts.units())
    return numbers  # type: ignore[no-any-return]
