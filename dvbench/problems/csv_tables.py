"""The user's own table, a CSV file. It is checked closely: values of data that nobody looked at are of no use."""

from __future__ import annotations

import csv
import io
import warnings
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from dvbench.errors import UserError, unknown
from dvbench.problems.source import Source, classification, regression

if TYPE_CHECKING:
    import pandas as pd

MIN_ROWS = 10
MIN_CLASS_ROWS = 3
MAX_INTEGER_CLASSES = 20
MAX_CATEGORIES = 100


def read_table(path: str | Path, label: str | None = None, group: str | None = None) -> Source:
    """Read a comma-separated table whose first line names the columns.

    Columns that are not numbers are one-hot encoded. The table is a classification if its label is text, true or false,
    or has at most 20 different values that are all whole numbers, and a regression otherwise.

    Parameters
    ----------
    path : str or pathlib.Path
        A UTF-8 text file, perhaps of tab-separated values if its name ends in ``.tsv``.
    label : str, optional
        Name of the label column; the last one if not given.
    group : str, optional
        Name of a column that says which group a row belongs to. It is no feature.

    Returns
    -------
    Source
        Row ``i`` is the ``i``-th line of data, counted from 0.

    Raises
    ------
    UserError
        If the file cannot be read, or cannot be used as it is; the message says where and what to do.
    """
    frame = _read(Path(path))
    if label is None:
        label = frame.columns[-1]
    elif label not in frame.columns:
        raise unknown(f"column of {path}", label, frame.columns)
    if len(frame) < MIN_ROWS:
        raise UserError(f"{path} has {len(frame)} rows of data: at least {MIN_ROWS} are needed")
    groups = None if group is None else _groups(frame, label, group, path)
    features = _encode(frame.drop(columns=[label] if group is None else [label, group]), path)
    targets = frame[label]
    _check_present(targets, path)
    if _is_text(targets) or _is_whole(targets):
        source = classification(features, *_classes(targets, path))
    else:
        source = regression(features, _numbers(targets, path))
    return replace(source, groups=groups)


def _groups(frame: pd.DataFrame, label: str, group: str, path: str | Path) -> np.ndarray:
    if group not in frame.columns:
        raise unknown(f"column of {path}", group, frame.columns)
    if group == label:
        raise UserError(f"column '{group}' of {path} is the label: group by another")
    if len(frame.columns) < 3:
        raise UserError(f"{path} has no features beside its label and '{group}'")
    _check_present(frame[group], path)
    if frame[group].nunique() < 2:
        raise UserError(f"column '{group}' of {path} is the same in every row: there is one group only")
    return frame[group].astype(str).to_numpy(dtype=str)


def _read(path: Path) -> pd.DataFrame:
    """Read the file as it is, or say why it cannot be."""
    import pandas as pd

    separator = "\t" if path.suffix.lower() == ".tsv" else ","
    try:
        text = path.read_text(encoding="utf-8-sig")
        if "\0" in text:
            raise ValueError("it is a binary file")
        header: list[str] = next(
            filter(None, csv.reader(io.StringIO(text), delimiter=separator, skipinitialspace=True)), []
        )
        _check_header(header, path)
        with warnings.catch_warnings():
            warnings.simplefilter("error", pd.errors.ParserWarning)  # a line too long, which pandas would cut
            return pd.read_csv(
                io.StringIO(text), sep=separator, index_col=False, skipinitialspace=True, low_memory=False
            )
    except FileNotFoundError:
        raise UserError(f"{path} does not exist: check the path") from None
    except IsADirectoryError:
        raise UserError(f"{path} is a folder: name a CSV file") from None
    except UnicodeDecodeError:
        raise UserError(f"{path} is not text in UTF-8: save the table as CSV in UTF-8") from None
    except (OSError, ValueError, csv.Error, pd.errors.ParserWarning) as error:
        reason = " ".join(str(error).split()).removeprefix("Error tokenizing data. C error: ")
        raise UserError(f"{path} cannot be read as CSV: {reason}") from error


