"""Doubts about values, in words: ties, differences that chance explains, errors of sampling; and what to do."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np

from dvbench.errors import counted
from dvbench.own_data.values import EQUAL
from dvbench.registry import find
from dvbench.settings import EvaluatorSettings

LARGE = 0.1  # of the range of the values, or of the mean value above zero
LEVEL = 0.05  # a ranking that chance explains with a greater probability is remarked on
MOSTLY = 0.5  # a ranking in which more than this part of the values are equal, or below zero, is remarked on
SHOWN = 3  # pairs of neighbours that are named
LOWEST_PART = 0.1  # of the players of a fold, whose labels would be checked first
FEW_VALIDATION_ROWS = 10  # whose part of the accuracy may be chance
MANY = 20  # players whose ranks are nearly continuous
RARE, FEWEST, LOWEST = 0.05, 3, 0.2  # part of the rows of a rare class, its least rows, and the part that counts as low


def tie_remarks(ranked: np.ndarray, what: str, utility: str | None, folds: bool = True) -> list[str]:
    """Say that values rank nothing, or that most of them are equal, and what to do.

    Parameters
    ----------
    ranked : numpy.ndarray of int, shape (n,)
        See `ranks`.
    what : str
        "rows" or "groups".
    utility : str or None
        None if the evaluator uses none, so that another one changes nothing.
    folds : bool
        Whether the values are means over several folds.
    """
    n, largest = len(ranked), int(np.bincount(ranked).max())
    if n < 2 or largest <= MOSTLY * n:
        return []
    tries = ["--utility log_loss"] * (utility == "accuracy") + ["another evaluator"] + ["fewer folds"] * folds
    advice = f"try {', '.join(tries[:-1])}{' or ' if len(tries) > 1 else ''}{tries[-1]}"
    if largest == n:
        return [f"all {n:,} values are equal: they rank no {what}; {advice}"]
    return [f"{largest:,} of {n:,} values are equal: among these {what} there is no order; {advice}"]


def differ_by_chance(valuations: np.ndarray, errors: np.ndarray) -> bool:
    """Whether players' values differ by no more than valuations of the same player do.

    Several valuations are compared by analyses of variance with players and folds as factors: one of the values and, of
    many players, one of their ranks in each fold and one of who is among the lowest tenth of a fold. One valuation with
    known standard errors is compared by Cochran's test of homogeneity. Folds share rows, so the first tests err on the
    side of saying that values differ. Without any of these it is not known, and False.

    Parameters
    ----------
    valuations : numpy.ndarray, shape (folds, n)
        NaN where a player was not valued.
    errors : numpy.ndarray, shape (n,)
        Standard errors of the only valuation; NaN if they are not known.
    """
    from scipy import stats

    if len(valuations) == 1:
        if valuations.shape[1] < 2 or not (np.isfinite(errors) & (errors > 0)).all():
            return False
        weights = errors**-2.0
        deviations = valuations[0] - np.average(valuations[0], weights=weights)
        return bool(stats.chi2.sf(weights @ deviations**2, len(errors) - 1) > LEVEL)
    if valuations.shape[1] < MANY:
        return _chance(valuations) > LEVEL
    # A few extreme values hide all differences of others, but not of their ranks. Where the order of most is chance,
    # the lowest ones can still be the same in all folds.
    ranked = stats.rankdata(valuations, axis=1, nan_policy="omit")
    last = LOWEST_PART * np.isfinite(valuations).sum(axis=1, keepdims=True)
    among_lowest = np.where(np.isfinite(ranked), ranked <= last, np.nan)
    return 3 * min(map(_chance, (valuations, ranked, among_lowest))) > LEVEL


def _chance(valuations: np.ndarray) -> float:
    """Probability of differences between players as large as these if there are none; 0 if it is not known."""
    from scipy import stats

    valuations = valuations[np.isfinite(valuations).any(axis=1)]
    centred = valuations - np.nanmean(valuations, axis=1, keepdims=True)
    means, counts = np.nanmean(centred, axis=0), np.isfinite(centred).sum(axis=0)
    between, within = counts @ means**2, np.nansum((centred - means) ** 2)
    n, free = len(means), int(counts.sum()) - len(means) - len(valuations) + 1
    if n < 2 or free < 1 or within == 0:
        return 0.0
    return float(stats.f.sf(between / (n - 1) / (within / free), n - 1, free))


def order_remarks(names: np.ndarray, valuations: np.ndarray, errors: np.ndarray) -> list[str]:
    """Name neighbours in rank whose order may be chance.

    Of several folds their differences are tested, by a paired t-test; of one valuation by its standard errors. As folds
    share rows, the first test errs on the side of saying that values differ.

    Parameters
    ----------
    names : numpy.ndarray of str, shape (n,)
    valuations : numpy.ndarray, shape (folds, n)
        NaN where a player was not valued.
    errors : numpy.ndarray, shape (n,)
        Standard errors of the only valuation; NaN if they are not known.
    """
    from scipy import stats

    order = np.argsort(-np.nanmean(valuations, axis=0), kind="stable")
    pairs = []
    for first, second in pairwise(order.tolist()):
        gaps = valuations[:, first] - valuations[:, second]
        gaps = gaps[np.isfinite(gaps)]
        error = float(np.hypot(errors[first], errors[second])) if len(valuations) == 1 else _error_of_mean(gaps)
        if not np.isfinite(error) or not len(gaps):
            continue
        quantile = stats.norm.ppf(1 - LEVEL / 2) if len(valuations) == 1 else stats.t.ppf(1 - LEVEL / 2, len(gaps) - 1)
        if gaps.mean() <= quantile * error:
            pairs.append(f"'{names[first]}' and '{names[second]}'")
    if not pairs:
        return []
    more = f" and {counted(len(pairs) - SHOWN, 'more pair')}" if len(pairs) > SHOWN else ""
    return [f"neighbours in rank whose order may be chance: {'; '.join(pairs[:SHOWN])}{more}"]


def _error_of_mean(numbers: np.ndarray) -> float:
    """Standard error of the mean; NaN of less than two numbers."""
    return float(numbers.std(ddof=1)) / math.sqrt(len(numbers)) if len(numbers) > 1 else math.nan


def sign_remarks(values: np.ndarray, grouped: bool = False) -> list[str]:
    """Say that zero divides nothing, if all values are below it, and doubt values of groups most of which are."""
    if len(values) < 2:
        return []
    if values.max() < 0 and not grouped:
        return [
            "all values are below 0, which for this evaluator is no border between useful and harmful: compare their "
            "order"
        ]
    negative = int((values < -EQUAL * np.ptp(values)).sum())
    if grouped and negative > MOSTLY * len(values):
        return [
            f"{negative:,} of {len(values):,} groups have a negative value: distrust that; a few rows of the "
            "validation set may decide all values, or the model, if the evaluator uses one, is trained badly"
        ]
    return []


def rare_remarks(ranked: np.ndarray, labels: np.ndarray) -> list[str]:
    """Name classes with few rows all of which are among the lowest, whether their labels are right or not.

    Parameters
    ----------
    ranked : numpy.ndarray of int, shape (n,)
        See `dvbench.own_data.values.ranks`.
    labels : numpy.ndarray of str, shape (n,)
    """
    classes, codes, counts = np.unique(labels, return_inverse=True, return_counts=True)
    n, said = len(ranked), []
    for each in np.flatnonzero((counts >= FEWEST) & (counts < RARE * n)):
        if ranked[codes == each].min() > (1 - LOWEST) * n:
            said.append(
                f"all {counts[each]} rows of class '{classes[each]}' are among the lowest {LOWEST:.0%}: rows of a rare "
                "class have low values whether their labels are right or not"
            )
    return said


def accuracy_remarks(values: np.ndarray, judges: int) -> list[str]:
    """Say what one row of a validation set is worth, if no value of a group is more than that of a few of them.

    Parameters
    ----------
    values : numpy.ndarray of shape (n,)
        Of groups, in accuracy.
    judges : int
        Number of rows of the validation set.
    """
    if not 0 < np.abs(values).max() < FEW_VALIDATION_ROWS / judges:
        return []
    return [
        f"one row of the validation set is {1 / judges:.2g} of the accuracy, and no value is more than that of "
        f"{FEW_VALIDATION_ROWS} of them: differences may be chance"
    ]


def chance_remark(what: str) -> str:
    """Say that values differ by no more than chance, and what to do."""
    return (
        f"a test does not tell the differences between the values of the {what} from chance, so do not rely on their "
        "order; try more rows, another evaluator or another utility"
    )


def errors_of_means(valuations: np.ndarray, errors: np.ndarray) -> np.ndarray | None:
    """Standard errors by sampling of the means over folds.

    Parameters
    ----------
    valuations : numpy.ndarray of shape (folds, n)
        NaN where a player was not valued.
    errors : numpy.ndarray of shape (folds, n)
        Standard errors of the valuations, which are independent.

    Returns
    -------
    numpy.ndarray of shape (n,), or None
        None if not all are known.
    """
    valued = np.isfinite(valuations)
    if not np.isfinite(errors[valued]).all():
        return None
    means: np.ndarray = np.sqrt(np.square(np.where(valued, errors, 0.0)).sum(axis=0)) / valued.sum(axis=0)
    return means


def sampling_remarks(
    settings: EvaluatorSettings, values: np.ndarray, errors: np.ndarray | None, grouped: bool
) -> list[str]:
    """Say what part of the range of the values their largest standard error is; of groups, what part of a mean payout.

    That is the mean of the values above zero. For groups a large error is a warning that says how many permutations are
    enough.

    Parameters
    ----------
    settings : EvaluatorSettings
    values : numpy.ndarray of shape (n,)
    errors : numpy.ndarray of shape (n,), optional
        None if they are not known.
    grouped : bool
        Whether the players are groups.
    """
    paid = grouped and bool((values > 0).any())
    whole = float(values[values > 0].mean()) if paid else float(np.ptp(values))
    if errors is None or not errors.any() or not whole:
        return []
    largest = float(errors.max())
    of = "the mean value above zero" if paid else "their range"
    said = f"values are sampled: the largest standard error is {largest:.2g}, {largest / whole:.0%} of {of}"
    if not grouped or largest <= LARGE * whole:
        return [said]
    return [f"{said}. Differences of this size are chance: {_what_to_do(settings, largest / whole)}"]


def _what_to_do(settings: EvaluatorSettings, part: float) -> str:
    known = {parameter.name: parameter for parameter in find("evaluators", settings.name).definition.parameters or ()}
    default = known["permutations"].default if "permutations" in known else None
    drawn = settings.params.get("permutations", default)
    if "sampling" in known:
        drawn = settings.params.get("sampling", {}).get("permutations")
    try:
        needed = _rounded(math.ceil(int(str(drawn)) * (part / LARGE) ** 2))
    except ValueError:
        return "value with several seeds, and take the means"
    more = f"'sampling={{permutations={needed}}}'" if "sampling" in known else f"permutations={needed}"
    return f"with --parameter {more} it would be about {LARGE:.0%}"


def _rounded(number: int) -> int:
    """Round up to two digits."""
    unit = int(10 ** max(len(str(number)) - 2, 0))
    return -(-number // unit) * unit
