"""What a valuation yields."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from dvbench.results import ArrayName, Cost


@dataclass(frozen=True)
class ValuationOutput:
    """Values, standard errors if there are any, what they cost, and what else the evaluator reports."""

    arrays: dict[ArrayName, np.ndarray]
    cost: Cost
    diagnostics: dict[str, float]
