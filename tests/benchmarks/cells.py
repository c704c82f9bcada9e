"""How the overhead of a run grows with its cells: planning, sharing, merging, engines and the leaderboard.

Run as ``python tests/benchmarks/cells.py``, which takes about half an hour and 2 GB of disk, or with some of the names
of `PARTS`, such as ``plan merge``. Each measurement has a process of its own. It prints a table for
docs/performance.md: seconds of processor time, with those of child processes, and peak memory, so that other programs
on the machine matter little. Cells of the engines value 30 points by random numbers; of the others nothing is computed.
"""

from __future__ import annotations

import hashlib
import io
import json
import math
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import redirect_stdout
from pathlib import Path

import numpy as np

from dvbench.cli import main
from dvbench.execution.claims import Claims, SharedCells
from dvbench.execution.failures import failed_result
from dvbench.execution.job_queue import JobQueue
from dvbench.execution.planning import make_plan
from dvbench.execution.run import RunOptions, SilentObserver, _run_shared, planned_cells, run_suite
from dvbench.execution.shards import Shard
from dvbench.execution.time_budget import most_informative_first
from dvbench.results import Array, Cell, Plan, Result, Score, Store
from dvbench.results.merging import merge
from dvbench.suite import Suite

ROOT = Path(__file__).parents[2]
SIZES = (10, 1_000, 100_000)
FEW = (10, 100, 1_000)  # cells of engines that start a process for each


