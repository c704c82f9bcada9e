"""The result schema and its store: the only thing the leaderboard reads. Needs no torch."""

from dvbench.results.schema import (
    Array,
    ArrayName,
    Cell,
    CellKey,
    Cost,
    Dataset,
    Environment,
    Plan,
    Result,
    Score,
    describe_error,
)
from dvbench.results.store import Store, write_atomically

__all__ = [
    "Array",
    "ArrayName",
    "Cell",
    "CellKey",
    "Cost",
    "Dataset",
    "Environment",
    "Plan",
    "Result",
    "Score",
    "Store",
    "describe_error",
    "write_atomically",
]
