"""Read files as `Cells`: text with separators, Excel, Parquet and JSON lines, told apart by the end of their name."""

from __future__ import annotations

import csv
import gzip
import io
import itertools
import json
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from dvbench.errors import UserError, one_line
from dvbench.tables.cells import Cells, clean, convert, from_arrow, from_objects

BLOCK_CELLS = 500_000  # of Python's strings, before they are packed: bounds memory
HEAD, HEAD_RECORDS = 1_000_000, 5  # characters and records that tell the separator
NAMELESS = re.compile(r"column \d+")
SEPARATOR_LINE = re.compile(r"sep=(.)\r?\n", re.IGNORECASE)
SEPARATORS = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "bars"}


def read_file(path: Path) -> Cells:
    """Read a file.

    Parameters
    ----------
    path : Path
        Excel if its name ends in ``.xlsx`` or ``.xlsm``, Parquet (``.parquet``, ``.pq``), JSON lines (``.jsonl``,
        ``.ndjson``, ``.json``), otherwise text in UTF-8 whose values are separated by commas, semicolons, tabs or bars.

    Returns
    -------
    Cells

    Raises
    ------
    UserError
        If the file does not exist, or is not such a file; the message says what to do.
    """
    reader = READERS.get(_suffix(path), _read_text)
    try:
        return reader(path)
    except FileNotFoundError:
        raise UserError(f"{path} does not exist: check the path") from None
    except IsADirectoryError:
        raise UserError(f"{path} is a folder: name a file with a table") from None
    except UnicodeDecodeError:
        raise UserError(f"{path} is not text in UTF-8: save the table as CSV in UTF-8") from None
    except (OSError, EOFError, ValueError, csv.Error) as error:
        raise UserError(f"{path} cannot be read: {one_line(error)}") from error


def _suffix(path: Path) -> str:
    """End of the name that tells the format; ``.gz`` only says that a text file is compressed."""
    return path.with_suffix("").suffix.lower() if path.suffix.lower() == ".gz" else path.suffix.lower()


def _decode(path: Path) -> str:
    content = path.read_bytes()
    return (gzip.decompress(content) if path.suffix.lower() == ".gz" else content).decode("utf-8-sig")


def _read_text(path: Path) -> Cells:
    text = _decode(path)
    if "\0" in text:
        raise ValueError("it is a binary file, or text that is not in UTF-8")
    if "\r" in text and "\n" not in text:  # as old programs for the Macintosh end lines
        text = text.replace("\r", "\n")
    stream = io.StringIO(text, newline="")
    skipped, declared = 0, SEPARATOR_LINE.match(text)
    if declared is not None:  # the first line of a file that is meant for Excel
        skipped = 1
        stream.readline()
    separator = declared[1] if declared is not None else _separator(path, text)
    reader = csv.reader(stream, delimiter=separator, skipinitialspace=separator != "\t", strict=True)
    records = _records(reader, path, 1 + skipped)
    header, _ = next(records, ([], 0))
    names, notes = _names(header, path, "line")
    if separator != ("\t" if _suffix(path) == ".tsv" else ","):
        notes.append(f"values of {path.name} are separated by {SEPARATORS.get(separator, repr(separator))}")
    columns, numbers = _pack(records, len(names), path)
    cells = _cells(path, dict(zip(names, columns, strict=True)), numbers, "line", notes)
    return replace(cells, points_mean_decimals=separator != ";")


def _cells(path: Path, columns: dict[str, Any], numbers: np.ndarray, numbering: str, notes: list[str]) -> Cells:
    """Cells without the nameless and empty columns that spreadsheets leave at the right."""
    kept = {name: cells for name, cells in columns.items() if not (NAMELESS.fullmatch(name) and _is_empty(cells))}
    notes = [note for note in notes if not (match := NAMELESS.match(note)) or match[0] in kept]
    return Cells(path.name, kept, numbers, numbering, tuple(notes))


def _is_empty(cells: Any) -> bool:
    return bool(cells.null_count == len(cells)) and len(cells) > 0


def _separator(path: Path, text: str) -> str:
    """The separator that divides the first records into equally many parts, and the header into most of them.

    Of a file that ends in .tsv it is the tab. Commas come last: they also stand inside of names and numbers.
    """
    if _suffix(path) == ".tsv":
        return "\t"

    def divides(separator: str) -> tuple[bool, int]:
        records = csv.reader(
            io.StringIO(text[:HEAD], newline=""), delimiter=separator, skipinitialspace=separator != "\t"
        )
        try:
            widths = [len(record) for record in itertools.islice(filter(any, records), HEAD_RECORDS)]
        except csv.Error:
            return False, 0
        return len(widths) > 1 and len(set(widths)) == 1 and widths[0] > 1, max(widths[:1], default=0)

    return max(reversed(SEPARATORS), key=divides)


