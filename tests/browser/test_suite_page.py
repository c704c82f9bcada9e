"""The page of a suite in a real browser: its table, filters and charts say what Python says."""

from __future__ import annotations

from math import nan

import pytest
from browsing import RANKED, TASKS, chosen, rows
from playwright.sync_api import expect

from leaderboard import statistics
from leaderboard.goals import task_means


@pytest.mark.parametrize(
    "where",
    [{}, {"dataset": "digits"}, {"level": "subsets"}, {"noise": "labels0.2", "task": "point_removal"}],
    ids=["all", "dataset", "level", "noise and task"],
)
def test_the_browser_ranks_as_python_does(visit, suite, where):
    page = visit("quick/index.html")
    expected = statistics.overall(chosen(suite, **where), suite.roles)
    expected = expected[expected["role"] == ""]
    script = """(where) => {
      const data = window.told, columns = data.columns.filter((c) => Object.entries(where).every(([name, value]) =>
        name === "task" ? c.task === value : data.problems[c.problem][name] === value));
      const names = (e) => data.evaluators[e].name;
      const order = data.evaluators.map((_, e) => e);
      return rankings.overall(data, columns, order).map((e) => ({ ...e, evaluator: names(e.evaluator) }));
    }"""
    page.evaluate("() => { window.told = null; window.dvbench.receive = (data) => { window.told = data; }; }")
    page.add_script_tag(url=page.url.replace("index.html", "data.js"))
    actual = page.evaluate(script, where)
    assert [each["evaluator"] for each in actual] == expected["evaluator"].tolist()
    assert [each["rank"] for each in actual] == expected["rank"].tolist()
    assert [each["meanRank"] for each in actual] == pytest.approx(expected["mean_rank"].tolist())
    assert [each["normalised"] for each in actual] == pytest.approx(expected["normalised"].tolist(), abs=1e-4)
    assert [each["interval"] for each in actual] == expected[["first", "last"]].to_numpy().tolist()
    assert [each["tier"] for each in actual] == expected["tier"].tolist()


def test_win_rates_are_those_of_python(visit, suite):
    page = visit("quick/index.html")
    page.evaluate("() => { window.dvbench.receive = (data) => { window.told = data; }; }")
    page.add_script_tag(url=page.url.replace("index.html", "data.js"))
    actual, names = page.evaluate("""() => { const all = told.evaluators.map((_, e) => e);
      return [rankings.wins(told, told.columns, all), told.evaluators.map((e) => e.name)]; }""")
    expected = statistics.wins(suite.scores).loc[names, names].to_numpy()
    for i, row in enumerate(actual):
        for j, share in enumerate(row):
            assert share is None if i == j else share == pytest.approx(expected[i, j])


def test_a_filter_ranks_anew_and_is_a_link(visit, suite):
    page = visit("quick/index.html")
    assert rows(page)[0][1] == "threshold_knn_shapley"
    page.locator("#fold summary").click()
    page.locator("select[name=dataset]").select_option("breast_cancer")
    page.locator("select[name=task]").select_option("noisy_feature_detection")
    expected = statistics.overall(chosen(suite, dataset="breast_cancer", task="noisy_feature_detection"), suite.roles)
    assert [row[1] for row in rows(page)] == expected.loc[expected["role"] == "", "evaluator"].tolist()
    expect(page.locator("#status")).to_contain_text(
        f"{RANKED} evaluators ranked among each other in 1 problem-task pair of 1 problem"
    )
    of_task = page.locator("#ranking tbody tr").first.locator("[data-of=score]").all_inner_texts()
    assert [bool(text) for text in of_task] == [task == "noisy_feature_detection" for task in TASKS]
    address = page.url
    assert "#dataset=breast_cancer&task=noisy_feature_detection" in address
    again = visit(address.partition("/quick/")[2].join(["quick/", ""]))
    assert rows(again) == rows(page)
    again.get_by_role("button", name="Show all").click()
    expect(again.locator("#status")).to_contain_text(f"All {RANKED} evaluators")
    assert rows(again)[0][1] == "threshold_knn_shapley"


