"""The commands of the cache: ``cache list`` and ``cache clean``."""

from __future__ import annotations

import time
from typing import Annotated

import typer

from dvbench.cli.options import parse_duration

WORDS = {
    "checkpoints": "checkpoints of long training",
    "features": "features of frozen encoders",
    "tokens": "texts as tokens",
    "openml": "tables of OpenML",
    "opendataval": "data sets of OpenDataVal",
    "locks": "locks, of what one process makes at a time",
    "indices": "indices of results folders",
}

app = typer.Typer(help="List and remove files that can be made again, in ~/.cache/dvbench or DVBENCH_CACHE.")


@app.command("list")
def list_cache() -> None:
    """List what is in the cache, by kind: number, size, and when one of them was last used."""
    from dvbench import console
    from dvbench.cache import entries, sizes
    from dvbench.files import cache_folder

    found = entries()
    rows = []
    for kind, (count, size) in sizes(found).items():
        days = (time.time() - max(entry.used for entry in found if entry.kind == kind)) / 86400
        rows.append([kind, str(count), f"{size / 1e6:.1f}", f"{max(days, 0.0):.1f}", WORDS[kind]])
    if rows:
        console.number_table(["kind", "number", "MB", "unused days", "what"], rows)
    console.say(f"{sum(entry.size for entry in found) / 1e6:.1f} MB in {cache_folder()}")


@app.command("clean")
def clean_cache(
    kind: Annotated[
        list[str] | None, typer.Option(help="Remove only files of this kind, see 'cache list'. Repeatable.")
    ] = None,
    older_than: Annotated[
        str, typer.Option(help="Files that were used within this time stay, such as 30min or 7d.", metavar="TIME")
    ] = "1h",
    keep: Annotated[
        str | None,
        typer.Option(
            help="Remove the files that were not used for the longest time, until so much is left, such as 20GB. The "
            "environment variable DVBENCH_CACHE_LIMIT does this before each run.",
            metavar="SIZE",
        ),
    ] = None,
) -> None:
    """Remove files from the cache; they are made again when they are needed."""
    from dvbench import console
    from dvbench.cache import clean, parse_size, sizes

    removed = clean(kind or (), parse_duration(older_than) or 0.0, 0.0 if keep is None else parse_size(keep))
    for name, (count, size) in sizes(removed).items():
        console.say(f"removed {count} of {name}, {size / 1e6:.1f} MB")
    if not removed:
        console.say(f"nothing was removed: what was used in the last {older_than} stays")
