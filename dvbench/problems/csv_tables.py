"""Read the user's tables, which are CSV files.

Tables are checked strictly, because the values of wrongly read data mean nothing and look like any others.
"""

from __future__ import annotations

import csv
import io
import warnings
from collections import Counter
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
    """Read a comma-separated table whose first line holds the names of the columns.

    Columns of text and of booleans are one-hot encoded. The table is a classification if its label is text, boolean, or
    has at most 20 different values that are all integers; otherwise it is a regression.

    Parameters
    ----------
    path : str or pathlib.Path
        A text file in UTF-8. If its name ends in ``.tsv``, its values are separated by tabs.
    label : str, optional
        Name of the label column; by default the last column.
    group : str, optional
        Name of the column that holds the group of each row. It is not used as a feature.

    Returns
    -------
    Source
        Row ``i`` is line ``i`` of the data, counted from 0 after the header.

    Raises
    ------
    UserError
        If the file cannot be read, or its content cannot be used; the message says where the fault is and what to do.
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
    if _is_category(targets) or _is_class_number(targets):
        source = classification(features, *_classes(targets, path))
    else:
        source = regression(features, _numbers(targets, path))
    return replace(source, groups=groups)


def _groups(frame: pd.DataFrame, label: str, group: str, path: str | Path) -> np.ndarray:
    if group not in frame.columns:
        raise unknown(f"column of {path}", group, frame.columns)
    if group == label:
        raise UserError(f"column '{group}' of {path} is the label: group by another column")
    if len(frame.columns) < 3:
        raise UserError(f"{path} has no features besides its label and '{group}'")
    _check_present(frame[group], path)
    if frame[group].nunique() < 2:
        raise UserError(f"column '{group}' of {path} is the same in every row, so there is only one group")
    return frame[group].astype(str).to_numpy(dtype=str)


def _read(path: Path) -> pd.DataFrame:
    """Read all columns of the file, or raise an error that says what is wrong with it."""
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
            warnings.simplefilter("error", pd.errors.ParserWarning)  # pandas drops surplus values of a long line
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
        raise UserError(f"{path} is empty: it must have a line with the names of the columns, and rows of data")
    if len(header) == 1:
        raise UserError(f"{path} has one column, '{header[0]}': it must have features and a label, separated by commas")
    if nameless := [number for number, name in enumerate(header, 1) if not name.strip()]:
        raise UserError(f"column {nameless[0]} of {path} has no name: name it, or drop it if it only numbers the rows")
    if repeated := next((name for name, columns in Counter(header).items() if columns > 1), None):
        raise UserError(f"{path} has two columns named '{repeated}': rename one")
    if all(map(_is_number, header)):
        raise UserError(f"the first line of {path} holds numbers: it must hold the names of the columns")


def _encode(frame: pd.DataFrame, path: str | Path) -> np.ndarray:
    """Encode features as float64 of shape (n, columns): numbers first, then one-hot encoded columns."""
    import pandas as pd

    columns, text = [], []
    for name, column in frame.items():  # once for each column, because `frame[name]` is slow in a wide table
        _check_present(column, path)
        distinct, is_text = column.nunique(), _is_category(column)
        if distinct == 1:
            raise UserError(f"column '{name}' of {path} is the same in every row: drop it")
        if is_text and distinct > MAX_CATEGORIES:
            raise UserError(
                f"column '{name}' of {path} is text with {distinct} different values, more than the {MAX_CATEGORIES} "
                "that are one-hot encoded: drop it, or turn it into numbers"
            )
        if is_text:
            text.append(name)
        else:
            columns.append(_numbers(column, path))
    if text:
        columns.append(pd.get_dummies(frame[text], columns=text, dtype=float).to_numpy())
    return np.column_stack(columns)


def _classes(labels: pd.Series, path: str | Path) -> tuple[np.ndarray, tuple[str, ...]]:
    """Class numbers and names, in alphabetical order, or in ascending order if the names are integers."""
    values = (labels.astype(str) if _is_category(labels) else labels).to_numpy()
    names, numbers, counts = np.unique(values, return_inverse=True, return_counts=True)
    if not _is_category(labels):
        names = np.array([str(int(name)) for name in names])
    if len(names) == len(labels):
        raise UserError(
            f"label column '{labels.name}' of {path} is different in every row, like an id: choose another column"
        )
    if len(names) == 1:
        raise UserError(
            f"label column '{labels.name}' of {path} has only one class, '{names[0]}': choose another column"
        )
    if counts.min() < MIN_CLASS_ROWS:
        raise UserError(
            f"class '{names[counts.argmin()]}' in column '{labels.name}' of {path} has {counts.min()} rows, but "
            "each of the three sets needs one: add rows of this class, merge it with another class, or drop it"
        )
    return numbers, tuple(map(str, names))


def _numbers(column: pd.Series, path: str | Path) -> np.ndarray:
    """Convert a column to float64; every number must be finite and fit into float32."""
    values = column.to_numpy(dtype=np.float64)
    wrong = np.flatnonzero(~(np.abs(values) <= np.finfo(np.float32).max))
    if len(wrong):
        raise UserError(
            f"column '{column.name}' of {path} has {len(wrong)} infinite or too large numbers, the first in row "
            f"{wrong[0] + 1} of the data: correct or drop these rows"
        )
    return values


def _check_present(column: pd.Series, path: str | Path) -> None:
    missing = np.flatnonzero(column.isna())
    if len(missing):
        raise UserError(
            f"column '{column.name}' of {path} has {len(missing)} missing values, the first in row {missing[0] + 1} of "
            "the data: fill them in or drop these rows"
        )


def _is_category(column: pd.Series) -> bool:
    """Whether values are categories, which text and booleans are, and not numbers."""
    import pandas as pd

    return not pd.api.types.is_numeric_dtype(column) or pd.api.types.is_bool_dtype(column)


def _is_class_number(column: pd.Series) -> bool:
    """Whether numbers look like class numbers: few different ones, all integers."""
    return column.nunique() <= MAX_INTEGER_CLASSES and bool((column % 1 == 0).all())


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
