"""InfoBatch-style pruning: points of low loss are dropped at random, and those that are kept count more."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from dvbench.selecting.contract import Points, Selected, SelectionStrategy


@dataclass(frozen=True)
class InfoBatch(SelectionStrategy):
    """InfoBatch: all points of a loss above the mean, and random ones of the others, which count for those left out.

    If there are b points of a loss up to the mean, and k of them are kept, these have the weight b / k, so that the
    expected gradient is that of all points. If the budget does not suffice for the points above the mean, random ones
    of them are kept.

    Notes
    -----
    Variant: points are pruned to a budget, at every selection. The paper drops a fixed share of the points of low loss
    anew in each epoch, and prunes none in the last epochs.

    References
    ----------
    Z. Qin, K. Wang, Z. Zheng, J. Gu, X. Peng, Z. Xu, D. Zhou, L. Shang, B. Sun, X. Xie, Y. You. InfoBatch: lossless
    training speed up by unbiased dynamic data pruning. ICLR 2024, arXiv:2303.04947.
    """

    def choose(self, points: Points, budget: int, rng: np.random.Generator) -> Selected:
        """Keep points of high loss, and draw from the others."""
        losses = points.losses.double().cpu().numpy()
        high, low = np.flatnonzero(losses > losses.mean()), np.flatnonzero(losses <= losses.mean())
        kept_high, kept_low = (rng.permutation(part) for part in (high, low))
        kept_high = kept_high[:budget]
        kept_low = kept_low[: budget - len(kept_high)]
        weights = np.ones(len(kept_high) + len(kept_low))
        weights[len(kept_high) :] = len(low) / max(len(kept_low), 1)
        return np.concatenate([kept_high, kept_low]), weights
