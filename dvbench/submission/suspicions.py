"""Remarks on results that are too good, or too much like those of another evaluator; people judge them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import numpy as np
from scipy.stats import rankdata

from dvbench.errors import counted
from dvbench.registry import find
from dvbench.results import CellKey, Result, Store
from dvbench.submission.bundle import Bundle

NEAR_PERFECT = 0.99  # of a detection score whose largest number is 1
# No two evaluators in the published results have values of such a rank correlation on 20 or more players.
ALIKE = 0.99
MANY_PLAYERS = 20
ALIKE_OF_FEW = 0.9999  # linear correlation, because few players often have the same ranks
LARGEST_ARRAY = 8 * 2**20  # bytes


def suspicions(bundle: Bundle, others: Store | None) -> dict[str, list[str]]:
    """List near-perfect detection, and evaluators in ``others`` whose values are the same, or equal up to noise.

    Returns
    -------
    dict of str to list of str
        Remarks by kind.
    """
    perfect, equal, alike = list[str](), list[str](), defaultdict[tuple[str, str], list[str]](list)
    arrays = _OtherValues(others)
    for result in bundle.results():
        if result.status != "ok":
            continue
        perfect += [f"{result.cell.key.folder} ({text})" for text in _perfect_detection(result)]
        if result.cell.evaluator.kind == "selection":  # strategies may choose the same points, as of a whole set
            continue
        values = bundle.store.array(result, "values")
        for name, correlation in arrays.alike(result.cell.key, values):
            if correlation is None:
                equal.append(f"{result.cell.key.folder}: its values are those of {name}")
            else:
                alike[result.cell.key.evaluator, name].append(
                    f"{result.cell.key.folder} (correlation {correlation:.4f})"
                )
    noisy = [
        f"the values of {own} are those of {name} up to noise in {counted(len(where), 'cell')}, such as {where[0]}"
        for (own, name), where in sorted(alike.items())
    ]
    detection = [
        f"near-perfect detection in {counted(len(perfect), 'score')}, such as {first}: a reviewer "
        "reads in its code how it finds corrupted players"
        for first in perfect[:1]
    ]
    return {"values of others": equal, "values of others up to noise": noisy, "detection": detection}


def _perfect_detection(result: Result) -> Iterator[str]:
    """Yield the scores of tasks that detect injected noise, if they are near-perfect."""
    for name, score in result.scores.items():
        if (
            score.value is not None
            and score.value >= NEAR_PERFECT
            and find("tasks", name).definition.metadata.get("noise")
        ):
            yield f"{name} {score.value:.4g}"


class _OtherValues:
    """Values of other evaluators of a results folder; of each problem and seed they are read once."""

    def __init__(self, store: Store | None) -> None:
        self._store = store
        self._known: dict[Path, np.ndarray | None] = {}

    def alike(self, key: CellKey, values: np.ndarray) -> Iterator[tuple[str, float | None]]:
        """Yield evaluators whose values are equal up to noise, and the correlation; None if they are the same."""
        if self._store is None:
            return
        for path in sorted((self._store.root / key.suite / key.problem).glob(f"*/seed-{key.seed}/values.npy")):
            name = path.parts[-3]
            others = self._read(path) if name != key.evaluator else None
            if others is None or others.shape != values.shape:
                continue
            if np.array_equal(others, values):
                yield name, None
                continue
            many = len(values) >= MANY_PLAYERS
            pair = (rankdata(values), rankdata(others)) if many else (values, others)
            if all(np.ptp(array) > 0 for array in pair):
                correlation = float(np.corrcoef(*pair)[0, 1])
                if correlation >= (ALIKE if many else ALIKE_OF_FEW):
                    yield name, correlation

    def _read(self, path: Path) -> np.ndarray | None:
        """Read an array; None if it is no plain array of numbers."""
        if path not in self._known:
            self._known[path] = None
            with suppress(Exception):  # numpy raises many kinds of errors for files that it did not write
                if path.is_file() and path.stat().st_size <= LARGEST_ARRAY:
                    array = np.load(path, allow_pickle=False)
                    if isinstance(array, np.ndarray) and array.dtype == np.float64 and np.isfinite(array).all():
                        self._known[path] = array
        return self._known[path]
