"""The pages about plug-ins, which unite all suites: methods, tasks and data sets, and the list of all of them."""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from itertools import groupby
from typing import Any

from jinja2 import Environment

from dvbench.registry import Kind
from leaderboard.descriptions import Description, describe
from leaderboard.goals import GOALS, IN_WORDS
from leaderboard.intervals import metric_range
from leaderboard.site.data_set_titles import base_title, data_set_description
from leaderboard.site.digests import Digest
from leaderboard.site.examples import examples_of
from leaderboard.site.task_drawings import drawing
from leaderboard.tables import number
from leaderboard.text import clean
from leaderboard.wording import METHODS, PLURALS, SECONDS_OF, UTILITIES

OLDER = re.compile(r" ?Version \d+ had .*?\.(?= |$)")  # what a description says of an older version
BOARD = "board-"  # suites that rank methods for their users; others are smaller, or test one thing
OPEN_ML = "https://www.openml.org/d/{}"
QUARTER = 0.25  # of the places of a task, which count as its first and its last ones
FEWEST = 4  # ranked methods, of which there is a first and a last quarter


def slug(name: str) -> str:
    """Turn a name into a part of a path: unchanged if it has only plain characters, or else with a hash."""
    plain = re.sub(r"[^A-Za-z0-9_.+-]", "_", name)
    return plain if plain == name else f"{plain[:40]}-{hashlib.sha256(name.encode()).hexdigest()[:8]}"


def about(kind: str, name: str) -> str:
    """Return the path of the page about a plug-in."""
    return f"about/{kind}/{slug(name)}.html"


def title(kind: Kind, name: str, description: Description) -> str:
    """Return the name for people; of a plug-in without one, its name in words."""
    return clean(description.title or (name if ":" in name else name.replace("_", " ")))


def catalogue_files(
    templates: Environment, digests: Sequence[Digest], common: dict[str, Any]
) -> Iterator[tuple[str, bytes]]:
    """Yield path and content of the pages about plug-ins; ``common`` is what all pages need."""

    def page(template: str, **more: Any) -> bytes:
        return templates.get_template(template).render(**(common | {"suite": ""} | more)).encode()

    deep = partial(page, root="../../")
    listed: dict[str, list[dict[str, Any]]] = {}
    for (kind, name), rows in _methods(digests).items():
        shown = _method(kind, name, rows, digests)
        yield about(kind, name), deep("about_method.html.jinja", **shown)
        listed.setdefault(PLURALS[kind], []).append(_line(kind, name, shown["description"]))
    tasks = dict.fromkeys(place["task"] for digest in digests for place in digest.places)
    for name in tasks:
        shown = _task(name, digests)
        yield about("tasks", name), deep("about_task.html.jinja", **shown)
        listed.setdefault("Tasks", []).append(_line("tasks", name, shown["description"]))
    datasets = dict.fromkeys(problem["base"] for digest in digests for problem in digest.problems)
    for name in datasets:
        shown = _dataset(name, digests)
        yield about("datasets", name), deep("about_dataset.html.jinja", **shown)
        line = _line("datasets", name, shown["description"]) | {"title": shown["title"]}
        listed.setdefault("Data sets", []).append(line)
    parts = [(heading, sorted(lines, key=lambda line: line["title"].casefold())) for heading, lines in listed.items()]
    yield "about/index.html", page("about.html.jinja", root="../", parts=parts)


def _line(kind: Kind, name: str, description: Description) -> dict[str, str]:
    path = f"{kind}/{slug(name)}.html"
    return {"title": title(kind, name, description), "name": name, "path": path, "sentence": description.sentence}


def _methods(digests: Iterable[Digest]) -> dict[tuple[Kind, str], list[dict[str, Any]]]:
    """Group the labels of all suites by their plug-in."""
    methods: dict[tuple[Kind, str], list[dict[str, Any]]] = {}
    for digest in digests:
        for row in digest.methods:
            methods.setdefault((row["kind"], row["name"]), []).append(row | {"suite": digest.suite})
    return methods


