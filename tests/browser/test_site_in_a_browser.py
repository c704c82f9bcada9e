"""The site in a real browser: what is shown, filtered, linked to and reached by keyboard."""

from __future__ import annotations

import re
import shutil
import threading
from collections.abc import Callable, Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from browsing import HINT, open_browser
from playwright.sync_api import Browser, Page, expect

from dvbench.results import Store
from dvbench.suite import load_suite
from leaderboard import statistics
from leaderboard.build import build
from leaderboard.index import open_index
from leaderboard.suite_scores import SuiteScores, suite_scores

ROOT = Path(__file__).parents[2]
RANKED = len(load_suite("quick").evaluators) - len({"random", "unlearning_shapley-hard"})  # which are reference rows
LABELS = "digits-logistic_regression-labels0.2"
PAGES = {
    "home": "index.html",
    "suite": "quick/index.html",
    "evaluator": "quick/evaluators/chg_shapley.html",
    "dataset": "quick/datasets/digits.html",
    "about": "about/index.html",
    "about a method": "about/evaluators/lava.html",
    "about a task": "about/tasks/noisy_label_detection.html",
    "about a data set": "about/datasets/digits.html",
    "compare": f"quick/compare.html#evaluators=knn_shapley,random&problem={LABELS}",
}


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with open_browser() as actual:
        if actual is None:
            pytest.skip(HINT)
        yield actual


@pytest.fixture(scope="module")
def results(tmp_path_factory) -> Path:
    """The published results of the suite quick."""
    folder = tmp_path_factory.mktemp("results")
    shutil.copytree(ROOT / "results" / "quick", folder / "quick")
    return folder


@pytest.fixture(scope="module")
def suite(results) -> SuiteScores:
    with open_index(Store(results), "quick") as index:
        return suite_scores(index)


@pytest.fixture(scope="module")
def site(results, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    build(results, folder)
    return folder


@pytest.fixture
def visit(browser, site) -> Iterator[Callable[..., Page]]:
    """Open a page from disk; afterwards nothing may have been complained of, failed or asked of another place."""
    wrong, contexts = [], []

    def visit(path: str, base: str = "", **how) -> Page:
        context = browser.new_context(**({"viewport": {"width": 1200, "height": 900}} | how))
        contexts.append(context)
        context.set_default_navigation_timeout(120_000)  # on a machine that does much else
        page = context.new_page()
        page.on("console", lambda said: wrong.append(said.text) if said.type in ("error", "warning") else None)
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.on("requestfailed", lambda request: wrong.append(f"failed: {request.url}"))
        page.on("dialog", lambda dialog: (wrong.append(f"dialog: {dialog.message}"), dialog.dismiss()))
        home = base or site.as_uri() + "/"
        page.on(
            "request",
            lambda request: None if request.url.startswith((home, "data:", "blob:")) else wrong.append(request.url),
        )
        page.goto(home + path)
        return page

    yield visit
    for context in contexts:
        context.close()
    assert wrong == []


def rows(page: Page) -> list[list[str]]:
    """All rows of the ranking, read at one moment."""
    return page.locator("#ranking tbody").evaluate(
        "body => [...body.rows].map(row => [...row.cells].map(c => c.innerText))"
    )


def chosen(suite: SuiteScores, **where: str):
    """What Python says of a part of the suite."""
    problems = suite.cells
    for name, value in where.items():
        problems = problems[problems[name] == value] if name != "task" else problems
    scores = suite.scores[suite.scores["problem"].isin(problems["problem"])]
    return scores[scores["task"] == where["task"]] if "task" in where else scores


@pytest.mark.parametrize("path", PAGES.values(), ids=PAGES)
def test_pages_open_from_disk_without_a_complaint(visit, path):
    page = visit(path)
    expect(page.locator("h1")).to_be_visible()


def test_the_site_works_on_a_static_host(visit, site):
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(site))) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        base = f"http://127.0.0.1:{server.server_port}/"
        page = visit("index.html", base)
        page.get_by_role("main").get_by_role("link", name="quick").first.click()
        expect(page.locator("#status")).to_contain_text(f"All {RANKED} evaluators")
        page.get_by_role("link", name="knn_shapley").first.click()
        page.locator("#curves .chart").first.scroll_into_view_if_needed()
        expect(page.locator("#curves .js-plotly-plot").first).to_be_visible(timeout=20_000)
        server.shutdown()


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
        f"{RANKED} evaluators ranked among each other in 1 problem-task pairs of 1 problems"
    )
    assert page.locator("#by-task thead th").all_inner_texts() == ["evaluator", "noisy feature detection"]
    address = page.url
    assert "#dataset=breast_cancer&task=noisy_feature_detection" in address
    again = visit(address.partition("/quick/")[2].join(["quick/", ""]))
    assert rows(again) == rows(page)
    again.get_by_role("button", name="Show all").click()
    expect(again.locator("#status")).to_contain_text(f"All {RANKED} evaluators")
    assert rows(again)[0][1] == "threshold_knn_shapley"


