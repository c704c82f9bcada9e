"""The command that values a user's own table: ``value``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from dvbench.cli.options import Device, DeviceOption

SeedOption = Annotated[int, typer.Option(min=0, help="Seed of all random numbers.")]


def value(
    data: Annotated[
        Path, typer.Argument(help="CSV file with a header. All columns except those named by options are features.")
    ],
    label: Annotated[str, typer.Option(help="Column that the model predicts.", metavar="COLUMN")],
    out: Annotated[Path, typer.Option(help="CSV file to which the values are written.", metavar="FILE")],
    group: Annotated[
        str | None,
        typer.Option(
            help="Column that names the group of each row, such as its provider. Groups are valued instead of rows.",
            metavar="COLUMN",
        ),
    ] = None,
    evaluator: Annotated[
        str, typer.Option(help="Name of an evaluator, or 'module:Class' for your own.")
    ] = "chg_shapley",
    model: Annotated[str, typer.Option(help="Name of a model, or 'module:function' for your own.")] = (
        "logistic_regression"
    ),
    folds: Annotated[
        int, typer.Option(min=2, help="Number of parts of the table. Each part is the validation set once.")
    ] = 5,
    seed: SeedOption = 0,
    device: DeviceOption = Device.auto,
) -> None:
    """Compute the values of the rows of your own table, or of groups of rows, and draw the highest and lowest ones.

    The table is split into folds. Each fold is the validation set once, while the rows of the other folds are valued.
    The value of a row is its mean over the folds in which it was valued. With --group, whole groups are valued: what is
    the data of each provider worth?
    """
    from dvbench import console
    from dvbench.execution.environment import check_device
    from dvbench.execution.value_table import value_table

    check_device(device.value)
    figure = value_table(data, label, out, evaluator, model, folds, seed, device.value, group)
    console.say(f"values: {out}")
    console.say(f"figure: {figure}")
