"""Made-up suites that have a score of every task, so that every exhibit is made, on images, texts and points.

Names of metrics and curves are those of published results; numbers are drawn anew, skewed over seeds, so that a median
is no mean. Some scores and some cells are missing.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from pathlib import Path

import numpy as np
from made_up import a_result

from dvbench.registry import entries
from dvbench.results import Cell, CellKey, Dataset, Plan, Score, Store
from dvbench.settings import EvaluatorSettings, Groups, ModelSettings, Noise, ProblemSettings, Sizes, Training
from leaderboard.intervals import metric_range

PUBLISHED = Store(Path(__file__).parents[2] / "results")
SEEDS = (0, 1, 2, 3)
METHODS = [f"method_{k}" for k in range(11)]  # more than there are colours
OWN_SUITES = {name for name, entry in entries("tasks").items() if entry.definition.metadata.get("judges_selection")}
TEMPLATES = ("quick", "unlearning-cpu")  # suites whose tasks are taken; tasks of others have no exhibit of their own
PLANS = [PUBLISHED.plan(suite) for suite in TEMPLATES]
TASKS = {task for plan in PLANS if plan for cell in plan.cells for task in cell.tasks} - OWN_SUITES
UNLEARNING = {name for name in TASKS if entries("tasks")[name].definition.metadata.get("judges_unlearning")}
SUITES = {
    "images": [
        ("cifar10", "classification", Groups(by="classes"), Noise()),
        ("fashion_mnist", "classification", Groups(by="random", count=8), Noise(kind="labels", rate=0.1)),
    ],
    "texts": [("tiny_text", "language", Groups(by="corpora"), Noise())],
    "rows": [("wine", "classification", None, Noise(kind="labels", rate=0.2))],
}


@cache
def _templates() -> dict[str, Score]:
    """One published score of every task."""
    found: dict[str, Score] = {}
    for suite in TEMPLATES:
        for result in PUBLISHED.results(suite):
            found = {name: score for name, score in result.scores.items() if score.error is None} | found
            if suite == "quick" and len(found) == len(TASKS) - len(UNLEARNING):
                break
            if suite != "quick" and set(found) >= UNLEARNING:
                break
    assert set(found) == TASKS
    return found


def _score(task: str, kind: str, rng: np.random.Generator) -> Score:
    """A score of a task with other numbers: metrics in their range, most near one end; curves over the same x."""
    template = _templates()[task]
    axes = set(template.axes.values())
    metrics = {name: float(rng.uniform() ** 4) for name in template.metrics}
    for name in metrics:
        low, high = metric_range(task, name, kind)
        if np.isneginf(low) and np.isfinite(high):
            metrics[name] = high - metrics[name]
    curves = {
        name: curve if name in axes else [float(each) for each in rng.uniform(0.1, 1.0, len(curve))]
        for name, curve in template.curves.items()
    }
    if "log10_loss" in curves and rng.uniform() < 0.5:  # x differs between seeds
        curves["log10_loss"] = [each + 0.5 for each in curves["log10_loss"]]
    return template.model_copy(update={"metrics": metrics, "curves": curves})


def cells_of(suite: str) -> Iterator[tuple[Cell, str]]:
    """Yield the cells of a suite, each with the kind of its problem."""
    tasks = tuple(name for name in entries("tasks") if name in TASKS)
    for dataset, kind, groups, noise in SUITES[suite]:
        problem = ProblemSettings(
            dataset=dataset,
            sizes=Sizes(train=20, validation=10, test=10),
            noise=noise,
            groups=groups,
            model=ModelSettings(name="gpt2_tiny" if kind == "language" else "mlp"),
            training=Training(),
        )
        shown = tasks if groups is not None else tuple(name for name in tasks if name not in UNLEARNING)
        for name in METHODS:
            for seed in SEEDS:
                key = CellKey(suite=suite, problem=problem.title, evaluator=name, seed=seed)
                method = EvaluatorSettings(name=name, kind="evaluators" if groups is None else "unlearning")
                yield Cell(key=key, suite_version=1, problem=problem, evaluator=method, tasks=shown), kind


def write_suite(store: Store, suite: str) -> None:
    """Write a suite. The last method lacks seed 0, and scores of one task are missing here and there."""
    rng, cells = np.random.default_rng(len(suite)), []
    for number, (cell, kind) in enumerate(cells_of(suite)):
        cells.append(cell)
        if cell.key.evaluator == METHODS[-1] and cell.key.seed == 0:
            continue
        scores = {name: _score(name, kind, rng) for name in cell.tasks}
        if number % 4 == 1:  # each task in turn
            scores.pop(cell.tasks[number // 4 % len(cell.tasks)])
        diagnostics = {"train_seconds": float(rng.uniform(1, 9)), "unlearn_seconds": float(rng.uniform(1, 9))}
        if kind == "language":
            diagnostics |= {"tokens_per_second": float(rng.uniform(1, 9)), "flop_utilisation": float(rng.uniform())}
        data = Dataset(revision="0" * 64, kind=kind, train=20, players=5, validation=10, test=10)
        result = a_result(cell, scores, seconds=float(rng.uniform(1, 9)), diagnostics=diagnostics, dataset=data)
        store.write(result, {"values": np.zeros(5)})
    store.write_plan(Plan(suite=suite, suite_version=1, description="Made up.", cells=tuple(cells)))
