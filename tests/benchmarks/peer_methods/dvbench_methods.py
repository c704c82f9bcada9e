"""dvbench's methods, and checkpoints for dattri: ``python dvbench_methods.py FOLDER``."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import torch.nn.functional as F
from clock import BAGS, DAMPING, NEIGHBOURS, PERMUTATIONS, SETTINGS, Arrays, load, run
from opendataval.metrics import accuracy
from torch import from_numpy

from dvbench.registry import find
from dvbench.settings import ModelSettings
from dvbench.training.any_model import fit_observed
from dvbench.training.build import build_model


def model_and_targets(data: Arrays):
    """Logistic regression for a problem, and its labels as one-hot vectors."""
    classes, settings = int(data.y.max()) + 1, ModelSettings(name="logistic_regression")
    model = build_model(settings, (data.x.shape[1],), classes, "classification", seed=0, weight_decay=0)
    return model, *(F.one_hot(from_numpy(labels), classes).float() for labels in (data.y, data.y_valid))


def valued(name: str, data: Arrays, random_state: int = 0, **params) -> tuple[np.ndarray, int]:
    """Values and fits of an evaluator."""
    model, y, y_valid = model_and_targets(data)
    evaluator = find("evaluators", name).load()(random_state=random_state, **params)
    evaluator.input_data(from_numpy(data.x), y, from_numpy(data.x_valid), y_valid)
    if hasattr(evaluator, "input_model_metric"):
        evaluator.input_model_metric(model, accuracy)
    evaluator.train_data_values(**SETTINGS)
    return np.asarray(evaluator.evaluate_data_values()), model.fits.count


def method(name: str, **params):
    return lambda data: valued(name, data, **params)


def warm_starts(permutations: int):
    """Its fits are models started from the one before."""

    def value(data: Arrays):
        values, _ = valued("warm_start_shapley", data, permutations=permutations, l2=2.0)  # two classes: 2 / C
        return values, permutations * len(data.x)

    return value


def write_checkpoints(folder: Path, data: Arrays) -> None:
    """Weights and biases of logistic regression at the end of every epoch."""
    model, y, _ = model_and_targets(data)

    def parameters() -> list[np.ndarray]:
        return [parameter.detach().numpy().copy() for parameter in model.network.parameters()]

    ends = [*fit_observed(model, from_numpy(data.x), y, parameters, **SETTINGS), parameters()]
    (folder / "checkpoints").mkdir(exist_ok=True)
    for name, arrays in zip(("weights", "biases"), zip(*ends, strict=True), strict=True):
        np.save(folder / "checkpoints" / f"{name}.npy", np.stack(arrays))


METHODS = {
    "data_shapley": ("breast_cancer", warm_starts(PERMUTATIONS["converged"])),
    "data_shapley_long": ("breast_cancer", warm_starts(25 * PERMUTATIONS["converged"])),
    "data_shapley_adam": ("digits_200", method("data_shapley", permutations=PERMUTATIONS["adam"])),
    "class_wise_shapley": (
        "digits_200",
        method("class_wise_shapley", permutations=PERMUTATIONS["class_wise"], variant="opendataval"),
    ),
    "dvrl": ("digits_200", method("dvrl", rl_epochs=30, rl_batch_size=200)),
    "data_oob": ("digits_200", method("data_oob", models=BAGS)),
    "knn_shapley": ("table", method("knn_shapley", k_neighbors=NEIGHBOURS)),
    "trac_in": ("digits_1000", method("trac_in")),
    "influence": ("digits_1000", method("hessian_influence", damping=DAMPING)),
}

if __name__ == "__main__":
    write_checkpoints(Path(sys.argv[1]), load(Path(sys.argv[1]), "digits_1000"))
    run("dvbench", METHODS)
