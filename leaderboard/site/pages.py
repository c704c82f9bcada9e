"""Renders the pages of a suite from how it stands. Everything shown is untrusted and escaped."""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import pandas as pd
from jinja2 import Environment, PackageLoader, StrictUndefined

from leaderboard import statistics
from leaderboard.descriptions import Description, bibtex, describe
from leaderboard.exhibits.drawing import svg
from leaderboard.index import Index
from leaderboard.significance import Significance, diagram, significance
from leaderboard.site.payloads import charts, download, script, suite_data
from leaderboard.statistics import records
from leaderboard.suite_scores import MARKS, SuiteScores
from leaderboard.tables import MEGABYTE, Entry, SuiteReport, Table, between, groups, marks, number, with_interval
from leaderboard.text import clean

CELLS = ["evaluator", "problem", "seed", "id", "status", "mark", "kind", "name", "params", "dataset", "machine"]
CELLS += ["object_version"]


def environment() -> Environment:
    """Templates that escape what they show."""
    made = Environment(
        loader=PackageLoader("leaderboard.site"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    made.globals |= {"number": number, "clean": clean}
    made.filters |= {"slug": slug}
    return made


def slug(name: str) -> str:
    """A name as part of a path: itself where it is a plain one."""
    plain = re.sub(r"[^A-Za-z0-9_.+-]", "_", name)
    return plain if plain == name else f"{plain[:40]}-{hashlib.sha256(name.encode()).hexdigest()[:8]}"


def suite_files(
    templates: Environment, index: Index, stand: SuiteScores, report: SuiteReport, suites: list[str]
) -> Iterator[tuple[str, bytes]]:
    """Path and content of every file of a suite's part of the site."""
    home = stand.suite
    tested = significance(stand.scores)
    common = {"suite": stand.suite, "version": stand.version, "suites": suites, "report": report}

    def page(template: str, **more: Any) -> bytes:
        return templates.get_template(template).render(**common, **more).encode()

    yield f"{home}/data.js", script("receive", suite_data(stand, report))
    yield f"{home}/scores.json", download(stand)
    yield (
        f"{home}/win-rates.csv",
        statistics.wins(stand.scores).to_csv(float_format="%.4g", lineterminator="\n").encode(),
    )
    yield f"{home}/index.html", page("suite.html.jinja", root="../", **_overview(stand, report, tested))
    yield f"{home}/compare.html", page("compare.html.jinja", root="../")
    if tested:
        yield f"{home}/critical-difference.svg", svg(diagram(tested))
    about = {each.evaluator: each.about for each in index.store.submissions()}
    parts = _parts(stand, report)
    descriptions = {
        name: describe(part["cells"][0]["kind"], part["cells"][0]["name"], about.get(name))
        for name, part in parts.items()
    }
    for name, part in parts.items():
        yield (
            f"{home}/curves/{name}.js",
            script("curves", name, charts(_curves(index, name, part["cells"]))),
        )
        told = _evaluator(name, part, descriptions[name])
        yield f"{home}/evaluators/{name}.html", page("evaluator.html.jinja", root="../../", **told)
    tables = {table.title: table for table in report.problems}
    for dataset, cells in groups(stand.cells, "dataset"):
        told = _dataset(dataset, cells, tables)
        yield f"{home}/datasets/{slug(dataset)}.html", page("dataset.html.jinja", root="../../", **told)
    yield f"{home}/references.bib", _bibliography(stand, descriptions)


def _parts(stand: SuiteScores, report: SuiteReport) -> dict[str, dict[str, list[dict[str, Any]]]]:
    """Rows of all tables by evaluator: thousands of small tables would take minutes."""
    scores = stand.scores[["evaluator", "problem", "task", "status", "error", "metrics"]]
    tables = {"cells": stand.cells[CELLS], "scores": scores, "summary": report.summary, "cost": report.cost}
    parts: dict[str, dict[str, list[dict[str, Any]]]] = {}
    for name, frame in tables.items():
        for row in records(frame):
            parts.setdefault(row["evaluator"], {}).setdefault(name, []).append(row)
    return parts


def _curves(
    index: Index, evaluator: str, cells: list[dict[str, Any]]
) -> Iterator[tuple[str, str, int, dict[str, np.ndarray]]]:
    places = {cell["id"]: (cell["problem"], cell["seed"]) for cell in cells if cell["status"] == "ok"}
    for identity, task, lines in index.curves(evaluator):
        if identity in places:
            problem, seed = places[identity]
            yield problem, task, seed, lines


def home_page(templates: Environment, reports: list[dict[str, Any]]) -> bytes:
    """The page that leads to the suites."""
    suites = [each["suite"] for each in reports]
    return templates.get_template("home.html.jinja").render(root="", suites=suites, suite="", found=reports).encode()


def front(stand: SuiteScores, report: SuiteReport) -> dict[str, Any]:
    """What the home page says of a suite."""
    return {
        "suite": stand.suite,
        "description": report.description,
        "counts": _counts(stand.cells),
        "best": [[entry.text for entry in row[:3]] for row in report.overall.rows[:5]],
    }


def _counts(cells: pd.DataFrame) -> dict[str, Any]:
    ok = cells[cells["status"] == "ok"]
    return {
        "evaluators": cells["evaluator"].nunique(),
        "problems": cells["problem"].nunique(),
        "seeds": cells["seed"].nunique(),
        "cells": len(cells),
        "lacking": len(cells) - len(ok),
        "marks": _mark_counts(ok["mark"]),
    }


def _mark_counts(marked: Iterable[str]) -> list[tuple[str, int]]:
    counts = Counter(marked)
    return [(mark, counts[mark]) for mark in reversed(MARKS) if counts[mark]]


def _overview(stand: SuiteScores, report: SuiteReport, tested: Significance | None) -> dict[str, Any]:
    evaluators = report.ranking["evaluator"].tolist()
    reach = max(len(evaluators) - 1, 1)

    def place(rank: float) -> float:
        return round(100 * (rank - 1) / reach, 1)

    cells = stand.cells
    seconds, marked = statistics.seconds(report.cost), marks(cells)
    rows = [
        {
            **row,
            "interval": between(row["mean_rank"], row["low"], row["high"], 2),
            "places": None if pd.isna(row["low"]) else [place(row[name]) for name in ("low", "mean_rank", "high")],
            "seconds": seconds[row["evaluator"]],
            "mark": marked.get(row["evaluator"], ""),
        }
        for row in records(report.ranking)
    ]
    facets = {name: sorted(cells[name].unique()) for name in ("level", "dataset", "model", "noise")}
    facets["task"] = list(stand.scores["task"].unique())
    facets["hardware"] = sorted(cells.loc[cells["status"] == "ok", "device"].unique())
    return {
        "rows": rows,
        "facets": facets,
        "tasks": _by_task(stand, evaluators),
        "datasets": sorted(cells["dataset"].unique()),
        "counts": _counts(cells),
        "tested": tested,
        "normalised": bool(stand.random),
    }


def _by_task(stand: SuiteScores, order: list[str]) -> Table:
    """Mean rank in each task, over its problems and seeds."""
    scores = statistics.common(stand.scores)
    ranks = statistics.seed_ranks(scores)
    means = ranks.groupby([scores["evaluator"], scores["task"], scores["problem"]]).mean()
    sheet = means.groupby(level=[0, 1]).mean().unstack()
    tasks = [task for task in stand.scores["task"].unique() if task in sheet]
    rows = [
        (
            Entry(name),
            *(
                Entry(number(sheet.loc[name, task], 1), best=sheet.loc[name, task] == sheet[task].min())
                for task in tasks
            ),
        )
        for name in order
    ]
    return Table(
        "Mean rank by task", (Entry("evaluator"), *(Entry(task.replace("_", " ")) for task in tasks)), tuple(rows)
    )


def _evaluator(evaluator: str, part: dict[str, list[dict[str, Any]]], description: Description) -> dict[str, Any]:
    cells = part["cells"]
    ok = [cell for cell in cells if cell["status"] == "ok"]
    datasets = {cell["problem"]: cell["dataset"] for cell in cells}
    costs = [
        {**row, "peak_memory": row["peak_memory"] / MEGABYTE, "peak_cuda_memory": row["peak_cuda_memory"] / MEGABYTE}
        for row in part["cost"]
    ]
    rows = [
        {
            **row,
            "dataset": datasets[row["problem"]],
            "shown": with_interval(row["mean"], row["ci"]),
            "between": "" if math.isnan(row["low"]) else f"{number(row['low'])} to {number(row['high'])}",
        }
        for row in part["summary"]
    ]
    return {
        "evaluator": evaluator,
        "settings": cells[0],
        "parameters": [
            (clean(name), clean(str(each))) for name, each in sorted(json.loads(cells[0]["params"]).items())
        ],
        "description": description,
        "about": description.about,
        "rows": rows,
        "metrics": _metrics(part["scores"]),
        "costs": costs,
        "found_marks": _mark_counts(cell["mark"] for cell in ok),
        "versions": sorted({cell["object_version"] for cell in ok}),
        "machines": sorted({cell["machine"] for cell in ok}),
        "errors": list(dict.fromkeys((row["problem"], clean(row["error"])) for row in part["scores"] if row["error"])),
    }


def _metrics(scores: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Means over seeds of all metrics, also those that are no headline."""
    values: dict[tuple[str, str, str], list[float]] = {}
    for row in scores:
        for name, value in json.loads(row["metrics"]).items() if row["status"] == "ok" else ():
            values.setdefault((row["problem"], row["task"], name), []).append(value)
    return [
        {"problem": problem, "task": task, "metric": name, "value": sum(found) / len(found)}
        for (problem, task, name), found in values.items()
    ]


def _dataset(dataset: str, cells: pd.DataFrame, tables: dict[str, Table]) -> dict[str, Any]:
    problems = []
    for name, part in groups(cells, "problem"):
        ok = part[part["status"] == "ok"]
        sizes, revisions = records(ok.iloc[:1]), sorted(ok["revision"].unique())
        problems.append({**records(part.iloc[:1])[0], "sizes": sizes, "revisions": revisions, "table": tables[name]})
    return {"dataset": dataset, "description": describe("datasets", dataset), "problems": problems}


def _bibliography(stand: SuiteScores, descriptions: dict[str, Description]) -> bytes:
    own = (
        f"@misc{{dvbench-{stand.suite},\n  title = {{{{dvbench: suite {stand.suite}, version {stand.version}}}}},\n"
        "  note = {Cite the evaluators too},\n}\n"
    )
    entries = [
        bibtex(evaluator if place == 0 else f"{evaluator}-{place + 1}", reference)
        for evaluator, description in descriptions.items()
        for place, reference in enumerate(description.references)
    ]
    return "\n".join([own, *entries]).encode()
