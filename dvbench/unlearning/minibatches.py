"""Draws the minibatches of unlearning, so that they depend on the set of points to forget, not on their order.

For every place in a minibatch of the forget set, candidates are drawn from all players' points, with replacement. The
first candidate that is to be forgotten takes the place. So each point of the forget set is equally likely, and two
forget sets have the same point in that place unless the first candidate of their union is in only one of them: if a
point is added to k others, each place changes with probability 1 / (k + 1). The utilities of similar coalitions are
therefore similar, and the standard errors of marginal contributions small. Where no candidate is to be forgotten, which
happens if the forget set is a small part of the data, a random position in the sorted forget set decides.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import torch

from dvbench.randomness import torch_generator
from dvbench.training.tensors import as_indices

CANDIDATES = 32  # for one place in a minibatch
BLOCKS = (0, 2, 8, CANDIDATES)  # most places are taken by the first candidates, so the others are looked at later


class Minibatches:
    """The minibatches of one seed.

    Parameters
    ----------
    steps, batch_size : int
    n, n_validation : int
        Number of players' points and of points of the validation set.
    seed : int

    Attributes
    ----------
    validation : torch.Tensor of int64, shape (steps, batch_size)
        Points of the validation set in each step, with replacement.
    """

    def __init__(self, steps: int, batch_size: int, n: int, n_validation: int, seed: int) -> None:
        generator = torch_generator(seed)
        uniform = torch.rand(steps, 2, batch_size, generator=generator)
        self.validation = (uniform[:, 1] * n_validation).long()
        self._positions = uniform[:, 0].flatten().double().numpy()
        self._candidates = torch.randint(n, (steps * batch_size, CANDIDATES), generator=generator).numpy()
        self._shape = steps, batch_size
        self._n = n

    def forget(self, coalition: np.ndarray) -> torch.Tensor:
        """Points of a forget set in each step, with replacement.

        Parameters
        ----------
        coalition : numpy.ndarray of int, shape (k,)
            Numbers of the points to forget, k >= 1, in any order.

        Returns
        -------
        torch.Tensor of int64, shape (steps, batch_size)

        Raises
        ------
        ValueError
            If it is not an array of numbers of points.
        """
        members = np.unique(as_indices(coalition, self._n).numpy())
        inside = np.zeros(self._n, dtype=bool)
        inside[members] = True
        points = members[(self._positions * len(members)).astype(np.int64)]
        places = np.arange(len(points))
        for start, stop in pairwise(BLOCKS):
            candidates = self._candidates[places, start:stop]
            wanted = inside[candidates]
            taken = wanted.any(axis=1)
            first = wanted[taken].argmax(axis=1)
            points[places[taken]] = candidates[taken, first]
            places = places[~taken]
        return torch.from_numpy(points).reshape(self._shape)