def suite_of(cells: int) -> Suite:
    """About ten seeds, and as many problems as evaluators."""
    seeds = min(10, cells)
    evaluators = max(1, round(math.sqrt(cells / seeds)))
    problem = {
        "dataset": "digits",
        "sizes": {"train": 30, "validation": 20, "test": 20},
        "model": "logistic_regression",
        "training": {"epochs": 1, "batch_size": 32, "lr": 0.05},
        "tasks": ["point_removal"],
    }
    return Suite.model_validate(
        {
            "name": "many",
            "version": 1,
            "description": "Trivial cells.",
            "seeds": list(range(seeds)),
            "problems": [
                {**problem, "label": f"p{i:03}", "training": {**problem["training"], "lr": 0.05 + i / 1e4}}
                for i in range(cells // seeds // evaluators)
            ],
            "evaluators": [{"name": "random", "label": f"e{i:03}"} for i in range(evaluators)],
        }
    )


def plan(cells: int, folder: Path) -> int:
    """Plan, read what is done (nothing), choose a shard, and order for a budget."""
    suite = suite_of(cells)
    planned, to_do = planned_cells(suite, folder, RunOptions(device="cpu"))
    most_informative_first(to_do)
    assert sum(cell.key in Shard(1, 4) for cell in planned) <= len(planned)
    return len(planned)


class _Engine:
    """An engine that writes a result for every cell and computes nothing."""

    def __init__(self, store: Store, template: Result) -> None:
        self.store, self.template = store, template

    def __call__(self, queue: JobQueue, on_valued: Callable[[Result], None]) -> Iterator[Result]:
        while job := queue.next():
            for cell in job.cells:
                result = self.store.write(self.template.model_copy(update={"cell": cell}))
                assert queue.add_result(job, result)
                yield result


def share(cells: int, folder: Path) -> int:
    """Claim each cell, write its result and give the claim up: what a driver does besides computing."""
    planned = list(make_plan(suite_of(cells)).cells)
    store = Store(folder)
    engine = _Engine(store, failed_result(planned[0], "nothing is computed", "cpu"))
    with Claims(folder / ".claims") as claims:
        shared = SharedCells(store, claims, lambda _: True)
        _run_shared(planned, shared, engine, SilentObserver())
    return len(planned)


def write_results(root: Path, cells: Sequence[Cell], planned: Plan) -> None:
    """Results with values and a score, in which they differ, as `Store` writes them."""
    sys.path[:0] = [str(ROOT / "tests/leaderboard")]
    from made_up import a_result

    score = Score(version=1, headline="f", higher_is_better=True, metrics={"f": 0.5})
    content = io.BytesIO()
    np.save(content, np.arange(30.0))
    array = Array(sha256=hashlib.sha256(content.getvalue()).hexdigest(), length=30)
    made = a_result(cells[0], {"point_removal": score}, arrays={"values": array})
    template, store = json.loads(made.model_dump_json()), Store(root)
    for number, cell in enumerate(cells):
        template["scores"]["point_removal"]["metrics"]["f"] = (number * 0.618) % 1
        template["cell"] = cell.model_dump(mode="json")
        folder = store.folder(cell.key)
        folder.mkdir(parents=True)
        (folder / "values.npy").write_bytes(content.getvalue())
        (folder / "result.json").write_text(json.dumps(template, indent=1))
    store.write_plan(planned)


def prepare(part: str, cells: int, folder: Path) -> None:
    """Write what a part reads."""
    planned = make_plan(suite_of(cells))
    if part == "merge":
        for number in (1, 2):
            chosen = [cell for cell in planned.cells if cell.key in Shard(number, 2)]
            write_results(folder / str(number), chosen, planned)
    elif part == "leaderboard":
        write_results(folder, planned.cells, planned)


def unite(cells: int, folder: Path) -> int:
    """Merge two shards."""
    (merged,) = merge([Store(folder / "1"), Store(folder / "2")], Store(folder / "united"))
    assert (merged.copied, len(merged.missing)) == (cells, 0)
    return cells


def show(cells: int, folder: Path) -> int:
    """Tables, CSV files and the site."""
    os.environ["DVBENCH_CACHE"] = str(folder / "cache")
    assert main(["leaderboard", "build", "--results", str(folder), "--out", str(folder / "site")]) == 0
    return cells


def workers(cells: int, folder: Path) -> int:
    """Two worker processes."""
    assert run_suite(suite_of(cells), folder, RunOptions(jobs=2, device="cpu")) == 0
    return cells


def ray(cells: int, folder: Path) -> int:
    """A Ray cluster on this machine, two cells at a time."""
    assert run_suite(suite_of(cells), folder, RunOptions(jobs=2, device="cpu", on="ray")) == 0
    return cells


PARTS: dict[str, tuple[str, Callable[[int, Path], int], Sequence[int]]] = {
    "plan": ("plan, choose a shard, order for a budget", plan, SIZES),
    "share": ("claim and write, of one driver", share, SIZES),
    "merge": ("merge two shards", unite, SIZES),
    "leaderboard": ("leaderboard: tables and site", show, SIZES),
    "workers": ("worker processes", workers, FEW),
    "ray": ("Ray", ray, FEW),
}


def measure(part: str, cells: int) -> tuple[float, float, float]:
    """Run a part in a new process: seconds of processor time, wall seconds, and peak memory of a process in GB."""
    with tempfile.TemporaryDirectory() as folder:
        prepare(part, cells, Path(folder))
        command = [sys.executable, __file__, "--one", part, str(cells), folder]
        before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        wall, after = time.perf_counter() - started, resource.getrusage(resource.RUSAGE_CHILDREN)
        seconds = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        return seconds - float(done.stdout.split()[-2]), wall, float(done.stdout.split()[-1])


def one(part: str, cells: int, folder: Path) -> None:
    """Do a part, and print seconds of processor time that imports took before, and peak memory in GB."""
    imports = time.process_time()
    with redirect_stdout(io.StringIO()):
        PARTS[part][1](cells, folder)
    print(imports, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20)


def table(names: Sequence[str]) -> Iterator[str]:
    """Yield the lines of a Markdown table."""
    yield "| what | cells | seconds of processor time | cells a second | grows with cells to the | memory GB |"
    yield "|---|---:|---:|---:|---:|---:|"
    for name in names:
        what, _, sizes = PARTS[name]
        before: tuple[int, float] | None = None
        for cells in sizes:
            seconds, _, memory = measure(name, cells)
            power = "" if before is None else f"{math.log(seconds / before[1]) / math.log(cells / before[0]):.2f}"
            yield f"| {what} | {cells:,} | {seconds:,.2f} | {cells / seconds:,.0f} | {power} | {memory:.2f} |"
            before = cells, seconds


if __name__ == "__main__":
    if sys.argv[1:2] == ["--one"]:
        one(sys.argv[2], int(sys.argv[3]), Path(sys.argv[4]))
    else:
        for line in table(sys.argv[1:] or list(PARTS)):
            print(line, flush=True)
