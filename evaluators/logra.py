"""LoGra: influence with the Fisher matrix of gradients that are projected inside each linear layer."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import torch

from dvbench.number_checks import number, whole_number
from evaluators.common.linear_layers import LinearLayers, covariances, gradient_sums
from evaluators.common.stepwise import StepwiseEvaluator

Projection = Literal["pca", "random"]


class LoGra(StepwiseEvaluator):
    """LoGra: influence of a point or text with gradients of linear layers projected on both sides of each layer.

        phi_i = sum over layers of  <P grad L(theta; validation), (F + c I)^-1 P grad l(theta; i)> / n

    at the end of training. The gradient of a layer's weights is a sum of outer products d a', and P keeps of it
    (P_out d) (P_in a)', of ``rank`` numbers on each side, which are computed without the gradient itself. F is the mean
    of the outer products of the projected gradients of the training set (the empirical Fisher matrix, one block a
    layer), and c is ``damping`` times the mean of its diagonal. L is the mean loss on the validation set, l that of a
    point; for texts l is summed over tokens, L is the mean over tokens, and n counts tokens.

    Positive values are of points that lower the validation loss; the unit is that of the loss if F is the curvature,
    and there are no bounds. It costs one fit, two passes with gradients over the training set (three with "pca") and
    one over the validation set. It looks at linear layers, with their biases, and at no others; for texts at those of
    the blocks, and not at embeddings and the output layer.

    Parameters
    ----------
    rank : int
        Numbers that are kept on each side of a layer; on a side that has no more of them, all are kept.
    projection : {"pca", "random"}
        The directions in which inputs and gradients of outputs vary most, or random orthogonal ones.
    damping : float
        Above 0.
    random_state : int or RandomState, optional
        Source of random directions, and of the order of minibatches if the model has no seed of its own.

    Notes
    -----
    Variant: the paper's, with biases, orthonormal directions, and the training set's own losses in F. Tested with all
    directions kept against the same formula with gradients of single points and texts by autograd, where it does not
    depend on the directions, and by its rank correlation with the exact Gauss-Newton influence of an MLP.

    Values: rise of the validation loss without the point, in its unit and without bounds; positive values are useful.

    Takes: classifications, regressions and texts; points and subsets. The model is a network of torch.

    Between processors: equal up to rounding.

    References
    ----------
    S. K. Choe et al. What is your data worth to GPT? LLM-scale data valuation with influence functions.
    arXiv:2405.13954, 2024. Section 3.
    """

    def __init__(
        self,
        rank: int = 16,
        projection: Projection = "pca",
        damping: float = 0.1,
        random_state: int | np.random.RandomState | None = None,
    ) -> None:
        if projection not in ("pca", "random"):
            raise ValueError(f"projection is 'pca' or 'random', not {projection!r}")
        self.rank, self.projection = whole_number("rank", rank), projection
        self.damping = number("damping", damping, above=0)
        super().__init__(random_state)

    def train_data_values(self, *args: Any, **training: Any) -> LoGra:
        """Train the model and compute the values.

        Parameters
        ----------
        *args, **training
            Arguments of the model's ``fit``.

        Raises
        ------
        UserError
            If the network has no linear layer.
        """
        linears, train, validation = self._linear_layers("all", *args, **training)
        sides = self._directions(linears, train)
        towards, n_valid = gradient_sums(linears, *validation)
        rows, n = projected(linears, train, sides)
        values = linears.zeros(len(train[0]))
        for (inputs, outputs), gradient, layer_rows in zip(sides, towards, rows, strict=True):
            target = (outputs @ gradient @ inputs.T).flatten() / n_valid
            fisher = layer_rows.T @ layer_rows / n
            fisher.diagonal().add_(self.damping * fisher.diagonal().mean().clamp(min=1e-300))
            values += layer_rows @ torch.linalg.solve(fisher, target) / n
        self._keep(values)
        return self

    def _directions(
        self, linears: LinearLayers, train: tuple[torch.Tensor, torch.Tensor]
    ) -> list[tuple[torch.Tensor, torch.Tensor]]:
        """Rows of orthonormal directions of inputs and of outputs, for each layer."""
        if self.projection == "pca":
            parts = covariances(linears, lambda handle: linears.losses(handle, *train))
            vectors = [[torch.linalg.eigh(matrix)[1].flip(1).T for matrix in matrices] for matrices in parts]
        else:
            drawn = [
                [np.linalg.qr(self.random_state.normal(size=(size, size)))[0].T for size in reversed(shape)]
                for shape in linears.shapes
            ]
            vectors = [[torch.from_numpy(pair[side]).to(linears.zeros(0)) for pair in drawn] for side in (0, 1)]
        return [(inputs[: self.rank], outputs[: self.rank]) for inputs, outputs in zip(*vectors, strict=True)]


def projected(
    linears: LinearLayers,
    train: tuple[torch.Tensor, torch.Tensor],
    sides: list[tuple[torch.Tensor, torch.Tensor]],
) -> tuple[list[torch.Tensor], int]:
    """Projected gradients of all points or texts for each layer, (n, numbers), float64; and the number of losses."""
    n = len(train[0])
    rows = [linears.zeros(n, len(outputs), len(inputs)) for inputs, outputs in sides]

    def add(layer: int, a: torch.Tensor, d: torch.Tensor, numbers: torch.Tensor) -> None:
        inputs, outputs = sides[layer]
        kept = torch.einsum("nto,nti->noi", d @ outputs.T.to(d), a @ inputs.T.to(a))
        rows[layer].index_add_(0, numbers.to(kept.device), kept.double())

    losses = linears.losses(add, *train)
    return [part.flatten(1) for part in rows], losses
