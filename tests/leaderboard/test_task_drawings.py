"""The sketches of tasks that have no curves."""

from __future__ import annotations

import itertools
import json
import re
from pathlib import Path
from xml.etree import ElementTree

import pytest
from scipy.stats import spearmanr

from dvbench.registry import entries
from leaderboard.build import build
from leaderboard.site import task_drawings
from leaderboard.site.task_drawings import DRAWINGS, HALF, HEIGHT, PLAYERS, TEXT, WIDTH, drawing

RESULTS = Path(__file__).parents[2] / "results"
STYLE = Path(task_drawings.__file__).with_name("static") / "site.css"
NAMESPACE = "{http://www.w3.org/2000/svg}"
LETTER = 0.6  # mean width of a letter of a wide font, in parts of its size
CHANGED = {"bold": 1.1, "normal": 1.0}
BEFORE = {"start": 0.0, "middle": 0.5, "end": 1.0}  # part of a text that is left of its x
IMAGES = [(task, side) for task in DRAWINGS for side in (0, 1)]


def image(task, side):
    """Read one of the two images of a drawing, as a page has them."""
    return ElementTree.fromstring(f"<figure>{drawing(task)}</figure>")[side]


def texts(svg):
    """Yield each text with its box (left, top, right, bottom), by the number of its letters."""
    for group in (svg, *svg.iter(f"{NAMESPACE}g")):
        shift = float(re.findall(r"[\d.]+", group.get("transform", "0"))[0])
        for text in group.findall(f"{NAMESPACE}text"):
            width = len(text.text) * LETTER * TEXT * CHANGED[text.get("font-weight")]
            left = shift + float(text.get("x")) - BEFORE[text.get("text-anchor")] * width
            bottom = float(text.get("y"))
            yield text.text, (left, bottom - 0.8 * TEXT, left + width, bottom + 0.2 * TEXT)


def with_curves():
    """Yield the tasks of each published result that has curves of them."""
    for path in RESULTS.glob("*/*/*/seed-0/result.json"):
        scores = json.loads(path.read_text(encoding="utf-8"))["scores"]
        yield {task for task, score in scores.items() if score.get("curves")}


def test_every_task_has_a_drawing_or_curves():
    assert set(DRAWINGS) <= set(entries("tasks"))
    missing = set(entries("tasks")) - set(DRAWINGS)
    for tasks in with_curves():
        missing -= tasks
        if not missing:
            break
    assert not missing


@pytest.mark.parametrize(("task", "side"), IMAGES)
def test_a_drawing_is_an_image_with_a_title(task, side):
    svg = image(task, side)
    assert svg.tag == f"{NAMESPACE}svg"
    assert svg.get("role") == "img"
    assert svg[0].tag == f"{NAMESPACE}title"
    assert svg[0].text.endswith(".")


@pytest.mark.parametrize(("task", "side"), IMAGES)
def test_texts_stay_in_the_image_and_apart(task, side):
    boxes = list(texts(image(task, side)))
    for text, (left, top, right, bottom) in boxes:
        assert 0 <= left < right <= WIDTH, text
        assert 0 <= top < bottom <= HEIGHT, text
    for (one, a), (other, b) in itertools.combinations(boxes, 2):
        assert a[2] <= b[0] or b[2] <= a[0] or a[3] <= b[1] or b[3] <= a[1], (one, other)


@pytest.mark.parametrize("task", DRAWINGS)
def test_texts_are_readable_and_follow_the_colours_of_the_site(task):
    known = set(re.findall(r"(--[\w-]+):", STYLE.read_text(encoding="utf-8")))
    for side in (0, 1):
        svg = image(task, side)
        assert float(svg.get("font-size")) >= 12
        assert float(svg.get("width")) <= 360 - 2 * 10  # a narrow screen without its margins
        for element in svg.iter():
            for colour in (element.get("fill"), element.get("stroke")):
                variable = re.fullmatch(r"var\((--[\w-]+)\)", colour or "none")
                assert colour in (None, "none", "currentColor") or variable[1] in known


@pytest.mark.parametrize("task", ["rank_stability", "null_labels", "randomised_model"])
def test_the_good_order_has_the_better_score(task):
    circles = [(text, box[0], box[1]) for text, box in texts(image(task, 1)) if text in PLAYERS]
    agreement = []
    for case in (0, 1):
        columns = [
            "".join(text for text, x, _ in sorted(circles, key=lambda c: c[2]) if low < x < low + HALF / 2)
            for low in (case * (WIDTH - HALF), case * (WIDTH - HALF) + HALF / 2)
        ]
        agreement.append(spearmanr(*([column.index(name) for name in PLAYERS] for column in columns))[0])
    higher_is_better = entries("tasks")[task].definition.metadata["higher_is_better"]
    assert agreement == pytest.approx([0.9, 0] if higher_is_better else [0, 0.9])


def test_texts_are_escaped(monkeypatch):
    evil = "<script>alert(1)</script> & \"'"
    monkeypatch.setitem(DRAWINGS, "evil", lambda: (task_drawings._second_name(evil),) * 2)
    assert "<script" not in drawing("evil")
    assert image("evil", 0)[0].text.startswith(evil)


def test_the_page_has_the_drawing(write, tmp_path):
    """A task of another package has none."""
    tasks = ("replication", "of_another_package")
    build(write({("digits", "A", 0): dict.fromkeys(tasks, 0.5)}, tasks).root, tmp_path / "site")
    pages = {task: (tmp_path / f"site/about/tasks/{task}.html").read_text(encoding="utf-8") for task in tasks}
    assert drawing("replication") in pages["replication"]
    assert "Sketch, no measured values." in pages["replication"]
    assert "<figure" not in pages["of_another_package"]
