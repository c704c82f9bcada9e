"""Read objects in memory as `Cells`: data frames of pandas and Polars, data sets of Hugging Face, mappings, arrays."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from dvbench.errors import UserError
from dvbench.tables.arrays import has_names
from dvbench.tables.cells import Cells, from_arrow, from_objects
from dvbench.tables.files import check_names, clean_names, read_file


def read_cells(data: Any) -> Cells:
    """Read a table that has column names: a path, a data frame, a data set of Hugging Face or a mapping of columns.

    Raises
    ------
    UserError
        If it cannot be read.
    """
    if isinstance(data, str | Path):
        return read_file(Path(data))
    if isinstance(data, Cells):
        return data
    if not has_names(data):
        raise UserError(f"a table cannot be a {type(data).__name__}: give a path, a data frame or arrays")
    if isinstance(data, Mapping):
        columns = {str(name): list(values) for name, values in data.items()}
        lengths = {name: len(values) for name, values in columns.items()}
        if len(set(lengths.values())) != 1:
            raise UserError(f"columns of the table differ in length: {lengths}")
        return _cells({name: _column(name, from_objects, values) for name, values in columns.items()}, None)
    if hasattr(data, "iloc"):
        return _read_pandas(data)
    if hasattr(data, "features") and hasattr(data, "with_format"):
        return _read_hugging_face(data)
    if hasattr(data, "__arrow_c_stream__"):
        import pyarrow as pa

        table = pa.table(data)
        return _cells(
            {
                name: _column(name, from_arrow, column)
                for name, column in zip(table.column_names, table.columns, strict=True)
            },
            None,
        )
    raise UserError(f"a table cannot be a {type(data).__name__}: give a path, a data frame or arrays")


def _cells(columns: dict[str, Any], index: np.ndarray | None) -> Cells:
    rows = len(next(iter(columns.values()), ()))
    if not rows:
        raise UserError("the table has no rows")
    return Cells("the table", columns, np.arange(rows) if index is None else index, "row" if index is None else "index")


def _column(name: str, convert: Any, values: Any) -> Any:
    try:
        return convert(values)
    except UserError as error:
        raise UserError(f"column '{name}' of the table: {error}") from None


def _read_pandas(frame: Any) -> Cells:
    import pandas as pd

    frame = frame.to_frame() if isinstance(frame, pd.Series) else frame
    names = [
        name or ""
        for name in clean_names([" ".join(map(str, n)) if isinstance(n, tuple) else str(n) for n in frame.columns])
    ]
    check_names(names, "the table")
    columns = {name: _column(name, _from_series, frame.iloc[:, k]) for k, name in enumerate(names)}
    return _cells(columns, frame.index.to_numpy())


def _from_series(series: Any) -> Any:
    import pyarrow as pa

    if series.dtype == object:
        return from_objects(series.tolist())
    return from_arrow(pa.Array.from_pandas(series))


def _read_hugging_face(data: Any) -> Cells:
    columns = {}
    for name, feature in data.features.items():
        column = _column(name, from_arrow, data.with_format("arrow")[:][name])
        if hasattr(feature, "int2str"):
            column = from_objects([None if value is None else feature.int2str(value) for value in column.to_pylist()])
        columns[str(name)] = column
    return _cells(columns, None)
