"""The Gauss-Newton matrix of linear layers, approximated in the eigenbasis of Kronecker factors (EK-FAC)."""

from __future__ import annotations

import torch

from evaluators.common.linear_layers import LinearLayers, covariances, gradient_sums

DAMPING = 0.1  # of the mean eigenvalue of a layer, if no other is given


def ekfac_values(
    linears: LinearLayers,
    train: tuple[torch.Tensor, torch.Tensor],
    validation: tuple[torch.Tensor, torch.Tensor],
    damping: float | None,
    seed: int,
) -> torch.Tensor:
    """Influence of points or texts with the inverse of the approximated Gauss-Newton matrix.

    For each layer the matrix is Q diag(L + damping) Q', with Q the Kronecker product of the eigenvectors of the second
    moments of the layer's inputs and of the gradients of its outputs, and L the second moments of the gradients of
    points or texts in that basis. The labels of these gradients are those of the model's own distribution: for points
    the expectation over all, for texts one token drawn for each.

    Parameters
    ----------
    linears : LinearLayers
    train, validation : tuple of torch.Tensor
        Features or tokens, and targets.
    damping : float, optional
        Added to L; by default a tenth of its mean in each layer.
    seed : int
        Of the tokens that are drawn.

    Returns
    -------
    torch.Tensor of shape (n,), float64
    """

    def visit(handle: object) -> int:
        return linears.fisher(handle, *train, torch.Generator().manual_seed(seed))  # type: ignore[arg-type]

    of_inputs, of_outputs = ([torch.linalg.eigh(part)[1] for part in parts] for parts in covariances(linears, visit))
    squares = [linears.zeros(*shape) for shape in linears.shapes]

    def add_squares(layer: int, a: torch.Tensor, d: torch.Tensor, numbers: torch.Tensor) -> None:
        d, a = d @ of_outputs[layer].to(d), a @ of_inputs[layer].to(a)
        if a.shape[1] == 1:  # the square of a product, without the products of all points
            squares[layer] += (d[:, 0].square().T @ a[:, 0].square()).double()
        else:
            squares[layer] += torch.einsum("nto,nti->noi", d, a).square_().sum(dim=0).double()

    n = visit(add_squares)
    towards, n_valid = gradient_sums(linears, *validation)
    solved = []
    for right, left, square, gradient in zip(of_inputs, of_outputs, squares, towards, strict=True):
        curvature = square / n
        curvature += DAMPING * curvature.mean() if damping is None else damping
        solved.append(left @ ((left.T @ gradient @ right) / curvature) @ right.T / n_valid)
    values = linears.zeros(len(train[0]))

    def add(layer: int, a: torch.Tensor, d: torch.Tensor, numbers: torch.Tensor) -> None:
        products = torch.mul(d @ solved[layer].to(d), a).sum(dim=(1, 2))
        values.index_add_(0, numbers.to(values.device), products.double())

    n = linears.losses(add, *train)
    return values / n
