"""`Values`, the result of valuing a table: a data frame, what it means in words, a picture and a file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from dvbench.files import write_atomically
from dvbench.own_data.output import write_with_settings

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

SHOWN = 10
EQUAL = 1e-9  # values that differ by less than this part of their range are ties
LEVEL = 0.05  # a ranking that chance explains with a greater probability is remarked on
MOSTLY = 0.5  # a ranking in which more than this part of the values are equal is remarked on


@dataclass(frozen=True, eq=False)
class Values:
    """Values of the rows of a table, or of groups of rows.

    Attributes
    ----------
    values : pandas.DataFrame
        Of rows: ``row`` (as the user's file or data frame numbers it), ``label`` (as it stands there), ``value``,
        ``spread`` and ``rank``, in the order of the table. Of groups: ``group``, ``rows`` (their number), ``value``,
        ``spread`` and ``rank``, in alphabetical order. ``spread`` is the standard deviation over folds, which needs
        three where rows are valued. With a validation set of its own, or an evaluator that uses none, there is one
        valuation, and the column is ``standard_error`` if the evaluator estimates it. Rank 1 is the most valuable;
        equal values have the same rank.
    kind : {"classification", "regression"}
    evaluator, model, utility : str
    judged : str
        What players were valued on: the number of folds, or one validation set.
    numbering : str
        What ``row`` counts: "line" of a file, "row" of a sheet, "index" of a data frame.
    understood : tuple of str
        How the table was read.
    remarks : tuple of str
        Doubts about the table, and then about the values.
    seconds : float
    reading_remarks : int
        How many of the remarks are about the table.
    separable : bool
        Whether the values differ by more than chance, see `differ_by_chance`.
    made_with : mapping
        Evaluator, its version and parameters, model, utility, what players were valued on, seed and version of dvbench.
    """

    values: pd.DataFrame
    kind: str
    evaluator: str
    model: str
    utility: str
    judged: str
    numbering: str
    understood: tuple[str, ...]
    remarks: tuple[str, ...]
    seconds: float
    reading_remarks: int = 0
    separable: bool = True
    made_with: Mapping[str, Any] = field(default_factory=dict)

    @property
    def grouped(self) -> bool:
        """Whether groups of rows are valued."""
        return "group" in self.values

    @property
    def how(self) -> str:
        """Evaluator, model with its utility, kind, rows and folds, in one line."""
        rows = int(self.values["rows"].sum()) if self.grouped else len(self.values)
        return f"{self.evaluator}, {self.model}, {self.kind}, {rows:,} rows, {self.judged}"

    def __repr__(self) -> str:
        return self.summary()

    def summary(self, reading: bool = True) -> str:
        """Return the most and the least valuable rows or all groups, doubts, and what to look at first.

        Parameters
        ----------
        reading : bool
            Whether it begins with what was understood of the table.
        """
        lines = [*self.understood, *(f"note: {remark}" for remark in self.remarks)] if reading else []
        lines += [f"by {self.how}"]
        ranked = self.values.sort_values("rank", kind="stable")
        if self.grouped or len(ranked) <= 2 * SHOWN:
            lines += ["", ranked.to_string(index=False)]
        else:
            lines += ["", "most valuable:", *_end(ranked), "least valuable:", *_end(ranked.iloc[::-1])]
        if rows := self.suspects():
            numbers = ", ".join(map(str, rows))
            lines += ["", f"check the labels of these first, by {self.numbering}: {numbers}"]
        elif self.kind == "regression" and not self.grouped:
            lines += ["", "which rows to check first is said for classes only; here, look at the least valuable rows"]
        if not reading:
            lines += [f"note: {remark}" for remark in self.remarks[self.reading_remarks :]]
        return "\n".join(lines)

    def suspects(self) -> list[Any]:
        """Return the rows whose labels to check first: the lowest tenth, ten at most, without ties with other rows.

        There are none if the values differ by no more than chance.
        """
        if self.grouped or self.kind != "classification" or not self.separable:
            return []
        ordered = self.values.sort_values("value", kind="stable")
        return _untied(ordered, min(SHOWN, -(-len(ordered) // 10)))["row"].tolist()

    def plot(self, path: str | Path | None = None) -> Figure:
        """Draw the most and the least valuable rows, or the groups.

        Parameters
        ----------
        path : str or Path, optional
            PNG file to write.

        Returns
        -------
        matplotlib.figure.Figure
        """
        from dvbench.own_data.picture import draw, png

        figure = draw(self.values, self.how, self.numbering)
        if path is not None:
            write_atomically(Path(path), png(figure))
        return figure

    def to_csv(self, path: str | Path) -> None:
        """Write the values to a CSV file, and what they were made with to a file beside it, with the suffix .json."""
        write_with_settings(Path(path), self.values, self.made_with)


def _untied(ordered: pd.DataFrame, count: int) -> pd.DataFrame:
    """The first ``count`` rows, or less: none that is tied with a row after them."""
    cut = ordered.head(count)
    return cut[cut["rank"] != ordered["rank"].iloc[count]] if len(ordered) > count else cut


def _end(ordered: pd.DataFrame) -> list[str]:
    """Lines of the first rows; of rows that are tied, only the number is said if not all can be shown."""
    shown = _untied(ordered, SHOWN)
    lines = [shown.to_string(index=False)] if len(shown) else []
    if len(shown) < SHOWN:
        following = ordered.iloc[len(shown)]
        tied = int((ordered["rank"] == following["rank"]).sum())
        lines.append(f"{'then ' * bool(lines)}{tied:,} rows with the same value, {following['value']:.6g}")
    return lines


def ranks(values: np.ndarray) -> np.ndarray:
    """Rank values, shape (n,): 1 is the highest; ties, up to rounding, share the lowest of their ranks."""
    order = np.argsort(-values, kind="stable")
    gaps = -np.diff(values[order])
    starts = np.concatenate([[True], gaps > EQUAL * max(np.ptp(values), np.abs(values).max() * EQUAL)])
    first = np.maximum.accumulate(np.where(starts, np.arange(len(values)), 0))
    ranked = np.empty(len(values), dtype=np.int64)
    ranked[order] = first + 1
    return ranked


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

    Several valuations are compared by an analysis of variance with players and folds as factors; one valuation with
    known standard errors by Cochran's test of homogeneity. Folds share rows, so the first test errs on the side of
    saying that values differ. Without either it is not known, and False.

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
    centred = valuations - np.nanmean(valuations, axis=1, keepdims=True)
    means, counts = np.nanmean(centred, axis=0), np.isfinite(centred).sum(axis=0)
    between, within = counts @ means**2, np.nansum((centred - means) ** 2)
    n, free = len(means), int(counts.sum()) - len(means) - len(valuations) + 1
    if n < 2 or free < 1 or within == 0:
        return False
    return bool(stats.f.sf(between / (n - 1) / (within / free), n - 1, free) > LEVEL)


def sign_remarks(values: np.ndarray) -> list[str]:
    """Say that zero divides nothing, if all values are below it."""
    if len(values) < 2 or values.max() >= 0:
        return []
    return [
        "all values are below 0, which for this evaluator is no border between useful and harmful: compare their order"
    ]


def chance_remark(what: str) -> str:
    """Say that values differ by no more than chance, and what to do."""
    return (
        f"the values of the {what} differ by no more than chance does, so their order means nothing; try more rows, "
        "another evaluator or another utility"
    )
