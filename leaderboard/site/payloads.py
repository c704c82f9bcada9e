"""The data that scripts on the pages read: scores of a suite, and the curves of an evaluator.

Pages that are opened from a disk can load scripts but not fetch files, so the data are scripts that call a function.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from leaderboard.index import ScoreCurves
from leaderboard.intervals import quantile
from leaderboard.reference_models import model_scores
from leaderboard.site.rounding import short
from leaderboard.site.unlearning_speed import unlearning_speed
from leaderboard.statistics import SuiteStatistics, records
from leaderboard.suite_scores import CELL, COLUMN, SuiteScores
from leaderboard.tables import marks
from leaderboard.text import clean

PROBLEM = ["problem", "dataset", "model", "noise", "players", "level"]
# Labels of known x axes; others are labelled by their names.
AXIS_LABELS = {"fraction": "fraction of players", "log10_loss": "log10 of the loss", "step": "steps of unlearning"}
# One player, or coalition, of a seed is not the same as that of another seed.
PER_SEED = ("player", "coalition")
_OF_SCORES = [*COLUMN, "evaluator", "seed", "value", "status", "metric", "higher_is_better", "lowest", "highest"]
# Curves by player or coalition that others are compared with: they are the x axis of points.
COMPARED = {"value": "data value", "summed": "sum of data values"}


@dataclass(frozen=True)
class SeedCurves:
    """The curves of a task for one problem and seed."""

    problem: str
    seed: int
    curves: ScoreCurves


def suite_data(suite: SuiteScores, numbers: SuiteStatistics) -> dict[str, Any]:
    """Collect all scores of a suite, small enough to be loaded with its pages.

    Returns
    -------
    dict
        ``columns`` has for every (problem, task) one list of scores per seed, in the order of ``evaluators``: null for
        a planned score that does not exist, false for one that is not planned, and "declined". In the same order every
        problem has the median ``seconds`` of the valuations, false if it is not planned or declined. Columns of
        unlearning tasks have the scores per seed of the retrained and the full model as ``models``. ``speed`` has the
        ratios of seconds by size of unlearning methods, and ``quantiles`` those of intervals by number of seeds.
    """
    evaluators = list(suite.cells["evaluator"].unique())
    problems = suite.cells.drop_duplicates("problem")[PROBLEM].rename(columns={"problem": "name"})
    positions = {name: position for position, name in enumerate(problems["name"])}
    columns: dict[tuple[str, str], dict[str, Any]] = {}
    for row in records(suite.scores[_OF_SCORES]):
        names = {name: row[name] for name in ("task", "metric")} | {"problem": positions[row["problem"]]}
        column = names | {"up": bool(row["higher_is_better"]), "range": [short(row["lowest"]), short(row["highest"])]}
        column |= {"values": {}}
        seeds = columns.setdefault((row["problem"], row["task"]), column)["values"]
        value = row["status"] if row["status"] == "declined" else short(row["value"])
        seeds.setdefault(row["seed"], dict.fromkeys(evaluators, False))[row["evaluator"]] = value
    for row in records(model_scores(suite.scores)):
        models = columns[row["problem"], row["task"]].setdefault("models", {})
        models.setdefault(row["model"], []).append(short(row["value"]))
    by_seed = [
        column | {"values": [list(column["values"][seed].values()) for seed in sorted(column["values"])]}
        for column in columns.values()
    ]
    seconds = {
        (row["problem"], row["evaluator"]): short(row["seconds"]) if row["complete"] else None
        for row in records(numbers.cost)
        if not (row["complete"] and math.isnan(row["seconds"]))  # declined in all seeds: there is nothing to measure
    }
    return {
        "suite": suite.name,
        "evaluators": _evaluators(suite, evaluators),
        "problems": [
            problem | {"seconds": [seconds.get((problem["name"], evaluator), False) for evaluator in evaluators]}
            for problem in records(problems)
        ],
        "columns": by_seed,
        "speed": unlearning_speed(suite)["lines"],
        "quantiles": {n: short(quantile(n)) for n in range(2, suite.cells["seed"].nunique() + 1)},
    }


def _evaluators(suite: SuiteScores, names: list[str]) -> list[dict[str, Any]]:
    devices = suite.cells[suite.cells["status"] == "ok"].groupby("evaluator")["device"].unique()
    weakest = marks(suite.cells)
    return [
        {
            "name": name,
            "hardware": sorted(devices.get(name, [])),
            "role": suite.roles.get(name, ""),
            "mark": weakest.get(name, ""),
        }
        for name in names
    ]


def charts(curves: Iterable[SeedCurves]) -> list[dict[str, Any]]:
    """Make the charts of an evaluator: means over seeds of the curves of each problem and task.

    Returns
    -------
    list of dict
        ``problem``, ``task``, ``axis`` (the label of x), ``x``, ``seeds`` (how many the means are over), ``lines`` by
        name, and ``bands``: the lowest and the highest seed of each line of several. Only seeds with the same x as the
        first one are averaged. ``points`` says that lines are points: what is compared by player or coalition is drawn
        over the data values.
    """
    groups: dict[tuple[str, str], list[ScoreCurves]] = {}
    for seed in curves:
        groups.setdefault((seed.problem, seed.curves.task), []).append(seed.curves)
    return [
        {"problem": problem, "task": task, **chart}
        for (problem, task), seeds in groups.items()
        for chart in _charts_of_task(seeds)
    ]


def _charts_of_task(seeds: list[ScoreCurves]) -> list[dict[str, Any]]:
    """Make one chart per x axis."""
    first = seeds[0]
    x_curves = {axis for axis in first.axes.values() if axis in first.lines}
    comparable = [seed for seed in seeds if _comparable(seed, first, x_curves)]
    made: dict[str, dict[str, Any]] = {}
    for name in first.lines:
        if name in x_curves:
            continue
        axis = first.axes.get(name, "player")
        averaged = comparable[:1] if axis in PER_SEED else comparable
        lines = np.array([seed.lines[name] for seed in averaged])
        mean = lines.mean(axis=0)
        x = first.lines[axis] if axis in first.lines else np.arange(len(mean), dtype=np.float32)
        chart = {
            "axis": AXIS_LABELS.get(axis, clean(axis).replace("_", " ")),
            "seeds": len(averaged),
            "x": [short(float(value)) for value in x],
            "lines": {},
            "bands": {},
        }
        made.setdefault(axis, chart)["lines"][name] = [short(value) for value in mean]
        if np.ptp(lines, axis=0).any():
            ends = (lines.min(axis=0), lines.max(axis=0))
            made[axis]["bands"][name] = [[short(float(f"{value:.4g}")) for value in end] for end in ends]
    return [_over_values(chart) if axis in PER_SEED else chart for axis, chart in made.items()]


def _over_values(chart: dict[str, Any]) -> dict[str, Any]:
    """Draw the lines of a chart as points, over the data values if it has these and something to compare."""
    name = next((name for name in COMPARED if name in chart["lines"]), "")
    if not name or len(chart["lines"]) < 2:
        return chart | {"points": True}
    others = {other: line for other, line in chart["lines"].items() if other != name}
    return chart | {"axis": COMPARED[name], "x": chart["lines"][name], "lines": others, "bands": {}, "points": True}


def _comparable(seed: ScoreCurves, first: ScoreCurves, x_curves: set[str]) -> bool:
    """Whether two seeds have curves of the same names and lengths, over the same x."""
    return (
        seed.lines.keys() == first.lines.keys()
        and seed.axes == first.axes
        and all(seed.lines[name].shape == first.lines[name].shape for name in first.lines)
        and all(np.array_equal(seed.lines[name], first.lines[name]) for name in x_curves)
    )


def script(function: str, *arguments: Any) -> bytes:
    """Write a script that calls a function of ``dvbench`` with data, which are escaped: they cannot end the script."""
    data = ",".join(json.dumps(argument, separators=(",", ":"), allow_nan=False) for argument in arguments)
    for unsafe in "<>&":
        data = data.replace(unsafe, f"\\u{ord(unsafe):04x}")
    return f"dvbench.{function}({data});\n".encode()


def download(suite: SuiteScores) -> bytes:
    """Write every planned score as JSON, one line per score."""
    frame = suite.scores.drop(columns=["metrics", "id", "lowest", "highest"]).merge(
        suite.cells[[*CELL, "mark"]], on=CELL
    )
    lines = frame.to_json(orient="records", lines=True, double_precision=15).splitlines()
    header = json.dumps({"suite": suite.name, "version": suite.version})
    return (header[:-1] + ', "scores": [\n' + ",\n".join(lines) + "\n]}\n").encode()
