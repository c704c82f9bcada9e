"""The game of CHG Shapley: closed-form Shapley values of a utility of gradients.

With x_i the feature of player i and a the target, the utility of a coalition S is

    U(S) = ||a||^2 - ||a - mean_{i in S} x_i||^2,    U(empty) = 0,

so U is high for coalitions whose mean feature is near the target. Its Shapley values have a closed form, which takes
time linear in the number of players n.
"""

from __future__ import annotations

from abc import abstractmethod
from collections import defaultdict
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import ArrayLike

from dvbench.games import mean_distance_values
from dvbench.training.heads import features_and_logits, output_layer, require_own_weights
from dvbench.training.losses import point_losses, residuals
from evaluators.common.spool import Spool
from evaluators.common.training_dynamics import TrainingDynamics, chunks


def chg_shapley_values(features: ArrayLike, target: ArrayLike | None = None) -> np.ndarray:
    """Shapley values of U(S) = ||a||^2 - ||a - mean of S||^2, exactly, for every n >= 1.

    Parameters
    ----------
    features : array of shape (n, d)
        One row for each player.
    target : array of shape (d,), optional
        The target a; by default the mean of the features.

    Returns
    -------
    numpy.ndarray of shape (n,), float64
        They sum to U of all players.

    Raises
    ------
    ValueError
        If the shapes do not fit.

    References
    ----------
    The closed form of Theorem 1 of the CHG Shapley paper, derived anew and checked against enumeration.
    """
    x = np.asarray(features, dtype=np.float64)
    if x.ndim != 2 or len(x) == 0:
        raise ValueError(f"features must have shape (n, d) with n >= 1, not {x.shape}")
    s = x.sum(axis=0)
    a = s / len(x) if target is None else np.asarray(target, dtype=np.float64)
    if a.shape != x.shape[1:]:
        raise ValueError(f"target must have shape {x.shape[1:]}, not {a.shape}")
    norms = np.einsum("ij,ij->i", x, x)
    return mean_distance_values(len(x), float(norms.sum()), float(s @ s), float(s @ a), norms, x @ s, x @ a)


@dataclass
class _GameTotals:
    """Sums over the players of one game, and the values that follow from them.

    A feature is the outer product of a left vector (C,) and a right vector (H,) with ``has_bias`` appended: 1, or 0 of
    a layer without a bias. Sums over a chunk are computed in the precision of the features, which is the network's, and
    sums over chunks in float64.
    """

    has_bias: float
    players: int = 0
    norms: float = 0.0
    weight: torch.Tensor = field(default_factory=lambda: torch.zeros((), dtype=torch.float64))
    bias: torch.Tensor = field(default_factory=lambda: torch.zeros((), dtype=torch.float64))

    def add(self, left: torch.Tensor, right: torch.Tensor, norms: torch.Tensor) -> None:
        """Add players: left vectors (b, C), right vectors (b, H), squared norms of their features (b,)."""
        self.players += len(left)
        self.norms += float(norms.sum())
        self.weight = self.weight + (left.T @ right).cpu().double()
        self.bias = self.bias + self.has_bias * left.sum(dim=0, dtype=torch.float64).cpu()

    def values(self, left: torch.Tensor, right: torch.Tensor, norms: torch.Tensor) -> torch.Tensor:
        """Shapley values (b,) of players that were added, after all players were."""
        # right @ weight.T, with its few columns and many rows, takes twice as long.
        dots = ((self.weight.to(right.dtype) @ right.T).T * left).sum(dim=1).double() + left.double() @ self.bias
        ss, n = float(self.weight.square().sum() + self.bias.square().sum()), self.players
        return mean_distance_values(n, self.norms, ss, ss / n, norms, dots, dots / n)


class GradientGame(TrainingDynamics):
    """Base class: Shapley values of how near a coalition's mean weighted gradient is to that of all players.

    At the start of every epoch a player's feature is the gradient of its loss with respect to the last layer's weights
    and bias, multiplied by a weight; the closed-form values are averaged over epochs. The gradient of a linear last
    layer is the outer product of its residuals and inputs. So an epoch takes one forward pass, O(n C H) operations more
    and O(C H) memory beside the values, both for each class if ``per_class``.

    Inner products with the sum of all features can be computed only after all features were. Until then residuals and
    the last layer's inputs are kept on disk: 4 n (C + H) bytes, or 4 n C if those inputs are the data themselves. The
    environment variable ``TMPDIR`` names the folder. It should not be a folder in memory.

    Parameters
    ----------
    per_class : bool
        Play one game within each class instead of one game among all players.
    random_state : int or RandomState, optional
    """

    def __init__(self, per_class: bool = False, random_state: int | np.random.RandomState | None = None) -> None:
        super().__init__(random_state)
        self.per_class = per_class

    @abstractmethod
    def weights(self, losses: torch.Tensor) -> torch.Tensor:
        """Weight of each player's gradient, from the losses; both have shape (n,)."""

    @torch.no_grad()
    def epoch_values(self, network: torch.nn.Module, x: torch.Tensor, y: torch.Tensor) -> np.ndarray:
        """Shapley values for the current parameters of the network, shape (n,).

        Raises
        ------
        UserError
            If a temporary file cannot be written.
        """
        device, layer = next(network.parameters()).device, output_layer(network, x)
        require_own_weights(network, layer, x)
        has_bias = float(layer.bias is not None)
        games: defaultdict[int, _GameTotals] = defaultdict(lambda: _GameTotals(has_bias))
        values = torch.empty(len(x), dtype=torch.float64)  # until the second pass it holds squared norms
        with Spool() as lefts, Spool() as rights:
            for points, targets, part in chunks(x, y, values):
                points = points.to(device)
                right, logits = features_and_logits(network, points, layer)
                left = self._residuals(logits, targets.to(device))
                part.copy_(_squared_norms(left) * (has_bias + _squared_norms(right)))
                for game, members in self._games(targets):
                    games[game].add(left[members], right[members], part[members])
                lefts.write(left)
                if not _same_memory(right, points.flatten(1)):
                    rights.write(right)
            lefts.rewind()
            rights.rewind()
            for points, targets, part in chunks(x, y, values):
                left = lefts.read(len(part))
                right = points.flatten(1).cpu() if rights.empty else rights.read(len(part))
                for game, members in self._games(targets):
                    part[members] = games[game].values(left[members], right[members], part[members])
        return values.numpy()

    def _residuals(self, logits: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        """Weighted residuals (b, C); features are outer products of them and the output layer's inputs."""
        return residuals(logits, y) * self.weights(point_losses(logits, y)).unsqueeze(1)

    def _games(self, y: torch.Tensor) -> list[tuple[int, torch.Tensor | slice]]:
        """Games that the points of a chunk take part in: the number of each game and the rows of its points."""
        if not self.per_class:
            return [(0, slice(None))]
        classes = y.argmax(dim=1).cpu()
        return [(game, (classes == game).nonzero().squeeze(1)) for game in torch.unique(classes).tolist()]


def _squared_norms(rows: torch.Tensor) -> torch.Tensor:
    norms: torch.Tensor = torch.linalg.vector_norm(rows, dim=1)
    return norms.double().square()


def _same_memory(one: torch.Tensor, other: torch.Tensor) -> bool:
    """Whether two tensors are views of the same numbers at the same address."""
    return (one.data_ptr(), one.shape, one.stride()) == (other.data_ptr(), other.shape, other.stride())
