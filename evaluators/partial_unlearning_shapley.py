"""Partial valuation: what some data are worth to a model whose other training data are out of reach."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from opendataval.dataval import DataEvaluator, ModelMixin
from opendataval.metrics import accuracy, neg_mse
from torch import nn

from dvbench.errors import UserError
from dvbench.problems.perplexity import negative_perplexity
from dvbench.problems.subsets import Subsets
from dvbench.randomness import random_state as as_random_state
from dvbench.settings import Kind
from dvbench.training.heads import all_features_and_logits, logits_network
from dvbench.training.language_model import LanguageModel
from dvbench.training.tensor_model import TensorModel, seeded
from dvbench.training.tensors import as_tensor
from dvbench.training.utilities import Metric
from dvbench.unlearning.contract import Parameters, UnlearningMethod
from dvbench.unlearning.engine import Unlearner
from dvbench.unlearning.factory import chosen_method, make_unlearner
from evaluators.common.utility import Utility, checked_utility, mean_utilities

Pair = tuple[torch.Tensor, torch.Tensor]  # features and targets


@dataclass(frozen=True)
class PartialValue:
    """The value of one target set, and what it is made of.

    Parameters
    ----------
    value : float
        Half of ``lost_by_unlearning + lost_by_all - lost_by_rest``.
    lost_by_unlearning : float
        v(D): Perf of the full model less that of the model that has unlearned the target set.
    lost_by_rest : float
        v(rest): Perf of the full model less that of a model trained on the target set alone.
    lost_by_all : float
        v(all): Perf of the full model less that of an untrained model.
    full : float
        Perf of the full model.
    """

    value: float
    lost_by_unlearning: float
    lost_by_rest: float
    lost_by_all: float
    full: float


class PartialUnlearningShapley(DataEvaluator, ModelMixin):
    """Partial Unlearning Shapley: a target set's Shapley value against all other data, which need not be seen.

    The two players are the target set D and the rest of the training data:

        phi_D = 1/2 [ v(D) + v(all) - v(rest) ],
        v(D)    = Perf(full) - Perf(full model that has unlearned D)
        v(rest) = Perf(full) - Perf(model trained on D alone)
        v(all)  = Perf(full) - Perf(untrained model)

    with Perf on the validation set T. `value` needs a trained model, D and T, and nothing else of its training data. As
    an evaluator it takes every player for a target set in turn.

    Parameters
    ----------
    utility : {"metric", "log_loss"}
        Perf: OpenDataVal's metric, or the negative mean loss.
    parameters : {"all", "head", "lora"}
        What unlearning moves: every parameter, or the last layer's; of language models also low-rank adapters.
    steps, batch_size, lr, weight_decay, lambda1, lambda2
        Settings of unlearning, see `dvbench.unlearning_methods.gradient_ascent.GradientAscent`.
    method : str or UnlearningMethod
        Another unlearning method by name (``dvbench list unlearning``), which takes the settings above but for the
        lambdas, or one with settings of its own, such as ``NegativePreference(lr=1e-3, beta=0.5)``.
    random_state : int or RandomState, optional

    Attributes
    ----------
    diagnostics_ : dict of str to float
        ``unlearned`` target sets, and the means of the three terms over them.

    References
    ----------
    L. Ma, S. Yang, Z. Wang, Y. Wang, L. Wang, T. Wei, K. Zhang. Losing is for cherishing: data valuation based on
    machine unlearning and Shapley value. arXiv:2505.16147, 2025. Algorithm 2.
    """

    takes_subsets = True

    def __init__(
        self,
        utility: Utility = "metric",
        parameters: Parameters = "all",
        steps: int = 100,
        batch_size: int = 32,
        lr: float = 2e-5,
        weight_decay: float = 0.01,
        lambda1: float = 1.0,
        lambda2: float = 1.0,
        method: str | UnlearningMethod = "gradient_ascent",
        random_state: int | np.random.RandomState | None = None,
    ) -> None:
        self.utility = checked_utility(utility)
        settings = {"steps": steps, "batch_size": batch_size, "lr": lr, "weight_decay": weight_decay}
        self.method = chosen_method(method, lambda1, lambda2, parameters=parameters, **settings)
        self.random_state = as_random_state(random_state)

    def value(
        self,
        model: nn.Module,
        target: Pair,
        validation: Pair,
        *,
        untrained: nn.Module | None = None,
        metric: Metric | None = None,
        **fit: Any,
    ) -> PartialValue:
        """Value a target set by a model that was trained on it and on more.

        Parameters
        ----------
        model : torch.nn.Module
            Trained. Its last layer is linear, up to a softmax or a sigmoid; or a
            `dvbench.training.language_model.LanguageModel`. It is not changed.
        target, validation : tuple of torch.Tensor
            Features (n, ...) with class numbers (n,), one-hot labels (n, classes) or regression targets (n, 1); or
            texts, with where their loss begins. No point may be in both.
        untrained : torch.nn.Module, optional
            The model before training. By default a copy of the model whose layers are initialised anew; of a language
            model it must be given.
        metric : callable, optional
            Of (targets, predictions); accuracy, the negative mean squared error for regression, or negative perplexity.
        **fit
            How a model is trained on the target set: ``epochs``, ``batch_size``, ``lr``; see
            `dvbench.training.tensor_model.TensorModel.fit`.

        Returns
        -------
        PartialValue

        Raises
        ------
        UserError
            If a set is empty, target and validation set overlap, or the model's outputs do not fit the labels.
        FloatingPointError
            If training or unlearning diverged.
        """
        if isinstance(model, LanguageModel):
            return self._of_texts(model, target, validation, untrained, metric or negative_perplexity, fit)
        network = logits_network(model).eval()
        device = next(network.parameters()).device
        outputs = all_features_and_logits(network, _points(validation[0], "validation")[:1])[1].shape[1]
        x, y = _checked(target, outputs, "target")
        z, y_z = _checked(validation, outputs, "validation")
        _require_apart(x, z)
        seed = int(self.random_state.randint(2**31))
        fresh = logits_network(untrained) if untrained is not None else _reset(network, seed)
        kind: Kind = "classification" if outputs > 1 else "regression"
        learner = TensorModel(fresh.to(device), kind, outputs, seed)
        metric = metric or (accuracy if outputs > 1 else neg_mse)
        unlearner = make_unlearner(network, (x, y), (z, y_z), self.method)
        everything = [np.arange(len(x))]
        (value,) = self._values(unlearner, learner, (x, y), (z, y_z), metric, everything, seed, fit)
        return value

    def _of_texts(
        self,
        model: LanguageModel,
        target: Pair,
        validation: Pair,
        untrained: nn.Module | None,
        metric: Metric,
        fit: dict[str, Any],
    ) -> PartialValue:
        if not isinstance(untrained, LanguageModel):
            raise UserError("the value of texts needs the language model before training: pass it as untrained")
        for name, (x, _) in (("target", target), ("validation", validation)):
            _points(x, name)
        _require_apart(target[0], validation[0], "texts")
        seed = int(self.random_state.randint(2**31))
        unlearner = make_unlearner(model, target, validation, self.method)
        everything = [np.arange(len(target[0]))]
        (value,) = self._values(unlearner, untrained, target, validation, metric, everything, seed, fit)
        return value

    def train_data_values(self, *args: Any, **kwargs: Any) -> PartialUnlearningShapley:
        """Train the full model, and value every player as a target set.

        Parameters
        ----------
        *args, **kwargs
            For the model's ``fit``: ``epochs``, ``batch_size``, ``lr``.

        Raises
        ------
        UserError
            If the model is none of dvbench's.
        FloatingPointError
            If training or unlearning diverged.
        """
        self.__dict__.pop("data_values", None)  # OpenDataVal caches it; it belongs to the data seen before
        if not isinstance(self.pred_model, TensorModel | LanguageModel):
            raise UserError("partial_unlearning_shapley trains dvbench's models only; for another model call value()")
        x, y = self.x_train, self.y_train
        players: Sequence[np.ndarray] = [np.array([i]) for i in range(len(x))]
        if isinstance(x, Subsets):
            players, x, y = x.members, x.points, y.points
        x, y, z, y_z = (as_tensor(part) for part in (x, y, self.x_valid, self.y_valid))
        untrained = self.pred_model.clone()
        full = self.pred_model.clone().fit(x, y, *args, **kwargs)
        seed = int(self.random_state.randint(2**31))
        unlearner = make_unlearner(full, (x, y), (z, y_z), self.method)
        found = self._values(unlearner, untrained, (x, y), (z, y_z), self.metric, players, seed, kwargs)
        self.values_ = np.array([each.value for each in found])
        terms = ("lost_by_unlearning", "lost_by_rest", "lost_by_all")
        self.diagnostics_ = {term: float(np.mean([getattr(each, term) for each in found])) for term in terms}
        self.diagnostics_["unlearned"] = float(unlearner.count)
        return self

    def _values(
        self,
        unlearner: Unlearner,
        untrained: TensorModel | LanguageModel,
        points: Pair,
        validation: Pair,
        metric: Metric,
        targets: Sequence[np.ndarray],
        seed: int,
        fit: dict[str, Any],
    ) -> list[PartialValue]:
        """Values of target sets, given by numbers of points."""
        x, y = validation
        unlearned, alone = np.empty(len(targets)), np.empty(len(targets))
        for numbers, logits in unlearner.outputs_without(targets, seed):
            unlearned[numbers] = mean_utilities(self.utility, metric, y, logits)
        for numbers, models in untrained.fit_many(*points, targets, **fit):
            alone[numbers] = mean_utilities(self.utility, metric, y, models.all_outputs(x))
        (random,) = mean_utilities(self.utility, metric, y, untrained.all_outputs(x))
        (full,) = mean_utilities(self.utility, metric, y, unlearner.outputs_full.unsqueeze(0))
        lost = [(float(full - u), float(full - a), float(full - random)) for u, a in zip(unlearned, alone, strict=True)]
        return [PartialValue((target + all_ - rest) / 2, target, rest, all_, full) for target, rest, all_ in lost]

    def evaluate_data_values(self) -> np.ndarray:
        """Return the values.

        Returns
        -------
        numpy.ndarray of shape (n,)
        """
        return self.values_


def _points(x: torch.Tensor, name: str) -> torch.Tensor:
    x = torch.as_tensor(x)
    if len(x) == 0:
        raise UserError(f"the {name} set is empty")
    return x


def _checked(data: Pair, outputs: int, name: str) -> Pair:
    """Features, and targets of shape (n, outputs)."""
    x, y = _points(data[0], name), torch.as_tensor(data[1])
    if len(x) != len(y):
        raise UserError(f"the {name} set has {len(x)} points and {len(y)} labels")
    if y.ndim == 1 and outputs > 1:
        if y.is_floating_point() or int(y.min()) < 0 or int(y.max()) >= outputs:
            raise UserError(f"labels of the {name} set must be class numbers below {outputs}, the model's outputs")
        y = F.one_hot(y.long(), outputs)
    y = y.reshape(len(y), -1)
    if y.shape[1] != outputs:
        raise UserError(f"the model has {outputs} outputs, and labels of the {name} set have {y.shape[1]} columns")
    return x, y.float()


def _require_apart(target: torch.Tensor, validation: torch.Tensor, what: str = "points") -> None:
    """Raise a `UserError` if a point is in both sets: it would be unlearned and held on to at once."""
    known = {row.tobytes() for row in target.cpu().flatten(1).numpy()}
    shared = sum(row.tobytes() in known for row in validation.cpu().flatten(1).numpy())
    if shared:
        raise UserError(
            f"{shared} {what} of the validation set are in the target set too: take them out of one of them"
        )


def _reset(network: nn.Module, seed: int) -> nn.Module:
    """Copy of a network, initialised anew."""

    def build() -> nn.Module:
        fresh = copy.deepcopy(network)
        for module in fresh.modules():
            reset = getattr(module, "reset_parameters", None)
            if callable(reset):
                reset()
            elif next(module.parameters(recurse=False), None) is not None:
                raise UserError(f"{type(module).__name__} cannot be initialised anew: pass the model before training")
        return fresh

    return seeded(build, seed)