def test_a_budget_leaves_the_cheap_ones(visit):
    page = visit("quick/index.html#budget=0.1")
    seconds = [float(row[9]) for row in rows(page)]
    assert seconds
    assert max(seconds) <= 0.1
    assert rows(page)[0][0].split("-")[0] == "1"


def test_filters_that_leave_nothing_say_so(visit):
    page = visit("quick/index.html#level=subsets&task=point_removal")
    expect(page.locator("#status")).to_contain_text("No score is left")
    page.get_by_role("button", name="Remove all filters").click()
    expect(page.locator("#status")).to_contain_text(f"All {RANKED} evaluators")


@pytest.mark.parametrize("view", ["dataset=nowhere", "sort=99-asc", "q=%3Cimg%20src%3Dx%3E", "sort=x&budget=-1"])
def test_a_link_that_is_wrong_shows_everything(visit, view):
    page = visit(f"quick/index.html#{view}")
    expect(page.locator("#status")).to_contain_text(f"All {RANKED} evaluators")
    if view.startswith("dataset"):
        expect(page.locator("#status")).to_contain_text("Not known here, and left out: dataset=nowhere.")


@pytest.mark.parametrize("size", [(1280, 720), (390, 844)])
def test_the_first_rows_are_above_the_fold(visit, size):
    page = visit("quick/index.html", viewport={"width": size[0], "height": size[1]})
    # The row itself is wider than a phone.
    expect(page.locator("#ranking tbody tr > *").first).to_be_in_viewport(ratio=1)


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
    seconds = [float(row[9]) for row in rows(page)]
    assert seconds == sorted(seconds)
    assert "sort=9-asc" in page.url
    assert rows(visit(page.url.partition("/quick/")[2].join(["quick/", ""]))) == rows(page)


def test_the_first_tab_skips_to_the_content(visit):
    page = visit("quick/index.html")
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to the content")).to_be_focused()


def test_quality_against_cost_is_drawn(visit):
    page = visit("quick/index.html")
    page.locator("#quality-cost").scroll_into_view_if_needed()
    expect(page.locator("#quality-cost .scatterlayer .point").first).to_be_visible(timeout=20_000)
    assert page.locator("#quality-cost .scatterlayer .point").count() == RANKED
    page.locator("#wins summary").click()
    page.locator("#win-rates").scroll_into_view_if_needed()
    expect(page.locator("#win-rates .heatmaplayer image")).to_be_visible(timeout=20_000)


def test_an_evaluator_has_all_its_curves(visit):
    page = visit(PAGES["evaluator"])
    charts = page.locator("#curves .chart")
    assert charts.count() == 11
    for chart in charts.all():
        chart.scroll_into_view_if_needed()
        expect(chart.locator(".scatterlayer .trace").first).to_be_visible(timeout=20_000)


def test_the_chooser_leads_to_a_ranking(visit):
    page = visit("index.html")
    first = page.locator("#chosen tbody tr").first
    expect(first).to_contain_text("threshold_knn_shapley")
    page.get_by_label("a valuation may take").select_option("0.1")
    seconds = [float(text) for text in page.locator("#chosen tbody td:last-child").all_inner_texts()]
    assert seconds
    assert max(seconds) <= 0.1
    assert "budget=0.1" in page.url
    page.get_by_label("my data are").select_option("text")
    expect(page.locator("#status")).to_contain_text("No published suite")
    page.get_by_role("button", name="Use all kinds of data").click()
    expect(first).to_be_visible()
    again = visit("index.html#goal=pay&suite=quick")
    expect(again.get_by_label("I want to")).to_have_value("pay")


@pytest.mark.parametrize("width", [390, 1280, 1440])
def test_labels_of_the_front_cover_nothing(visit, width):
    page = visit("index.html", viewport={"width": width, "height": 900})
    page.locator("#quality-cost").scroll_into_view_if_needed()
    expect(page.locator("#quality-cost .annotation-text").first).to_be_visible(timeout=60_000)
    boxes = page.locator("#quality-cost .annotation-text").evaluate_all(
        "all => all.map((e) => { const b = e.getBoundingClientRect(); return [b.left, b.top, b.right, b.bottom]; })"
    )
    chart = page.locator("#quality-cost").bounding_box()
    for number, box in enumerate(boxes):
        assert chart["x"] <= box[0] + 1
        assert box[2] - 1 <= chart["x"] + chart["width"]
        for other in boxes[:number]:
            assert box[2] <= other[0] or other[2] <= box[0] or box[3] <= other[1] or other[3] <= box[1]


def test_a_task_is_explained_by_curves(visit):
    page = visit(PAGES["about a task"])
    expect(page.locator("#example .scatterlayer .trace").first).to_be_visible(timeout=20_000)
    assert {"threshold_knn_shapley", "random"} <= set(page.locator("#example .legendtext").all_text_contents())


