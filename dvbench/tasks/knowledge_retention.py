"""What is left of what a model knew of an unlearned player."""

from __future__ import annotations

import numpy as np

from dvbench.problems.problem import Problem
from dvbench.scoring.contract import Outcome, Outputs, Points, Retrain, Valuation, task
from dvbench.scoring.outputs import judged_points, outputs_of_player, performance


@task(version=1, headline="kr_error", higher_is_better=False, judges_unlearning=True)
def knowledge_retention(problem: Problem, valuation: Valuation, retrain: Retrain) -> Outcome:
    """Knowledge retention: how much of what the full model knew is left, on the player unlearned and on the others?

    ``KR = (perf(unlearned) - perf(untrained)) / (perf(full) - perf(untrained))``, with utilities that are means
    over players: 0 is an untrained model's and 1 that of the full model. Headline: ``kr_error``, how far KR on forget
    sets, ``kr_forget``, is from that of retrained models, ``kr_forget_retrained``; lower is better. (The lowest KR is
    not the best: a ruined model has that. A model that never saw a class gets less of it right than an untrained one
    does by chance, so KR can fall below 0.) Besides: ``kr_retain``, on retain sets, and ``kr_retain_retrained``.
    Curves: performance on each player's forget set, and mean losses while the full model is trained (``train_loss``,
    ``test_loss``: at the start of every epoch, and in the end) and unlearned (over ``step``).

    References
    ----------
    L. Ma, S. Yang, Z. Wang, Y. Wang, L. Wang, T. Wei, K. Zhang. Losing is for cherishing: data valuation based on
    machine unlearning and Shapley value. arXiv:2505.16147, 2025. Appendix B, equation 6 (where the retain set is
    printed, while the text speaks of the forget set), Table 3 and Figure 3.
    """
    found = valuation.outputs()
    points = judged_points(problem, found)
    models = {name: getattr(found, name) for name in ("unlearned", "retrained", "full", "untrained")}
    table = {
        name: np.array([_forget_and_retain(problem, points, outputs, player) for player in range(problem.players)])
        for name, outputs in models.items()
    }
    metrics = {}
    for column, place in enumerate(("forget", "retain")):
        mean = {name: each[:, column].mean() for name, each in table.items()}
        known = mean["full"] - mean["untrained"]
        if known <= 0:
            raise ValueError(f"the full model knows no more of {place} sets than an untrained one: train it longer")
        for name, end in (("unlearned", ""), ("retrained", "_retrained")):
            metrics[f"kr_{place}{end}"] = float((mean[name] - mean["untrained"]) / known)
    metrics["kr_error"] = abs(metrics["kr_forget"] - metrics["kr_forget_retrained"])
    per_player = {f"{name}_forget": each[:, 0].tolist() for name, each in table.items()}
    per_epoch = {f"{name}_loss": losses for name, losses in found.training.items()}
    per_step = {f"unlearning_{name}": losses for name, losses in found.unlearning.items() if name != "step"}
    steps = {name: numbers for name, numbers in found.unlearning.items() if name == "step"}
    curves = per_player | per_epoch | steps | per_step
    axes = dict.fromkeys(per_player, "player") | dict.fromkeys(per_epoch, "epoch") | dict.fromkeys(per_step, "step")
    return Outcome(metrics, curves, axes)


def _forget_and_retain(problem: Problem, points: Points, outputs: Outputs, player: int) -> tuple[float, float]:
    """Performance on a player's points, and on those of all others."""
    forget, train = points.owners == player, points.owners >= 0
    forgotten, kept = (
        performance(problem, points, outputs_of_player(outputs, player), part) for part in (forget, train & ~forget)
    )
    return forgotten, kept
