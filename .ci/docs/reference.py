"""Writes the reference pages that are generated: one for each kind of plug-in, the suites and the command line."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import typer.cli
import typer.core
import typer.main

from dvbench.registry import KINDS, Entry, Kind, entries, library_entries, plural, suite_files
from dvbench.suite import load_suite

INTRODUCTIONS = {
    "evaluators": "An evaluator computes a [data value](../glossary.md#values) for each player. In a suite, or after "
    "`--evaluator`, it is named as below.",
    "datasets": "A data set is named as below, in a suite or after `--dataset`. Tables of your own are "
    "`csv:PATH?label=COLUMN`, and tables of OpenML `openml:ID`.",
    "models": "A model is named as below, in a suite or by the parameter `model` of `dvbench.value`.",
    "tasks": "A task scores data values, unlearning methods or selection strategies. Its *headline* metric ranks them.",
    "unlearning": "An unlearning method changes a trained model so that it resembles one trained without the forget "
    "set.",
    "selection": "A selection strategy chooses the points that a model is trained on.",
}


def pages() -> dict[str, str]:
    """Return the text of every generated page by its file name."""
    texts = {f"{kind}.md": kind_page(kind) for kind in KINDS}
    return texts | {"suites.md": suites_page(), "command-line.md": command_line_page()}


def kind_page(kind: Kind) -> str:
    """Return the page of a kind of plug-ins: a table of all, then each with its description."""
    found = entries(kind)
    lines = [f"# {plural(kind).capitalize()}", "", INTRODUCTIONS[kind], "", "| name | in one line |", "|---|---|"]
    lines += [f"| [`{name}`](#{name}) | {cell(entry.summary)} |" for name, entry in found.items()]
    for name, entry in found.items():
        lines += ["", *section(name, entry)]
    others = library_entries(kind)
    if others:
        lines += ["", "## Of other libraries", "", "Each library is an extra, see [Installing](../installing.md).", ""]
        lines += ["| name | in one line |", "|---|---|"]
        lines += [f"| `{name}` | {cell(entry.summary)} |" for name, entry in others.items()]
    return "\n".join(lines) + "\n"


def section(name: str, entry: Entry) -> list[str]:
    """Return a plug-in's heading, metadata and docstring."""
    facts = metadata_line(entry.definition.metadata)
    lines = [f"## {name} {{ #{name} }}", "", *([facts, ""] if facts else [])]
    hidden = [
        "      show_root_heading: false",
        "      show_root_toc_entry: false",
    ]  # the heading above is the plug-in's name
    return [*lines, f"::: {entry.target.replace(':', '.')}", "    options:", *hidden]


def metadata_line(metadata: Mapping[str, Any]) -> str:
    """Return what a plug-in states of itself in one line: of a task its headline metric first."""
    known = dict(metadata)
    parts = []
    if headline := known.pop("headline", None):
        arrow = "↑" if known.pop("higher_is_better", True) else "↓"
        bounds = known.get("ranges", {})
        limits = bounds.get(headline) if isinstance(bounds, Mapping) else None
        parts = [f"Headline metric `{headline}` {arrow}"]
        parts += [f"range {limits[0]} to {limits[1]}"] if isinstance(limits, tuple) else []
    parts += [f"{key.replace('_', ' ')} {value}" for key, value in known.items() if isinstance(value, str | int)]
    text = ", ".join(parts)
    return f"{text[:1].upper()}{text[1:]}." if text else ""


def suites_page() -> str:
    """Return the page of suites: a table of all, then each with its problems and what it compares."""
    suites = {name: load_suite(name) for name in suite_files()}
    lines = ["# Suites", "", "`dvbench run NAME` runs a suite. `dvbench run NAME --dry-run` says what it costs.", ""]
    lines += ["| name | problems | compared | seeds |", "|---|---:|---:|---:|"]
    for name, suite in suites.items():
        lines += [f"| [`{name}`](#{name}) | {len(suite.problems)} | {len(suite.evaluators)} | {len(suite.seeds)} |"]
    for name, suite in suites.items():
        lines += ["", f"## {name} {{ #{name} }}", "", suite.description, ""]
        lines += [f"Version {suite.version}. Seeds: {', '.join(map(str, suite.seeds))}.", ""]
        lines += ["| problem | tasks |", "|---|---|"]
        for problem in suite.problems:
            tasks = ", ".join(f"[`{task}`](tasks.md#{task})" for task in problem.tasks)
            lines += [f"| `{problem.title}` | {tasks} |"]
        lines += ["", f"Compared: {', '.join(f'`{each.title}`' for each in suite.evaluators)}."]
    return "\n".join(lines) + "\n"


def command_line_page() -> str:
    """Return the page of all commands and options, from the parser."""
    from dvbench.cli import app

    command = typer.main.get_command(app)
    shorten_help(command)
    context = typer.Context(command, info_name="dvbench")
    return typer.cli.get_docs_for_click(obj=command, ctx=context, name="dvbench", title="Command line")


def shorten_help(command: typer.core.TyperGroup) -> None:
    """Give every command its first sentence as its short help, which the parser would cut after 45 letters."""
    for inner in command.commands.values():
        inner.short_help = (inner.help or "").partition("\n\n")[0].replace("\n", " ")
        if isinstance(inner, typer.core.TyperGroup):
            shorten_help(inner)


def cell(text: str) -> str:
    """Return text for a cell of a table."""
    return text.replace("|", "\\|")
