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
)
from dvbench.results.store import Store
from dvbench.results.submissions import MARKS, About, FreshRun, FreshScore, How, Submission, Verified, VerifiedCell

__all__ = [
    "MARKS",
    "About",
    "Array",
    "ArrayName",
    "Cell",
    "CellKey",
    "Cost",
    "Dataset",
    "Environment",
    "FreshRun",
    "FreshScore",
    "How",
    "Plan",
    "Result",
    "Score",
    "Store",
    "Submission",
    "Verified",
    "VerifiedCell",
]
