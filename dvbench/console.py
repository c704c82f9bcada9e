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


def say(line: str) -> None:
    """Print a line as it is."""
    out.print(Text(line), soft_wrap=True)


def table(headers: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Print a table; only the last column of two is folded."""
    grid = Table(header_style="bold", box=None, pad_edge=False, padding=(0, 1, 0, 0))
    for header in headers:
        words = header if len(headers) == 2 else header.replace(" ", "\n").replace("\n↑", " ↑").replace("\n↓", " ↓")
        grid.add_column(Text(words), no_wrap=len(headers) > 2 or header != headers[-1], overflow="fold", min_width=4)
    for row in rows:
        grid.add_row(*(Text(cell) for cell in row))
    out.print(grid)


class ProgressReport:
    """Called with every cell that is valued, and with every finished one; counts failures.

    Parameters
    ----------
    total : int
        How many cells there are.
    progress : rich.progress.Progress, optional
        A bar to draw. It moves twice for a cell: scores come many at a time, long after the first valuation.
    valued : int
        How many are valued from the start.
    """

    def __init__(self, total: int, progress: Progress | None, valued: int = 0) -> None:
        self.total = total
        self.valued = valued
        self.finished = 0
        self.failed: list[Result] = []
        self._progress = progress
        self._task = progress.add_task("starting", total=2 * total - valued, finished=0) if progress else None

    def on_valued(self, result: Result) -> None:
        """Show a cell that waits to be scored."""
        self.valued += 1
        seconds = result.cost.seconds if result.cost else 0.0
        self._advance(1, result, f"{result.cell.key}: valued in {seconds:.1f} s")

    def __call__(self, result: Result) -> None:
        """Show a finished cell."""
        self.finished += 1
        self.valued -= result.status == "ok"
        problems = complaints(result)
        if problems:
            self.failed.append(result)
            if self._progress:
                self._progress.console.print(Text.assemble(("failed ", "red"), f"{result.cell.key}: {problems[0]}"))
        status = f"failed: {problems[0]}" if problems else "done"
        steps = 2 if result.status == "failed" else 1
        self._advance(steps, result, f"[{self.finished}/{self.total}] {result.cell.key}: {status}")

    def _advance(self, steps: int, result: Result, line: str) -> None:
        if self._progress is None or self._task is None:
            out.print(Text(line), soft_wrap=True)
        else:
            key = escape(str(result.cell.key))
            self._progress.update(self._task, advance=steps, finished=self.finished, description=key)


@contextmanager
def reporting(total: int, valued: int = 0) -> Iterator[ProgressReport]:
    """Show progress with the time left on a terminal, and elsewhere lines when a cell is valued and when it is done."""
    if not out.is_terminal:
        yield ProgressReport(total, None, valued)
        return
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

    columns = (
        BarColumn(),
        TextColumn(f"{{task.fields[finished]}}/{total}"),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
        TextColumn("{task.description}"),
    )
    with Progress(*columns, console=out, transient=True) as progress:
        yield ProgressReport(total, progress, valued)


def complaints(result: Result) -> list[str]:
    """What went wrong in a cell: the valuation's error, or those of its tasks."""
    if result.status == "failed":
        return [result.error or "failed"]
    return [f"{name}: {score.error}" for name, score in sorted(result.scores.items()) if score.error]
