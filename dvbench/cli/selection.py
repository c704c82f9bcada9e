"""The command that selects rows of a user's own table to train on: ``select``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from dvbench.cli.options import (
    DecimalOption,
    Device,
    DeviceOption,
    DropOption,
    FeaturesOption,
    KindOption,
    LabelOption,
    ModelOption,
    SeedOption,
    TableArgument,
    TypesOption,
    reading_of,
)
from dvbench.errors import UserError, plain


def select(
    data: TableArgument,
    fraction: Annotated[float, typer.Option(help="Fraction of the rows to keep, above 0 and at most 1.")],
    label: LabelOption = None,
    strategy: Annotated[
        str,
        typer.Option(
            help="Name of a selection strategy, or 'module:Class' for your own; see 'list selection'. By default "
            "the first in the published results of the suite selection-features."
        ),
    ] = "grad_match_pb",
    evaluator: Annotated[
        str | None, typer.Option(help="With --strategy evaluator_values: the evaluator whose highest values are kept.")
    ] = None,
    model: ModelOption = "logistic_regression",
    features: FeaturesOption = None,
    drop: DropOption = None,
    types: TypesOption = None,
    decimal: DecimalOption = None,
    kind: KindOption = None,
    valid: Annotated[
        Path | None,
        typer.Option(
            help="Table with the same columns, for strategies that use a validation set. By default it is the rows "
            "themselves.",
            metavar="FILE",
        ),
    ] = None,
    epochs: Annotated[int, typer.Option(min=1, help="Epochs that the model is trained.")] = 30,
    every: Annotated[int, typer.Option(min=1, help="Rows are chosen anew after so many epochs.")] = 5,
    seed: SeedOption = 0,
    device: DeviceOption = Device.auto,
    out: Annotated[
        Path | None,
        typer.Option(
            help="CSV file to which the kept rows are written, with all columns of the table, and with their numbers "
            "and weights. By default DATA-kept.csv, beside the table.",
            metavar="FILE",
        ),
    ] = None,
) -> None:
    """Keep a fraction of the rows of your own table: those on which a model is best trained, by a selection strategy.

    A model is trained on the rows that the strategy keeps, and rows are chosen anew every few epochs. The last choice
    is written. Labels are classes. A row is numbered as in the output of 'dvbench value': by its line in a text file.
    """
    from dvbench import console
    from dvbench.own_data.given import Given
    from dvbench.own_data.output import check_output, replaced
    from dvbench.own_data.select import check_settings, select_data

    if evaluator is not None and strategy != "evaluator_values":
        raise UserError("--evaluator belongs to --strategy evaluator_values")
    path = check_output(
        data, data.with_name(f"{data.stem}-kept.csv") if out is None else out, *([valid] if valid else [])
    )
    how = check_settings(strategy, fraction, model, seed, {"epochs": epochs, "every": every})
    given = Given(data, None, label, None, valid, reading_of(kind, features, drop, types, decimal))
    params = {} if evaluator is None else {"evaluator": evaluator}
    selection = select_data(given, strategy, params, model, how, seed, device.value, console)
    earlier = replaced(path, selection.made_with)
    selection.to_csv(path)
    console.say(selection.summary(reading=False))
    if earlier:
        console.say(f"note: {plain(earlier)}")
    console.say(f"kept rows: {path}")