def _records(reader: Any, path: Path, line: int) -> Iterator[tuple[list[str], int]]:
    """Records that are not blank, each with the line where it starts; ``line`` is the number of the first."""
    skipped = line
    try:
        for record in reader:
            if record:
                yield record, line
            line = reader.line_num + skipped
    except csv.Error as error:
        reason = "a quote is opened and not closed" if "unexpected end" in str(error) else one_line(error)
        raise UserError(f"{path} cannot be read as CSV: line {line}: {reason}") from None


def _names(header: list[str], path: Path, first: str) -> tuple[list[str], list[str]]:
    """Names of the columns, and what was understood of them; ``first`` is the word for the first line."""
    names = [name or "" for name in clean_names(header)]
    nameless = [number for number, name in enumerate(names, 1) if not name]
    if not names or len(nameless) == len(names):
        raise UserError(f"{path} is empty: it must have a {first} with the names of the columns, and rows of data")
    if len(names) == 1:
        raise UserError(f"{path} has one column, '{names[0]}': it must have features and a label, separated by commas")
    if all(map(_is_number, names)):
        raise UserError(f"the first {first} of {path} holds numbers: it must hold the names of the columns")
    if len(nameless) > 1 and 2 * len(nameless) > len(names):
        raise UserError(
            f"the first {first} of {path} names {len(names) - len(nameless)} of {len(names)} columns: it must name all"
        )
    for number in nameless:
        names[number - 1] = f"column {number}"
    check_names(names, str(path))
    return names, [f"column {number} has no name and is called 'column {number}'" for number in nameless[:3]]


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
        if not any(record):  # spreadsheets write blank rows with separators
            continue
        if len(record) != width:
            ragged.append((line, len(record)))
            continue
        block.append(record)
        lines.append(line)
        if len(block) * width >= BLOCK_CELLS:
            flush()
    if ragged:
        line, values = ragged[0]
        more = f" (and {len(ragged) - 1:,} more lines)" if len(ragged) > 1 else ""
        advice = "put values that contain the separator in quotes" if lines else "the first line must name all columns"
        raise UserError(
            f"{path} cannot be read as CSV: line {line} has {values} values but the first line names {width} columns"
            f"{more}: {advice}"
        )
    flush()
    columns = [clean(pa.concat_arrays(chunk) if chunk else pa.array([], pa.string())) for chunk in chunks]
    return columns, np.array(lines, dtype=np.int64)


def _read_parquet(path: Path) -> Cells:
    import pyarrow.parquet as pq

    table = pq.read_table(path)
    columns, notes = convert(dict(zip(table.column_names, table.columns, strict=True)), from_arrow)
    return Cells(path.name, columns, np.arange(table.num_rows), "row", notes)


def _read_json_lines(path: Path) -> Cells:
    """Numbers keep the text that stands in the file."""
    names: dict[str, None] = {}
    records, lines = [], []
    for number, line in enumerate(_decode(path).split("\n"), 1):
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
    columns, notes = convert({name: [record.get(name) for record in records] for name in names}, from_objects)
    return Cells(path.name, columns, np.array(lines, dtype=np.int64), "line", notes)


def _read_excel(path: Path) -> Cells:
    import zipfile

    from openpyxl import load_workbook

    try:
        book = load_workbook(path, read_only=True, data_only=True)
    except zipfile.BadZipFile:
        raise UserError(f"{path} is not an Excel file: save it as .xlsx") from None
    sheet = book.worksheets[0]
    rows = [
        (number, ["" if cell is None else cell for cell in row])
        for number, row in enumerate(sheet.iter_rows(values_only=True), 1)
        if any(cell not in (None, "") for cell in row)
    ]
    width = max((len(row) for _, row in rows), default=0)
    table = [row + [""] * (width - len(row)) for _, row in rows]
    names, notes = _names([str(cell) for cell in table[0]] if table else [], path, "row")
    if len(book.sheetnames) > 1:
        notes.append(f"sheet '{sheet.title}' is read, the first of {len(book.sheetnames)}")
    columns = {
        name: from_objects([None if row[k] == "" else row[k] for row in table[1:]]) for k, name in enumerate(names)
    }
    return _cells(path, columns, np.array([number for number, _ in rows[1:]], dtype=np.int64), "row", notes)


def _refuse_old_excel(path: Path) -> Cells:
    raise UserError(f"{path} is an old Excel file: save it as .xlsx")


READERS: dict[str, Callable[[Path], Cells]] = {
    ".xlsx": _read_excel,
    ".xlsm": _read_excel,
    ".xls": _refuse_old_excel,
    ".parquet": _read_parquet,
    ".pq": _read_parquet,
    ".jsonl": _read_json_lines,
    ".ndjson": _read_json_lines,
    ".json": _read_json_lines,
}
