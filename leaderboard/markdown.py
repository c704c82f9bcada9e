"""The leaderboard of a suite as Markdown (GitHub flavour)."""

from __future__ import annotations

from leaderboard.tables import Entry, SuiteReport, Table

# What could start a tag, a link, emphasis, code or the next column.
_SPECIAL = str.maketrans({each: f"&#{ord(each)};" for each in "&<>|[]*~`\\"})


def render(report: SuiteReport) -> str:
    """Write a report as Markdown.

    Parameters
    ----------
    report : SuiteReport

    Returns
    -------
    str
        The overall table, one table a problem, what failed, the cost. Text from results cannot leave its place.
    """
    parts = [f"# {escape(report.suite)}", escape(report.description)]
    parts += [f"- {escape(remark)}" for remark in report.remarks]
    parts += [
        _table(report.overall),
        "Lower mean ranks are better; their intervals are bootstrapped over problems and seeds. Failed and missing "
        "scores are ranked last. Normalised: random values have 0, the best of each seed 1. Scores are *claimed* by "
        "who handed them in, *recomputed* from the values, or the values themselves were *re-run*.",
    ]
    parts += [_table(table) for table in report.problems]
    parts += [f"Mean ± 95% Student-t interval over {report.seeds} seed(s), and the rank by seeds; **bold** is best."]
    if report.failures:
        told = [
            f"- **{escape(each.evaluator)}** on {escape(each.problem)}, {escape(each.tasks)}, {each.seeds}: "
            f"{escape(each.error)}"
            for each in report.failures
        ]
        parts += ["## Failed cells", "\n".join(told)]
    parts += ["## Cost", "Means over seeds of the valuation alone; scoring is not part of it."]
    parts += [_table(table, level=3) for table in report.costs]
    return "\n\n".join(part for part in parts if part) + "\n"


def escape(text: str) -> str:
    """Make text on one line mean itself in Markdown, also within a table, and link nowhere."""
    return text.translate(_SPECIAL).replace("://", "&#58;//").replace("@", "&#64;").replace("www.", "www&#46;")


def _table(table: Table, level: int = 2) -> str:
    shown = [place for place, entry in enumerate(table.header) if entry.text]
    lines = [[_entry(table.header[place]) for place in shown], ["---"] * len(shown)]
    lines += [[_entry(row[place]) for place in shown] for row in table.rows]
    return "\n".join([f"{'#' * level} {escape(table.title)}", "", *(f"| {' | '.join(line)} |" for line in lines)])


def _entry(entry: Entry) -> str:
    text = escape(entry.text)
    alarm = f"⚠ {escape(entry.alarm)}" if entry.alarm else ""
    note = f"({escape(entry.note)})" if entry.note else ""
    return " ".join(filter(None, [f"**{text}**" if entry.best else text, note, alarm]))
