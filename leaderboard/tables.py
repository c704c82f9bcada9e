"""What the leaderboard shows, as tables of plain text: one source for the Markdown, the HTML and the console.

Nothing here is escaped, and everything is untrusted: each rendering escapes for its own format.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import pandas as pd

from leaderboard import statistics
from leaderboard.statistics import records
from leaderboard.suite_scores import SuiteScores, weakest
from leaderboard.text import clean

MEGABYTE = 1e6


@dataclass(frozen=True)
class Entry:
    """One place of a table.

    ``text`` is what it says, ``note`` something small beside it (a rank, a metric) and ``alarm`` what is wrong with it
    (failed or missing). ``best`` stands out.
    """

    text: str
    note: str = ""
    alarm: str = ""
    best: bool = False


@dataclass(frozen=True)
class Table:
    """A titled table; the first column names the rows."""

    title: str
    header: tuple[Entry, ...]
    rows: tuple[tuple[Entry, ...], ...]


@dataclass(frozen=True)
class Failure:
    """Scores that failed, or do not count, for one reason."""

    evaluator: str
    problem: str
    tasks: str
    seeds: str
    error: str


@dataclass(frozen=True)
class SuiteReport:
    """All there is to show of one suite; ``ranking``, ``summary`` and ``cost`` are what `statistics` says."""

    suite: str
    version: int
    description: str
    seeds: int
    overall: Table
    problems: tuple[Table, ...]
    failures: tuple[Failure, ...]
    costs: tuple[Table, ...]
    headlines: tuple[tuple[str, str], ...]
    remarks: tuple[str, ...]
    csv: str
    ranking: pd.DataFrame
    summary: pd.DataFrame
    cost: pd.DataFrame


def report(stand: SuiteScores) -> SuiteReport:
    """Gather what is to be shown of a suite.

    Returns
    -------
    SuiteReport
        Evaluators are sorted by their mean rank, best first, in every table.
    """
    scores, cost = stand.scores, statistics.cost(stand.cells)
    summary, overall = statistics.summary(scores), statistics.overall(scores, stand.random)
    order = overall["evaluator"].tolist()
    problems = [_problem_table(name, group, order) for name, group in groups(summary, "problem")]
    return SuiteReport(
        suite=stand.suite,
        version=stand.version,
        description=clean(stand.description),
        seeds=scores["seed"].nunique(),
        overall=_overall_table(overall, cost, marks(stand.cells)),
        problems=tuple(problems),
        failures=_failures(scores, order),
        costs=tuple(_cost_table(name, group, order) for name, group in groups(cost, "problem")),
        headlines=_headlines(summary),
        remarks=tuple(clean(each) for each in stand.remarks),
        csv=_csv(summary, cost, order),
        ranking=overall,
        summary=summary,
        cost=cost,
    )


def rows_for_console(stand: SuiteScores) -> tuple[list[str], list[list[str]]]:
    """One narrow table of a suite for a terminal; the details are on the page.

    Returns
    -------
    headers : list of str
        Evaluator, mean rank, each task with an arrow, mean seconds of a valuation; failed and missing where there are
        any.
    rows : list of list of str
        As many strings as there are headers, best evaluator first. A task's entry is the mean of its headline over
        problems and seeds; ``*`` marks one over some of them. Plain text from results: escape it for rich.
    """
    scores, cost = stand.scores, statistics.cost(stand.cells)
    seconds = statistics.seconds(cost)
    headers, means = ["evaluator", "rank"], []
    for task, group in scores.groupby("task", sort=False):
        up = arrow(bool(group["higher_is_better"].iloc[0]))
        headers.append(f"{clean(str(task))} {up}".replace("_", " "))
        by_evaluator = group.groupby("evaluator")["value"].agg(["mean", "count", "size"])
        means.append(
            {
                name: f"{row['mean']:.2f}{'' if row['count'] == row['size'] else '*'}" if row["count"] else "-"
                for name, row in by_evaluator.iterrows()
            }
        )
    overall = statistics.overall(scores)
    counts = [count for count in ("n_failed", "n_missing") if overall[count].any()]
    rows = [
        [
            row["evaluator"],
            f"{row['mean_rank']:.1f}",
            *(column.get(row["evaluator"], "") for column in means),
            "" if math.isnan(seconds[row["evaluator"]]) else f"{seconds[row['evaluator']]:.1f}",
            *(str(row[count]) for count in counts),
        ]
        for row in records(overall)
    ]
    return [*headers, "sec", *(count.removeprefix("n_") for count in counts)], rows


def arrow(higher_is_better: bool) -> str:
    """Which way is better: ↑ or ↓."""
    return "↑" if higher_is_better else "↓"


def number(value: float, decimals: int = 3) -> str:
    """Write a number of any size briefly and always alike; nothing for NaN.

    Numbers that ``decimals`` would show as 0 are written with an exponent, and from 1000 on without decimals.
    """
    if math.isnan(value):
        return ""
    if value and (abs(value) < 0.5 * 10**-decimals or abs(value) >= 1e7):
        return f"{value:.2e}"
    return f"{value:.0f}" if abs(value) >= 1000 else f"{value:.{decimals}f}"


def with_interval(mean: float, half_width: float, decimals: int = 3) -> str:
    """``mean ± half_width`` to the same decimals, or the mean alone if it has no interval."""
    shown = number(mean, decimals)
    if math.isnan(half_width):
        return shown
    fraction = len(shown.partition(".")[2])
    return f"{shown} ± {half_width:.2e}" if "e" in shown else f"{shown} ± {half_width:.{fraction}f}"


def between(mean: float, low: float, high: float, decimals: int = 3) -> str:
    """``mean [low, high]`` to the same decimals, or the mean alone if it has no interval."""
    shown = number(mean, decimals)
    return shown if math.isnan(low) else f"{shown} [{number(low, decimals)}, {number(high, decimals)}]"


def groups(frame: pd.DataFrame, by: str) -> list[tuple[str, pd.DataFrame]]:
    """Parts of a table by what a column says, in the order in which they come."""
    return [(str(name), group) for name, group in frame.groupby(by, sort=False)]


def marks(cells: pd.DataFrame) -> dict[str, str]:
    """The weakest mark of each evaluator's cells that are ok."""
    ok = cells[cells["status"] == "ok"]
    return {str(name): weakest(each) for name, each in ok.groupby("evaluator")["mark"]}


