"""The output of a valuation."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from dvbench.results import ArrayName, Cost


@dataclass(frozen=True)
class ValuationOutput:
    """Data values, standard errors if the evaluator has them, the cost of the valuation, and diagnostics."""

    arrays: dict[ArrayName, np.ndarray]
    cost: Cost
    diagnostics: dict[str, float]
