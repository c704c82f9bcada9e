"""The page that compares evaluators, in a real browser: it shows what Python computes."""

from __future__ import annotations

import pytest
from browsing import LABELS, RANKED
from playwright.sync_api import expect

from leaderboard.statistics import overall, summary
from leaderboard.tables import between, marks, rank_interval

CHOSEN = ("knn_shapley", "lava", "random")
PAGE = f"quick/compare.html#evaluators={','.join(CHOSEN)}"


def table(page) -> list[list[str]]:
    return page.locator("#side-by-side tbody").evaluate(
        "body => [...body.rows].map(row => [...row.cells].map(c => c.innerText))"
    )


@pytest.mark.parametrize("problem", ["", LABELS])
def test_scores_and_intervals_are_those_of_python(visit, suite, problem):
    page = visit(f"{PAGE}&problem={problem}")
    frame = summary(suite.scores, suite.roles)
    frame = frame[(frame["problem"] == problem) | (not problem)].set_index(["task", "problem", "evaluator"])
    shown = table(page)[2:]
    assert len(shown) == len(frame.groupby(level=[0, 1]))
    tasks = list(dict.fromkeys(frame.index.get_level_values("task")))
    problems = [name for task in tasks for name in frame.loc[task].index.get_level_values("problem").unique()]
    order = [task for task in tasks for _ in frame.loc[task].index.get_level_values("problem").unique()]
    for (title, *scores), task, name in zip(shown, order, problems, strict=True):
        assert title.startswith(task.replace("_", " "))
        assert problem or title.endswith(name)
        rows = frame.loc[[(task, name, evaluator) for evaluator in CHOSEN if (task, name, evaluator) in frame.index]]
        planned = [row for row in scores if row != "–"]
        assert planned == [between(row["mean"], row["low"], row["high"]) for _, row in rows.iterrows()]


def test_a_winner_is_bold_only_where_its_interval_is_apart_from_the_others(visit, suite):
    page = visit("quick/compare.html#evaluators=knn_shapley,random")
    frame = summary(suite.scores, suite.roles)
    chosen = frame[frame["evaluator"].isin(["knn_shapley", "random"]) & (frame["n_ok"] > 0)]
    assert (chosen["n_ok"] == 2).all()
    ends = chosen.assign(low=chosen["low"].fillna(chosen["mean"]), high=chosen["high"].fillna(chosen["mean"]))
    apart = 0
    for _, rows in ends.groupby(["task", "problem"]):
        up = bool(rows["higher_is_better"].iloc[0])
        ordered = rows.sort_values("mean", ascending=not up)
        first, others = ordered.iloc[0], ordered.iloc[1:]
        apart += bool((first["low"] > others["high"]).all() if up else (first["high"] < others["low"]).all())
    assert 0 < apart < len(frame.groupby(["task", "problem"]))
    expect(page.locator("#side-by-side td.best")).to_have_count(apart)


def test_ranks_and_marks_are_those_of_the_suite(visit, suite):
    page = visit(PAGE)
    ranking = overall(suite.scores, suite.roles).set_index("evaluator")
    expected = [
        f"{rank_interval(row)} of {RANKED}, tier {row['tier']:.0f}"
        for _, row in ranking.loc[["knn_shapley", "lava"]].iterrows()
    ]
    assert table(page)[0] == ["rank in the suite", *expected, "not ranked"]
    weakest = marks(suite.cells)
    assert page.locator("#side-by-side thead .mark").all_inner_texts() == [weakest[name] for name in CHOSEN]


def test_the_address_keeps_the_choice(visit):
    page = visit(PAGE)
    page.get_by_label("data_oob").check()
    page.get_by_label("problem").select_option(LABELS)
    again = visit(page.url.partition("/quick/")[2].join(["quick/", ""]))
    assert again.locator("#side-by-side thead a").all_inner_texts() == ["knn_shapley", "lava", "data_oob", "random"]
    assert table(again) == table(page)
    page.get_by_role("button", name="Choose none").click()
    expect(page.locator("#status")).to_contain_text("Choose two or more")


def test_what_is_not_in_the_suite_is_named(visit):
    page = visit(PAGE.replace("lava", "nobody") + "&problem=none")
    expect(page.locator("#status")).to_contain_text("Not in this suite, and left out: nobody, none. 2 side by side")


def test_a_page_of_an_evaluator_leads_here(visit):
    page = visit("quick/evaluators/lava.html")
    page.get_by_role("link", name="Compare with others").click()
    expect(page.locator("#side-by-side thead a")).to_have_text(["lava"])
    expect(page.locator("#status")).to_contain_text("Choose one more")
    page.get_by_label("knn_shapley", exact=True).check()
    expect(page.locator("#status")).to_contain_text("2 side by side")


def test_curves_have_the_colours_of_the_table(visit):
    page = visit(f"{PAGE}&problem={LABELS}")
    chart = page.locator("#overlaid .chart").first
    expect(chart.locator(".legendtext").first).to_be_visible(timeout=20_000)
    colours = chart.evaluate("""(chart) => Object.fromEntries(chart.data.filter((line) => line.name).map((line) =>
      [line.name.split(",")[0], line.line.color]))""")
    swatches = page.locator("#side-by-side thead .swatch").evaluate_all(
        "all => all.map((e) => e.style.backgroundColor)"
    )
    for name, swatch in zip(CHOSEN, swatches, strict=True):
        assert swatch == f"rgb({', '.join(str(int(colours[name][i : i + 2], 16)) for i in (1, 3, 5))})"


def test_all_problems_have_no_common_curves(visit):
    page = visit(PAGE)
    expect(page.locator("#hint")).to_contain_text("Choose one problem")
    expect(page.locator("#overlaid .chart")).to_have_count(0)
