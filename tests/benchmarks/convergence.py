"""How fast samplers converge: their error against the number of utilities that they ask for, on exact tables as games.

All utilities are looked up, so nothing is trained. For every table below each sampler is run with growing budgets on
the game of every seed and training, and its values are compared with the exact ones of the same game. dvbench's are
its own evaluators, played by a model that looks up the utility of the players that it is fitted to; those of shapiq
and pyDVL run in an environment that ``uv`` makes, and are left out where it cannot be made.

``python tests/benchmarks/convergence.py`` writes ``convergence.csv`` and two figures to ``results/exact``, and
``ceilings.csv``: how far the exact values of each table repeat themselves when models are trained again.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from itertools import combinations
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from opendataval.model import Model

from dvbench.errors import UserError
from dvbench.exact.tables import load_table, read_manifest
from dvbench.files import write_atomically
from dvbench.games import exact_marginal_contributions, shapley_values, tabulated_shapley_values
from dvbench.sampling import Stopping
from dvbench.scoring.correlation import rank_correlation
from evaluators import AME, BetaShapley, DataBanzhaf, DataShapley, InfluenceSubsample
from evaluators.baselines.ame import exact_marginal_effects
from evaluators.common.coalitions import every_inclusion, sums_without_and_with
from leaderboard.drawing import legend, logarithmic, panels, plain_ticks, styles, svg

ROOT = Path(__file__).parents[2]
LIBRARIES = ("shapiq==1.4.1", "pydvl==0.10.0")
TABLES = (
    "digits-points-12",
    "wine-points-12-mlp",
    "digits-classes-10",
    "diamonds-clarity-8",
    "bikes-month-12",
    "fashion_mnist-providers-10-mlp",
)
DRAWN = 0.02, 30.0  # errors outside of these are in the table only
FACTORS = (2, 4, 8, 16, 32, 64)  # utilities for each player
Sampled = tuple[str, str, str, int, np.ndarray]  # library, sampler, which values, utilities, values


class TableModel(Model):
    """Predicts the utility of the players that it was fitted to; a player's only feature is its number."""

    def __init__(self, game: np.ndarray) -> None:
        self.game, self.coalition, self.asked = game, 0, [0]

    def clone(self) -> TableModel:
        """A model that counts its fits in the same list."""
        other = TableModel(self.game)
        other.asked = self.asked
        return other

    def fit(self, x_train, y_train, *args, **kwargs) -> TableModel:
        """Remember the players."""
        self.coalition = sum({1 << int(x_train[i][0]) for i in range(len(x_train))})
        self.asked[0] += 1
        return self

    def predict(self, x) -> torch.Tensor:
        """The utility."""
        return torch.full((len(x), 1), float(self.game[self.coalition]), dtype=torch.float64)


def played(evaluator, game: np.ndarray) -> tuple[int, np.ndarray]:
    """Number of utilities that an evaluator asks for, and its values."""
    n, model = len(game).bit_length() - 1, TableModel(game)
    x, y = torch.arange(n).double().unsqueeze(1), torch.zeros(n, 1)
    evaluator.input_data(x, y, x[:1], y[:1])
    evaluator.input_model_metric(model, lambda target, predicted: predicted[0, 0].item())
    values = evaluator.train_data_values().evaluate_data_values()
    return model.asked[0], np.asarray(values, dtype=float)


def antithetic(game: np.ndarray, permutations: int, seed: int) -> tuple[int, np.ndarray]:
    """Values by the sampler of Unlearning Shapley, with antithetic permutations."""
    asked = 0

    def look_up(coalitions) -> np.ndarray:
        nonlocal asked
        asked += len(coalitions)
        return game[[int(np.sum(1 << players)) for players in coalitions]]

    n, rng = len(game).bit_length() - 1, np.random.RandomState(seed)
    return asked, shapley_values(look_up, n, Stopping(permutations), rng, antithetic=True).values


