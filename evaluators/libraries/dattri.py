"""Influence on the loss of the validation set by the attributors of dattri, on networks that dvbench trains."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import torch
from dattri import algorithm
from dattri.task import AttributionTask
from torch import nn
from torch.func import functional_call
from torch.utils.data import DataLoader, TensorDataset

from dvbench.errors import UserError
from dvbench.number_checks import number, whole_number
from dvbench.training.heads import all_features_and_logits, output_layer, require_own_weights
from dvbench.training.losses import point_losses
from dvbench.training.tensor_model import TensorModel
from evaluators.common.requirements import Layers, checked_layers
from evaluators.common.stepwise import StepwiseEvaluator

MOST_PARAMETERS = 5000  # of which the Hessian is built: 200 MB


class _Attributed(StepwiseEvaluator):
    """Base of the evaluators of this file: the network's layers, and dattri's view of it and of the data."""

    precision: torch.dtype = torch.float64

    def __init__(self, layers: Layers = "last", random_state: int | np.random.RandomState | None = None) -> None:
        self.layers = checked_layers(layers)
        super().__init__(random_state)

    def influences(self, task: AttributionTask, train: DataLoader[Any], validation: DataLoader[Any]) -> torch.Tensor:
        """Influence of each training point on the mean validation loss, (n, 1)."""
        raise NotImplementedError

    def trained(self, model: TensorModel, x: torch.Tensor, y: torch.Tensor, **training: Any) -> list[nn.Module]:
        """Networks whose gradients are used: that at the end of training."""
        return [model.fit(x, y, **training).network]

    def train_data_values(self, *args: Any, **training: Any) -> _Attributed:
        """Train the model and compute the values.

        Parameters
        ----------
        *args, **training
            Arguments of the model's ``fit``.
        """
        model, x, y, x_valid, y_valid = self._prepared()
        networks = [copy.deepcopy(each).eval().to(self.precision) for each in self.trained(model, x, y, **training)]
        parts = [x.to(self.precision), x_valid.to(self.precision)]
        if self.layers == "last":
            layer = output_layer(networks[0], parts[0])
            require_own_weights(networks[0], layer, parts[0])
            parts = [all_features_and_logits(networks[0], part)[0] for part in parts]
            networks = [layer.requires_grad_()]
        shape, network = parts[0].shape[1:], networks[0]

        def loss(params: dict[str, torch.Tensor], data: tuple[torch.Tensor, torch.Tensor]) -> torch.Tensor:
            points, targets = data[0].reshape(-1, *shape), data[1].reshape(-1, y.shape[1])
            return point_losses(functional_call(network, params, (points,)), targets).mean()

        states = [{name: value.clone() for name, value in each.state_dict().items()} for each in networks]
        task = AttributionTask(loss, network, states)
        train = TensorDataset(parts[0], y.to(self.precision))
        whole = (parts[1].unsqueeze(0), y_valid.to(self.precision).unsqueeze(0))  # the validation set as one item
        validation = TensorDataset(*whole)
        loaders = [DataLoader(part, batch_size=len(part), shuffle=False) for part in (train, validation)]
        self._keep(self.influences(task, *loaders).flatten() / len(x))
        return self


class TracIn(_Attributed):
    """TracIn by dattri: gradient products with the validation set's, at the end of every epoch, summed.

    Values are in units of the validation loss, without bounds, and high ones are of points whose gradient lowers it.
    It costs one fit, and keeps the gradients of all points together in memory. It takes networks of torch on points,
    classes or real targets, and no texts.

    Parameters
    ----------
    normalised : bool
        Whether gradients have length 1, which is the cosine; values then have no unit.
    random_state : int or RandomState, optional
        Source of the order of minibatches, if the model has no seed of its own.

    Notes
    -----
    Variant: `dattri.algorithm.TracInAttributor`, all layers, with the learning rate as the weight of a checkpoint, and
    divided by the number of points. Tested: equal to the evaluator `trac_in`.

    Between processors: equal up to rounding.

    References
    ----------
    G. Pruthi, F. Liu, S. Kale, M. Sundararajan. Estimating training data influence by tracing gradient descent.
    NeurIPS 2020, arXiv:2002.08484.

    J. Deng et al. dattri: a library for efficient data attribution. NeurIPS 2024, arXiv:2410.04555.
    """

    def __init__(self, normalised: bool = False, random_state: int | np.random.RandomState | None = None) -> None:
        super().__init__("all", random_state)
        self.normalised = bool(normalised)

    def trained(self, model: TensorModel, x: torch.Tensor, y: torch.Tensor, **training: Any) -> list[nn.Module]:
        """Networks at the ends of all epochs."""
        self._lr = float(training.get("lr", 3e-4))
        networks: list[nn.Module] = []
        model.fit(x, y, on_epoch=lambda: networks.append(copy.deepcopy(model.network)), **training)
        return [*networks[1:], model.network]

    def influences(self, task: AttributionTask, train: DataLoader[Any], validation: DataLoader[Any]) -> torch.Tensor:
        """Influence of each training point on the mean validation loss, (n, 1)."""
        weights = torch.full((len(task.get_checkpoints()),), self._lr, dtype=torch.float64)
        attributor = algorithm.TracInAttributor(task, weights, normalized_grad=self.normalised)
        attributor.projector_kwargs = None  # its default projects gradients to 512 random directions
        influences: torch.Tensor = attributor.attribute(train, validation)
        return influences


class _Inverse(_Attributed):
    """Base of influence functions, with an inverse of the damped Hessian or of the Fisher matrix."""

    def __init__(
        self,
        damping: float = 0.01,
        layers: Layers = "last",
        random_state: int | np.random.RandomState | None = None,
    ) -> None:
        super().__init__(layers, random_state)
        self.damping = number("damping", damping, above=0)

    def make_attributor(self, task: AttributionTask, parameters: int) -> Any:
        """Attributor of dattri for a network of so many parameters."""
        raise NotImplementedError

    def influences(self, task: AttributionTask, train: DataLoader[Any], validation: DataLoader[Any]) -> torch.Tensor:
        """Influence of each training point on the mean validation loss, (n, 1)."""
        parameters = sum(parameter.numel() for parameter in task.get_model().parameters())
        attributor = self.make_attributor(task, parameters)
        attributor.cache(train)
        influences: torch.Tensor = attributor.attribute(train, validation)
        return influences


class InfluenceExplicit(_Inverse):
    """Influence function by dattri, with the Hessian built and inverted: what leaving a point out does to the loss.

    Values are in units of the validation loss, without bounds, and high ones are of points that lower it. It costs one
    fit, and a Hessian of all pairs of parameters, of which there may be 5,000. It takes networks of torch on points,
    classes or real targets, and no texts.

    Parameters
    ----------
    damping : float
        Added to the diagonal of the Hessian; above 0.
    layers : {"last", "all"}
        Parameters that influence goes through. With all layers the Hessian can have negative eigenvalues.
    random_state : int or RandomState, optional
        Source of the order of minibatches, if the model has no seed of its own.

    Notes
    -----
    Variant: `dattri.algorithm.IFAttributorExplicit`, divided by the number of points. Tested: equal to the evaluator
    `hessian_influence` with the last layer.

    Between processors: equal up to rounding.

    References
    ----------
    P. W. Koh, P. Liang. Understanding black-box predictions via influence functions. ICML 2017, arXiv:1703.04730.
    """

    def make_attributor(self, task: AttributionTask, parameters: int) -> Any:
        """Attributor of dattri for a network of so many parameters."""
        if parameters > MOST_PARAMETERS:
            raise UserError(
                f"dattri:influence_explicit builds the Hessian of at most {MOST_PARAMETERS:,} parameters, and there "
                f"are {parameters:,}: use dattri:influence_cg"
            )
        return algorithm.IFAttributorExplicit(task, regularization=self.damping)


class InfluenceCG(_Inverse):
    """Influence function by dattri, with conjugate gradients instead of an inverse of the Hessian.

    Values are in units of the validation loss, without bounds, and high ones are of points that lower it. It costs one
    fit, and two passes over the training set for each step. It takes networks of torch on points, classes or real
    targets, and no texts.

    Parameters
    ----------
    damping : float
        Added to the diagonal of the Hessian; above 0.
    layers : {"last", "all"}
        Parameters that influence goes through. With all layers the Hessian can have negative eigenvalues, for which
        conjugate gradients are not made.
    steps : int
        Number of steps, all of which dattri 0.3 takes; after they have converged to the last bit they divide by zero.
    random_state : int or RandomState, optional
        Source of the order of minibatches, if the model has no seed of its own.

    Notes
    -----
    Variant: `dattri.algorithm.IFAttributorCG`, divided by the number of points. Tested: equal to the evaluator
    `hessian_influence` with the last layer.

    Between processors: equal up to rounding.

    References
    ----------
    P. W. Koh, P. Liang. Understanding black-box predictions via influence functions. ICML 2017, arXiv:1703.04730.
    """

    def __init__(
        self,
        damping: float = 0.01,
        layers: Layers = "last",
        steps: int = 10,
        random_state: int | np.random.RandomState | None = None,
    ) -> None:
        super().__init__(damping, layers, random_state)
        self.steps = whole_number("steps", steps)

    def make_attributor(self, task: AttributionTask, parameters: int) -> Any:
        """Attributor of dattri for a network of so many parameters."""
        return algorithm.IFAttributorCG(task, max_iter=self.steps, regularization=self.damping)

    def influences(self, task: AttributionTask, train: DataLoader[Any], validation: DataLoader[Any]) -> torch.Tensor:
        """Influence of each training point on the mean validation loss, (n, 1)."""
        influences = super().influences(task, train, validation)
        if not bool(influences.isfinite().all()):
            raise UserError(f"conjugate gradients of dattri fail after {self.steps} steps: set fewer steps")
        return influences


class DataInf(_Inverse):
    """DataInf by dattri: an influence function that swaps the order of a mean and an inverse of Fisher matrices.

    Values are in units of the validation loss, without bounds, and high ones are of points that lower it. It costs one
    fit, and keeps the gradients of all points in memory. It takes networks of torch on points, classes or real
    targets, and no texts.

    Parameters
    ----------
    damping : float
        Added to the diagonal of the Fisher matrix of each layer; above 0.
    layers : {"last", "all"}
        Parameters that influence goes through.
    random_state : int or RandomState, optional
        Source of the order of minibatches, if the model has no seed of its own.

    Notes
    -----
    Variant: `dattri.algorithm.IFAttributorDataInf`, divided by the number of points. Tested against equation 5 of the
    paper on gradients by autograd.

    Between processors: equal up to rounding.

    References
    ----------
    Y. Kwon, E. Wu, K. Wu, J. Zou. DataInf: efficiently estimating data influence in LoRA-tuned LLMs and diffusion
    models. ICLR 2024, arXiv:2310.00902.
    """

    precision = torch.float32  # dattri makes numbers of this precision

    def make_attributor(self, task: AttributionTask, parameters: int) -> Any:
        """Attributor of dattri for a network of so many parameters."""
        return algorithm.IFAttributorDataInf(task, regularization=self.damping)
