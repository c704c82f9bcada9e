"""Prints what the command line shows: lines, tables, errors and progress."""

from __future__ import annotations

import math
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, redirect_stdout
from typing import TYPE_CHECKING

from rich.cells import cell_len
from rich.console import Console
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from dvbench.errors import counted, plain
from dvbench.progress import time_in_words

if TYPE_CHECKING:
    from rich.progress import Progress

    from dvbench.results import Cell, Result

# A file or a pipe has no width, and rich would assume 80 columns.
out = Console(highlight=False, width=None if sys.stdout.isatty() or "COLUMNS" in os.environ else 120)
err = Console(stderr=True, highlight=False, soft_wrap=True)

GAP = 1  # columns between two columns of a table
EVERY = 10.0  # seconds between two lines about the same part
A_WHILE = 1.0  # seconds of a valuation that has a line of its own, and between lines about two parts


def error(message: str) -> None:
    """Print an error in one line."""
    err.print(Text.assemble(("error: ", "bold red"), plain(message, 4000)))


def say(line: str) -> None:
    """Print a line. What cannot be printed, such as characters that move the cursor, becomes question marks."""
    shown = line if line.isprintable() else "".join(c if c.isprintable() or c in "\n\t" else "?" for c in line)
    out.print(Text(shown), soft_wrap=True)


