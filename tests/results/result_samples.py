"""A result as dvbench writes it, to be changed by tests."""

from __future__ import annotations

from typing import Any

from dvbench.results import Cell, CellKey, Cost, Dataset, Environment, Plan, Result, Score
from dvbench.settings import EvaluatorSettings, ModelSettings, Noise, ProblemSettings, Sizes, Training


def sample_cell(seed: int = 0, evaluator: str = "random") -> Cell:
    return Cell(
        key=CellKey(suite="small", problem="digits-mlp-labels0.2", evaluator=evaluator, seed=seed),
        suite_version=1,
        problem=ProblemSettings(
            dataset="digits",
            sizes=Sizes(train=4, validation=3, test=5),
            noise=Noise(kind="labels", rate=0.2),
            model=ModelSettings(name="mlp", params={"hidden": [8, 8]}),
            training=Training(lr=1e-3),
        ),
        evaluator=EvaluatorSettings(name="random", params={"a": 1, "b": 0.5, "c": None, "d": "x"}),
        tasks=("noisy_label_detection",),
    )


def sample_result(cell: Cell | None = None, **changes: Any) -> Result:
    fields = {
        "dvbench_version": "0.1.0",
        "cell": cell or sample_cell(),
        "status": "ok",
        "evaluator_object": "a:B",
        "evaluator_version": "1",
        "dataset": Dataset(revision="0" * 64, kind="classification", train=4, validation=3, test=5),
        "scores": {
            "noisy_label_detection": Score(
                version=2, headline="auroc", higher_is_better=True, metrics={"auroc": 0.1 + 0.2}, curves={"c": [1, 0.5]}
            )
        },
        "cost": Cost(seconds=1.5, fits=3, peak_memory=10),
        "diagnostics": {"distinct_values": 4.0},
        "environment": Environment(
            platform="Linux", processor="cpu", cores=2, device="cpu", python="3.11", packages={"numpy": "2"}
        ),
    }
    return Result(**(fields | changes))


def sample_plan() -> Plan:
    return Plan(suite="small", suite_version=1, description="Small.", cells=(sample_cell(0), sample_cell(1)))
