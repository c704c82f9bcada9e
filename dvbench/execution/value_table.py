"""Computes values for the rows of a user's own table, or for groups of rows, from a few folds."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from dvbench.errors import UserError
from dvbench.execution.environment import resolve_device
from dvbench.execution.failures import error_line
from dvbench.execution.valuation import valuate
from dvbench.files import write_atomically
from dvbench.problems.build import assemble
from dvbench.problems.splits import fold_rows
from dvbench.randomness import generator
from dvbench.registry import find
from dvbench.settings import EvaluatorSettings, ModelSettings, Noise, Training
from dvbench.tables.reading import read_table

SHOWN = 15
COLUMNS = ("row", "rows", "value", "spread", "rank")
TRAINING = Training(epochs=20, batch_size=32, lr=0.01)


def value_table(
    data: Path,
    label: str,
    out: Path,
    evaluator: str,
    model: str,
    folds: int,
    seed: int,
    device: str,
    group: str | None = None,
) -> Path:
    """Value every row of a table, or every group of rows, write the values, and draw the extremes.

    Each fold is the validation set once, while the rows of all others are valued; a value is the mean over the folds in
    which the row was valued, or some row of the group.

    Parameters
    ----------
    data : Path
        CSV file with a header.
    label : str
        Column to predict.
    out : Path
        CSV file to write, with columns ``row`` (from 0, the header not counted), the label, ``value``, ``spread``
        (standard deviation over folds) and ``rank`` (1 is the most valuable). Of groups it has the group, ``rows``
        (their number), ``value``, ``spread`` and ``rank``.
    evaluator, model : str
    folds : int
        At least 2.
    seed : int
    device : str
    group : str, optional
        Column that names the group of each row. It is not a feature. Groups are valued instead of rows.

    Returns
    -------
    Path
        The figure, beside ``out``.

    Raises
    ------
    UserError
        If the table cannot be valued, or a file cannot be written.
    """
    _check_output(data, out)
    written = label if group is None else group
    if written in COLUMNS:
        raise UserError(f"a column named '{written}' would clash with the columns written; rename it")
    evaluator, model = find("evaluators", evaluator).name, find("models", model).name
    table = read_table(data, label=label, group=group)
    source = table.source
    parts = fold_rows(source, folds, generator(data.name, seed, "folds"))
    items = None if source.groups is None else np.unique(source.groups, return_inverse=True)[1]
    values = np.full((folds, len(source.labels) if items is None else items.max() + 1), np.nan)
    for fold, validation in enumerate(parts):
        players = np.sort(np.concatenate([part for part in parts if part is not validation]))
        valued, groups = (players, None) if items is None else np.unique(items[players], return_inverse=True)
        problem = assemble(source, f"csv:{data.name}", (players, validation, validation), Noise(), seed, groups)
        key = ("value", seed * folds + fold)
        settings = EvaluatorSettings(name=evaluator), ModelSettings(name=model), TRAINING
        try:
            output = valuate(problem, *settings, key=key, device=resolve_device(device))
            values[fold, valued] = output.arrays["values"]
        except UserError:
            raise
        except (Exception, SystemExit) as error:
            raise UserError(f"{evaluator} failed: {error_line(error)}") from error
    mean, spread = np.nanmean(values, axis=0), np.nanstd(values, axis=0, ddof=1 if folds > 2 else 0)
    if source.groups is not None:
        names, counts = np.unique(source.groups, return_counts=True)
        what, columns = "groups", {str(group): names, "rows": counts}
        title = f"{evaluator}, groups by column '{group}'"
        labels = [_short(name) for name in names]
    else:
        what, columns = "rows", {"row": np.arange(len(mean)), label: table.targets}
        title = f"{evaluator}, label column '{label}'"
        labels = [f"row {row}  ({_short(name)})" for row, name in enumerate(table.targets)]
    _write_table(out, columns, mean, spread)
    return _draw(out.with_suffix(".png"), title, what, labels, mean, spread)


def _check_output(data: Path, out: Path) -> None:
    """Raise a `UserError` if the output would overwrite something, or cannot be written, before the work is done."""
    figure = out.with_suffix(".png") if out.name else out
    if out.is_dir() or not out.name:
        raise UserError(f"{out} is a folder; give the path of a .csv file")
    if figure == out:
        raise UserError(f"{out} would be overwritten by the figure; give a .csv file")
    if data.resolve() in (out.resolve(), figure.resolve()):
        raise UserError(f"{data} would be overwritten; give another --out")
    folder = next(folder for folder in out.absolute().parents if folder.exists())
    if not folder.is_dir() or not os.access(folder, os.W_OK):
        raise UserError(f"cannot write {out}: {folder} is not a folder that you can write to; give another --out")


def _write_table(out: Path, columns: dict[str, np.ndarray], mean: np.ndarray, spread: np.ndarray) -> None:
    import pandas as pd

    rank = (-mean).argsort(kind="stable").argsort(kind="stable") + 1
    frame = pd.DataFrame({**columns, "value": mean, "spread": spread, "rank": rank})
    write_atomically(out, frame.to_csv(index=False).encode())


def _draw(path: Path, heading: str, what: str, labels: list[str], mean: np.ndarray, spread: np.ndarray) -> Path:
    """Bars of the most and the least valuable rows or groups, with the spread over folds."""
    import io

    from matplotlib.figure import Figure

    order = np.argsort(-mean, kind="stable")
    shown = min(SHOWN, -(-len(order) // 2))
    figure = Figure(figsize=(10, 1.2 + 0.24 * shown), layout="constrained")
    for axes, rows, title, colour in zip(
        figure.subplots(1, 2),
        (order[:shown], order[::-1][:shown]),
        (f"{shown} most valuable {what}", f"{shown} least valuable {what}"),
        ("#2a7f62", "#b5482a"),
        strict=True,
    ):
        axes.barh(range(shown), mean[rows], xerr=spread[rows], color=colour, error_kw={"lw": 0.8, "ecolor": "0.4"})
        axes.set_yticks(range(shown), [labels[row] for row in rows], fontsize=8, parse_math=False)
        axes.invert_yaxis()
        axes.axvline(0, color="0.3", lw=0.8)
        axes.spines[["top", "right"]].set_visible(False)
        axes.set_title(title, fontsize=10)
        axes.set_xlabel("data value")
    figure.suptitle(f"{heading}; lines: standard deviation over folds", fontsize=9, parse_math=False)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=150)
    write_atomically(path, buffer.getvalue())
    return path


def _short(text: str) -> str:
    return text if len(text) <= 16 else f"{text[:15]}…"
