"""Tables of plain text, made from scores and statistics; Markdown, HTML and the console show the same tables.

The texts are untrusted and not escaped: each output format escapes them in its own way.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
from statistics import fmean
from typing import Any

import pandas as pd

from dvbench.results.submissions import CLEAR_GAP
from leaderboard import statistics
from leaderboard.intervals import IN_WORDS
from leaderboard.statistics import SuiteStatistics, records
from leaderboard.suite_scores import COLUMN, SuiteScores, weakest
from leaderboard.text import OF_DESCRIPTION, clean
from leaderboard.tiers import FEWEST, Tiers

MEGABYTE = 1e6
ROUNDING = 1e-12  # smaller numbers are zeros that were summed in another order
COUNTS = [f"n_{status}" for status in statistics.STATUSES]
SCORES_IN_WORDS = (
    f"Mean [interval] over the n seeds that are ok; the interval is {IN_WORDS}. The rank (#) is that of the mean rank "
    "over all seeds, in which failed and missing scores are last; reference rows and declined scores have none."
)
RANKS_IN_WORDS = (
    "The rank is an interval: it contains the ranks that the data leave possible, so that evaluators which cannot be "
    "told apart share them. With a probability of at least 95% all intervals of a table hold the true ranks. They "
    "follow from sign-change tests of all pairs of evaluators, with a step-down correction for the number of pairs. A "
    "tier begins with the best evaluator that is worse than the first of the tier before."
)
REFERENCES_IN_WORDS = (
    "Reference rows are compared with and not ranked: random values, oracles, references such as training on all "
    "points, ablations, and evaluators that decline most of the suite."
)
DECLINED_IN_WORDS = (
    "Declined: the evaluator does not apply to a problem of this kind. It is compared on the others, and what it "
    "declines does not count against it."
)
CEILING_IN_WORDS = (
    "Ceiling: what values reach that are exact but for the randomness of training, by models trained again with other "
    "initial weights and minibatches. The percentage is the mean score as a share of it, where it is at least 0.1, and "
    "of several problems the mean of their shares; above 100% is possible, because the references of both trainings "
    "are noisy."
)
COSTS_IN_WORDS = "Cost of the valuation without scoring, medians over the seeds whose valuation is ok."
SECONDS_IN_WORDS = "Processor seconds, or seconds of a GPU; medians over seeds, then means over problems."
FRESH_IN_WORDS = (
    "Re-run on fresh seeds: the evaluator was also run on problems of seeds that nobody could know. The gap says by "
    "how much its claimed scores are better than its fresh ones, on average over problems and tasks. It is red (⚠ in "
    f"Markdown) if, in one problem and task or more, the gap is above {CLEAR_GAP:g} and every claimed score is better "
    "than every fresh one, or if the evaluator failed on a fresh seed."
)
CSV_COLUMNS = [
    *("problem", "task", "metric", "evaluator", "mean", "low", "high", "rank", *COUNTS),
    *("seconds", "fits", "unlearned", "peak_memory_mb", "gpu_memory_mb"),
]


@dataclass(frozen=True)
class Entry:
    """One entry of a table.

    ``note`` is shown in small letters after ``text`` (a rank, a metric), ``alarm`` in red (failed or missing), and an
    entry that is ``best`` in bold.
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
    """Scores of an evaluator on a problem that failed, are declined or do not count, for the same reason."""

    evaluator: str
    problem: str
    tasks: str
    seeds: str
    error: str
    declined: bool = False


@dataclass(frozen=True)
class SuiteTables:
    """The tables and texts of one suite; in every table evaluators are sorted by their mean rank, best first.

    Reference rows are in a table of their own, and last in the tables of problems.

    Parameters
    ----------
    suite : str
    description : str
    overall, references : Table
    separable : str
        How many neighbouring ranks the data tell apart, and what that holds for.
    problems, costs : tuple of Table
        One table per problem.
    failures : tuple of Failure
    headlines : tuple of (str, str)
        Each task with its headline metric in words.
    has_ceilings : bool
        Whether a score has a ceiling, which is then to be explained.
    remarks : tuple of str
    """

    suite: str
    description: str
    overall: Table
    references: Table
    separable: str
    problems: tuple[Table, ...]
    costs: tuple[Table, ...]
    failures: tuple[Failure, ...]
    headlines: tuple[tuple[str, str], ...]
    has_ceilings: bool
    remarks: tuple[str, ...]


