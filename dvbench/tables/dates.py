"""Read dates, and encode them with skrub's ``DatetimeEncoder``."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from dvbench.errors import UserError
from dvbench.tables.cells import is_text
from dvbench.tables.number_text import MISSING

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

NUMERIC = r"\d{1,4}[-/. ]+(?:\d{1,2}|[^\W\d]{3,9}\.?)[-/., ]+\d{1,4}(?!\d).*"  # 2020-01-31, 31.1.2020, 31 Jan 2020
NAMED = r"[^\W\d]{3,9}\.?[- ]\d{1,2}(?:,? |-)\d{4}(?!\d).*|[^\W\d]{3,9}[- ]\d{4}"  # Jan 31, 2020; Jan-2020
SHORT = (
    r"\d{4}[-/]\d{2}|\d{1,2}/\d{4}|\d{4}[- ]?[Qq][1-4]|\d{4}-?W\d{2}(?:-?\d)?|\d{2,4}年\d{1,2}月.*|"
    r"\d{1,2}:\d{2}(?::\d{2}(?:[.,]\d+)?)?(?: ?[AaPp][Mm])?"
)
# 2020-01, 1/2020, 2020Q1, 12:30 and 12:30 PM are short.
LOOKS = re.compile(rf"(?:[^\W\d]{{2,12}}(?:,|\.,?) )?(?:{NUMERIC}|{NAMED})|{SHORT}")
QUARTER = re.compile(r"(\d{4})[- ]?[Qq]([1-4])")
SAMPLE = 50
TIMES = ("", " %H:%M", " %H:%M:%S", " %I:%M %p", " %I:%M:%S %p")
YEARS = [f"%Y{s}%m{s}%d{t}" for s in "/." for t in TIMES]
NAMES = [f"%d{s}%{b}{s}%{y}{t}" for s in "- " for b in "bB" for y in "Yy" for t in TIMES]
MONTHS = [f"%{b}{s}" for b in "bB" for s in (" %d, %Y", " %d %Y", "-%d-%Y", "-%Y", " %Y", "-%y")]
CLEAR = ["ISO8601", *YEARS, *NAMES, *MONTHS, "%m/%Y", "%Y/%m", "%H:%M", "%H:%M:%S", "%I:%M %p", "%I:%M:%S %p"]
DAY_FIRST = [f"%d{s}%m{s}%{y}{t}" for s in "-/." for y in "Yy" for t in TIMES]
MONTH_FIRST = [f"%m{s}%d{s}%{y}{t}" for s in "-/" for y in "Yy" for t in TIMES]  # with points, the day is first


@dataclass(frozen=True)
class Typed:
    """Form of cells that are dates already."""


@dataclass(frozen=True)
class Written:
    """Form of dates in text: a format of ``strptime``, or ``"ISO8601"``."""

    format: str


@dataclass(frozen=True)
class Dates:
    """Dates as the parts that skrub finds; missing ones are replaced by the median of each part."""

    form: Typed | Written
    encoder: Any
    kept: tuple[int, ...]
    fill: tuple[float, ...]

    @property
    def width(self) -> int:
        """Parts that differ between rows."""
        return len(self.kept)

    def encode(self, cells: pa.Array) -> np.ndarray:
        """Encode cells; a text that is no date in the form of the table is refused."""
        parts = self.encoder.transform(parse(cells, self.form)).to_numpy(dtype=np.float64)[:, list(self.kept)]
        return np.where(np.isnan(parts), self.fill, parts)


def look_like_dates(texts: list[str]) -> bool:
    """Whether a sample of texts has the look of dates."""
    sample = texts[:: max(len(texts) // SAMPLE, 1)]
    return sum(bool(LOOKS.fullmatch(text)) for text in sample) > len(sample) / 2


def find_form(cells: pa.Array, chosen: str | None) -> Typed | Written:
    """Find the one form in which all cells are dates, or raise a `UserError` with the reason."""
    texts = [text for text in _dates_only(cells).unique().to_pylist() if text is not None]
    if not texts:
        raise UserError("holds no dates")
    clear = next((form for form in CLEAR if _fits(texts, form)), None)
    if clear is not None:
        return Written(clear)
    days = [form for form in DAY_FIRST if chosen != "month-first" and _fits(texts, form)]
    months = [form for form in MONTH_FIRST if chosen != "day-first" and _fits(texts, form)]
    if days and months:
        raise UserError(
            f"has dates such as '{texts[0]}' whose day and month can be exchanged: use --as COLUMN=day-first or "
            "--as COLUMN=month-first"
        )
    if not days and not months:
        example = next((text for text in texts if LOOKS.fullmatch(text)), texts[0])
        wrong = next((text for text in texts if not LOOKS.fullmatch(text)), None)
        reason = f"but '{wrong}' is none" if wrong else "but not all are dates of one form"
        raise UserError(
            f"has dates such as '{example}', {reason}: write them as YYYY-MM-DD, or use --as COLUMN=category"
        )
    return Written((days or months)[0])


def _dates_only(cells: pa.Array) -> pa.Array:
    """Text in which what stands for a missing date is empty, and quarters are the dates of their first day."""
    import pyarrow as pa

    def date(text: str | None) -> str | None:
        if text is None or text.lower() in MISSING:
            return None
        quarter = QUARTER.fullmatch(text)
        return f"{quarter[1]}-{3 * int(quarter[2]) - 2:02}-01" if quarter else text

    encoded = cells.dictionary_encode()
    texts = pa.array([date(text) for text in encoded.dictionary.to_pylist()], pa.string())
    return texts.take(encoded.indices)


def _fits(texts: list[str], form: str) -> bool:
    import pandas as pd

    def fit(some: list[str]) -> bool:
        return bool(pd.Series(pd.to_datetime(some, format=form, errors="coerce", utc=True)).notna().all())

    return fit(texts[:1]) and fit(texts)


def parse(cells: pa.Array, form: Typed | Written) -> pd.Series:
    """Parse cells as dates, without their time zone."""
    import pandas as pd
    import pyarrow as pa

    if pa.types.is_timestamp(cells.type):
        series = pd.Series(cells.to_pandas())
    elif not is_text(cells):
        raise UserError("it holds no dates")
    else:
        cells = _dates_only(cells)
        texts = cells.to_pylist()
        written = form.format if isinstance(form, Written) else "ISO8601"
        series = pd.Series(pd.to_datetime(texts, format=written, errors="coerce", utc=True))
        wrong = np.flatnonzero(series.isna().to_numpy() & cells.is_valid().to_numpy(zero_copy_only=False))
        if len(wrong):
            raise UserError(f"'{texts[wrong[0]]}' is not a date like the others")
    return (series.dt.tz_localize(None) if series.dt.tz is not None else series).rename("date")


def fit_dates(cells: pa.Array, form: Typed | Written) -> Dates | None:
    """Fit an encoder; None if all dates are the same."""
    from skrub import DatetimeEncoder

    encoder = DatetimeEncoder()
    parts = encoder.fit_transform(parse(cells, form)).to_numpy(dtype=np.float64)
    kept = [k for k in range(parts.shape[1]) if np.nanmin(parts[:, k]) < np.nanmax(parts[:, k])]
    if not kept:
        return None
    return Dates(form, encoder, tuple(kept), tuple(np.nanmedian(parts[:, kept], axis=0)))
