"""What is used where the user chooses nothing: the evaluator and its utility, with the reason that is printed."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Literal

from dvbench.errors import UserError
from dvbench.games import enumerable
from dvbench.registry import Entry, entries
from dvbench.settings import Kind

Utility = Literal["accuracy", "log_loss", "mse"]
UTILITIES: dict[Kind, tuple[Utility, ...]] = {"classification": ("accuracy", "log_loss"), "regression": ("mse",)}
FOR_ROWS, FOR_GROUPS, FOR_REGRESSION = "knn_shapley", "partial_unlearning_shapley", "data_oob"
ADDS_UP = "data_shapley"  # to what all players together gain
SET_ELSEWHERE = {"utility": "--utility", "random_state": "--seed"}
ENUMERATING = ("beta_shapley", "data_shapley")  # exact with as many permutations as all coalitions cost
FEW_GROUPS = 12  # all coalitions of so many are 4,096 trainings; more groups are sampled with as many
LEAST_PERMUTATIONS = 10  # of very many groups
FOLD_PERMUTATIONS = 2  # in each fold; the least with standard errors
# These train models and predict with them, or use none. All others need gradients of a network.
WITH_ANY_MODEL = (
    "ame", "beta_shapley", "class_wise_shapley", "data_banzhaf", "data_oob", "data_shapley", "dvrl",
    "influence_subsample", "knn_shapley", "lava", "leave_one_out", "random", "robust_volume_shapley",
    "threshold_knn_shapley",
)  # fmt: skip


def default_evaluator(kind: Kind, grouped: bool, network: bool) -> tuple[str, str]:
    """Return the evaluator that is used by default, and why.

    Parameters
    ----------
    kind : {"classification", "regression"}
    grouped : bool
        Whether groups of rows are valued.
    network : bool
        Whether the model is a network.
    """
    if not network:
        return ("data_banzhaf" if grouped else FOR_REGRESSION), "it works with every model"
    if grouped:
        return FOR_GROUPS, (
            "it agrees best with retrained models in the published results of the suite board-providers; its values "
            f"are for the order of groups and do not add up, so divide no money by them, but by those of {ADDS_UP}"
        )
    if kind == "regression":
        return FOR_REGRESSION, "it values regressions; no published suite compares evaluators on them"
    return FOR_ROWS, (
        "it is fast on many rows, and finds wrong labels best on average in the published results of the suite "
        "board-points"
    )


def chosen_utility(utility: str | None, kind: Kind, entry: Entry) -> tuple[Utility, str | None]:
    """Return the utility and, if it was chosen here, why.

    Raises
    ------
    UserError
        If the utility is not one of this kind of problem.
    """
    offered = UTILITIES[kind]
    for each in offered:
        if each == utility:
            return each, None
    if utility is not None:
        raise UserError(f"the utility of a {kind} is {' or '.join(offered)}, not '{utility}'")
    if kind == "classification" and takes_utility(entry):
        return "log_loss", "unlearning changes a model little, which log loss shows and accuracy often does not"
    return offered[0], None


def takes_utility(entry: Entry) -> bool:
    """Whether an evaluator has a parameter ``utility``, which is ``"metric"`` or ``"log_loss"``."""
    return _takes(entry, "utility")


def _takes(entry: Entry, name: str) -> bool:
    return any(parameter.name == name for parameter in entry.definition.parameters or ())


def evaluator_parameters(entry: Entry, utility: Utility, rows_in_folds: bool, groups: int = 0) -> dict[str, Any]:
    """Return the parameters of an evaluator that the utility, the folds and the number of groups decide.

    Parameters
    ----------
    entry : Entry
    utility : {"accuracy", "log_loss", "mse"}
    rows_in_folds : bool
        Whether rows are valued, by folds. Every row is then valued several times, so fewer permutations are enough.
    groups : int
        Number of groups that are valued. A few permutations of them would be noise: a group is seldom among the first,
        which gain most. The exact values of few groups cost little.
    """
    if entry.name in ENUMERATING and groups > 1:
        trainings = 2 ** min(groups, FEW_GROUPS)
        return {"permutations": max(-(-trainings // (groups - 1)), LEAST_PERMUTATIONS)}
    if not takes_utility(entry):
        return {}
    params: dict[str, Any] = {"utility": "log_loss" if utility == "log_loss" else "metric"}
    return params | (
        {"sampling": {"permutations": FOLD_PERMUTATIONS}} if rows_in_folds and _takes(entry, "sampling") else {}
    )


def enumerates(entry: Entry, params: Mapping[str, Any], groups: int) -> bool:
    """Whether an evaluator trains on all coalitions of the groups, with these parameters."""
    permutations = params.get("permutations")
    return (
        entry.name in ENUMERATING and groups > 1 and isinstance(permutations, int) and enumerable(groups, permutations)
    )


def check_takes(entry: Entry, kind: Kind) -> None:
    """Raise a `UserError` if an evaluator says that it takes no tables of this kind.

    Parameters
    ----------
    entry : Entry
        Its docstring has a line that begins with ``Takes:``; those of others may have none.
    kind : {"classification", "regression"}
    """
    if _may_take(entry, kind):
        return
    if not _may_take(entry, "classification"):
        raise UserError(f"{entry.name} takes texts only, and no table")
    others = [name for name, each in entries("evaluators").items() if _may_take(each, kind) and name != "random"]
    raise UserError(f"{entry.name} takes classes, and cannot value a {kind}; these evaluators can: {', '.join(others)}")


def _may_take(entry: Entry, kind: Kind) -> bool:
    said = re.search(r"^\s*Takes: ([^.;]*(?:; neither[^.]*)?)", entry.docstring, re.MULTILINE)
    if said is None:
        return True
    if said[1].startswith("texts only"):
        return False
    return kind == "classification" or "neither regressions" not in said[1]


def check_parameters(entry: Entry, given: Mapping[str, Any]) -> None:
    """Raise a `UserError` if an evaluator has no such parameter, or if it has an option of its own."""
    for name, option in SET_ELSEWHERE.items():
        if name in given:
            raise UserError(f"give {name} as {option}, not as a parameter of {entry.name}")
    entry.check_parameters(given)


def check_model(evaluator: str, network: bool, model: str) -> None:
    """Raise a `UserError` if an evaluator of dvbench needs the gradients of a network and the model is none."""
    if network or evaluator in WITH_ANY_MODEL or ":" in evaluator:
        return
    raise UserError(
        f"{evaluator} needs gradients, which {model} does not have; these evaluators can use it: "
        f"{', '.join(name for name in WITH_ANY_MODEL if name != 'random')}"
    )
