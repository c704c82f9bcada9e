"""Shapley values by the approximators of shapiq, on the utility of models that dvbench trains together."""

from __future__ import annotations

from typing import Any

import numpy as np
from shapiq import approximator

from dvbench.errors import UserError
from dvbench.number_checks import whole_number
from evaluators.common.rehearsal import SampledByLibrary, Utilities


class _Approximated(SampledByLibrary):
    """Base of the evaluators of this file."""

    def make_approximator(self, n: int, seed: int) -> Any:
        """Approximator of shapiq for n players."""
        raise NotImplementedError

    def library_values(self, utilities: Utilities, seed: int) -> np.ndarray:
        """Run the approximator, which asks for many utilities at once or for one after the other."""
        n = utilities.n
        if self.utilities < n + 2:
            raise UserError(f"shapiq needs at least {n + 2} utilities for {n} players: raise utilities")
        made = self.make_approximator(n, seed)
        estimate = made.approximate(self.utilities, lambda rows: utilities(np.atleast_2d(rows).astype(bool)))
        values: np.ndarray = estimate.get_n_order_values(1)
        return values


class _Regression(_Approximated):
    """Base of the regressions on sampled coalitions."""

    def __init__(
        self, utilities: int = 1000, pairing: bool = True, random_state: int | np.random.RandomState | None = None
    ) -> None:
        super().__init__(utilities, random_state)
        self.pairing = bool(pairing)


class KernelSHAP(_Regression):
    """KernelSHAP: Shapley values by a weighted regression on sampled coalitions, as shapiq computes them.

    Values are in units of the utility, sum to the utility of all players less that of none, and a high one is good.
    One fit for each different coalition; all models are trained together. With ``utilities`` of at least 2^n the
    values are exact. It takes any model and any data, points or subsets.

    Parameters
    ----------
    utilities : int
        Number of coalitions, at least n + 2.
    pairing : bool
        Whether each coalition is followed by its complement, which removes much variance.
    random_state : int or RandomState, optional

    Notes
    -----
    Variant: `shapiq.approximator.KernelSHAP`. Tested against enumeration of all coalitions.

    Between processors: equal, unless rounding changes a prediction, and with it a utility.

    References
    ----------
    S. M. Lundberg, S.-I. Lee. A unified approach to interpreting model predictions. NeurIPS 2017.

    M. Muschalik et al. shapiq: Shapley interactions for machine learning. NeurIPS 2024, arXiv:2410.01649.
    """

    def make_approximator(self, n: int, seed: int) -> Any:
        """Approximator of shapiq for n players."""
        return approximator.KernelSHAP(n, pairing_trick=self.pairing, random_state=seed)


class UnbiasedKernelSHAP(_Regression):
    """Unbiased KernelSHAP: the closed form of the regression with its exact matrix, as shapiq computes it.

    Values are in units of the utility, sum to the utility of all players less that of none, and a high one is good.
    One fit for each different coalition; all models are trained together. With ``utilities`` of at least 2^n the
    values are exact. It takes any model and any data, points or subsets.

    Parameters
    ----------
    utilities : int
        Number of coalitions, at least n + 2.
    pairing : bool
        Whether each coalition is followed by its complement, which removes much variance.
    random_state : int or RandomState, optional

    Notes
    -----
    Variant: `shapiq.approximator.UnbiasedKernelSHAP`. Tested against enumeration of all coalitions.

    Between processors: equal, unless rounding changes a prediction, and with it a utility.

    References
    ----------
    I. Covert, S.-I. Lee. Improving KernelSHAP: practical Shapley value estimation using linear regression. AISTATS
    2021, arXiv:2012.01536.
    """

    def make_approximator(self, n: int, seed: int) -> Any:
        """Approximator of shapiq for n players."""
        return approximator.UnbiasedKernelSHAP(n, pairing_trick=self.pairing, random_state=seed)


class PermutationSampling(_Approximated):
    """Permutation sampling: mean marginal contributions along random permutations, as shapiq computes them.

    Values are in units of the utility, sum to the utility of all players less that of none, and a high one is good.
    One fit for each different coalition; all models are trained together. It takes any model and any data, points or
    subsets.

    Parameters
    ----------
    utilities : int
        Number of utilities, at least n + 2; each permutation of n players takes n - 1.
    random_state : int or RandomState, optional

    Notes
    -----
    Variant: `shapiq.approximator.PermutationSamplingSV`. Tested against enumeration of all coalitions.

    Between processors: equal, unless rounding changes a prediction, and with it a utility.

    References
    ----------
    J. Castro, D. Gómez, J. Tejada. Polynomial calculation of the Shapley value based on sampling. Computers &
    Operations Research 36(5), 2009.
    """

    def make_approximator(self, n: int, seed: int) -> Any:
        """Approximator of shapiq for n players."""
        return approximator.PermutationSamplingSV(n, random_state=seed)


class StratifiedSampling(_Approximated):
    """Stratified sampling: mean marginal contributions for every size of coalition, as shapiq computes them.

    Values are in units of the utility, and a high one is good. A size of coalition from which nothing was drawn for a
    player is left out of its mean. One fit for each different coalition; all models are trained together. It takes any
    model and any data, points or subsets.

    Parameters
    ----------
    utilities : int
        Number of utilities, at least n + 2. Each player has n sizes, each of which takes two utilities a sample.
    random_state : int or RandomState, optional

    Notes
    -----
    Variant: `shapiq.approximator.StratifiedSamplingSV`. Tested against enumeration of all coalitions.

    Between processors: equal, unless rounding changes a prediction, and with it a utility.

    References
    ----------
    S. Maleki et al. Bounding the estimation error of sampling-based Shapley value approximation. arXiv:1306.4265,
    2013.
    """

    def make_approximator(self, n: int, seed: int) -> Any:
        """Approximator of shapiq for n players."""
        return approximator.StratifiedSamplingSV(n, random_state=seed)


