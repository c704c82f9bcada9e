"""How much of the full model's knowledge of a player is left after the player was unlearned."""

from __future__ import annotations

import numpy as np

from dvbench.problems.problem import Problem
from dvbench.scoring.contract import Outcome, Valuation, task
from dvbench.scoring.outputs import (
    ComparedPoints,
    Outputs,
    UnlearningOutputs,
    compared_points,
    outputs_of_player,
    utility,
)


@task(
    version=1,
    headline="kr_error",
    higher_is_better=False,
    goal="unlearn",
    ranges={"kr_error": (0, None)},
    judges_unlearning=True,
)
def knowledge_retention(problem: Problem, valuation: Valuation, utilities: np.ndarray) -> Outcome:
    """Knowledge retention: how much of what the full model knew is left, on the player unlearned and on the others?

    ``KR = (u(unlearned) - u(untrained)) / (u(full) - u(untrained))``, where u is the mean utility over players: an
    untrained model has KR 0 and the full model 1. Headline: ``kr_error``, how far KR on forget sets, ``kr_forget``, is
    from that of retrained models, ``kr_forget_retrained``; lower is better. (The lowest KR is not the best: a ruined
    model has that. A model that never saw a class gets less of it right than an untrained one does by chance, so KR can
    fall below 0.) Further metrics: ``kr_retain``, on retain sets, and ``kr_retain_retrained``. Curves: utility on each
    player's forget set, and mean losses while the full model is trained (``train_loss``, ``test_loss``: at the start
    of every epoch, and after the last) and unlearned (over ``step``).

    References
    ----------
    L. Ma, S. Yang, Z. Wang, Y. Wang, L. Wang, T. Wei, K. Zhang. Losing is for cherishing: data valuation based on
    machine unlearning and Shapley value. arXiv:2505.16147, 2025. Appendix B, equation 6 (where the retain set is
    printed, while the text speaks of the forget set), Table 3 and Figure 3.
    """
    outputs = valuation.outputs()
    points = compared_points(problem, outputs)
    models = {name: getattr(outputs, name) for name in ("unlearned", "retrained", "full", "untrained")}
    table = {
        name: np.array([_forget_and_retain(problem, points, model, player) for player in range(problem.players)])
        for name, model in models.items()
    }
    metrics = {}
    for column, set_name in enumerate(("forget", "retain")):
        mean = {name: utilities_of_model[:, column].mean() for name, utilities_of_model in table.items()}
        known = mean["full"] - mean["untrained"]
        if known <= 0:
            raise ValueError(f"the full model knows no more of {set_name} sets than an untrained one: train it longer")
        for name, suffix in (("unlearned", ""), ("retrained", "_retrained")):
            metrics[f"kr_{set_name}{suffix}"] = float((mean[name] - mean["untrained"]) / known)
    metrics["kr_error"] = abs(metrics["kr_forget"] - metrics["kr_forget_retrained"])
    return _with_curves(metrics, {f"{name}_forget": column[:, 0].tolist() for name, column in table.items()}, outputs)


def _forget_and_retain(problem: Problem, points: ComparedPoints, outputs: Outputs, player: int) -> tuple[float, float]:
    """Utility on a player's points, and on those of all other players."""
    forget, train = points.owners == player, points.owners >= 0
    model = outputs_of_player(outputs, player)
    return utility(problem, points, model, forget), utility(problem, points, model, train & ~forget)


def _with_curves(metrics: dict[str, float], per_player: dict[str, list[float]], outputs: UnlearningOutputs) -> Outcome:
    """Metrics with curves over players, over epochs of training and over steps of unlearning."""
    per_epoch = {f"{name}_loss": losses for name, losses in outputs.training.items()}
    steps = {name: numbers for name, numbers in outputs.unlearning.items() if name == "step"}
    per_step = {f"unlearning_{name}": losses for name, losses in outputs.unlearning.items() if name != "step"}
    axes = dict.fromkeys(per_player, "player") | dict.fromkeys(per_epoch, "epoch") | dict.fromkeys(per_step, "step")
    return Outcome(metrics, per_player | per_epoch | steps | per_step, axes)
