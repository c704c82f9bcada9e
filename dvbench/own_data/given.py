"""A table as the user gives it: read, with a validation set of its own, and said before anything is computed on it."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Protocol

from dvbench.errors import UserError
from dvbench.own_data.output import files_read
from dvbench.own_data.validation import copied_rows, doubts

if TYPE_CHECKING:
    from dvbench.problems.source import Source
    from dvbench.tables.reading import Table


@dataclass(frozen=True, eq=False)
class Given:
    """A table as the user gives it.

    Parameters
    ----------
    X, y, label, groups, validation
        See `dvbench.value`.
    reading : mapping
        Other arguments of `dvbench.tables.reading.read_arrays`.
    """

    X: Any
    y: Any = None
    label: str | None = None
    groups: Any = None
    validation: Any = None
    reading: Mapping[str, Any] = field(default_factory=dict)

    def read(self) -> tuple[Table, Source | None]:
        """Read the table, and the validation set of its own if there is one.

        Raises
        ------
        UserError
            If something cannot be read.
        """
        from dvbench.tables.reading import read_arrays, read_validation

        if self.y is not None and self.label is not None:
            raise UserError("give the labels as y, or the name of their column as label, not both")
        table = read_arrays(self.X, self.y, label=self.label, groups=self.groups, **self.reading)
        if self.validation is None:
            return replace(table, remarks=(*table.remarks, *copied_rows(table))), None
        judges = read_validation(self.validation, table)
        return replace(table, remarks=(*table.remarks, *doubts(table, judges))), judges

    def files(self) -> dict[str, dict[str, str]]:
        """Name and hash of the files that are read, if they are files."""
        return files_read(table=self.X, validation=self.validation)


class Observer(Protocol):
    """Is told how many of some parts are done, of how many, after how many seconds, and the most that are left."""

    def __call__(self, done: float, total: int, seconds: float, most: float = ..., /) -> None:
        """Show it."""


class Report(Protocol):
    """What shows lines and progress: `dvbench.console`."""

    def say(self, line: str, /) -> None:
        """Print a line."""

    def counting(self, what: str, /) -> AbstractContextManager[Observer]:
        """Show how many of some parts are done."""


class Silent:
    """A report that shows nothing."""

    def say(self, line: str, /) -> None:
        """Print nothing."""

    def counting(self, what: str, /) -> AbstractContextManager[Observer]:
        """Show nothing."""
        return nullcontext(lambda *_: None)


def say_understood(table: Table, report: Report, chosen: tuple[str, ...] = ()) -> None:
    """Say how a table was read, what else was chosen, and doubts about the table."""
    for line in (*table.understood, *chosen, *(f"note: {remark}" for remark in table.remarks)):
        report.say(line)


def check_seed(seed: object) -> None:
    """Raise a `UserError` if it is no seed."""
    if not isinstance(seed, int) or isinstance(seed, bool) or seed < 0:
        raise UserError(f"seed must be a whole number from 0 on, not {seed!r}")
