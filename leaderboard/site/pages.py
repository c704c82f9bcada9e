"""Renders the pages of a suite. All texts from results are untrusted, and are escaped."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from functools import cache, partial
from importlib.metadata import version
from statistics import fmean
from typing import Any

import pandas as pd
from jinja2 import Environment, PackageLoader, StrictUndefined

from dvbench.results import MARKS, FreshRun, FreshScore
from leaderboard import statistics
from leaderboard.bibliography import PAPER, bibliography, linked
from leaderboard.boards import Board
from leaderboard.descriptions import Description, describe
from leaderboard.goal_tables import GoalTable, goals_in_words
from leaderboard.goals import IN_WORDS as GOALS
from leaderboard.index import Index
from leaderboard.intervals import IN_WORDS, interval, metric_range
from leaderboard.plans import seeds_of_suite
from leaderboard.site import front
from leaderboard.site.catalogue import about, slug, title
from leaderboard.site.data_set_titles import address, base_title, data_set_description, titles
from leaderboard.site.digests import Digest
from leaderboard.site.glossary import glossary, read_glossary
from leaderboard.site.payloads import SeedCurves, charts, download, script, suite_data
from leaderboard.site.submissions import COMMANDS, published, submitted
from leaderboard.site.suite_figures import shown_exhibits
from leaderboard.site.suite_table import suite_table
from leaderboard.site.unlearning_speed import unlearning_speed
from leaderboard.statistics import SuiteStatistics, records
from leaderboard.suite_scores import SuiteScores
from leaderboard.tables import (
    CEILING_IN_WORDS,
    COSTS_IN_WORDS,
    DECLINED_IN_WORDS,
    FRESH_IN_WORDS,
    MEGABYTE,
    RANKS_IN_WORDS,
    REFERENCES_IN_WORDS,
    SCORES_IN_WORDS,
    SECONDS_IN_WORDS,
    Entry,
    SuiteTables,
    Table,
    arrow,
    between,
    groups,
    number,
    share,
)
from leaderboard.text import clean
from leaderboard.tiers import FEWEST
from leaderboard.wording import METHODS, PLURALS, RANDOM, SECONDS_OF, noise_in_words, players_in_words, said_of

CELLS = ["evaluator", "problem", "seed", "id", "status", "mark", "kind", "name", "params", "dataset", "machine"]
CELLS += ["object_version", "problem_kind"]
WORDS = {
    "costs": COSTS_IN_WORDS,
    "seconds": SECONDS_IN_WORDS,
    "fresh": FRESH_IN_WORDS,
    "ranks": RANKS_IN_WORDS,
    "scores": SCORES_IN_WORDS,
    "declined": DECLINED_IN_WORDS,
    "references": REFERENCES_IN_WORDS,
    "ceiling": CEILING_IN_WORDS,
    "interval": IN_WORDS,
}


@cache
def environment() -> Environment:
    """Load the templates, once in a process; they escape all values."""
    templates = Environment(
        loader=PackageLoader("leaderboard.site"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    templates.globals |= {"number": number, "clean": clean}
    templates.globals |= {"noise_in_words": noise_in_words, "players_in_words": players_in_words}
    templates.globals |= {f"{name}_in_words": text for name, text in WORDS.items()}
    templates.filters |= {"slug": slug, "linked": linked, "linked_papers": partial(linked, pattern=PAPER)}
    return templates


def suite_files(
    templates: Environment,
    index: Index,
    suite: SuiteScores,
    numbers: SuiteStatistics,
    made: tuple[SuiteTables, tuple[GoalTable, ...], Sequence[Board]],
    common: dict[str, Any],
) -> Iterator[tuple[str, bytes]]:
    """Yield path and content of every file of the site that belongs to a suite; ``common`` is what all pages need."""
    home, (tables, goals, versions) = suite.name, made
    common = common | {"suite": home, "version": suite.version, "report": tables, "goals": goals, "boards": versions}
    kind = suite.kind
    said = partial(said_of, kind)
    words = WORDS | {"goals": goals_in_words(goals)}
    common |= {"said": said, "tasks": {task for task, _ in tables.headlines}}
    common |= {f"{name}_in_words": said(text) for name, text in words.items()}
    common |= {"methods": METHODS[kind], "plural": PLURALS[kind].lower(), "seconds_of": SECONDS_OF[kind]}

    def page(template: str, **more: Any) -> bytes:
        return templates.get_template(template).render(**common, **more).encode()

    folder = index.store.root / "figures" / home
    exhibits = shown_exhibits(folder, home)
    for name in dict.fromkeys(name for exhibit in exhibits for name in exhibit.figures):
        yield f"{home}/figures/{name}", (folder / name).read_bytes()
    yield f"{home}/data.js", script("receive", suite_data(suite, numbers))
    yield f"{home}/scores.json", download(suite)
    win_rates = statistics.wins(suite.scores).to_csv(float_format="%.4g", lineterminator="\n")
    yield f"{home}/win-rates.csv", win_rates.encode()
    changed = bool(versions) and not versions[0].shows(tables, goals)
    yield (
        f"{home}/index.html",
        page("suite.html.jinja", root="../", changed=changed, exhibits=exhibits, **_overview(suite, numbers)),
    )
    for board in versions:
        yield f"{home}/boards/{board.version}.html", page("board.html.jinja", root="../../", board=board)
    yield f"{home}/compare.html", page("compare.html.jinja", root="../")
    about = {submission.evaluator: submission.about for submission in index.store.submissions(index.suite)}
    parts = _rows_by_evaluator(suite, numbers)
    descriptions = {
        name: describe(part["cells"][0]["kind"], part["cells"][0]["name"], about.get(name))
        for name, part in parts.items()
    }
    for name, part in parts.items():
        yield f"{home}/curves/{name}.js", script("curves", name, charts(_curves(index, name, part["cells"])))
        values = _evaluator(name, part, descriptions[name]) | _fresh(suite.fresh.get(name))
        yield f"{home}/evaluators/{name}.html", page("evaluator.html.jinja", root="../../", **values)
    by_problem = {table.title: table for table in tables.problems}
    named = _dataset_titles(suite.cells)
    for dataset, cells in groups(suite.cells, "dataset"):
        values = _dataset(dataset, cells, by_problem) | {"title": named[dataset]}
        yield f"{home}/datasets/{slug(dataset)}.html", page("dataset.html.jinja", root="../../", **values)
    yield f"{home}/references.bib", _bibliography(suite, descriptions)


def _rows_by_evaluator(suite: SuiteScores, numbers: SuiteStatistics) -> dict[str, dict[str, list[dict[str, Any]]]]:
    """Split the rows of all data frames by evaluator; thousands of small data frames would take minutes."""
    scores = suite.scores[["evaluator", "problem", "task", "status", "error", "metrics"]]
    frames = {"cells": suite.cells[CELLS], "scores": scores, "summary": numbers.summary, "cost": numbers.cost}
    parts: dict[str, dict[str, list[dict[str, Any]]]] = {}
    for name, frame in frames.items():
        for row in records(frame):
            parts.setdefault(row["evaluator"], {}).setdefault(name, []).append(row)
    return parts


def _curves(index: Index, evaluator: str, cells: list[dict[str, Any]]) -> Iterator[SeedCurves]:
    ok = {cell["id"]: cell for cell in cells if cell["status"] == "ok"}
    for curves in index.curves(evaluator):
        cell = ok.get(curves.result_id)
        if cell is not None:
            yield SeedCurves(cell["problem"], cell["seed"], curves)


def home_files(
    templates: Environment, cards: list[dict[str, Any]], digests: list[Digest], common: dict[str, Any]
) -> Iterator[tuple[str, bytes]]:
    """Yield path and content of the pages of the whole site, and of the data of the chooser on the front page."""
    all_views = [view for digest in digests for view in digest.views]
    chosen = front.best_views(all_views, "evaluators") or front.best_views(all_views)
    goals = front.best_views(all_views)
    words = {str(goal): text for goal, text in GOALS.items() if goal in goals}
    shown: dict[str, Any] = {"matrix": front.matrix(chosen), "chosen": chosen, "goal_words": words}
    shown |= {"statements": front.statements(goals), "sections": front.in_sections(cards)}
    shown |= {"dvbench_version": version("dvbench")}
    page = templates.get_template("home.html.jinja")
    yield (
        "front-data.js",
        script("front", {"views": all_views, "goals": words, "seconds_of": SECONDS_OF, "fewest": FEWEST}),
    )
    common = common | {"root": "", "suite": "", "cards": cards, "page_of": about}
    yield "index.html", page.render(**shown, **common).encode()
    sections = glossary(read_glossary())
    if sections:
        yield (
            "glossary.html",
            templates.get_template("glossary.html.jinja").render(sections=sections, **common).encode(),
        )
    guide = "guides/submit-an-evaluator"
    docs, repository = common["docs"], common["repository"]
    of_guide = f"{docs}/{guide}/index.html" if docs else f"{repository}/blob/HEAD/docs/{guide}.md" if repository else ""
    checks = [(str(term).lower(), words) for _, terms in sections for _, term, words in terms if term.lower() in MARKS]
    sent = {"submitted": submitted(digests, cards), "commands": COMMANDS, "guide": of_guide, "checks": checks}
    yield "submissions.html", templates.get_template("submissions.html.jinja").render(**sent, **common).encode()


def suite_card(suite: SuiteScores, tables: SuiteTables, boards: Sequence[Board]) -> dict[str, Any]:
    """Collect what the pages of the whole site show of a suite."""
    return {
        "suite": suite.name,
        "description": tables.description,
        "counts": _counts(suite),
        "section": front.section(suite),
        "separable": tables.separable,
        "boards": published(boards),
        "method": METHODS[suite.kind],
        "methods": PLURALS[suite.kind].lower(),
    }


def _counts(suite: SuiteScores) -> dict[str, Any]:
    cells = suite.cells
    ok, declined = cells[cells["status"] == "ok"], int((cells["status"] == "declined").sum())
    return {
        "evaluators": cells["evaluator"].nunique() - len(suite.roles),
        "random": RANDOM[suite.kind] if "random" in suite.roles.values() else "",
        "references": sum(role != "random" for role in suite.roles.values()),
        "problems": cells["problem"].nunique(),
        "seeds": cells["seed"].nunique(),
        "all_seeds": seeds_of_suite(suite.name, suite.version),
        "cells": len(cells),
        "lacking": len(cells) - len(ok) - declined,
        "declined": declined,
        "marks": _mark_counts(ok["mark"]),
    }


def _mark_counts(cell_marks: Iterable[str]) -> list[tuple[str, int]]:
    counts = Counter(cell_marks)
    return [(mark, counts[mark]) for mark in reversed(MARKS) if counts[mark]]


def _dataset_titles(cells: pd.DataFrame) -> dict[str, str]:
    """Return the names for people of the data sets of a suite, in the order of these names."""
    settings = cells.drop_duplicates("dataset").set_index("dataset")["source"]
    named = titles(settings)
    return dict(
        sorted(
            ((str(dataset), named[source]) for dataset, source in settings.items()), key=lambda pair: pair[1].casefold()
        )
    )


def _overview(suite: SuiteScores, numbers: SuiteStatistics) -> dict[str, Any]:
    cells = suite.cells
    facets = {name: sorted(cells[name].unique()) for name in ("level", "dataset", "model", "noise")}
    facets["task"] = list(suite.scores["task"].unique())
    facets["hardware"] = sorted(cells.loc[cells["status"] == "ok", "device"].unique())
    return {
        **suite_table(suite, numbers),
        "speed": unlearning_speed(suite),
        "has_gaps": bool(suite.fresh),
        "facets": facets,
        "datasets": _dataset_titles(cells),
        "counts": _counts(suite),
        "normalised": "random" in suite.roles.values(),
        "questions": {clean(task): describe("tasks", task).sentence for task in facets["task"]},
    }


def _evaluator(evaluator: str, part: dict[str, list[dict[str, Any]]], description: Description) -> dict[str, Any]:
    cells = part["cells"]
    ok = [cell for cell in cells if cell["status"] == "ok"]
    datasets = {cell["problem"]: cell["dataset"] for cell in cells}
    costs = [
        {**row, "peak_memory": row["peak_memory"] / MEGABYTE, "peak_cuda_memory": row["peak_cuda_memory"] / MEGABYTE}
        for row in part["cost"]
    ]
    kinds = {cell["problem"]: cell["problem_kind"] for cell in cells}
    rows = [
        row | {"dataset": datasets[row["problem"]], "shown": between(row["mean"], row["low"], row["high"]) + share(row)}
        for row in part["summary"]
    ]
    return {
        "evaluator": evaluator,
        "settings": cells[0],
        "title": title(cells[0]["kind"], cells[0]["name"], description),
        "about_page": about(cells[0]["kind"], cells[0]["name"]),
        "parameters": [
            (clean(name), clean(str(value))) for name, value in sorted(json.loads(cells[0]["params"]).items())
        ],
        "description": description,
        "rows": rows,
        "metrics": _metrics(part["scores"], kinds),
        "costs": costs,
        "mark_counts": _mark_counts(cell["mark"] for cell in ok),
        "versions": sorted({cell["object_version"] for cell in ok}),
        "machines": sorted({cell["machine"] for cell in ok}),
        "errors": list(dict.fromkeys((row["problem"], clean(row["error"])) for row in part["scores"] if row["error"])),
    }


def _fresh(run: FreshRun | None) -> dict[str, Any]:
    """Compare claimed with fresh scores, for the page of an evaluator."""
    if run is None:
        return {"fresh": None}
    rows = [
        (
            score.problem,
            score.task.replace("_", " "),
            f"{score.metric.replace('_', ' ')} {arrow(score.higher_is_better)}",
            *map(_mean_of_seeds, (score.claimed, score.fresh)),
            Entry("", alarm=_gap(score)) if score.doubt else Entry(_gap(score)),
        )
        for score in run.scores
    ]
    failed = [clean(f"{name}: {error}") for name, error in run.failed.items()]
    return {"fresh": run, "fresh_rows": rows, "fresh_secret": clean(run.secret), "fresh_failures": failed}


def _gap(score: FreshScore) -> str:
    return "" if score.gap is None else _rounded(score.gap)


def _rounded(value: float) -> str:
    """Write three decimals, also of what is nearly 0: only clear gaps matter beside these."""
    return number(round(value, 3))


def _mean_of_seeds(scores: Sequence[float]) -> str:
    return f"{_rounded(fmean(scores))}, n = {len(scores)}" if scores else ""


def _metrics(scores: list[dict[str, Any]], kinds: dict[str, str]) -> list[dict[str, Any]]:
    """Average all metrics over seeds, not only the headline metrics; ``kinds`` are those of the problems."""
    values: dict[tuple[str, str, str], list[float]] = {}
    for row in scores:
        for name, value in json.loads(row["metrics"]).items() if row["status"] == "ok" else ():
            values.setdefault((row["problem"], row["task"], name), []).append(value)
    rows = []
    for (problem, task, name), numbers in values.items():
        mean = sum(numbers) / len(numbers)
        low, high = interval(numbers, metric_range(task, name, kinds[problem]))
        row = {"problem": problem, "task": task, "metric": name, "mean": mean, "n": len(numbers)}
        rows.append(row | {"shown": between(mean, low, high)})
    return rows


def _dataset(dataset: str, cells: pd.DataFrame, tables: dict[str, Table]) -> dict[str, Any]:
    problems = []
    for name, part in groups(cells, "problem"):
        ok = part[part["status"] == "ok"]
        sizes, revisions = records(ok.iloc[:1]), sorted(ok["revision"].unique())
        problems.append({**records(part.iloc[:1])[0], "sizes": sizes, "revisions": revisions, "table": tables[name]})
    base = cells["base"].iloc[0]
    return {
        "dataset": dataset,
        "address": address(cells["source"].iloc[0]),
        "about_title": base_title(base),
        "description": data_set_description(base),
        "about_page": about("datasets", base),
        "problems": problems,
    }


def _bibliography(suite: SuiteScores, descriptions: dict[str, Description]) -> bytes:
    own = (
        f"@misc{{dvbench-{suite.name},\n  title = {{{{dvbench: suite {suite.name}, version {suite.version}}}}},\n"
        "  note = {Cite the evaluators too},\n}\n"
    )
    cited = ((name, text) for name, description in descriptions.items() for text in description.references)
    return f"{own}\n{bibliography(cited)}".encode()
