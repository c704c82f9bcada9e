"""Selects rows of a user's table to train on, by a selection strategy."""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from dvbench.errors import UserError, one_line
from dvbench.own_data.choice import How, choose
from dvbench.own_data.folds import RANDOMNESS, joined, value_table
from dvbench.own_data.given import Given, Observer, Report, check_seed, say_understood
from dvbench.own_data.output import write_with_settings
from dvbench.registry import Entry, find
from dvbench.settings import ModelSettings, Noise, SelectionSettings
from dvbench.version import __version__

if TYPE_CHECKING:
    import pandas as pd
    from torch import nn

    from dvbench.problems.problem import Problem
    from dvbench.problems.source import Source
    from dvbench.selecting.contract import SelectionStrategy
    from dvbench.tables.reading import Table
    from dvbench.training.selective import Chosen

NOISY = 0.05  # estimated fraction of wrong labels from which on it is said
LOOK_WRONG = (
    "look wrong to a model of the other rows (where classes overlap, some of these are right), and strategies may "
    "choose them: find wrong ones first, with 'dvbench value'"
)
TRAINING = {"every": 5, "epochs": 30, "batch_size": 32, "lr": 0.01}


@dataclass(frozen=True, eq=False)
class Selection:
    """Rows of a table that a selection strategy kept.

    Attributes
    ----------
    kept : pandas.DataFrame
        The rows as they stand in the table, in its order: ``row`` (as the user's file or data frame numbers it), its
        columns, and ``weight``. Of arrays the label is the only column. If the table has a column named ``row`` or
        ``weight``, a ``_`` is added to the name of the new one.
    positions : numpy.ndarray of int
        Positions of these rows in the table, from 0.
    strategy, model : str
    counts : mapping of str to (int, int)
        For each class, the number of rows that were kept, and of all its rows.
    numbering : str
        What ``row`` counts: "line" of a file, "row" of a sheet, "index" of a data frame.
    understood, remarks : tuple of str
        How the table was read, and doubts about it.
    made_with : mapping
        What the rows were chosen with.
    """

    kept: pd.DataFrame
    positions: np.ndarray
    strategy: str
    model: str
    counts: Mapping[str, tuple[int, int]]
    numbering: str
    understood: tuple[str, ...]
    remarks: tuple[str, ...]
    made_with: Mapping[str, Any] = field(default_factory=dict)

    def __repr__(self) -> str:
        return self.summary()

    def summary(self, reading: bool = True) -> str:
        """Say how many rows of each class were kept.

        Parameters
        ----------
        reading : bool
            Whether it begins with what was understood of the table.
        """
        lines = [*self.understood, *(f"note: {remark}" for remark in self.remarks)] if reading else []
        rows = sum(count for _, count in self.counts.values())
        lines += [f"by {self.strategy}, {self.model}: kept {len(self.kept):,} of {rows:,} rows"]
        lines += [f"  {name}: {kept:,} of {count:,}" for name, (kept, count) in self.counts.items()]
        if empty := [name for name, (kept, _) in self.counts.items() if not kept]:
            lines += [f"note: no row of {', '.join(map(repr, empty))} was kept"]
        if self.strategy != "random":
            lines += ["note: compare with models of as many random rows, which the strategy 'random' keeps"]
        return "\n".join(lines)

    def to_csv(self, path: str | Path) -> None:
        """Write the kept rows to a CSV file: their numbers, the columns of the table, and their weights.

        What they were chosen with is written to a file beside it, with the suffix .json.
        """
        write_with_settings(Path(path), self.kept, self.made_with)


def find_strategy(name: str) -> Entry:
    """Find a selection strategy; if an evaluator has the name, the error says how to keep its highest values."""
    try:
        return find("selection", name)
    except UserError:
        try:
            evaluator = find("evaluators", name).name
        except UserError:
            evaluator = None
        if evaluator is None or ":" in name:
            raise
    raise UserError(
        f"{evaluator} is an evaluator and no selection strategy: keep the rows of its highest values with "
        f"--strategy=evaluator_values --evaluator={evaluator}"
    )


