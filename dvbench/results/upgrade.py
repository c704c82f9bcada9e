"""Reads what earlier versions of the result schema wrote.

Version 1 called the validation set the reachable set, spread the settings of a problem over its cell, had data sets of
their own for texts of which answers count, did not save the x axes of curves, and gave the settings of unlearning and
of sampling as parameters of the evaluators.
"""

from __future__ import annotations

from typing import Any

PROBLEM = (
    "dataset",
    "sizes",
    "noise",
    "imbalance",
    "groups",
    "model",
    "training",
    "selection",
)  # settings of a problem
METHOD = ("parameters", "steps", "batch_size", "lr", "weight_decay", "lambda1", "lambda2")  # settings of unlearning
SAMPLING = ("permutations", "seconds", "target_standard_error", "antithetic", "truncation")
UNLEARNING_EVALUATORS = ("unlearning_shapley", "partial_unlearning_shapley")
DIAGNOSTICS = {"performance_full": "utility_full", "performance_unlearned": "utility_unlearned"}
KEPT = {1: "kept_0.1", 5: "kept_0.3", 9: "kept_0.5"}  # metrics of point addition by their position in its curves
X_CURVES = ("fraction", "log10_loss", "step")  # the curves of version 1 that others are drawn over


def upgrade_result(data: Any) -> Any:
    """Turn the content of a ``result.json`` of version 1 into one of version 2; anything else is returned as it is.

    A score of an earlier version of its task, whose curves hold what the task measures now, gets the newer metrics.
    """
    if _is_first(data):
        data = _second(data)
    scores = data.get("scores") if isinstance(data, dict) else None
    if not isinstance(scores, dict) or "point_addition" not in scores:
        return data
    return {**data, "scores": {**scores, "point_addition": _with_kept(scores["point_addition"])}}


def _second(data: dict[str, Any]) -> dict[str, Any]:
    changes: dict[str, Any] = {"schema_version": 2, "cell": _cell(data.get("cell"))}
    if isinstance(data.get("dataset"), dict):
        changes["dataset"] = _renamed(data["dataset"])
    if isinstance(data.get("scores"), dict):
        changes["scores"] = {name: _with_axes(_with_utility(score)) for name, score in data["scores"].items()}
    if isinstance(data.get("diagnostics"), dict):
        changes["diagnostics"] = {DIAGNOSTICS.get(name, name): value for name, value in data["diagnostics"].items()}
    return {**data, **changes}


def upgrade_plan(data: Any) -> Any:
    """Turn the content of a ``plan.json`` of version 1 into one of version 2; anything else is returned as it is."""
    if not _is_first(data) or not isinstance(data.get("cells"), list):
        return data
    return {**data, "schema_version": 2, "cells": [_cell(cell) for cell in data["cells"]]}


def _is_first(data: Any) -> bool:
    return isinstance(data, dict) and data.get("schema_version") == 1


def _cell(cell: Any) -> Any:
    if not isinstance(cell, dict) or "problem" in cell:
        return cell
    problem = {name: cell[name] for name in PROBLEM if name in cell}
    if isinstance(problem.get("sizes"), dict):
        problem["sizes"] = _renamed(problem["sizes"])
    if isinstance(problem.get("dataset"), str):
        problem["dataset"] = _dataset(problem["dataset"])
    rest = {name: value for name, value in cell.items() if name not in PROBLEM}
    return {"problem": problem, **rest, "evaluator": _evaluator(cell.get("evaluator"))}


def _evaluator(evaluator: Any) -> Any:
    """Group the settings of unlearning, and those of sampling, of an unlearning evaluator."""
    if not isinstance(evaluator, dict) or evaluator.get("name") not in UNLEARNING_EVALUATORS:
        return evaluator
    params = evaluator.get("params")
    if not isinstance(params, dict) or "sampling" in params or isinstance(params.get("method"), dict):
        return evaluator
    method, sampling = ({name: params[name] for name in names if name in params} for names in (METHOD, SAMPLING))
    grouped = {name: value for name, value in params.items() if name not in (*METHOD, *SAMPLING)}
    if method:
        grouped["method"] = {"name": params.get("method", "gradient_ascent"), **method}
    if sampling:
        grouped["sampling"] = sampling
    return {**evaluator, "params": grouped}


def _dataset(text: str) -> Any:
    """A data set whose texts count by their answers is a parameter of the other one; other texts are read as such."""
    name = text.removesuffix("_answers")
    if name != text and name in ("text_corpus", "tiny_text", "wiki_web_stories"):
        return {"name": name, "params": {"counted": "answers"}}
    return text


def _with_utility(score: Any) -> Any:
    """Rename the curve of group LDS that version 1 called performance."""
    if not isinstance(score, dict) or not isinstance(score.get("curves"), dict) or "summed" not in score["curves"]:
        return score
    curves = {"utility" if name == "performance" else name: curve for name, curve in score["curves"].items()}
    return {**score, "curves": curves}


def _with_axes(score: Any) -> Any:
    """Add to a score the x axes of its curves."""
    if not isinstance(score, dict) or not isinstance(score.get("curves"), dict):
        return score
    curves = {name: curve for name, curve in score["curves"].items() if isinstance(curve, list)}
    return {**score, "axes": {name: _axis(name, curves) for name in curves if name not in X_CURVES}}


def _axis(name: str, curves: dict[str, list[Any]]) -> str:
    """The x axis of a curve of a task of version 1."""
    if name in ("train_loss", "test_loss"):
        return "epoch"
    if name == "summed" or (name == "utility" and "summed" in curves):
        return "coalition"
    for axis in X_CURVES:
        same_length = axis in curves and len(curves[axis]) == len(curves[name])
        if same_length and (axis != "step" or name.startswith("unlearning_")):
            return axis
    return "player"


def _with_kept(score: Any) -> Any:
    """Compare the most valuable points with random ones, as version 2 of point addition does."""
    if not isinstance(score, dict) or score.get("version") != 1 or score.get("headline") != "early_gap":
        return score
    curves, metrics = score.get("curves"), score.get("metrics")
    if not isinstance(curves, dict) or not isinstance(metrics, dict):
        return score
    high, chance = curves.get("add_high"), curves.get("random")
    if not isinstance(high, list) or not isinstance(chance, list) or not len(high) == len(chance) == 20:
        return score
    try:
        kept = {name: high[step] - chance[step] for step, name in KEPT.items()}
    except TypeError:
        return score
    headline = "kept_against_random"
    metrics = {headline: sum(kept.values()) / len(kept), **kept, **metrics}
    return {**score, "version": 2, "headline": headline, "metrics": metrics}


def _renamed(sizes: dict[str, Any]) -> dict[str, Any]:
    return {"validation" if name == "reachable" else name: value for name, value in sizes.items()}
