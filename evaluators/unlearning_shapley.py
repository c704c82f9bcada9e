"""Unlearning Shapley: what a coalition is worth is what is lost when the model unlearns it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from opendataval.dataval import DataEvaluator, ModelMixin

from dvbench.errors import UserError
from dvbench.games import AT_ONCE, Game, ShapleyEstimate, Stopping, shapley_values
from dvbench.problems.subsets import Subsets
from dvbench.randomness import random_state as as_random_state
from dvbench.training.heads import all_features_and_logits
from dvbench.training.language_model import LanguageModel
from dvbench.training.tensors import as_tensor
from dvbench.training.utilities import model_utilities
from dvbench.unlearning.contract import Parameters, UnlearningMethod
from dvbench.unlearning.engine import Unlearner
from dvbench.unlearning.factory import chosen_method, make_unlearner
from evaluators.common.utility import Utility, checked_utility, mean_utilities


class UnlearningShapley(DataEvaluator, ModelMixin):
    """Unlearning Shapley: Shapley values of the performance that is lost by unlearning a coalition.

    One model is trained on all players. The utility of a coalition S is

        v(S) = Perf(theta_full; T) - Perf(unlearn(theta_full, S); T),    v(empty) = 0

    with T the validation set, and its Shapley values are estimated from permutations. A high value means useful data.
    (Equation 4 and Algorithm 1 of the paper print the difference the other way round, which contradicts its equation 1
    and its Algorithm 2.)

    Players may be points or subsets of them: a subset is unlearned with all its points.

    It works with every torch model whose last layer is linear, up to a softmax or a sigmoid: OpenDataVal's classifiers
    and models that output logits alike; and with language models, whose players are whole corpora.

    Parameters
    ----------
    permutations : int, optional
        Stop after this many permutations; 10 if no limit is set. Where enumerating all coalitions takes no more
        utilities, that is done; with a time limit, only where it takes no more than 10 permutations do.
    seconds : float, optional
        Stop after this time.
    target_standard_error : float, optional
        Stop when no value has a larger standard error.
    utility : {"metric", "log_loss"}
        Perf: OpenDataVal's metric (accuracy, unless another is given), or the negative mean loss, which is smooth and
        tells more of gently unlearned coalitions.
    parameters : {"all", "head", "lora"}
        What unlearning moves: every parameter, or the last layer's; of language models also low-rank adapters.
    steps, batch_size, lr, weight_decay, lambda1, lambda2
        Settings of unlearning, see `dvbench.unlearning_methods.gradient_ascent.GradientAscent`.
    method : str or UnlearningMethod
        Another unlearning method by name (``dvbench list unlearning``), which takes the settings above but for the
        lambdas, or one with settings of its own, such as ``NegativePreference(lr=1e-3, beta=0.5)``.
    antithetic : bool
        Follow every permutation with its reverse.
    truncation : float, optional
        Truncate a permutation once Perf has fallen to that of the untrained model, or to within this of it: the model
        has nothing left to forget, and the players that follow contribute nothing. What counts is the level that Perf
        has reached, not how small an increment is: increments have either sign, and a small one says nothing of the
        next.
    memory : int, optional
        MiB that the models unlearned at once may take. By default what keeps them in a processor's cache, or 4 GiB of a
        GPU. It changes values by rounding only.
    random_state : int or RandomState, optional

    Attributes
    ----------
    standard_errors_ : numpy.ndarray of shape (n,)
        Standard error of every value; 0 where they are exact.
    diagnostics_ : dict of str to float
        ``permutations`` (0 for enumeration) and ``unlearned`` coalitions; and the strength of unlearning: Perf and
        OpenDataVal's metric before and after unlearning all players, ``performance_full``, ``performance_unlearned``,
        ``metric_full`` and ``metric_unlearned``.

    References
    ----------
    L. Ma, S. Yang, Z. Wang, Y. Wang, L. Wang, T. Wei, K. Zhang. Losing is for cherishing: data valuation based on
    machine unlearning and Shapley value. arXiv:2505.16147, 2025. Algorithm 1.
    """

    takes_subsets = True

    def __init__(
        self,
        permutations: int | None = None,
        seconds: float | None = None,
        target_standard_error: float | None = None,
        utility: Utility = "metric",
        parameters: Parameters = "all",
        steps: int = 100,
        batch_size: int = 32,
        lr: float = 2e-5,
        weight_decay: float = 0.01,
        lambda1: float = 1.0,
        lambda2: float = 1.0,
        method: str | UnlearningMethod = "gradient_ascent",
        antithetic: bool = False,
        truncation: float | None = None,
        memory: int | None = None,
        random_state: int | np.random.RandomState | None = None,
    ) -> None:
        if permutations is None and seconds is None and target_standard_error is None:
            permutations = 10
        self.stopping = Stopping(permutations, seconds, target_standard_error)
        self.utility = checked_utility(utility)
        settings = {"steps": steps, "batch_size": batch_size, "lr": lr, "weight_decay": weight_decay}
        self.method = chosen_method(method, lambda1, lambda2, parameters=parameters, **settings)
        self.antithetic = antithetic
        self.truncation = truncation
        self.memory = memory
        self.random_state = as_random_state(random_state)

    def train_data_values(self, *args: Any, **kwargs: Any) -> UnlearningShapley:
        """Train the full model and estimate values by unlearning.

        Parameters
        ----------
        *args, **kwargs
            For the model's ``fit``: ``epochs``, ``batch_size``, ``lr``.

        Raises
        ------
        FloatingPointError
            If unlearning diverged.
        """
        self.__dict__.pop("data_values", None)  # OpenDataVal caches it; it belongs to the data seen before
        model = self.pred_model.clone()
        x_valid, y_valid = as_tensor(self.x_valid), as_tensor(self.y_valid)
        untrained = None if self.truncation is None else self._logits(model)
        model.fit(self.x_train, self.y_train, *args, **kwargs)
        players, x, y = None, self.x_train, self.y_train
        if isinstance(x, Subsets):
            players, x, y = x, x.points, y.points
        x, y = as_tensor(x), as_tensor(y)
        budget = None if self.memory is None else self.memory * 2**20
        unlearner = make_unlearner(model, (x, y), (x_valid, y_valid), self.method, budget)
        seed = int(self.random_state.randint(2**31))
        full = self._performances(unlearner.outputs_full.unsqueeze(0))[0]
        limit = np.inf
        if untrained is not None and self.truncation is not None:
            limit = full - self._performances(untrained)[0] - self.truncation
            if limit <= 0:
                raise UserError(
                    f"the trained model's {self.utility} is within {self.truncation:g} of the untrained one's: every "
                    "permutation would be truncated at its start; train longer, or lower the truncation"
                )
        estimate = self.estimate(self.game(unlearner, seed, players), len(self.x_train), limit, unlearner.at_once)
        ((_, nobody),) = unlearner.outputs_without([np.arange(len(x))], seed)
        metric_full, metric_unlearned = (
            model_utilities(self.metric, y_valid, logits)[0] for logits in (unlearner.outputs_full.unsqueeze(0), nobody)
        )
        self.diagnostics_ = {
            "permutations": float(estimate.permutations),
            "unlearned": float(unlearner.count),
            "performance_full": full,
            "performance_unlearned": self._performances(nobody)[0],
            "metric_full": metric_full,
            "metric_unlearned": metric_unlearned,
        }
        return self

    def estimate(self, game: Game, n: int, limit: float = np.inf, at_once: int = AT_ONCE) -> ShapleyEstimate:
        """Estimate the Shapley values of any game, which become this evaluator's values.

        Parameters
        ----------
        game : callable
            Utilities of coalitions, arrays of player numbers.
        n : int
            Number of players.
        limit : float
            Utility at which permutations are truncated.
        at_once : int
            Coalitions the game is asked for at once.

        Returns
        -------
        ShapleyEstimate
        """
        estimate = shapley_values(
            game, n, self.stopping, self.random_state, antithetic=self.antithetic, limit=limit, at_once=at_once
        )
        self.values_, self.standard_errors_ = estimate.values, estimate.standard_errors
        return estimate

    def game(self, unlearner: Unlearner, seed: int, players: Subsets | None = None) -> Game:
        """Make the game: performance lost by unlearning coalitions. One seed serves all of them.

        With the same draws for every coalition, neighbouring prefixes of a permutation see alike minibatches, and what
        is left in their difference is the player.
        """
        full = self._performances(unlearner.outputs_full.unsqueeze(0))[0]

        def utilities(coalitions: Sequence[np.ndarray]) -> np.ndarray:
            if players is not None:
                coalitions = [players.expand(coalition) for coalition in coalitions]
            lost = np.empty(len(coalitions))
            for numbers, logits in unlearner.outputs_without(coalitions, seed):
                lost[numbers] = full - self._performances(logits)
            return lost

        return utilities

    def _logits(self, model: torch.nn.Module) -> torch.Tensor:
        """One model's logits on the validation set, (1, outputs, n_validation)."""
        x = as_tensor(self.x_valid)
        if isinstance(model, LanguageModel):
            return model.all_outputs(x)
        return all_features_and_logits(model, x)[1].T.unsqueeze(0)

    def _performances(self, logits: torch.Tensor) -> np.ndarray:
        """Perf of models with these logits (k, outputs, n_validation) on the validation set, (k,)."""
        return mean_utilities(self.utility, self.metric, as_tensor(self.y_valid), logits)

    def evaluate_data_values(self) -> np.ndarray:
        """Return the values.

        Returns
        -------
        numpy.ndarray of shape (n,)
        """
        return self.values_
