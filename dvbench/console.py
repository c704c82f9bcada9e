"""What the command line shows: progress, tables, descriptions."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from rich.console import Console
from rich.markup import escape
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from rich.progress import Progress

    from dvbench.results import Result

# A file or a pipe has no width, and tables are folded at 80 columns if nothing is said.
out = Console(highlight=False, width=None if sys.stdout.isatty() or "COLUMNS" in os.environ else 120)
err = Console(stderr=True, highlight=False, soft_wrap=True)


def error(message: str) -> None:
    """Print an error in one line."""
    err.print(Text.assemble(("error: ", "bold red"), message))


def table(headers: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Print a table; only the last column of two is folded."""
    grid = Table(header_style="bold", box=None, pad_edge=False, padding=(0, 1, 0, 0))
    for header in headers:
        words = header if len(headers) == 2 else header.replace(" ", "\n").replace("\n↑", " ↑").replace("\n↓", " ↓")
        grid.add_column(Text(words), no_wrap=len(headers) > 2 or header != headers[-1], overflow="fold", min_width=4)
    for row in rows:
        grid.add_row(*(Text(cell) for cell in row))
    out.print(grid)


class Report:
    """Called with every finished cell; counts failures."""

    def __init__(self, total: int, progress: Progress | None) -> None:
        self.total = total
        self.finished = 0
        self.failed: list[Result] = []
        self._progress = progress
        self._task = progress.add_task("", total=total) if progress else None

    def __call__(self, result: Result) -> None:
        """Show one finished cell."""
        self.finished += 1
        problems = complaints(result)
        if problems:
            self.failed.append(result)
        key, seconds = result.cell.key, result.cost.seconds if result.cost else 0.0
        if self._progress is not None and self._task is not None:
            self._progress.update(self._task, advance=1, description=escape(str(key)))
            if problems:
                self._progress.console.print(Text.assemble(("failed ", "red"), f"{key}: {problems[0]}"))
        else:
            status = f"failed: {problems[0]}" if problems else f"{seconds:.1f} s"
            out.print(Text(f"[{self.finished}/{self.total}] {key}: {status}"), soft_wrap=True)


@contextmanager
def reporting(total: int) -> Iterator[Report]:
    """Show progress with the time left on a terminal, and one line a cell elsewhere."""
    if not out.is_terminal:
        yield Report(total, None)
        return
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    columns = (
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
        TextColumn("{task.description}"),
    )
    with Progress(*columns, console=out, transient=True) as progress:
        yield Report(total, progress)


def complaints(result: Result) -> list[str]:
    """What went wrong in a cell: the valuation's error, or those of its tasks."""
    if result.status == "failed":
        return [result.error or "failed"]
    return [f"{name}: {score.error}" for name, score in sorted(result.scores.items()) if score.error]
