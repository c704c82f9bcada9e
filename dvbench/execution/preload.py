"""Imported once by the server that worker processes are forked from, so that none of them spends its time on this."""

from __future__ import annotations

import importlib
from contextlib import suppress

from dvbench.registry import KINDS, entries

for module in (
    "opendataval.dataval",
    "opendataval.experiment.util",
    "sklearn.datasets",
    "dvbench.execution.scoring",
    "dvbench.execution.valuation",
    "dvbench.execution.workers",
    "dvbench.training.tensor_model",
    "dvbench.scoring.detection",
    "dvbench.tasks.rank_stability",
):
    importlib.import_module(module)

# Sources that are looked through for names are remembered. Whatever is wrong with them is found where it can be said.
for kind in KINDS:
    with suppress(Exception):
        entries(kind)
