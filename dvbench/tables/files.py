"""Read files as `Cells`: text with separators, Excel, Parquet and JSON lines, told apart by the end of their name."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from dvbench.errors import UserError, one_line
from dvbench.tables.cells import Cells, clean, from_arrow, from_objects

BLOCK_CELLS = 500_000  # of Python's strings, before they are packed: bounds memory
SEPARATORS = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "bars"}


def read_file(path: Path) -> Cells:
    """Read a file.

    Parameters
    ----------
    path : Path
        Excel if its name ends in ``.xlsx`` or ``.xlsm``, Parquet (``.parquet``, ``.pq``), JSON lines (``.jsonl``,
        ``.ndjson``), otherwise text in UTF-8 whose values are separated by commas, semicolons, tabs or bars.

    Returns
    -------
    Cells

    Raises
    ------
    UserError
        If the file does not exist, or is not such a file; the message says what to do.
    """
    reader = READERS.get(path.suffix.lower(), _read_text)
    try:
        return reader(path)
    except FileNotFoundError:
        raise UserError(f"{path} does not exist: check the path") from None
    except IsADirectoryError:
        raise UserError(f"{path} is a folder: name a file with a table") from None
    except UnicodeDecodeError:
        raise UserError(f"{path} is not text in UTF-8: save the table as CSV in UTF-8") from None
    except (OSError, ValueError, csv.Error) as error:
        raise UserError(f"{path} cannot be read: {one_line(error)}") from error


def _read_text(path: Path) -> Cells:
    text = path.read_bytes().decode("utf-8-sig")
    if "\0" in text:
        raise ValueError("it is a binary file")
    lines = (line for line in text.splitlines() if line.strip())
    first = next(lines, None)
    if first is None:
        raise UserError(f"{path} is empty: it must have a line with the names of the columns, and rows of data")
    separator = _separator(path, first)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, skipinitialspace=True, strict=True)
    records = _records(reader, path)
    header, _ = next(records)
    names, notes = _names(header, path)
    if separator != ("\t" if path.suffix.lower() == ".tsv" else ","):
        notes.append(f"values of {path.name} are separated by {SEPARATORS[separator]}")
    columns, numbers = _pack(records, len(names), path)
    return Cells(path.name, dict(zip(names, columns, strict=True)), numbers, "line", tuple(notes))


def _separator(path: Path, header: str) -> str:
    if path.suffix.lower() == ".tsv":
        return "\t"
    return next((separator for separator in SEPARATORS if separator in header), ",")


def _records(reader: Any, path: Path) -> Iterator[tuple[list[str], int]]:
    """Records that are not blank, each with the line where it starts, from 1."""
    line = 1
    try:
        for record in reader:
            if record:
                yield record, line
            line = reader.line_num + 1
    except csv.Error as error:
        reason = "a quote is opened and not closed" if "unexpected end" in str(error) else one_line(error)
        raise UserError(f"{path} cannot be read as CSV: line {line}: {reason}") from None


def _names(header: list[str], path: Path) -> tuple[list[str], list[str]]:
    """Names of the columns, and what was understood of them."""
    names = [name or "" for name in clean_names(header)]
    if len(names) == 1:
        raise UserError(f"{path} has one column, '{names[0]}': it must have features and a label, separated by commas")
    if all(map(_is_number, names)):
        raise UserError(f"the first line of {path} holds numbers: it must hold the names of the columns")
    nameless = [number for number, name in enumerate(names, 1) if not name]
    for number in nameless:
        names[number - 1] = f"column {number}"
    check_names(names, str(path))
    notes = [f"column {number} has no name and is called 'column {number}'" for number in nameless[:3]]
    return names, notes


def clean_names(names: list[str]) -> list[str | None]:
    """Names as cells are cleaned."""
    import pyarrow as pa

    cleaned: list[str | None] = clean(pa.array(names, pa.string())).to_pylist()
    return cleaned


def check_names(names: list[str], table: str) -> None:
    """Raise a `UserError` if two columns have one name."""
    seen: set[str] = set()
    repeated = dict.fromkeys(name for name in names if name in seen or seen.add(name))  # type: ignore[func-returns-value]
    if repeated:
        raise UserError(f"{table} has two columns named '{next(iter(repeated))}': rename one")


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _pack(records: Iterator[tuple[list[str], int]], width: int, path: Path) -> tuple[list[Any], np.ndarray]:
    """Columns of cleaned text, and the line of each record; records of another width are named and refused."""
    import pyarrow as pa

    chunks: list[list[Any]] = [[] for _ in range(width)]
    block: list[list[str]] = []
    lines: list[int] = []
    ragged: list[tuple[int, int]] = []

    def flush() -> None:
        for chunk, values in zip(chunks, zip(*block, strict=True), strict=bool(block)):
            chunk.append(pa.array(values, pa.string()))
        block.clear()

    for record, line in records:
        if len(record) != width:
            ragged.append((line, len(record)))
            continue
        block.append(record)
        lines.append(line)
        if len(block) * width >= BLOCK_CELLS:
            flush()
    if ragged:
        (line, cells), more = ragged[0], f" (and {len(ragged) - 1} more lines)" if len(ragged) > 1 else ""
        raise UserError(
            f"{path} cannot be read as CSV: line {line} has {cells} values but the first line names {width} columns"
            f"{more}: put values that contain the separator in quotes"
        )
    flush()
    columns = [clean(pa.concat_arrays(chunk) if chunk else pa.array([], pa.string())) for chunk in chunks]
    return columns, np.array(lines, dtype=np.int64)


def _read_parquet(path: Path) -> Cells:
    import pyarrow.parquet as pq

    table = pq.read_table(path)
    columns = dict(zip(table.column_names, map(from_arrow, table.columns), strict=True))
    return Cells(path.name, columns, np.arange(table.num_rows), "row")


def _read_json_lines(path: Path) -> Cells:
    """Numbers keep the text that stands in the file."""
    names: dict[str, None] = {}
    records, lines = [], []
    for number, line in enumerate(path.read_bytes().decode("utf-8-sig").split("\n"), 1):
        if not line.strip():
            continue
        try:
            record = json.loads(line, parse_float=str, parse_int=str)
        except ValueError as error:
            raise UserError(f"{path} cannot be read as JSON lines: line {number}: {one_line(error)}") from None
        if not isinstance(record, dict):
            raise UserError(f"{path} cannot be read as JSON lines: line {number} is not an object in braces")
        names.update(dict.fromkeys(record))
        records.append(record)
        lines.append(number)
    columns = {name: from_objects([record.get(name) for record in records]) for name in names}
    return Cells(path.name, columns, np.array(lines, dtype=np.int64), "line")


def _read_excel(path: Path) -> Cells:
    import zipfile

    from openpyxl import load_workbook

    try:
        book = load_workbook(path, read_only=True, data_only=True)
    except zipfile.BadZipFile:
        raise UserError(f"{path} is not an Excel file: save it as .xlsx") from None
    sheet = book.worksheets[0]
    rows = [
        (number, row)
        for number, row in enumerate(sheet.iter_rows(values_only=True), 1)
        if any(cell not in (None, "") for cell in row)
    ]
    if not rows:
        raise UserError(f"{path} is empty: it must have a row with the names of the columns, and rows of data")
    names, notes = _names(["" if cell is None else str(cell) for cell in rows[0][1]], path)
    if len(book.sheetnames) > 1:
        notes.append(f"sheet '{sheet.title}' is read, the first of {len(book.sheetnames)}")
    columns = {name: from_objects([row[k] for _, row in rows[1:]]) for k, name in enumerate(names)}
    return Cells(path.name, columns, np.array([number for number, _ in rows[1:]], dtype=np.int64), "row", tuple(notes))


READERS: dict[str, Callable[[Path], Cells]] = {
    ".xlsx": _read_excel,
    ".xlsm": _read_excel,
    ".parquet": _read_parquet,
    ".pq": _read_parquet,
    ".jsonl": _read_json_lines,
    ".ndjson": _read_json_lines,
}
