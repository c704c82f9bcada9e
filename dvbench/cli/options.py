"""Options that several commands have."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from dvbench.errors import UserError

RUNS = Path("runs")


class Device(StrEnum):
    """Device on which models are trained."""

    auto = "auto"
    cpu = "cpu"
    cuda = "cuda"


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
