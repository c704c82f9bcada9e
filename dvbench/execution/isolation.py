"""Values cells so that the process of the evaluator cannot reach the problem.

This process builds the problem. A worker process is given arrays, settings and seeds (see `ValuationInput`), but no
name of a data set, no seed of a problem, no noise mask and no test set. It shares no memory with this process: it is
forked from a server that has only imported packages. Values are written to the store when all valuations have ended, so
that the store cannot be read before.
"""

from __future__ import annotations

import stat
import sys
import tempfile
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np

from dvbench.errors import DeclinedError, UserError
from dvbench.execution.environment import current_environment
from dvbench.execution.failures import declined_result, error_line, failed_result, failed_score
from dvbench.execution.job_queue import Job, JobQueue
from dvbench.execution.limits import NO_LIMITS, Limits
from dvbench.execution.planning import problem_of
from dvbench.execution.resume import data_of, evaluator_version, needed_variants
from dvbench.execution.valuation_input import ValuationInput, input_of_cell
from dvbench.execution.workers import run_queue, start_server
from dvbench.problems.build import build_from_settings
from dvbench.problems.problem import Problem
from dvbench.problems.variants import array_length, in_words
from dvbench.registry import find
from dvbench.results import ArrayName, Cell, CellKey, Dataset, Result, Store
from dvbench.settings import ProblemSettings, Sizes
from dvbench.version import __version__

HIDDEN = "hidden"  # instead of the names of the suite, the problem and the data set
LARGEST_FILE = 16 * 2**20  # bytes; a worker process may have written anything
Purpose = Literal["valuation"] | ArrayName  # the name of a variant
Output = tuple[Result, dict[ArrayName, np.ndarray]]


def value_isolated(
    cells: Sequence[Cell],
    store: Store,
    device: str,
    jobs: int,
    on_valued: Callable[[Result], None] = lambda _: None,
    limits: Limits = NO_LIMITS,
) -> list[Result]:
    """Value cells with evaluators, and variants that tasks need, and write the values; scores are added later.

    Parameters
    ----------
    cells : sequence of Cell
    store : Store
        It has no results of the cells.
    device : str
    jobs : int
        Number of processes at a time; at least one is used.
    on_valued : callable, optional
        Called with the result of each cell.
    limits : Limits, optional
        Limits of one valuation.

    Returns
    -------
    list of Result
        In the order of the cells. A failed valuation has its error.

    Raises
    ------
    UserError
        If a problem cannot be built, or a result cannot be written.
    """
    outputs, data = _outputs(cells, device, max(jobs, 1), limits)
    results = []
    for cell in cells:
        variants = {name: outputs[cell.key, name] for name in _variants(cell)}
        result = store.write(*_combined(cell, data[cell.key], outputs[cell.key, "valuation"], variants, device))
        on_valued(result)
        results.append(result)
    return results


def _variants(cell: Cell) -> list[ArrayName]:
    """Return the variants that the tasks of a cell need, each once."""
    return list(dict.fromkeys(variant for task in cell.tasks for variant in needed_variants(task)))


def _outputs(
    cells: Sequence[Cell], device: str, jobs: int, limits: Limits
) -> tuple[dict[tuple[CellKey, Purpose], Output], dict[CellKey, Dataset]]:
    """Run all valuations in worker processes; returns their results and arrays, and the data of each cell."""
    wanted: list[tuple[Cell, Purpose]] = []
    for cell in cells:
        wanted.append((cell, "valuation"))
        wanted += [(cell, variant) for variant in _variants(cell)]
    queue, outputs = _IsolatedQueue(wanted), dict[tuple[CellKey, Purpose], Output]()
    start_server(jobs)
    with tempfile.TemporaryDirectory(prefix="dvbench-") as folder:
        store = _UntrustedStore(Path(folder))
        with closing(run_queue(queue, store, device, jobs, lambda _: None, limits)) as stream:
            for result in stream:
                cell, purpose = wanted[result.cell.key.seed]
                outputs[cell.key, purpose] = _checked(result, queue.data[cell.key], purpose, store, device)
    return outputs, queue.data


def _checked(result: Result, data: Dataset, purpose: Purpose, store: Store, device: str) -> Output:
    """Read the arrays that a worker process wrote, each one number for each player."""
    try:
        arrays, players = store.arrays(result), array_length(purpose, data.players or data.train)
        wrong = [name for name, array in arrays.items() if len(array) != players]
        if wrong:
            raise UserError(f"{wrong[0]} has another length than there are players")
    except UserError as error:
        return failed_result(result.cell, error_line(error), device), {}
    return result, arrays


