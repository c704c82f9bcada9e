"""Random points, drawn once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from dvbench.selecting.contract import Points, Selected, SelectionStrategy
from dvbench.settings import Role


@dataclass(frozen=True)
class Random(SelectionStrategy):
    """Random: points that are drawn once, before training. A choice that is no better is worth nothing."""

    reselects: ClassVar[bool] = False
    role: ClassVar[Role] = "random"

    def choose(self, points: Points, budget: int, rng: np.random.Generator) -> Selected:
        """Draw points without replacement."""
        return rng.permutation(len(points))[:budget], None
