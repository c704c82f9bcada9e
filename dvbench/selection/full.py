"""All points: the reference."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from dvbench.selecting.contract import Points, Selected, SelectionStrategy
from dvbench.settings import Role


@dataclass(frozen=True)
class Full(SelectionStrategy):
    """Full: all points, whatever the fraction. It is what other strategies are compared with."""

    reselects: ClassVar[bool] = False
    role: ClassVar[Role] = "reference"
    keeps_all: ClassVar[bool] = True

    def choose(self, points: Points, budget: int, rng: np.random.Generator) -> Selected:
        """Choose all points."""
        return np.arange(len(points)), None
