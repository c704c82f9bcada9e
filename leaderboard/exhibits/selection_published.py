"""Accuracy of selection strategies beside the numbers of both versions of the CHG Shapley paper."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure

from dvbench.results import Cell
from leaderboard.drawing import SMALL, name_lines, panels, styles_beside
from leaderboard.exhibit import HIGH, LOW, Exhibit, ExhibitMaker, SuiteResults, metric_table
from leaderboard.intervals import IN_WORDS

TASK = "selection_accuracy"
REFERENCES = ("full", "random", "adaptive_random")  # grey: what others are compared with


@dataclass(frozen=True)
class PublishedTable:
    """Test accuracies in percent that a version of the paper reports.

    Parameters
    ----------
    source : str
        Version and table of the paper.
    dataset : str
    noise : {"clean", "noisy"}
    accuracies : dict of str to list of float
        By strategy, at each of the published fractions; shorter where the last ones are not reported.
    """

    source: str
    dataset: str
    noise: str
    accuracies: Mapping[str, list[float]]

    @property
    def setting(self) -> tuple[str, str]:
        """Data set and noise, by which our problems are compared."""
        return self.dataset, self.noise

    def __str__(self) -> str:
        return f"{self.dataset}, {self.noise}: {self.source}"


@cache
def published_tables() -> tuple[tuple[float, ...], tuple[PublishedTable, ...]]:
    """Read the fractions and the tables of ``published_selection.toml``."""
    path = Path(__file__).parent.with_name("published_selection.toml")
    content = tomllib.loads(path.read_text(encoding="utf-8"))
    return tuple(content["fractions"]), tuple(PublishedTable(**each) for each in content["tables"])


def selection_published(results: SuiteResults, tasks: Sequence[str]) -> list[Exhibit]:
    """Tabulate and draw published accuracies, and ours of the same strategies, data sets and noise."""
    fractions, known = published_tables()
    labelled = {cell.key.problem: _setting(cell) for cell, _ in results.cells if TASK in cell.tasks}
    tables = [each for each in known if each.setting in labelled.values()]
    if not tables:
        return []
    published = {each.setting for each in tables}
    settings = {name: setting for name, setting in labelled.items() if setting in published}
    columns = [f"accuracy_{fraction:g}" for fraction in fractions]
    ours = metric_table(results, [TASK])
    strategies = {name for each in tables for name in each.accuracies}
    ours = ours[ours["problem"].isin(settings) & ours["evaluator"].isin(strategies)]
    shown = ["problem", "evaluator", "seeds", *(column + end for column in columns for end in ("", LOW, HIGH))]
    table = pd.concat([*(_rows(each, columns) for each in tables), ours.reindex(columns=shown)], ignore_index=True)
    settings |= {str(each): each.setting for each in tables}
    order = sorted(dict.fromkeys(table["problem"]), key=lambda name: settings[name])
    table = table.sort_values("problem", kind="stable", key=lambda names: names.map(order.index))
    caption = (
        "Test accuracy by fraction of points kept. The paper's numbers are those of single runs of ResNet-18, trained "
        f"for 300 epochs. Ours are means over seeds, each with {IN_WORDS}. The models differ, so their accuracies "
        "cannot be compared; the orders of the strategies and their distances from full can. The noise is that of the "
        "paper: 30% of the labels, also in the validation set, are drawn from all classes."
    )
    title = "Accuracy beside the numbers of the CHG Shapley paper (Tables 2 and 3)"
    by_dataset: dict[str, list[str]] = {}
    for name in order:
        by_dataset.setdefault(settings[name][0], []).append(name)
    figures = {f"-{dataset}": _draw(table, names, fractions, columns) for dataset, names in by_dataset.items()}
    return [Exhibit("selection_published", title, caption, table, figures)]


def _setting(cell: Cell) -> tuple[str, str]:
    """Return the data set, and "clean" or "noisy" for the labels of the paper, "other" for other ones."""
    problem, noise = cell.problem, cell.problem.noise
    paper = noise.kind == "labels" and noise.rate == 0.3 and noise.draw == "any" and noise.validation
    if problem.imbalance is not None or not (paper or noise.kind == "none"):
        return problem.dataset.name, "other"
    return problem.dataset.name, "noisy" if paper else "clean"


def _rows(published: PublishedTable, columns: Sequence[str]) -> pd.DataFrame:
    """One row a strategy, of accuracies from 0 to 1."""
    rows = [
        {"problem": str(published), "evaluator": name, "seeds": 1}
        | {column: percent / 100 for column, percent in zip(columns, percents, strict=False)}
        for name, percents in published.accuracies.items()
    ]
    return pd.DataFrame(rows)


def _draw(table: pd.DataFrame, order: Sequence[str], fractions: Sequence[float], columns: list[str]) -> Figure:
    figure, axes = panels(order, height=2.25)
    looks = styles_beside(REFERENCES, table["evaluator"])
    for problem, axis in axes.items():
        axis.set_title(problem.replace(": ", ":\n"), fontsize=SMALL, parse_math=False)
        rows = table[table["problem"] == problem].set_index("evaluator")[columns].astype(float)
        for evaluator, accuracies in rows.iterrows():
            axis.plot(fractions, accuracies, marker=".", ms=4, lw=1.2, label=evaluator, **looks[str(evaluator)])
        axis.set_xlabel("fraction of points kept", fontsize=8)
        axis.set_ylabel("test accuracy", fontsize=8)
    name_lines(figure, axes)
    return figure


EXHIBITS = (ExhibitMaker(selection_published, tasks=(TASK,), position=46),)
