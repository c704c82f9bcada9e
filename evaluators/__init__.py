"""Data valuation methods: one file for each evaluator, and OpenDataVal's evaluators with safe settings in `baselines`.

Every evaluator can be imported from here by the name of its class, ``from evaluators import DataShapley, TracIn``. The
registry says which classes the files define, so a new file needs no entry here. Importing a class imports OpenDataVal
and torch; importing this package does not.
"""

from __future__ import annotations

from typing import Any

from dvbench.registry import Entry, entries


def _classes() -> dict[str, Entry]:
    """Registered evaluators that this package defines, by the name of the class."""
    targets = {entry.target.partition(":"): entry for entry in entries("evaluators").values()}
    return {name: entry for (module, _, name), entry in targets.items() if module.startswith(f"{__name__}.")}


def __getattr__(name: str) -> Any:
    if name == "__all__":  # for ``from evaluators import *``
        return __dir__()
    # Python asks for names such as __wrapped__ too, and for submodules before it imports them.
    entry = None if name.startswith("_") else _classes().get(name)
    if entry is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return entry.load()


def __dir__() -> list[str]:
    return sorted(_classes())
