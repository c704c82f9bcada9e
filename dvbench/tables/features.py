"""Give each feature column a type, and fit what encodes it.

A column is numbers, categories, dates or text, or it is left out because it identifies rows or says nothing. A column
that could be misread is refused; the reasons of all such columns are collected, so that one run names them all.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np

from dvbench.errors import LONGEST_SHOWN, UserError, plain
from dvbench.tables import dates
from dvbench.tables.cells import Cells, as_texts, is_text
from dvbench.tables.encoders import LARGEST, Encoder, Indicators, Numbers, Text, read_numbers, text_series, without_unit
from dvbench.tables.number_text import common_unit
from dvbench.tables.numbers import Profile, counts_rows, mixed, plain_numbers, profile

if TYPE_CHECKING:
    import pyarrow as pa

TYPES = ("number", "category", "date", "day-first", "month-first", "text", "identifier")
MAX_INDICATORS = 40
COMPONENTS = 30
ROUNDING = 1e-4  # of the largest spread of a component
MAX_CHOSEN_INDICATORS = 1000
NEARLY = 0.9  # of the rows; words without blanks that so many rows have for themselves may be identifiers
SHOWN_FAULTS = 5
DIFFERENT, DIFFERENT_BUT_COPIES = "different in every row", "different in every row but copies"
ALIKE = "its words differ in no way that is used"
CONSTANT, EMPTY, ASKED = SAY_NOTHING = ("the same in every row", "empty", "as you asked")


@dataclass
class Fit:
    """What was understood of the features.

    Parameters
    ----------
    encoders : dict of str to Encoder
        Of each column that is kept, in the order of the table.
    types : dict of str to str
        Type of each column that is kept: number, category, date or text.
    left_out : dict of str to str
        Reason for each column that is not used.
    imputed : dict of str to int
        Missing numbers and dates of each column.
    empty : dict of str to int
        Empty cells of each column of categories or text.
    numbers : dict of str to numpy.ndarray
        Numbers of each numeric column, NaN if missing, so that large tables are not read twice.
    units : dict of str to str
        Unit after the numbers of a column, such as kg.
    signs : dict of str to str
        Currency, "%" or "‰" of the numbers of a column.
    decimal : {".", ","} or None
        Decimal separator of all columns that tell it; None if none does, or if they differ.
    notes : list of str
        What else was understood.
    faults : list of str
        Columns that cannot be used, each with the reason and what to do.
    """

    encoders: dict[str, Encoder] = field(default_factory=dict)
    types: dict[str, str] = field(default_factory=dict)
    left_out: dict[str, str] = field(default_factory=dict)
    imputed: dict[str, int] = field(default_factory=dict)
    empty: dict[str, int] = field(default_factory=dict)
    numbers: dict[str, np.ndarray] = field(default_factory=dict)
    units: dict[str, str] = field(default_factory=dict)
    signs: dict[str, str] = field(default_factory=dict)
    decimal: str | None = None
    notes: list[str] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)

    def keep(self, name: str, type: str, encoder: Encoder, missing: int = 0) -> None:  # noqa: A002
        """Keep a column."""
        self.encoders[name], self.types[name] = encoder, type
        if missing:
            (self.imputed if type in ("number", "date") else self.empty)[name] = missing

    def fault(self, name: str, reason: str) -> None:
        """Refuse a column."""
        self.faults.append(f"column '{name}' {reason}")

    def fault_lines(self) -> list[str]:
        """The first faults, and how many more columns have some."""
        more = [f"and {len(self.faults) - SHOWN_FAULTS:,} more columns"] if len(self.faults) > SHOWN_FAULTS else []
        return self.faults[:SHOWN_FAULTS] + more


def fit(cells: Cells, names: Iterable[str], types: Mapping[str, str], decimal: str | None) -> Fit:
    """Give each of these columns a type, and fit its encoder.

    Parameters
    ----------
    cells : Cells
        Rows that are equal to each other are looked at once where a column may identify the rows.
    names : iterable of str
        Feature columns.
    types : mapping of str to str
        Types that the user set, of `TYPES`.
    decimal : {".", ","} or None
        Decimal separator that the user set; by default it is found.

    Returns
    -------
    Fit
        With the faults of all columns that cannot be used.
    """
    result = Fit()
    open_columns: dict[str, Profile] = {}  # numbers whose decimal separator other columns must decide
    for name in names:
        column, chosen = cells.column(name), types.get(name)
        if chosen == "identifier":
            result.left_out[name] = ASKED
        elif not is_text(column):
            _fit_typed(result, cells, name, column, chosen)
        elif chosen in ("category", "text"):
            _fit_words(result, cells, name, column, chosen)
        elif chosen in ("date", "day-first", "month-first"):
            _fit_dates(result, cells, name, column, chosen)
        else:
            _fit_text(result, cells, name, column, chosen, open_columns, decimal)
    _decide_decimals(result, cells, open_columns, decimal, types)
    order = [name for name in cells.columns if name in result.encoders]
    result.encoders = {name: result.encoders[name] for name in order}
    return result


def encode(
    cells: Cells, encoders: Mapping[str, Encoder], numbers: Mapping[str, np.ndarray] = MappingProxyType({})
) -> np.ndarray:
    """Encode the columns of a table as one float64 array of shape (n, columns); ``numbers`` are read already."""
    features = np.empty((len(cells.rows), sum(encoder.width for encoder in encoders.values())))
    start = 0
    for name, encoder in encoders.items():
        if isinstance(encoder, Numbers) and name in numbers:
            features[:, start] = encoder.complete(numbers[name])
            start += 1
            continue
        column = cells.column(name)
        try:
            features[:, start : start + encoder.width] = encoder.encode(column)
        except UserError as error:
            raise UserError(f"column '{name}' of {cells.name}: {error}") from None
        start += encoder.width
    return features


def _fit_typed(result: Fit, cells: Cells, name: str, column: pa.Array, chosen: str | None) -> None:
    """A column of a format that knows types."""
    import pyarrow as pa

    if chosen in ("category", "text") or (chosen is None and pa.types.is_boolean(column.type)):
        _fit_words(result, cells, name, as_texts(column), chosen or "category")
    elif pa.types.is_timestamp(column.type):
        _keep_dates(result, name, column, dates.Typed())
    elif chosen in ("date", "day-first", "month-first"):
        result.fault(name, "holds numbers, and not dates: leave out its type")
    else:
        _keep_numbers(result, cells, name, read_numbers(column, "."), ".", chosen)


def _fit_text(
    result: Fit,
    cells: Cells,
    name: str,
    column: pa.Array,
    chosen: str | None,
    open_columns: dict[str, Profile],
    decimal: str | None,
) -> None:
    """A column of text whose type is found, or is number because the user says so."""
    plain = plain_numbers(column)
    texts = profile(column) if plain is None else None
    if texts is not None and (unit := _unit(texts, chosen)):
        result.units[name], column = unit, without_unit(column, unit)
        other = "" if chosen else f"; --as '{name}=category' if it is no unit"
        result.notes.append(f"'{name}' is read as numbers, without its unit {unit}{other}")
        plain, texts = plain_numbers(column), None
    if plain is not None and not np.isnan(plain).all():
        if (decimal == "," and _has_point(column)) or _is_grouped(column):
            open_columns[name] = profile(column)
        else:
            _keep_numbers(result, cells, name, plain, ".", chosen)
        return
    texts = profile(column) if texts is None else texts
    present = texts.present()
    if not present:
        result.left_out[name] = EMPTY
    elif chosen != "number" and texts.are_codes():
        _fit_words(result, cells, name, column, "category")
        result.notes.append(
            f"'{name}' holds codes with leading zeros or many digits, so it is a category; --as '{name}=number' if not"
        )
    elif texts.share == 1:
        open_columns[name] = texts
    elif chosen == "number" or texts.share > 0.5:
        _refuse_mixed(result, cells, name, texts)
    elif dates.look_like_dates(present):
        _fit_dates(result, cells, name, column, None)
    else:
        _fit_words(result, cells, name, column, None)


def _unit(texts: Profile, chosen: str | None) -> str:
    """The unit of all texts; if the user wants numbers, that of all texts that are no numbers as they stand."""
    if chosen != "number":
        return common_unit(texts.present()) if not texts.numeric.any() else ""
    known = texts.numeric | texts.missing
    return common_unit([text for text, each in zip(texts.texts, known, strict=True) if not each], least=1)


def _is_grouped(column: pa.Array) -> bool:
    """Whether plain numbers can also be thousands in groups of three, such as 1.234, as files with commas have them."""
    import pyarrow.compute as pc

    if not pc.any(pc.match_substring(column, ".")).as_py():
        return False
    return bool(pc.all(pc.match_substring_regex(column, r"^[+-]?([1-9]\d{0,2}(\.\d{3})+|\d+)$")).as_py())


def _refuse_mixed(result: Fit, cells: Cells, name: str, texts: Profile) -> None:
    wrong = ~texts.numeric & ~texts.missing
    rows = texts.rows_of(wrong)
    result.fault(
        name,
        f"holds numbers, but '{plain(texts.texts[texts.codes[rows[0]]], LONGEST_SHOWN)}' in {cells.where(rows, 3)}: "
        f"correct it, or use --as '{name}=category' or --drop '{name}'",
    )


def _decide_decimals(
    result: Fit, cells: Cells, columns: dict[str, Profile], decimal: str | None, types: Mapping[str, str]
) -> None:
    """Settle the decimal separator of columns with numbers that need a closer look, by all columns of the table."""
    conventions = {name: texts.conventions() for name, texts in columns.items()}
    settled = {convention for name, convention in conventions.items() if len(convention) == 1}
    read = [cells.column(name) for name, encoder in result.encoders.items() if isinstance(encoder, Numbers)]
    # Also columns that are not used tell, such as the label.
    if any(map(_has_point, read)) or any(map(_tells_points, cells.columns.values())):
        settled.add(".")
    result.decimal = settled.pop() if len(settled) == 1 else None
    for name, texts in columns.items():
        possible = conventions[name]
        if len(possible) == 2 and not texts.differ():
            possible = "."
        elif decimal is not None:
            possible = decimal if decimal in possible else ""
        elif len(possible) == 2 and (result.decimal or _means_points(cells, texts)):
            possible = result.decimal or "."
        _keep_if_clear(result, cells, name, texts, possible, decimal, types.get(name))


def _means_points(cells: Cells, texts: Profile) -> bool:
    return cells.points_mean_decimals and not any("," in text for text in texts.present())


def _keep_if_clear(
    result: Fit, cells: Cells, name: str, texts: Profile, possible: str, decimal: str | None, chosen: str | None
) -> None:
    """Keep numbers in their one convention, or refuse them with the reason."""
    if not possible and decimal is not None:
        attribute = "point" if decimal == "." else "comma"
        example = next(
            t for t, r in zip(texts.texts, texts.readings, strict=True) if r and getattr(r, attribute) is None
        )
        result.fault(name, f"has '{example}', which is no number with the decimal separator '{decimal}'")
    elif not possible:
        result.fault(name, "mixes numbers with decimal points and decimal commas: write them in one way")
    elif len(possible) == 2:
        example = next(text for text, r in zip(texts.texts, texts.readings, strict=True) if r and r.point != r.comma)
        result.fault(
            name, f"has numbers such as '{example}' that can be read in two ways: use --decimal . or --decimal ,"
        )
    elif units := mixed(texts.units()):
        result.fault(name, f"mixes units ({units}): convert them to one, or use --drop '{name}'")
    else:
        if possible == ",":
            result.notes.append(f"'{name}' has decimal commas; --decimal . reads points")
        if unit := next(iter(texts.units() - {""}), ""):
            result.signs[name] = unit
            result.notes.append(f"'{name}' is read as numbers, without its unit {unit.upper()}")
        _keep_numbers(result, cells, name, texts.numbers(possible), possible, chosen)


def _tells_points(column: pa.Array) -> bool:
    """Whether a column has plain numbers with decimal points, which are no thousands."""
    return _has_point(column) and plain_numbers(column) is not None and not _is_grouped(column)


def _has_point(column: pa.Array) -> bool:
    import pyarrow.compute as pc

    return is_text(column) and bool(pc.any(pc.match_substring(column, ".")).as_py())


def _keep_numbers(result: Fit, cells: Cells, name: str, numbers: np.ndarray, decimal: str, chosen: str | None) -> None:
    absent = np.isnan(numbers)
    present = numbers[~absent]
    if not len(present):
        result.left_out[name] = EMPTY
        return
    wrong = np.flatnonzero(np.abs(numbers) > LARGEST)
    if len(wrong):
        result.fault(
            name, f"has infinite or too large numbers in {cells.where(wrong, 3)}: correct them or use --drop '{name}'"
        )
        return
    if present.min() == present.max():
        result.left_out[name] = CONSTANT
    elif chosen is None and not absent.any() and (reason := _identifies(cells, name, numbers)):
        result.left_out[name] = reason
    else:
        result.numbers[name] = numbers
        encoder = Numbers(decimal, float(np.median(present)), result.units.get(name, ""), result.signs.get(name, ""))
        result.keep(name, "number", encoder, int(absent.sum()))


def _identifies(cells: Cells, name: str, numbers: np.ndarray) -> str | None:
    """Reason to leave out a column that only identifies rows, also if some rows are copies of others."""
    if cells.identifies(name, len(np.unique(numbers))):
        numbers = numbers[cells.first_of_equal_rows]
    return counts_rows(name, numbers)


def _fit_words(result: Fit, cells: Cells, name: str, column: pa.Array, chosen: str | None) -> None:
    """A column of words: categories, text, or an identifier."""
    counts = column.value_counts()
    values = sorted(value for value in counts.field("values").to_pylist() if value is not None)
    missing = column.null_count
    if len(values) + bool(missing) < 2:
        result.left_out[name] = CONSTANT if values else EMPTY
    elif chosen is None and len(values) == len(column):
        result.left_out[name] = DIFFERENT
    elif chosen is None and not missing and cells.identifies(name, len(values)):
        result.left_out[name] = DIFFERENT_BUT_COPIES
    elif chosen == "text" or (chosen is None and len(values) > MAX_INDICATORS):
        _keep_text(result, name, column, missing)
        if chosen is None and len(values) > NEARLY * len(column) and not any(" " in value for value in values):
            result.notes.append(f"'{name}' differs in nearly every row: if it only names rows, use --drop '{name}'")
    elif len(values) > MAX_CHOSEN_INDICATORS:
        result.fault(name, f"has {len(values):,} different values, too many for categories: use --as '{name}=text'")
    else:
        result.keep(name, "category", Indicators(tuple(values), bool(missing)), missing)


def _keep_text(result: Fit, name: str, column: pa.Array, missing: int) -> None:
    from skrub import StringEncoder

    encoder = StringEncoder(n_components=COMPONENTS, random_state=0)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # fewer components than rows or parts of words
            components = encoder.fit_transform(text_series(column.unique())).to_numpy(dtype=np.float64)
    except ValueError as error:
        result.fault(name, f"cannot be encoded as text ({error}): use --as '{name}=category' or --drop '{name}'")
        return
    # If words span fewer dimensions than there are components, the others are rounding, which must not be scaled up.
    spreads = components.std(axis=0)
    kept = np.flatnonzero(spreads > ROUNDING * spreads.max())
    if not len(kept):
        result.left_out[name] = ALIKE
        return
    low, high = components[:, kept].min(axis=0), components[:, kept].max(axis=0)
    result.keep(name, "text", Text(encoder, kept, low, high), missing)


def _fit_dates(result: Fit, cells: Cells, name: str, column: pa.Array, chosen: str | None) -> None:
    try:
        form = dates.find_form(column, chosen)
    except UserError as error:
        result.fault(name, re.sub(r"COLUMN=([a-z-]+)", lambda option: f"'{name}={option[1]}'", str(error)))
        return
    _keep_dates(result, name, column, form)


def _keep_dates(result: Fit, name: str, column: pa.Array, form: Any) -> None:
    encoder = dates.fit_dates(column, form)
    if encoder is None:
        result.left_out[name] = CONSTANT
    else:
        result.keep(name, "date", encoder, column.null_count)
