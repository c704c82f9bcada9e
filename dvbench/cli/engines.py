"""Options of ``run --on slurm`` and ``--on ray``, and what is printed when tasks are submitted to SLURM."""

from __future__ import annotations

from collections.abc import Iterator
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dvbench.cli.options import parse_duration
from dvbench.errors import UserError

if TYPE_CHECKING:
    from dvbench.execution.run import RunOptions
    from dvbench.suite import Suite

JOBS = 4  # cells that a task computes at a time; its packages take as much memory as several small cells


class Where(StrEnum):
    """Where cells are computed."""

    here = "here"
    ray = "ray"
    slurm = "slurm"


OnOption = Annotated[
    Where,
    typer.Option(
        help="Where cells are computed. 'ray' is a Ray cluster, and needs pip install 'dvbench[ray]'. 'slurm' submits "
        "tasks to a SLURM cluster whose machines share the results folder, and needs pip install 'dvbench[slurm]'; "
        "--jobs is then the number of cores of a task, by default 4."
    ),
]
AddressOption = Annotated[
    str | None,
    typer.Option(
        help="With --on ray: address of a cluster, such as 10.0.0.1:6379, whose nodes have this version of dvbench. "
        "By default one is started on this machine.",
        metavar="HOST:PORT",
    ),
]
PartitionOption = Annotated[
    str | None, typer.Option(help="With --on slurm: the partition. By default that of the cluster.", metavar="NAME")
]
TimeOption = Annotated[
    str | None,
    typer.Option(
        "--time",
        help="With --on slurm: time limit of a task, such as 4h. A task that is not done by then, or is preempted, is "
        "queued again and continues.",
        metavar="TIME",
    ),
]
TasksOption = Annotated[
    int | None,
    typer.Option(
        min=1, max=10_000, help="With --on slurm: number of tasks. By default it follows from estimates of the costs."
    ),
]
SbatchOption = Annotated[
    list[str] | None,
    typer.Option(
        help="With --on slurm: a further option of sbatch, such as account=NAME or exclusive. Repeatable.",
        metavar="OPTION[=VALUE]",
    ),
]
# Options that the runs which are submitted do not get.
OWN = ("on", "address", "partition", "time", "tasks", "sbatch", "jobs", "fresh", "dry_run")

# Options of sbatch that follow from options of ours.
INSTEAD = {"time": "--time", "partition": "--partition", "array": "--tasks", "cpus-per-task": "--jobs"}


def check_options(context: typer.Context, on: Where) -> None:
    """Refuse options of an engine that is not used."""
    for engine, names in ((Where.ray, ("address",)), (Where.slurm, ("partition", "time", "tasks", "sbatch"))):
        for name in names:
            if on is not engine and context.params[name]:
                raise UserError(f"--{name} is an option of --on {engine.value}")


def submit_run(context: typer.Context, suite: Suite, results: Path, options: RunOptions) -> None:
    """Submit what the command asks for, and say how to follow it."""
    from dvbench import console
    from dvbench.execution.costs import estimate, known_costs
    from dvbench.execution.run import planned_cells, prepare_run
    from dvbench.execution.slurm import LOGS, check_installed, plan_tasks, submit
    from dvbench.results import Store

    given = context.params
    seconds = parse_duration(given["time"])
    if seconds is None:
        raise UserError("--on slurm needs the time limit of a task, such as --time 4h")
    further = dict(_option(text) for text in given["sbatch"] or ())
    if given["partition"]:
        further["partition"] = given["partition"]
    check_installed()
    cuda = options.device == "cuda"
    jobs = options.jobs or (1 if cuda else JOBS)
    _, cells = planned_cells(suite, results, options)
    if not cells:
        console.say(f"{suite.name}: nothing to do, all cells are done")
        return
    known = known_costs(Store(results), suite.name)
    costs = [estimate(cell, known, cuda) for cell in cells]
    resources = plan_tasks(costs, jobs, seconds, cuda, given["tasks"])
    words = [*_words(context), "--jobs", str(jobs)]
    submitted = prepare_run(suite, results, options, lambda: submit(words, results, resources, further))
    job = submitted[0].job_id.partition("_")[0]
    longest = max((cost.seconds for cost in costs if cost), default=0.0)
    tasks = "1 task" if resources.tasks == 1 else f"{resources.tasks} tasks, each"
    each = f"with {jobs} cores, {resources.memory / 1e9:.0f} GB and {given['time']}"
    console.say(f"{suite.name}: job {job} is submitted for {len(cells)} cells: {tasks} {each}")
    if longest > seconds:
        console.say(f"remark: a cell may take {longest / 3600:.1f} hours, more than a task has; use a longer --time")
    console.say(f"state: squeue --job {job}; what is left: the same command with --dry-run")
    console.say(f"logs: {results / LOGS}; end it: scancel {job}")


def _words(context: typer.Context) -> Iterator[str]:
    """Words of the command line, without the options that are for this command alone."""
    yield "run"
    for parameter in context.command.params:
        value: Any = context.params.get(str(parameter.name))
        if parameter.name in OWN or value is None or value is False:
            continue
        for each in value if isinstance(value, list | tuple) else [value]:
            name = [] if parameter.param_type_name == "argument" else [parameter.opts[0]]
            yield from [*name, *([] if each is True else [str(each)])]


def _option(text: str) -> tuple[str, str | bool]:
    name, equals, value = text.removeprefix("--").partition("=")
    if not name.replace("-", "").isalnum() or (equals and not value):
        raise UserError(f"--sbatch is an option of sbatch, such as account=NAME or exclusive, not '{text}'")
    if name in INSTEAD:
        raise UserError(f"use {INSTEAD[name]} instead of --sbatch {name}")
    return name, value if equals else True