def test_a_command_is_copied(visit):
    page = visit(PAGES["about a method"])
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.locator(".copies").first.get_by_role("button").click()
    expect(page.locator(".copies").first.get_by_role("button")).to_have_text(re.compile("Copied|Selected"))


def test_the_first_column_of_a_table_stays_in_sight(visit):
    page = visit("quick/evaluators/chg_shapley.html", viewport={"width": 390, "height": 740})
    scroll = page.locator(".dt-layout-table .dt-layout-full").first
    before = scroll.locator("tbody th").first.bounding_box()["x"]
    scroll.evaluate("element => { element.scrollLeft = 300; }")
    assert scroll.evaluate("element => element.scrollLeft") == 300
    assert scroll.locator("tbody th").first.bounding_box()["x"] == pytest.approx(before, abs=20)


def test_curves_are_overlaid_side_by_side(visit):
    page = visit(PAGES["compare"])
    heads = page.locator("#side-by-side thead th")
    assert heads.all_inner_texts() == ["task", "knn_shapley", "random"]
    chart = page.locator("#overlaid .chart").first
    expect(chart.locator(".legendtext").first).to_be_visible(timeout=20_000)
    assert {"knn_shapley", "random"} <= set(chart.locator(".legendtext").all_text_contents())
    page.get_by_label("lava").check()
    expect(heads).to_have_text(["task", "knn_shapley", "lava", "random"])
    assert "lava" in page.url
    page.get_by_role("button", name="Choose none").click()
    expect(page.locator("#status")).to_contain_text("Choose evaluators")


@pytest.mark.parametrize("path", PAGES.values(), ids=PAGES)
def test_pages_fit_a_phone(visit, path):
    page = visit(path, viewport={"width": 360, "height": 740}, has_touch=True, is_mobile=True)
    page.wait_for_timeout(300)
    assert page.evaluate("document.documentElement.scrollWidth") <= 360


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("path", PAGES.values(), ids=PAGES)
def test_pages_are_accessible(visit, path, scheme):
    page = visit(path, color_scheme=scheme)
    page.wait_for_timeout(500)
    actual = Axe().run(page, options={"preload": False})  # it would fetch styles, which pages may not
    shown = [
        f"{each['id']}: {each['help']}: {[node['html'][:120] for node in each['nodes'][:3]]}"
        for each in actual.response["violations"]
        if each["impact"] in ("serious", "critical", "moderate")
    ]
    assert shown == []


def test_dark_mode_is_dark(visit):
    page = visit("quick/index.html", color_scheme="dark")
    colours = page.evaluate("""() => [...document.querySelectorAll("body, .dt-container, #ranking td")].slice(0, 30)
      .map((e) => getComputedStyle(e).backgroundColor)""")
    shades = [
        list(map(int, re.findall(r"\d+", each)[:3])) for each in colours if not each.startswith("rgba(0, 0, 0, 0")
    ]
    assert shades
    assert max(max(each) for each in shades) < 80


def test_without_scripts_the_tables_are_there(visit):
    page = visit("quick/index.html", java_script_enabled=False)
    assert len(rows(page)) == RANKED
    expect(page.locator("#filters")).to_be_hidden()
    expect(page.locator("noscript").first).to_be_visible()


@pytest.mark.parametrize("axis", ["fraction of players", "player"])
@pytest.mark.parametrize(("evaluators", "lines"), [(1, 20), (2, 4), (24, 4), (40, 2)])
def test_no_two_series_of_a_chart_look_the_same(visit, axis, evaluators, lines):
    page = visit("quick/compare.html")
    script = """([axis, evaluators, lines]) => {
      const names = [...Array.from({ length: lines }, (_, k) => `line_${k}`), "random", "optimal"];
      const chart = { seeds: 2, x: [0, 1], points: axis === "player", lines: {} };
      chart.lines = Object.fromEntries(names.map((name) => [name, [0, 1]]));
      const curves = Array.from({ length: evaluators }, (_, k) => ({ evaluator: `e${k}`, chart }));
      return charts.overlay("title", axis, curves);
    }"""
    drawn = page.evaluate(script, [axis, evaluators, lines])
    assert len(drawn["traces"]) == evaluators * lines + 2
    assert drawn["title"]["text"] == "title (2 seeds)"
    looks = set()
    for trace in drawn["traces"]:
        points = trace["mode"] == "markers"
        symbol = trace["marker"]["symbol"] if "markers" in trace["mode"] else ""
        looks.add((trace["line"]["color"], "" if points else trace["line"]["dash"], symbol))
        assert points == (axis == "player")
    assert len(looks) == len(drawn["traces"])
    assert len({trace["name"] for trace in drawn["traces"]}) == len(drawn["traces"])
