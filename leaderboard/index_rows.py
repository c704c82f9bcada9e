"""The rows of the index: what it keeps of planned cells, of results and of their scores."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from typing import Any

import numpy as np

from dvbench.results import Cell, Result
from dvbench.settings import ProblemSettings
from leaderboard.text import clean


def _settings(cell: Cell) -> str:
    """Hash the settings that decide the values of a cell; the tasks do not."""
    settings = cell.model_dump(mode="json", exclude={"tasks"})
    return hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()


def _key(cell: Cell) -> dict[str, Any]:
    return cell.key.model_dump(exclude={"suite"}) | {"settings": _settings(cell)}


def planned_row(cell: Cell) -> dict[str, Any]:
    """Return the row of a planned cell."""
    level = "subsets" if cell.problem.groups else "points"
    return _key(cell) | {
        "suite_version": cell.suite_version,
        "tasks": json.dumps(list(dict.fromkeys(cell.tasks))),
        "kind": cell.evaluator.kind,
        "name": clean(cell.evaluator.name),
        "params": json.dumps(cell.evaluator.params, sort_keys=True),
        "dataset": clean(str(cell.problem.dataset)),
        "model": clean(cell.problem.model.name),
        "noise": str(cell.problem.noise) if cell.problem.imbalance is None else _noise(cell.problem),
        "players": clean(str(cell.problem.groups or "points")),
        "level": level if cell.evaluator.kind == "evaluators" else cell.evaluator.kind,
        "source": cell.problem.dataset.model_dump_json(),
    }


def _noise(problem: ProblemSettings) -> str:
    """Noise and rare classes of a problem that has some."""
    return str(problem.imbalance) if problem.noise.kind == "none" else f"{problem.noise}-{problem.imbalance}"


def result_row(result: Result) -> dict[str, Any]:
    """Return the row of a result."""
    environment, data = result.environment, result.dataset
    sizes = data.model_dump(include={"revision", "train", "validation", "test"}) if data else {}
    kind = {"problem_kind": data.kind} if data else {}
    return {
        **_key(result.cell),
        "valued": result.status,
        "error": result.error or "",
        **sizes,
        **kind,
        **(result.cost.model_dump(exclude={"processor_seconds"}) | {"seconds": result.seconds} if result.cost else {}),
        # Of unlearning methods: of the full model, and of unlearning all players at once.
        **{name: result.diagnostics.get(name) for name in ("train_seconds", "unlearn_seconds")},
        "machine": clean(f"{environment.processor} ({environment.cores} cores, {environment.device})"),
        "device": clean(environment.device),
        "object": clean(result.evaluator_object),
        "object_version": clean(result.evaluator_version),
    }


def score_rows(result: Result) -> Iterator[dict[str, Any]]:
    """Yield a row for each score of a result."""
    for task, score in result.scores.items():
        points = [point for line in score.curves.values() for point in line]
        yield {
            "task": task,
            "version": score.version,
            "metric": score.headline,
            "higher_is_better": score.higher_is_better,
            "value": score.value,
            "ceiling": score.ceiling,
            "error": score.error or "",
            "metrics": json.dumps(score.metrics),
            "lengths": json.dumps({name: len(line) for name, line in score.curves.items()}),
            "points": np.asarray(points, dtype=np.float32).tobytes(),
            "axes": json.dumps(score.axes),
        }
