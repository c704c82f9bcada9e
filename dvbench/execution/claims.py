"""Claims on cells, so that several runs share the work on one results folder, also from several machines.

Whoever creates the file of a claim has the claim, and touches the file while it works. A file that is not touched for
two minutes belongs to a run that has died, and another run takes the claim. Only changes of a file's time matter, so
clocks may differ. If a run is halted for minutes, a cell can be computed twice, with the same result.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from dvbench.execution.resume import unfinished
from dvbench.files import explain_errors
from dvbench.results import Cell, Result, Store

BEAT_SECONDS = 15.0  # between two touches of a claim
EXPIRY_SECONDS = 120.0  # without a touch
POLL_SECONDS = 0.5


class Claims:
    """The claims of one run; a context manager, which releases all of them at its end.

    Parameters
    ----------
    folder : Path
        Folder of the claims of all runs.
    beat, expiry : float, optional
        Seconds between two touches, and after which a claim of another run is void; by default 15 and 120.
    """

    def __init__(self, folder: Path, beat: float | None = None, expiry: float | None = None) -> None:
        self._folder = folder
        self._beat = BEAT_SECONDS if beat is None else beat
        self._expiry = EXPIRY_SECONDS if expiry is None else expiry
        self._owner = json.dumps({"host": platform.node(), "process": os.getpid(), "run": uuid.uuid4().hex})
        self._mine: set[Path] = set()
        self._seen: dict[Path, tuple[int, float]] = {}  # time of a file of another run, and when it was first seen
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._touch_all, daemon=True)

    def __enter__(self) -> Claims:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()
        for path in list(self._mine):
            self._remove(path)
        with suppress(OSError):  # claims of other runs are in it
            self._folder.rmdir()

    def take(self, name: str) -> bool:
        """Claim a name; return whether this run has the claim now.

        Raises
        ------
        UserError
            If no file can be written.
        """
        path = self._path(name)
        with explain_errors(path):
            self._folder.mkdir(parents=True, exist_ok=True)
            if path in self._mine or self._create(path):
                return True
            return self._is_void(path) and self._create(path)

    def release(self, name: str) -> None:
        """Give up a claim."""
        self._remove(self._path(name))

    @contextmanager
    def held(self, name: str) -> Iterator[None]:
        """Hold a claim, for which this waits."""
        while not self.take(name):
            time.sleep(POLL_SECONDS)
        try:
            yield
        finally:
            self.release(name)

    def _path(self, name: str) -> Path:
        return self._folder / f"{hashlib.sha256(name.encode()).hexdigest()[:32]}.json"

    def _create(self, path: Path) -> bool:
        try:
            with path.open("x", encoding="utf-8") as file:
                file.write(self._owner)
        except FileExistsError:
            return False
        except OSError:  # on a full disk the file is there, and is empty
            path.unlink(missing_ok=True)
            raise
        self._mine.add(path)
        self._seen.pop(path, None)
        return True

    def _is_void(self, path: Path) -> bool:
        """Whether a claim of another run is not held any more; the file of a dead run is removed."""
        try:
            touched = path.stat().st_mtime_ns
        except FileNotFoundError:
            return True
        before, since = self._seen.get(path, (None, 0.0))
        now = time.monotonic()
        if before != touched:
            self._seen[path] = (touched, now)
            return False
        if now - since < self._expiry:
            return False
        aside = path.with_name(f"{path.name}-{uuid.uuid4().hex}")
        with suppress(FileNotFoundError):  # another run has removed it
            path.rename(aside)
            aside.unlink()
        return True

    def _remove(self, path: Path) -> None:
        self._mine.discard(path)
        with suppress(OSError):
            if path.read_text(encoding="utf-8") == self._owner:
                path.unlink()

    def _touch_all(self) -> None:
        while not self._ended.wait(self._beat):
            for path in list(self._mine):
                with suppress(OSError):
                    os.utime(path)


class SharedCells:
    """Decides for each cell whether this run computes it now, and keeps the others.

    Parameters
    ----------
    store : Store
    claims : Claims
    in_time : callable
        Whether a cell fits into the time of the run.

    Attributes
    ----------
    late : list of Cell
        Cells that did not fit into the time.
    """

    def __init__(self, store: Store, claims: Claims, in_time: Callable[[Cell], bool]) -> None:
        self.store, self._claims, self._in_time = store, claims, in_time
        self._taken: list[Cell] = []
        self._finished: list[Cell] = []
        self.late: list[Cell] = []

    def __call__(self, cell: Cell) -> bool:
        """Return whether the cell is to be computed; it is claimed then."""
        if not self._in_time(cell):
            self.late.append(cell)
        elif not self._claims.take(cell.key.folder):
            self._taken.append(cell)
        elif unfinished(cell, self.store):
            return True
        else:
            self.release(cell)
            self._finished.append(cell)
        return False

    def release(self, cell: Cell) -> None:
        """Give up the claim on a cell."""
        self._claims.release(cell.key.folder)

    def finished_elsewhere(self) -> Iterator[Result]:
        """Yield the results of other runs since the last call."""
        finished, self._finished = self._finished, []
        yield from (result for cell in finished if (result := self.store.read(cell.key)) is not None)

    def computed_elsewhere(self) -> list[Cell]:
        """Return the cells that other runs were computing, since the last call."""
        taken, self._taken = self._taken, []
        return taken