def _method(kind: Kind, name: str, rows: list[dict[str, Any]], digests: Iterable[Digest]) -> dict[str, Any]:
    description = describe(kind, name, next((row["about"] for row in rows if row["about"]), None))
    labels = {(row["suite"], row["evaluator"]) for row in rows}
    places = [
        place | {"suite": digest.suite, "judgement": judgement(place)}
        for digest in digests
        for place in digest.places
        if (digest.suite, place["evaluator"]) in labels
    ]
    command, python = usage(kind, name, rows[0]["suite"], description)
    return {
        "kind": METHODS[kind],
        "plural": PLURALS[kind],
        "seconds_of": SECONDS_OF[kind],
        "name": name,
        "title": title(kind, name, description),
        "description": description,
        "rows": rows,
        "costs": list(costs(name, rows)),
        "places": sorted(places, key=lambda place: (place["task"], place["suite"])),
        "goals": list(goals_of(kind, name, digests)),
        "strengths": _tasks_judged(places, "strong"),
        "weaknesses": _tasks_judged(places, "weak"),
        "command": command,
        "python": python,
    }


def goals_of(kind: Kind, name: str, digests: Iterable[Digest]) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """Yield each goal in words with what the boards say of a method: its tier, and how it compares with random values.

    A board whose players are what the goal is about comes first, and of those the one with the most observations.
    """
    all_views = [view for digest in digests if digest.suite.startswith(BOARD) for view in digest.views]
    whole = [view for view in all_views if not view["data"]]
    whole.sort(key=lambda view: (not view["at_home"], -view["observations"]))
    for goal in GOALS:
        where = [
            row | {"suite": view["suite"], "goal": goal, "tiers": view["rows"][-1]["tier"]}
            for view in whole
            for row in view["rows"]
            if view["goal"] == goal and (row["kind"], row["name"]) == (kind, name)
        ]
        if where and goal != "check":
            yield IN_WORDS[goal], where


def costs(name: str, rows: list[dict[str, Any]]) -> Iterator[tuple[str, str, str]]:
    """Yield each suite with its labels of a method and the seconds there: of the label that is its name, if any."""
    for suite, each in groupby(rows, key=lambda row: str(row["suite"])):
        labels = list(each)
        shown = [row for row in labels if row["evaluator"] == name] or labels
        seconds = sorted(row["seconds"] for row in shown if not math.isnan(row["seconds"]))
        ends = list(dict.fromkeys(number(end, 2) for end in seconds[:1] + seconds[-1:]))
        text = f"{' to '.join(ends)} s" if ends else "not known, because a valuation failed,"
        yield suite, ",".join(row["evaluator"] for row in labels), text


def judgement(place: dict[str, Any]) -> str:
    """Say whether a method is among the first or the last quarter of those ranked in a task."""
    if math.isnan(place["place"]) or place["of"] < FEWEST:
        return ""
    if place["place"] <= max(place["of"] * QUARTER, 1):
        return "strong"
    return "weak" if place["place"] > place["of"] * (1 - QUARTER) else ""


def _tasks_judged(places: list[dict[str, Any]], wanted: str) -> list[tuple[str, list[tuple[str, bool]]]]:
    """List each task of a judgement with its places, and whether a difference of tiers shows each of them."""
    tasks: dict[str, list[dict[str, Any]]] = {}
    for place in places:
        if place["judgement"] == wanted and place["evaluator"] == places[0]["evaluator"]:
            tasks.setdefault(place["task"], []).append(place)
    return [
        (
            task,
            [
                (
                    f"{place['place']:.0f} of {place['of']} in {place['suite']}",
                    place["tiers"] > 1 and place["tier"] == (1 if wanted == "strong" else place["tiers"]),
                )
                for place in each
            ],
        )
        for task, each in tasks.items()
    ]


