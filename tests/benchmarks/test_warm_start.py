"""Speed and bias of warm-start Shapley, beside scikit-learn's refits of a sample of the same prefixes, on one thread.

The extra info holds utilities per second of both, and the root mean square difference of their accuracies in all and by
size; ``-s`` prints it, and at the end a table of all problems; ``--benchmark-json`` writes it.
"""

from __future__ import annotations

from itertools import pairwise
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from opendataval.metrics import accuracy
from sklearn.linear_model import LogisticRegression

from dvbench.problems.build import build_problem
from dvbench.randomness import generator, random_state
from dvbench.settings import Noise, Sizes
from dvbench.training.utilities import model_utilities
from evaluators import WarmStartShapley
from evaluators import warm_start_shapley as module

PERMUTATIONS = 64
REFITS = 300  # of prefixes of random permutations; sizes are uniform from 1 to all players
DATA = [("digits", 1000, 300), ("digits", 100, 100), ("breast_cancer", 400, 150), ("breast_cancer", 100, 100),
        ("heavy tails", 500, 300)]  # fmt: skip
ROWS = [(*data, rate) for data in DATA for rate in (0.0, 0.2)]


def heavy_tails(players, points, rate):
    """Three classes, 30 correlated features with heavy tails, labels that features do not determine."""
    rng = generator("heavy tails")
    latent, weights = rng.normal(size=(players + points, 30)), rng.normal(size=(30, 3))
    labels = (latent @ weights + 3 * rng.gumbel(size=(players + points, 3))).argmax(axis=1)
    mixing = np.eye(30) + 0.3 * rng.normal(size=(30, 30))
    x = np.sign(latent) * np.expm1(np.abs(latent)) @ mixing
    x = (x - x[:players].mean(axis=0)) / x[:players].std(axis=0)
    wrong = rng.permutation(players)[: int(rate * players)]
    given = labels.copy()
    given[wrong] = (labels[wrong] + rng.integers(1, 3, size=len(wrong))) % 3
    x, y, truth = torch.as_tensor(x, dtype=torch.float32), torch.eye(3)[given], torch.eye(3)[labels]
    train = SimpleNamespace(x=x[:players], y=y[:players])
    return SimpleNamespace(train=train, validation=SimpleNamespace(x=x[players:], y=truth[players:]))


@pytest.fixture(scope="module", params=ROWS, ids=lambda row: f"{row[0]} {row[1]}, {row[3]:.0%} flipped")
def problem(request):
    name, players, points, rate = request.param
    if name == "heavy tails":
        return heavy_tails(players, points, rate)
    noise = Noise(kind="labels", rate=rate) if rate else Noise()
    return build_problem(name, Sizes(train=players, validation=points, test=10), noise, 0)


@pytest.fixture(scope="module")
def prefixes(problem):
    """Rows (which permutation, size), and the permutations that the evaluator draws."""
    players = len(problem.train.x)
    rng, draws = generator("prefixes"), random_state(0)
    sizes = rng.integers(1, players + 1, size=REFITS)
    permutations = np.stack([draws.permutation(players) for _ in range(PERMUTATIONS)])
    return np.c_[rng.integers(PERMUTATIONS, size=REFITS), sizes], permutations


@pytest.fixture(scope="module")
def table():
    rows = []
    yield rows
    print("\n" + "\n".join(["players, labels                  rms     mean    max by size", *rows]))


def refit(problem, coalition):
    """Accuracy of scikit-learn's converged model; one class is what it cannot do."""
    labels = problem.train.y.argmax(dim=1).numpy()[coalition]
    truth = problem.validation.y.argmax(dim=1).numpy()
    classes = len(np.unique(labels))
    if classes == 1:
        return float(np.mean(truth == labels[0]))
    # With two classes it penalises one vector of weights where the softmax has two of half the size.
    model = LogisticRegression(C=2.0 if classes == 2 else 1.0, max_iter=20_000, tol=1e-7)
    x, x_valid = (part.x.double().flatten(start_dim=1).numpy() for part in (problem.train, problem.validation))
    return model.fit(x[coalition], labels).score(x_valid, truth)


def rms(differences):
    return round(float(np.sqrt(np.mean(np.square(differences)))), 4)


@pytest.fixture(scope="module")
def refits(problem, prefixes):
    rows, permutations = prefixes
    return np.array([refit(problem, permutations[row, :size]) for row, size in rows])


@pytest.mark.benchmark(group="64 permutations")
def test_warm_start(benchmark, problem, prefixes, refits, table, request, monkeypatch):
    actual = []
    monkeypatch.setattr(module, "model_utilities", lambda *args: actual.append(model_utilities(*args)) or actual[-1])

    def run():
        actual.clear()
        evaluator = WarmStartShapley(permutations=PERMUTATIONS, batch=PERMUTATIONS, random_state=0)
        evaluator.input_data(problem.train.x, problem.train.y, problem.validation.x, problem.validation.y)
        return evaluator.input_metric(accuracy).train_data_values()

    evaluator = benchmark.pedantic(run, rounds=3, warmup_rounds=1)
    rows, _ = prefixes
    off = np.stack(actual, axis=1)[rows[:, 0], rows[:, 1]] - refits
    groups = pairwise([1, *(len(problem.train.x) * np.array([0.1, 0.3, 0.6])).astype(int), len(problem.train.x) + 1])
    by_size = {f"{a}-{b - 1}": rms(off[(a <= rows[:, 1]) & (rows[:, 1] < b)]) for a, b in groups}
    utilities = evaluator.diagnostics_["utilities"]
    benchmark.extra_info |= {
        "utilities_per_second": round(utilities / benchmark.stats.stats.median),
        "mean_difference": round(float(off.mean()), 4),
        "rms_difference": rms(off),
        "by_size": by_size,
    }
    print(benchmark.extra_info)
    name = request.node.callspec.id
    table.append(f"{name:30s} {rms(off):7.4f} {off.mean():+8.4f} {max(by_size.values()):10.4f}")
    assert rms(off) <= 0.012


@pytest.mark.benchmark(group="20 refits")
def test_refits(benchmark, problem, prefixes):
    rows, permutations = prefixes
    coalitions = [permutations[row, :size] for row, size in rows[:20]]
    benchmark.pedantic(lambda: [refit(problem, each) for each in coalitions], rounds=3)
    benchmark.extra_info["utilities_per_second"] = round(len(coalitions) / benchmark.stats.stats.median, 1)
    print(benchmark.extra_info)
