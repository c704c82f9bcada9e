"""The front page: what the results say in sentences, a chooser of goal, data and budget, and the tiers by goal.

A view is a ranking of the evaluators of a suite by the tasks of one goal, on one kind of data or on all. Views of
several suites are not mixed, because an evaluator that is in one of them only could not be compared. For a goal, a
suite that values what the goal is about is shown first, and of these the one with the most observations, which are
problems and seeds.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

import pandas as pd

from dvbench.results.store import PLAN
from leaderboard import statistics
from leaderboard.descriptions import describe, plug_in
from leaderboard.gains import against_random, gains
from leaderboard.goals import GOALS, IN_WORDS, goal_of
from leaderboard.site.rounding import short
from leaderboard.statistics import SuiteStatistics, records
from leaderboard.suite_scores import SuiteScores
from leaderboard.tables import number, rank_interval
from leaderboard.tiers import FEWEST as MANY

WORDS = {str(goal): text for goal, text in IN_WORDS.items()}
FEWEST = 3  # ranked methods of a view
FINDINGS = 3  # sentences on the front page
SECTIONS = ("Rows", "Providers and other groups of rows", "Texts and corpora", "Unlearning", "Choosing training data")
AT_HOME = {"find": SECTIONS[0], "select": SECTIONS[0], "pay": SECTIONS[1]}  # what these goals are about


@cache
def data_kind(base: str, problem_kind: str) -> str:
    """Say whether a data set has texts, images or tables, from what its description says."""
    summary = describe("datasets", plug_in(base)).summary
    if problem_kind == "language" or re.search(r"\b(texts?|articles|reviews)\b", summary):
        return "text"
    return "image" if re.search(r"\b(images?|pixels)\b", summary) else "table"


def views(suite: SuiteScores, numbers: SuiteStatistics) -> Iterator[dict[str, Any]]:
    """Yield the views of a suite, each with its rows, best first; reference rows are left out."""
    cells = suite.cells.drop_duplicates("problem")
    kinds = {
        row["problem"]: data_kind(row["base"], row["problem_kind"])
        for row in records(cells[["problem", "base", "problem_kind"]])
    }
    scores = suite.scores.assign(goal=suite.scores["task"].map(goal_of), data=suite.scores["problem"].map(kinds))
    plug_ins = suite.cells.drop_duplicates("evaluator").set_index("evaluator")[["kind", "name"]]
    place = section(suite)
    for goal, of_goal in scores.groupby("goal", sort=False):
        names = list(of_goal["data"].unique())
        for data in ["", *names]:
            part = of_goal if not data or len(names) == 1 else of_goal[of_goal["data"] == data]
            cost = numbers.cost[numbers.cost["problem"].isin(part["problem"])]
            rows = list(_rows(part, suite.roles, cost, plug_ins))
            if len(rows) >= FEWEST:
                observations = len(part.drop_duplicates(["problem", "seed"]))
                tasks = list(part["task"].unique())
                yield {
                    "suite": suite.name,
                    "goal": goal,
                    "data": data,
                    "at_home": AT_HOME.get(str(goal), place) == place,
                    "observations": observations,
                    "tasks": tasks,
                } | {
                    "rows": rows,
                    "problems": int(part["problem"].nunique()),
                }


def _rows(
    scores: pd.DataFrame, roles: dict[str, str], cost: pd.DataFrame, plug_ins: pd.DataFrame
) -> Iterator[dict[str, Any]]:
    ranking, seconds = statistics.overall(scores, roles), statistics.seconds(cost)
    gained = gains(scores, cost, roles).table
    for row in records(ranking[ranking["tier"].notna() & (ranking["n_ok"] > 0)]):
        label = row["evaluator"]
        kind, name = plug_ins.loc[label]
        yield {
            "label": label,
            "kind": kind,
            "name": name,
            "interval": rank_interval(row),
            "tier": int(row["tier"]),
            "rank": short(row["mean_rank"]),
            "seconds": short(seconds[label]),
            "against_random": against_random(gained.loc[label]),
            "beats_random": bool(gained.loc[label, "gain_low"] > 0),
        }


def mean_ranks(all_views: Sequence[dict[str, Any]]) -> dict[str, dict[str, float]]:
    """Return the mean rank of each evaluator for each goal, over all data of a suite."""
    return {view["goal"]: {row["label"]: row["rank"] for row in view["rows"]} for view in all_views if not view["data"]}


def best_views(all_views: Sequence[dict[str, Any]], kind: str = "") -> dict[str, dict[str, Any]]:
    """Return the view over all data of each goal that is shown first, in the order of `GOALS`."""
    whole = [view for view in all_views if not view["data"] and kind in ("", view["rows"][0]["kind"])]
    chosen: dict[str, dict[str, Any]] = {}
    for view in sorted(whole, key=lambda view: (not view["at_home"], -view["observations"])):
        chosen.setdefault(view["goal"], view)
    return {goal: chosen[goal] for goal in GOALS if goal in chosen}


def statements(chosen: dict[str, dict[str, Any]]) -> list[dict[str, str]]:
    """Say in a sentence what each of the first goals has for a result, with the page that shows it.

    Ranks on a few problems hold for these alone and are no finding, such as those of a suite that tests the software.
    """
    said = []
    for goal, view in chosen.items():
        rows, first = view["rows"], view["rows"][0]
        tiers = rows[-1]["tier"]
        tied = sum(row["tier"] == 1 for row in rows) - 1
        cheapest = min(
            (row for row in rows if row["tier"] == 1 and row["seconds"] is not None), key=_seconds, default=None
        )
        text = f"{first['label']} has the best mean rank of {len(rows)}"
        if tiers == 1:
            text += ", but the data of this suite do not tell the first and the last apart."
        else:
            text += "." if not tied else f", and the data do not tell it from {tied} other{'s' if tied > 1 else ''}."
            if cheapest is first and tied:
                text += " It is the fastest of these."
            elif cheapest is not None and tied:
                text += f" The fastest of these is {cheapest['label']}, {number(cheapest['seconds'], 2)} s."
        if goal != "check" and view["problems"] >= MANY:
            said.append({"goal": f"To {WORDS[goal]}", "text": text, "suite": view["suite"]})
    return said


def _seconds(row: dict[str, Any]) -> float:
    return float(row["seconds"])


def matrix(chosen: dict[str, dict[str, Any]]) -> list[dict[str, Any]]:
    """Tabulate the tier and the seconds of each evaluator for each goal; best mean tier first."""
    rows: dict[str, dict[str, Any]] = {}
    for goal, view in chosen.items():
        last = view["rows"][-1]["tier"]
        for row in view["rows"]:
            entry = rows.setdefault(row["label"], {"label": row["label"], "kind": row["kind"], "name": row["name"]})
            shade = 0.0 if last == 1 else 1 - (row["tier"] - 1) / (last - 1)
            entry[goal] = row | {"tiers": last, "shade": round(shade, 2)}

    def order(entry: dict[str, Any]) -> tuple[float, float, str]:
        cells = [(goal, entry[goal]) for goal in chosen if goal in entry]
        tiers = [(cell["tier"] - 1) / max(cell["tiers"] - 1, 1) for _, cell in cells]
        ranks = [cell["rank"] / len(chosen[goal]["rows"]) for goal, cell in cells]
        return (sum(tiers) / len(tiers), sum(ranks) / len(ranks), entry["label"])

    return sorted(rows.values(), key=order)


def section(suite: SuiteScores) -> str:
    """Return the section of the front page for a suite: what it values or judges, one of `SECTIONS`."""
    rows, provided, texts, unlearning, selection = SECTIONS
    kind = suite.kind
    if kind != "evaluators":
        return unlearning if kind == "unlearning" else selection
    if (suite.cells["problem_kind"] == "language").all():
        return texts
    return rows if (suite.cells["players"] == "points").any() else provided


def in_sections(cards: Sequence[dict[str, Any]]) -> list[tuple[str, list[dict[str, Any]]]]:
    """Group the cards of suites by section, those with the most cells first."""
    most = sorted(cards, key=lambda card: -card["counts"]["cells"])
    found = [(name, [card for card in most if card["section"] == name]) for name in SECTIONS]
    return [(name, those) for name, those in found if those]


def findings(results: Path) -> list[dict[str, str]]:
    """Read the first sentences of the first items that docs/findings.md beside the results lists, if it is there.

    Each is a ``text`` with the ``anchor`` of the section that it links to, and the ``suite`` whose results the numbers
    there are computed from most often; both are empty where there is none.

    A file of that name whose numbers are not computed from results (see `leaderboard.evidence`) is left out, and one
    about suites that are not among these results.
    """
    try:
        text = (results.resolve().parent / "docs/findings.md").read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return []
    named = set(re.findall(r'<!--[=!#][^>]*?\("([\w-]+)"', text))
    if not all((results / name / PLAN).is_file() for name in named):
        return []
    items = re.findall(r"^- (.+(?:\n  .+)*)", text, flags=re.MULTILINE) if "<!--= " in text else []
    return [_finding(item, text) for item in items[:FINDINGS]]


def _finding(item: str, text: str) -> dict[str, str]:
    plain = re.sub(r"\[([^\]]*)\]\([^)]*\)|[*`]", r"\1", re.sub(r"<!--.*?-->", "", item, flags=re.DOTALL))
    first = re.split(r"(?<=[^A-Z\s.][.?]) (?=[A-Z])", " ".join(plain.split()))[0]
    linked = re.search(r"\]\(#([\w-]+)\)", item)
    anchor = linked[1] if linked else ""
    sections = re.findall(r"^##+ (.+)\n((?:(?!##).*\n?)*)", text, flags=re.MULTILINE)
    of_section = [body for heading, body in sections if re.sub(r"[^\w]+", "-", heading.lower()).strip("-") == anchor]
    suites = Counter(re.findall(r'<!--[=!#][^>]*?\("([\w-]+)"', "".join([item, *of_section])))
    return {"text": first, "anchor": anchor, "suite": suites.most_common(1)[0][0] if suites else ""}


def latest(results: Path, cards: Sequence[dict[str, Any]]) -> str:
    """Return the day of the newest published board of the suites of these cards, such as "27 November 2026".

    Where none is published, it is the day on which a plan was last changed; in a fresh clone that is today.
    """
    days = [board["date"] for card in cards for board in card["boards"]]
    plans = [results / card["suite"] / PLAN for card in cards] if not days else []
    days += [datetime.fromtimestamp(plan.stat().st_mtime, UTC) for plan in plans if plan.exists()]
    return f"{max(days):%-d %B %Y}" if days else ""
