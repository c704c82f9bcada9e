"""Copies a verified bundle into a results folder, and writes down what was verified."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path
from typing import Literal

from dvbench.files import write_atomically
from dvbench.results import CellKey, Score, Store, Verified, VerifiedCell
from dvbench.results.store import RESULT
from dvbench.submission.bundle import Bundle
from dvbench.submission.paths import key_of
from dvbench.version import __version__

How = Literal["recomputed", "re-run"]


def publish(bundle: Bundle, into: Store, how: dict[str, How], scores: dict[str, dict[str, Score]]) -> None:
    """Copy a bundle's cells with the scores that were computed again, its submission, and last what was verified of it.

    Cells of an earlier submission of the evaluator that are not in this one are removed.

    Parameters
    ----------
    bundle : Bundle
    into : Store
    how : dict of str to {"recomputed", "re-run"}
        How cells were verified, by their folders; the others remain claims.
    scores : dict of str to dict of str to Score
        What was computed again, by the cells' folders.

    Raises
    ------
    UserError
        If something cannot be written.
    """
    changed = _rescored(bundle, scores)
    if bundle.submission is not None:
        submission = bundle.submission.model_copy(update={"files": {**bundle.submission.files, **changed}})
        for before in into.submissions():
            if before.evaluator == submission.evaluator:
                _remove(before.files.keys() - submission.files.keys(), before.evaluator, into.root)
    for key in bundle.keys:
        if bundle.submission is not None or f"{key.folder}/{RESULT}" in changed:
            _copy(bundle.store.folder(key), into.folder(key))
    if bundle.submission is not None:
        into.write_submission(submission)
    _record(bundle, into, how)


def _rescored(bundle: Bundle, scores: dict[str, dict[str, Score]]) -> dict[str, str]:
    """Put the scores that were computed again in place of those that were claimed; new hashes, by path."""
    changed = {}
    for key in bundle.keys:
        claimed = bundle.result(key)
        found = scores.get(key.folder, {})
        better = {name: found[name] for name, score in claimed.scores.items() if score.error is None and name in found}
        if any(claimed.scores[name] != score for name, score in better.items()):
            bundle.store.write(claimed.with_scores(claimed.cell, better))
            changed[f"{key.folder}/{RESULT}"] = bundle.sha256(key)
    return changed


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
