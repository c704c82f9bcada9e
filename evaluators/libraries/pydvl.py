"""Data values by the methods and samplers of pyDVL, on the utility of models that dvbench trains together."""

from __future__ import annotations

import warnings
from typing import Any, Literal, get_args

import numpy as np
from joblib import parallel_config

from dvbench.errors import UserError
from dvbench.number_checks import number, whole_number
from evaluators.common.rehearsal import SampledByLibrary, Utilities

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # a package that pyDVL uses warns of names that pyDVL gives it
    from pydvl.utils.status import Status
    from pydvl.valuation import methods, samplers
    from pydvl.valuation.dataset import Dataset
    from pydvl.valuation.result import ValuationResult
    from pydvl.valuation.stopping import StoppingCriterion
    from pydvl.valuation.types import Sample
    from pydvl.valuation.utility.base import UtilityBase

Sampler = Literal[
    "permutation", "antithetic_permutation", "uniform", "antithetic", "stratified", "owen", "antithetic_owen", "msr"
]


class _Utility(UtilityBase[Sample]):
    """pyDVL's view of utilities."""

    def __init__(self, utilities: Utilities) -> None:
        self.utilities = utilities

    def __call__(self, sample: Sample | None) -> float:
        return self.utilities.of_players(() if sample is None else sample.subset)


class _Budget(StoppingCriterion):
    """Stops before the next batch of samples would ask for more utilities than allowed, if it is like the last one."""

    def __init__(self, utilities: Utilities, allowed: int) -> None:
        super().__init__()
        self.utilities, self.allowed, self._before = utilities, allowed, 0

    def _check(self, result: ValuationResult) -> Status:
        asked = self.utilities.asked
        last, self._before = asked - self._before, asked
        done = asked + max(last, 1) > self.allowed
        self._converged = np.full(len(result), done)
        return Status.Converged if done else Status.Pending


class _Fitted(SampledByLibrary):
    """Base of the evaluators of this file."""

    has_standard_errors = True

    def make_valuation(self, utilities: Utilities, seed: int) -> Any:
        """Valuation method of pyDVL."""
        raise NotImplementedError

    def library_values(self, utilities: Utilities, seed: int) -> np.ndarray:
        """Fit the method in this process, which asks for one utility after the other."""
        n = utilities.n
        valuation = self.make_valuation(utilities, seed)
        with parallel_config(backend="threading", n_jobs=1):
            valuation.fit(Dataset(np.zeros((n, 1)), np.zeros(n)))
        result = valuation.result
        order = np.argsort(result.indices)
        parts = (result.values, result.counts, result.variances)
        values, counts, variances = (np.asarray(part)[order] for part in parts)
        errors = np.sqrt(np.maximum(variances, 0) / np.maximum(counts, 1))  # rounding makes some variances negative
        self.standard_errors_ = np.where(counts > 1, errors, np.inf) if self.has_standard_errors else None
        lacking = (counts < 1) & self.has_standard_errors
        return np.where(lacking, np.nan, values)


class _Semivalue(_Fitted):
    """Base of the methods that take a sampler."""

    def __init__(
        self,
        sampler: Sampler = "permutation",
        utilities: int = 1000,
        random_state: int | np.random.RandomState | None = None,
    ) -> None:
        super().__init__(utilities, random_state)
        if sampler not in get_args(Sampler):
            raise ValueError(f"sampler is one of {', '.join(get_args(Sampler))}, not {sampler!r}")
        self.sampler = sampler

    def library_values(self, utilities: Utilities, seed: int) -> np.ndarray:
        """Fit the method, whose first permutation must be within the budget."""
        if "permutation" in self.sampler and self.utilities <= utilities.n:
            raise UserError(
                f"a permutation of {utilities.n} players takes {utilities.n + 1} utilities: raise utilities"
            )
        return super().library_values(utilities, seed)


def _make_sampler(name: Sampler, seed: int) -> Any:
    """Sampler of pyDVL that draws without end, its samples one at a time."""
    every: dict[str, Any] = {"index_iteration": samplers.SequentialIndexIteration, "seed": seed}
    owen = samplers.UniformOwenStrategy(n_samples_outer=1, seed=int(np.random.SeedSequence(seed).generate_state(1)[0]))
    make = {
        "permutation": lambda: samplers.PermutationSampler(seed=seed),
        "antithetic_permutation": lambda: samplers.AntitheticPermutationSampler(seed=seed),
        "uniform": lambda: samplers.UniformSampler(**every),
        "antithetic": lambda: samplers.AntitheticSampler(**every),
        "stratified": lambda: samplers.StratifiedSampler(
            samplers.ConstantSampleSize(), sample_sizes_iteration=samplers.RandomSizeIteration, **every
        ),
        "owen": lambda: samplers.OwenSampler(owen, n_samples_inner=2, **every),
        "antithetic_owen": lambda: samplers.AntitheticOwenSampler(owen, n_samples_inner=2, **every),
        "msr": lambda: samplers.MSRSampler(seed=seed),
    }
    return make[name]()


