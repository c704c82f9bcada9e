"""`Cells`, a table as it was given: columns of cells that nothing has interpreted yet.

A column of a text file holds text. A column of a format that knows types (Parquet, Excel, a data frame) keeps its
numbers, dates and booleans. Text is stripped of blanks at its ends and is Unicode in normal form C, so that equal words
are equal strings. A cell without content is null.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from dvbench.errors import UserError, unknown

if TYPE_CHECKING:
    import pyarrow as pa

COPIED, COPIED_BY_GROUPS = 0.1, 0.5  # largest part of the rows that can be copies; where more are equal, cells repeat


@dataclass(frozen=True, eq=False)
class Cells:
    """A table before anything is understood of it.

    Parameters
    ----------
    name : str
        What messages call the table.
    columns : dict of str to pyarrow.Array
        Text, 64-bit floating point numbers, integers, timestamps or booleans, all of one length.
    rows : numpy.ndarray of shape (n,)
        How the user's table numbers its rows.
    numbering : str
        The word for these numbers, such as ``"line"``.
    notes : tuple of str
        What was understood of the form of the file, such as its separator.
    points_mean_decimals : bool
        Whether 1.234 is taken for a number with decimals if no column tells. It is not in files that are separated by
        semicolons, because these come from countries that write decimal commas.
    group : str, optional
        The column that groups the rows: rows of different groups can be copies.
    """

    name: str
    columns: dict[str, Any]
    rows: np.ndarray
    numbering: str
    notes: tuple[str, ...] = ()
    points_mean_decimals: bool = True
    group: str | None = None

    @cached_property
    def first_of_equal_rows(self) -> np.ndarray:
        """Positions of the rows that no row before them equals in all columns but the group."""
        return np.sort(np.unique(self._row_hashes, return_index=True)[1])

    def identifies(self, name: str, different: int) -> bool:
        """Whether a column with so many different cells has one for each row and its copies, and decides nothing else.

        Without the column the rows must be as different: cities that come with their number of inhabitants, or with
        their label, are no identifiers of rows.
        """
        n, copied = len(self.rows), COPIED if self.group is None else COPIED_BY_GROUPS
        if not (1 - copied) * n <= different < n or different != len(self.first_of_equal_rows):
            return False
        return different == len(np.unique(self._row_hashes - self._hashes(name)))

    @cached_property
    def _row_hashes(self) -> np.ndarray:
        """Sums of the hashes of the cells of a row, so that those without one column need no look at all others."""
        total = np.zeros(len(self.rows), dtype=np.uint64)
        for name in self.columns:
            if name != self.group:
                total += self._hashes(name)  # of unsigned integers, which wrap around
        return total

    def _hashes(self, name: str) -> np.ndarray:
        """One number for each cell of a column, equal for equal cells; uint64 of shape (n,)."""
        from pandas.util import hash_array

        codes = self.columns[name].dictionary_encode().indices.fill_null(-1).to_numpy(zero_copy_only=False)
        codes = codes.astype(np.uint64) + np.uint64(hash(name) % 2**63)  # equal cells of two columns differ
        hashes: np.ndarray = hash_array(codes)
        return hashes

    def column(self, name: str) -> Any:
        """Cells of a column, or a `UserError` that suggests the most similar name."""
        if name not in self.columns:
            raise unknown(f"column of {self.name}", name, self.columns)
        return self.columns[name]

    def where(self, rows: np.ndarray | Sequence[int], limit: int = 10) -> str:
        """Name rows as the user's table numbers them, such as "lines 3, 8 and 4 more"."""
        numbers = [str(self.rows[row]) for row in rows[:limit]]
        more = f" and {len(rows) - limit} more" if len(rows) > limit else ""
        word = {"index": "indices"}.get(self.numbering, f"{self.numbering}s") if len(rows) > 1 else self.numbering
        return f"{word} {', '.join(numbers)}{more}"


