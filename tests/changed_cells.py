"""Cells whose problem has other settings."""

from __future__ import annotations

from pydantic import BaseModel

from dvbench.results import Cell
from dvbench.settings import ProblemSettings


def with_problem(cell: Cell, **changes: object) -> Cell:
    """The same cell with changed settings of its problem; its key stays."""
    plain = {name: value.model_dump() if isinstance(value, BaseModel) else value for name, value in changes.items()}
    problem = ProblemSettings.model_validate({**cell.problem.model_dump(), **plain})
    return cell.model_copy(update={"problem": problem})
