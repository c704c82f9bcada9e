"""How games are sampled: the limits at which sampling stops, its settings, and means with their standard errors."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, ClassVar

import numpy as np

from dvbench.errors import unknown
from dvbench.number_checks import number, whole_number

CONFIDENCE = 0.95  # with which the standard error of equal samples is bounded
ROUNDING = 1e-9  # samples are equal if they differ by less than this fraction of the range of all samples


@dataclass(frozen=True)
class Stopping:
    """When to stop sampling: at the first limit that is reached. At least one limit must be set.

    Parameters
    ----------
    permutations : int, optional
        Number of permutations. Antithetic permutations come in pairs, so an odd number is exceeded by one.
    seconds : float, optional
        Time. The number of permutations then depends on the machine, so values do not repeat to the bit.
    standard_error : float, optional
        Sample until no value has a larger standard error. The standard error of small samples is uncertain, so it is
        used only after `MINIMUM` permutations.
    """

    permutations: int | None = None
    seconds: float | None = None
    standard_error: float | None = None

    MINIMUM: ClassVar = 10

    def __post_init__(self) -> None:
        limits = (self.permutations, self.seconds, self.standard_error)
        if all(limit is None for limit in limits):
            raise ValueError("set permutations, seconds or standard_error, or sampling never stops")
        if self.permutations is not None:
            whole_number("permutations", self.permutations)
        for name in ("seconds", "standard_error"):
            if getattr(self, name) is not None:
                number(name, getattr(self, name), above=0)

    def reached(self, permutations: int, seconds: float, standard_errors: np.ndarray) -> bool:
        """Whether to stop after this many permutations and seconds with these errors."""
        if self.permutations is not None and permutations >= self.permutations:
            return True
        if self.seconds is not None and seconds >= self.seconds:
            return True
        return (
            self.standard_error is not None
            and permutations >= self.MINIMUM
            and float(standard_errors.max()) <= self.standard_error
        )


@dataclass(frozen=True)
class Sampling:
    """How permutations are sampled, and when sampling stops: at the first limit that is reached.

    Parameters
    ----------
    permutations : int, optional
        Stop after this many permutations; 10 if no limit is set. If the utilities of all coalitions are not more than
        the permutations need, all coalitions are enumerated instead: then values are exact, except for the randomness
        of the game. Without a number of permutations, or with a time limit, they are enumerated only if 10 permutations
        need as many.
    seconds : float, optional
        Stop after this time.
    target_standard_error : float, optional
        Stop when no value has a larger standard error.
    antithetic : bool
        Follow every permutation with its reverse.
    truncation : float, optional
        End a permutation early when the utility of its coalition is within this distance of its limit. What the limit
        is depends on the evaluator.
    draws : int, optional
        How often all coalitions are enumerated if the game is random, each time with other random numbers. By default
        as often as the permutations pay for, at least once: few players are enumerated several times, and more
        players, or a costly model with few permutations, once. Without a number of permutations, until another limit
        is reached. After one draw the standard error is unknown, and values are those of that draw. Permutations have a
        draw each, so this does not change them.
    """

    permutations: int | None = None
    seconds: float | None = None
    target_standard_error: float | None = None
    antithetic: bool = False
    truncation: float | None = None
    draws: int | None = None

    DEFAULT_PERMUTATIONS: ClassVar = 10

    def __post_init__(self) -> None:
        if not isinstance(self.antithetic, bool):
            raise ValueError(f"antithetic is true or false, not {self.antithetic!r}")
        for name in ("permutations", "draws"):
            if getattr(self, name) is not None:
                whole_number(name, getattr(self, name))
        for name in ("seconds", "target_standard_error"):
            if getattr(self, name) is not None:
                number(name, getattr(self, name), above=0)
        if self.truncation is not None:
            number("truncation", self.truncation)

    @property
    def stopping(self) -> Stopping:
        """The limits."""
        permutations = self.permutations
        if permutations is None and self.seconds is None and self.target_standard_error is None:
            permutations = self.DEFAULT_PERMUTATIONS
        return Stopping(permutations, self.seconds, self.target_standard_error)


def make_sampling(sampling: Sampling | Mapping[str, Any] | None) -> Sampling:
    """Make the settings of sampling from a mapping, as a suite writes it; None stands for the defaults.

    Raises
    ------
    UserError
        If there is no such setting.
    ValueError
        If a value is not allowed.
    """
    if isinstance(sampling, Sampling):
        return sampling
    if sampling is not None and not isinstance(sampling, Mapping):
        raise ValueError(f"sampling is a mapping such as {{ permutations = 10 }}, not {sampling!r}")
    settings = dict(sampling or {})
    known = [field.name for field in fields(Sampling)]
    for name in settings:
        if name not in known:
            raise unknown("parameter of sampling", str(name), known)
    return Sampling(**settings)


class RunningMean:
    """Running mean of samples that are added a few at a time, and its standard error.

    Deviations are summed from the mean, not from zero, so little precision is lost if they are small compared with it.

    The sample variance of numbers that are all equal is 0, although another sample could differ. Their standard error
    is therefore bounded: after m equal samples the probability p of another one is, with a confidence of 95%, at most
    ``1 - 0.05 ** (1 / m)``, about 3 / m (the rule of three; Hanley and Lippman-Hand, JAMA, 1983). If samples lie in a
    range of width R, the standard error is then at most ``R sqrt(p (1 - p) / m)``. R is not known: it is taken from all
    samples of all n numbers, together with 0. So an error of 0 remains only where all samples are 0.

    Parameters
    ----------
    n : int
        Numbers in a sample.

    Attributes
    ----------
    count : int
    mean : numpy.ndarray of shape (n,)
    """

    def __init__(self, n: int) -> None:
        self.count = 0
        self.mean = np.zeros(n)
        self._squares = np.zeros(n)  # of deviations from the mean, summed
        self._lowest, self._highest = np.full(n, np.inf), np.full(n, -np.inf)

    def add(self, samples: np.ndarray) -> None:
        """Add samples, (k, n) with k >= 1 (Chan, Golub and LeVeque, 1983, equation 2.1)."""
        k, mean = len(samples), samples.mean(axis=0)
        change = mean - self.mean
        total = self.count + k
        self.mean = self.mean + change * (k / total)
        self._squares = (
            self._squares + np.square(samples - mean).sum(axis=0) + np.square(change) * (self.count * k / total)
        )
        self._lowest = np.minimum(self._lowest, samples.min(axis=0))
        self._highest = np.maximum(self._highest, samples.max(axis=0))
        self.count = total

    @property
    def standard_errors(self) -> np.ndarray:
        """Standard errors of the mean, (n,); infinite before the second sample, and bounds for equal samples."""
        if self.count < 2:
            return np.full(len(self.mean), np.inf)
        errors = np.sqrt(self._squares / (self.count - 1) / self.count)
        width = self._highest.max(initial=0.0) - self._lowest.min(initial=0.0)
        p = min(0.5, 1 - (1 - CONFIDENCE) ** (1 / self.count))  # p (1 - p) is largest at a half
        equal = self._highest - self._lowest <= ROUNDING * width
        return np.where(equal, width * np.sqrt(p * (1 - p) / self.count), errors)