class Shapley(_Semivalue):
    """Shapley values by pyDVL, with any of its samplers of coalitions.

    Values are in units of the utility, and a high one is good; from whole permutations they sum to the utility of all
    players less that of none.

    One fit for each different coalition; all models are trained together. It takes any model and any data, points or
    subsets.

    Parameters
    ----------
    sampler : {"permutation", "antithetic_permutation", "uniform", "antithetic", "stratified", "owen", \
            "antithetic_owen", "msr"}
        pyDVL's sampler of coalitions. It weights samples for the semivalue that is computed; weights of a sampler that
        was made for another semivalue differ much, and values from few samples are then far off.
    utilities : int
        How many utilities pyDVL may ask for: two for a marginal contribution, n + 1 for a permutation of n players, one
        for a sample of "msr".
    random_state : int or RandomState, optional

    Notes
    -----
    Variant: `pydvl.valuation.ShapleyValuation`, stopped by the number of utilities. Tested against enumeration of all
    coalitions.

    Between processors: equal up to rounding, unless rounding changes a prediction, and with it a utility.

    References
    ----------
    A. Ghorbani, J. Zou. Data Shapley: equitable valuation of data for machine learning. ICML 2019,
    arXiv:1904.02868.
    """

    def make_valuation(self, utilities: Utilities, seed: int) -> Any:
        """Valuation method of pyDVL."""
        budget = _Budget(utilities, self.utilities)
        return methods.ShapleyValuation(_Utility(utilities), _make_sampler(self.sampler, seed), budget)


class Banzhaf(_Semivalue):
    """Banzhaf values by pyDVL, with any of its samplers of coalitions.

    Values are in units of the utility, and a high one is good; they need not sum to the utility of all players.

    One fit for each different coalition; all models are trained together. It takes any model and any data, points or
    subsets.

    Parameters
    ----------
    sampler : {"permutation", "antithetic_permutation", "uniform", "antithetic", "stratified", "owen", \
            "antithetic_owen", "msr"}
        pyDVL's sampler of coalitions. It weights samples for the semivalue that is computed; weights of a sampler that
        was made for another semivalue differ much, and values from few samples are then far off.
    utilities : int
        How many utilities pyDVL may ask for: two for a marginal contribution, n + 1 for a permutation of n players, one
        for a sample of "msr".
    random_state : int or RandomState, optional

    Notes
    -----
    Variant: `pydvl.valuation.BanzhafValuation`, stopped by the number of utilities; with the sampler "msr"
    `MSRBanzhafValuation`, which is the paper's estimator. Tested against enumeration of all coalitions.

    Between processors: equal up to rounding, unless rounding changes a prediction, and with it a utility.

    References
    ----------
    J. T. Wang, R. Jia. Data Banzhaf: a robust data valuation framework for machine learning. AISTATS 2023,
    arXiv:2205.15466.
    """

    def __init__(
        self,
        sampler: Sampler = "msr",
        utilities: int = 1000,
        random_state: int | np.random.RandomState | None = None,
    ) -> None:
        super().__init__(sampler, utilities, random_state)

    def make_valuation(self, utilities: Utilities, seed: int) -> Any:
        """Valuation method of pyDVL."""
        budget = _Budget(utilities, self.utilities)
        if self.sampler == "msr":
            return methods.MSRBanzhafValuation(_Utility(utilities), budget, seed=seed)
        return methods.BanzhafValuation(_Utility(utilities), _make_sampler(self.sampler, seed), budget)


class BetaShapley(_Semivalue):
    """Beta Shapley values by pyDVL, with any of its samplers of coalitions.

    Values are in units of the utility, and a high one is good; they need not sum to the utility of all players.

    One fit for each different coalition; all models are trained together. It takes any model and any data, points or
    subsets.

    Parameters
    ----------
    sampler : {"permutation", "antithetic_permutation", "uniform", "antithetic", "stratified", "owen", \
            "antithetic_owen", "msr"}
        pyDVL's sampler of coalitions. It weights samples for the semivalue that is computed; weights of a sampler that
        was made for another semivalue differ much, and values from few samples are then far off.
    utilities : int
        How many utilities pyDVL may ask for: two for a marginal contribution, n + 1 for a permutation of n players, one
        for a sample of "msr".
    alpha, beta : float
        Parameters of the distribution of sizes. A large ``alpha`` gives weight to small coalitions; 1 and 1 are
        Shapley values.
    random_state : int or RandomState, optional

    Notes
    -----
    Variant: `pydvl.valuation.BetaShapleyValuation`, stopped by the number of utilities. Tested against enumeration of
    all coalitions.

    Between processors: equal up to rounding, unless rounding changes a prediction, and with it a utility.

    References
    ----------
    Y. Kwon, J. Zou. Beta Shapley: a unified and noise-reduced data valuation framework for machine learning. AISTATS
    2022, arXiv:2110.14049.
    """

    def __init__(
        self,
        sampler: Sampler = "permutation",
        utilities: int = 1000,
        alpha: float = 4.0,
        beta: float = 1.0,
        random_state: int | np.random.RandomState | None = None,
    ) -> None:
        super().__init__(sampler, utilities, random_state)
        self.alpha, self.beta = number("alpha", alpha, above=0), number("beta", beta, above=0)

    def make_valuation(self, utilities: Utilities, seed: int) -> Any:
        """Valuation method of pyDVL."""
        budget = _Budget(utilities, self.utilities)
        sampler = _make_sampler(self.sampler, seed)
        return methods.BetaShapleyValuation(_Utility(utilities), sampler, budget, self.alpha, self.beta)


