"""Draws the minibatches of unlearning, so that they depend on the set of points to forget, not on their order.

For every place in a minibatch of the forget set, candidates are drawn from all players' points, with replacement. The
first candidate that is to be forgotten takes the place. So each point of the forget set is equally likely, and two
forget sets have the same point in that place unless the first candidate of their union is in only one of them: if a
point is added to k others, each place changes with probability 1 / (k + 1). The utilities of similar coalitions are
therefore similar, and the standard errors of marginal contributions small. Where no candidate is to be forgotten, which
happens if the forget set is a small part of the data, a random position in the sorted forget set decides.

Minibatches are drawn some steps at a time, so that their memory does not grow with the number of steps. The steps that
are drawn together do not change what is drawn.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch

from dvbench.randomness import torch_generator
from dvbench.training.tensors import as_indices

CANDIDATES = 32  # for one place in a minibatch
PLACES = 2**15  # in minibatches that are drawn together; their candidates take 8 MiB


class Minibatches:
    """The minibatches of one seed.

    Parameters
    ----------
    steps, batch_size : int
    n, n_validation : int
        Number of players' points and of points of the validation set.
    seed : int
    """

    def __init__(self, steps: int, batch_size: int, n: int, n_validation: int, seed: int) -> None:
        self._steps, self._batch_size = steps, batch_size
        self._n, self._n_validation = n, n_validation
        self._seed = seed

    def pieces(self, coalitions: Sequence[np.ndarray]) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        """Draw the minibatches of all steps, some steps at a time.

        Parameters
        ----------
        coalitions : sequence of numpy.ndarray of int, each (k,)
            Numbers of the points to forget, k >= 1, in any order.

        Yields
        ------
        forget : torch.Tensor of int64, shape (steps of this piece, coalitions, batch_size)
            Points of each forget set in each step, with replacement.
        validation : torch.Tensor of int64, shape (steps of this piece, batch_size)
            Points of the validation set in each step, with replacement.

        Raises
        ------
        ValueError
            If a coalition is not an array of numbers of points.
        """
        sets = [np.unique(as_indices(coalition, self._n).numpy()) for coalition in coalitions]
        for uniform, candidates in self._drawn():
            positions = uniform[:, 0].flatten().double().numpy()
            forget = [self._points(members, positions, candidates).reshape(len(uniform), -1) for members in sets]
            yield torch.from_numpy(np.stack(forget, axis=1)), (uniform[:, 1] * self._n_validation).long()

    def _drawn(self) -> Iterator[tuple[torch.Tensor, np.ndarray]]:
        """Draw the numbers of some steps: uniform ones (steps, 2, batch_size), and candidates (CANDIDATES, places)."""
        at_once = max(1, PLACES // self._batch_size)
        sizes = [min(at_once, self._steps - start) for start in range(0, self._steps, at_once)]
        # The candidates of all steps follow the uniform numbers of all steps, so a second generator skips these.
        first = second = torch_generator(self._seed)
        if len(sizes) > 1:
            second = torch_generator(self._seed)
            for size in sizes:
                torch.rand(size, 2, self._batch_size, generator=second)
        for size in sizes:
            uniform = torch.rand(size, 2, self._batch_size, generator=first)
            candidates = torch.randint(self._n, (size * self._batch_size, CANDIDATES), generator=second)
            yield uniform, candidates.T.contiguous().numpy()

    def _points(self, members: np.ndarray, positions: np.ndarray, drawn: np.ndarray) -> np.ndarray:
        """Choose a point of a forget set for every place, (places,); candidates are (CANDIDATES, places)."""
        inside = np.zeros(self._n, dtype=bool)
        inside[members] = True
        points: np.ndarray = members[(positions * len(members)).astype(np.int64)]
        places = np.arange(len(points))
        for candidates in drawn:  # most places are taken by the first ones, so few places remain for the others
            if not len(places):
                break
            remaining = candidates[places]
            taken = inside[remaining]
            points[places[taken]] = remaining[taken]
            places = places[~taken]
        return points