def suite_tables(suite: SuiteScores, numbers: SuiteStatistics) -> SuiteTables:
    """Make the tables of a suite from its statistics."""
    order = _order(numbers)
    return SuiteTables(
        suite=suite.name,
        description=clean(suite.description, OF_DESCRIPTION),
        overall=_overall_table(numbers, marks(suite.cells), gaps(suite)),
        references=_reference_table(numbers, marks(suite.cells)),
        separable=separable(numbers.tiers),
        problems=tuple(_problem_table(name, group, order) for name, group in groups(numbers.summary, "problem")),
        costs=tuple(_cost_table(name, group, order) for name, group in groups(numbers.cost, "problem")),
        failures=_failures(suite.scores, order),
        headlines=_headlines(numbers.summary),
        has_ceilings=bool(numbers.summary["ceiling"].notna().any()),
        remarks=tuple(clean(remark) for remark in suite.remarks),
    )


def csv_table(numbers: SuiteStatistics) -> str:
    """Write the means and costs of a suite as one tidy CSV table, with six significant digits."""
    cost = numbers.cost
    costs = cost.assign(
        peak_memory_mb=cost["peak_memory"] / MEGABYTE, gpu_memory_mb=cost["peak_cuda_memory"] / MEGABYTE
    )
    rows = numbers.summary.merge(costs, on=["problem", "evaluator"], how="left")
    orders = {name: list(rows[name].unique()) for name in COLUMN} | {"evaluator": _order(numbers)}
    rows = rows.sort_values(list(orders), key=lambda names: names.map(orders[str(names.name)].index), kind="stable")
    with_ceilings = [*CSV_COLUMNS, "ceiling", "share"] if rows["ceiling"].notna().any() else CSV_COLUMNS
    return rows[with_ceilings].to_csv(index=False, float_format="%.6g", lineterminator="\n")


def arrow(higher_is_better: bool) -> str:
    """Return ↑ if higher is better, or else ↓."""
    return "↑" if higher_is_better else "↓"


def number(value: float, decimals: int = 3) -> str:
    """Format a number; NaN gives an empty text.

    Numbers that ``decimals`` would show as 0 have two digits, and those below ``ROUNDING`` are 0, up to which sums are
    rounded. Numbers from 1000 on have no decimals.
    """
    if math.isnan(value):
        return ""
    if abs(value) < ROUNDING:
        value = 0.0
    if value and abs(value) < 0.5 * 10**-decimals:
        return f"{Decimal(f'{value:.2g}'):f}" if abs(value) >= 1e-6 else f"{value:.1e}"
    if abs(value) >= 1e7:
        return f"{value:.2e}"
    return f"{value:.0f}" if abs(value) >= 1000 else f"{value:.{decimals}f}"


def between(mean: float, low: float, high: float, decimals: int = 3) -> str:
    """Format ``mean [low, high]``, or the mean alone if it has no interval."""
    shown = number(mean, decimals)
    return shown if math.isnan(low) else f"{shown} [{number(low, decimals)}, {number(high, decimals)}]"


def rank_interval(row: Mapping[str, Any]) -> str:
    """Write the interval of an overall rank, such as ``1-4``; a reference row has none."""
    if math.isnan(row["first"]):
        return ""
    return f"{row['first']:.0f}" if row["first"] == row["last"] else f"{row['first']:.0f}-{row['last']:.0f}"


def separable(tiers: Tiers) -> str:
    """Say how many neighbouring ranks the data tell apart, and what that holds for; nothing of one rank or none."""
    if not tiers.neighbours:
        return ""
    said = f"{tiers.separable} of {tiers.neighbours} neighbouring ranks are separable."
    if tiers.table["tier"].max() > 1:
        said += " Evaluators further apart can differ: the first of a tier is worse than the first of the one before."
    few = (
        f"These are fewer than {FEWEST} problems, so ranks hold for these with other seeds, and not for other problems."
    )
    return said if tiers.observations == "problems" else f"{said} {few}"