def convert(columns: Mapping[str, Any], by: Callable[[Any], Any]) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Convert columns with `from_arrow` or `from_objects`; notes name those that hold nested values, which are left."""
    converted, notes = {}, []
    for name, values in columns.items():
        try:
            converted[name] = by(values)
        except UserError as error:
            notes.append(f"column '{name}' is not read: {error}")
    return converted, tuple(notes)


def clean(texts: pa.Array) -> pa.Array:
    """Text without blanks at its ends, in normal form C; empty text is null."""
    import pyarrow as pa
    import pyarrow.compute as pc

    texts = pc.utf8_normalize(pc.utf8_trim_whitespace(texts), form="NFC")
    return pc.if_else(pc.equal(texts, ""), pa.scalar(None, pa.string()), texts)


def is_text(cells: pa.Array) -> bool:
    """Whether cells are text, and not typed."""
    import pyarrow as pa

    return bool(pa.types.is_string(cells.type))


def as_texts(cells: pa.Array) -> pa.Array:
    """Cells as text: whole numbers without a decimal point if all are whole, other numbers in their shortest form."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if is_text(cells):
        return cells
    if pa.types.is_floating(cells.type):
        numbers = cells.to_numpy(zero_copy_only=False)
        present = numbers[~np.isnan(numbers)]
        if len(present) and (np.abs(present) < 2**53).all() and (present % 1 == 0).all():
            cells = pc.cast(cells, pa.int64())
        else:
            return pa.array([None if value is None else repr(value) for value in cells.to_pylist()], pa.string())
    if pa.types.is_boolean(cells.type):
        return pc.if_else(cells, "True", "False")
    return pc.cast(cells, pa.string())


def from_objects(values: Sequence[Any]) -> pa.Array:
    """A column of Python objects: typed if they are of one type, else text."""
    import pyarrow as pa

    missing = [value is None or value != value for value in values]  # NaN and NaT differ from themselves
    present = [value for value, absent in zip(values, missing, strict=True) if not absent]
    values = [None if absent else value for value, absent in zip(values, missing, strict=True)]
    if any(isinstance(value, list | tuple | dict | set | np.ndarray) for value in present):
        raise UserError("it holds lists or other nested values")
    if present and not any(isinstance(value, str) for value in present):
        try:
            return from_arrow(pa.array(values))
        except (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError):
            pass
    return clean(pa.array([None if value is None else str(value) for value in values], pa.string()))


def from_arrow(cells: pa.Array | pa.ChunkedArray) -> pa.Array:
    """A column of Arrow's, reduced to the types of `Cells`."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if isinstance(cells, pa.ChunkedArray):
        cells = cells.combine_chunks()
        cells = cells.chunk(0) if isinstance(cells, pa.ChunkedArray) else cells
    kind = cells.type
    if pa.types.is_dictionary(kind):
        words = from_arrow(cells.dictionary)  # first, because Arrow cannot take from views of text
        return from_arrow(words.take(cells.indices))
    if pa.types.is_nested(kind) or pa.types.is_binary(kind):
        raise UserError("it holds lists or other nested values")
    if pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind):
        return clean(pc.cast(cells, pa.string()))
    if pa.types.is_null(kind):
        return pc.cast(cells, pa.string())
    if pa.types.is_floating(kind) or pa.types.is_decimal(kind):
        numbers = pc.cast(cells, pa.float64(), safe=False)
        return pc.if_else(pc.is_nan(numbers), pa.scalar(None, pa.float64()), numbers)
    if pa.types.is_date(kind):
        return pc.cast(cells, pa.timestamp("us"))
    if pa.types.is_duration(kind):
        return pc.divide(pc.cast(pc.cast(cells, pa.duration("us")), pa.int64()), 1e6)
    if pa.types.is_integer(kind) or pa.types.is_boolean(kind) or pa.types.is_timestamp(kind):
        return cells
    return clean(pc.cast(cells, pa.string()))