def test_the_browser_averages_scores_as_python_does(visit, suite):
    page = visit("quick/index.html")
    shown = page.locator("#ranking").evaluate("""(table) => [...table.tBodies[0].rows, ...table.tFoot.rows].map((row) =>
      [row.querySelector("th a").textContent,
       [...row.querySelectorAll("[data-of=score]")].map((cell) => cell.dataset.order || "")])""")
    page.locator("#fold summary").click()
    page.locator("select[name=level]").select_option("points")
    means = task_means(statistics.summary(chosen(suite, level="points"), suite.roles), "mean")
    for name in ("knn_shapley", "lava", "random"):
        cells = page.locator("#ranking tr", has=page.get_by_role("link", name=name, exact=True)).locator(
            "[data-of=score]"
        )
        scores = [float(text or "nan") for text in cells.evaluate_all("all => all.map(c => c.dataset.order || '')")]
        assert scores == pytest.approx(
            [means[task].get(name, nan) if task in means else nan for task in TASKS], abs=1e-6, nan_ok=True
        )
    whole = task_means(statistics.summary(suite.scores, suite.roles), "mean")
    assert len(shown) == len(whole)
    for name, scores in shown:
        assert [float(text or "nan") for text in scores] == pytest.approx(whole.loc[name, TASKS].tolist(), nan_ok=True)


def test_scores_are_shaded_from_the_worst_to_the_best(visit):
    page = visit("quick/index.html")
    for position in range(len(TASKS)):
        script = """(body, i) => [...body.rows].map((row) => row.querySelectorAll("[data-of=score]")[i])
          .filter((cell) => cell.dataset.order)
          .map((cell) => [Number(cell.dataset.order), Number(cell.style.getPropertyValue("--heat")),
                          !!cell.querySelector("strong")])"""
        cells = page.locator("#ranking tbody").evaluate(script, position)
        by_score = sorted(cells)  # higher is better in every task of this suite
        heats = [heat for _, heat, _ in by_score]
        assert heats == sorted(heats)
        assert (heats[0], heats[-1]) == (0, 1)
        best = by_score[-1][0]
        assert [bold for _, _, bold in by_score] == [best - score < 1e-12 for score, _, _ in by_score]


@pytest.mark.parametrize(
    ("scores", "up", "heats"),
    [
        ([0.0, 1.0, 0.5], True, [0, 1, 0.5]),
        ([0.0, 1.0, 0.5], False, [1, 0, 0.5]),
        ([1.0, 2.0, 3.0, 4.0, 1000.0], False, [1, 0.75, 0.5, 0.25, 0]),
        ([1.0, 2.0, 2.0, 3.0], True, [0, 0.333, 0.333, 1]),
        ([1.0, 1.0, 1.0, 1.0, 0.2], True, [1, 1, 1, 1, 0]),
        ([1.0, 1.0], True, [1, 1]),
    ],
    ids=["up", "down", "one far away", "two equal", "all but one equal", "all equal"],
)
def test_shades_are_by_place(visit, scores, up, heats):
    page = visit("quick/index.html")
    actual = page.evaluate("([scores, up]) => dvbench.tools.shades(scores, up)", [scores, up])
    assert actual == pytest.approx(heats, abs=1e-3)


def test_more_columns_are_shown_when_asked_for(visit):
    page = visit("quick/index.html")
    head = page.locator("#ranking thead th", has_text="rank interval")
    expect(head).to_be_hidden()
    page.get_by_role("button", name="More columns").click()
    expect(head).to_be_visible()
    expect(page.get_by_role("button", name="More columns")).to_have_attribute("aria-pressed", "true")


def test_tables_of_a_suite_fit_a_small_screen(visit):
    page = visit("quick/index.html", viewport={"width": 1280, "height": 720})
    page.wait_for_timeout(300)
    wide = page.locator(".scroll").evaluate_all(
        "all => all.filter(e => e.scrollWidth > e.clientWidth + 1).map(e => e.querySelector('table').ariaLabel)"
    )
    assert wide == []


def test_a_budget_leaves_the_cheap_ones(visit):
    page = visit("quick/index.html#budget=0.1")
    seconds = [float(text) for text in page.locator("#ranking tbody [data-of=seconds]").all_inner_texts()]
    assert seconds
    assert max(seconds) <= 0.1
    assert rows(page)[0][0].split("-")[0] == "1"


def test_filters_that_leave_nothing_say_so(visit):
    page = visit("quick/index.html#level=subsets&task=point_removal")
    expect(page.locator("#status")).to_contain_text("No score is left")
    page.get_by_role("button", name="Remove all filters").click()
    expect(page.locator("#status")).to_contain_text(f"All {RANKED} evaluators")


def test_filters_of_a_link_stay_folded_and_are_counted(visit):
    page = visit("quick/index.html#dataset=digits&level=points")
    expect(page.locator("#fold summary")).to_have_text("2 filters are set")
    expect(page.locator("#fold fieldset").first).to_be_hidden()
    page.get_by_role("button", name="Show all").click()
    expect(page.locator("#fold summary")).to_have_text("Filters")