def _overall_table(overall: pd.DataFrame, cost: pd.DataFrame, marked: dict[str, str]) -> Table:
    seconds = statistics.seconds(cost)
    header = ["evaluator", "rank", "mean rank [95% interval]", "normalised", "ok", "failed", "missing", "mean seconds"]
    rows = []
    for row in records(overall):
        entries = [
            Entry(row["evaluator"], best=row["rank"] == 1 and row["n_ok"] > 0),
            Entry(str(row["rank"])),
            Entry(between(row["mean_rank"], row["low"], row["high"], 2)),
            Entry(number(row["normalised"], 2)),
            Entry(str(row["n_ok"])),
            Entry("" if row["n_failed"] else "0", alarm=str(row["n_failed"] or "")),
            Entry("" if row["n_missing"] else "0", alarm=str(row["n_missing"] or "")),
            Entry(number(seconds[row["evaluator"]], 2)),
            Entry(marked.get(row["evaluator"], "")),
        ]
        rows.append(tuple(entries))
    return Table("Overall", tuple(map(Entry, [*header, "scores are"])), tuple(rows))


def _problem_table(problem: str, summary: pd.DataFrame, order: list[str]) -> Table:
    columns = groups(summary, "task")
    header = [
        Entry(clean(task), note=clean(f"{group['metric'].iloc[0]} {arrow(bool(group['higher_is_better'].iloc[0]))}"))
        for task, group in columns
    ]
    entries = {
        (row["evaluator"], task): _score_entry(row, row["rank"] == group["rank"].min())
        for task, group in columns
        for row in records(group)
    }
    planned = set(summary["evaluator"])
    rows = [
        (Entry(evaluator), *(entries.get((evaluator, task), Entry("not planned")) for task, _ in columns))
        for evaluator in order
        if evaluator in planned
    ]
    return Table(problem, (Entry("evaluator"), *header), tuple(rows))


