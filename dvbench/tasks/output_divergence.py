"""How far unlearned models are from retrained ones in what they put out."""

from __future__ import annotations

from collections import defaultdict

import numpy as np
import torch
from scipy.stats import gaussian_kde, norm

from dvbench.problems.problem import Problem
from dvbench.randomness import generator
from dvbench.scoring.contract import Outcome, Retrain, Valuation, task
from dvbench.scoring.outputs import judged_points, outputs_of_player, pieces
from dvbench.training.losses import divergences, point_losses, predictions

GRID = 101  # places at which densities are given
DRAWN = 10_000  # losses from which a density is estimated
SMALLEST = 1e-6  # loss that counts as none


@task(version=1, headline="lkd", higher_is_better=False, judges_unlearning=True)
def output_divergence(problem: Problem, valuation: Valuation, retrain: Retrain) -> Outcome:
    """Output divergence: do models that unlearned a player say on the other players' points what retrained ones say?

    Headline: ``lkd``, the divergence KL(retrained || unlearned) of predicted distributions on the retain set; lower is
    better, 0 is the retrained model. All numbers are means over players. Besides: ``lmse``, the mean squared
    difference of logits, and ``pmse`` that of predictions; the same three for the untrained model (``_untrained``) and
    for the full one (``_full``), from which every method starts. Curves: densities of the loss on retain sets, over
    the ``log10_loss``.

    References
    ----------
    L. Ma, S. Yang, Z. Wang, Y. Wang, L. Wang, T. Wei, K. Zhang. Losing is for cherishing: data valuation based on
    machine unlearning and Shapley value. arXiv:2505.16147, 2025. Appendix B, Table 3 and Figure 4. The untrained
    models' numbers there fit this direction of the divergence, and an LMSE of probabilities, which is ``pmse`` here.
    """
    found = valuation.outputs()
    points = judged_points(problem, found)
    models = {"": found.unlearned, "_untrained": found.untrained, "_full": found.full, "retrained": found.retrained}
    distances: dict[str, list[float]] = {}
    losses: dict[str, list[torch.Tensor]] = {name: [] for name in models}
    for player in range(problem.players):
        retain = (points.owners >= 0) & (points.owners != player)
        sums: defaultdict[str, float] = defaultdict(float)
        for piece in pieces(problem, retain):
            logits, y = (
                {name: outputs_of_player(outputs, player)[:, piece].T for name, outputs in models.items()},
                points.y[piece],
            )
            for name, one in logits.items():
                losses[name].append(point_losses(one, y))
                if name != "retrained":
                    for measure, apart in _apart(one, logits["retrained"], y).items():
                        sums[measure + name] += apart
        for name, total in sums.items():
            distances.setdefault(name, []).append(total / int(retain.sum()))
    metrics = {name: float(np.mean(each)) for name, each in distances.items()}
    return Outcome(metrics, _densities(problem, losses), x="log10_loss")


def _apart(logits: torch.Tensor, retrained: torch.Tensor, y: torch.Tensor) -> dict[str, float]:
    """How far outputs are from those of a retrained model, (points, outputs), summed over points."""
    apart = predictions(logits, y) - predictions(retrained, y)
    return {
        "lkd": divergences(retrained, logits, y).double().sum().item(),
        "lmse": (logits - retrained).square().double().mean(dim=1).sum().item(),
        "pmse": apart.square().double().mean(dim=1).sum().item(),
    }


def _densities(problem: Problem, losses: dict[str, list[torch.Tensor]]) -> dict[str, list[float]]:
    """Kernel densities of the logarithms of losses, by kind of model."""
    pooled = {name: torch.cat(parts).double().clamp(min=SMALLEST).log10().numpy() for name, parts in losses.items()}
    rng = generator(problem.dataset, problem.seed, "densities")
    drawn = {name: rng.permutation(each)[:DRAWN] for name, each in pooled.items()}
    grid = np.linspace(min(map(np.min, drawn.values())), max(map(np.max, drawn.values())), GRID)
    names = {"": "unlearned", "_untrained": "untrained", "_full": "full", "retrained": "retrained"}
    return {"log10_loss": grid.tolist(), **{names[name]: _density(each, grid) for name, each in drawn.items()}}


def _density(sample: np.ndarray, grid: np.ndarray) -> list[float]:
    if np.ptp(sample) < 1e-6:  # of which no bandwidth can be told
        return norm.pdf(grid, sample.mean(), max(grid[1] - grid[0], 1e-3)).tolist()
    return gaussian_kde(sample)(grid).tolist()
