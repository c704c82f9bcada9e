"""What a provider gains by acting under two names."""

from __future__ import annotations

import numpy as np

from dvbench.errors import UserError
from dvbench.problems.problem import Problem
from dvbench.problems.variants import provider
from dvbench.scoring.contract import Outcome, Valuation, task


@task(
    version=2,
    headline="gain",
    higher_is_better=False,
    goal="pay",
    ranges={"gain": (0, None), "copy_gain": (None, None), "split_gain": (None, None)},
    variants=("copied", "split"),
    min_players=3,
)
def replication(problem: Problem, valuation: Valuation, utilities: np.ndarray) -> Outcome:
    """Replication: what does a provider gain by copying its data under a second name, or by splitting it into two?

    A provider's payout is its data value. One provider without injected noise is drawn, the same for all evaluators,
    and the problem is valued with a copy of its data under a second name, and with a random half of its data under a
    second name. A gain is the payout of both names minus that of the provider before, in units of a mean payout: the
    mean absolute value over providers before. Headline: ``gain``, the larger of both gains, or 0 if both are losses;
    lower is better, 0 is ideal and cannot be improved on. Independent normal values that are drawn anew each time have
    about 1.5, and the evaluator ``random`` has about 1, because all players but the new name keep their values. Further
    metrics: ``copy_gain`` and ``split_gain``, which may be losses. (In submodular games Data Banzhaf and leave-one-out
    pay two copies no more than one, while a Shapley value can. Values that are sums over points pay nothing for a
    split.) All valuations have the same seeds, but another player changes what is sampled, so gains of an evaluator
    that samples coalitions are noisy.

    References
    ----------
    D. Han, M. Wooldridge, A. Rogers, O. Ohrimenko, S. Tschiatschek. Replication robust payoff allocation in submodular
    cooperative games. IEEE Transactions on Artificial Intelligence, 2022, arXiv:2006.14583.
    """
    number, before = provider(problem), valuation.values
    scale = float(np.abs(before).mean())
    if scale == 0:
        raise UserError("all values are 0, so nobody is paid and nothing can be gained")
    gains = {}
    for name, variant in (("copy", "copied"), ("split", "split")):
        values = valuation.variants[variant]
        gains[f"{name}_gain"] = float(values[number] + values[-1] - before[number]) / scale
    return Outcome({"gain": max(0.0, *gains.values()), **gains})
