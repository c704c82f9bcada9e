"""Draws the minibatches of unlearning, so that they depend on the set of points to forget, not on their order.

For every place in a minibatch of the forget set, candidates are drawn from all players' points, with replacement. The
first candidate that is to be forgotten takes the place. So each point of the forget set is equally likely, and two
forget sets have the same point in that place unless the first candidate of their union is in only one of them: if a
point is added to k others, each place changes with probability 1 / (k + 1). The utilities of similar coalitions are
therefore similar, and the standard errors of marginal contributions small. Where no candidate is to be forgotten, which
happens if the forget set is a small part of the data, a random position in the sorted forget set decides.

Minibatches are drawn some steps at a time, so that their memory does not grow with the number of steps. The steps that
are drawn together do not change what is drawn. Random numbers come from the CPU, whatever the device, and all other
work is done on the device, for all coalitions together: each bit of a byte stands for one coalition.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch

from dvbench.randomness import torch_generator
from dvbench.training.stack_training import gather
from dvbench.training.tensors import as_indices

CANDIDATES = 32  # for one place in a minibatch; their numbers have 5 bits
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

    def pieces(
        self, coalitions: Sequence[np.ndarray], device: torch.device | str = "cpu"
    ) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        """Draw the minibatches of all steps, some steps at a time.

        Parameters
        ----------
        coalitions : sequence of numpy.ndarray of int, each (k,)
            Numbers of the points to forget, k >= 1, in any order.
        device : torch.device or str
            Device of the minibatches.

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
        sets = [as_indices(coalition, self._n) for coalition in coalitions]
        owners = torch.arange(len(sets)).repeat_interleave(torch.tensor([len(members) for members in sets]))
        owners, members = torch.stack([owners, torch.cat(sets)]).to(device)
        inside = torch.zeros(-(-len(sets) // 8) * 8, self._n, dtype=torch.uint8, device=device)
        inside[owners, members] = 1
        sizes = inside.sum(dim=1)[: len(sets), None]
        members, first = inside.nonzero()[:, 1], sizes.cumsum(dim=0) - sizes  # sorted, and without repetitions
        packed = (inside.view(8, -1, self._n) << _bits(device)).sum(dim=0, dtype=torch.uint8).T.contiguous()
        for uniform, candidates in self._drawn():
            uniform, candidates = uniform.to(device), candidates.to(device)
            number, taken = _first_inside(packed, candidates, len(sets))
            positions = (uniform[:, 0].flatten().double() * sizes).long() + first
            points = torch.where(taken, candidates.gather(0, number), gather(members, positions))
            forget = points.view(len(sets), *uniform[:, 0].shape).transpose(0, 1).contiguous()
            yield forget, (uniform[:, 1] * self._n_validation).long()

    def _drawn(self) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
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
            yield uniform, candidates.T.contiguous()


def _first_inside(packed: torch.Tensor, candidates: torch.Tensor, count: int) -> tuple[torch.Tensor, torch.Tensor]:
    """For every coalition and place, the number of the first candidate inside the coalition, and whether there is one.

    Parameters
    ----------
    packed : torch.Tensor of uint8, shape (n, bytes)
        Whether each point is in each coalition: bit b of byte w is coalition ``b * bytes + w``.
    candidates : torch.Tensor of int64, shape (CANDIDATES, places)
    count : int
        Number of coalitions.

    Returns
    -------
    number : torch.Tensor of int64, shape (count, places)
    taken : torch.Tensor of bool, shape (count, places)
    """
    taken = packed.new_zeros(candidates.shape[1], packed.shape[1])
    digits = [torch.zeros_like(taken) for _ in range((CANDIDATES - 1).bit_length())]  # of the number, in base 2
    for number, points in enumerate(candidates):
        inside = packed.index_select(0, points)
        new = inside & ~taken
        taken |= inside
        for exponent, digit in enumerate(digits):
            if number >> exponent & 1:
                digit |= new
    bits = _bits(packed.device)
    numbers = torch.zeros(8, *taken.shape, dtype=torch.uint8, device=packed.device)
    for exponent, digit in enumerate(digits):
        numbers |= (digit >> bits & 1) << exponent
    spread = [each.transpose(1, 2).reshape(-1, len(taken))[:count] for each in (numbers, taken >> bits & 1)]
    return spread[0].long(), spread[1].bool()


def _bits(device: torch.device | str) -> torch.Tensor:
    return torch.arange(8, dtype=torch.uint8, device=device)[:, None, None]
