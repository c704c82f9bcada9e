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

SHOWN, MOST_NAMED = 10, 50
WORSE_THAN_GUESSING = (
    "note: an untrained model can be worse than guessing, and all groups are paid for that too: compare with --utility "
    "log_loss"
)
EQUAL = 1e-9  # values that differ by less than this part of their range are ties


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
    adds_up : bool
        Whether the values of groups add up to what all data gain: each was valued in every fold, by Data Shapley.
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
    adds_up: bool = False
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
            if self.adds_up:
                total = self.values["value"].sum()
                lines += [f"the values add up to {total:.6g}, what all data gain over an untrained model"]
                if self.utility == "accuracy":
                    lines += [WORSE_THAN_GUESSING]
        else:
            lines += ["", "most valuable:", *_end(ranked), "least valuable:", *_end(ranked.iloc[::-1])]
        if rows := self.suspects():
            numbers = ", ".join(map(str, rows[:MOST_NAMED])) + f" and {len(rows) - MOST_NAMED:,} more" * (
                len(rows) > MOST_NAMED
            )
            lines += ["", f"check the labels of these first, by {self.numbering}: {numbers}"]
        elif self.kind == "classification" and self.separable and not self.grouped and self._tied_lowest < len(ranked):
            lines += ["", f"no rows are named to check first: {self._tied_lowest:,} share the lowest value"]
        elif self.kind == "regression" and not self.grouped:
            lines += ["", "which rows to check first is said for classes only; here, look at the least valuable rows"]
        if not reading:
            lines += [f"note: {remark}" for remark in self.remarks[self.reading_remarks :]]
        return "\n".join(lines)

    def suspects(self) -> list[Any]:
        """Return the rows whose labels to check first: the lowest tenth, ten at most, without ties with other rows.

        If more rows share the lowest value, it is all of these, if they are a tenth at most. There are none if the
        values differ by no more than chance.
        """
        if self.grouped or self.kind != "classification" or not self.separable:
            return []
        ordered = self.values.sort_values("value", kind="stable")
        tenth, tied = -(-len(ordered) // 10), self._tied_lowest
        return _untied(ordered, tied if SHOWN < tied <= tenth else min(SHOWN, tenth))["row"].tolist()

    @property
    def _tied_lowest(self) -> int:
        """How many share the lowest value."""
        return int((self.values["rank"] == self.values["rank"].max()).sum())

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