def _check_header(header: list[str], path: Path) -> None:
    if not header:
        raise UserError(f"{path} is empty: it must have a line that names the columns, and rows of data")
    if len(header) == 1:
        raise UserError(f"{path} has one column, '{header[0]}': it must have features and a label, separated by commas")
    if nameless := [number for number, name in enumerate(header, 1) if not name.strip()]:
        raise UserError(f"column {nameless[0]} of {path} has no name: name it, or drop it if it only numbers the rows")
    if twice := [name for number, name in enumerate(header) if name in header[:number]]:
        raise UserError(f"{path} has two columns named '{twice[0]}': rename one")
    if all(map(_is_number, header)):
        raise UserError(f"the first line of {path} holds numbers: it must name the columns")


def _encode(frame: pd.DataFrame, path: str | Path) -> np.ndarray:
    """Features as numbers, shape (n, columns), float64."""
    import pandas as pd

    for name in frame.columns:
        _check_present(frame[name], path)
        distinct = frame[name].nunique()
        if distinct == 1:
            raise UserError(f"column '{name}' of {path} is the same in every row: drop it")
        if _is_text(frame[name]) and distinct > MAX_CATEGORIES:
            raise UserError(
                f"column '{name}' of {path} is text with {distinct} different values, more than {MAX_CATEGORIES} to "
                "encode one by one: drop it, or turn it into numbers"
            )
    text = [name for name in frame.columns if _is_text(frame[name])]
    numbers = frame.drop(columns=text)
    columns = [_numbers(numbers[name], path) for name in numbers.columns]
    if text:
        columns.append(pd.get_dummies(frame[text], columns=text, dtype=float).to_numpy())
    return np.column_stack(columns)


def _classes(labels: pd.Series, path: str | Path) -> tuple[np.ndarray, tuple[str, ...]]:
    """Class numbers and names, in the order of the names or, for whole numbers, of their size."""
    values = (labels.astype(str) if _is_text(labels) else labels).to_numpy()
    names, numbers, counts = np.unique(values, return_inverse=True, return_counts=True)
    if not _is_text(labels):
        names = np.array([str(int(name)) for name in names])
    if len(names) == len(labels):
        raise UserError(f"label column '{labels.name}' of {path} is different in every row, like an id: name another")
    if len(names) == 1:
        raise UserError(f"label column '{labels.name}' of {path} has one class only, '{names[0]}': name another")
    if counts.min() < MIN_CLASS_ROWS:
        raise UserError(
            f"class '{names[counts.argmin()]}' in column '{labels.name}' of {path} has {counts.min()} rows, and each "
            "of the three parts needs one: add rows of it, merge it with another class, or drop it"
        )
    return numbers, tuple(map(str, names))


def _numbers(column: pd.Series, path: str | Path) -> np.ndarray:
    """Column as float64, every number finite and small enough for a float32 tensor."""
    values = column.to_numpy(dtype=np.float64)
    wrong = np.flatnonzero(~(np.abs(values) <= np.finfo(np.float32).max))
    if len(wrong):
        raise UserError(
            f"column '{column.name}' of {path} has {len(wrong)} infinite or too large numbers, the first in row "
            f"{wrong[0] + 1} of the data: fix or drop these rows"
        )
    return values


def _check_present(column: pd.Series, path: str | Path) -> None:
    missing = np.flatnonzero(column.isna())
    if len(missing):
        raise UserError(
            f"column '{column.name}' of {path} has {len(missing)} missing values, the first in row {missing[0] + 1} of "
            "the data: fill them in or drop these rows"
        )


def _is_text(column: pd.Series) -> bool:
    """Whether values name things, as text and true or false do, rather than measure them."""
    import pandas as pd

    return not pd.api.types.is_numeric_dtype(column) or pd.api.types.is_bool_dtype(column)


def _is_whole(column: pd.Series) -> bool:
    """Whether numbers look like classes: few, and whole."""
    return column.nunique() <= MAX_INTEGER_CLASSES and bool((column % 1 == 0).all())


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
