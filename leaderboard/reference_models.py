"""The scores of the retrained and of the full model, with which unlearning methods are compared.

Both are known from the metrics that tasks save of every method: the full model, from which all methods start, has a
metric of its own, and the retrained model is the target, with whose outputs all others are compared.
"""

from __future__ import annotations

import json
import math
from functools import cache
from typing import Any

import pandas as pd

from dvbench.errors import UserError
from dvbench.registry import find
from leaderboard.statistics import records

RETRAINED, FULL = "retrained model", "full model"
MODELS = {RETRAINED: "the target", FULL: "nothing unlearned"}


@cache
def judges_unlearning(task: str) -> bool:
    """Whether a task compares unlearned models with retrained ones, as its source states it."""
    try:
        return bool(find("tasks", task).definition.metadata.get("judges_unlearning"))
    except UserError:
        return False


def model_scores(scores: pd.DataFrame) -> pd.DataFrame:
    """Return the headline scores of both models.

    Parameters
    ----------
    scores : pandas.DataFrame
        As in a `leaderboard.suite_scores.SuiteScores`.

    Returns
    -------
    pandas.DataFrame
        ``problem``, ``task``, ``seed``, ``model`` (`RETRAINED` or `FULL`) and ``value``: one row for each model whose
        score is known in a problem, task and seed. The models are the same for all methods, so those of the first
        method with a score are taken.
    """
    judged = scores[(scores["status"] == "ok") & scores["task"].map(judges_unlearning)]
    once = judged.drop_duplicates(["problem", "task", "seed"])
    rows = [
        {"problem": row["problem"], "task": row["task"], "seed": row["seed"], "model": model, "value": value}
        for row in records(once)
        for model, value in ((RETRAINED, _retrained(row)), (FULL, _full(row)))
        if math.isfinite(value)
    ]
    return pd.DataFrame(rows, columns=["problem", "task", "seed", "model", "value"])


def _retrained(row: dict[str, Any]) -> float:
    """Return what models retrained with another seed reach if a task measured it, or else the best possible score."""
    if not math.isnan(row["ceiling"]):
        return float(row["ceiling"])
    return float(row["highest"] if row["higher_is_better"] else row["lowest"])


def _full(row: dict[str, Any]) -> float:
    metrics = json.loads(row["metrics"])
    if row["metric"] == "kr_error" and "kr_forget_retrained" in metrics:
        return abs(1 - float(metrics["kr_forget_retrained"]))  # the full model has kept all: its KR is 1
    return float(metrics.get(f"{row['metric']}_full", math.nan))