def table(headers: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Print a table of names and descriptions; the last column is folded where it is too wide."""
    grid = _grid()
    for header in headers:
        grid.add_column(Text(header), no_wrap=header != headers[-1], overflow="fold")
    for row in rows:
        grid.add_row(*(Text(cell) for cell in row))
    out.print(grid)


def number_table(
    headers: Sequence[str],
    rows: Iterable[Sequence[str]],
    important: Sequence[str] = (),
    console: Console | None = None,
) -> list[str]:
    """Print a table of names and numbers, without the columns for which there is no space.

    Numbers are printed in full or not at all. The first column, of names, is folded if it does not fit.

    Parameters
    ----------
    headers : sequence of str
        Each word is printed in a line of its own.
    rows : iterable of sequence of str
    important : sequence of str
        Headers of columns that are left out last. Of the others, the last ones are left out first.
    console : rich.console.Console, optional
        By default standard output.

    Returns
    -------
    list of str
        Headers of the columns that are left out.
    """
    console, rows = console or out, [list(row) for row in rows]
    titles = [header.replace(" ", "\n").replace("\n↑", " ↑").replace("\n↓", " ↓") for header in headers]
    columns = list(zip(titles, *rows, strict=True))
    widths = [max(cell_len(line) for text in column for line in text.split("\n")) for column in columns]
    ranked = sorted(range(len(headers)), key=lambda column: headers[column] not in important)
    shown = _fitting(widths, ranked, console.width)
    names = min(widths[0], console.width - sum(widths[column] + GAP for column in shown[1:]))
    grid = _grid()
    for column in shown:
        width = widths[column] if column else max(names, 1)
        grid.add_column(
            Text(titles[column]),
            justify="right" if column else "left",
            no_wrap=bool(column),
            overflow="fold",
            min_width=width,
            max_width=width,
        )
    for row in rows:
        grid.add_row(*(Text(row[column]) for column in shown))
    console.print(grid)
    return [header for column, header in enumerate(headers) if column not in shown]


def _fitting(widths: Sequence[int], ranked: Sequence[int], width: int) -> list[int]:
    """Return the columns that fit: the first, which may be folded to half the width, and as many others as possible."""
    shown, used = {0}, min(widths[0], width // 2)
    for column in ranked:
        if column and used + GAP + widths[column] > width:
            break
        if column:
            used += GAP + widths[column]
            shown.add(column)
    return sorted(shown)


def _grid() -> Table:
    return Table(header_style="bold", box=None, pad_edge=False, padding=(0, GAP, 0, 0))


class ProgressReport:
    """Shows every cell that is valued and every one that is finished, and counts them.

    Parameters
    ----------
    total : int
        Number of cells.
    progress : rich.progress.Progress, optional
        A progress bar. It advances twice for each cell, because cells are scored long after the first one is valued.
        Without it, lines are printed.
    valued : int
        Number of cells that are valued from the start.
    """

    def __init__(self, total: int, progress: Progress | None, valued: int = 0) -> None:
        self.total = total
        self.valued = valued
        self.finished = 0
        self._progress = progress
        steps = 2 * total - valued
        self._task = progress.add_task("starting", total=steps, finished=0, count=total) if progress else None

    def on_valued(self, result: Result) -> None:
        """Show a cell that is valued and not yet scored; where lines are printed, only if that took a while."""
        seconds = result.cost.seconds if result.cost else 0.0
        self._show_valued(result, f"valued in {seconds:.1f} s" if seconds >= A_WHILE else "")

    def on_kept(self, result: Result) -> None:
        """Show a cell that an earlier run valued and did not score."""
        self._show_valued(result, "valued before")

    def _show_valued(self, result: Result, words: str) -> None:
        self.valued += 1
        self._advance(1, result, words and f"{result.cell.key}: {words}")

    def on_finished(self, result: Result) -> None:
        """Show a finished cell."""
        from dvbench.execution.failures import failure_reasons

        self.finished += 1
        self.valued -= result.status == "ok"
        reasons = failure_reasons(result)
        if reasons and self._progress:
            self._progress.console.print(Text.assemble(("failed ", "red"), f"{result.cell.key}: {reasons[0]}"))
        status = f"failed: {reasons[0]}" if reasons else "done"
        if result.status == "declined":
            status = f"declined: {result.error}"
            if self._progress:
                self._progress.console.print(
                    Text.assemble(("declined ", "yellow"), f"{result.cell.key}: {result.error}")
                )
        steps = 1 if result.status == "ok" else 2
        self._advance(steps, result, f"[{self.finished}/{self.total}] {result.cell.key}: {status}")

    def _advance(self, steps: int, result: Result, line: str) -> None:
        if self._progress is None or self._task is None:
            if line:
                say(line)
        else:
            key = escape(str(result.cell.key))
            self._progress.update(self._task, advance=steps, finished=self.finished, description=key)


@contextmanager
def reporting(total: int, valued: int = 0) -> Iterator[ProgressReport]:
    """Show a progress bar on a terminal, and elsewhere a line for every finished cell; see `ProgressReport`."""
    if not out.is_terminal:
        yield ProgressReport(total, None, valued)
        return
    with _bar() as progress:
        yield ProgressReport(total, progress, valued)


@contextmanager
def counting(what: str) -> Iterator[Callable[..., None]]:
    """Show how many of some parts are done, and the time that is left: a bar on a terminal, and lines elsewhere.

    Parameters
    ----------
    what : str
        A part, in the singular.

    Yields
    ------
    callable
        To be called with the number of finished parts, which has a fraction within a part, of all parts (0 while
        packages are loaded), the seconds, and the most seconds that are left, if they are limited.
    """
    with ExitStack() as stack:
        progress: Progress | None = None
        said, begun = 0.0, -1  # seconds at the last line, and the part that was begun last
        stream = sys.stdout  # where lines are seen while evaluators are silenced

        def show(done: float, total: int, seconds: float, most: float = math.inf) -> None:
            with redirect_stdout(stream):
                show_there(done, total, seconds, most)

        def show_there(done: float, total: int, seconds: float, most: float) -> None:
            nonlocal progress, said, begun
            if not total:
                say("loading packages")
                return
            left = (
                f"about {time_in_words(round(min(seconds / done * (total - done), most)))} left"
                if done
                else "time left not known yet"
            )
            if not out.is_terminal:
                whole = int(done)
                within = f", {done - whole:.0%}" if done > whole else ""
                wait = A_WHILE if whole > begun else EVERY
                if done < total and (begun < 0 or seconds >= said + wait):
                    say(f"{what} {whole + 1} of {total}{within}: {time_in_words(round(seconds))} elapsed, {left}")
                    said, begun = seconds, whole
                return
            if progress is None:
                progress = stack.enter_context(_bar())
                progress.add_task(what, total=total, finished=0, count=total)
            progress.update(
                progress.task_ids[0], refresh=True, total=total, completed=done, finished=int(done), count=total
            )

        try:
            yield show
        except KeyboardInterrupt:
            err.print("interrupted")
            raise


def _bar() -> Progress:
    """A bar whose tasks have the fields ``finished`` and ``count``, which are shown."""
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

    return Progress(
        BarColumn(),
        TextColumn("{task.fields[finished]}/{task.fields[count]}"),
        TimeElapsedColumn(),
        TextColumn("elapsed,"),
        TimeRemainingColumn(),
        TextColumn("left"),
        TextColumn("{task.description}"),
        console=out,
        transient=True,
    )


class RunDisplay:
    """Shows the run of a suite; a `dvbench.execution.run.RunObserver` and a context manager.

    Parameters
    ----------
    suite : str
        Name of the suite.
    """

    def __init__(self, suite: str) -> None:
        self.suite = suite
        self._stack = ExitStack()
        self._report: ProgressReport | None = None
        self._planned = self._done = 0

    def __enter__(self) -> RunDisplay:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def on_planned(self, planned: int, to_do: int, jobs: int) -> None:
        """Show how many cells there are, and start to show progress."""
        self._planned, self._done = planned, planned - to_do
        where = f"{jobs} at a time" if jobs else "in this process"
        say(f"{self.suite}: {counted(planned, 'cell')}, {self._done} done before, {to_do} to do, {where}")
        self._report = self._stack.enter_context(reporting(to_do))

    def on_valued(self, result: Result) -> None:
        """Show a cell that is valued and not yet scored."""
        if self._report:
            self._report.on_valued(result)

    def on_kept(self, result: Result) -> None:
        """Show a cell that an earlier run valued and did not score."""
        if self._report:
            self._report.on_kept(result)

    def on_finished(self, result: Result) -> None:
        """Show a finished cell, and what is unusual about its values."""
        from dvbench.execution.value_remarks import remarks_of

        if self._report:
            self._report.on_finished(result)
        for remark in remarks_of(result):
            say(f"remark: {result.cell.key}: {remark}")

    def on_left_out(self, cells: Sequence[Cell]) -> None:
        """Say how many cells did not fit into the time of the run."""
        count = counted(len(cells), "cell")
        say(f"{count} did not fit into the time: the same command computes them with more time, or without --budget")

    def on_waiting(self, cells: Sequence[Cell]) -> None:
        """Say how many cells other runs are computing."""
        say(
            f"waiting for {counted(len(cells), 'cell')} that other runs on this folder have begun; those of a run that "
            "was killed are taken after two minutes; Ctrl-C ends this run only"
        )

    def on_interrupt(self, results: object) -> None:
        """Print what is kept in a results folder after Ctrl-C; nothing if no cell had been started."""
        if self._report:
            err.print(
                f"interrupted: {self._done + self._report.finished} of {self._planned} cells are done and "
                f"{self._report.valued} more valued, in {results}; the same command continues from there"
            )