def test_a_long_description_shows_two_lines_and_more_on_demand(visit):
    page = visit("quick/index.html")
    lead = page.locator(".lead")
    before = lead.bounding_box()["height"]
    page.get_by_role("button", name="more of the description").click()
    assert lead.bounding_box()["height"] > before
    expect(lead.get_by_role("button")).to_have_count(0)


def test_rows_are_in_the_order_of_the_mean_ranks_that_are_shown(visit):
    page = visit("quick/index.html")
    tables = [page.locator("#ranking [data-of=mean]"), *page.locator("#goals ~ .scroll tbody").all()]
    assert len(tables) > 2
    for number, table in enumerate(tables):
        texts = table.all_inner_texts() if not number else table.locator("td:nth-child(4)").all_inner_texts()
        ranks = [float(text) for text in texts if text]
        assert len(ranks) == RANKED
        assert ranks == sorted(ranks)


@pytest.mark.parametrize("view", ["dataset=nowhere", "sort=99-asc", "q=%3Cimg%20src%3Dx%3E", "sort=x&budget=-1"])
def test_a_link_that_is_wrong_shows_everything(visit, view):
    page = visit(f"quick/index.html#{view}")
    expect(page.locator("#status")).to_contain_text(f"All {RANKED} evaluators")
    if view.startswith("dataset"):
        expect(page.locator("#status")).to_contain_text("Not known here, and left out: dataset=nowhere.")


@pytest.mark.parametrize("suite", ["quick", "efficiency-cpu"])
@pytest.mark.parametrize("size", [(1280, 720), (390, 844)])
def test_the_first_rows_are_above_the_fold(visit, suite, size):
    page = visit(f"{suite}/index.html", viewport={"width": size[0], "height": size[1]})
    ranks = page.locator("#ranking tbody tr > :first-child")  # the row itself is wider than a phone
    for position in range(min(3 if size[0] > 1000 else 1, ranks.count())):
        expect(ranks.nth(position)).to_be_in_viewport(ratio=1)


def test_tables_are_searched_and_sorted_by_keyboard(visit):
    page = visit("quick/index.html")
    page.get_by_role("searchbox").first.fill("unlearning")
    assert {row[1] for row in rows(page)} == {
        "unlearning_shapley", "partial_unlearning_shapley",
    }  # fmt: skip
    assert "q=unlearning" in page.url
    page.get_by_role("searchbox").first.fill("")
    header = page.locator("#ranking thead th", has_text="seconds")
    header.get_by_role("button").focus()
    page.keyboard.press("Enter")
    expect(header).to_have_attribute("aria-sort", "ascending")
    seconds = [float(text) for text in page.locator("#ranking tbody [data-of=seconds]").all_inner_texts()]
    assert seconds == sorted(seconds)
    assert f"sort={4 + len(TASKS)}-asc" in page.url
    assert rows(visit(page.url.partition("/quick/")[2].join(["quick/", ""]))) == rows(page)


def test_quality_against_cost_is_drawn(visit):
    page = visit("quick/index.html")
    page.locator("#quality-cost").scroll_into_view_if_needed()
    expect(page.locator("#quality-cost .scatterlayer .point").first).to_be_visible(timeout=20_000)
    assert page.locator("#quality-cost .scatterlayer .point").count() == RANKED
    page.locator("#wins summary").click()
    page.locator("#win-rates").scroll_into_view_if_needed()
    expect(page.locator("#win-rates .heatmaplayer image")).to_be_visible(timeout=20_000)


def test_without_scripts_the_tables_are_there(visit):
    page = visit("quick/index.html", java_script_enabled=False)
    assert len(rows(page)) == RANKED
    expect(page.locator("#filters")).to_be_hidden()
    expect(page.locator("noscript").first).to_be_visible()


def test_the_speed_of_unlearning_is_drawn_by_size(visit):
    page = visit("efficiency-cpu/index.html")
    chart = page.locator("#speed")
    expect(chart.locator(".scatterlayer .point").first).to_be_visible(timeout=20_000)
    ratios = page.get_by_role("table", name="Seconds to train and to unlearn").locator("tbody tr")
    assert chart.locator(".scatterlayer .point").count() == ratios.count()
    expect(page.locator("#quality-cost")).to_be_hidden()  # with one method there is nothing to compare
