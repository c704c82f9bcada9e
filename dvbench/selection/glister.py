"""Glister: points whose gradients lower the loss on the validation set most."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch

from dvbench.selecting.contract import Points, Selected, SelectionStrategy


@dataclass(frozen=True)
class Glister(SelectionStrategy):
    """Glister: greedy choice of the points whose gradients agree best with that of the validation set.

    In each step some random candidates are drawn, and the one whose gradient has the largest inner product with the
    gradient of the validation loss is chosen. Then the validation loss is that after a step along the sum of the
    gradients chosen so far. Only the last layer is moved.

    Notes
    -----
    Variant: stochastic greedy, with (n / budget) ln(1 / epsilon) candidates in each step; the rate of the step is that
    of training. Inner products of the inputs of the last layer, of all points with all of the validation set, are in
    memory.

    References
    ----------
    K. Killamsetty, D. Sivasubramanian, G. Ramakrishnan, R. Iyer. GLISTER: generalization based data subset selection
    for efficient and robust learning. AAAI 2021, arXiv:2012.10630. Algorithm 2.
    """

    epsilon: float = 0.01

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 < self.epsilon < 1:
            raise ValueError(f"epsilon is above 0 and below 1, not {self.epsilon!r}")

    def choose(self, points: Points, budget: int, rng: np.random.Generator) -> Selected:
        """Choose greedily by a Taylor expansion of the validation loss."""
        left, right = points.gradients.left, points.gradients.right
        validation = points.validation
        inputs = right @ validation.gradients.right.T  # (n, validation points)
        logits = (
            validation.logits.T.contiguous()
        )  # (classes, validation points): softmax along the classes is faster so
        labels = logits.softmax(dim=0) - validation.gradients.left.T
        count = math.ceil(len(points) / budget * math.log(1 / self.epsilon))
        free, rows = np.arange(len(points)), np.empty(budget, dtype=np.int64)
        for step in range(budget):
            places = rng.integers(len(free), size=count) if count < len(free) else np.arange(len(free))
            candidates = torch.from_numpy(free[places]).to(left.device)
            errors = logits.softmax(dim=0).sub_(labels)
            gains = (left[candidates] @ errors).mul_(inputs[candidates]).sum(dim=1)
            place = places[int(gains.argmax())]
            chosen = rows[step] = free[place]
            free[place] = free[-1]
            free = free[:-1]
            logits.addr_(left[chosen], inputs[chosen], alpha=-points.how.lr)
        return rows, None
