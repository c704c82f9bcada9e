"""Reads what earlier versions of the result schema wrote.

Version 1 called the validation set the reachable set.
"""

from __future__ import annotations

from typing import Any


def upgrade_result(data: Any) -> Any:
    """Turn the content of a ``result.json`` of version 1 into one of version 2; anything else is returned as it is."""
    if not _is_first(data):
        return data
    changes: dict[str, Any] = {"schema_version": 2, "cell": _cell(data.get("cell"))}
    if isinstance(data.get("dataset"), dict):
        changes["dataset"] = _renamed(data["dataset"])
    return {**data, **changes}


def upgrade_plan(data: Any) -> Any:
    """Turn the content of a ``plan.json`` of version 1 into one of version 2; anything else is returned as it is."""
    if not _is_first(data) or not isinstance(data.get("cells"), list):
        return data
    return {**data, "schema_version": 2, "cells": [_cell(cell) for cell in data["cells"]]}


def _is_first(data: Any) -> bool:
    return isinstance(data, dict) and data.get("schema_version") == 1


def _cell(cell: Any) -> Any:
    if not isinstance(cell, dict) or not isinstance(cell.get("sizes"), dict):
        return cell
    return {**cell, "sizes": _renamed(cell["sizes"])}


def _renamed(sizes: dict[str, Any]) -> dict[str, Any]:
    return {"validation" if name == "reachable" else name: value for name, value in sizes.items()}
