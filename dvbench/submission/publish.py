"""Copies a verified bundle to a results folder, and records how each cell was verified."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path

from dvbench.files import write_atomically
from dvbench.results import MARKS, CellKey, FreshRun, How, Score, Store, Verified, VerifiedCell
from dvbench.results.store import RESULT
from dvbench.submission.bundle import Bundle
from dvbench.submission.paths import key_of
from dvbench.version import __version__

FRESH: How = "re-run on fresh seeds"


def publish(
    bundle: Bundle,
    into: Store,
    how: dict[str, How],
    scores: dict[str, dict[str, Score]],
    fresh: Mapping[tuple[str, str], FreshRun],
) -> None:
    """Copy the cells of a bundle with the recomputed scores, its submission, and last the record of verification.

    Cells of an earlier submission of the evaluator that are not in this bundle are removed.

    Parameters
    ----------
    bundle : Bundle
    into : Store
    how : dict of str to {"recomputed", "re-run", "re-run on fresh seeds"}
        How cells were verified, by their folders; other cells remain claimed.
    scores : dict of str to dict of str to Score
        The recomputed scores, by the folders of their cells.
    fresh : mapping of (suite, evaluator) to FreshRun
        Runs on fresh seeds.

    Raises
    ------
    UserError
        If a file cannot be written.
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
    _record(bundle, into, how, fresh)


def _rescored(bundle: Bundle, scores: dict[str, dict[str, Score]]) -> dict[str, str]:
    """Replace claimed scores by recomputed ones; return the new hashes of the changed files, by path."""
    changed = {}
    for key in bundle.keys:
        claimed = bundle.result(key)
        recomputed = scores.get(key.folder, {})
        replaced = {
            name: recomputed[name]
            for name, score in claimed.scores.items()
            if score.error is None and name in recomputed
        }
        if any(claimed.scores[name] != score for name, score in replaced.items()):
            bundle.store.write(claimed.with_scores(claimed.cell, replaced))
            changed[f"{key.folder}/{RESULT}"] = bundle.sha256(key)
    return changed


def _remove(paths: set[str], evaluator: str, root: Path) -> None:
    """Remove files of an evaluator's cells; other paths that its earlier submission lists are not touched."""
    for path in paths:
        key = key_of(path)
        if key is not None and key.evaluator == evaluator:
            (root / path).unlink(missing_ok=True)


def _copy(source: Path, target: Path) -> None:
    """Copy a cell, its result file last, so that an existing result is complete."""
    for path in sorted(source.iterdir(), key=lambda path: path.suffix == ".json"):
        content = path.read_bytes()
        copy = target / path.name
        if not copy.is_file() or copy.read_bytes() != content:
            write_atomically(copy, content)


def _record(bundle: Bundle, into: Store, how: dict[str, How], runs: Mapping[tuple[str, str], FreshRun]) -> None:
    """Write the records of verification; a cell that has not changed keeps a stronger mark that it has.

    A new run on fresh seeds replaces the earlier one, and what that one has shown.
    """
    grouped: defaultdict[tuple[str, str], list[CellKey]] = defaultdict(list)
    for key in bundle.keys:
        grouped[key.suite, key.evaluator].append(key)
    for (suite, evaluator), keys in grouped.items():
        before = into.verified(suite, evaluator)
        cells, unchanged = {}, False
        for key in keys:
            name, digest = Verified.name(key.problem, key.seed), bundle.sha256(key)
            same = before.cell(key.problem, key.seed, digest) if before else None
            unchanged |= same is not None
            if same and same.how == FRESH and (suite, evaluator) in runs:
                same = None
            if key.folder in how and (same is None or MARKS.index(how[key.folder]) > MARKS.index(same.how)):
                cells[name] = VerifiedCell(sha256=digest, how=how[key.folder])
            elif same:
                cells[name] = same
        if cells:
            kept = before.fresh if before and unchanged else None  # also one that supports nothing
            into.write_verified(
                Verified(
                    suite=suite,
                    evaluator=evaluator,
                    dvbench_version=__version__,
                    cells=cells,
                    fresh=runs.get((suite, evaluator), kept),
                )
            )
