"""Tunes the learning rate of every unlearning method: prints the tables of ``docs/unlearning-rates.md``.

The problems have other sizes, splits, models and seeds than those of the suites. Every player is unlearned from a model
trained on all of them. The criterion is the gap to models retrained without the player: the absolute difference of
accuracy on the forget set and that on the retain set, averaged over both, and over players, seeds and problems. For
texts it is the difference of the mean log loss of tokens. The lowest gap wins; of gaps that differ from it by less than
`TIE`, that of the lowest rate. Test sets are not used.

Run as ``DVBENCH_MIRROR=... python tests/benchmarks/tune_unlearning.py points`` (or ``texts``). Names of methods that
follow select those that are tuned.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import partial

import numpy as np
import torch

from dvbench.problems.build import build_problem
from dvbench.problems.perplexity import mean_log_loss
from dvbench.problems.problem import Problem
from dvbench.registry import entries
from dvbench.settings import Groups, ModelSettings, Noise, Sizes
from dvbench.training.build import build_model
from dvbench.unlearning.contract import UnlearningMethod
from dvbench.unlearning.factory import make_method, make_unlearner

SEEDS, SEEDS_OF_TEXTS = (100, 101), (100,)
POINTS = (
    (
        "digits",
        Sizes(train=600, validation=200, test=100),
        "classes",
        ModelSettings(name="mlp", params={"hidden": [64]}),
    ),
    (
        "fashion_mnist",
        Sizes(train=3000, validation=400, test=100),
        "classes",
        ModelSettings(name="mlp", params={"hidden": [128]}),
    ),
)
TEXTS = (("tiny_text", Sizes(train=200, validation=250, test=100), "corpora", ModelSettings(name="gpt2_tiny")),)
FITS = {
    "digits": {"epochs": 10, "batch_size": 32, "lr": 3e-3},
    "fashion_mnist": {"epochs": 10, "batch_size": 32, "lr": 1e-3},
    "tiny_text": {"epochs": 8, "batch_size": 16, "lr": 1e-3},
}
RATES = (2e-5, 5e-5, 1e-4, 2e-4, 5e-4, 1e-3, 2e-3, 5e-3, 1e-2)
RATES_OF_TEXTS = (3e-5, 1e-4, 3e-4, 1e-3, 3e-3, 1e-2)
TIE = 0.002

Knowledge = np.ndarray  # (players, 2): of a model without each player, on its forget set and on its retain set
Measure = Callable[[UnlearningMethod], tuple[Knowledge, Knowledge]]


def knowledge(problem: Problem, players: list[np.ndarray], number: int, outputs: torch.Tensor) -> list[float]:
    """Accuracy, or minus the mean log loss of tokens, of one model (outputs, n) on one player and on all others."""
    y = problem.train.y
    rest = np.setdiff1d(np.arange(len(y)), players[number])
    if problem.kind == "language":
        return [-mean_log_loss(y[rows], outputs.T[rows]) for rows in (players[number], rest)]
    right = (outputs.argmax(dim=0) == y.argmax(dim=1)).double()
    return [float(right[rows].mean()) for rows in (players[number], rest)]


def prepare(dataset: str, sizes: Sizes, by: str, model: ModelSettings, seed: int) -> Measure:
    """Train the models of a problem; the result unlearns every player and returns what unlearned and retrained know."""
    problem = build_problem(dataset, sizes, Noise(), seed, Groups(by=by))
    untrained = build_model(model, problem.shape, problem.outputs, problem.kind, seed=seed)
    x, y, validation, fit = problem.train.x, problem.train.y, problem.validation, FITS[dataset]
    players = [problem.points_of(np.array([player])) for player in range(problem.players)]
    full = untrained.clone().fit(x, y, **fit)
    retrained = np.empty((len(players), 2))
    complements = [np.setdiff1d(np.arange(len(x)), player) for player in players]
    for numbers, models in untrained.fit_many(x, y, complements, **fit):
        for number, outputs in zip(numbers, models.all_outputs(x), strict=True):
            retrained[number] = knowledge(problem, players, number, outputs)

    def measure(method: UnlearningMethod) -> tuple[Knowledge, Knowledge]:
        unlearned = np.empty_like(retrained)
        unlearner = make_unlearner(full, (x, y), (validation.x, validation.y), method)
        for numbers, outputs_of_models in unlearner.outputs_without(players, seed, x):
            for number, outputs in zip(numbers, outputs_of_models, strict=True):
                unlearned[number] = knowledge(problem, players, number, outputs)
        return unlearned, retrained

    return measure


def gaps(measures: list[Measure], make: Callable[..., UnlearningMethod], rate: float) -> np.ndarray:
    """Gap on forget sets and on retain sets, (problems and seeds, 2); infinite where unlearning diverged."""
    rows = []
    for measure in measures:
        try:
            unlearned, retrained = measure(make(lr=rate))
            rows.append(np.abs(unlearned - retrained).mean(axis=0))
        except FloatingPointError:
            rows.append(np.full(2, np.inf))
    return np.array(rows)


def tune(
    measures: list[Measure], methods: dict[str, Callable[..., UnlearningMethod]], rates: tuple[float, ...]
) -> None:
    """Print the mean gap of every method at every rate, and the best rate with its gaps on both sets."""
    print("| method | " + " | ".join(f"{rate:g}" for rate in rates) + " | best | forget | retain |")
    print("|" + "---|" * (len(rates) + 4))
    for name, make in methods.items():
        table = np.array([gaps(measures, make, rate).mean(axis=0) for rate in rates])
        best = int(np.argmax(table.mean(axis=1) < table.mean(axis=1).min() + TIE))
        cells = [f"{gap:.3f}" for gap in table.mean(axis=1)]
        cells += [f"{rates[best]:g}", *(f"{gap:.3f}" for gap in table[best])]
        print(f"| `{name}` | " + " | ".join(cells) + " |", flush=True)


def main(kind: str, *only: str) -> None:
    """Tune on problems of points or of texts: all methods, or only those that are named."""
    names = sorted(entries("unlearning"))
    if kind == "points":
        problems, rates, seeds = POINTS, RATES, SEEDS
        methods = {name: partial(make_method, name) for name in names}
        methods["scrub-200"] = partial(make_method, "scrub", steps=200)
    else:
        problems, rates, seeds = TEXTS, RATES_OF_TEXTS, SEEDS_OF_TEXTS
        short = {"steps": 20, "batch_size": 8}
        methods = {name: partial(make_method, name, **short) for name in names}
        for part in ("head", "lora"):
            methods[f"gradient_ascent-{part}"] = partial(make_method, "gradient_ascent", parameters=part, **short)
    measures = [prepare(*problem, seed) for problem in problems for seed in seeds]
    tune(measures, {name: make for name, make in methods.items() if not only or name in only}, rates)


if __name__ == "__main__":
    main(*sys.argv[1:])