class DeltaShapley(_Fitted):
    """Delta-Shapley values by pyDVL: mean marginal contributions to coalitions of some sizes only.

    Values are in units of the utility, and a high one is good; they need not sum to the utility of all players.

    One fit for each different coalition; all models are trained together. It takes any model and any data, points or
    subsets.

    Parameters
    ----------
    smallest, largest : int
        Sizes of the coalitions that a player is added to; a larger number than there are other players means all.
    utilities : int
        How many utilities pyDVL may ask for: two for each marginal contribution.
    random_state : int or RandomState, optional

    Notes
    -----
    Variant: `pydvl.valuation.DeltaShapleyValuation`, all sizes with equal probability. Tested against enumeration of
    all coalitions.

    Between processors: equal up to rounding, unless rounding changes a prediction, and with it a utility.

    References
    ----------
    L. Watson et al. Accelerated Shapley value approximation for data evaluation. arXiv:2311.05346, 2023.
    """

    def __init__(
        self,
        smallest: int = 1,
        largest: int = 50,
        utilities: int = 1000,
        random_state: int | np.random.RandomState | None = None,
    ) -> None:
        super().__init__(utilities, random_state)
        self.smallest = whole_number("smallest", smallest, least=0)
        self.largest = whole_number("largest", largest)

    def make_valuation(self, utilities: Utilities, seed: int) -> Any:
        """Valuation method of pyDVL."""
        largest = min(self.largest, utilities.n - 1)
        if self.smallest > largest:
            raise UserError(f"pydvl:delta_shapley has no coalitions of {self.smallest} to {largest} other players")
        sampler = samplers.StratifiedSampler(
            samplers.ConstantSampleSize(lower_bound=self.smallest, upper_bound=largest),
            sample_sizes_iteration=samplers.RandomSizeIteration,
            index_iteration=samplers.SequentialIndexIteration,
            seed=seed,
        )
        return methods.DeltaShapleyValuation(_Utility(utilities), sampler, _Budget(utilities, self.utilities))


class LeastCore(_Fitted):
    """Least core by pyDVL: values with which the coalition that is worst off lacks as little as possible.

    Values are in units of the utility, sum to the utility of all players, and a high one is good. A linear program
    chooses the smallest of all solutions.

    One fit for each different coalition; all models are trained together. It takes any model and any data, points or
    subsets.

    Parameters
    ----------
    utilities : int
        Number of random coalitions, and two more for none and all.
    random_state : int or RandomState, optional

    Notes
    -----
    Variant: `pydvl.valuation.MonteCarloLeastCoreValuation`. Tested: with all coalitions the deficit is that of the
    linear program of all coalitions.

    Between processors: equal up to the tolerance of the solver, unless rounding changes a utility.

    References
    ----------
    T. Yan, A. D. Procaccia. If you like Shapley then you'll love the core. AAAI 2021.
    """

    has_standard_errors = False

    def make_valuation(self, utilities: Utilities, seed: int) -> Any:
        """Valuation method of pyDVL."""
        samples = max(1, self.utilities - 2)
        return methods.MonteCarloLeastCoreValuation(_Utility(utilities), samples, progress=False, seed=seed)


class LeaveOneOut(_Fitted):
    """Leave-one-out by pyDVL: the utility that is lost by training without a player.

    Values are in units of the utility, and a high one is good. It takes n + 1 fits for n players, of models that are
    trained together. It takes any model and any data, points or subsets.

    Parameters
    ----------
    random_state : int or RandomState, optional
        Not used: nothing is drawn.

    Notes
    -----
    Variant: `pydvl.valuation.LOOValuation`. Tested against all models but one.

    Between processors: equal, unless rounding changes a prediction, and with it a utility.

    References
    ----------
    R. D. Cook. Detection of influential observation in linear regression. Technometrics 19(1), 1977.
    """

    has_standard_errors = False

    def __init__(self, random_state: int | np.random.RandomState | None = None) -> None:
        super().__init__(random_state=random_state)

    def make_valuation(self, utilities: Utilities, seed: int) -> Any:
        """Valuation method of pyDVL."""
        return methods.LOOValuation(_Utility(utilities))