class OwenSampling(_Approximated):
    """Owen sampling: marginal contributions to coalitions of every density, integrated, as shapiq computes them.

    Values are in units of the utility, and a high one is good. They are biased by the number of densities. One fit for
    each different coalition; all models are trained together. It takes any model and any data, points or subsets.

    Parameters
    ----------
    utilities : int
        Number of utilities, at least n + 2. A sample of one player at one density takes two.
    anchors : int
        Number of densities between 0 and 1.
    random_state : int or RandomState, optional

    Notes
    -----
    Variant: `shapiq.approximator.OwenSamplingSV`. Tested against enumeration of all coalitions.

    Between processors: equal, unless rounding changes a prediction, and with it a utility.

    References
    ----------
    R. Okhrati, A. Lipani. A multilinear sampling algorithm to estimate Shapley values. ICPR 2020, arXiv:2010.12082.
    """

    def __init__(
        self, utilities: int = 1000, anchors: int = 10, random_state: int | np.random.RandomState | None = None
    ) -> None:
        super().__init__(utilities, random_state)
        self.anchors = whole_number("anchors", anchors)

    def make_approximator(self, n: int, seed: int) -> Any:
        """Approximator of shapiq for n players."""
        return approximator.OwenSamplingSV(n, n_anchor_points=self.anchors, random_state=seed)


class SVARM(_Approximated):
    """SVARM: mean utilities of coalitions with and without each player, all updated by each sample, as in shapiq.

    Values are in units of the utility, and a high one is good. One fit for each different coalition; all models are
    trained together. It takes any model and any data, points or subsets.

    Parameters
    ----------
    utilities : int
        Number of utilities, at least n + 2.
    pairing : bool
        Whether each coalition is followed by its complement.
    random_state : int or RandomState, optional

    Notes
    -----
    Variant: `shapiq.approximator.SVARM`, the stratified version. Tested against enumeration of all coalitions.

    Between processors: equal, unless rounding changes a prediction, and with it a utility.

    References
    ----------
    P. Kolpaczki, V. Bengs, M. Muschalik, E. Hüllermeier. Approximating the Shapley value without marginal
    contributions. AAAI 2024, arXiv:2302.00736.
    """

    def __init__(
        self, utilities: int = 1000, pairing: bool = False, random_state: int | np.random.RandomState | None = None
    ) -> None:
        super().__init__(utilities, random_state)
        self.pairing = bool(pairing)

    def make_approximator(self, n: int, seed: int) -> Any:
        """Approximator of shapiq for n players."""
        return approximator.SVARM(n, pairing_trick=self.pairing, random_state=seed)


class KAddSHAP(_Approximated):
    """kADD-SHAP: Shapley values of the game with interactions of few players that fits the utilities best, by shapiq.

    Values are in units of the utility, and a high one is good. One fit for each different coalition; all models are
    trained together. It fits n + n (n - 1) / 2 numbers for interactions of two players, so it needs few players or
    many utilities. It takes any model and any data, points or subsets.

    Parameters
    ----------
    utilities : int
        Number of coalitions, at least n + 2.
    order : int
        Largest number of players that interact.
    random_state : int or RandomState, optional

    Notes
    -----
    Variant: `shapiq.approximator.kADDSHAP`. Tested against enumeration of all coalitions.

    Between processors: equal up to rounding, unless rounding changes a prediction, and with it a utility.

    References
    ----------
    G. D. Pelegrina, L. T. Duarte, M. Grabisch. A k-additive Choquet integral-based approach to approximate the SHAP
    values for local interpretability in machine learning. Artificial Intelligence 325, 2023.
    """

    def __init__(
        self, utilities: int = 1000, order: int = 2, random_state: int | np.random.RandomState | None = None
    ) -> None:
        super().__init__(utilities, random_state)
        self.order = whole_number("order", order)

    def make_approximator(self, n: int, seed: int) -> Any:
        """Approximator of shapiq for n players."""
        return approximator.kADDSHAP(n, max_order=min(self.order, n), random_state=seed)


class Banzhaf(_Approximated):
    """Banzhaf values: the additive game that fits the utilities of random coalitions best, by shapiq's regression.

    Values are in units of the utility, and a high one is good; they need not sum to the utility of all players. One fit
    for each different coalition; all models are trained together. With ``utilities`` of at least 2^n the values are
    exact. It takes any model and any data, points or subsets.

    Parameters
    ----------
    utilities : int
        Number of coalitions, at least n + 2.
    random_state : int or RandomState, optional

    Notes
    -----
    Variant: `shapiq.approximator.RegressionFBII` of order 1. Tested against enumeration of all coalitions.

    Between processors: equal, unless rounding changes a prediction, and with it a utility.

    References
    ----------
    C.-P. Tsai, C.-K. Yeh, P. Ravikumar. Faith-Shap: the faithful Shapley interaction index. JMLR 24, 2023,
    arXiv:2203.00870. Section 4.
    """

    def make_approximator(self, n: int, seed: int) -> Any:
        """Approximator of shapiq for n players."""
        return approximator.RegressionFBII(n, max_order=1, random_state=seed)
