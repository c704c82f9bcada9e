"""Partial valuation: the value of some data to a model whose other training data need not be accessible."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
import torch.nn.functional as F
from opendataval.dataval import ModelMixin
from opendataval.metrics import accuracy, neg_mse
from torch import nn

from dvbench.errors import UserError
from dvbench.problems.perplexity import negative_perplexity
from dvbench.problems.subsets import Subsets
from dvbench.randomness import random_state as as_random_state
from dvbench.settings import Kind
from dvbench.training.any_model import full_and_untrained
from dvbench.training.contract import TrainableModel
from dvbench.training.tensors import as_tensor
from dvbench.training.utilities import Metric
from dvbench.unlearning.engine import Unlearner
from dvbench.unlearning.factory import MethodSetting, as_method, make_unlearner
from evaluators.common.own_evaluator import OwnEvaluator
from evaluators.common.requirements import require_network
from evaluators.common.utility import Utility, checked_utility, mean_utilities

Pair = tuple[torch.Tensor, torch.Tensor]  # features and targets


@dataclass(frozen=True)
class PartialValue:
    """The value of one target set D, and the terms of its sum.

    Parameters
    ----------
    value : float
        Half of ``lost_by_unlearning + lost_by_all - lost_by_rest``.
    lost_by_unlearning : float
        v(D): utility of the full model minus that of the model that has unlearned the target set.
    lost_by_rest : float
        v(rest): utility of the full model minus that of a model trained on the target set alone.
    lost_by_all : float
        v(all): utility of the full model minus that of an untrained model.
    full : float
        Utility of the full model.
    """

    value: float
    lost_by_unlearning: float
    lost_by_rest: float
    lost_by_all: float
    full: float


class PartialUnlearningShapley(OwnEvaluator, ModelMixin):
    """Partial Unlearning Shapley: a target set's Shapley value in a game against all other data, without those data.

    The two players are the target set D and the rest of the training data:

        phi_D = 1/2 [ v(D) + v(all) - v(rest) ],
        v(D)    = U(full) - U(full model that has unlearned D)
        v(rest) = U(full) - U(model trained on D alone)
        v(all)  = U(full) - U(untrained model)

    with U the utility of a model on the validation set T. `value` needs a trained model, D and T, but no other training
    data. As an evaluator it takes every player as the target set in turn.

    Parameters
    ----------
    method : str, mapping or UnlearningMethod
        Unlearning method: a name (``dvbench list unlearning``), a mapping of its name and parameters such as
        ``{"name": "gradient_ascent", "lr": 1e-4, "steps": 20}``, or an object such as
        ``NegativePreference(lr=1e-3, beta=0.5)``. The default is the paper's: gradient ascent at the rate 2e-5.
    utility : {"metric", "log_loss"}
        U: OpenDataVal's metric, or the negative mean loss.
    random_state : int or RandomState, optional

    Attributes
    ----------
    diagnostics_ : dict of str to float
        ``unlearned`` target sets, and the means of the three terms over them.

    Notes
    -----
    Variant: the paper's Algorithm 2. v(D) and v(rest) come from one run of unlearning and one of training, so values
    are conditional on one draw of their minibatches. The draw is the same for all target sets, and depends on the set
    D, not on the order of its points. OpenDataVal has no such evaluator.

    Values: gain of utility, in its unit (for accuracy a fraction); positive values raise it. Each is of a game of its
    own, so values do not add up to the utility of all players, and are no shares in which money can be divided.

    Takes: classifications, regressions and texts; points and subsets. The model is a network of torch.

    Between processors: equal up to rounding: with the log loss, values of the suite quick differed by at most 3e-7 of
    their range (docs/repeatability.md); with accuracy, those of its digits did not differ.

    References
    ----------
    L. Ma, S. Yang, Z. Wang, Y. Wang, L. Wang, T. Wei, K. Zhang. Losing is for cherishing: data valuation based on
    machine unlearning and Shapley value. arXiv:2505.16147, 2025. Algorithm 2.
    """

    takes_subsets = True
    version: ClassVar[str] = "0.2.0"

    def __init__(
        self,
        method: MethodSetting = "gradient_ascent",
        utility: Utility = "metric",
        random_state: int | np.random.RandomState | None = None,
    ) -> None:
        self.method = as_method(method)
        self.utility = checked_utility(utility)
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
        """Value a target set with a model that was trained on it and on other data.

        Parameters
        ----------
        model : torch.nn.Module
            Trained. Its last layer is linear, optionally followed by a softmax or a sigmoid; or it is a
            `dvbench.training.language_model.LanguageModel`. It is not changed.
        target, validation : tuple of torch.Tensor
            Features (n, ...) with class numbers (n,), one-hot labels (n, classes) or regression targets (n, 1); or
            texts, with the positions from which their tokens count. No point may be in both.
        untrained : torch.nn.Module, optional
            The model before training. By default a copy of the model whose layers are initialised again; for a language
            model it is required.
        metric : callable, optional
            Function of (targets, predictions). By default accuracy, the negative mean squared error for regression, or
            negative perplexity.
        **fit
            How a model is trained on the target set: ``epochs``, ``batch_size``, ``lr``; see
            `dvbench.training.tensor_model.TensorModel.fit`.

        Returns
        -------
        PartialValue

        Raises
        ------
        UserError
            If a set is empty, target and validation set overlap, or the model's outputs do not match the labels.
        FloatingPointError
            If training or unlearning diverged.
        """
        for name, (x, _) in (("target", target), ("validation", validation)):
            if len(x) == 0:
                raise UserError(f"the {name} set is empty")
        seed = int(self.random_state.randint(2**31))
        full, learner = full_and_untrained(model, untrained, torch.as_tensor(validation[0][:1]), seed)
        if learner.kind != "language":
            outputs = learner.all_outputs(torch.as_tensor(validation[0][:1])).shape[1]
            target, validation = _checked(target, outputs, "target"), _checked(validation, outputs, "validation")
        _require_disjoint(target[0], validation[0], "texts" if learner.kind == "language" else "points")
        unlearner = make_unlearner(full, target, validation, self.method)
        all_points, metric = [np.arange(len(target[0]))], metric or _default_metric(learner.kind)
        (value,) = self._values(unlearner, learner, target, validation, metric, all_points, seed, fit)
        return value

    def train_data_values(self, *args: Any, **kwargs: Any) -> PartialUnlearningShapley:
        """Train the full model, and take every player as the target set in turn.

        OpenDataVal's own networks are trained as dvbench's are: by AdamW, with the loss on logits.

        Parameters
        ----------
        *args, **kwargs
            For the model's ``fit``: ``epochs``, ``batch_size``, ``lr``.

        Raises
        ------
        UserError
            If the model is no network of torch.
        FloatingPointError
            If training or unlearning diverged.
        """
        self.__dict__.pop("data_values", None)  # OpenDataVal caches it; it belongs to earlier data
        require_network("partial_unlearning_shapley", self.pred_model)
        x, y = self.x_train, self.y_train
        players: Sequence[np.ndarray] = [np.array([i]) for i in range(len(x))]
        if isinstance(x, Subsets):
            players, x, y = x.members, x.points, y.points
        x, y, z, y_z = (as_tensor(part) for part in (x, y, self.x_valid, self.y_valid))
        untrained = self.pred_model.clone()
        if not isinstance(untrained, TrainableModel):
            _, untrained = full_and_untrained(untrained, untrained, x[:1], int(self.random_state.randint(2**31)))
        full: Any = untrained.clone().fit(x, y, *args, **kwargs)
        seed = int(self.random_state.randint(2**31))
        unlearner = make_unlearner(full, (x, y), (z, y_z), self.method)
        values = self._values(unlearner, untrained, (x, y), (z, y_z), self.metric, players, seed, kwargs)
        self.values_ = np.array([value.value for value in values])
        terms = ("lost_by_unlearning", "lost_by_rest", "lost_by_all")
        self.diagnostics_ = {term: float(np.mean([getattr(value, term) for value in values])) for term in terms}
        self.diagnostics_["unlearned"] = float(unlearner.count)
        return self

    def _values(
        self,
        unlearner: Unlearner,
        untrained: TrainableModel,
        points: Pair,
        validation: Pair,
        metric: Metric,
        targets: Sequence[np.ndarray],
        seed: int,
        fit: dict[str, Any],
    ) -> list[PartialValue]:
        """Values of target sets, which are given as numbers of points."""
        x, y = validation
        unlearned, alone = np.empty(len(targets)), np.empty(len(targets))
        for numbers, outputs in unlearner.outputs_without(targets, seed):
            unlearned[numbers] = mean_utilities(self.utility, metric, y, outputs)
        for numbers, models in untrained.fit_many(*points, targets, **fit):
            alone[numbers] = mean_utilities(self.utility, metric, y, models.all_outputs(x))
        (initial,) = mean_utilities(self.utility, metric, y, untrained.all_outputs(x))
        full = float(mean_utilities(self.utility, metric, y, unlearner.outputs_full.unsqueeze(0))[0])
        lost = [
            (float(full - u), float(full - a), float(full - initial)) for u, a in zip(unlearned, alone, strict=True)
        ]
        return [PartialValue((target + all_ - rest) / 2, target, rest, all_, full) for target, rest, all_ in lost]


def _default_metric(kind: Kind) -> Metric:
    metrics: dict[Kind, Metric] = {
        "classification": accuracy,
        "regression": neg_mse,
        "language": negative_perplexity,
    }
    return metrics[kind]


def _checked(data: Pair, outputs: int, name: str) -> Pair:
    """Features, and targets of shape (n, outputs)."""
    x, y = (torch.as_tensor(part) for part in data)
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


def _require_disjoint(target: torch.Tensor, validation: torch.Tensor, members: str) -> None:
    """Raise a `UserError` if a point is in both sets: a step would unlearn it and keep it at the same time."""
    in_target = {row.tobytes() for row in target.cpu().flatten(1).numpy()}
    common = sum(row.tobytes() in in_target for row in validation.cpu().flatten(1).numpy())
    if common:
        raise UserError(
            f"{common} {members} of the validation set are in the target set too: remove them from one of the sets"
        )
