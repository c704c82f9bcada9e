"""Made-up tables: cells in any style that people write, for the tests of properties."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from pathlib import Path

Style = Callable[[float], str]


def groups_of_three(value: float, thousands: str, decimal: str) -> str:
    return f"{value:,.2f}".replace(",", "T").replace(".", decimal).replace("T", thousands)


# Each writes a number with two decimals, so that every style can be read in one way only.
NUMBERS: dict[str, Style] = {
    "plain": lambda v: f"{v:.2f}",
    "short": lambda v: repr(round(v, 2)),
    "decimal comma": lambda v: f"{v:.2f}".replace(".", ","),
    "thousands": lambda v: f"{v:,.2f}",
    "continental": lambda v: groups_of_three(v, ".", ","),
    "Swiss": lambda v: groups_of_three(v, "'", "."),
    "Swiss, curled": lambda v: groups_of_three(v, "’", "."),
    "blanks": lambda v: groups_of_three(v, " ", ","),
    "narrow blanks": lambda v: groups_of_three(v, "\u202f", ","),
    "hard blanks": lambda v: groups_of_three(v, "\u00a0", "."),
    "dollars": lambda v: f"{'-' if v < 0 else ''}${abs(v):,.2f}",
    "euros": lambda v: f"{groups_of_three(v, '.', ',')} €",
    "code before": lambda v: f"USD {v:.2f}",
    "code after": lambda v: f"{v:.2f} CHF",
    "minus sign": lambda v: f"{v:.2f}".replace("-", "−"),
    "plus sign": lambda v: f"{v:+.2f}",
    "accounting": lambda v: f"({-v:.2f})" if v < 0 else f"{v:.2f}",
    "minus after": lambda v: f"{abs(v):.2f}{'-' if v < 0 else ''}",
    "Arabic digits": lambda v: f"{v:.2f}".translate({48 + digit: 0x660 + digit for digit in range(10)}),
    "wide digits": lambda v: f"{v:.2f}".translate({48 + digit: 0xFF10 + digit for digit in range(10)}),
    "exponent": lambda v: f"{v:.9e}",
    "blanks around": lambda v: f"  {v:.2f}\t",
}
PERCENT: dict[str, Style] = {
    "percent": lambda v: f"{v:.2f}%",
    "percent, blank": lambda v: f"{v:.2f} %",
    "percent, comma": lambda v: f"{v:.2f}\u00a0%".replace(".", ","),
}
MISSING = ("", " ", "NA", "N/A", "n/a", "NaN", "nan", "null", "NULL", "None", "?", "-", "--", ".", "#N/A")
DATES = {
    "ISO": "%Y-%m-%d",
    "ISO with time": "%Y-%m-%dT%H:%M:%S",
    "ISO with blank": "%Y-%m-%d %H:%M",
    "slashes, year first": "%Y/%m/%d",
    "points": "%d.%m.%Y",
    "points, short year": "%d.%m.%y",
    "slashes, day first": "%d/%m/%Y",
    "slashes, month first": "%m/%d/%Y",
    "short month": "%d-%b-%Y",
    "month": "%d %B %Y",
    "month first": "%b %d, %Y",
    "month first, no comma": "%b %d %Y",
}


def write_csv(path: Path, columns: Mapping[str, Sequence[str]], separator: str = ",") -> Path:
    """Write columns of text, quoted where needed."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, delimiter=separator, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(zip(*columns.values(), strict=True))
    path.write_text(buffer.getvalue(), encoding="utf-8", newline="")
    return path


def write_dates(dates: Sequence[datetime], style: str) -> list[str]:
    return [date.strftime(DATES[style]) for date in dates]
