"""Read objects in memory as `Cells`: data frames of pandas and Polars, data sets of Hugging Face, mappings, arrays."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from dvbench.errors import UserError
from dvbench.tables.arrays import has_names
from dvbench.tables.cells import Cells, convert, from_arrow, from_objects
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
        return _cells(*convert(columns, from_objects), next(iter(lengths.values())))
    if hasattr(data, "iloc"):
        return _read_pandas(data)
    if hasattr(data, "features") and hasattr(data, "with_format"):
        return _read_hugging_face(data)
    if hasattr(data, "__arrow_c_stream__"):
        import pyarrow as pa

        table = pa.table(data)
        return _cells(
            *convert(dict(zip(table.column_names, table.columns, strict=True)), from_arrow), rows=table.num_rows
        )
    raise UserError(f"a table cannot be a {type(data).__name__}: give a path, a data frame or arrays")


def _cells(columns: dict[str, Any], notes: tuple[str, ...], rows: int, index: np.ndarray | None = None) -> Cells:
    if not rows:
        raise UserError("the table has no rows")
    numbers, numbering = (np.arange(rows), "row") if index is None else (index, "index")
    return Cells("the table", columns, numbers, numbering, notes)


def _read_pandas(frame: Any) -> Cells:
    names = [" ".join(map(str, name)) if isinstance(name, tuple) else str(name) for name in frame.columns]
    names = [name or "" for name in clean_names(names)]
    check_names(names, "the table")
    columns, notes = convert({name: frame.iloc[:, k] for k, name in enumerate(names)}, _from_series)
    return _cells(columns, notes, len(frame), frame.index.to_numpy())


def _from_series(series: Any) -> Any:
    import pyarrow as pa

    if series.dtype != object:
        try:
            return from_arrow(pa.Array.from_pandas(series))
        except pa.ArrowException:  # types that only pandas knows, such as intervals, are text
            pass
    return from_objects(series.tolist())


def _read_hugging_face(data: Any) -> Cells:
    columns, notes = convert({name: data.with_format("arrow")[:][name] for name in data.features}, from_arrow)
    for name, feature in data.features.items():
        if hasattr(feature, "int2str") and name in columns:
            numbers = columns[name].to_pylist()
            columns[name] = from_objects(
                [
                    None if number is None or number < 0 else feature.int2str(number)
                    for number in numbers  # -1: no label
                ]
            )
    return _cells(columns, notes, len(data))