def usage(kind: Kind, name: str, suite: str, description: Description) -> tuple[str, str]:
    """Return a command and three lines of Python that use a method."""
    if kind == "selection" and name != "evaluator_values":
        return (
            f"dvbench select table.csv --label COLUMN --fraction 0.3 --strategy {name}",
            'import dvbench\n\nkept = dvbench.select("table.csv", label="COLUMN", fraction=0.3, '
            f'strategy="{name}").kept',
        )
    if kind == "evaluators" and not description.facts.get("Takes", "").startswith("Texts only"):
        return (
            f"dvbench value table.csv --label COLUMN --evaluator {name}",
            f'import dvbench\n\nvalues = dvbench.value("table.csv", label="COLUMN", evaluator="{name}")\n'
            "print(values.summary())",
        )
    return (
        f"dvbench run {suite} --evaluator {name}",
        f'import dvbench\n\nscores = dvbench.run("{suite}", evaluators=["{name}"])\nprint(scores)',
    )


def _task(name: str, digests: Iterable[Digest]) -> dict[str, Any]:
    description = describe("tasks", name)
    boards: list[dict[str, Any]] = []
    for digest in digests:
        places = [place for place in digest.places if place["task"] == name]
        if not places:
            continue
        means = [place["mean"] for place in places if not math.isnan(place["mean"])]
        low, high = (min(means), max(means)) if means else (0.0, 0.0)
        ordered = sorted(places, key=lambda place: (math.isnan(place["place"]), place["place"], place["evaluator"]))
        boards.append(
            {
                "suite": digest.suite,
                "rows": [place | {"percent": _percent(place["mean"], low, high)} for place in ordered],
                "ceiling": digest.ceilings.get(name, math.nan),
                "random": next((place["mean"] for place in places if place["role"] == "random"), math.nan),
                "kind": next((problem["problem_kind"] for problem in digest.problems), ""),
            }
        )
    first = boards[0]["rows"][0]
    low, high = metric_range(name, first["metric"], boards[0]["kind"])
    shown = [row["evaluator"] for row in boards[0]["rows"]]
    reference = [row["evaluator"] for row in boards[0]["rows"] if row["role"] == "random"]
    return {
        "name": name,
        "title": title("tasks", name, description),
        "description": description,
        "headline": _headline(description),
        "paragraphs": _without_headline(description),
        "drawing": drawing(name),
        "has_ceiling": "Its ceiling" in " ".join(description.paragraphs),
        "boards": boards,
        "metric": first["metric"],
        "up": first["up"],
        "range": _range(low, high),
        "example": {"suite": boards[0]["suite"], "evaluators": json.dumps([shown[0], *reference[:1]])},
    }


def _percent(value: float, low: float, high: float) -> float:
    return math.nan if math.isnan(value) else round(100 * (value - low) / (high - low), 1) if high > low else 50.0


def _range(low: float, high: float) -> str:
    ends = [number(end, 0) if math.isfinite(end) else "" for end in (low, high)]
    if all(ends):
        return f"{ends[0]} to {ends[1]}"
    return f"at least {ends[0]}" if ends[0] else f"at most {ends[1]}" if ends[1] else "no bounds"


def _headline(description: Description) -> str:
    """Find what a description says of the headline metric, without its further metrics, curves and older versions."""
    headlines = [each.partition("Headline: ")[2] for each in description.paragraphs]
    headline = next(filter(None, headlines), "")
    return re.split(r" (?=Further metric|Curves|Its ceiling)", headline)[0]


def _without_headline(description: Description) -> list[str]:
    """Return the paragraphs of a task without the headline metric, which its page has, and without older versions."""
    headline = f"Headline: {_headline(description)}"
    left = (OLDER.sub("", each.replace(headline, "")).strip() for each in description.paragraphs)
    return [each.replace("Its ceiling", "The ceiling") for each in left if each]


def _dataset(name: str, digests: Iterable[Digest]) -> dict[str, Any]:
    problems = [
        problem | {"suite": digest.suite}
        for digest in digests
        for problem in digest.problems
        if problem["base"] == name
    ]
    number = name.removeprefix("openml:")
    kinds = dict.fromkeys(problem["problem_kind"] for problem in problems)
    return {
        "name": name,
        "title": base_title(name),
        "description": data_set_description(name),
        "examples": examples_of(name),
        "utility": ", or ".join(UTILITIES[kind] for kind in kinds if kind in UTILITIES) or "utility",
        "address": OPEN_ML.format(number) if number != name and number.isdecimal() else "",
        "problems": problems,
    }
