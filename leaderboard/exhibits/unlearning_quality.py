"""Unlearning quality: a table, densities of losses, and losses during training and unlearning."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from leaderboard.drawing import draw_line, legend, logarithmic, panels, reference_styles, styles
from leaderboard.exhibit import (
    Exhibit,
    ExhibitMaker,
    SuiteResults,
    mean_lines,
    metric_table,
    published_in_words,
    with_published,
)
from leaderboard.intervals import IN_TABLE, IN_WORDS
from leaderboard.wording import as_in, players, utility

TASKS = ("output_divergence", "knowledge_retention", "retrained_agreement")
COMMON = "-common-"  # in the labels that suites give to methods at a rate that is the same for all
TRAINING = {"train_loss": "training data", "test_loss": "test data"}
UNLEARNING = {"unlearning_forget": ("forget sets", "-"), "unlearning_retain": ("retain sets", ":")}
WORDS = {"retrained": "retrained model", "full": "full model", "untrained": "untrained model"}
COMPARED = tuple(WORDS)
QUALITY = ("lkd", "lmse", "pmse", "kr_error", "kr_forget", "kr_retain", "spc", "gap")
REFERENCES = ("lkd_untrained", "lmse_untrained", "pmse_untrained", "lkd_full", "kr_forget_retrained", "gap_full")


def unlearning_quality(results: SuiteResults, _: Sequence[str]) -> list[Exhibit]:
    """Make Table 3: distances from retrained models, and retained knowledge."""
    caption = (
        f"Players, which are unlearned one at a time: {players(results, TASKS)}. Utility: {utility(results, TASKS)}. "
        "Distances from retrained models on retain sets (lkd, lmse of logits, pmse of predictions); knowledge "
        "retained on forget and retain sets (kr: 1 is the knowledge of the full model, 0 that of an untrained one, "
        "and a model with less utility than an untrained one is below 0; kr_error is the distance from retrained "
        "models on forget sets); correlation (spc) and mean absolute difference (gap) of test utility with that of "
        "retrained models. Columns ending in untrained, full or retrained are of those models in place of the "
        "unlearned ones. Of one seed, lkd, lmse, pmse and gap are means over players, and kr is computed from mean "
        "utilities over players; all numbers are means over seeds, each with "
        f"{IN_WORDS}.{_about_rates(results)}{published_in_words(results, 'unlearning_quality')}"
    )
    table = with_published(metric_table(results, TASKS, QUALITY + REFERENCES), results, "unlearning_quality")
    return [Exhibit("unlearning_quality", f"Unlearning quality{as_in('Table 3')}", caption, table)]


def loss_densities(results: SuiteResults, _: Sequence[str]) -> list[Exhibit]:
    """Draw Figure 4 for one seed of each problem, because the x axis differs between seeds."""
    task, rows = "output_divergence", list[dict[str, Any]]()
    seeds = _seed_of_most(results, task)
    for cell, score in results.scores_of(task):
        if seeds[cell.key.problem] != cell.key.seed:
            continue
        key = {"problem": cell.key.problem, "evaluator": cell.key.evaluator, "seed": cell.key.seed}
        for line in ("unlearned", *COMPARED):
            points = zip(score.curves["log10_loss"], score.curves[line], strict=True)
            rows += [key | {"line": line, "x": x, "y": y} for x, y in points]
    data = pd.DataFrame(rows)
    caption = (
        "Kernel densities of the loss on retain sets, averaged over the cells of a grid and pooled over players "
        f"({players(results, [task])}), for one seed: the first of those that most methods have a score of "
        f"({_seeds_in_words(seeds)}). Coloured: after unlearning. Grey and dashed: the models to compare with; high "
        "peaks are cut off. The better the unlearning, the closer its line is to that of the "
        f"retrained models.{_about_rates(results)}"
    )
    table = metric_table(results, [task], ("lkd", "lkd_full", "lkd_untrained"))
    figures = {"": _draw_densities(data)}
    return [
        Exhibit("loss_densities", f"Losses on retain sets{as_in('Figure 4')}", caption, table, figures, data, IN_TABLE)
    ]


def _seed_of_most(results: SuiteResults, task: str) -> dict[str, int]:
    """Return for each problem the seed that most methods have a score of; the first of equally common ones."""
    counts: dict[str, Counter[int]] = {}
    for cell, _ in results.scores_of(task):
        counts.setdefault(cell.key.problem, Counter())[cell.key.seed] += 1
    return {problem: max(sorted(count), key=lambda seed: count[seed]) for problem, count in counts.items()}


def _seeds_in_words(seeds: Mapping[str, int]) -> str:
    """Name the seed, or one for each problem if they differ."""
    if len(set(seeds.values())) == 1:
        return f"seed {next(iter(seeds.values()))}"
    return ", ".join(f"seed {seed} of {problem}" for problem, seed in seeds.items())


def _draw_densities(data: pd.DataFrame) -> Figure:
    figure, axes, looks = _panels_of_methods(data)
    for (problem, method), axis in axes.items():
        in_problem = data[data["problem"] == problem]
        for evaluator, rate in _rates(in_problem, method).items():
            part = in_problem[(in_problem["evaluator"] == evaluator) & (in_problem["line"] == "unlearned")]
            axis.plot(part["x"], part["y"], drawstyle="steps-mid", lw=1.2, label=rate, **looks[rate])
        first = in_problem[in_problem["evaluator"] == in_problem["evaluator"].iloc[0]]
        for line, style in reference_styles(COMPARED).items():
            part = first[first["line"] == line]
            axis.plot(part["x"], part["y"], drawstyle="steps-mid", lw=1.2, label=WORDS[line], **style)
        # Where outputs hardly vary, high peaks would flatten all other lines.
        highest = first.loc[first["line"] == "retrained", "y"].max()
        visible = first.loc[first["y"] > highest / 100, "x"]
        axis.set_ylim(0, 1.5 * highest)
        axis.set_xlim(visible.min() - 1, visible.max() + 2)
    figure.supxlabel("log10 of the loss on retain sets", fontsize=8)
    figure.supylabel("density", fontsize=8)
    legend(figure, _by_title(axes))
    return figure


def _panels_of_methods(data: pd.DataFrame) -> tuple[Figure, dict[tuple[str, str], Axes], dict[str, dict[str, Any]]]:
    """Make a panel for each method and problem, and a colour for each rate, the same in all panels."""
    problems = list(data["problem"].unique())
    methods = list(dict.fromkeys(name.partition(COMMON)[0] for name in data["evaluator"]))
    keys = [(problem, method) for method in methods for problem in problems]
    figure, axes = panels([f"{method}\n{problem}" for problem, method in keys], 3, 1.35)
    looks = styles(rate for method in methods for rate in _rates(data, method).values())
    return figure, dict(zip(keys, axes.values(), strict=True)), looks


def _rates(data: pd.DataFrame, method: str) -> dict[str, str]:
    """Return the labels of a method's rows, and their rates in words."""
    labels = [name for name in data["evaluator"].unique() if name.partition(COMMON)[0] == method]
    return {name: f"rate {name.partition(COMMON)[2]}" if COMMON in name else "the method's own rate" for name in labels}


