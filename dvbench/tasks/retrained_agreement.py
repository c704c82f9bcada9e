"""Whether unlearned models perform as retrained ones do."""

from __future__ import annotations

import numpy as np

from dvbench.problems.problem import Problem
from dvbench.scoring.contract import Outcome, Retrain, Valuation, task
from dvbench.scoring.correlation import rank_correlation
from dvbench.scoring.outputs import judged_points, performance


@task(version=1, headline="spc", higher_is_better=True, judges_unlearning=True, fewest=3)
def retrained_agreement(problem: Problem, valuation: Valuation, retrain: Retrain) -> Outcome:
    """Retrained agreement: do models that unlearned a player perform as models retrained without it?

    Headline: ``spc``, Spearman's correlation over players of both models' performance on the test set; higher is
    better, 0 is chance and also what models get that all perform alike. Besides: its two-sided p-value, and ``gap``,
    the mean absolute difference of the two utilities; ``gap_full`` is that of the full model, from which every
    method starts.

    References
    ----------
    L. Ma, S. Yang, Z. Wang, Y. Wang, L. Wang, T. Wei, K. Zhang. Losing is for cherishing: data valuation based on
    machine unlearning and Shapley value. arXiv:2505.16147, 2025. Appendix B, SPC in Table 3.
    """
    found = valuation.outputs()
    points = judged_points(problem, found)
    unlearned, retrained, full = (
        np.array([performance(problem, points, outputs[i], points.owners < 0) for i in range(len(outputs))])
        for outputs in (found.unlearned, found.retrained, found.full)
    )
    spc, p = rank_correlation(unlearned, retrained)
    gaps = {"gap": np.abs(unlearned - retrained).mean(), "gap_full": np.abs(full - retrained).mean()}
    return Outcome(
        {"spc": spc, "p_spc": p, **{name: float(gap) for name, gap in gaps.items()}},
        {"unlearned": unlearned.tolist(), "retrained": retrained.tolist()},
        x="player",
    )
