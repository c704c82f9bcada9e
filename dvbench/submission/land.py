"""Copies a verified bundle into a results folder, and writes down what was verified."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path
from typing import Literal

from dvbench import __version__
from dvbench.results import CellKey, Store, Verified, VerifiedCell, write_atomically
from dvbench.submission.bundle import Bundle
from dvbench.submission.paths import key_of

How = Literal["recomputed", "re-run"]


def land(bundle: Bundle, into: Store, how: dict[str, How]) -> None:
    """Copy a bundle's cells, its submission, and last what was verified of it.

    Cells of an earlier submission of the evaluator that are not in this one are removed.

    Parameters
    ----------
    bundle : Bundle
    into : Store
    how : dict of str to {"recomputed", "re-run"}
        How cells were verified, by their folders; the others remain claims.

    Raises
    ------
    UserError
        If something cannot be written.
    """
    if bundle.submission is not None:
        for before in into.submissions():
            if before.evaluator == bundle.submission.evaluator:
                _remove(before.files.keys() - bundle.submission.files.keys(), before.evaluator, into.root)
        for key in bundle.keys:
            _copy(bundle.store.folder(key), into.folder(key))
        into.write_submission(bundle.submission)
    _record(bundle, into, how)


def _remove(paths: set[str], evaluator: str, root: Path) -> None:
    """Remove files of an evaluator's cells; whatever else its earlier submission lists is left alone."""
    for path in paths:
        key = key_of(path)
        if key is not None and key.evaluator == evaluator:
            (root / path).unlink(missing_ok=True)


def _copy(source: Path, target: Path) -> None:
    """Copy a cell, its result last, so that one that exists is whole."""
    for path in sorted(source.iterdir(), key=lambda path: path.suffix == ".json"):
        content = path.read_bytes()
        place = target / path.name
        if not place.is_file() or place.read_bytes() != content:
            write_atomically(place, content)


def _record(bundle: Bundle, into: Store, how: dict[str, How]) -> None:
    """Write what was verified by suite and evaluator; what was run again before stays so, if it is still the same."""
    grouped: defaultdict[tuple[str, str], list[CellKey]] = defaultdict(list)
    for key in bundle.keys:
        grouped[key.suite, key.evaluator].append(key)
    for (suite, evaluator), keys in grouped.items():
        before = into.verified(suite, evaluator)
        known = dict(before.cells) if before else {}
        cells = {}
        for key in keys:
            name, digest = f"{key.problem}/seed-{key.seed}", bundle.sha256(key)
            earlier = known.get(name)
            same = earlier if earlier and earlier.sha256 == digest else None
            if key.folder in how and (same is None or same.how != "re-run"):
                cells[name] = VerifiedCell(sha256=digest, how=how[key.folder])
            elif same:
                cells[name] = same
        if cells:
            found = Verified(suite=suite, evaluator=evaluator, dvbench_version=__version__, cells=cells)
            into.write_verified(found)
