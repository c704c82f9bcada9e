"""The page of submissions: what others have submitted, what is published, and how to submit."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from leaderboard.boards import Board
from leaderboard.site.digests import Digest

COMMANDS = (  # the first steps of docs/guides/submit-an-evaluator.md
    "dvbench new-evaluator margin_values",
    "cd margin_values",
    "dvbench run quick --evaluator margin_values:MarginValues",
    "dvbench run board-points --evaluator margin_values:MarginValues",
    "$EDITOR submission.toml",
    "dvbench submit runs --evaluator margin_values:MarginValues",
)


def published(boards: Iterable[Board]) -> list[dict[str, Any]]:
    """List the published versions of a board, with the names of what they rank."""
    return [
        {
            "version": board.version,
            "date": board.date,
            "changes": board.changes,
            "names": {row[0].text for table in (board.tables.overall, board.tables.references) for row in table.rows},
        }
        for board in boards
    ]


def submitted(digests: Iterable[Digest], cards: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """List the evaluators that have a description of their submitters.

    Returns
    -------
    list of dict
        ``evaluator``, ``about``, ``suites`` with the mark in each, and ``date``: that of the first published version of
        a board with the evaluator, or None. The newest are first, and those that are not published yet before them.
    """
    versions = {card["suite"]: card["boards"] for card in cards}
    entries: dict[str, dict[str, Any]] = {}
    for digest in digests:
        for row in digest.methods:
            if row["about"] is None:
                continue
            name = row["evaluator"]
            entry = entries.setdefault(name, {"evaluator": name, "name": row["name"], "kind": row["kind"]})
            entry |= {"about": row["about"], "suites": [*entry.get("suites", []), (digest.suite, row["mark"])]}
            dates = [version["date"] for version in versions[digest.suite] if name in version["names"]]
            entry["date"] = min([*dates, *filter(None, [entry.get("date")])], default=None)
            entries[name] = entry
    by_name = sorted(entries.values(), key=lambda entry: entry["evaluator"])
    dated = sorted((entry for entry in by_name if entry["date"]), key=lambda entry: entry["date"], reverse=True)
    return [*(entry for entry in by_name if not entry["date"]), *dated]
