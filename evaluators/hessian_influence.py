"""Influence function with the inverse Hessian."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any, Literal

import numpy as np
import torch
import torch.nn.functional as F
from scipy.sparse.linalg import LinearOperator, cg
from torch import nn

from dvbench.errors import UserError
from dvbench.number_checks import number
from dvbench.training.heads import all_features_and_logits, output_layer, require_own_weights
from dvbench.training.language_model import LanguageModel
from dvbench.training.losses import is_classification, predictions, residuals
from dvbench.training.vector_jacobian import vector_jacobian
from evaluators.common.ekfac import ekfac_values
from evaluators.common.requirements import Layers, checked_layers
from evaluators.common.stepwise import StepwiseEvaluator

CHUNK = 2048  # points in one pass
DAMPING = 0.01  # of the exact matrix, if no other is given
TOLERANCE, MOST_STEPS = 1e-8, 2000  # of conjugate gradients


class HessianInfluence(StepwiseEvaluator):
    """Influence function with the inverse Hessian: the rise of the validation loss if a point is left out, first order.

        phi_i = <grad L(theta; validation), (H + damping)^-1 grad l(theta; i)> / n

    at the end of training, with H the Hessian of the mean training loss, L the mean loss on the validation set and l
    the loss on a point. The evaluator `influence_function` is OpenDataVal's, the inner product of the two gradients
    without the inverse Hessian; its name stays because published results have it.

    H is exact for logistic and linear regression. For other networks it is that of the output layer, or, with all
    layers, the Gauss-Newton matrix, exact and not approximated by blocks or Kronecker factors. Conjugate gradients
    solve for the validation set's gradient once, so H is never built: each of some 100 steps takes two to four passes
    over the training set, of the features of the output layer or of the network. Positive values are of points that
    lower the validation loss; the unit is that of the loss, and there are no bounds. It costs one fit.

    With ``curvature="ekfac"``, and always for texts, H is the Gauss-Newton matrix of linear layers with their biases,
    one block a layer, in the eigenbasis of Kronecker factors with its diagonal there (EK-FAC). That takes three passes
    with gradients over the training set, two of them once for each class, and no steps of a solver. For texts the
    layers are those of the blocks, without embeddings and output layer; l is summed over the tokens of a text, L is the
    mean over tokens, and n counts tokens.

    Parameters
    ----------
    damping : float, optional
        Added to the diagonal of H, which has directions without curvature; above 0. By default 0.01, and with EK-FAC a
        tenth of the mean of the diagonal of each layer.
    layers : {"last", "all"}
        Parameters that influence goes through. A network of one layer has one answer. Texts have all.
    curvature : {"exact", "ekfac"}, optional
        By default exact for points; texts have EK-FAC only.
    random_state : int or RandomState, optional
        Source of the order of minibatches, if the model has no seed of its own.

    Notes
    -----
    Variant: the paper's, with conjugate gradients. Training with AdamW for a given number of epochs does not reach the
    minimum that the derivation assumes, and its weight decay is no part of H. Tested against the Hessian by autograd,
    and against retraining a ridge-penalised logistic regression to convergence without each point. EK-FAC takes for
    points the expectation over labels, for texts one token that is drawn for each; it is tested against the exact
    matrix where both are equal, by its correlation with it for an MLP, and for texts against its definition with
    gradients of single texts.

    Values: rise of the validation loss without the point, in its unit and without bounds; positive values are useful.

    Takes: classifications, regressions and texts; points and subsets. The model is a network of torch.

    Between processors: equal up to rounding.

    References
    ----------
    P. W. Koh, P. Liang. Understanding black-box predictions via influence functions. ICML 2017, arXiv:1703.04730.
    Equation 2 and section 3.

    R. Grosse et al. Studying large language model generalization with influence functions. arXiv:2308.03296, 2023.
    Section 2.2: EK-FAC.

    T. George et al. Fast approximate natural gradient descent in a Kronecker-factored eigenbasis. NeurIPS 2018,
    arXiv:1806.03884. EK-FAC.

    J. Martens. New insights and perspectives on the natural gradient method. JMLR 2020, arXiv:1412.1193. Section 8: the
    Gauss-Newton matrix.
    """

    def __init__(
        self,
        damping: float | None = None,
        layers: Layers = "last",
        curvature: Literal["exact", "ekfac"] | None = None,
        random_state: int | np.random.RandomState | None = None,
    ) -> None:
        self.layers = checked_layers(layers)
        if curvature not in (None, "exact", "ekfac"):
            raise ValueError(f"curvature is 'exact' or 'ekfac', not {curvature!r}")
        self.damping = None if damping is None else number("damping", damping, above=0)
        self.curvature = curvature
        super().__init__(random_state)

    def train_data_values(self, *args: Any, **training: Any) -> HessianInfluence:
        """Train the model and compute the values.

        Parameters
        ----------
        *args, **training
            Arguments of the model's ``fit``.

        Raises
        ------
        UserError
            If conjugate gradients do not converge, or exact curvature is asked for texts.
        """
        texts = isinstance(self.pred_model, LanguageModel)
        if texts and self.curvature == "exact":
            raise UserError('hessian_influence values texts with curvature = "ekfac" only; set it so')
        if texts or self.curvature == "ekfac":
            linears, train, validation = self._linear_layers(self.layers, *args, **training)
            seed = int(self.random_state.randint(2**31))
            self._keep(ekfac_values(linears, train, validation, self.damping, seed))
            return self
        model, x, y, x_valid, y_valid = self._prepared()
        network = copy.deepcopy(model.fit(x, y, *args, **training).network).eval().double()
        inputs = [part.double() for part in (x, x_valid)]
        if self.layers == "last":
            layer = output_layer(network, inputs[0])
            require_own_weights(network, layer, inputs[0])
            inputs = [all_features_and_logits(network, part)[0] for part in inputs]
            network = layer.requires_grad_()
        kind = LinearCurvature if isinstance(network, nn.Linear) else Curvature
        curvature = kind(network, inputs[0], y.double(), DAMPING if self.damping is None else self.damping)
        towards = curvature.solve(curvature.mean_gradient(inputs[1], y_valid.double()))
        self._keep(curvature.products(towards) / len(x))
        return self


class Curvature:
    """The Gauss-Newton matrix of the mean loss of points; for a linear network it is the Hessian.

    Parameters
    ----------
    network : torch.nn.Module
        Maps points (n, ...) to logits (n, outputs); in float64 and in evaluation mode.
    x, y : torch.Tensor of shape (n, ...) and (n, outputs)
    damping : float
    """

    def __init__(self, network: nn.Module, x: torch.Tensor, y: torch.Tensor, damping: float) -> None:
        self.network, self.x, self.y, self.damping = network, x, y, damping
        self.parameters = [p for p in network.parameters() if p.requires_grad]

    def _chunks(self, x: torch.Tensor, y: torch.Tensor) -> Iterator[tuple[torch.Tensor, torch.Tensor, torch.Tensor]]:
        """Points, their logits and their targets."""
        for points, targets in zip(x.split(CHUNK), y.split(CHUNK), strict=True):
            yield points, self.network(points), targets

    def _transposed(self, points: torch.Tensor, logits: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
        """The transposed Jacobian of the logits times weights of their shape, as one vector with its graph."""
        parts = vector_jacobian([logits], [weights], self.parameters, create_graph=True)
        return torch.cat([part.flatten() for part in parts])

    def _moved(self, points: torch.Tensor, logits: torch.Tensor, direction: torch.Tensor) -> torch.Tensor:
        """The Jacobian times a vector of parameters, by a derivative of its transposed: reverse mode knows every layer.

        Shape (n, outputs).
        """
        weights = torch.zeros_like(logits, requires_grad=True)
        transposed = self._transposed(points, logits, weights)
        return vector_jacobian([transposed], [direction], [weights], retain_graph=True)[0]

    def mean_gradient(self, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        """Gradient of the mean loss of points, shape (parameters,)."""
        parts = [
            self._transposed(points, logits, residuals(logits.detach(), targets)).detach()
            for points, logits, targets in self._chunks(x, y)
        ]
        return torch.stack(parts).sum(dim=0) / len(x)

    def product(self, direction: torch.Tensor) -> torch.Tensor:
        """The damped matrix times a vector of parameters."""
        total = torch.zeros_like(direction)
        for points, logits, targets in self._chunks(self.x, self.y):
            moved = self._moved(points, logits, direction)
            if is_classification(targets):  # the derivative of the softmax
                p = predictions(logits.detach(), targets)
                moved = p * (moved - (p * moved).sum(dim=1, keepdim=True))
            total += self._transposed(points, logits, moved).detach()
        return total / len(self.x) + self.damping * direction

    def solve(self, gradient: torch.Tensor) -> torch.Tensor:
        """The inverse of the damped matrix times a vector of parameters."""
        size = len(gradient)

        def product(direction: np.ndarray) -> np.ndarray:
            result: np.ndarray = self.product(torch.from_numpy(direction).to(gradient)).numpy(force=True)
            return result

        operator = LinearOperator((size, size), matvec=product, dtype=np.float64)
        solution, failed = cg(operator, gradient.numpy(force=True), rtol=TOLERANCE, maxiter=MOST_STEPS)
        if failed or not np.isfinite(solution).all():
            raise UserError(
                f"hessian_influence did not converge in {MOST_STEPS} steps; raise damping ({self.damping:g})"
            )
        return torch.from_numpy(solution).to(gradient)

    def products(self, direction: torch.Tensor) -> torch.Tensor:
        """Inner product of every point's gradient with a vector of parameters, shape (n,)."""
        parts = [
            (residuals(logits.detach(), targets) * self._moved(points, logits, direction)).sum(dim=1)
            for points, logits, targets in self._chunks(self.x, self.y)
        ]
        return torch.cat(parts)


class LinearCurvature(Curvature):
    """The same of one linear layer, without autograd."""

    network: nn.Linear

    @torch.no_grad()
    def _transposed(self, points: torch.Tensor, logits: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
        product = (weights.T @ points).flatten()
        return product if self.network.bias is None else torch.cat([product, weights.sum(dim=0)])

    @torch.no_grad()
    def _moved(self, points: torch.Tensor, logits: torch.Tensor, direction: torch.Tensor) -> torch.Tensor:
        weight, bias = direction.split([self.network.weight.numel(), len(direction) - self.network.weight.numel()])
        return F.linear(points, weight.view_as(self.network.weight), bias if len(bias) else None)
