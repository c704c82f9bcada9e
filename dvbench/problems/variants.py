"""Variants of a problem: changed problems that are valued beside it, because a task compares the values of both.

A task names the variants that it needs; see `dvbench.scoring.contract.Task`. What is drawn for a variant depends on the
data set and the seed alone, so all evaluators value the same variants.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from dvbench.errors import UserError, unknown
from dvbench.randomness import generator
from dvbench.results.schema import ArrayName

if TYPE_CHECKING:
    import torch

    from dvbench.problems.problem import Problem, Split
    from dvbench.settings import Training

PLANTED = 0.2  # fraction of the players that have the shortcut
STRENGTH = 5.0  # of the planted feature, in standard deviations of all features
SINGLE_POINTS = 20  # of the validation set, each of which is the whole validation set of a variant
NO_RATE = 1e-12  # a learning rate with which a model keeps its initial weights, up to rounding


@dataclass(frozen=True)
class Variant:
    """How a problem is changed.

    Parameters
    ----------
    change : callable
        From a problem to the changed one.
    more_players : int
        Number of players that the changed problem has more; they are the last ones.
    trains : bool
        Whether models are trained. If not, they keep their random initial weights.
    same_seeds : bool
        Whether it is valued with the seeds of the problem itself, so that only the change makes a difference.
    """

    change: Callable[[Problem], Problem] = lambda problem: problem
    more_players: int = 0
    trains: bool = True
    same_seeds: bool = False

    def training(self, training: Training) -> Training:
        """Settings of the training of models in the variant of a problem with these settings."""
        return training if self.trains else training.model_copy(update={"lr": NO_RATE})


def provider(problem: Problem) -> int:
    """The player that acts under two names in the variants ``copied`` and ``split``.

    It is one whose data are not disturbed, if there is any: who has wrong labels gains nothing from a copy.

    Raises
    ------
    UserError
        If the players are points.
    """
    if problem.groups is None:
        raise UserError(
            "providers are groups of points: give the problem groups, such as { by = 'random', count = 10 }"
        )
    clean = np.flatnonzero(~problem.corrupted) if not problem.corrupted.all() else np.arange(problem.players)
    return int(clean[generator(problem.dataset, problem.seed, "provider").integers(len(clean))])


def planted(problem: Problem) -> np.ndarray:
    """Mask of the players whose points have the planted feature in the variant ``shortcut``, of shape (players,)."""
    mask = np.zeros(problem.players, dtype=bool)
    chosen = generator(problem.dataset, problem.seed, "planted").permutation(problem.players)
    mask[chosen[: max(1, round(PLANTED * problem.players))]] = True
    return mask


def single_points(problem: Problem) -> np.ndarray:
    """Points of the validation set for each of which players are valued alone, in the variants ``point_0`` and so on.

    Parameters
    ----------
    problem : Problem

    Returns
    -------
    numpy.ndarray of int, shape (20,)
        Numbers of random points in the validation set, in ascending order. Of texts, those that the loss includes
        tokens of.

    Raises
    ------
    UserError
        If the validation set has fewer points.
    """
    from dvbench.problems.perplexity import are_tokens

    split, usable = problem.validation, np.arange(len(problem.validation))
    if problem.kind == "language":
        included = are_tokens(split.x).numpy() & (np.arange(split.x.shape[1]) >= split.y.clamp(min=1).numpy())
        usable = np.flatnonzero(included.any(axis=1))
    if len(usable) < SINGLE_POINTS:
        raise UserError(
            f"{SINGLE_POINTS} points of the validation set are valued for one by one; it has {len(usable)}: make it "
            "larger"
        )
    drawn = generator(problem.dataset, problem.seed, "single points").permutation(usable)[:SINGLE_POINTS]
    return np.sort(drawn)


def _single_point(problem: Problem, number: int) -> Problem:
    """Leave one point in the validation set."""
    return replace(problem, validation=_rows(problem.validation, single_points(problem)[[number]]))


def _copied(problem: Problem) -> Problem:
    """Add a player with the same points as the provider."""
    number = provider(problem)
    assert problem.groups is not None
    again = np.append(np.arange(len(problem.train)), np.flatnonzero(problem.groups == number))
    groups = np.append(problem.groups, np.full(len(again) - len(problem.groups), problem.players))
    return replace(
        problem,
        train=_rows(problem.train, again),
        rows=problem.rows[again],
        groups=groups,
        corrupted=np.append(problem.corrupted, problem.corrupted[number]),
    )


def _split(problem: Problem) -> Problem:
    """Give a random half of the provider's points to a new player."""
    number = provider(problem)
    assert problem.groups is not None
    points = np.flatnonzero(problem.groups == number)
    if len(points) < 2:
        raise UserError("a provider of one point cannot split its data: make fewer groups")
    half = generator(problem.dataset, problem.seed, "halves").permutation(points)[: len(points) // 2]
    groups = problem.groups.copy()
    groups[half] = problem.players
    return replace(problem, groups=groups, corrupted=np.append(problem.corrupted, problem.corrupted[number]))


def _shortcut(problem: Problem) -> Problem:
    """Plant a feature that decides the labels of some players and of the validation set, which nothing else does.

    The first features, as many as there are classes, are set to 0 everywhere. In points of the planted players and of
    the validation set, the one with the number of the point's label is set to `STRENGTH`. These labels are permuted
    first, so that they do not depend on other features: only planted players are of use.
    """
    if problem.kind != "classification":
        raise UserError("a shortcut is planted for classes only: the problem has none")
    columns, train, validation = problem.outputs, problem.train, problem.validation
    if train.x[0].numel() < columns:
        raise UserError(f"a shortcut needs as many features as there are classes, {columns}")
    strength = STRENGTH * float(train.x.std())
    mask = planted(problem)
    rows = np.flatnonzero(mask if problem.groups is None else mask[problem.groups])
    train = _permuted(train, rows, generator(problem.dataset, problem.seed, "planted labels"))
    everywhere = np.arange(len(validation))
    validation = _permuted(
        validation, everywhere, generator(problem.dataset, problem.seed, "planted labels", "validation")
    )
    return replace(
        problem,
        train=_with_shortcut(train, rows, columns, strength),
        validation=_with_shortcut(validation, everywhere, columns, strength),
    )


def _random_labels(draw: str) -> Callable[[Problem], Problem]:
    """Permute all labels of the training set and of the validation set; ``draw`` is a part of the key of randomness."""

    def change(problem: Problem) -> Problem:
        if problem.kind == "language":
            raise UserError("texts have no labels that could be permuted")
        parts = {"train": problem.train, "validation": problem.validation}
        permuted = {
            name: _permuted(part, np.arange(len(part)), generator(problem.dataset, problem.seed, draw, name))
            for name, part in parts.items()
        }
        return replace(problem, train=permuted["train"], validation=permuted["validation"])

    return change


def _rows(split: Split, rows: np.ndarray) -> Split:
    import torch

    numbers = torch.from_numpy(rows)
    return replace(split, x=split.x[numbers], y=split.y[numbers])


def _permuted(split: Split, rows: np.ndarray, rng: np.random.Generator) -> Split:
    """Permute the targets of some rows."""
    import torch

    y = split.y.clone()
    y[torch.from_numpy(rows)] = split.y[torch.from_numpy(rng.permutation(rows))]
    return replace(split, y=y)


def _with_shortcut(split: Split, rows: np.ndarray, columns: int, strength: float) -> Split:
    """Set the first columns to 0, and in some rows that of the label to ``strength``."""
    x: torch.Tensor = split.x.clone()
    flat = x.view(len(x), -1)
    flat[:, :columns] = 0
    flat[rows, :columns] = strength * split.y[rows]
    return replace(split, x=x)


VARIANTS: Mapping[str, Variant] = {
    "repeat": Variant(),
    "copied": Variant(_copied, more_players=1, same_seeds=True),
    "split": Variant(_split, more_players=1, same_seeds=True),
    "untrained": Variant(trains=False),
    "shortcut": Variant(_shortcut),
    "null": Variant(_random_labels("null")),
    "other_null": Variant(_random_labels("other null")),
    **{f"point_{number}": Variant(partial(_single_point, number=number)) for number in range(SINGLE_POINTS)},
}
"""By the name of the array that holds the values. ``repeat`` is the problem itself, valued with other seeds."""


FAMILIES = {"points": tuple(name for name in VARIANTS if name.startswith("point_"))}
"""Variants that a task needs all of, by the name that it gives them."""


def array_length(name: str, players: int) -> int:
    """How many numbers an array of a result has that has one for each player."""
    return players + VARIANTS[name].more_players if name in VARIANTS else players


def needed(metadata: Mapping[str, Any]) -> list[ArrayName]:
    """Return the variants that a task needs, by its metadata.

    Raises
    ------
    UserError
        If there is no such variant.
    """
    named = [*(["repeat"] if metadata.get("repeats") else []), *metadata.get("variants", ())]
    names = [name for given in named for name in FAMILIES.get(given, (given,))]
    for name in names:
        if name not in VARIANTS:
            raise unknown("variant of a problem", str(name), [*VARIANTS, *FAMILIES])
    return cast("list[ArrayName]", names)


def in_words(name: str) -> str:
    """What messages call the valuation of a variant."""
    return "second valuation" if name == "repeat" else f"variant '{name}'"
