"""CHG Shapley: closed-form Shapley values of a utility made of hardness and gradients, from one training.

With x_i the feature of player i and a the target, the utility of a coalition S is

    U(S) = ||a||^2 - ||a - mean_{i in S} x_i||^2,    U(empty) = 0,

so U rewards coalitions whose mean feature is near the target. Its Shapley values have a closed form, linear in n.
"""

from __future__ import annotations

import tempfile
from collections import defaultdict
from dataclasses import dataclass, field
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import ArrayLike
from scipy.special import digamma, zeta

from dvbench.errors import UserError
from dvbench.training.heads import features_and_logits
from dvbench.training.losses import point_losses, residuals
from evaluators.common.training_dynamics import TrainingDynamics, chunks

Array = TypeVar("Array", np.ndarray, torch.Tensor)


def chg_shapley_values(features: ArrayLike, target: ArrayLike | None = None) -> np.ndarray:
    """Shapley values of U(S) = ||a||^2 - ||a - mean of S||^2, exactly, for every n >= 1.

    Parameters
    ----------
    features : array of shape (n, d)
        One row a player.
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
    return _closed_form(len(x), float(norms.sum()), float(s @ s), float(s @ a), norms, x @ s, x @ a)


def _closed_form(n: int, total: float, norm: float, aim: float, norms: Array, dots: Array, aims: Array) -> Array:
    """Shapley values of some players from inner products alone.

    Parameters
    ----------
    n : int
        How many players the game has.
    total, norm, aim : float
        The sum of ||x_i||^2 over all players, ||s||^2 and <s, a>, with s the sum of all x.
    norms, dots, aims : numpy.ndarray or torch.Tensor of shape (m,)
        ||x_j||^2, <x_j, s> and <x_j, a> of the players whose values are wanted.

    Returns
    -------
    numpy.ndarray or torch.Tensor of shape (m,)
    """
    if n == 1:
        return 2 * aims - norms
    h1 = float(digamma(n + 1)) + np.euler_gamma  # sum of 1/k over k = 1..n
    h2 = float(np.pi**2 / 6 - zeta(2, n + 1))  # sum of 1/k^2
    g = (h1 - 1) / (n - 1)
    c1 = (h1 - h2) / (n - 1)
    cq = (1 / n - h2) / (n - 1)
    cs = (1 - 1 / n - 2 * (h1 - h2)) / ((n - 1) * (n - 2)) if n > 2 else 0.0
    everybody = 2 * g * aim + cq * total + cs * (norm - total)
    return (2 * (h1 + g) * aims - 2 * (c1 - cs) * dots - (h2 - 2 * c1 - cq + 2 * cs) * norms - everybody) / n


class _Spool:
    """Rows of numbers in a temporary file, which is gone when the context is left.

    Plainly written and read, not mapped: mapped pages would count as memory in use.
    """

    def __init__(self) -> None:
        self._buffer: torch.Tensor | None = None

    def __enter__(self) -> _Spool:
        try:
            # Unbuffered: what a failed write leaves in a buffer would be written, and fail, once more on closing.
            self._file = tempfile.TemporaryFile(buffering=0)
        except OSError as error:
            raise _no_room(error) from error
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    @property
    def empty(self) -> bool:
        """Whether nothing was ever written."""
        return self._buffer is None

    def write(self, rows: torch.Tensor) -> None:
        """Append rows (b, width), no more of them than the first time."""
        rows = rows.cpu().contiguous()
        if self._buffer is None:
            self._buffer = torch.empty_like(rows)
        rest = _memory(rows)
        try:
            while rest:
                rest = rest[self._file.write(rest) :]
        except OSError as error:
            raise _no_room(error) from error

    def rewind(self) -> None:
        """Go back to the first row, to read."""
        self._file.seek(0)

    def read(self, count: int) -> torch.Tensor:
        """The next rows (count, width), which are good until more are read."""
        assert self._buffer is not None
        rows = self._buffer[:count]
        rest = _memory(rows)
        while rest:
            got = self._file.readinto(rest)
            assert got, "more rows read than written"
            rest = rest[got:]
        return rows


def _memory(rows: torch.Tensor) -> memoryview:
    """The bytes of a contiguous tensor, not a copy of them."""
    return rows.view(torch.uint8).flatten().numpy().data


def _no_room(error: OSError) -> UserError:
    return UserError(f"cannot write a temporary file: {error.strerror}; set TMPDIR to a folder with more room")


@dataclass
class _Game:
    """Totals over the players of one game; a feature is the outer product of left (C,) and right, with a one (H + 1,).

    Within a chunk they are summed in the network's precision, which is that of the features, over chunks in float64.
    """

    players: int = 0
    norms: float = 0.0
    weight: torch.Tensor = field(default_factory=lambda: torch.zeros((), dtype=torch.float64))
    bias: torch.Tensor = field(default_factory=lambda: torch.zeros((), dtype=torch.float64))

    def add(self, left: torch.Tensor, right: torch.Tensor, norms: torch.Tensor) -> None:
        """Count players in: left (b, C), right (b, H), squared norms of their features (b,)."""
        self.players += len(left)
        self.norms += float(norms.sum())
        self.weight = self.weight + (left.T @ right).cpu().double()
        self.bias = self.bias + left.sum(dim=0, dtype=torch.float64).cpu()

    def values(self, left: torch.Tensor, right: torch.Tensor, norms: torch.Tensor) -> torch.Tensor:
        """Shapley values (b,) of players counted in, once all were."""
        # The other way round, with few columns and not few rows, the matrix product takes twice as long.
        dots = ((self.weight.to(right.dtype) @ right.T).T * left).sum(dim=1).double() + left.double() @ self.bias
        norm, n = float(self.weight.square().sum() + self.bias.square().sum()), self.players
        return _closed_form(n, self.norms, norm, norm / n, norms, dots, dots / n)


class CHGShapley(TrainingDynamics):
    """CHG Shapley: Shapley values of how well a coalition's mean of loss times gradient meets everybody's.

    At the start of every epoch a player's feature is its loss times the gradient of its loss with respect to the last
    layer's weights and bias; the closed-form values are averaged over epochs. The gradient of a linear last layer is
    the outer product of its residuals and inputs. So an epoch takes one forward pass, O(n C H) more and, besides the
    values, O(C H) memory, with ``per_class`` for each class.

    Inner products with the sum of all features have to wait until all were seen. Until then residuals and the last
    layer's inputs lie on disk: 4 n (C + H) bytes, or 4 n C where those inputs are the data themselves. ``TMPDIR`` names
    the folder; one that is kept in memory defeats the purpose.

    Parameters
    ----------
    per_class : bool
        Play the game inside each class instead of among all players.
    random_state : int or RandomState, optional
        Taken for the sake of OpenDataVal's interface: given the trained model nothing here is random.

    References
    ----------
    H. Cai. CHG Shapley: efficient data valuation and selection towards trustworthy machine learning. arXiv:2406.11730,
    2024.
    """

    def __init__(self, per_class: bool = False, random_state: int | np.random.RandomState | None = None) -> None:
        super().__init__(random_state)
        self.per_class = per_class

    @torch.no_grad()
    def epoch_values(self, network: torch.nn.Module, x: torch.Tensor, y: torch.Tensor) -> np.ndarray:
        """Shapley values in the present state of the network, shape (n,).

        Raises
        ------
        UserError
            If there is no room for a temporary file.
        """
        device = next(network.parameters()).device
        games: defaultdict[int, _Game] = defaultdict(_Game)
        values = torch.empty(len(x), dtype=torch.float64)  # until the second sweep, squared norms
        with _Spool() as lefts, _Spool() as rights:
            for points, targets, part in chunks(x, y, values):
                points = points.to(device)
                left, right = self._factors(network, points, targets.to(device))
                part.copy_(_squares(left) * (1 + _squares(right)))
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

    def weights(self, losses: torch.Tensor) -> torch.Tensor:
        """Factor of each gradient, shape (n,): the loss."""
        return losses

    def _factors(self, network: torch.nn.Module, x: torch.Tensor, y: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Weighted residuals (b, C) and the last layer's inputs (b, H): features are outer products of the two."""
        right, logits = features_and_logits(network, x)
        return residuals(logits, y) * self.weights(point_losses(logits, y)).unsqueeze(1), right

    def _games(self, y: torch.Tensor) -> list[tuple[int, torch.Tensor | slice]]:
        """Which game is played by which points of a chunk."""
        if not self.per_class:
            return [(0, slice(None))]
        classes = y.argmax(dim=1).cpu()
        return [(game, (classes == game).nonzero().squeeze(1)) for game in classes.unique().tolist()]


def _squares(rows: torch.Tensor) -> torch.Tensor:
    """Squared norms of rows."""
    return torch.linalg.vector_norm(rows, dim=1).double().square()


def _same_memory(one: torch.Tensor, other: torch.Tensor) -> bool:
    """Whether two tensors are the same numbers in the same place."""
    return (one.data_ptr(), one.shape, one.stride()) == (other.data_ptr(), other.shape, other.stride())
