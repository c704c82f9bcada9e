"""The data that scripts on the pages read: scores of a suite, and the curves of an evaluator.

Pages that are opened from a disk may load scripts but fetch no files, so data come as scripts that call a function.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from typing import Any

import numpy as np

from leaderboard.statistics import records
from leaderboard.suite_scores import CELL, COLUMN, SuiteScores
from leaderboard.tables import SuiteReport

PROBLEM = ["problem", "dataset", "model", "noise", "players", "level"]
# Curves that others are drawn over, and lines that have a point an epoch.
AXES = {"fraction": "share of players", "log10_loss": "log10 of the loss", "step": "steps of unlearning"}
EPOCHS = ("train_loss", "test_loss")


def suite_data(stand: SuiteScores, report: SuiteReport) -> dict[str, Any]:
    """All scores of a suite, small enough to be loaded with its pages.

    Returns
    -------
    dict
        ``columns`` has for every (problem, task) one list of scores a seed, in the order of ``evaluators``: null where
        there is none, false where none was planned. So has every problem the mean seconds of their valuations.
    """
    evaluators = list(stand.cells["evaluator"].unique())
    problems = stand.cells.drop_duplicates("problem")[PROBLEM].rename(columns={"problem": "name"})
    places = {name: place for place, name in enumerate(problems["name"])}
    columns: dict[tuple[str, str], dict[str, Any]] = {}
    for row in records(stand.scores[[*COLUMN, "evaluator", "seed", "value", "metric", "higher_is_better"]]):
        about = {name: row[name] for name in ("task", "metric")} | {"problem": places[row["problem"]]}
        column = about | {"up": bool(row["higher_is_better"]), "values": {}}
        seeds = columns.setdefault((row["problem"], row["task"]), column)["values"]
        seeds.setdefault(row["seed"], dict.fromkeys(evaluators, False))[row["evaluator"]] = short(row["value"])
    told = [
        each | {"values": [list(each["values"][seed].values()) for seed in sorted(each["values"])]}
        for each in columns.values()
    ]
    seconds = {
        (row["problem"], row["evaluator"]): short(row["seconds"]) if row["complete"] else None
        for row in records(report.cost)
    }
    return {
        "suite": stand.suite,
        "evaluators": _evaluators(stand, evaluators),
        "problems": [
            problem | {"seconds": [seconds.get((problem["name"], evaluator), False) for evaluator in evaluators]}
            for problem in records(problems)
        ],
        "columns": told,
    }


def _evaluators(stand: SuiteScores, names: list[str]) -> list[dict[str, Any]]:
    devices = stand.cells[stand.cells["status"] == "ok"].groupby("evaluator")["device"].unique()
    return [{"name": name, "hardware": sorted(devices.get(name, [])), "random": name in stand.random} for name in names]


def charts(curves: Iterable[tuple[str, str, int, dict[str, np.ndarray]]]) -> list[dict[str, Any]]:
    """Charts of an evaluator: the mean over seeds of the curves of each problem and task.

    Parameters
    ----------
    curves : iterable of (problem, task, seed, curves)

    Returns
    -------
    list of dict
        ``problem``, ``task``, ``axis`` (what x is), ``x`` and ``lines`` by name. Where seeds have other x, it is the
        first one's.
    """
    groups: dict[tuple[str, str], list[dict[str, np.ndarray]]] = {}
    for problem, task, _, lines in curves:
        groups.setdefault((problem, task), []).append(lines)
    found = []
    for (problem, task), seeds in groups.items():
        first = seeds[0]
        alike = [
            lines
            for lines in seeds
            if lines.keys() == first.keys()
            and all(lines[name].shape == first[name].shape for name in first)
            and all(np.array_equal(lines[name], first[name]) for name in AXES if name in first)
        ]
        drawn: dict[str, dict[str, Any]] = {}
        for name in first:
            if name in AXES:
                continue
            axis = _axis(name, first)
            # Another seed, other subsets: the third player of one is not that of another.
            meant = alike[:1] if axis == "player" else alike
            mean = np.mean([lines[name] for lines in meant], axis=0)
            x = first[axis] if axis in first else np.arange(len(mean), dtype=np.float32)
            chart = {
                "axis": AXES.get(axis, axis),
                "seeds": len(meant),
                "x": [short(float(value)) for value in x],
                "lines": {},
            }
            drawn.setdefault(axis, chart)["lines"][name] = [short(value) for value in mean]
        found += [{"problem": problem, "task": task, **chart} for chart in drawn.values()]
    return found


def _axis(name: str, lines: dict[str, np.ndarray]) -> str:
    """What a line is drawn over: a curve beside it, epochs, or players."""
    if name in EPOCHS:
        return "epoch"
    for axis in AXES:
        alike = axis in lines and len(lines[axis]) == len(lines[name])
        if alike and (axis != "step" or name.startswith("unlearning_")):
            return axis
    return "player"


def script(function: str, *arguments: Any) -> bytes:
    """A script that calls a function of ``dvbench`` with data, which cannot become anything else."""
    told = ",".join(json.dumps(each, separators=(",", ":"), allow_nan=False) for each in arguments)
    for unsafe in "<>&":
        told = told.replace(unsafe, f"\\u{ord(unsafe):04x}")
    return f"dvbench.{function}({told});\n".encode()


def download(stand: SuiteScores) -> bytes:
    """Every planned score, one a line of a JSON list."""
    frame = stand.scores.merge(stand.cells[[*CELL, "mark"]], on=CELL).drop(columns=["metrics", "id"])
    lines = frame.to_json(orient="records", lines=True, double_precision=15).splitlines()
    told = json.dumps({"suite": stand.suite, "version": stand.version})
    return (told[:-1] + ', "scores": [\n' + ",\n".join(lines) + "\n]}\n").encode()


def short(value: float) -> float | None:
    """Nine significant digits; None for what is no number."""
    return float(f"{value:.9g}") if math.isfinite(value) else None
