"""Imported once by the server that worker processes are forked from, so that no worker process has to import it."""

from __future__ import annotations

import importlib
import os
import signal
import threading
from contextlib import suppress

from dvbench.execution.environment import package_versions
from dvbench.execution.keeper import end_with_parent
from dvbench.registry import KINDS, entries

MODULES = (
    "griffe",
    "opendataval.dataval",
    "opendataval.experiment.util",
    "sklearn.datasets",
    "dvbench.execution.scoring",
    "dvbench.execution.valuation",
    "dvbench.execution.workers",
    "dvbench.training.tensor_model",
    "dvbench.scoring.correlation",
    "dvbench.scoring.detection",
)

with suppress(OSError):
    os.setpgid(0, 0)  # signals from a terminal or for the process group of a run are for its main process alone
end_with_parent(signal.SIGKILL)  # only while it imports; afterwards the server notices that the main process is gone

for module in MODULES:
    importlib.import_module(module)

# By default tqdm's lock is a semaphore of the system in every process; workers that end at once leave it behind.
importlib.import_module("tqdm").tqdm.set_lock(threading.RLock())

# What is read of source files and of installed packages is kept in memory. An error is reported when it is used.
package_versions()
for kind in KINDS:
    with suppress(Exception):
        for entry in entries(kind).values():
            with suppress(Exception):
                entry.definition  # noqa: B018

end_with_parent(0)
