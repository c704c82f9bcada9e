"""How far the outputs of unlearned models are from those of retrained models."""

from __future__ import annotations

from collections import defaultdict

import numpy as np
import torch

from dvbench.problems.problem import Problem
from dvbench.randomness import generator
from dvbench.scoring.contract import Outcome, Valuation, task
from dvbench.scoring.densities import cell_densities
from dvbench.scoring.outputs import compared_points, outputs_of_player, point_batches
from dvbench.training.losses import divergences, point_losses, predictions

CELLS = 201  # of the grid on which densities are averaged
SAMPLED = 10_000  # losses from which a density is estimated
SMALLEST = 1e-6  # smaller losses count as this one, because their logarithm is drawn


@task(
    version=2,
    headline="lkd",
    higher_is_better=False,
    goal="unlearn",
    ranges={
        "lkd": (0, None),
        "lkd_untrained": (0, None),
        "lkd_full": (0, None),
        "lmse": (0, None),
        "lmse_untrained": (0, None),
        "lmse_full": (0, None),
        "pmse": (0, None),
        "pmse_untrained": (0, None),
        "pmse_full": (0, None),
    },
    judges_unlearning=True,
)
def output_divergence(problem: Problem, valuation: Valuation, utilities: np.ndarray) -> Outcome:
    """Output divergence: do models that unlearned a player predict the same on the other players as retrained ones?

    Headline: ``lkd``, the divergence KL(retrained || unlearned) of predicted distributions on the retain set; lower is
    better, 0 is the retrained model. All numbers are means over players. Further metrics: ``lmse``, the mean squared
    difference of logits, and ``pmse``, that of predictions; the same three for the untrained model (``_untrained``)
    and for the full one (``_full``), from which every method starts. Curves: kernel densities of ``log10_loss``, the
    logarithm of the loss on retain sets, as means over cells of a grid, so that every curve integrates to 1.

    References
    ----------
    L. Ma, S. Yang, Z. Wang, Y. Wang, L. Wang, T. Wei, K. Zhang. Losing is for cherishing: data valuation based on
    machine unlearning and Shapley value. arXiv:2505.16147, 2025. Appendix B, Table 3 and Figure 4. The untrained
    models' numbers there fit this direction of the divergence, and an LMSE of probabilities, which is ``pmse`` here.
    """
    outputs = valuation.outputs()
    points = compared_points(problem, outputs)
    models = {
        "": outputs.unlearned,
        "_untrained": outputs.untrained,
        "_full": outputs.full,
        "retrained": outputs.retrained,
    }
    distances: dict[str, list[float]] = {}
    losses: dict[str, list[torch.Tensor]] = {name: [] for name in models}
    for player in range(problem.players):
        retain = (points.owners >= 0) & (points.owners != player)
        sums: defaultdict[str, float] = defaultdict(float)
        for batch in point_batches(problem, retain):
            y = points.y[batch]
            logits = {name: outputs_of_player(model, player)[:, batch].T for name, model in models.items()}
            for name, logits_of_model in logits.items():
                losses[name].append(point_losses(logits_of_model, y))
                if name != "retrained":
                    for measure, distance in _distances(logits_of_model, logits["retrained"], y).items():
                        sums[measure + name] += distance
        for name, total in sums.items():
            distances.setdefault(name, []).append(total / int(retain.sum()))
    metrics = {name: float(np.mean(distance)) for name, distance in distances.items()}
    return Outcome(metrics, _densities(problem, losses), x="log10_loss")


def _distances(logits: torch.Tensor, retrained: torch.Tensor, y: torch.Tensor) -> dict[str, float]:
    """Distances of outputs from those of a retrained model, both (points, outputs), summed over points."""
    differences = predictions(logits, y) - predictions(retrained, y)
    return {
        "lkd": divergences(retrained, logits, y).double().sum().item(),
        "lmse": (logits - retrained).square().double().mean(dim=1).sum().item(),
        "pmse": differences.square().double().mean(dim=1).sum().item(),
    }


def _densities(problem: Problem, losses: dict[str, list[torch.Tensor]]) -> dict[str, list[float]]:
    """Kernel densities of the logarithms of losses, by kind of model."""
    pooled = {name: torch.cat(parts).double().clamp(min=SMALLEST).log10().numpy() for name, parts in losses.items()}
    rng = generator(problem.dataset, problem.seed, "densities")
    samples = {name: rng.permutation(logarithms)[:SAMPLED] for name, logarithms in pooled.items()}
    centres, densities = cell_densities(samples, CELLS)
    names = {"": "unlearned", "_untrained": "untrained", "_full": "full", "retrained": "retrained"}
    curves = {"log10_loss": centres} | {names[name]: curve for name, curve in densities.items()}
    return {name: [float(f"{number:.9g}") for number in curve] for name, curve in curves.items()}