def _score_entry(row: dict[str, Any], first: bool = False) -> Entry:
    """``mean ± ci`` with its rank, and how many seeds failed or are missing."""
    counts = {"failed": row["n_failed"], "missing": row["n_missing"]}
    if not row["n_ok"]:
        return Entry("", alarm=" and ".join(name for name, count in counts.items() if count))
    lacks = ", ".join(f"{count} {name}" for name, count in counts.items() if count)
    return Entry(with_interval(row["mean"], row["ci"]), note=f"#{row['rank']:g}", alarm=lacks, best=first)


def _cost_table(problem: str, cost: pd.DataFrame, order: list[str]) -> Table:
    header = ["evaluator", "seconds", "fits", "unlearned", "memory, MB", "GPU memory, MB"]
    rows = []
    for row in sorted(records(cost), key=lambda row: order.index(row["evaluator"])):
        counts = [number(row[name], 0) for name in ("fits", "unlearned")]
        memory = [number(row[name] / MEGABYTE, 1) for name in ("peak_memory", "peak_cuda_memory")]
        rows.append(tuple(map(Entry, [row["evaluator"], number(row["seconds"], 2), *counts, *memory])))
    return Table(problem, tuple(map(Entry, header)), tuple(rows))


def _failures(scores: pd.DataFrame, order: list[str]) -> tuple[Failure, ...]:
    """Every reason given, with the tasks and seeds it was given for: a failed valuation is told once."""
    told = scores[scores["error"] != ""]
    planned = scores.groupby(["evaluator", "problem"])["task"].nunique().to_dict()
    failures = []
    for keys, group in told.groupby(["evaluator", "problem", "error"], sort=False):
        evaluator, problem, error = map(str, keys)
        names = group["task"].unique()
        tasks = "all tasks" if len(names) == planned[evaluator, problem] else clean(", ".join(names))
        seeds = sorted(group["seed"].unique())
        when = f"seed{'s' if len(seeds) > 1 else ''} {', '.join(map(str, seeds))}"
        failures.append(Failure(evaluator, problem, tasks, when, clean(error) or "no reason given"))
    return tuple(sorted(failures, key=lambda each: order.index(each.evaluator)))


def _headlines(summary: pd.DataFrame) -> tuple[tuple[str, str], ...]:
    """Task and headline metric, in words, once for all problems that agree."""
    words = {True: "higher is better", False: "lower is better"}
    known = summary[summary["metric"] != ""]
    told = zip(known["task"], known["metric"], known["higher_is_better"], strict=True)
    return tuple(
        dict.fromkeys((clean(task), clean(f"{metric}, {words[bool(up)]} {arrow(up)}")) for task, metric, up in told)
    )


def _csv(summary: pd.DataFrame, cost: pd.DataFrame, order: list[str]) -> str:
    """Everything in one tidy file, numbers in six significant digits."""
    costs = cost.assign(
        peak_memory_mb=cost["peak_memory"] / MEGABYTE, gpu_memory_mb=cost["peak_cuda_memory"] / MEGABYTE
    )
    columns = [
        "problem",
        "task",
        "metric",
        "evaluator",
        "mean",
        "ci",
        "low",
        "high",
        "rank",
        "n_ok",
        "n_failed",
        "n_missing",
    ]
    columns += ["seconds", "fits", "unlearned", "peak_memory_mb", "gpu_memory_mb"]
    rows = summary.merge(costs, on=["problem", "evaluator"], how="left")
    places = {name: list(rows[name].unique()) for name in statistics.COLUMN} | {"evaluator": order}
    rows = rows.sort_values(list(places), key=lambda names: names.map(places[str(names.name)].index), kind="stable")
    return rows[columns].to_csv(index=False, float_format="%.6g", lineterminator="\n")
