"""Suites and evaluators of the kind users write: one file beside which the command is run."""

from __future__ import annotations

from collections.abc import Sequence

from dvbench.execution.run import run_cells
from dvbench.results import Cell, CellKey, Result, Store
from dvbench.settings import EvaluatorSettings, ModelSettings, Noise, ProblemSettings, Sizes, Training

HEAD = """
import os, signal, sys
import numpy as np
from opendataval.dataval import DataEvaluator
TRACE = {trace!r}

class Base(DataEvaluator):
    def __init__(self, random_state=None, **params):
        super().__init__(random_state=random_state)
        self.params = params
    def train_data_values(self, *args, **kwargs):
        with open(TRACE, "a") as file:
            file.write(type(self).__name__ + "\\n")
        return self
    def evaluate_data_values(self):
        return self.answer(len(self.x_train))
    def answer(self, n):
        return np.arange(n, dtype=float)
"""


def made_up_cell(
    evaluator: str = "knn_shapley",
    seed: int = 0,
    tasks: Sequence[str] = ("noisy_label_detection",),
    label: str | None = None,
    **params: object,
) -> Cell:
    """Digits with label noise, small enough to take no time."""
    settings = EvaluatorSettings(name=evaluator, label=label, params=params)
    return Cell(
        key=CellKey(suite="small", problem="digits", evaluator=settings.title, seed=seed),
        suite_version=1,
        problem=ProblemSettings(
            dataset="digits",
            sizes=Sizes(train=30, validation=20, test=40),
            noise=Noise(kind="labels", rate=0.2),
            model=ModelSettings(name="logistic_regression"),
            training=Training(epochs=1, lr=0.05),
        ),
        evaluator=settings,
        tasks=tuple(tasks),
    )


def run_cell(cell: Cell, store: Store) -> Result:
    """Value and score one cell, here."""
    (result,) = run_cells([cell], store, "cpu", 0)
    return result
