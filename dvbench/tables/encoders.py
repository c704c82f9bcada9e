"""What turns the cells of one column into columns of numbers, in the same way for the table and for later rows."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from dvbench.errors import UserError
from dvbench.tables.cells import as_texts, is_text
from dvbench.tables.numbers import plain_numbers, profile

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
    """Numbers; missing ones are replaced."""

    decimal: str
    fill: float
    width: int = 1

    def encode(self, cells: pa.Array) -> np.ndarray:
        """Encode cells; a text that is no number is refused."""
        numbers = read_numbers(cells, self.decimal)
        return np.where(np.isnan(numbers), self.fill, numbers)[:, np.newaxis]


@dataclass(frozen=True)
class Indicators:
    """One column for each category, or for the second of two; a cell of no known category is 0 in all of them."""

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
        columns = [codes == first + k for k in range(len(known))]
        if self.missing:
            columns.append(cells.is_null().to_numpy(zero_copy_only=False))
        return np.column_stack(columns).astype(np.float64)


@dataclass(frozen=True)
class Text:
    """Text of many different values, as the components that skrub's ``StringEncoder`` finds."""

    encoder: Any
    width: int

    def encode(self, cells: pa.Array) -> np.ndarray:
        """Encode cells."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return self.encoder.transform(text_series(cells)).to_numpy(dtype=np.float64)  # type: ignore[no-any-return]


def text_series(cells: pa.Array) -> Any:
    """A pandas column of text."""
    import pandas as pd

    return pd.Series(as_texts(cells).fill_null("").to_pylist(), name="text", dtype="str")


def read_numbers(cells: pa.Array, decimal: str) -> np.ndarray:
    """Numbers of a column, NaN if missing; a `UserError` names the first text that is no number."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if not is_text(cells):
        numbers = pc.cast(cells, pa.float64(), safe=False).to_numpy(zero_copy_only=False)
    elif decimal != "." or (numbers := plain_numbers(cells)) is None:
        texts = profile(cells)
        numbers = texts.numbers(decimal)
        wrong = np.isnan(numbers) & (texts.codes >= 0) & ~np.append(texts.missing, False)[texts.codes]
        if wrong.any():
            row = int(np.argmax(wrong))
            raise UserError(f"'{cells[row].as_py()}' is not a number")
    return numbers  # type: ignore[no-any-return]
