"""Data valuation using reinforcement learning."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
import torch
from opendataval import dataval

from dvbench.number_checks import number, whole_number
from dvbench.randomness import random_state as as_random_state
from dvbench.randomness import torch_generator
from dvbench.training.tensor_model import TensorModel
from dvbench.training.tensors import as_tensor
from dvbench.training.utilities import model_utilities
from evaluators.common.baseline import Baseline
from evaluators.common.coalitions import coalition_utility
from evaluators.common.requirements import Variant, checked_variant, require_features
from evaluators.common.value_network import Adam, as_one_vector, initialise

WINDOW = 20  # steps of the moving average of utilities, the paper's T
EXPLORATION = 1e3  # weight of the penalty on mean probabilities outside of [1 - threshold, threshold]
ROUNDING = 64  # differences from the validation model's predictions are rounded to 1/64 of the range of the labels
BATCH_SIZES = {"paper": 2000, "opendataval": 32}


class DVRL(Baseline, dataval.DVRL):
    """DVRL: probabilities of selection by a value estimator that is trained by reinforcement learning.

    The value estimator is a network that reads a point, its label, and by how much the label differs from the
    prediction of a model that was trained on the validation set, and returns a probability. In each step points are
    selected with these probabilities, a model is trained on the selected points, and the estimator is changed such that
    a selection that gives a higher utility than recent selections becomes more likely (REINFORCE). The values are the
    probabilities at the end.

    Values depend much on the seed: with a fifth of the labels flipped, 400 players and 300 steps, AUROC of finding them
    was 0.63 to 0.99 over six seeds on breast cancer (mean 0.82), and 0.48 to 0.95 on digits (mean 0.70).

    Parameters
    ----------
    rl_epochs : int
        Training steps of the value estimator. Each costs one fit.
    rl_batch_size : int, optional
        Points in each step; by default 2,000 as in the paper, or all if there are fewer. 32 for OpenDataVal's variant.
    lr : float
        Learning rate of the value estimator.
    variant : {"paper", "opendataval"}
    random_state : int or RandomState, optional

    Notes
    -----
    Variant: Algorithm 1 of the paper, with the authors' network and their penalty on mean probabilities near 0 and 1.
    As in the paper, a reward is the utility minus a moving average of utilities with a window of 20 steps; the average
    starts with the first utility. Where no point is drawn, points are drawn with a probability of one half instead.
    (The authors' published code subtracts the utility of the model trained on all points.) The utility is the metric.
    As in the paper, a model is trained on the whole batch with weights 1 and 0, so that the number of optimisation
    steps does not depend on how many points are selected; models of other kinds than dvbench's are fitted to the
    selected points alone. ``variant="opendataval"`` is OpenDataVal's: it subtracts the utility of the model trained on
    all points also from that of a model trained on part of a minibatch of 32, so nearly all rewards are negative; its
    validation model starts from the weights of a model trained on all players; and values are computed from the
    predictions of a third model, trained on the players with their values as weights, which the estimator has not been
    trained with.

    Values: probability of being selected, between 0 and 1; a high one is useful.

    Takes: classifications and regressions, points and subsets; no texts.

    Between processors: training amplifies differences of rounding until other points are selected, after which values
    have little in common. Therefore the estimator computes in double precision, its weights are rounded to single
    precision after each step, and differences from the validation model's predictions are rounded to 1/64 of the range
    of the labels, so that differences of rounding rarely reach a selection. With other instructions of the processor,
    values of digits and breast cancer (100 and 200 points, 100 and 200 steps) differed by at most 1e-15. OpenDataVal's
    variant does none of this: rank correlations of its values went down to 0.14.

    References
    ----------
    J. Yoon, S. Arik, T. Pfister. Data valuation using reinforcement learning. ICML 2020, arXiv:1909.11671.
    """

    version: ClassVar[str] = "0.2.0"

    def __init__(
        self,
        rl_epochs: int = 1000,
        rl_batch_size: int | None = None,
        lr: float = 0.01,
        variant: Variant = "paper",
        random_state: int | np.random.RandomState | None = None,
    ) -> None:
        self.variant = checked_variant(variant)
        size = BATCH_SIZES[variant] if rl_batch_size is None else rl_batch_size
        super().__init__(
            rl_epochs=whole_number("rl_epochs", rl_epochs),
            rl_batch_size=whole_number("rl_batch_size", size),
            lr=number("lr", lr, above=0),
            random_state=as_random_state(random_state),
        )

    def input_data(self, x_train: Any, y_train: Any, x_valid: Any, y_valid: Any) -> DVRL:
        """Set the data and build the value estimator."""
        require_features("dvrl", x_train)
        with torch.random.fork_rng(devices=[]):  # OpenDataVal reseeds torch's global generator here
            super().input_data(x_train, y_train, x_valid, y_valid)
            return self

    def train_data_values(self, *args: Any, **kwargs: Any) -> DVRL:
        """Train the value estimator.

        Parameters
        ----------
        *args, **kwargs
            Arguments of the model's ``fit``.
        """
        if self.variant == "opendataval":
            with torch.random.fork_rng(devices=[]):  # its data loader draws from torch's global generator
                super().train_data_values(*args, **kwargs)
            return self
        inputs = self._inputs(*args, **kwargs)
        generator = torch_generator(int(self.random_state.randint(2**31)))
        initialise(self.value_estimator.double(), generator)
        weights, gradient = as_one_vector(self.value_estimator)
        optimiser = Adam(weights, gradient, self.lr)
        baseline: float | None = None
        for _ in range(self.rl_epochs):
            batch = torch.randperm(self.num_points, generator=generator)[: self.rl_batch_size]
            probabilities = self.value_estimator(*(part[batch] for part in inputs)).squeeze(1)
            selected = _select(probabilities.detach(), generator)
            utility = self._utility(batch, selected, *args, **kwargs)
            reward = 0.0 if baseline is None else utility - baseline
            baseline = utility if baseline is None else baseline + (utility - baseline) / WINDOW
            gradient.zero_()
            self._loss(probabilities, selected, reward).backward()
            optimiser.step()
            with torch.no_grad():
                weights.copy_(weights.float())  # see "Between processors"
        with torch.no_grad():
            self.values_: np.ndarray = self.value_estimator(*inputs).squeeze(1).numpy()
        return self

    def evaluate_data_values(self) -> np.ndarray:
        """Return the probabilities of selection.

        Returns
        -------
        numpy.ndarray of shape (n,)
        """
        if self.variant == "opendataval":
            with torch.random.fork_rng(devices=[]):
                return np.atleast_1d(super().evaluate_data_values())
        return self.values_

    def _utility(self, batch: torch.Tensor, selected: torch.Tensor, *args: Any, **kwargs: Any) -> float:
        """Metric on the validation set of a model trained on the selected points of a batch."""
        batch, order = batch.sort()
        selected = selected[order]
        if not isinstance(self.pred_model, TensorModel):
            return coalition_utility(self, batch[selected].tolist(), *args, **kwargs)
        weights = torch.zeros(self.num_points)
        weights[batch] = selected.float()
        coalitions = [batch.numpy()]
        ((_, models),) = self.pred_model.fit_many(
            self.x_train, self.y_train, coalitions, *args, sample_weight=weights, **kwargs
        )
        outputs = models.all_outputs(as_tensor(self.x_valid))
        return float(model_utilities(self.metric, self.y_valid, outputs)[0])

    def _inputs(self, *args: Any, **kwargs: Any) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Points, labels, and the differences of labels from predictions of a model of the validation set."""
        model = self.pred_model.clone()
        model.fit(self.x_valid, self.y_valid, *args, **kwargs)
        x, y = as_tensor(self.x_train), as_tensor(self.y_train)
        y = y.reshape(len(y), -1).cpu().double()
        predicted = model.predict(self.x_train).detach().cpu().double().reshape(y.shape)
        grid = (float(y.max() - y.min()) or 1.0) / ROUNDING
        return x.cpu().double(), y, ((y - predicted).abs() / grid).round() * grid

    def _loss(self, probabilities: torch.Tensor, selected: torch.Tensor, reward: float) -> torch.Tensor:
        """REINFORCE's loss, whose gradient has the direction of less reward, and the penalty."""
        likelihoods = torch.where(selected, probabilities, 1 - probabilities)
        mean = probabilities.mean()
        outside = (mean - self.threshold).relu() + (1 - self.threshold - mean).relu()
        loss: torch.Tensor = -reward * likelihoods.clamp(min=1e-8).log().sum() + EXPLORATION * outside
        return loss


def _select(probabilities: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Select points with these probabilities; if no point is selected, with a probability of one half, or else all."""
    for chances in (probabilities, torch.full_like(probabilities, 0.5), torch.ones_like(probabilities)):
        selected = torch.rand(chances.shape, generator=generator, dtype=chances.dtype) < chances
        if selected.any():
            return selected
    raise AssertionError("uniform numbers are below 1")