def share(row: dict[str, Any]) -> str:
    """Write a mean score as a share of its ceiling, after a comma; empty if there is none."""
    return "" if math.isnan(row["share"]) else f", {row['share']:.0%}"


def groups(frame: pd.DataFrame, by: str) -> list[tuple[str, pd.DataFrame]]:
    """Split a table by the values of a column, in the order in which they occur."""
    return [(str(name), group) for name, group in frame.groupby(by, sort=False)]


def marks(cells: pd.DataFrame) -> dict[str, str]:
    """Return the weakest mark of each evaluator's cells that are ok."""
    ok = cells[cells["status"] == "ok"]
    return {str(name): weakest(cell_marks) for name, cell_marks in ok.groupby("evaluator")["mark"]}


def gaps(suite: SuiteScores, with_worst: bool = True) -> dict[str, Entry]:
    """Say by how much the claimed scores of evaluators are better than those of fresh seeds; an alarm if in doubt.

    It is the mean over problems and tasks, and also the largest one ``with_worst``.
    """
    entries = {}
    for name, run in suite.fresh.items():
        if run.gaps:
            worst = max(run.gaps, key=lambda where: run.gaps[where])
            text = f"gap {number(fmean(run.gaps.values()))}"
            text += f", at most {number(run.gaps[worst])} in {clean(worst)}" if with_worst else ""
            entries[name] = Entry("", alarm=text) if run.doubts else Entry("", note=text)
        elif run.doubts:
            entries[name] = Entry("", alarm="fails on fresh seeds")
    return entries


def _order(numbers: SuiteStatistics) -> list[str]:
    """Return the evaluators, best first."""
    return [str(name) for name in numbers.ranking["evaluator"]]


def _overall_table(numbers: SuiteStatistics, marks: dict[str, str], gaps: dict[str, Entry]) -> Table:
    seconds = statistics.seconds(numbers.cost)
    header = ["evaluator", "tier", "rank", "mean rank", "normalised"]
    header += [*statistics.STATUSES, "mean seconds", "scores are"]
    rows = []
    for row in records(numbers.ranking[numbers.ranking["role"] == ""]):
        entries = [
            Entry(row["evaluator"], best=row["tier"] == 1 and row["n_ok"] > 0),
            Entry(number(row["tier"], 0)),
            Entry(rank_interval(row)),
            Entry(number(row["mean_rank"], 2)),
            Entry(number(row["normalised"], 2)),
            *_counts(row),
            Entry(number(seconds[row["evaluator"]], 2)),
            replace(gaps.get(row["evaluator"], Entry("")), text=marks.get(row["evaluator"], "")),
        ]
        rows.append(tuple(entries))
    return Table("Overall", tuple(map(Entry, header)), tuple(rows))


def _reference_table(numbers: SuiteStatistics, marks: dict[str, str]) -> Table:
    seconds = statistics.seconds(numbers.cost)
    header = ["reference row", "role", "normalised", *statistics.STATUSES, "mean seconds", "scores are"]
    rows = [
        (
            Entry(row["evaluator"]),
            Entry(row["role"]),
            Entry(number(row["normalised"], 2)),
            *_counts(row),
            Entry(number(seconds[row["evaluator"]], 2)),
            Entry(marks.get(row["evaluator"], "")),
        )
        for row in records(numbers.ranking[numbers.ranking["role"] != ""])
    ]
    return Table("Reference rows", tuple(map(Entry, header)), tuple(rows))


def _counts(row: dict[str, Any]) -> list[Entry]:
    """Numbers of scores that are ok, failed, missing and declined."""
    failed, missing = (
        Entry("" if row[name] else "0", alarm=str(row[name] or "")) for name in ("n_failed", "n_missing")
    )
    return [Entry(str(row["n_ok"])), failed, missing, Entry(str(row["n_declined"]))]


