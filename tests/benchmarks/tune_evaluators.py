"""The trials that choose the settings of the tuned track, the suites ``tuning-points`` and ``board-points-tuned``.

``python tests/benchmarks/tune_evaluators.py trials`` writes the first, from `SPACES`: five quasi-random trials of each
evaluator, on three tables that board-points does not have. After ``dvbench run tuning-points --results results``,
``python tests/benchmarks/tune_evaluators.py choose`` prints the trials with their ranks and writes the second: the
trial of each evaluator whose mean rank among its five is lowest.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping
from copy import deepcopy
from pathlib import Path
from typing import Any

import pandas as pd
from scipy.stats import qmc

from dvbench.files import write_atomically
from dvbench.results import Store
from dvbench.suite import load_suite
from leaderboard.index import open_index
from leaderboard.statistics import overall
from leaderboard.suite_scores import suite_scores

ROOT = Path(__file__).parents[2]
SUITES = ROOT / "dvbench" / "suites"
TRIALS, TUNED = "tuning-points", "board-points-tuned"
NUMBER = 5
SELF = "tests/benchmarks/tune_evaluators.py"
Dimension = Callable[[float], Any]


def real(low: float, high: float) -> Dimension:
    """A real number from an interval, uniformly, in three digits."""
    return lambda share: float(f"{low + share * (high - low):.3g}")


def log(low: float, high: float) -> Dimension:
    """A real number from an interval, uniformly in its logarithm, in three digits."""
    return lambda share: float(f"{low * (high / low) ** share:.3g}")


def whole(low: float, high: float) -> Dimension:
    """A whole number from an interval, uniformly in its logarithm."""
    return lambda share: round(low * (high / low) ** share)


def one_of(*options: Any) -> Dimension:
    """One of some options, each with the same probability."""
    return lambda share: options[int(share * len(options))]


SPACES: dict[str, tuple[Mapping[str, Any], Mapping[str, Dimension]]] = {
    # settings that stay as on board-points, and the space of the others; a dot leads into a table of settings
    "beta_shapley": ({"permutations": 2}, {"alpha": log(1, 16), "beta": log(1, 16)}),
    "dvrl": ({"rl_epochs": 300}, {"lr": log(1e-3, 1e-1), "rl_batch_size": whole(30, 300)}),
    "fw_shapley": ({"utilities": 1500}, {"lr": log(1e-3, 1e-1), "steps": whole(100, 1000)}),
    "hessian_influence": ({}, {"damping": log(1e-4, 1), "layers": one_of("last", "all")}),
    "in_run_data_shapley": (
        {},
        {"order": one_of(1, 2), "layers": one_of("last", "all"), "validation_batch": whole(8, 256)},
    ),
    "influence_subsample": ({"models": 1500}, {"proportion": real(0.05, 0.95)}),
    "knn_shapley": ({}, {"k_neighbors": whole(1, 100)}),
    "robust_volume_shapley": ({"permutations": 15}, {"components": whole(2, 10), "omega": log(0.01, 1)}),
    "threshold_knn_shapley": ({}, {"threshold": real(0, 0.95)}),
    "unlearning_shapley": (
        # with the unlearning method of its paper
        {"sampling": {"permutations": 8}, "method": {"name": "gradient_ascent", "batch_size": 128}},
        {
            "method.lr": log(2e-5, 2e-2),
            "method.steps": whole(1, 20),
            "method.parameters": one_of("head", "all"),
            "utility": one_of("metric", "log_loss"),
        },
    ),
    "warm_start_shapley": ({"permutations": 32}, {"l2": log(0.01, 100)}),
}
PROBLEMS = """
[[problems]]
label = "optdigits-uniform"
dataset = "openml:28"
sizes = { train = 1000, validation = 300, test = 1000 }
noise = { kind = "labels", rate = 0.2 }
model = "logistic_regression"
training = { epochs = 10, batch_size = 32, lr = 0.01 }
tasks = ["noisy_label_detection", "point_removal", "point_addition"]

[[problems]]
label = "kr-vs-kp-class"
dataset = "openml:3"
sizes = { train = 1000, validation = 300, test = 1000 }
noise = { kind = "labels", rate = 0.2, draw = "next" }
model = { name = "mlp", params = { hidden = [32] } }
training = { epochs = 10, batch_size = 32, lr = 0.005 }
tasks = ["noisy_label_detection", "point_removal", "point_addition"]

