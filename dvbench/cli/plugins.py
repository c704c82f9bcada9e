"""The commands that show what can be named: ``list`` and ``describe``."""

from __future__ import annotations

import json
import tomllib
from collections import Counter
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from dvbench.errors import UserError, unknown
from dvbench.registry import KINDS, Entry, Kind, entries, find, library_entries, misnamed, singular, suite_files

NOUNS = "evaluator, data set, model, task, unlearning method, selection strategy or suite"


class Listing(StrEnum):
    """Kinds of plug-ins."""

    evaluators = "evaluators"
    datasets = "datasets"
    models = "models"
    tasks = "tasks"
    unlearning = "unlearning"
    selection = "selection"
    suites = "suites"


JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def list_command(
    kind: Annotated[Listing, typer.Argument(help="Kind of plug-ins to list.")], as_json: JsonOption = False
) -> None:
    """List the plug-ins of a kind, each with a summary; 'selection' lists selection strategies."""
    from dvbench import console

    summaries = _summaries(kind.value)
    if as_json:
        _print_json([{"name": name, "summary": summary} for name, summary in summaries.items()])
    else:
        console.table(["name", "summary"], [[name, summary] for name, summary in summaries.items()])
        _say_what_can_be_installed(kind.value)


def describe_command(
    name: Annotated[str, typer.Argument(help=f"Name of an {NOUNS}, or 'module:Name' for your own evaluator.")],
    kind: Annotated[Listing | None, typer.Option(help="Kind of plug-in, if several have the name.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Show what a plug-in is, its parameters with their types and defaults, and its reference."""
    if name in suite_files() and kind in (None, Listing.suites):
        _describe_suite(name, suite_files()[name], as_json)
    elif named := _find_all(name, kind):
        _describe(named[0], as_json)
        for other in () if as_json else named[1:]:
            _say_also(other)
    else:
        names = {*suite_files(), *(known for kind in KINDS for known in (*entries(kind), *library_entries(kind)))}
        raise next(filter(None, (misnamed(kind, name) for kind in KINDS)), unknown(NOUNS, name, names))


def _summaries(kind: str) -> dict[str, str]:
    if kind == "suites":
        return {name: str(_content(path).get("description", "")) for name, path in suite_files().items()}
    return {entry.name: entry.summary for entry in _registered(kind) if entry.available}


def _registered(kind: str) -> list[Entry]:
    """Plug-ins of a kind, followed by those of other libraries, whether or not these are installed."""
    kinds: list[Kind] = [known for known in KINDS if known == kind]
    return [entry for known in kinds for entry in (*entries(known).values(), *library_entries(known).values())]


def _say_what_can_be_installed(kind: str) -> None:
    from dvbench import console

    missing = Counter(entry.library for entry in _registered(kind) if not entry.available)
    for library, count in missing.items():
        console.say(f"{count} more with {library}: install 'dvbench[{library}]'; names begin with {library}:")


def _content(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UserError(f"cannot read suite {path}: {error}") from error


def _find_all(name: str, only: Listing | None) -> list[Entry]:
    """Find the plug-ins of a name that a source file defines, of one kind or of all; ``module:Name`` is found once."""
    named: list[Entry] = []
    for kind in KINDS:
        if only is not None and only.value != kind:
            continue
        try:
            entry = find(kind, name)
        except UserError:
            continue
        if (entry.docstring or entry.lacks_docstring) and entry.target not in [other.target for other in named]:
            named.append(entry)
    return named


def _say_also(entry: Entry) -> None:
    from dvbench import console

    article = "an" if entry.kind in ("evaluators", "unlearning") else "a"
    command = f"dvbench describe {entry.name} --kind {entry.kind}"
    console.say(f"\nThere is also {article} {singular(entry.kind)} of this name: {command}")


def _describe_suite(name: str, path: Path, as_json: bool) -> None:
    from dvbench import console

    if as_json:
        _print_json({"kind": "suite", "name": name, "file": str(path), **_content(path)})
        return
    console.say(f"{name} (suite, {path})\n")
    console.say(path.read_text(encoding="utf-8"))


def _describe(entry: Entry, as_json: bool) -> None:
    from dvbench import console

    definition = entry.definition
    if as_json:
        parameters = definition.parameters
        _print_json(
            {
                "kind": singular(entry.kind),
                "name": entry.name,
                "target": entry.target,
                "summary": entry.summary,
                "docstring": entry.docstring,
                "parameters": None if parameters is None else [vars(parameter) for parameter in parameters],
                "metadata": definition.metadata,
            }
        )
        return
    console.say(f"{entry.name} ({singular(entry.kind)}, {entry.target})\n")
    console.say(entry.docstring or f"{entry.name} has no docstring.")
    if definition.parameters and entry.kind != "tasks":
        console.say("\nTypes and defaults\n------------------")
        for parameter in definition.parameters:
            console.say(str(parameter))
    if definition.metadata:
        console.say("")
    for key, setting in definition.metadata.items():
        console.say(f"{key.replace('_', ' ')}: {setting}")


def _print_json(content: object) -> None:
    typer.echo(json.dumps(content, indent=2, ensure_ascii=False))
