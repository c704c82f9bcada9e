"""Samplers of shapiq and pyDVL on games that are tables; ``convergence.py`` runs it in an environment of theirs.

``library_samplers.py GAMES BUDGETS OUT``: ``GAMES`` is an array (games, 2**n), ``BUDGETS`` are numbers of utilities
with commas between them, and ``OUT`` is written: JSON lines of library, sampler, game, budget, the number of utilities
that the sampler asked for, and the values. It imports nothing of dvbench, whose packages have other versions.
"""

from __future__ import annotations

import json
import sys
import warnings
from collections.abc import Callable, Iterator

import numpy as np

SHAPIQ = ("PermutationSamplingSV", "StratifiedSamplingSV", "OwenSamplingSV", "SVARM")
SHAPIQ += ("KernelSHAP", "UnbiasedKernelSHAP", "kADDSHAP")
Outcome = tuple[str, str, int, np.ndarray]  # library, sampler, utilities asked for, values


def shapiq_values(game: np.ndarray, n: int, budget: int, seed: int) -> Iterator[Outcome]:
    """Values by each of shapiq's approximators of Shapley values."""
    from shapiq import approximator

    for name in SHAPIQ:
        asked = 0

        def play(coalitions: np.ndarray) -> np.ndarray:
            nonlocal asked
            rows = np.atleast_2d(coalitions).astype(bool)
            asked += len(rows)
            return game[rows @ (1 << np.arange(n))]

        found = getattr(approximator, name)(n=n, random_state=seed).approximate(budget, play)
        yield "shapiq", name, asked, np.array([found[(player,)] for player in range(n)])


def pydvl_values(game: np.ndarray, n: int, budget: int, seed: int) -> Iterator[Outcome]:
    """Values by ShapleyValuation with each of pyDVL's samplers."""
    from pydvl.valuation import samplers
    from pydvl.valuation.dataset import Dataset
    from pydvl.valuation.methods.shapley import ShapleyValuation
    from pydvl.valuation.stopping import MinUpdates
    from pydvl.valuation.utility.base import UtilityBase

    class Table(UtilityBase):
        asked = 0

        def __call__(self, sample) -> float:
            subset = [] if sample is None else sample.subset
            Table.asked += 1
            return float(game[sum(1 << int(player) for player in subset)] - game[0])

    def stratified() -> samplers.StratifiedSampler:
        return samplers.StratifiedSampler(
            sample_sizes=samplers.ConstantSampleSize(),
            sample_sizes_iteration=samplers.RandomSizeIteration,
            index_iteration=samplers.RandomIndexIteration,
            seed=seed,
        )

    # With each sampler: how often the value of a player is updated with as many utilities as there are players.
    made: dict[str, tuple[Callable[[], object], float]] = {
        "PermutationSampler": (lambda: samplers.PermutationSampler(seed=seed), 1),
        "AntitheticPermutationSampler": (lambda: samplers.AntitheticPermutationSampler(seed=seed), 1),
        "UniformSampler": (lambda: samplers.UniformSampler(seed=seed), 0.5),
        "AntitheticSampler": (lambda: samplers.AntitheticSampler(seed=seed), 0.5),
        "StratifiedSampler": (stratified, 0.5),
    }
    players = np.arange(n, dtype=float)[:, np.newaxis]
    data = Dataset(players, np.zeros(n))
    for name, (make, rate) in made.items():
        Table.asked = 0
        done = MinUpdates(max(1, round(rate * budget / n)))
        valuation = ShapleyValuation(Table(), make(), is_done=done, progress=False, show_warnings=False)
        valuation.fit(data)
        found = valuation.result
        values = np.empty(n)
        values[np.asarray(found.indices)] = np.asarray(found.values)
        yield "pyDVL", name, Table.asked, values


def main() -> None:
    """Write a line for each library, sampler, game and budget."""
    warnings.simplefilter("ignore")
    games, out = np.load(sys.argv[1], allow_pickle=False), sys.argv[3]
    n = games.shape[1].bit_length() - 1
    with open(out, "w") as file:  # noqa: PTH123
        for number, game in enumerate(games):
            for budget in map(int, sys.argv[2].split(",")):
                for find in (shapiq_values, pydvl_values):
                    for library, sampler, asked, values in find(game, n, budget, number):
                        line = {"library": library, "sampler": sampler, "game": number, "budget": budget}
                        file.write(json.dumps({**line, "utilities": asked, "values": values.tolist()}) + "\n")


if __name__ == "__main__":
    main()
