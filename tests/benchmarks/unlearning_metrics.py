"""How well the metrics of unlearning quality tell retrained models from full ones.

A metric of unlearning is of use if it tells models that never saw a player from models that did. Here sets of models,
one for each player, are judged as if a method had unlearned them: sets that were retrained without the player, with
other seeds than the retrained models that they are compared with, and sets of full models, which unlearned nothing. The
AUC of a metric is the probability that a retrained set has the better score: 1 is perfect, 0.5 is chance. The scores of
the retrained sets are also what the best method could reach: their distance from 0, or from a correlation of 1, is the
noise of retraining.

    python tests/benchmarks/unlearning_metrics.py
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import torch
from sklearn.metrics import roc_auc_score

from dvbench.problems.build import build_problem
from dvbench.problems.problem import Problem
from dvbench.registry import find
from dvbench.scoring.contract import Valuation
from dvbench.scoring.outputs import UnlearningOutputs
from dvbench.scoring.retraining import Retraining
from dvbench.scoring.unlearned_points import PointUnlearningExperiment
from dvbench.settings import DatasetSettings, Groups, ModelSettings, Noise, Sizes, Training
from dvbench.training.build import build_model
from dvbench.unlearning_methods.fine_tuning import FineTuning

SEEDS = (0, 1, 2)
SETS = 10  # of each kind and seed
MODEL = ModelSettings(name="mlp", params={"hidden": [32]})
TRAINING = Training(epochs=10, batch_size=32, lr=3e-3)
SIZES = Sizes(train=600, validation=100, test=500)
PROBLEMS = {
    "digits, classes": ("digits", Noise(), Groups(by="classes")),
    "digits, 10 random subsets": ("digits", Noise(), Groups(by="random", count=10)),
    "digits, 10 random subsets, 3 with flipped labels": (
        "digits",
        Noise(kind="labels", rate=0.3),
        Groups(by="random", count=10),
    ),
}
METRICS = {  # task and whether higher is better
    "lkd": ("output_divergence", False),
    "lmse": ("output_divergence", False),
    "pmse": ("output_divergence", False),
    "kr_error": ("knowledge_retention", False),
    "spc": ("retrained_agreement", True),
    "gap": ("retrained_agreement", False),
}


def judged(problem: Problem, outputs: UnlearningOutputs) -> dict[str, float]:
    """Scores of the models that ``outputs`` has as unlearned ones."""
    valuation = Valuation(np.zeros(problem.players), compute_outputs=lambda: outputs)
    tasks = {task for task, _ in METRICS.values()}
    scores = [find("tasks", task).load()(problem, valuation, np.empty(0)).metrics for task in tasks]
    return {name: value for metrics in scores for name, value in metrics.items() if name in METRICS}


def sets_of_models(problem: Problem) -> Iterator[tuple[bool, torch.Tensor]]:
    """Outputs (players, outputs, points) of sets with other seeds, and whether they were retrained."""
    train, points = problem.train, torch.cat([problem.train.x, problem.test.x])
    everything = np.arange(len(train))
    rows = [everything] + [np.setdiff1d(everything, problem.points_of(np.array([p]))) for p in range(problem.players)]
    for seed in range(SETS):
        model = build_model(
            MODEL, problem.shape, problem.outputs, problem.kind, seed=1000 + seed, weight_decay=TRAINING.weight_decay
        )
        outputs: list[torch.Tensor] = [torch.empty(0)] * len(rows)
        for numbers, models in model.fit_many(train.x, train.y, rows, **TRAINING.fit):
            for number, each in zip(numbers, models.all_outputs(points), strict=True):
                outputs[number] = each
        yield True, torch.stack(outputs[1:])
        yield False, outputs[0].expand(problem.players, *outputs[0].shape)


def study(dataset: str, noise: Noise, groups: Groups) -> dict[str, list[tuple[float, float, float]]]:
    """AUC and mean score of retrained and of full sets, of each metric and seed."""
    table: dict[str, list[tuple[float, float, float]]] = {name: [] for name in METRICS}
    for seed in SEEDS:
        problem = build_problem(DatasetSettings(name=dataset), SIZES, noise, seed, groups)
        reference = PointUnlearningExperiment(Retraining(problem, MODEL, TRAINING)).outputs(FineTuning(steps=1))
        kinds, scores = [], []
        for retrained, outputs in sets_of_models(problem):
            kinds.append(retrained)
            scores.append(judged(problem, replace(reference, unlearned=outputs)))
        mask = np.array(kinds)
        for name, (_, up) in METRICS.items():
            values = np.array([score[name] for score in scores])
            auc = float(roc_auc_score(mask, values if up else -values))
            table[name].append((auc, float(values[mask].mean()), float(values[~mask].mean())))
    return table


def main() -> None:
    """Print the tables in Markdown."""
    for title, settings in PROBLEMS.items():
        print(f"**{title}**\n\n| metric | AUC | lowest and highest of a seed | retrained | full |")
        print("|---|---|---|---|---|")
        for name, rows in study(*settings).items():
            aucs, retrained, full = zip(*rows, strict=True)
            print(
                f"| `{name}` | {np.mean(aucs):.2f} | {min(aucs):.2f} to {max(aucs):.2f} | {np.mean(retrained):.3f} "
                f"| {np.mean(full):.3f} |"
            )
        print(flush=True)


if __name__ == "__main__":
    main()
