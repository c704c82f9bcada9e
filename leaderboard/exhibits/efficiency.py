"""Seconds of unlearning against seconds of training."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd
from matplotlib.figure import Figure

from dvbench.results import Result
from leaderboard.drawing import SMALL, bar_ends, legend, markers, panels, plain_ticks, styles
from leaderboard.exhibit import Exhibit, ExhibitMaker, SuiteResults, published_name
from leaderboard.published import published
from leaderboard.wording import as_in

RATIO = "train_over_unlearn"
LOWEST, HIGHEST = f"{RATIO}_lowest", f"{RATIO}_highest"
SECONDS = ["train_seconds", "unlearn_seconds"]
OF_LANGUAGE_MODELS = ["tokens_per_second", "flop_utilisation", "peak_gigabytes"]


def efficiency(results: SuiteResults, _: Sequence[str]) -> list[Exhibit]:
    """Make Table 2: seconds to train and to unlearn for growing data, if the suite has unlearning methods."""
    table = _seconds(results)
    if table is None:
        return []
    sizes = table[table["source"] == ""].groupby("dataset")["points"].nunique()
    figure = _draw_growth(table) if sizes.max() > 1 else _draw_one_size(table)
    caption = (
        "Seconds to train the full model, and to unlearn all of its data at once, measured separately: means over "
        "seeds. train_over_unlearn is the ratio of both means, and lowest and highest are those of single seeds, which "
        "the lines through the points show."
    )
    if "tokens_per_second" in table:
        caption += (
            " For language models also means over seeds of tokens per second in training, of this speed as a fraction "
            "of that of large matrix products, and of the peak memory in GB (of the GPU, if there was one)."
        )
    caption += published()["efficiency"].in_words(_published_datasets(table, results))
    return [Exhibit("efficiency", f"Training against unlearning{as_in('Table 2')}", caption, table, {"": figure})]


def _draw_growth(table: pd.DataFrame) -> Figure:
    """Draw the ratio over the number of points."""
    figure, axes = panels(list(table["dataset"].unique()))
    looks = styles(table.loc[table["source"] == "", "evaluator"])
    for dataset, axis in axes.items():
        rows = table[table["dataset"] == dataset]
        for evaluator, style in looks.items():
            part = rows[(rows["evaluator"] == evaluator) & (rows["source"] == "")].sort_values("points")
            axis.errorbar(part["points"], part[RATIO], yerr=_ends(part), marker="o", ms=4, label=evaluator, **style)
        reported = rows[rows["source"] != ""]
        axis.plot(reported["points"], reported[RATIO], "k*", ms=8, label="published")
        axis.axhline(1, color="0.7", lw=0.8)
        axis.set_xscale("log")
        axis.set_yscale("log")
        for each in (axis.xaxis, axis.yaxis):
            plain_ticks(each)
        axis.set_xlabel("points of the training set", fontsize=8)
        axis.set_ylabel("seconds to train / seconds to unlearn", fontsize=8)
    legend(figure, axes)
    return figure


def _draw_one_size(table: pd.DataFrame) -> Figure:
    """Draw the ratio of each method, where each data set has one number of points."""
    ours = table[table["source"] == ""]
    names = list(ours["evaluator"].unique())[::-1]
    figure, axes = panels(list(ours["problem"].unique()), 3, 0.9 + 0.15 * len(names), shared=True)
    for problem, axis in axes.items():
        part = ours[ours["problem"] == problem]
        y = [names.index(name) for name in part["evaluator"]]
        axis.set_title(f"{axis.get_title()},\n{part['points'].iloc[0]:,.0f} points", fontsize=SMALL, parse_math=False)
        axis.errorbar(part[RATIO], y, xerr=_ends(part), ls="", ms=4, lw=1, label="measured", **markers([""])[""])
        reported = table[(table["dataset"] == part["dataset"].iloc[0]) & (table["source"] != "")]
        for value in reported[RATIO]:
            axis.axvline(value, color="k", ls="--", lw=1, label="published, of more points and another model")
        axis.axvline(1, color="0.7", lw=0.8)
        axis.set_xscale("log")
        axis.set_yticks(range(len(names)), names)
    for axis in axes.values():
        plain_ticks(axis.xaxis)
    figure.supxlabel("seconds to train / seconds to unlearn", fontsize=8)
    legend(figure, axes)
    return figure


def _ends(rows: pd.DataFrame) -> list[pd.Series]:
    return bar_ends(rows[RATIO], rows[LOWEST], rows[HIGHEST])


def _published_datasets(table: pd.DataFrame, results: SuiteResults) -> list[str]:
    """Return the data sets of the published rows of the table, by their names in the paper."""
    names = {str(cell.problem.dataset): published_name(cell) for cell, _ in results.cells}
    return [names[dataset] for dataset in table.loc[table["source"] != "", "dataset"]]


def _of_language_model(result: Result) -> dict[str, float]:
    """Return speed of training and peak memory if the model is a language model."""
    if result.cost is None or "tokens_per_second" not in result.diagnostics:
        return {}
    numbers = {name: result.diagnostics[name] for name in OF_LANGUAGE_MODELS if name in result.diagnostics}
    return numbers | {"peak_gigabytes": (result.cost.peak_cuda_memory or result.cost.peak_memory) / 1e9}


def _seconds(results: SuiteResults) -> pd.DataFrame | None:
    """Tabulate means over seeds and the published seconds of the same data sets; None without unlearning methods."""
    rows = [
        {
            "problem": cell.key.problem,
            "evaluator": cell.key.evaluator,
            "dataset": str(cell.problem.dataset),
            "points": result.dataset.train,
            "published": published_name(cell),
            **{name: result.diagnostics[name] for name in SECONDS},
            **_of_language_model(result),
        }
        for cell, result in results.cells
        if result is not None and result.dataset is not None and cell.evaluator.kind == "unlearning"
    ]
    if not rows:
        return None
    keys = ["problem", "evaluator", "dataset", "points", "published"]
    table = pd.DataFrame(rows)
    measured = [*SECONDS, *(name for name in OF_LANGUAGE_MODELS if name in table)]
    groups = table.groupby(keys, sort=False)
    ratios = (table["train_seconds"] / table["unlearn_seconds"]).groupby([table[key] for key in keys], sort=False)
    means = groups[measured].mean().assign(seeds=groups.size(), **{LOWEST: ratios.min(), HIGHEST: ratios.max()})
    ours = means.reset_index().assign(source="")
    paper = published()["efficiency"]
    theirs = [
        {"problem": "", "evaluator": paper.evaluator, "dataset": dataset, "source": paper.source, **paper.numbers[name]}
        for dataset, name in dict(zip(ours["dataset"], ours["published"], strict=True)).items()
        if name in paper.numbers
    ]
    table = pd.concat([ours.drop(columns="published"), pd.DataFrame(theirs)], ignore_index=True)
    return table.assign(**{RATIO: table["train_seconds"] / table["unlearn_seconds"]})


EXHIBITS = (ExhibitMaker(efficiency, tasks=(), position=50),)