def _problem_table(problem: str, summary: pd.DataFrame, order: list[str]) -> Table:
    columns = groups(summary, "task")
    seeds = {task: int(group[COUNTS].sum(axis=1).max()) for task, group in columns}
    header = [Entry(clean(task), note=clean(_measure(group, seeds[task]))) for task, group in columns]
    entries = {
        (row["evaluator"], task): _score_entry(row, seeds[task], row["rank"] == group["rank"].min())
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


def _measure(summary: pd.DataFrame, seeds: int) -> str:
    """Write the headline metric of a task with its direction, the number of seeds, and the ceiling if there is one."""
    ceiling = summary["ceiling"].mean()
    stated = "" if math.isnan(ceiling) else f", ceiling {number(ceiling, 2)}"
    return f"{summary['metric'].iloc[0]} {arrow(bool(summary['higher_is_better'].iloc[0]))}, n = {seeds}{stated}"


def _score_entry(row: dict[str, Any], seeds: int, first: bool = False) -> Entry:
    """Make an entry of the mean, its interval and rank, and the numbers of failed and missing seeds.

    The number of seeds in the mean is written where it is not that of the header.
    """
    counts = {"failed": row["n_failed"], "missing": row["n_missing"]}
    if not row["n_ok"] and row["n_declined"] and not any(counts.values()):
        return Entry("", note="declined")
    if not row["n_ok"]:
        return Entry("", alarm=" and ".join(name for name, count in counts.items() if count))
    lacking = ", ".join(f"{count} {name}" for name, count in counts.items() if count)
    n = "" if row["n_ok"] == seeds else f"n = {row['n_ok']}, "
    shown = between(row["mean"], row["low"], row["high"])
    rank = "" if math.isnan(row["rank"]) else f"#{row['rank']:g}"
    note = f"{n}{rank}".removesuffix(", ") + share(row)
    return Entry(shown, note=note.removeprefix(", "), alarm=lacking, best=first)


def _cost_table(problem: str, cost: pd.DataFrame, order: list[str]) -> Table:
    header = ["evaluator", "seconds", "fits", "unlearned", "memory, MB", "GPU memory, MB"]
    rows = []
    for row in sorted(records(cost), key=lambda row: order.index(row["evaluator"])):
        counts = [number(row[name], 0) for name in ("fits", "unlearned")]
        memory = [number(row[name] / MEGABYTE, 1) for name in ("peak_memory", "peak_cuda_memory")]
        rows.append(tuple(map(Entry, [row["evaluator"], number(row["seconds"], 2), *counts, *memory])))
    return Table(problem, tuple(map(Entry, header)), tuple(rows))


def _failures(scores: pd.DataFrame, order: list[str]) -> tuple[Failure, ...]:
    """List every error with its tasks and seeds; a failed valuation, which fails all tasks, is listed once."""
    failed = scores[scores["error"] != ""]
    planned = scores.groupby(["evaluator", "problem"])["task"].nunique().to_dict()
    failures = []
    for keys, group in failed.groupby(["evaluator", "problem", "error", "status"], sort=False):
        evaluator, problem, error, status = map(str, keys)
        names = group["task"].unique()
        tasks = "all tasks" if len(names) == planned[evaluator, problem] else clean(", ".join(names))
        seeds = sorted(group["seed"].unique())
        when = f"seed{'s' if len(seeds) > 1 else ''} {', '.join(map(str, seeds))}"
        reason = clean(error) or "no reason given"
        failures.append(Failure(evaluator, problem, tasks, when, reason, declined=status == "declined"))
    return tuple(sorted(failures, key=lambda failure: order.index(failure.evaluator)))


def _headlines(summary: pd.DataFrame) -> tuple[tuple[str, str], ...]:
    """List each task with its headline metric in words, once for all problems with the same metric."""
    words = {True: "higher is better", False: "lower is better"}
    known = summary[summary["metric"] != ""]
    rows = zip(known["task"], known["metric"], known["higher_is_better"], strict=True)
    return tuple(
        dict.fromkeys((clean(task), clean(f"{metric}, {words[bool(up)]} {arrow(up)}")) for task, metric, up in rows)
    )
