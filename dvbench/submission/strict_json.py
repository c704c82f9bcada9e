"""JSON as the standard has it: parsers that read results accept more, and not all the same."""

from __future__ import annotations

import json
import math
from typing import Any

from dvbench.errors import UserError
from dvbench.submission.plain_text import plain

DIGITS = 25


def check_json(content: bytes, name: str) -> None:
    """Refuse what is not JSON, or is read differently by different parsers.

    Raises
    ------
    UserError
        For text that is no UTF-8, keys that are there twice, NaN and infinities, very long integers and very deep
        nesting.
    """
    try:
        json.loads(
            content.decode("utf-8"),
            parse_constant=_refuse,
            parse_float=_finite,
            parse_int=_short,
            object_pairs_hook=_once,
        )
    except (RecursionError, MemoryError) as error:
        raise UserError(f"'{name}' is nested too deeply, or too large") from error
    except ValueError as error:
        raise UserError(f"'{name}' is no JSON of a bundle: {plain(error)}") from error


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is no number")


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"{plain(text, 30)} is too large")
    return number


def _short(text: str) -> int:
    if len(text) > DIGITS:
        raise ValueError(f"{plain(text, 30)} is too large")
    return int(text)


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key is there twice")
    return found
