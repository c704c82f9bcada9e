"""Read dates, and encode them with skrub's ``DatetimeEncoder``."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from dvbench.errors import UserError
from dvbench.tables.cells import is_text

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

LOOKS = re.compile(r"\d{1,4}[-/. ](\d{1,2}|[A-Za-z]{3,9}\.?)[-/., ]+\d{1,4}\b.*|[A-Za-z]{3,9}\.? \d{1,2},? \d{4}\b.*")
SAMPLE = 50


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
    sample = texts[:SAMPLE]
    return sum(bool(LOOKS.fullmatch(text)) for text in sample) > len(sample) / 2


def find_form(cells: pa.Array, chosen: str | None) -> Typed | Written:
    """Find the one form in which all cells are dates, or raise a `UserError` with the reason."""
    texts = [text for text in cells.unique().to_pylist() if text is not None]
    separators = "-/."
    day = [f"%d{s}%m{s}%{y}{t}" for s in separators for y in "Yy" for t in ("", " %H:%M", " %H:%M:%S")]
    month = [form.replace("%d", "%x").replace("%m", "%d").replace("%x", "%m") for form in day]
    named = [f"%d{s}%{b}{s}%{y}" for s in "- " for b in "bB" for y in "Yy"] + [f"%{b} %d, %Y" for b in "bB"]
    year = [f"%Y{s}%m{s}%d{t}" for s in "/." for t in ("", " %H:%M", " %H:%M:%S")]
    fitting = [form for form in ["ISO8601", *year, *named] if _fits(texts, form)]
    if fitting:
        return Written(fitting[0])
    days = [form for form in day if chosen != "month-first" and _fits(texts, form)]
    months = [form for form in month if chosen != "day-first" and "." not in form[:4] and _fits(texts, form)]
    if days and months:
        raise UserError(
            f"has dates such as '{texts[0]}' whose day and month can be exchanged: use --as COLUMN=day-first or "
            "--as COLUMN=month-first"
        )
    if not days and not months:
        raise UserError(
            f"has dates such as '{texts[0]}', but not all cells are dates of one form: write them as YYYY-MM-DD"
        )
    return Written((days or months)[0])


def _fits(texts: list[str], form: str) -> bool:
    import pandas as pd

    def fit(some: list[str]) -> bool:
        return bool(pd.Series(pd.to_datetime(some, format=form, errors="coerce", utc=True)).notna().all())

    return fit(texts[:1]) and fit(texts)


def parse(cells: pa.Array, form: Typed | Written) -> pd.Series:
    """Parse cells as dates, without their time zone."""
    import pandas as pd

    if isinstance(form, Typed) or not is_text(cells):
        series = pd.Series(cells.to_pandas())
    else:
        texts = cells.to_pylist()
        series = pd.Series(pd.to_datetime(texts, format=form.format, errors="coerce", utc=True))
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
