"""Checks JSON strictly: parsers differ in what they accept beyond the standard."""

from __future__ import annotations

import json
import math
from typing import Any

from dvbench.errors import UserError, plain

DIGITS = 25


def check_json(content: bytes, name: str) -> None:
    """Refuse a text that is not JSON, or that parsers may read differently.

    Raises
    ------
    UserError
        For text that is not UTF-8, repeated keys, NaN and infinities, very long integers, and very deep nesting.
    """
    try:
        json.loads(
            content.decode("utf-8"),
            parse_constant=_refuse,
            parse_float=_finite,
            parse_int=_short,
            object_pairs_hook=_without_repeated_keys,
        )
    except (RecursionError, MemoryError) as error:
        raise UserError(f"'{name}' is nested too deeply, or too large") from error
    except ValueError as error:
        raise UserError(f"'{name}' is not valid JSON: {plain(error)}") from error


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is not a number in JSON")


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"{plain(text, 30)} is too large")
    return number


def _short(text: str) -> int:
    if len(text) > DIGITS:
        raise ValueError(f"{plain(text, 30)} is too large")
    return int(text)


def _without_repeated_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    content = dict(pairs)
    if len(content) != len(pairs):
        raise ValueError("a key occurs twice")
    return content
