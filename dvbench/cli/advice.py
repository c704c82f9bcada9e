"""The command that advises which evaluator to use for a table: ``advise``."""

from __future__ import annotations

import shlex
from enum import Enum
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from dvbench.cli.options import (
    DecimalOption,
    DropOption,
    FeaturesOption,
    KindOption,
    LabelOption,
    SeedOption,
    TableArgument,
    TypesOption,
    parse_duration,
    reading_of,
)


class For(Enum):
    """What values are wanted for."""

    find = "find"
    select = "select"
    pay = "pay"


def advise(
    data: TableArgument,
    goal: Annotated[
        For,
        typer.Option(
            help="What values are for: to find wrong labels, to select the rows to train on, or to pay providers."
        ),
    ],
    label: LabelOption = None,
    group: Annotated[
        str | None,
        typer.Option(help="Column that names the provider of each row, which is no feature.", metavar="COLUMN"),
    ] = None,
    valid: Annotated[
        Path | None,
        typer.Option(
            help="Table with the same columns on which models will be judged; the pilot uses rows of DATA.",
            metavar="FILE",
        ),
    ] = None,
    budget: Annotated[
        str,
        typer.Option(
            help="Time for the pilot, such as 90s or 10min. Valuing all rows afterwards may take as long again.",
            metavar="TIME",
        ),
    ] = "10min",
    results: Annotated[
        Path | None,
        typer.Option(
            help="Results folder whose boards are asked. By default the published ones, a table of which comes with "
            "dvbench.",
            metavar="DIR",
        ),
    ] = None,
    features: FeaturesOption = None,
    drop: DropOption = None,
    types: TypesOption = None,
    decimal: DecimalOption = None,
    kind: KindOption = None,
    seed: SeedOption = 0,
) -> None:
    """Advise which evaluator to use for your own table of classes, or none.

    Boards say which evaluators gain most on the problems that are nearest to the table. A pilot tries these on a part
    of the table: it finds flipped labels, trains on the rows that values choose, or pays made-up providers. If none is
    shown to gain something, that is the advice.
    """
    from dvbench import console
    from dvbench.own_data.advise import advise_data
    from dvbench.own_data.given import Given
    from leaderboard.published_gains import gains_of_boards

    seconds = parse_duration(budget) or 0.0
    given = Given(data, None, label, group, valid, reading_of(kind, features, drop, types, decimal))
    advice = advise_data(given, goal.value, seconds, partial(gains_of_boards, results), seed, console)
    for line in advice.lines:
        console.say(line)
    if advice.evaluator is not None:
        words = ["dvbench", "value", str(data), "--label", advice.label, "--evaluator", advice.evaluator]
        repeated = {"--features": features, "--drop": drop, "--as": types}
        words += [word for option, given in repeated.items() for each in given or () for word in (option, each)]
        words += [] if kind is None else ["--kind", kind.value]
        words += [] if decimal is None else ["--decimal", decimal.value]
        words += [] if group is None else ["--group" if goal is For.pay else "--drop", group]
        words += [] if valid is None else ["--valid", str(valid)]
        console.say(shlex.join(words) + (" --group COLUMN" if goal is For.pay and group is None else ""))
