"""Exact values, or values of long runs, that the values of all libraries are compared with."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from clock import BAGS, DAMPING, NEIGHBOURS, PERMUTATIONS, SETTINGS, Arrays, Converged
from dvbench_methods import valued
from scipy.spatial.distance import cdist
from scipy.special import log_softmax, softmax
from sklearn.linear_model import LogisticRegression


def converged_shapley(data: Arrays, seed: int, permutations: int) -> np.ndarray:
    """Shapley values of scikit-learn's logistic regression, fitted to convergence on every prefix."""
    generator, total = np.random.default_rng(seed), np.zeros(len(data.x))
    for _ in range(permutations):
        order = generator.permutation(len(data.x))
        model = Converged(solver="newton-cholesky", warm_start=True, tol=1e-6)
        utilities = [float((data.y_valid == 0).mean())]
        for size in range(1, len(order) + 1):
            model.fit(data.x[order[:size]], data.y[order[:size]])
            utilities.append(float((model.predict(data.x_valid) == data.y_valid).mean()))
        total[order] += np.diff(utilities)
    return total / permutations


def converged_bags(data: Arrays, seed: int, bags: int) -> np.ndarray:
    """Data-OOB of scikit-learn's logistic regression."""
    generator, n = np.random.default_rng(seed), len(data.x)
    right, counts = np.zeros(n), np.zeros(n)
    for _ in range(bags):
        bag = generator.integers(n, size=n)
        outside = np.setdiff1d(np.arange(n), bag)
        right[outside] += Converged().fit(data.x[bag], data.y[bag]).predict(data.x[outside]) == data.y[outside]
        counts[outside] += 1
    return right / counts


def knn_shapley(data: Arrays) -> np.ndarray:
    """The recursion of Jia et al., Theorem 1, with exact distances, one validation point at a time."""
    n, total = len(data.x), np.zeros(len(data.x))
    rank = np.arange(1, n)
    factors = np.minimum(NEIGHBOURS, rank) / (NEIGHBOURS * rank)
    for point, label in zip(data.x_valid, data.y_valid, strict=True):
        order = np.argsort(cdist(point[np.newaxis], data.x)[0], kind="stable")
        match = (data.y[order] == label).astype(float)
        last = match[-1] * min(NEIGHBOURS, n) / (NEIGHBOURS * n)
        steps = (match[:-1] - match[1:]) * factors
        total[order] += last + np.append(np.cumsum(steps[::-1])[::-1], 0)
    return total / len(data.x_valid)


def _gradients(x: np.ndarray, y: np.ndarray, weight: np.ndarray, bias: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Gradients of the points' losses, (n, classes * (features + 1)), and predicted probabilities."""
    p = softmax(x @ weight.T + bias, axis=1)
    inputs = np.column_stack([x, np.ones(len(x))])
    return np.einsum("nc,nf->ncf", p - np.eye(p.shape[1])[y], inputs).reshape(len(x), -1), p


def trac_in(data: Arrays, weights: np.ndarray, biases: np.ndarray) -> np.ndarray:
    """Inner products of gradients at all checkpoints, in closed form and double precision."""
    total = np.zeros(len(data.x))
    for weight, bias in zip(weights, biases, strict=True):
        towards = _gradients(data.x_valid, data.y_valid, weight, bias)[0].mean(axis=0)
        total += SETTINGS["lr"] * (_gradients(data.x, data.y, weight, bias)[0] @ towards) / len(data.x)
    return total


def influence(data: Arrays, weights: np.ndarray, biases: np.ndarray) -> np.ndarray:
    """The influence function with the whole Hessian at the last checkpoint, in closed form and double precision."""
    gradients, p = _gradients(data.x, data.y, weights[-1], biases[-1])
    inputs = np.column_stack([data.x, np.ones(len(data.x))])
    blocks = np.einsum("nc,cd->ncd", p, np.eye(p.shape[1])) - np.einsum("nc,nd->ncd", p, p)
    hessian = np.einsum("ncd,nf,ng->cfdg", blocks, inputs, inputs, optimize=True) / len(data.x)
    hessian = hessian.reshape(gradients.shape[1], -1) + DAMPING * np.eye(gradients.shape[1])
    towards = _gradients(data.x_valid, data.y_valid, weights[-1], biases[-1])[0].mean(axis=0)
    return gradients @ np.linalg.solve(hessian, towards) / len(data.x)


def left_out(data: Arrays) -> np.ndarray:
    """The rise of the validation loss if logistic regression is fitted again, to its minimum, without a point.

    The regression is penalised by the damping of the influence function.
    """
    model = LogisticRegression(C=1 / (DAMPING * len(data.x)), tol=1e-7, max_iter=2000, warm_start=True)

    def loss(rows: np.ndarray) -> float:
        model.fit(data.x[rows], data.y[rows])
        logits = model.decision_function(data.x_valid)
        return -float(np.mean(log_softmax(logits, axis=1)[np.arange(len(logits)), data.y_valid]))

    everyone = np.arange(len(data.x))
    full = loss(everyone)
    start = model.coef_.copy(), model.intercept_.copy()
    rises = []
    for player in everyone:
        model.coef_, model.intercept_ = (part.copy() for part in start)
        rises.append(loss(np.delete(everyone, player)) - full)
    return np.array(rises)


def sampled(problems: dict[str, Arrays]) -> dict[str, list[np.ndarray]]:
    """Two independent long runs of each method that draws samples; their mean is the reference."""
    small, seeds = problems["digits_200"], (1, 2)

    def dvbench(name: str, **params) -> list[np.ndarray]:
        return [valued(name, small, random_state=seed, **params)[0] for seed in seeds]

    return {
        "converged Shapley": [converged_shapley(problems["breast_cancer"], seed, 15) for seed in seeds],
        "converged bags": [converged_bags(small, seed, 5 * BAGS) for seed in seeds],
        "Adam Shapley": dvbench("data_shapley", permutations=30 * PERMUTATIONS["adam"]),
        "class-wise Shapley": dvbench("class_wise_shapley", permutations=10, variant="opendataval"),
        "Adam bags": dvbench("data_oob", models=5 * BAGS),
    }


def exact(folder: Path, problems: dict[str, Arrays]) -> dict[str, list[np.ndarray]]:
    """Values without any randomness, in double precision."""
    precise = {
        name: data._replace(x=data.x.astype(float), x_valid=data.x_valid.astype(float))
        for name, data in problems.items()
    }
    checkpoints = [np.load(folder / "checkpoints" / f"{name}.npy").astype(float) for name in ("weights", "biases")]
    return {
        "KNN Shapley": [knn_shapley(precise["table"])],
        "TracIn": [trac_in(precise["digits_1000"], *checkpoints)],
        "influence": [influence(precise["digits_1000"], *checkpoints)],
        "left out": [left_out(precise["digits_1000"])],
    }