def check_settings(
    strategy: str, fraction: float, model: str, seed: int, training: Mapping[str, Any] | None
) -> SelectionSettings:
    """Check settings before a table is read; imports no torch.

    Raises
    ------
    UserError
        If a strategy or a model does not exist, or a number is wrong.
    """
    from pydantic import ValidationError

    from dvbench.errors import validation_message

    find_strategy(strategy)
    find("models", model)
    if isinstance(fraction, bool) or not isinstance(fraction, int | float) or not 0 < fraction <= 1:
        raise UserError(f"--fraction is above 0 and at most 1, not {fraction!r}: 0.3 keeps 30% of the rows")
    check_seed(seed)
    try:
        return SelectionSettings.model_validate({**TRAINING, **(training or {}), "fractions": [fraction]})
    except ValidationError as error:
        raise UserError(validation_message(error, "training")) from error


def select_data(
    given: Given,
    strategy: str,
    params: Mapping[str, Any],
    model: str,
    how: SelectionSettings,
    seed: int,
    device: str,
    report: Report,
) -> Selection:
    """Read a table and choose rows of it; see `dvbench.select`.

    Parameters
    ----------
    given : Given
    strategy : str
    params : mapping
        Parameters of the strategy.
    model : str
    how : SelectionSettings
        See `check_settings`; with one fraction.
    seed : int
    device : str
    report : Report
        Shows what was understood.

    Raises
    ------
    UserError
        If the table cannot be read, or no rows can be chosen.
    """
    table, validation = given.read()
    if table.source.kind != "classification":
        raise UserError(
            f"selection strategies choose rows of classes, and '{table.label}' is a number: 'dvbench value' values the "
            "rows of a regression; --kind classification takes every number as a class"
        )
    name, model = find_strategy(strategy).name, find("models", model).name
    say_understood(table, report)
    from dvbench.own_data.nearest import label_noise
    from dvbench.selecting.factory import check_classes, check_protocol, make_strategy

    noisy = label_noise(table)
    if noisy >= NOISY:
        table = replace(table, remarks=(*table.remarks, f"about {noisy:.0%} of the labels {LOOK_WRONG}"))
        report.say(f"note: {table.remarks[-1]}")
    made = make_strategy(name, **params)
    check_protocol(made, how, name)
    values = None
    if made.valued_by is not None:
        table, values = _valued(table, validation, made.valued_by, seed, device, report)
    labels = table.source.labels
    check_classes(labels, None if validation is None else validation.labels, table.source.classes, how.fractions[0])
    with report.counting("selection") as observe:
        positions, weights = _chosen(table, validation, made, (name, model), values, how, seed, device, observe)
    selection = _result(table, positions, weights, name, model)
    made_with = {
        **given.files(),
        "label": table.label,
        "strategy": name,
        "parameters": dict(params),
        "model": model,
        "training": how.model_dump(mode="json"),
        "seed": seed,
        "dvbench_version": __version__,
        "understood": list(table.understood),
        "remarks": list(table.remarks),
    }
    return replace(selection, made_with=made_with)


