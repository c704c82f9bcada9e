"""The leaderboard of a suite as Markdown (GitHub flavour)."""

from __future__ import annotations

from collections.abc import Sequence

from leaderboard.goal_tables import GoalTable, goals_in_words
from leaderboard.tables import (
    CEILING_IN_WORDS,
    COSTS_IN_WORDS,
    DECLINED_IN_WORDS,
    FRESH_IN_WORDS,
    RANKS_IN_WORDS,
    REFERENCES_IN_WORDS,
    SCORES_IN_WORDS,
    Entry,
    SuiteTables,
    Table,
)

# Characters that can start a tag, a link, emphasis, code or the next column.
_SPECIAL = str.maketrans({character: f"&#{ord(character)};" for character in "&<>|[]*~`\\"})


def render(tables: SuiteTables, goals: Sequence[GoalTable] = ()) -> str:
    """Write the tables of a suite as Markdown.

    Returns
    -------
    str
        The overall table, one table per goal and per problem, the failures and the costs. Texts from results are
        escaped.
    """
    parts = [f"# {escape(tables.suite)}", escape(tables.description)]
    parts += [f"- {escape(remark)}" for remark in tables.remarks]
    parts += [
        _table(tables.overall),
        f"**{tables.separable}**" if tables.separable else "",
        f"{RANKS_IN_WORDS} Mean ranks are over seeds, tasks and problems, of which each has the same weight. Failed "
        "and missing scores are ranked last. Normalised: random values have 0 and the best of each seed 1 on average; "
        "at least -1. Mean seconds: of a valuation, medians over seeds, then means over problems. Scores are *claimed* "
        "by the submitter, *recomputed* from the submitted values, or *re-run*: the values were computed again too.",
    ]
    if tables.references.rows:
        parts += [_table(tables.references, level=3), REFERENCES_IN_WORDS]
    if any(row[-1].note or row[-1].alarm for row in tables.overall.rows):
        parts.append(FRESH_IN_WORDS)
    for goal in goals:
        parts += [_table(goal.table), goal.separable]
    parts.append(goals_in_words(goals))
    parts += [_table(table) for table in tables.problems]
    parts += [f"{SCORES_IN_WORDS} The best is **bold**."]
    if tables.has_ceilings:
        parts.append(CEILING_IN_WORDS)
    for title, declined in (("## Failed cells", False), ("## Declined cells", True)):
        lines = [
            f"- **{escape(failure.evaluator)}** on {escape(failure.problem)}, {escape(failure.tasks)}, "
            f"{failure.seeds}: {escape(failure.error)}"
            for failure in tables.failures
            if failure.declined == declined
        ]
        if lines:
            parts += [title, *([DECLINED_IN_WORDS] if declined else []), "\n".join(lines)]
    parts += ["## Cost", COSTS_IN_WORDS]
    parts += [_table(table, level=3) for table in tables.costs]
    return "\n\n".join(part for part in parts if part) + "\n"


def escape(text: str) -> str:
    """Escape a line of text for Markdown, also within a table, so that nothing in it becomes a link."""
    return text.translate(_SPECIAL).replace("://", "&#58;//").replace("@", "&#64;").replace("www.", "www&#46;")


def _table(table: Table, level: int = 2) -> str:
    shown = [column for column, entry in enumerate(table.header) if entry.text]
    lines = [[_entry(table.header[column]) for column in shown], ["---"] * len(shown)]
    lines += [[_entry(row[column]) for column in shown] for row in table.rows]
    return "\n".join([f"{'#' * level} {escape(table.title)}", "", *(f"| {' | '.join(line)} |" for line in lines)])


def _entry(entry: Entry) -> str:
    text = escape(entry.text)
    alarm = f"⚠ {escape(entry.alarm)}" if entry.alarm else ""
    note = f"({escape(entry.note)})" if entry.note else ""
    return " ".join(filter(None, [f"**{text}**" if entry.best else text, note, alarm]))
