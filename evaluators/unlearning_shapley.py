"""Unlearning Shapley: the value of a coalition is the utility that is lost when the model unlearns it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
import torch
from opendataval.dataval import ModelMixin

from dvbench.errors import UserError
from dvbench.games import AT_ONCE, Game, RandomGame, ShapleyEstimate, shapley_values
from dvbench.number_checks import whole_number
from dvbench.problems.subsets import Subsets
from dvbench.randomness import integer_seed
from dvbench.randomness import random_state as as_random_state
from dvbench.sampling import Sampling, make_sampling
from dvbench.training.any_model import fit_to_points, model_outputs
from dvbench.training.tensors import as_tensor
from dvbench.training.utilities import model_utilities
from dvbench.unlearning.engine import Unlearner
from dvbench.unlearning.factory import MethodSetting, as_method, make_unlearner
from evaluators.common.own_evaluator import OwnEvaluator
from evaluators.common.requirements import require_network
from evaluators.common.utility import Utility, checked_utility, mean_utilities


class UnlearningShapley(OwnEvaluator, ModelMixin):
    """Unlearning Shapley: Shapley values of the utility that is lost by unlearning a coalition.

    One model is trained on all players. The game's value of a coalition S is

        v(S) = U(theta_full; T) - U(unlearn(theta_full, S); T),    v(empty) = 0

    with U the utility of a model on the validation set T. Its Shapley values are estimated from permutations. A high
    value means useful data.

    Players may be points or subsets of them: a subset is unlearned with all its points.

    It works with every torch model whose last layer is linear, optionally followed by a softmax or a sigmoid, such as
    OpenDataVal's classifiers; and with language models, whose players are whole corpora.

    Parameters
    ----------
    method : str, mapping or UnlearningMethod
        Unlearning method: a name (``dvbench list unlearning``), a mapping of its name and parameters such as
        ``{"name": "gradient_ascent", "lr": 1e-4, "steps": 20}``, or an object such as
        ``NegativePreference(lr=1e-3, beta=0.5)``. The default is the paper's: gradient ascent at the rate 2e-5.
    utility : {"metric", "log_loss"}
        U: OpenDataVal's metric (accuracy, unless another is given), or the negative mean loss, which is smooth and
        distinguishes coalitions better after few or small unlearning steps.
    sampling : Sampling or mapping, optional
        How permutations are sampled, and when sampling stops, see `dvbench.sampling.Sampling`: ``permutations`` (10 if
        no limit is set), ``seconds``, ``target_standard_error``, ``antithetic``, ``truncation`` and ``draws``, the
        number of enumerations, each with other minibatches, if players are so few that all coalitions are enumerated.
        A permutation is truncated when U has fallen to within ``truncation`` of the untrained model's: the model has
        nothing left to unlearn, and the players that follow get no contribution. (The level of U decides, not the size
        of an increment: increments have either sign, and a small one does not predict the next.)
    memory : int, optional
        MiB that the models that are unlearned together may take. By default they fit into a processor's cache, or take
        most of a GPU's free memory. 0 unlearns one at a time. It changes values only by rounding.
    random_state : int or RandomState, optional

    Attributes
    ----------
    standard_errors_ : numpy.ndarray of shape (n,)
        Standard error of every value over permutations or enumerations. It includes the randomness of minibatches,
        because each of them has its own. After a single one it is unknown, infinite: values are then conditional on
        one draw of the minibatches. Of players all of whose samples are equal it is a bound, see
        `dvbench.sampling.RunningMean`.
    diagnostics_ : dict of str to float
        ``permutations`` (0 for enumeration), ``draws`` of the minibatches and ``unlearned`` coalitions; and the
        strength of unlearning: U and OpenDataVal's metric before and after unlearning all players with the first
        minibatches, as ``utility_full``, ``utility_unlearned``, ``metric_full`` and ``metric_unlearned``.

    Notes
    -----
    Variant: the paper's Algorithm 1, with the sign of its equation 1 and Algorithm 2; its equation 4 and Algorithm 1
    print the difference with the opposite sign. The paper does not say how minibatches are drawn. Here v is a function
    of the set S, so the order in which a permutation lists a coalition does not matter. Every permutation, or
    enumeration of all coalitions, has other minibatches, so values estimate the Shapley values of the expected utility.
    Within a permutation, coalitions share them as far as possible (`dvbench.unlearning.minibatches`), which makes
    standard errors small. OpenDataVal has no such evaluator.

    Values: loss of utility by unlearning, in its unit (for accuracy a fraction); positive values are useful.

    Takes: classifications, regressions and texts; points and subsets. The model is a network of torch.

    Between processors: equal up to rounding: with the log loss, values of the suite quick differed by at most 3e-4 of
    their range (docs/repeatability.md); with accuracy, those of its digits did not differ.

    References
    ----------
    L. Ma, S. Yang, Z. Wang, Y. Wang, L. Wang, T. Wei, K. Zhang. Losing is for cherishing: data valuation based on
    machine unlearning and Shapley value. arXiv:2505.16147, 2025. Algorithm 1.
    """

    takes_subsets = True
    version: ClassVar[str] = "0.2.0"

    def __init__(
        self,
        method: MethodSetting = "gradient_ascent",
        utility: Utility = "metric",
        sampling: Sampling | Mapping[str, Any] | None = None,
        memory: int | None = None,
        random_state: int | np.random.RandomState | None = None,
    ) -> None:
        self.method = as_method(method)
        self.utility = checked_utility(utility)
        self.sampling = make_sampling(sampling)
        self.memory = None if memory is None else whole_number("memory", memory, least=0)
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
        self.__dict__.pop("data_values", None)  # OpenDataVal caches it; it belongs to earlier data
        require_network("unlearning_shapley", self.pred_model)
        model = self.pred_model.clone()
        x_valid, y_valid = as_tensor(self.x_valid), as_tensor(self.y_valid)
        untrained = None if self.sampling.truncation is None else model_outputs(model, x_valid)
        fit_to_points(model, self.x_train, self.y_train, *args, **kwargs)
        players, x, y = None, self.x_train, self.y_train
        if isinstance(x, Subsets):
            players, x, y = x, x.points, y.points
        x, y = as_tensor(x), as_tensor(y)
        budget = None if self.memory is None else self.memory * 2**20
        unlearner = make_unlearner(model, (x, y), (x_valid, y_valid), self.method, budget)
        seed = int(self.random_state.randint(2**31))
        limit = self._limit(unlearner.outputs_full, untrained)
        game = RandomGame(lambda draw: self.game(unlearner, seed_of_draw(seed, draw), players))
        estimate = self.estimate(game, len(self.x_train), limit, unlearner.at_once)
        ((_, outputs_unlearned),) = unlearner.outputs_without([np.arange(len(x))], seed)
        before_and_after = unlearner.outputs_full.unsqueeze(0), outputs_unlearned
        utility_full, utility_unlearned = (self._utilities(outputs)[0] for outputs in before_and_after)
        metric_full, metric_unlearned = (
            model_utilities(self.metric, y_valid, outputs)[0] for outputs in before_and_after
        )
        self.diagnostics_ = {
            "permutations": float(estimate.permutations),
            "draws": float(estimate.draws),
            "unlearned": float(unlearner.count),
            "utility_full": utility_full,
            "utility_unlearned": utility_unlearned,
            "metric_full": metric_full,
            "metric_unlearned": metric_unlearned,
        }
        return self

    def _limit(self, outputs_full: torch.Tensor, untrained: torch.Tensor | None) -> float:
        """Value of a coalition at which permutations are truncated; infinite without truncation."""
        if untrained is None or self.sampling.truncation is None:
            return np.inf
        limit = self._utilities(outputs_full.unsqueeze(0))[0] - self._utilities(untrained)[0] - self.sampling.truncation
        if limit <= 0:
            raise UserError(
                f"the trained model's {self.utility} is within {self.sampling.truncation:g} of the untrained model's: "
                "every permutation would be truncated at its start; train longer, or lower the truncation"
            )
        return float(limit)

    def estimate(
        self, game: Game | RandomGame, n: int, limit: float = np.inf, at_once: int = AT_ONCE
    ) -> ShapleyEstimate:
        """Estimate the Shapley values of any game, which become this evaluator's values.

        Parameters
        ----------
        game : callable or RandomGame
            Utilities of coalitions, arrays of player numbers.
        n : int
            Number of players.
        limit : float
            Utility at which permutations are truncated.
        at_once : int
            Coalitions in one call of the game.

        Returns
        -------
        ShapleyEstimate
        """
        sampling = self.sampling
        estimate = shapley_values(
            game,
            n,
            sampling.stopping,
            self.random_state,
            antithetic=sampling.antithetic,
            draws=sampling.draws,
            limit=limit,
            at_once=at_once,
        )
        self.values_, self.standard_errors_ = estimate.values, estimate.standard_errors
        return estimate

    def game(self, unlearner: Unlearner, seed: int, players: Subsets | None = None) -> Game:
        """Make the game of one draw: the utility lost by unlearning coalitions, all with the same seed.

        With the same random numbers for every coalition, consecutive coalitions of a permutation see similar
        minibatches, so that the difference of their utilities comes from the player. Utilities are a function of the
        set of players.
        """
        full = self._utilities(unlearner.outputs_full.unsqueeze(0))[0]

        def utilities(coalitions: Sequence[np.ndarray]) -> np.ndarray:
            if players is not None:
                coalitions = [players.expand(coalition) for coalition in coalitions]
            lost = np.empty(len(coalitions))
            for numbers, outputs in unlearner.outputs_without(coalitions, seed):
                lost[numbers] = full - self._utilities(outputs)
            return lost

        return utilities

    def _utilities(self, outputs: torch.Tensor) -> np.ndarray:
        """U of models with these outputs (k, outputs, n_validation) on the validation set, (k,)."""
        return mean_utilities(self.utility, self.metric, as_tensor(self.y_valid), outputs)


def seed_of_draw(seed: int, draw: int) -> int:
    """Seed of the minibatches of a draw; the first has the seed itself."""
    return integer_seed(seed, "draw", draw) if draw else seed
