"""Speed and bias of warm-start Shapley, beside scikit-learn's refits of a sample of the same prefixes, on one thread.

The extra info holds utilities per second of both, and the root mean square difference of their accuracies in all and by
size; ``-s`` prints it, ``--benchmark-json`` writes it.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from opendataval.metrics import accuracy
from sklearn.linear_model import LogisticRegression

from dvbench.problems.build import build_problem
from dvbench.randomness import generator, random_state
from dvbench.settings import Noise, Sizes
from dvbench.training.utilities import model_utilities
from evaluators import WarmStartShapley
from evaluators import warm_start_shapley as module

PLAYERS, PERMUTATIONS = 1000, 64
REFITS = 300  # of prefixes of random permutations; sizes are uniform from 1 to all players
GROUPS = [1, 50, 200, 500, PLAYERS + 1]


@pytest.fixture(scope="module", params=[0.0, 0.2], ids=["clean", "20 % flipped"])
def problem(request):
    noise = Noise(kind="labels", rate=request.param) if request.param else Noise()
    return build_problem("digits", Sizes(train=PLAYERS, validation=300, test=10), noise, 0)


@pytest.fixture(scope="module")
def prefixes():
    """Rows (which permutation, size), and the permutations that the evaluator draws."""
    rng, draws = generator("prefixes"), random_state(0)
    sizes = rng.integers(1, PLAYERS + 1, size=REFITS)
    permutations = np.stack([draws.permutation(PLAYERS) for _ in range(PERMUTATIONS)])
    return np.c_[rng.integers(PERMUTATIONS, size=REFITS), sizes], permutations


def refit(problem, coalition):
    """Accuracy of scikit-learn's converged model; one class is what it cannot do."""
    labels = problem.train.y.argmax(dim=1).numpy()[coalition]
    truth = problem.validation.y.argmax(dim=1).numpy()
    classes = len(np.unique(labels))
    if classes == 1:
        return float(np.mean(truth == labels[0]))
    # With two classes it penalises one vector of weights where the softmax has two of half the size.
    model = LogisticRegression(C=2.0 if classes == 2 else 1.0, max_iter=5000)
    return model.fit(problem.train.x.double().numpy()[coalition], labels).score(problem.validation.x.numpy(), truth)


def rms(differences):
    return round(float(np.sqrt(np.mean(np.square(differences)))), 4)


@pytest.fixture(scope="module")
def refits(problem, prefixes):
    rows, permutations = prefixes
    return np.array([refit(problem, permutations[row, :size]) for row, size in rows])


@pytest.mark.benchmark(group="64 permutations of 1,000 points")
def test_warm_start(benchmark, problem, prefixes, refits, monkeypatch):
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
    utilities = evaluator.diagnostics_["utilities"]
    benchmark.extra_info |= {
        "utilities_per_second": round(utilities / benchmark.stats.stats.median),
        "mean_difference": round(float(off.mean()), 4),
        "rms_difference": rms(off),
        "by_size": {f"{a}-{b - 1}": rms(off[(a <= rows[:, 1]) & (rows[:, 1] < b)]) for a, b in pairwise(GROUPS)},
    }
    print(benchmark.extra_info)
    assert rms(off) <= 0.02


@pytest.mark.benchmark(group="20 refits")
def test_refits(benchmark, problem, prefixes):
    rows, permutations = prefixes
    coalitions = [permutations[row, :size] for row, size in rows[:20]]
    benchmark.pedantic(lambda: [refit(problem, each) for each in coalitions], rounds=3)
    benchmark.extra_info["utilities_per_second"] = round(len(coalitions) / benchmark.stats.stats.median, 1)
    print(benchmark.extra_info)
