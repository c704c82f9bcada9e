"""Options that several commands have."""

from __future__ import annotations

import re
import tomllib
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from dvbench.errors import UserError

RUNS = Path("runs")
UNITS = {"s": 1.0, "min": 60.0, "h": 3600.0, "d": 86400.0}


class Device(StrEnum):
    """Device on which models are trained."""

    auto = "auto"
    cpu = "cpu"
    cuda = "cuda"


class Decimal(StrEnum):
    """Decimal mark of numbers."""

    point = "."
    comma = ","


class Kind(StrEnum):
    """Kind of a table's problem."""

    classification = "classification"
    regression = "regression"


DeviceOption = Annotated[
    Device, typer.Option(help="Device on which models are trained; 'auto' is a GPU if there is one.")
]
MirrorOption = Annotated[
    Path | None,
    typer.Option(
        help="Folder with the layout of the Hugging Face hub that is searched before the hub. "
        "The environment variable DVBENCH_MIRROR sets it too.",
        metavar="DIR",
    ),
]
TableArgument = Annotated[Path, typer.Argument(help="Table: .csv, .tsv, .parquet, .xlsx or .jsonl.")]
LabelOption = Annotated[
    str | None, typer.Option(help="Column to predict. By default it is guessed, and printed.", metavar="COLUMN")
]
ModelOption = Annotated[str, typer.Option(help="Name of a model, or 'module:function' for your own.")]
FeaturesOption = Annotated[
    list[str] | None, typer.Option(help="Use only this column as a feature. Repeatable.", metavar="COLUMN")
]
DropOption = Annotated[list[str] | None, typer.Option(help="Do not use this column. Repeatable.", metavar="COLUMN")]
TypesOption = Annotated[
    list[str] | None,
    typer.Option(
        "--as",
        help="Type of a column that is not to be guessed: number, category, date, text or identifier. Repeatable.",
        metavar="COLUMN=TYPE",
    ),
]
DecimalOption = Annotated[Decimal | None, typer.Option(help="Decimal mark, where numbers can be read in two ways.")]
KindOption = Annotated[Kind | None, typer.Option(help="Kind of problem. By default it follows from the label.")]
SeedOption = Annotated[int, typer.Option(min=0, help="Seed of all random numbers.")]
ResultsOption = Annotated[Path, typer.Option(help="Results folder.", metavar="DIR")]


def parse_seeds(text: str | None) -> list[int] | None:
    """Parse ``0-4`` or ``0,3``."""
    if text is None:
        return None
    try:
        seeds: list[int] = []
        for part in text.split(","):
            first, dash, last = part.partition("-")
            seeds += range(int(first), int(last) + 1) if dash else [int(first)]
    except ValueError:
        seeds = []
    if not seeds or len(set(seeds)) != len(seeds):
        raise UserError(f"seeds are numbers such as '0-4' or '0,3', each once, not '{text}'")
    return seeds


def parse_duration(text: str | None) -> float | None:
    """Read a time such as ``90s``, ``30min``, ``2h`` or ``1.5d``, in seconds.

    Raises
    ------
    UserError
        If it is something else.
    """
    if text is None:
        return None
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*(s|min|h|d)", text.strip())
    if match is None or not float(match[1]):
        raise UserError(f"a time is a number with a unit, s, min, h or d, such as 30min or 2h, not '{text}'")
    return float(match[1]) * UNITS[match[2]]


def parse_parameters(options: list[str] | None) -> dict[str, Any]:
    """Parameters of a plug-in, by options ``--parameter NAME=VALUE``.

    A value is written as in TOML; a text can be written without quotes if it begins with a letter.

    Raises
    ------
    UserError
        If it is something else, or a parameter is given twice.
    """
    parameters: dict[str, Any] = {}
    for option in options or ():
        name, equals, text = (part.strip() for part in option.partition("="))
        if not equals or not name.isidentifier() or not text:
            raise UserError(f"--parameter is NAME=VALUE, such as permutations=500, not '{option}'")
        if name in parameters:
            raise UserError(f"--parameter {name} is given twice")
        parameters[name] = _toml(name, text)
    return parameters


def _toml(name: str, text: str) -> Any:
    try:
        (value,) = tomllib.loads(f"value = {text}").values()
    except ValueError:  # no TOML, or more than one value
        if re.fullmatch(r"[A-Za-z][\w.:-]*", text):
            return text
        raise UserError(
            f"the value of --parameter {name} is a number, true, false, a text in quotes, a list or a table of TOML, "
            f"not '{text}'"
        ) from None
    return value


def reading_of(
    kind: Kind | None,
    features: list[str] | None,
    drop: list[str] | None,
    types: list[str] | None,
    decimal: Decimal | None,
) -> dict[str, Any]:
    """How a table is to be read, by the options of a command, as `dvbench.own_data.given.Given` takes it."""
    return {
        "kind": None if kind is None else kind.value,
        "features": features,
        "drop": drop or (),
        "types": column_types(types),
        "decimal": None if decimal is None else decimal.value,
    }


def column_types(options: list[str] | None) -> dict[str, str]:
    """Types of columns, by the options ``--as``."""
    return dict(_pair(text) for text in options or ())


def _pair(text: str) -> tuple[str, str]:
    """Column and type of an option ``--as``."""
    column, equals, kind = text.rpartition("=")
    if not equals or not column or not kind:
        raise UserError(f"--as is COLUMN=TYPE, not '{text}'")
    return column, kind
