"""Random points, drawn anew at every selection."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from dvbench.selecting.contract import Points, Selected, SelectionStrategy


@dataclass(frozen=True)
class AdaptiveRandom(SelectionStrategy):
    """Adaptive random: points that are drawn anew at every selection, so that a model sees many points over time."""

    def choose(self, points: Points, budget: int, rng: np.random.Generator) -> Selected:
        """Draw points without replacement."""
        return rng.permutation(len(points))[:budget], None
