"""The command that values a user's own table: ``value``."""

from __future__ import annotations

from enum import StrEnum
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
    parse_parameters,
    reading_of,
)


class Utility(StrEnum):
    """What a model is judged by."""

    accuracy = "accuracy"
    log_loss = "log_loss"
    mse = "mse"


def value(
    data: TableArgument,
    label: LabelOption = None,
    group: Annotated[
        str | None,
        typer.Option(
            help="Column that names the group of each row, such as its provider. Groups are valued instead of rows.",
            metavar="COLUMN",
        ),
    ] = None,
    evaluator: Annotated[
        str | None,
        typer.Option(
            help="Name of an evaluator, or 'module:Class' for your own. By default one that published results "
            "recommend, and the reason is printed."
        ),
    ] = None,
    parameter: Annotated[
        list[str] | None,
        typer.Option(
            help="Parameter of the evaluator, such as permutations=500; see 'describe'. Repeatable.",
            metavar="NAME=VALUE",
        ),
    ] = None,
    model: ModelOption = "logistic_regression",
    utility: Annotated[
        Utility | None, typer.Option(help="What a model is judged by, if the evaluator judges models.")
    ] = None,
    kind: KindOption = None,
    features: FeaturesOption = None,
    drop: DropOption = None,
    types: TypesOption = None,
    decimal: DecimalOption = None,
    valid: Annotated[
        Path | None,
        typer.Option(
            help="Table with the same columns on which models are judged. By default the rows are divided into folds.",
            metavar="FILE",
        ),
    ] = None,
    folds: Annotated[
        int, typer.Option(min=2, help="Number of parts of the table. Each part is the validation set once.")
    ] = 5,
    seed: SeedOption = 0,
    device: DeviceOption = Device.auto,
    out: Annotated[
        Path | None,
        typer.Option(
            help="CSV file to which the values are written; the picture, and what the values were made with, lie "
            "beside it. By default DATA-values.csv, beside the table.",
            metavar="FILE",
        ),
    ] = None,
) -> None:
    """Compute the values of the rows of your own table, or of groups of rows, and draw the highest and lowest ones.

    The table is divided into folds. Each fold is the validation set once, while the rows of the other folds are valued.
    The value of a row is its mean over the folds in which it was valued. With --group, whole groups are valued: what is
    the data of each provider worth?
    """
    from dvbench import console
    from dvbench.errors import plain
    from dvbench.own_data.choice import settings_of
    from dvbench.own_data.given import Given
    from dvbench.own_data.output import check_output, default_output, replaced, write_with_settings
    from dvbench.own_data.value import value_data

    path = check_output(data, default_output(data) if out is None else out, *([valid] if valid else []))
    judge = None if utility is None else utility.value
    how = settings_of(evaluator, model, judge, folds, seed, None, device.value, parse_parameters(parameter))
    given = Given(data, None, label, group, valid, reading_of(kind, features, drop, types, decimal))
    values = value_data(given, how, console)
    earlier = replaced(path, values.made_with)
    picture = path.with_suffix(".png")
    write_with_settings(path, values.values, values.made_with, also=[picture])
    values.plot(picture)
    console.say(values.summary(reading=False))
    if earlier:
        console.say(f"note: {plain(earlier)}")
    console.say(f"values: {path}")
    console.say(f"picture: {picture}")
