"""Unlearning quality: a table, densities of losses, and losses during training and unlearning."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd

from leaderboard.drawing import colours, legend, logarithmic, panels
from leaderboard.exhibit import Exhibit, ExhibitMaker, SuiteResults, mean_lines, metric_table, with_published
from leaderboard.published import published

TASKS = ("output_divergence", "knowledge_retention", "retrained_agreement")
TRAINING = {"train_loss": "black", "test_loss": "0.5"}
UNLEARNING = {"unlearning_forget": "forget sets", "unlearning_retain": "retain sets"}
COMMON = "-common-"  # in the labels that suites give to methods at a rate that is the same for all
GREYS = {"retrained": "black", "full": "0.45", "untrained": "0.75"}


def unlearning_quality(results: SuiteResults, _: Sequence[str]) -> list[Exhibit]:
    """Make Table 3: distances from retrained models, and retained knowledge."""
    caption = (
        "Distances from retrained models on retain sets (lkd, lmse of logits, pmse of predictions); knowledge retained "
        "on forget and retain sets (kr: 1 is the knowledge of the full model, 0 that of an untrained one, and a model "
        "that never saw a class can be below 0; kr_error is the distance from retrained models on forget sets); "
        "correlation (spc) and mean difference (gap) of test utility with that of retrained models. Means over seeds "
        f"with bootstrap intervals. Published: {published()['unlearning_quality'].setting}.{_about_rates(results)}"
    )
    names = ("lkd", "lmse", "pmse", "kr_error", "kr_forget", "kr_retain", "spc", "gap")
    others = ("lkd_untrained", "lmse_untrained", "pmse_untrained", "lkd_full", "kr_forget_retrained", "gap_full")
    table = with_published(metric_table(results, TASKS, names, others), results, "unlearning_quality")
    return [Exhibit("unlearning_quality", "Unlearning quality (Table 3)", caption, table)]


def loss_densities(results: SuiteResults, _: Sequence[str]) -> list[Exhibit]:
    """Draw Figure 4 for one seed, because the x axis differs between seeds."""
    rows: list[dict[str, Any]] = []
    seeds: dict[tuple[str, str], int] = {}
    for cell, score in results.scores_of("output_divergence"):
        names = cell.key.problem, cell.key.evaluator
        if seeds.setdefault(names, cell.key.seed) != cell.key.seed:
            continue
        for line in ("unlearned", *GREYS):
            key = {"problem": cell.key.problem, "evaluator": cell.key.evaluator, "line": line}
            rows += [
                key | {"x": x, "y": y} for x, y in zip(score.curves["log10_loss"], score.curves[line], strict=True)
            ]
    data = pd.DataFrame(rows)
    figure, axes = panels(list(data["problem"].unique()))
    for problem, axis in axes.items():
        in_problem = data[data["problem"] == problem]
        for evaluator, colour in colours(data["evaluator"]).items():
            part = in_problem[(in_problem["evaluator"] == evaluator) & (in_problem["line"] == "unlearned")]
            axis.plot(part["x"], part["y"], color=colour, lw=1.2, label=evaluator)
        for line, grey in GREYS.items():
            part = in_problem[
                (in_problem["line"] == line) & (in_problem["evaluator"] == in_problem["evaluator"].iloc[0])
            ]
            axis.plot(part["x"], part["y"], color=grey, lw=2, ls="--", label=line)
        # Losses of untrained models hardly vary: their high peak would flatten all other lines.
        axis.set_ylim(0, 1.2 * in_problem.loc[in_problem["line"] != "untrained", "y"].max())
        axis.set_xlabel("log10 of the loss on retain sets")
        axis.set_ylabel("density")
    legend(figure, axes)
    caption = (
        "Kernel densities of the loss on retain sets, pooled over players, of the first seed that has them. Coloured: "
        "after unlearning; dashed: the models to compare with. The better the unlearning, the closer its line is to "
        f"that of the retrained models.{_about_rates(results)}"
    )
    table = metric_table(results, ["output_divergence"], ("lkd",), ("lkd_full", "lkd_untrained"))
    return [Exhibit("loss_densities", "Losses on retain sets (Figure 4)", caption, table, {"": figure}, data)]


def loss_curves(results: SuiteResults, _: Sequence[str]) -> list[Exhibit]:
    """Draw Figure 3: losses while the full model is trained, and while data are unlearned."""
    rows: list[dict[str, Any]] = []
    for cell, score in results.scores_of("knowledge_retention"):
        key = {"problem": cell.key.problem, "evaluator": cell.key.evaluator}
        for line in TRAINING:
            rows += [key | {"line": line, "x": float(x), "y": y} for x, y in enumerate(score.curves[line])]
        for line in (*UNLEARNING, "unlearning_test"):
            points = zip(score.curves["step"], score.curves[line], strict=True)
            rows += [key | {"line": line, "x": x, "y": y} for x, y in points]
    data = mean_lines(rows)
    problems = list(data["problem"].unique())
    figure, axes = panels(
        [f"{problem}: {part}" for problem in problems for part in ("training", *UNLEARNING.values())], 3
    )
    for problem in problems:
        in_problem = data[data["problem"] == problem]
        # All methods start from the same full model.
        first = in_problem[in_problem["evaluator"] == in_problem["evaluator"].iloc[0]]
        for line, colour in TRAINING.items():
            part = first[first["line"] == line]
            axes[f"{problem}: training"].plot(part["x"], part["y"], color=colour, lw=1.3, label=line)
        for line, sets in UNLEARNING.items():
            for evaluator, colour in colours(data["evaluator"]).items():
                part = in_problem[(in_problem["evaluator"] == evaluator) & (in_problem["line"] == line)]
                axes[f"{problem}: {sets}"].plot(part["x"], part["y"], color=colour, lw=1.3, label=evaluator)
    for name, axis in axes.items():
        logarithmic(axis)
        axis.set_xlabel("epoch" if name.endswith(": training") else "steps of unlearning")
        axis.set_ylabel("mean loss")
    legend(figure, axes)
    caption = (
        "Mean losses of the full model during training, and of models during unlearning; means over seeds."
        f"{_about_rates(results)}"
    )
    table = metric_table(results, ["knowledge_retention"], ("kr_error", "kr_forget", "kr_retain"))
    title = "Losses during training and unlearning (Figure 3)"
    return [Exhibit("loss_curves", title, caption, table, {"": figure}, data)]


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