[[problems]]
label = "texture-clean"
dataset = "openml:40499"
sizes = { train = 1000, validation = 300, test = 1000 }
model = { name = "mlp", params = { hidden = [32] } }
training = { epochs = 10, batch_size = 32, lr = 0.005 }
tasks = ["point_removal", "point_addition"]
"""


def trials(name: str) -> dict[str, dict[str, Any]]:
    """The settings of the trials of an evaluator, by label: points 1 to 5 of Sobol's sequence in its space."""
    fixed, space = SPACES[name]
    points = qmc.Sobol(len(space), scramble=False).random_base2(3)[1 : NUMBER + 1]
    return {
        f"{name}-trial{number}": settings(
            fixed, {key: draw(share) for (key, draw), share in zip(space.items(), row, strict=True)}
        )
        for number, row in enumerate(points, 1)
    }


def settings(fixed: Mapping[str, Any], drawn: Mapping[str, Any]) -> dict[str, Any]:
    """Put drawn settings beside fixed ones; ``method.lr`` becomes ``lr`` in the table ``method``."""
    params: dict[str, Any] = deepcopy(dict(fixed))
    for key, value in drawn.items():
        *tables, last = key.split(".")
        inner = params
        for table in tables:
            inner = inner.setdefault(table, {})
        inner[last] = value
    return params


def toml(value: Any) -> str:
    """Write a value as TOML, tables inline."""
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{key} = {toml(each)}" for key, each in value.items()) + " }"
    return json.dumps(value)


def entry(name: str, params: dict[str, Any], label: str = "") -> str:
    """Write an evaluator of a suite."""
    lines = [f'label = "{label}"'] if label else []
    return "\n".join(["", "[[evaluators]]", f'name = "{name}"', *lines, f"params = {toml(params)}", ""])


def trials_suite() -> str:
    """The suite of all trials."""
    about = (
        f"Trials of the tuned track: {NUMBER} quasi-random settings of each evaluator whose settings decide its "
        "values, on three tables that board-points does not have. Which trial ranks best among those of its evaluator "
        f"is its setting in {TUNED}."
    )
    head = f"# Written by {SELF} trials.\nversion = 1\ndescription = {toml(about)}\nseeds = [100, 101]\n"
    rows = [entry(name, params, label) for name in SPACES for label, params in trials(name).items()]
    return head + PROBLEMS + "".join(rows) + '\n[[evaluators]]\nname = "random"\n'


def ranked_trials(results: Path) -> pd.DataFrame:
    """By trial: the evaluator, the settings, and the mean rank among the trials of the same evaluator."""
    with open_index(Store(results), TRIALS) as index:
        suite = suite_scores(index)
    rows = []
    for name in SPACES:
        labels = trials(name)
        table = overall(suite.scores[suite.scores["evaluator"].isin(labels)]).set_index("evaluator")
        rows += [(name, label, params, table.at[label, "mean_rank"]) for label, params in labels.items()]
    return pd.DataFrame(rows, columns=["evaluator", "trial", "params", "mean_rank"])


def tuned_suite(table: pd.DataFrame) -> str:
    """The suite of the settings that the trials chose, from `ranked_trials`."""
    best = table.loc[table.groupby("evaluator", sort=False)["mean_rank"].idxmin()]
    seeds = list(load_suite("board-points").seeds)
    about = (
        "The tuned track of board-points: the same problems, and for each evaluator whose settings decide its "
        f"values the best of {NUMBER} quasi-random trials on other tables ({TRIALS}). Costs include those of the "
        "trials on one problem."
    )
    head = f"# Written by {SELF} choose.\nversion = 1\ndescription = {toml(about)}\nseeds = {seeds}\n"
    head += f'problems = "board-points"\ntrials = "{TRIALS}"\n'
    rows = [entry(str(row["evaluator"]), row["params"]) for _, row in best.iterrows()]
    return head + "".join(rows) + '\n[[evaluators]]\nname = "random"\n'


if __name__ == "__main__":
    if sys.argv[1:] == ["trials"]:
        write_atomically(SUITES / f"{TRIALS}.toml", trials_suite().encode())
    elif sys.argv[1:] == ["choose"]:
        table = ranked_trials(ROOT / "results")
        print(table.to_string())
        write_atomically(SUITES / f"{TUNED}.toml", tuned_suite(table).encode())
    else:
        sys.exit("give one word: trials, or choose")