def own_values(game: np.ndarray, n: int, budget: int, seed: int) -> Iterator[Sampled]:
    """Values by each sampling evaluator of dvbench; none where it has no value of a player with so few utilities."""
    permutations = max(1, round((budget - 2) / (n - 1)))
    made: dict[str, tuple[str, Callable[[], tuple[int, np.ndarray]]]] = {
        "data_shapley": ("shapley", lambda: played(DataShapley(permutations, random_state=seed), game)),
        "unlearning_shapley's, antithetic": ("shapley", lambda: antithetic(game, permutations, seed)),
        "beta_shapley": ("beta_shapley", lambda: played(BetaShapley(permutations, random_state=seed), game)),
        "data_banzhaf": ("banzhaf", lambda: played(DataBanzhaf(budget, random_state=seed), game)),
        "ame": ("ame", lambda: played(AME(max(2, budget // 4), random_state=seed), game)),
        "influence_subsample": ("influence", lambda: played(InfluenceSubsample(budget, random_state=seed), game)),
    }
    for name, (kind, sample) in made.items():
        try:
            asked, values = sample()
        except UserError:
            continue
        yield "dvbench", name, kind, asked, values


def exact_values(game: np.ndarray) -> dict[str, np.ndarray]:
    """What the samplers estimate, from all utilities of a game."""
    n = len(game).bit_length() - 1
    inside = every_inclusion(n)
    beta = BetaShapley()
    beta.num_points = n
    contributions = exact_marginal_contributions(
        lambda asked: game[[int(np.sum(1 << players)) for players in asked]], n
    )
    some = inside.sum(axis=1) == round(InfluenceSubsample().proportion * n)
    return {
        "shapley": tabulated_shapley_values(game),
        "beta_shapley": contributions @ beta.compute_weight(),
        "banzhaf": _difference(inside, game),
        "ame": exact_marginal_effects(inside, game),
        "influence": _difference(inside[some], game[some]),
    }


def _difference(inside: np.ndarray, utilities: np.ndarray) -> np.ndarray:
    sums, counts = sums_without_and_with(inside, utilities)
    means = sums / counts
    return means[:, 1] - means[:, 0]


def library_values(games: np.ndarray, budgets: list[int]) -> list[dict[str, object]]:
    """What the samplers of shapiq and pyDVL make of games; empty, with a remark, if they cannot be run."""
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    with_libraries = [word for library in LIBRARIES for word in ("--with", library)]
    command = ["uv", "run", "--no-project", "--isolated", "--python", version, *with_libraries, "python"]
    with tempfile.TemporaryDirectory() as folder:
        np.save(Path(folder) / "games.npy", games)
        out = Path(folder) / "values.jsonl"
        arguments = [str(Path(__file__).with_name("library_samplers.py")), str(Path(folder) / "games.npy")]
        arguments += [",".join(map(str, budgets)), str(out)]
        one_thread = {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
        try:
            subprocess.run([*command, *arguments], env=one_thread, check=True, capture_output=True, text=True)
        except (OSError, subprocess.CalledProcessError) as error:
            print(f"left out: {', '.join(LIBRARIES)}: {(getattr(error, 'stderr', '') or str(error)).strip()[-300:]}")
            return []
        return [json.loads(line) for line in out.read_text().splitlines()]


def measured(name: str, games: np.ndarray) -> Iterator[dict[str, object]]:
    """A row for each sampler, budget and game of a table: utilities, error and rank correlation."""
    n = games.shape[1].bit_length() - 1
    budgets = [factor * n for factor in FACTORS if factor * n < 2**n]
    exact = [exact_values(game) for game in games]

    def row(library: str, sampler: str, kind: str, number: int, budget: int, asked: int, values: np.ndarray):
        target = exact[number][kind]
        error = float(np.sqrt(np.mean(np.square(values - target))) / target.std())
        found = {"table": name, "library": library, "sampler": sampler, "values": kind, "budget": budget}
        return found | {"utilities": asked, "error": error, "spearman": rank_correlation(values, target)[0]}

    for line in library_values(games, budgets):
        values = np.array(line["values"])
        yield row(line["library"], line["sampler"], "shapley", line["game"], line["budget"], line["utilities"], values)
    for number, game in enumerate(games):
        for budget in budgets:
            for library, sampler, kind, asked, values in own_values(game, n, budget, number):
                yield row(library, sampler, kind, number, budget, asked, values)


def summarised(rows: pd.DataFrame) -> pd.DataFrame:
    """Means over games with their 10% and 90% quantiles."""
    groups = rows.groupby(["table", "values", "library", "sampler", "budget"], sort=False)
    return groups.agg(
        games=("error", "size"),
        utilities=("utilities", "mean"),
        error=("error", "mean"),
        low=("error", lambda errors: errors.quantile(0.1)),
        high=("error", lambda errors: errors.quantile(0.9)),
        spearman=("spearman", "mean"),
    ).reset_index()


def figure(summary: pd.DataFrame, title: str) -> bytes:
    """Error against utilities, a panel for each table, with the band of 80% of the games."""
    labels = summary["library"] + " " + summary["sampler"]
    looks = styles(labels)
    drawn, axes = panels(list(summary["table"].unique()), columns=2)
    for (table, label), line in summary.assign(label=labels).groupby(["table", "label"], sort=False):
        axis, look = axes[str(table)], looks[str(label)]
        wide = {"lw": 2.2, "zorder": 3} if str(label).startswith("dvbench") else {"lw": 1.1}
        axis.plot(line["utilities"], line["error"], label=str(label), **look, **wide)
        axis.fill_between(line["utilities"], line["low"], line["high"], color=look["color"], alpha=0.08, lw=0)
    for axis in axes.values():
        axis.set_xscale("log")
        logarithmic(axis)
        plain_ticks(axis.xaxis)
        axis.set_ylim(*DRAWN)
        axis.set_xlabel("utilities asked for", fontsize=8)
        axis.set_ylabel("error / deviation of the exact values", fontsize=8)
    legend(drawn, axes)
    drawn.suptitle(title, fontsize=9)
    return svg(drawn)


def ceilings(folder: Path) -> pd.DataFrame:
    """Of each table: mean rank correlation of the exact values of two trainings of a seed, and their deviations.

    ``spread`` is the standard deviation of exact values over players, and ``noise`` the part of it that training makes.
    """
    rows = []
    for table in read_manifest(folder).tables:
        utilities = load_table(table.settings.name, folder)
        exact = np.array([[tabulated_shapley_values(game) for game in games] for games in utilities])
        pairs = [rank_correlation(*pair)[0] for games in exact for pair in combinations(games, 2)]
        rows.append(
            {
                "table": table.settings.name,
                "players": table.players,
                "seeds": len(exact),
                "trainings": len(exact[0]),
                "utility": table.utility,
                "ceiling": np.mean(pairs),
                "spread": exact.std(axis=2).mean(),
                "noise": np.sqrt(exact.var(axis=1, ddof=1).mean()),
            }
        )
    return pd.DataFrame(rows)


def main() -> None:
    """Measure, and write the tables and the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, default=ROOT / "results/exact")
    parser.add_argument("--tables", nargs="+", default=TABLES)
    folder, names = (arguments := parser.parse_args()).folder, arguments.tables
    write_atomically(folder / "ceilings.csv", ceilings(folder).to_csv(index=False, float_format="%.4g").encode())
    rows: list[dict[str, object]] = []
    for name in names:
        utilities = load_table(name, folder)
        rows += measured(name, utilities.reshape(-1, utilities.shape[-1]))
        print(f"{name}: {len(rows)} rows so far", flush=True)
    path = folder / "convergence.csv"
    write_atomically(path, summarised(pd.DataFrame(rows)).to_csv(index=False, float_format="%.4g").encode())
    draw(pd.read_csv(path), folder)


def draw(summary: pd.DataFrame, folder: Path) -> None:
    """Write both figures of a study, from its table."""
    shapley = summary["values"] == "shapley"
    write_atomically(folder / "convergence.svg", figure(summary[shapley], "Shapley values"))
    others = figure(summary[~shapley], "Other values, each compared with its own exact ones")
    write_atomically(folder / "convergence-other-values.svg", others)


if __name__ == "__main__":
    main()
