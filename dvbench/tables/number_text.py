"""Read numbers as people write them: 1234.5, 1,234.50, 1.234,50, 1 234,5, 12 %, € 5, (3.2), −7, 7-, 5.-, 1e5.

Point and comma have two readings. `read_number` gives both, and the caller decides by the other cells and columns.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass

import numpy as np

MISSING = frozenset(
    ("na", "n/a", "#n/a", "#na", "<na>", "nan", "-nan", "null", "none", "nil", "?", "-", "--", "—", "–", ".", "..")
)
CODES = frozenset(
    [
        "usd",
        "eur",
        "gbp",
        "jpy",
        "cny",
        "chf",
        "cad",
        "aud",
        "nzd",
        "sek",
        "nok",
        "dkk",
        "pln",
        "czk",
        "huf",
        "ron",
        "inr",
        "brl",
        "mxn",
        "zar",
        "krw",
        "try",
        "sgd",
        "hkd",
        "thb",
        "ils",
    ]
)
BLANKS = " \u00a0\u2007\u2009\u202f'’"  # also apostrophes, which group thousands in Switzerland
MINUS = "−﹣–-"  # the hyphen is last, so that it is no range in a class of characters
SYMBOL = r"[$€£¥₹₽₩₪₫₴₺₱฿¢]|R\$|kr|zł|Fr"
EXPONENT = r"(?:[eE][+-]?\d+)?"
GROUPED = rf"\d{{1,3}}(?:[{BLANKS}]\d{{3}})+"
BODIES = {
    ".": re.compile(  # also the Indian groups of two
        rf"(?:{GROUPED}|[1-9]\d{{0,2}}(?:,\d{{3}})+|[1-9]\d?(?:,\d{{2}})+,\d{{3}}|\d+)(?:\.\d*)?{EXPONENT}|\.\d+{EXPONENT}",
        re.ASCII,
    ),
    ",": re.compile(
        rf"(?:{GROUPED}|[1-9]\d{{0,2}}(?:\.\d{{3}})+|\d+)(?:,\d*)?{EXPONENT}|,\d+{EXPONENT}",
        re.ASCII,
    ),
}
GAP = rf"[\s{BLANKS}]*"
CELL = re.compile(
    rf"(?P<open>\()?{GAP}(?P<sign>[+{MINUS}])?{GAP}(?:(?P<before>{SYMBOL}|[A-Za-z]{{3}})\.?)?{GAP}(?P<inner>[+{MINUS}])?{GAP}"
    rf"(?P<body>[\d.,][\d.,eE+{BLANKS}-]*?)(?:[.,][-–—]+)?(?P<trail>[{MINUS}])?"
    rf"{GAP}(?P<after>%|‰|{SYMBOL}|[A-Za-z]{{3}})?{GAP}(?P<close>\))?",
    re.ASCII,
)
WITH_UNIT = re.compile(
    rf"[+{MINUS}]?(?:\d(?:[\d.,{BLANKS}]*[\d.,])?|[.,]\d+){GAP}(?P<unit>[^\W\d][^\s\d]{{0,14}}[23]?|°[A-Z]?)"
)
FILL = re.compile(f"[{BLANKS}]")


@dataclass(frozen=True)
class Reading:
    """What the text of one cell may mean.

    Parameters
    ----------
    point, comma : float or None
        The number if a point, or a comma, separates decimals; None if the text is no number in this convention.
    unit : str
        ``"%"``, ``"‰"``, a currency in small letters, or nothing.
    """

    point: float | None
    comma: float | None
    unit: str = ""


def read_number(text: str) -> Reading | None:
    """Read one cell, stripped of blanks; None if it is no number in any convention.

    Infinities are numbers here, so that the caller can refuse them by name.
    """
    text = text if text.isascii() else _ascii_digits(text)
    if text.lower().lstrip("+" + MINUS) in ("inf", "infinity", "∞"):
        return Reading(np.inf, np.inf)
    match = CELL.fullmatch(text)
    if match is None:
        return None
    part = match.groupdict()
    units = [unit.lower() for unit in (part["before"], part["after"]) if unit]
    signs = [sign for sign in (part["sign"], part["inner"], part["trail"], part["open"]) if sign]
    if bool(part["open"]) != bool(part["close"]) or len(units) > 1 or len(signs) > 1:
        return None
    unit = units[0] if units else ""
    if unit.isascii() and unit.isalpha() and len(unit) == 3 and unit not in CODES:
        return None
    negative = any(sign in MINUS + "(" for sign in signs)
    factor = (-1.0 if negative else 1.0) / {"%": 100.0, "‰": 1000.0}.get(unit, 1.0)
    values = [_body(part["body"], decimal) for decimal in ".,"]
    if values == [None, None]:
        return None
    point, comma = (None if value is None else value * factor for value in values)
    return Reading(point, comma, unit)


def common_unit(texts: list[str], least: int = 3) -> str:
    """Word or sign that follows a number in each of at least so many texts, such as kg; else nothing."""
    matches = [WITH_UNIT.fullmatch(text) for text in texts]
    units = {match["unit"] for match in matches if match is not None}
    return units.pop() if len(texts) >= least and all(matches) and len(units) == 1 else ""


def _ascii_digits(text: str) -> str:
    """Digits of other scripts, such as Arabic and fullwidth ones, as ASCII."""
    return "".join(str(unicodedata.decimal(character, character)) for character in text)


def _body(text: str, decimal: str) -> float | None:
    if not BODIES[decimal].fullmatch(text):
        return None
    thousands = "," if decimal == "." else "."
    return float(FILL.sub("", text).replace(thousands, "").replace(decimal, "."))
