"""Arrays of features and labels from Python: NumPy, torch, SciPy's sparse matrices, lists and series."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from dvbench.errors import UserError
from dvbench.tables.cells import Cells, from_objects
from dvbench.tables.encoders import LARGEST


def has_names(data: Any) -> bool:
    """Whether data is a table with names of columns: a path, a data frame, a data set or a mapping."""
    return isinstance(data, str | Mapping | Cells) or any(
        hasattr(data, attribute) for attribute in ("columns", "column_names", "suffix")
    )


def as_array(values: Any) -> np.ndarray:
    """A NumPy array of numbers, text or objects; tensors of torch are copied to the CPU."""
    if hasattr(values, "detach"):
        values = values.detach().cpu()
        return np.asarray(values.float() if str(values.dtype) == "torch.bfloat16" else values)
    if isinstance(values, np.ma.MaskedArray):
        absent: Any = np.nan if values.dtype.kind in "iuf" else None
        return np.where(np.ma.getmaskarray(values), absent, values.data)
    if hasattr(values, "toarray"):
        return np.asarray(values.toarray())
    try:
        return np.asarray(values.to_numpy() if hasattr(values, "to_numpy") else values)
    except ValueError:
        raise UserError("rows of an array must all have the same length") from None


def as_numbers(values: Any) -> np.ndarray | None:
    """Features as a float64 array of shape (n, ...) with at least two dimensions; None if they are not all numbers."""
    array = as_array(values)
    if array.dtype.kind not in "biuf":
        return None
    if array.ndim == 0:
        raise UserError("X must have the shape (n, columns)")
    return (array[:, np.newaxis] if array.ndim == 1 else array).astype(np.float64)


def as_columns(values: Any) -> dict[str, np.ndarray]:
    """Columns of an array that are not all numbers, with made-up names."""
    array = as_array(values)
    if array.ndim not in (1, 2):
        raise UserError(f"X of text or objects must have the shape (n, columns), not {array.shape}")
    return {f"column {k}": column for k, column in enumerate(array.reshape(len(array), -1).T)}


def append(cells: Cells, word: str, values: Any) -> tuple[Cells, str]:
    """Add a column of labels or groups, named like the series that it comes from.

    Raises
    ------
    UserError
        If it has another number of rows, or another shape.
    """
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
    if array.ndim == 2 and array.dtype.kind in "biuf" and ((array == 0) | (array == 1)).all():
        if (array.sum(axis=1) == 1).all():
            return np.nonzero(array)[1]
        raise UserError(f"{word} has rows with several classes or none: each row must have one")
    if array.ndim != 1:
        raise UserError(f"{word} must have the shape (n,), not {array.shape}")
    return array


def complete(matrix: np.ndarray, cells: Cells) -> tuple[np.ndarray, list[str]]:
    """Replace missing numbers by the median of their column, and say so; infinite ones are refused."""
    wrong = np.flatnonzero((np.abs(matrix) > LARGEST).reshape(len(matrix), -1).any(axis=1))
    if len(wrong):
        raise UserError(f"X has infinite or too large numbers in {cells.where(wrong)}: correct them")
    missing = np.isnan(matrix)
    if not missing.any():
        return matrix, []
    if missing.all(axis=0).any():
        raise UserError("X has columns without any number: drop them")
    filled: np.ndarray = np.where(missing, np.nanmedian(matrix, axis=0), matrix)
    return filled, [f"{int(missing.sum()):,} missing numbers were imputed by the median of the column"]
