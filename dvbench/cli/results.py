"""The commands that run suites and show results: ``run``, ``leaderboard build`` and ``figures``."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from dvbench.cli.engines import (
    AddressOption,
    OnOption,
    PartitionOption,
    SbatchOption,
    TasksOption,
    TimeOption,
    Where,
    check_options,
    submit_run,
)
from dvbench.cli.options import RUNS, Device, DeviceOption, MirrorOption, ResultsOption, parse_duration, parse_seeds

MISSING_SHOWN = 10


def run(
    context: typer.Context,
    suite: Annotated[str, typer.Argument(help="Name of a suite ('dvbench list suites') or path of a .toml file.")],
    evaluator: Annotated[
        list[str] | None,
        typer.Option(
            help="Run this evaluator instead of all evaluators of the suite: any evaluator's name, a label of the "
            "suite, or 'module:Class' for your own. Repeatable. By default all evaluators of the suite."
        ),
    ] = None,
    dataset: Annotated[
        list[str] | None,
        typer.Option(
            help="Run this data set instead of all data sets of the suite: any data set's name, with parameters as in "
            "'cifar10?encoder=HUB_ID', 'openml:ID' for a table of OpenML, 'opendataval:NAME' for one of OpenDataVal's, "
            "or 'csv:PATH?label=COLUMN' for your own. "
            "If it has fewer rows than the suite asks for, all parts shrink in proportion. Repeatable. "
            "By default all data sets of the suite."
        ),
    ] = None,
    task: Annotated[
        list[str] | None,
        typer.Option(help="Score only this task of the suite. Repeatable. By default all tasks of the suite."),
    ] = None,
    seeds: Annotated[
        str | None, typer.Option(help="Seeds, such as '0-4' or '0,3'. By default those of the suite.")
    ] = None,
    results: Annotated[
        Path, typer.Option(help="Results folder. Finished cells in it are not computed again.", metavar="DIR")
    ] = RUNS,
    jobs: Annotated[
        int | None,
        typer.Option(
            min=0,
            help="Number of cells that are computed at the same time, each in its own process. By default one for each "
            "core, or 1 on a GPU. 0 computes all cells in this process, for debugging an evaluator: the values are the "
            "same, but a crash ends the run, and native code is not ended at the time limit.",
        ),
    ] = None,
    cell_timeout: Annotated[
        float | None,
        typer.Option(
            help="Time limit of a cell, for its valuation and again for its scoring. A cell that takes longer has "
            "failed, and the run goes on. By default that of the suite, or a day if it has none.",
            metavar="SECONDS",
        ),
    ] = None,
    shard: Annotated[
        str | None,
        typer.Option(
            help="Compute only this part of the cells, such as 3/16, the third of sixteen. Results of all parts "
            "are united by 'dvbench merge'.",
            metavar="NUMBER/COUNT",
        ),
    ] = None,
    budget: Annotated[
        str | None,
        typer.Option(
            help="Time for the run, such as 30min or 2h. Every evaluator and every problem comes once first, then all "
            "of one seed, then the next seed. A cell is not started if it is not expected to end in time.",
            metavar="TIME",
        ),
    ] = None,
    dry_run: Annotated[
        bool,
        typer.Option("--dry-run", help="Only print the cells and what they will cost: hours, memory and disk."),
    ] = False,
    device: DeviceOption = Device.auto,
    mirror: MirrorOption = None,
    fresh: Annotated[bool, typer.Option("--fresh", help="Compute finished cells again.")] = False,
    on: OnOption = Where.here,
    address: AddressOption = None,
    partition: PartitionOption = None,
    time: TimeOption = None,
    tasks: TasksOption = None,
    sbatch: SbatchOption = None,
) -> None:
    """Run a suite: compute data values, score them, store the results and build the leaderboard.

    Ctrl-C, SIGTERM or SIGHUP stops the run. Cells that are valued or finished are kept, and the same command continues
    from there. The exit code is 1 if a cell failed.
    """
    from dvbench.cli.dry_run import show_costs
    from dvbench.console import RunDisplay
    from dvbench.execution.planning import narrow
    from dvbench.execution.run import RunOptions, run_suite
    from dvbench.execution.shards import Shard
    from dvbench.suite import load_suite

    check_options(context, on)
    part = None if shard is None else Shard.parse(shard)
    options = RunOptions(jobs, device.value, mirror, fresh, cell_timeout, part, parse_duration(budget))
    if on is Where.ray:
        options = replace(options, on="ray", address=address)
    chosen = narrow(load_suite(suite), evaluator or (), dataset or (), task or (), parse_seeds(seeds))
    if dry_run:
        show_costs(chosen, results, options, max(options.processes, 1) if on is Where.here else None)
        return
    if on is Where.slurm:
        submit_run(context, chosen, results, options)
        return
    with RunDisplay(chosen.name) as display:
        try:
            failed = run_suite(chosen, results, options, display)
        except KeyboardInterrupt:
            display.on_interrupt(results)
            raise typer.Exit(130) from None
    _show(results, chosen.name)
    if failed:
        raise typer.Exit(1)


def _show(results: Path, suite: str) -> None:
    """Print the summary of a suite, and build the leaderboard of all suites in the results folder."""
    import dvbench
    from dvbench import console
    from leaderboard.console_rows import CONSOLE_IN_WORDS, rows_for_console
    from leaderboard.index import open_index
    from leaderboard.plans import results_store
    from leaderboard.suite_scores import suite_scores

    with open_index(results_store(results), suite) as index:
        headers, rows = rows_for_console(suite_scores(index))
    left_out = console.number_table(headers, rows, ["evaluator", "rank", "failed", "missing", "declined"])
    console.say(CONSOLE_IN_WORDS)
    page = dvbench.build_leaderboard(results)
    if left_out:
        columns = f"{len(left_out)} column{'s' if len(left_out) > 1 else ''}"
        file = page.with_name(f"{suite}.md")
        console.say(f"{columns} did not fit here and can be found in {file}: {', '.join(left_out)}")
    console.say(f"leaderboard: {page}")


def build(
    results: ResultsOption = RUNS,
    out: Annotated[
        Path | None,
        typer.Option(
            help="Folder to write to. By default the folder 'leaderboard' in the results folder.", metavar="DIR"
        ),
    ] = None,
    repository: Annotated[
        str,
        typer.Option(
            help="Address of the repository of dvbench that pages link to, such as https://github.com/OWNER/dvbench.",
            metavar="URL",
        ),
    ] = "",
    docs: Annotated[
        str, typer.Option(help="Address of the documentation that pages link to, such as docs.", metavar="URL")
    ] = "",
) -> None:
    """Write Markdown tables, CSV files and a static site from results. The site starts at index.html."""
    from dvbench.errors import UserError
    from leaderboard.build import build as build_pages

    if repository and not repository.startswith("https://"):
        raise UserError(f"--repository is an address that begins with https://, not '{repository}'")
    for path in build_pages(results, out or results / "leaderboard", repository=repository, docs=docs):
        typer.echo(path)


def publish(
    suite: Annotated[str, typer.Argument(help="Name of a suite that has results.")],
    changes: Annotated[
        str, typer.Option(help="What has changed since the version before, in one line.", metavar="TEXT")
    ],
    results: ResultsOption = RUNS,
) -> None:
    """Keep what the board of a suite shows now as its next version, with today's date.

    'dvbench leaderboard build' lists all versions on the page of the suite and writes a page for each.
    """
    import datetime

    from leaderboard.boards import publish as publish_board

    typer.echo(publish_board(results, suite, changes, datetime.datetime.now(tz=datetime.UTC).date()))


def merge(
    sources: Annotated[list[Path], typer.Argument(help="Results folders.", metavar="DIR...")],
    into: Annotated[Path, typer.Option(help="Results folder to write to. It may have results.", metavar="DIR")],
) -> None:
    """Unite results folders, such as those of the shards of a suite, and say what is still missing.

    Folders that contradict each other are refused, and nothing is written.
    """
    from dvbench import console
    from dvbench.results import Store
    from dvbench.results.merging import merge as merge_stores
    from leaderboard.plans import results_store

    for merged in merge_stores([results_store(source) for source in sources], Store(into)):
        line = f"{merged.suite}: {merged.cells} cells, {merged.copied} copied, {len(merged.missing)} missing"
        console.say(line + (f", {len(merged.failed)} failed" if merged.failed else ""))
        for cell in merged.missing[:MISSING_SHOWN]:
            console.say(f"missing: {cell.key}")
        if len(merged.missing) > MISSING_SHOWN:
            console.say(f"missing: {len(merged.missing) - MISSING_SHOWN} more")


def figures(
    suite: Annotated[str, typer.Argument(help="Name of a suite that has results.")],
    results: ResultsOption = RUNS,
    out: Annotated[
        Path | None,
        typer.Option(
            help="Folder to write to. By default the folder 'figures/SUITE' in the results folder.", metavar="DIR"
        ),
    ] = None,
) -> None:
    """Write the tables and figures of the papers from results, next to the published numbers."""
    from leaderboard.figures import write_figures

    for path in write_figures(results, suite, out or results / "figures" / suite):
        typer.echo(path)
