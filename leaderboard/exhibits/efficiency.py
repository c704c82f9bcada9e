"""What unlearning takes against training."""

from __future__ import annotations

import pandas as pd

from dvbench.results import Result
from leaderboard.exhibits.common import Exhibit, Found, published_name
from leaderboard.exhibits.drawing import colours, legend, panels
from leaderboard.published import published

SECONDS = ["train_seconds", "unlearn_seconds"]
OF_TEXTS = ["tokens_per_second", "flop_utilisation", "peak_gigabytes"]  # of language models


def efficiency(found: Found) -> Exhibit:
    """Table 2: seconds to train and to unlearn, as data grow."""
    table = _seconds(found)
    figure, axes = panels(list(table["dataset"].unique()))
    for dataset, axis in axes.items():
        here = table[table["dataset"] == dataset]
        for evaluator, colour in colours(table["evaluator"]).items():
            part = here[(here["evaluator"] == evaluator) & (here["source"] == "")].sort_values("points")
            axis.plot(part["points"], part["train_over_unlearn"], "o-", color=colour, label=evaluator)
        reported = here[here["source"] != ""]
        axis.plot(reported["points"], reported["train_over_unlearn"], "k*", ms=10, label="published")
        axis.axhline(1, color="0.7", lw=0.8)
        axis.set_xscale("log")
        axis.set_yscale("log")
        axis.set_xlabel("points")
        axis.set_ylabel("seconds to train / seconds to unlearn")
    legend(figure, axes)
    caption = (
        "Seconds to train the full model and to unlearn all of its data in one go, each alone, means over seeds. "
        f"Published: {published()['efficiency'].setting}. Of language models also tokens a second in training, the "
        "share of what products of large matrices reach there, and the peak of memory."
    )
    return Exhibit("efficiency", "Training against unlearning (Table 2)", caption, table, {"": figure})


def _of_texts(result: Result) -> dict[str, float]:
    """Speed of training and peak memory, where it was a language model that was trained."""
    if result.cost is None or "tokens_per_second" not in result.diagnostics:
        return {}
    found = {name: result.diagnostics[name] for name in OF_TEXTS if name in result.diagnostics}
    return found | {"peak_gigabytes": (result.cost.peak_cuda_memory or result.cost.peak_memory) / 1e9}


def _seconds(found: Found) -> pd.DataFrame:
    """Means over seeds, and the published seconds of the data sets that are there."""
    rows = [
        {
            "problem": cell.key.problem,
            "evaluator": cell.key.evaluator,
            "dataset": str(cell.problem.dataset),
            "points": result.dataset.train,
            "published": published_name(cell),
            **{name: result.diagnostics[name] for name in SECONDS},
            **_of_texts(result),
        }
        for cell, result in found
        if result is not None and result.dataset is not None and cell.evaluator.kind == "unlearning"
    ]
    keys = ["problem", "evaluator", "dataset", "points", "published"]
    table = pd.DataFrame(rows)
    measured = [*SECONDS, *(name for name in OF_TEXTS if name in table)]
    ours = table.groupby(keys, sort=False)[measured].mean().reset_index().assign(source="")
    told = published()["efficiency"]
    theirs = [
        {"problem": "", "evaluator": told.evaluator, "dataset": dataset, "source": told.source, **told.numbers[name]}
        for dataset, name in dict(zip(ours["dataset"], ours["published"], strict=True)).items()
        if name in told.numbers
    ]
    table = pd.concat([ours.drop(columns="published"), pd.DataFrame(theirs)], ignore_index=True)
    return table.assign(train_over_unlearn=table["train_seconds"] / table["unlearn_seconds"])
