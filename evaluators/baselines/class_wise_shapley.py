"""Class-wise Shapley."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
import torch
from opendataval import dataval

from dvbench.errors import UserError
from dvbench.number_checks import whole_number
from dvbench.randomness import random_state as as_random_state
from evaluators.common.baseline import Baseline
from evaluators.common.class_wise import class_wise_values
from evaluators.common.coalitions import fitted_clone
from evaluators.common.joint_training import train_jointly
from evaluators.common.requirements import Variant, checked_variant, require_classes
from evaluators.common.sampling import PermutationSampler


class ClassWiseShapley(Baseline, dataval.ClassWiseShapley):
    """Class-wise Shapley: Shapley values within a class, of accuracy on it weighted by accuracy on other classes.

    Parameters
    ----------
    permutations : int
        Number of permutations for each class. Each costs one fit for each player of the class, and one more.
    draws_of_others : int
        Number of random sets of players of other classes for each permutation. It multiplies the fits.
    variant : {"paper", "opendataval"}
        Whose definition; see Notes.
    random_state : int or RandomState, optional

    Notes
    -----
    Variant: The paper's definition. The utility of a coalition for a class is ``a * exp(b)``, where a and b are the
    numbers of correct predictions within the class and in all other classes, both divided by the size of the whole
    validation set. A player's value is its Shapley value among the players of its class, averaged over all subsets of
    the players of other classes, which are part of every coalition; then the values of a class are multiplied by one
    number so that their sum is a of the model that is trained on all players. Where the sum is not positive, which
    would reverse or lose their order, they are left as they are. Another metric than accuracy is multiplied by the
    share of the validation set that it is computed on, which for accuracy gives a and b; it must not be negative. The
    authors' code draws other players in another way: for each class a number, with equal probabilities from 1 on, and
    that many players. ``variant="opendataval"`` is OpenDataVal's definition: all players of other classes are in every
    coalition, accuracies are divided by the number of points that they are computed on, the utility once more by the
    size of the validation set, and sums are what they are. Four faults are corrected: OpenDataVal selects the
    validation points of other classes by the labels of the training set, adds new values to old ones when it is trained
    again, gets NaN for a class that the validation set lacks, and fails on a class with one player. In both variants
    nothing is cached or truncated.

    With a nearest-neighbour model, such as scikit-learn's in ``dvbench.value(..., model=KNeighborsClassifier(5))``, it
    is a class-wise KNN Shapley. No closed form of that is known to us: it costs as many fits as with any other model.

    Values: gain of accuracy on the class, weighted by accuracy on other classes; positive values raise it.

    Takes: classifications, points and subsets; neither regressions nor texts.

    Between processors: equal, unless rounding changes a prediction, and with it a utility by one correct prediction.
    Without vector instructions no value of two problems with 100 players changed.

    References
    ----------
    S. Schoch, H. Xu, Y. Ji. CS-Shapley: class-wise Shapley values for data valuation in classification. NeurIPS 2022,
    arXiv:2211.06800.
    """

    version: ClassVar[str] = "0.2.0"

    def __init__(
        self,
        permutations: int = 10,
        draws_of_others: int = 1,
        variant: Variant = "paper",
        random_state: int | np.random.RandomState | None = None,
    ) -> None:
        self.permutations = permutations
        self.draws_of_others = whole_number("draws_of_others", draws_of_others)
        self.variant = checked_variant(variant)
        self.random_state = as_random_state(random_state)
        super().__init__(sampler=PermutationSampler(permutations, random_state=self.random_state))

    def input_data(self, x_train: Any, y_train: Any, x_valid: Any, y_valid: Any) -> ClassWiseShapley:
        """Set the data, after a check that they have classes."""
        require_classes("class_wise_shapley", x_train, y_train)
        super().input_data(x_train, y_train, x_valid, y_valid)
        self._rows = {label: self._get_class_indices(label) for label in self.classes.tolist()}
        return self

    def train_data_values(self, *args: Any, **kwargs: Any) -> ClassWiseShapley:
        """Compute the values.

        Parameters
        ----------
        *args, **kwargs
            Arguments of the model's ``fit``.
        """
        compute = self._paper_values if self.variant == "paper" else self._opendataval_values
        self.data_values = compute(*args, **kwargs)
        return self

    def evaluate(self, y: torch.Tensor, y_hat: torch.Tensor) -> float:
        """The metric of predictions; 0 if there are no points."""
        return float(super().evaluate(y, y_hat)) if len(y) else 0.0

    def _paper_values(self, *args: Any, **kwargs: Any) -> np.ndarray:
        def game(pairs: Sequence[tuple[int, np.ndarray]]) -> np.ndarray:
            inside, outside = train_jointly(
                self,
                lambda: np.array(
                    [self._shares(label, self._predicted(members, *args, **kwargs)) for label, members in pairs]
                ),
            ).T
            return np.asarray(inside * np.exp(outside))

        classes = self.train_classes.cpu().numpy()
        values = class_wise_values(game, classes, self.permutations, self.draws_of_others, self.random_state)
        predicted = train_jointly(self, lambda: self._predicted(np.arange(len(classes)), *args, **kwargs))
        for label in self._rows:
            inside, total = self._shares(label, predicted)[0], values[classes == label].sum()
            if total > 0:
                values[classes == label] *= inside / total
        return values

    def _shares(self, label: int, predicted: torch.Tensor) -> tuple[float, float]:
        """Shares of the validation set that are predicted correctly: points of the class, and points of others."""
        inside, outside = (metric * count / self.num_valid for metric, count in self._metrics(label, predicted))
        if min(inside, outside) < 0:
            raise UserError("class_wise_shapley multiplies metrics of classes, so the metric must not be negative")
        return inside, outside

    def _metrics(self, label: int, predicted: torch.Tensor) -> list[tuple[float, int]]:
        """Metric and number of the validation points of a class, and those of all others."""
        parts = [torch.from_numpy(rows) for rows in self._rows[label][2:]]
        return [(self.evaluate(self.y_valid[rows], predicted[rows.to(predicted.device)]), len(rows)) for rows in parts]

    def _predicted(self, members: Any, *args: Any, **kwargs: Any) -> torch.Tensor:
        """Predictions on the validation set of a clone of the model that is fitted to some players."""
        predicted: torch.Tensor = fitted_clone(self, members, *args, **kwargs).predict(self.x_valid)
        return predicted

    def _opendataval_values(self, *args: Any, **kwargs: Any) -> np.ndarray:
        values = np.zeros(len(self.train_classes))
        for label, (inside, *_) in self._rows.items():
            self._label = label
            self.sampler.set_coalition(inside)
            self.sampler.set_evaluator(self._opendataval_utility)
            values[inside] = self.sampler.compute_marginal_contribution(*args, **kwargs).sum(axis=1) / len(inside)
        return values

    def _opendataval_utility(self, subset: Sequence[int], *args: Any, **kwargs: Any) -> float:
        """OpenDataVal's utility of some of the players of the current class, with all players of other classes."""
        inside, others, *_ = self._rows[self._label]
        members = np.concatenate([inside[np.asarray(subset, dtype=int)], others])
        predicted = self._predicted(members, *args, **kwargs)
        (accuracy, _), (accuracy_of_others, _) = self._metrics(self._label, predicted)
        return accuracy * math.exp(accuracy_of_others) / int(self.num_valid)

    def _get_class_indices(self, label: int) -> tuple[np.ndarray, ...]:
        return tuple(
            np.flatnonzero(chosen.cpu())
            for classes in (self.train_classes, self.valid_classes)
            for chosen in (classes == label, classes != label)
        )
