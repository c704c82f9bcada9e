"""Map of Unlearning Shapley: how good its values are by learning rate, steps, utility and unlearning method.

``python tests/benchmarks/unlearning_map.py FOLDER [--dry-run]`` runs every setting on two problems of digits, with
single points and with ten providers, and writes their results to the folder; it resumes. The means are written to
``results/unlearning-map.csv``, and a part of them is drawn in ``docs/unlearning-map.svg``.
"""

from __future__ import annotations

import argparse
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

import dvbench
from dvbench.cli.dry_run import show_costs
from dvbench.execution.run import RunOptions
from dvbench.files import write_atomically
from dvbench.suite import Suite, load_suite
from leaderboard.drawing import svg

ROOT = Path(__file__).parents[2]
RATES = (2e-5, 2e-4, 2e-3, 2e-2)
STEPS = (1, 5, 20)
UTILITIES = {"metric": "accuracy", "log_loss": "log loss"}
METHODS = ("gradient_ascent", "plain_ascent", "random_labels", "neg_grad_plus", "negative_preference")
PROBLEMS = ("digits-logistic_regression-labels0.2", "digits-logistic_regression-labels0.2-10subsets")
PERMUTATIONS = 8
SHOWN = {"noisy_label_detection": "100 points: wrong labels", "exact_agreement": "10 providers: exact values"}


def label(method: str, utility: str, rate: float, steps: int) -> str:
    """The name of a setting in results."""
    return f"{method}-{utility}-lr{rate:g}-steps{steps}"


def map_suite(seeds: int) -> Suite:
    """A suite with every setting as an evaluator, on two problems of the suite quick."""
    quick = load_suite("quick")
    evaluators = [
        {
            "name": "unlearning_shapley",
            "label": label(method, utility, rate, steps),
            "params": {
                "method": {"name": method, "lr": rate, "steps": steps},
                "utility": utility,
                "sampling": {"permutations": PERMUTATIONS},
            },
        }
        for method, utility, rate, steps in product(METHODS, UTILITIES, RATES, STEPS)
    ]
    content = quick.model_dump(exclude_unset=True) | {
        "name": "unlearning-map",
        "description": "Unlearning Shapley by learning rate, steps, utility and unlearning method.",
        "seeds": list(range(seeds)),
        "problems": [problem for problem in quick.problems if problem.title in PROBLEMS],
        "evaluators": [*evaluators, {"name": "random"}],
        "roles": {},
    }
    return Suite.model_validate(content)


def means(scores: pd.DataFrame) -> pd.DataFrame:
    """Mean and standard deviation over seeds of each task, by setting; ``random`` has no setting."""
    names = ["method", "utility", "lr", "steps"]
    settings = {label(*setting): setting for setting in product(METHODS, UTILITIES, RATES, STEPS)}
    groups = scores.groupby(["evaluator", "task"], sort=False)["value"]
    table = groups.agg(["mean", "std", "count"]).reset_index()
    table[names] = [settings.get(name, ("random", "", np.nan, np.nan)) for name in table.pop("evaluator")]
    return table[[*names, "task", "mean", "std", "count"]]


def drawn(table: pd.DataFrame) -> Figure:
    """One heat map of learning rate and steps for each method (rows), task and utility (columns)."""
    columns = list(product(SHOWN, UTILITIES))
    figure = Figure(figsize=(7, 6.2), layout="constrained")
    axes = figure.subplots(len(METHODS), len(columns), sharex=True, sharey=True)
    for column, (task, utility) in enumerate(columns):
        of_task = table[(table["task"] == task) & (table["utility"] == utility)]
        ends = table.loc[table["task"] == task, "mean"]
        for row, method in enumerate(METHODS):
            axis = axes[row, column]
            grid = of_task[of_task["method"] == method].pivot(index="steps", columns="lr", values="mean")
            axis.imshow(grid, cmap="cividis", vmin=ends.min(), vmax=ends.max(), aspect="auto", origin="lower")
            for (y, x), value in np.ndenumerate(grid.to_numpy()):
                dark = value < (ends.min() + ends.max()) / 2
                text = "–" if np.isnan(value) else f"{value:.2f}".replace("0.", ".")
                axis.text(x, y, text, ha="center", va="center", fontsize=7, color="white" if dark else "black")
            axis.set_xticks(range(len(RATES)), [f"{rate:g}" for rate in RATES], fontsize=7, rotation=90)
            axis.set_yticks(range(len(STEPS)), [str(steps) for steps in STEPS], fontsize=7)
            if row == 0:
                axis.set_title(f"{SHOWN[task]}\nutility: {UTILITIES[utility]}", fontsize=7)
            if column == 0:
                axis.set_ylabel(f"{method.replace('_', chr(10))}\nsteps", fontsize=7)
        axes[-1, column].set_xlabel("learning rate", fontsize=7)
    return figure


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--dry-run", action="store_true")
    options = parser.parse_args()
    suite = map_suite(options.seeds)
    if options.dry_run:
        show_costs(suite, options.folder, RunOptions(options.jobs), options.jobs)
    else:
        scores = dvbench.run(suite, results=options.folder, jobs=options.jobs, progress=True)
        table = means(scores)
        path = ROOT / "results/unlearning-map.csv"
        write_atomically(path, table.to_csv(index=False, float_format="%.4g").encode())
        write_atomically(ROOT / "docs/unlearning-map.svg", svg(drawn(table)))
