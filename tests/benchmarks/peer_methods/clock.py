"""Times the methods of one library. Every environment has what this file needs: numpy and scikit-learn."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from sklearn.linear_model import LogisticRegression

FEWEST, MOST, ENOUGH = 2, 3, 4.0  # rounds of a method, and their seconds; the first round may load packages
SETTINGS = {"epochs": 10, "batch_size": 32, "lr": 0.01}  # of logistic regression that is trained with Adam
PERMUTATIONS = {"converged": 10, "adam": 1, "class_wise": 1}
BAGS = 100
NEIGHBOURS = 10
DAMPING = 0.01


class Arrays(NamedTuple):
    """A problem as arrays: features, class numbers, and which labels are wrong."""

    x: np.ndarray
    y: np.ndarray
    x_valid: np.ndarray
    y_valid: np.ndarray
    wrong: np.ndarray


class Converged(LogisticRegression):
    """Logistic regression of scikit-learn that counts its fits, and predicts the one class of points that have one."""

    fits = 0

    def fit(self, x: np.ndarray, y: np.ndarray, sample_weight: np.ndarray | None = None) -> Converged:
        Converged.fits += 1
        self.only = y[0] if (y == y[0]).all() else None
        return self if self.only is not None else super().fit(x, y, sample_weight)

    def predict(self, x: np.ndarray) -> np.ndarray:
        return super().predict(x) if self.only is None else np.full(len(x), self.only)


def load(folder: Path, problem: str) -> Arrays:
    """Arrays of a problem from their .npy files."""
    return Arrays(*(np.load(folder / problem / f"{name}.npy") for name in Arrays._fields))


def save(folder: Path, problem: str, arrays: Arrays) -> None:
    """Write one .npy file for each array."""
    (folder / problem).mkdir(parents=True, exist_ok=True)
    for name, array in arrays._asdict().items():
        np.save(folder / problem / f"{name}.npy", array)


def run(library: str, methods: dict[str, tuple[str, Callable[..., Any]]]) -> None:
    """Value with every method, and write values, seconds of the best round and fits to the folder in the arguments.

    A method is the name of its problem and a function of its arrays, that returns values and the number of fits.
    """
    folder = Path(sys.argv[1])
    (folder / library).mkdir(exist_ok=True)
    measured = {}
    for name, (problem, method) in methods.items():
        arrays, times = load(folder, problem), []
        while len(times) < FEWEST or (len(times) < MOST and sum(times) < ENOUGH):
            started = time.process_time()
            values, fits = method(arrays)
            times.append(time.process_time() - started)
        np.save(folder / library / f"{name}.npy", np.asarray(values, dtype=np.float64))
        measured[name] = {"seconds": min(times), "fits": fits}
        (folder / library / "measured.json").write_text(json.dumps(measured))
