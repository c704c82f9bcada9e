"""A suite and a table small enough to be run in no time."""

from __future__ import annotations

from pathlib import Path

import numpy as np

SUITE = """
version = 1
description = "Small."
seeds = [0, 1]

[[problems]]
dataset = "digits"
sizes = { train = 30, validation = 20, test = 40 }
noise = { kind = "labels", rate = 0.2 }
model = "logistic_regression"
training = { epochs = 1, batch_size = 32, lr = 0.05 }
tasks = ["noisy_label_detection"]

[[evaluators]]
name = "random"

[[evaluators]]
name = "knn_shapley"
params = { k_neighbors = 3 }
"""
FOLDER = "digits-logistic_regression-labels0.2"
FLIPPED = (4, 11, 26, 37)


def two_classes(flipped: tuple[int, ...] = FLIPPED) -> list[str]:
    """Header and 60 rows of two far classes; the labels of some rows are wrong."""
    rng = np.random.default_rng(0)
    lines = ["a,b,kind"]
    for row in range(60):
        a, b = rng.normal(size=2) + 4 * (row % 2)
        lines.append(f"{a:.6f},{b:.6f},{('good', 'bad')[(row + (row in flipped)) % 2]}")
    return lines


def tree(folder: Path) -> dict[str, bytes]:
    """Every file below a folder with its content."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}
