"""The site in a real browser: what is shown, linked to and reached by keyboard, on every kind of page."""

from __future__ import annotations

import json
import re
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest
from axe_playwright_python.sync_playwright import Axe
from browsing import LABELS, RANKED, ROOT
from playwright.sync_api import expect

from leaderboard.index import ScoreCurves
from leaderboard.site.payloads import SeedCurves, charts

PAGES = {
    "home": "index.html",
    "submissions": "submissions.html",
    "glossary": "glossary.html",
    "suite": "quick/index.html",
    "efficiency": "efficiency-cpu/index.html",
    "evaluator": "quick/evaluators/chg_shapley.html",
    "dataset": "quick/datasets/digits.html",
    "about": "about/index.html",
    "about a method": "about/evaluators/lava.html",
    "about a task": "about/tasks/noisy_label_detection.html",
    "about a data set": "about/datasets/digits.html",
    "compare": f"quick/compare.html#evaluators=knn_shapley,random&problem={LABELS}",
    "compare on all problems": "quick/compare.html#evaluators=knn_shapley,unlearning_shapley-hard,lava",
}


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


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


def test_the_first_tab_skips_to_the_content(visit):
    page = visit("quick/index.html")
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to the content")).to_be_focused()


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


def test_another_goal_starts_with_the_suite_that_has_most_of_it(visit):
    page = visit("index.html")
    page.evaluate("""() => {
        const form = document.querySelector("#chooser");
        form.replaceWith(form.cloneNode(true));  // without its listeners
        document.querySelector("#chooser select[name=goal]").replaceChildren();
        location.hash = "";
        const rows = ["a", "b", "c"].map((label) => ({ label, interval: "1-3", tier: 1, rank: 1, seconds: 1 }));
        const common = { data: "", problems: 1, tasks: ["t"], rows };
        const view = (suite, goal, observations, at_home = true) => ({ suite, goal, observations, at_home, ...common });
        dvbench.front({ views: [view("first", "pay", 9), view("first", "select", 1), view("second", "select", 5),
                                view("third", "select", 9, false)],
                        goals: { pay: "pay", select: "select" } });
    }""")
    suite = page.locator("#chooser select[name=suite]")
    expect(suite).to_have_value("first")
    page.get_by_label("I want to").select_option("select")
    expect(suite).to_have_value("second")
    suite.select_option("first")
    page.get_by_label("a valuation may take").select_option("60")
    expect(suite).to_have_value("first")


@pytest.mark.parametrize("width", [390, 1280, 1440])
@pytest.mark.parametrize("path", ["index.html", "quick/index.html"])
def test_labels_of_the_front_cover_nothing(visit, path, width):
    page = visit(path, viewport={"width": width, "height": 900})
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
    # Mixed colours are written as color(srgb 0.1 0.2 0.3), in parts of 1.
    shades = [
        [float(part) * (255 if each.startswith("color") else 1) for part in re.findall(r"[\d.]+", each)[:3]]
        for each in colours
        if not each.startswith("rgba(0, 0, 0, 0")
    ]
    assert shades
    assert max(sum(each) / 3 for each in shades) < 90


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
    series = [trace for trace in drawn["traces"] if trace["x"] != [None]]  # the others are entries of the legend alone
    assert len(series) == evaluators * lines + 2
    shown = [trace for trace in drawn["traces"] if trace.get("showlegend", True)]
    assert len(shown) == (evaluators * lines if evaluators <= 4 else evaluators + lines) + 2
    assert drawn["title"]["text"] == "title (2 seeds)"
    looks = set()
    for trace in series:
        points = trace["mode"] == "markers"
        symbol = trace["marker"]["symbol"] if "markers" in trace["mode"] else ""
        looks.add((trace["line"]["color"], "" if points else trace["line"]["dash"], symbol))
        assert points == (axis == "player")
    assert len(looks) == len(series)
    assert len({trace["name"] for trace in drawn["traces"]}) == len(drawn["traces"])


@pytest.mark.parametrize(("evaluators", "bands"), [(4, 4), (5, 0)])
def test_bands_of_seeds_are_drawn_for_few_evaluators_only(visit, evaluators, bands):
    page = visit("quick/compare.html")
    drawn = page.evaluate(
        """(evaluators) => {
      const chart = { seeds: 2, x: [0, 1], lines: { unlearned: [1, 2] }, bands: { unlearned: [[0, 1], [2, 3]] } };
      const curves = Array.from({ length: evaluators }, (_, k) => ({ evaluator: `e${k}`, chart }));
      return charts.overlay("title", "step", curves);
    }""",
        evaluators,
    )
    of_bands = [trace for trace in drawn["traces"] if trace.get("fill")]
    assert len(of_bands) == bands
    assert not any(trace["showlegend"] for trace in of_bands)


def test_every_chart_of_the_published_tasks_names_its_y_axis(visit):
    seen: dict[str, ScoreCurves] = {}
    for path in (ROOT / "results").glob("*/*/*/seed-0/result.json"):
        for task, score in json.loads(path.read_bytes())["scores"].items():
            if "axes" in score and task not in seen:
                lines = {name: np.array(line) for name, line in score["curves"].items()}
                seen[task] = ScoreCurves(0, task, lines, score["axes"])
    assert len(seen) > 10
    page = visit("quick/compare.html")
    script = """(chart) => charts.overlay("title", chart.axis, [{ evaluator: "e", chart }]).yaxis.title.text"""
    drawn = charts(SeedCurves("p", 0, curves) for curves in seen.values())
    shown = {(chart["task"], chart["axis"]): page.evaluate(script, chart) for chart in drawn}
    assert shown["knowledge_retention", "steps of unlearning"] == "loss"
    assert {of for of, label in shown.items() if label == "value"} == set()


def test_unknown_choices_on_the_front_page_are_named(visit):
    page = visit("index.html#goal=find&data=sound&colour=red")
    expect(page.locator("#status")).to_contain_text("Not known here, and left out: data=sound, colour=red. From quick")


def test_the_names_of_methods_stay_on_a_phone(visit):
    page = visit("quick/index.html", viewport={"width": 390, "height": 844})
    expect(page.locator("#status")).to_contain_text("All")
    page.locator("#ranking").evaluate("table => { table.parentElement.scrollLeft = 300; }")
    head, name = (page.locator(f"#ranking > {part} > tr:first-child > th:nth-child(2)") for part in ("thead", "tbody"))
    assert head.bounding_box()["x"] == pytest.approx(name.bounding_box()["x"], abs=2)
    assert 0 <= name.bounding_box()["x"] < 40


@pytest.mark.parametrize(
    ("path", "tables"),
    [
        ("index.html", "Tiers and seconds of evaluators by goal"),
        ("quick/index.html", "select: select the data to train on"),
        ("quick/datasets/digits.html", LABELS),
    ],
)
@pytest.mark.parametrize("width", [390, 1280])
def test_no_text_of_a_table_runs_over_the_next_cell(visit, path, tables, width):
    page = visit(path, viewport={"width": width, "height": 844})
    table = page.get_by_role("table", name=tables, exact=True)
    expect(table).to_be_visible()
    over = table.evaluate("""(table) => [...table.querySelectorAll("th, td")].flatMap((cell) => {
      const range = document.createRange(), box = cell.getBoundingClientRect();
      range.selectNodeContents(cell);
      const rects = [...range.getClientRects()].filter((rect) => rect.width > 1);
      return rects.some((rect) => rect.right > box.right + 1 || rect.left < box.left - 1) ? [cell.innerText] : [];
    })""")
    assert over == []
    assert table.locator("td small").count() > 5  # remarks, which are what can run over
