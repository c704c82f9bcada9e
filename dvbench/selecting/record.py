"""The record of what was chosen, from which anybody can train the same models again without the strategy.

``chosen`` holds one bit for each fraction, selection and point, in this order; the bits of the points are filled up to
whole bytes. A strategy that chose once has one selection. ``weights`` holds, in half precision, the weights of the
chosen points, in the same order; it is left out where all of them are 1.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from torch import nn

from dvbench.errors import UserError
from dvbench.results import ArrayName
from dvbench.selecting.factory import budget_of
from dvbench.settings import SelectionSettings
from dvbench.training.selective import Choose, Chosen


class Recorder:
    """Passes on what a strategy chooses, and keeps it in ``choices``.

    Parameters
    ----------
    choose : callable
    """

    def __init__(self, choose: Choose) -> None:
        self._choose = choose
        self.choices: list[Chosen] = []

    def __call__(self, network: nn.Module, number: int) -> Chosen:
        """Choose, and keep the choice."""
        self.choices.append(self._choose(network, number))
        return self.choices[-1]


def packed(choices: Sequence[Sequence[Chosen]], n: int) -> dict[ArrayName, np.ndarray]:
    """Record choices among n points: for each fraction, those of each selection."""
    if all(_equal(chosen, one[0]) for one in choices for chosen in one):
        choices = [one[:1] for one in choices]
    masks = np.zeros((len(choices), len(choices[0]), n), dtype=bool)
    for of_fraction, one in zip(masks, choices, strict=True):
        for mask, chosen in zip(of_fraction, one, strict=True):
            mask[chosen.indices] = True
    weights = np.concatenate([chosen.weights for one in choices for chosen in one])
    arrays: dict[ArrayName, np.ndarray] = {"chosen": np.packbits(masks, axis=2).reshape(-1)}
    return arrays if (weights == 1).all() else arrays | {"weights": weights.astype(np.float16)}


def unpacked(
    arrays: Mapping[ArrayName, np.ndarray], n: int, how: SelectionSettings, keeps_all: bool = False
) -> list[list[Chosen]]:
    """Read a record: for each fraction, the choice of each selection.

    Parameters
    ----------
    arrays : mapping
        ``chosen``, and ``weights`` where they are not 1.
    n : int
        Number of points.
    how : SelectionSettings
    keeps_all : bool
        Whether more points than the budget may be chosen: all of them.

    Raises
    ------
    UserError
        If it is no record of this training, or more points were chosen than a fraction allows.
    """
    fractions, width = len(how.fractions), -(-n // 8)
    bits = arrays.get("chosen")
    selections, rest = divmod(0 if bits is None else len(bits), fractions * width)
    if bits is None or rest or selections not in (1, how.selections):
        raise UserError(f"there is no record of what was chosen of {n} points for {fractions} fractions")
    masks = np.unpackbits(bits.reshape(fractions, selections, width), axis=2)[:, :, :n].astype(bool)
    for fraction, counts in zip(how.fractions, masks.sum(axis=2), strict=True):
        allowed = n if keeps_all else budget_of(fraction, n)
        if counts.min() == 0 or counts.max() > allowed:
            raise UserError(
                f"{counts.max()} of {n} points were chosen at fraction {fraction:g}, which allows {allowed}"
            )
    weights = arrays.get("weights", np.ones(int(masks.sum()))).astype(np.float32)
    if len(weights) != masks.sum() or (weights < 0).any():
        raise UserError(f"there are {len(weights)} weights for {int(masks.sum())} chosen points")
    return _choices(masks, weights)


def _choices(masks: np.ndarray, weights: np.ndarray) -> list[list[Chosen]]:
    ends = np.cumsum(masks.sum(axis=2).reshape(-1))
    parts = iter(np.split(weights, ends[:-1]))
    return [[Chosen(np.flatnonzero(mask), next(parts)) for mask in of_fraction] for of_fraction in masks]


def how_often(choices: Sequence[Sequence[Chosen]], n: int) -> np.ndarray:
    """Share of all selections, over all fractions, in which each of n points was chosen: (n,)."""
    counts = np.zeros(n)
    for one in choices:
        for chosen in one:
            counts[chosen.indices] += 1 / len(one)
    return counts / len(choices)


def _equal(one: Chosen, other: Chosen) -> bool:
    return np.array_equal(one.indices, other.indices) and np.array_equal(one.weights, other.weights)