def _by_title(axes: Mapping[tuple[str, str], Axes]) -> dict[str, Axes]:
    return {", ".join(key): axis for key, axis in axes.items()}


def loss_curves(results: SuiteResults, _: Sequence[str]) -> list[Exhibit]:
    """Draw Figure 3: losses while the full model is trained, and while data are unlearned."""
    task, rows = "knowledge_retention", list[dict[str, Any]]()
    for cell, score in results.scores_of(task):
        key = {"problem": cell.key.problem, "evaluator": cell.key.evaluator, "seed": cell.key.seed}
        for line in TRAINING:
            rows += [key | {"line": line, "x": float(x), "y": y} for x, y in enumerate(score.curves[line])]
        for line in (*UNLEARNING, "unlearning_test"):
            points = zip(score.curves["step"], score.curves[line], strict=True)
            rows += [key | {"line": line, "x": x, "y": y} for x, y in points]
    data = mean_lines(rows)
    caption = (
        "Mean losses of the full model during training, on training data and on test data, and of models during "
        f"unlearning, means over players ({players(results, [task])}); all are means over seeds, and bands reach "
        f"from the lowest to the highest seed.{_about_rates(results)}"
    )
    of_table = f"{IN_TABLE} kr of one seed is computed from mean utilities over players."
    table = metric_table(results, [task], ("kr_error", "kr_forget", "kr_retain"))
    title, figures = (
        f"Losses during training and unlearning{as_in('Figure 3')}",
        {"-training": _draw_training(data), "": _draw_unlearning(data)},
    )
    return [Exhibit("loss_curves", title, caption, table, figures, data, of_table)]


def _draw_training(data: pd.DataFrame) -> Figure:
    figure, axes = panels(list(data["problem"].unique()), 3, 2.0)
    for problem, axis in axes.items():
        in_problem = data[data["problem"] == problem]
        # All methods start from the same full model.
        first = in_problem[in_problem["evaluator"] == in_problem["evaluator"].iloc[0]]
        for line, style in styles(TRAINING).items():
            draw_line(axis, first[first["line"] == line], TRAINING[line], lw=1.2, **style)
        logarithmic(axis)
        axis.set_xlabel("epoch of training", fontsize=8)
        axis.set_ylabel("mean loss", fontsize=8)
    legend(figure, axes)
    return figure


def _draw_unlearning(data: pd.DataFrame) -> Figure:
    figure, axes, looks = _panels_of_methods(data)
    for (problem, method), axis in axes.items():
        in_problem = data[data["problem"] == problem]
        for evaluator, rate in _rates(in_problem, method).items():
            for line, (sets, dashes) in UNLEARNING.items():
                part = in_problem[(in_problem["evaluator"] == evaluator) & (in_problem["line"] == line)]
                draw_line(axis, part, f"{sets}, {rate}", lw=1.2, **looks[rate] | {"ls": dashes})
        logarithmic(axis)
    figure.supxlabel("steps of unlearning", fontsize=8)
    figure.supylabel("mean loss", fontsize=8)
    legend(figure, _by_title(axes))
    return figure


def _about_rates(results: SuiteResults) -> str:
    """Say which rows have one rate for all methods, if there are such rows."""
    if not any(COMMON in cell.key.evaluator for cell, _ in results.cells):
        return ""
    return (
        f" Names with '{COMMON}': one rate for all methods, the number that follows. All others: each method at a rate "
        "of its own, tuned on other problems (docs/unlearning-rates.md)."
    )


EXHIBITS = (
    ExhibitMaker(unlearning_quality, tasks=TASKS, position=30),
    ExhibitMaker(loss_densities, tasks=("output_divergence",), position=35),
    ExhibitMaker(loss_curves, tasks=("knowledge_retention",), position=40),
)
