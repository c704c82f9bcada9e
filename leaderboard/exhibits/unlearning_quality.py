"""Unlearning quality: the table, densities of losses, and losses on the way."""

from __future__ import annotations

from typing import Any

import pandas as pd

from leaderboard.exhibits.common import Exhibit, Found, beside, mean_lines, metric_table, scored
from leaderboard.exhibits.drawing import colours, legend, logarithmic, panels
from leaderboard.published import published

JUDGING = ("output_divergence", "knowledge_retention", "retrained_agreement")
TRAINING = {"train_loss": "black", "test_loss": "0.5"}
UNLEARNING = {"unlearning_forget": "forget sets", "unlearning_retain": "retain sets"}
GREYS = {"retrained": "black", "full": "0.45", "untrained": "0.75"}


def unlearning_quality(found: Found) -> Exhibit:
    """Table 3: distances from retrained models, and what is retained."""
    caption = (
        "Distances from retrained models on retain sets (lkd, lmse of logits, pmse of predictions); knowledge retained "
        "on forget and retain sets (1 is all that the full model knows, 0 what an untrained one does, and a model that "
        "never saw a class falls below; kr_error is the distance from retrained models on forget sets); correlation "
        "(spc) and mean difference (gap) of test performance with that of retrained models. Means over seeds with "
        f"bootstrap intervals. Published: {published()['unlearning_quality'].setting}."
    )
    names = ("lkd", "lmse", "pmse", "kr_error", "kr_forget", "kr_retain", "spc", "gap")
    others = ("lkd_untrained", "lmse_untrained", "pmse_untrained", "lkd_full", "kr_forget_retrained", "gap_full")
    table = beside(metric_table(found, JUDGING, names, others), found, "unlearning_quality")
    return Exhibit("unlearning_quality", "Unlearning quality (Table 3)", caption, table)


def loss_densities(found: Found) -> Exhibit:
    """Figure 4, of one seed: those of several have grids of their own."""
    rows: list[dict[str, Any]] = []
    seeds: dict[tuple[str, str], int] = {}
    for cell, score in scored(found, "output_divergence"):
        place = cell.key.problem, cell.key.evaluator
        if seeds.setdefault(place, cell.key.seed) != cell.key.seed:
            continue
        for line in ("unlearned", *GREYS):
            key = {"problem": cell.key.problem, "evaluator": cell.key.evaluator, "line": line}
            rows += [
                key | {"x": x, "y": y} for x, y in zip(score.curves["log10_loss"], score.curves[line], strict=True)
            ]
    data = pd.DataFrame(rows)
    figure, axes = panels(list(data["problem"].unique()))
    for problem, axis in axes.items():
        here = data[data["problem"] == problem]
        for evaluator, colour in colours(data["evaluator"]).items():
            part = here[(here["evaluator"] == evaluator) & (here["line"] == "unlearned")]
            axis.plot(part["x"], part["y"], color=colour, lw=1.2, label=evaluator)
        for line, grey in GREYS.items():
            part = here[(here["line"] == line) & (here["evaluator"] == here["evaluator"].iloc[0])]
            axis.plot(part["x"], part["y"], color=grey, lw=2, ls="--", label=line)
        # Losses of untrained models are all alike: their peak would flatten all others.
        axis.set_ylim(0, 1.2 * here.loc[here["line"] != "untrained", "y"].max())
        axis.set_xlabel("log10 of the loss on retain sets")
        axis.set_ylabel("density")
    legend(figure, axes)
    caption = (
        "Kernel densities of the loss on retain sets, pooled over players, of the first seed that has them. Coloured: "
        "after unlearning; dashed: the models to compare with. Good unlearning lies on the retrained models' line."
    )
    table = metric_table(found, ["output_divergence"], ("lkd",), ("lkd_full", "lkd_untrained"))
    return Exhibit("loss_densities", "Losses on retain sets (Figure 4)", caption, table, {"": figure}, data)


def loss_curves(found: Found) -> Exhibit:
    """Figure 3: losses while the full model is trained, and while it unlearns."""
    rows: list[dict[str, Any]] = []
    for cell, score in scored(found, "knowledge_retention"):
        key = {"problem": cell.key.problem, "evaluator": cell.key.evaluator}
        for line in TRAINING:
            rows += [key | {"line": line, "x": float(x), "y": y} for x, y in enumerate(score.curves[line])]
        for line in (*UNLEARNING, "unlearning_test"):
            told = zip(score.curves["step"], score.curves[line], strict=True)
            rows += [key | {"line": line, "x": x, "y": y} for x, y in told]
    data = mean_lines(rows)
    problems = list(data["problem"].unique())
    figure, axes = panels([f"{each}: {what}" for each in problems for what in ("training", *UNLEARNING.values())], 3)
    for problem in problems:
        here = data[data["problem"] == problem]
        # All methods start from the same full model.
        first = here[here["evaluator"] == here["evaluator"].iloc[0]]
        for line, colour in TRAINING.items():
            part = first[first["line"] == line]
            axes[f"{problem}: training"].plot(part["x"], part["y"], color=colour, lw=1.3, label=line)
        for line, what in UNLEARNING.items():
            for evaluator, colour in colours(data["evaluator"]).items():
                part = here[(here["evaluator"] == evaluator) & (here["line"] == line)]
                axes[f"{problem}: {what}"].plot(part["x"], part["y"], color=colour, lw=1.3, label=evaluator)
    for name, axis in axes.items():
        logarithmic(axis)
        axis.set_xlabel("epoch" if name.endswith(": training") else "steps of unlearning")
        axis.set_ylabel("mean loss")
    legend(figure, axes)
    caption = "Mean losses of the full model while it is trained, and of models while they unlearn; means over seeds."
    table = metric_table(found, ["knowledge_retention"], ("kr_error", "kr_forget", "kr_retain"))
    return Exhibit("loss_curves", "Losses while training and unlearning (Figure 3)", caption, table, {"": figure}, data)
