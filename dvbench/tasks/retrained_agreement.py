"""Agreement of unlearned models with retrained models in their utility."""

from __future__ import annotations

import numpy as np

from dvbench.problems.problem import Problem
from dvbench.scoring.contract import Outcome, Reference, Valuation, task
from dvbench.scoring.correlation import rank_correlation
from dvbench.scoring.outputs import compared_points, utility


def all_but_one(problem: Problem) -> list[np.ndarray]:
    """All players but each."""
    everyone = np.arange(problem.players)
    return [np.delete(everyone, player) for player in everyone]


@task(
    version=1,
    headline="spc",
    higher_is_better=True,
    goal="unlearn",
    ranges={"spc": (-1, 1), "p_spc": (0, 1), "gap": "distance", "gap_full": "distance"},
    reference=Reference("retrained", all_but_one, np.asarray),
    judges_unlearning=True,
    min_players=3,
)
def retrained_agreement(problem: Problem, valuation: Valuation, utilities: np.ndarray) -> Outcome:
    """Retrained agreement: do models that unlearned a player have the utility of models retrained without it?

    Headline: ``spc``, Spearman's correlation over players of the test utilities of both models; higher is better, 0 is
    chance and the score of models that all have the same utility. Its ceiling is the correlation of the utilities of
    retrained models with those of other initial weights and minibatches. Further metrics: ``p_spc``, its two-sided
    p-value, and ``gap``, the mean absolute difference of the two utilities; ``gap_full`` is that of the full model,
    from which every method starts.

    References
    ----------
    L. Ma, S. Yang, Z. Wang, Y. Wang, L. Wang, T. Wei, K. Zhang. Losing is for cherishing: data valuation based on
    machine unlearning and Shapley value. arXiv:2505.16147, 2025. Appendix B, SPC in Table 3.
    """
    outputs = valuation.outputs()
    points = compared_points(problem, outputs)
    unlearned, retrained, full = (
        np.array([utility(problem, points, models[i], points.owners < 0) for i in range(len(models))])
        for models in (outputs.unlearned, outputs.retrained, outputs.full)
    )
    spc, p = rank_correlation(unlearned, retrained)
    gaps = {"gap": np.abs(unlearned - retrained).mean(), "gap_full": np.abs(full - retrained).mean()}
    return Outcome(
        {"spc": spc, "p_spc": p, **{name: float(gap) for name, gap in gaps.items()}},
        {"unlearned": unlearned.tolist(), "retrained": retrained.tolist()},
        x="player",
    )
