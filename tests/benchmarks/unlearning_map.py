"""Map of Unlearning Shapley: how good its values are by learning rate, steps, utility and unlearning method.

``python tests/benchmarks/unlearning_map.py FOLDER [--dry-run]`` runs every setting on two problems of digits, with
single points and with ten providers, writes their results to the folder, and prints a table. It resumes.
"""

from __future__ import annotations

import argparse
from itertools import product
from pathlib import Path

import dvbench
from dvbench.cli.dry_run import show_costs
from dvbench.execution.run import RunOptions
from dvbench.suite import Suite, load_suite

RATES = (2e-5, 2e-4, 2e-3, 2e-2)
STEPS = (1, 5, 20)
UTILITIES = ("metric", "log_loss")
METHODS = ("gradient_ascent", "plain_ascent", "random_labels", "neg_grad_plus", "negative_preference")
PROBLEMS = ("digits-logistic_regression-labels0.2", "digits-logistic_regression-labels0.2-10subsets")
PERMUTATIONS = 8


def map_suite(seeds: int) -> Suite:
    """A suite with every setting as an evaluator, on two problems of the suite quick."""
    quick = load_suite("quick")
    evaluators = [
        {
            "name": "unlearning_shapley",
            "label": f"{method}-{utility}-lr{rate:g}-steps{steps}",
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


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--dry-run", action="store_true")
    options = parser.parse_args()
    suite = map_suite(options.seeds)
    if options.dry_run:
        show_costs(suite, options.folder, RunOptions(options.jobs))
    else:
        scores = dvbench.run(suite, results=options.folder, jobs=options.jobs, progress=True)
        table = scores.pivot_table(index="evaluator", columns=["problem", "task"], values="value")
        print(table.round(3).to_string())