def _chosen(
    table: Table,
    validation: Source | None,
    strategy: SelectionStrategy,
    names: tuple[str, str],
    values: np.ndarray | None,
    how: SelectionSettings,
    seed: int,
    device: str,
    observe: Observer,
) -> tuple[np.ndarray, np.ndarray]:
    """Train with reselection; return the positions and the weights of the last choice.

    ``values`` are those of all rows, if the strategy keeps the highest ones.
    """
    if values is None:  # else packages are loaded
        observe(0, 0, 0.0)
    import torch

    from dvbench.execution.environment import resolve_device
    from dvbench.execution.failures import error_line
    from dvbench.randomness import generator, integer_seed, isolated_generators
    from dvbench.selecting.choosing import Chooser
    from dvbench.selecting.record import Recorder
    from dvbench.training.build import build_model
    from dvbench.training.selective import train_on_chosen

    order = generator(RANDOMNESS, seed, "order").permutation(len(table.rows))
    problem, device = _problem(table, validation, order, seed), resolve_device(device)
    key = (RANDOMNESS, seed, names[0])
    network = build_model(
        ModelSettings(name=names[1]),
        problem.shape,
        problem.outputs,
        problem.kind,
        seed=integer_seed(*key, "model"),
        device=device,
    ).network
    train, judges = ((part.x.to(device), part.y.to(device)) for part in (problem.train, problem.validation))
    ordered = None if values is None else torch.from_numpy(values[order]).to(device)
    choose, clock = Chooser(strategy, train, judges, how, how.fractions[0], key, ordered), time.perf_counter()
    total = -(-how.epochs // how.every)

    def told(network: nn.Module, number: int) -> Chosen:
        observe(number, total, time.perf_counter() - clock)
        return choose(network, number)

    recorder = Recorder(told)
    try:
        with isolated_generators(integer_seed(*key, "selection")):
            train_on_chosen(network, *train, recorder, how, integer_seed(*key, "training"))
    except Exception as error:  # a strategy of others can raise anything
        reason = one_line(error) if isinstance(error, UserError) else f"{names[0]} failed: {error_line(error)}"
        raise UserError(reason) from error
    last = recorder.choices[-1]
    positions = order[last.indices]
    ascending = np.argsort(positions)
    return positions[ascending], last.weights[ascending]


def _problem(table: Table, validation: Source | None, order: np.ndarray, seed: int) -> Problem:
    """All rows are candidates. Without a validation set of their own they are judged by themselves.

    They are shuffled, because tables are often sorted by class, and GradMatch-PB divides points in their order.
    """
    from dvbench.problems.build import assemble

    n = len(table.source.labels)
    source = table.source if validation is None else joined(table.source, validation)
    judges = np.arange(n) if validation is None else np.arange(n, n + len(validation.labels))
    return assemble(source, f"table:{table.name}", (order, judges, judges), Noise(), seed)


def _valued(
    table: Table,
    validation: Source | None,
    by: tuple[str, Mapping[str, Any]],
    seed: int,
    device: str,
    report: Report,
) -> tuple[Table, np.ndarray]:
    """Values of all rows, as `dvbench.value` computes them, and the table with lines that say how."""
    evaluator, params = by
    if params:
        raise UserError(f"a table is valued by {evaluator} as 'dvbench value' does, without parameters of its own")
    how = How(evaluator=evaluator, seed=seed, device=device)
    choice = choose(table, how, validated=validation is not None)
    lines = (f"rows are valued by {evaluator}", *choice.lines)
    for line in lines:
        report.say(line)
    with report.counting("fold") as observe:
        values = value_table(table, choice, how, validation, observe)
    return replace(table, understood=(*table.understood, *lines)), values.values["value"].to_numpy(dtype=np.float64)


def _rows(table: Table, positions: np.ndarray, weights: np.ndarray) -> pd.DataFrame:
    import pandas as pd

    columns = table.cells.columns
    row, weight = (_unused(name, columns) for name in ("row", "weight"))
    kept = {name: cells.take(positions).to_pandas() for name, cells in columns.items()}
    return pd.DataFrame({row: table.rows[positions], **kept, weight: weights.astype(np.float64)})


def _unused(name: str, names: Collection[str]) -> str:
    while name in names:
        name += "_"
    return name


def _result(table: Table, positions: np.ndarray, weights: np.ndarray, strategy: str, model: str) -> Selection:
    classes: Sequence[str] = table.source.classes
    counts = [
        np.bincount(part, minlength=len(classes)) for part in (table.source.labels[positions], table.source.labels)
    ]
    return Selection(
        kept=_rows(table, positions, weights),
        positions=positions,
        strategy=strategy,
        model=model,
        counts={name: (int(some), int(every)) for name, some, every in zip(classes, *counts, strict=True)},
        numbering=table.numbering,
        understood=table.understood,
        remarks=table.remarks,
    )
