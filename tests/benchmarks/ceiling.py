"""How far the ranking that partial valuation is compared with repeats itself: true values would do little better.

For every problem of ``partial-cpu`` the exact values (see the task ``partial_agreement``) are computed twice, with
other initial weights and minibatches, and their rank correlation r is printed: mean over seeds with a 95% Student-t
interval. A method that knew the values behind the noise would reach about the root of r. Beside it is the standard
deviation of exact values over players, and of what other seeds make of it. Run ``python tests/benchmarks/ceiling.py``.
"""

from __future__ import annotations

import numpy as np

from dvbench.problems.build import build_problem
from dvbench.problems.problem import Problem
from dvbench.scoring.correlation import rank_correlation
from dvbench.scoring.retraining import Retraining
from dvbench.suite import ProblemSettings, load_suite
from dvbench.training.build import build_model
from leaderboard.intervals import interval


def exact(settings: ProblemSettings, problem: Problem, seed: int) -> np.ndarray:
    """Exact values of player against rest, by models of this seed."""
    retrain = Retraining(problem, settings.model, settings.training)
    retrain.model = build_model(settings.model, problem.shape, problem.outputs, problem.kind, seed=seed)
    everybody = np.arange(problem.players)
    actual = retrain([everybody, *everybody[:, np.newaxis], *(np.delete(everybody, player) for player in everybody)])
    return (actual[1 : problem.players + 1] + actual[0] - actual[problem.players + 1 :]) / 2


def main() -> None:
    """Print a line a problem."""
    suite = load_suite("partial-cpu")
    for settings in suite.problems:
        again, spread, noise = [], [], []
        for seed in suite.seeds:
            problem = build_problem(settings.dataset, settings.sizes, settings.noise, seed, settings.groups)
            one, two = exact(settings, problem, 1), exact(settings, problem, 2)
            again.append(rank_correlation(one, two)[0])
            spread.append(one.std())
            noise.append((one - two).std() / np.sqrt(2))
        low, high = interval(again, (-1.0, 1.0))
        print(
            f"{settings.title}: {np.mean(again):.2f} [{low:.2f}, {high:.2f}]; "
            f"spread of exact values {np.mean(spread):.4f}, of which by other seeds {np.mean(noise):.4f}"
        )


if __name__ == "__main__":
    main()