def _combined(
    cell: Cell, data: Dataset, first: Output, variants: Mapping[ArrayName, Output], device: str
) -> tuple[Result, dict[ArrayName, np.ndarray]]:
    """Make the result of a cell of its valuation and those of variants, of which only the values are used."""
    output, arrays = first
    if output.status == "declined":
        return declined_result(cell, str(output.error), data, device), {}
    if output.status == "failed":
        return failed_result(cell, str(output.error), device), {}
    result = Result(
        dvbench_version=__version__,
        cell=cell,
        status="ok",
        evaluator_object=find(cell.evaluator.kind, cell.evaluator.name).target,
        evaluator_version=evaluator_version(cell.evaluator),
        dataset=data,
        cost=output.cost,
        diagnostics=output.diagnostics,
        environment=current_environment(device),
    )
    for name, (valued, variant_arrays) in variants.items():
        if valued.status != "ok":
            error = f"{in_words(name)}: {valued.error}"
            waiting = [task for task in cell.tasks if name in needed_variants(task)]
            result = result.with_scores(cell, {task: failed_score(task, error) for task in waiting})
        else:
            arrays = {**arrays, name: variant_arrays["values"]}
    return result, arrays


class _UntrustedStore(Store):
    """A store that worker processes write to, which may have run any code."""

    def read(self, key: CellKey) -> Result | None:
        """Read a result; None if it is none, or if one of its files is no plain file or too large."""
        try:
            files = [path.lstat() for path in self.folder(key).iterdir()]
            if not all(stat.S_ISREG(file.st_mode) and file.st_size <= LARGEST_FILE for file in files):
                return None
            return super().read(key)
        except (OSError, UserError):
            return None


@dataclass(frozen=True)
class _IsolatedJob(Job):
    """A valuation of arrays, or the error why there are none. Its cell is a stand-in that names no suite or problem."""

    given: ValuationInput | str = field(repr=False)

    def run(self, store: Store, device: str) -> Iterator[Result]:
        """Value the players and write the result."""
        from dvbench.execution.valuation import valuate_input

        (cell,) = self.cells
        if isinstance(self.given, str):
            yield self.record_failure(cell, store, self.given)
            return
        del sys.argv[1:]  # they name the bundle, and the file with the secret of fresh seeds
        sizes = cell.problem.sizes
        data = Dataset(
            revision="0" * 64,
            kind=self.given.data.kind,
            train=sizes.train,
            validation=sizes.validation,
            test=sizes.test,
        )
        try:
            output = valuate_input(self.given, device)
        except DeclinedError as reason:
            yield store.write(declined_result(cell, error_line(reason), data, device))
            return
        except (Exception, SystemExit) as error:
            yield self.record_failure(cell, store, error_line(error))
            return
        result = failed_result(cell, HIDDEN, device).model_copy(
            update={"status": "ok", "error": None, "dataset": data, "cost": output.cost}
        )
        yield store.write(result.model_copy(update={"diagnostics": output.diagnostics}), output.arrays)

    def record_failure(self, cell: Cell, store: Store, error: str) -> Result:
        """Record that the valuation failed."""
        return store.write(failed_result(cell, error, "cpu"))


class _IsolatedQueue(JobQueue):
    """Builds each problem when its turn comes, and makes a job of what the evaluator is given.

    Attributes
    ----------
    data : dict of CellKey to Dataset
        The data of the problems that were built.
    """

    def __init__(self, valuations: Sequence[tuple[Cell, Purpose]]) -> None:
        super().__init__()
        self.data: dict[CellKey, Dataset] = {}
        self._waiting = deque(enumerate(valuations))
        self._built: tuple[tuple[str, int], Problem] | None = None

    def next(self) -> Job | None:
        """Remove and return the next job."""
        if not self._waiting:
            return None
        number, (cell, purpose) = self._waiting.popleft()
        problem = self._problem(cell)
        self.data[cell.key] = data_of(cell, problem)
        try:
            given: ValuationInput | str = input_of_cell(cell, problem, purpose)
        except UserError as error:  # the problem has no such variant
            given = error_line(error)
        return _IsolatedJob("value", (_stand_in(cell, problem, number),), given)

    def add_result(self, job: Job, result: Result) -> bool:
        """Return that every cell is finished when it is valued."""
        return True

    def _problem(self, cell: Cell) -> Problem:
        which = problem_of(cell), cell.key.seed
        if self._built is None or self._built[0] != which:
            self._built = which, build_from_settings(cell.problem, cell.key.seed)
        return self._built[1]


def _stand_in(cell: Cell, problem: Problem, number: int) -> Cell:
    return Cell(
        key=CellKey(suite=HIDDEN, problem=HIDDEN, evaluator=cell.key.evaluator, seed=number),
        suite_version=1,
        problem=ProblemSettings.model_validate(
            {
                "dataset": HIDDEN,
                "sizes": Sizes(train=len(problem.train), validation=len(problem.validation), test=2),
                "model": cell.problem.model,
                "training": cell.problem.training,
            }
        ),
        evaluator=cell.evaluator,
        tasks=(),
    )
