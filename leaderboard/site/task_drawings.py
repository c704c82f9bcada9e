"""Sketches of how tasks work that have no curves: on the left what is done to a problem, on the right what is compared.

A sketch is two SVG images, which stand beside each other, or below each other on a narrow screen. They show no results.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from xml.etree import ElementTree
from xml.etree.ElementTree import Element

WIDTH, HEIGHT = 340, 222  # of an image: a narrow screen shows it without making it smaller
HALF, GAP = 165, 10  # width of a case, good or bad, and the space between both
TEXT = 13  # px
PLAYERS = "ABCDE"
SAME, UNRELATED = "ABDCE", "DACEB"  # orders whose Spearman correlations with that of `PLAYERS` are 0.9 and 0
INK, SOFT, ACCENT, GOOD, ALARM = "currentColor", "var(--soft)", "var(--accent)", "var(--good)", "var(--alarm)"
PROVIDERS = (
    ("A", (14, 32, 50)),
    ("B", (22, 42)),
    ("C", (12, 26, 40, 52)),
    ("A′", (14, 32, 50)),
)  # points: where they are
BAR, DASHED, DOTTED = "var(--heat-best)", "5 3", "3 3"
ORDERS = "Is the order by value the same in both?"
Attributes = dict[str, str | float]
Shapes = list[Element]
Pair = tuple[Element, Element]


def drawing(task: str) -> str:
    """Draw how a task works: two SVG elements, or nothing if nobody drew it, such as a task of another package."""
    images = DRAWINGS[task]() if task in DRAWINGS else ()
    return "\n".join(ElementTree.tostring(image, "unicode") for image in images)


def _element(tag: str, attributes: Attributes, inside: Sequence[Element] = (), text: str | None = None) -> Element:
    element = Element(tag, {name.replace("_", "-"): str(value) for name, value in attributes.items()})
    element.text = text
    element.extend(inside)
    return element


def _label(x: float, y: float, text: str, colour: str = INK, anchor: str = "middle", weight: str = "normal") -> Element:
    where: Attributes = {"x": x, "y": y, "fill": colour, "text-anchor": anchor, "font-weight": weight}
    return _element("text", where, text=text)


def _note(x: float, y: float, text: str, anchor: str = "middle") -> Element:
    return _label(x, y, text, SOFT, anchor)


def _box(x: float, y: float, width: float, height: float, **more: str | float) -> Element:
    box: Attributes = {"x": x, "y": y, "width": width, "height": height, "rx": 3, "fill": "none", "stroke": INK}
    return _element("rect", box | more)


def _circle(x: float, y: float, radius: float, **more: str | float) -> Element:
    circle: Attributes = {"cx": x, "cy": y, "r": radius}
    return _element("circle", circle | more)


def _line(*points: tuple[float, float], colour: str = INK, **more: str | float) -> Element:
    path = " ".join(f"{x},{y}" for x, y in points)
    line: Attributes = {"points": path, "fill": "none", "stroke": colour, "stroke_width": 1.5}
    return _element("polyline", line | more)


def _arrow(*points: tuple[float, float], head: Sequence[tuple[float, float]]) -> Shapes:
    x, y = points[-1]
    return [_line(*points), _line(*((x + dx, y + dy) for dx, dy in (head[0], (0, 0), head[1])))]


def _player(x: float, y: float, name: str) -> Shapes:
    return [_circle(x, y, 10, fill="var(--page)", stroke=INK), _label(x, y + 4.5, name)]


def _bar(x: float, base: float, width: float, height: float, name: str = "", fill: str = BAR, dash: str = "") -> Shapes:
    """Draw a bar that stands on a line, with a name in it."""
    shapes = [_box(x, base - height, width, height, fill=fill, stroke_dasharray=dash or "none")]
    return [*shapes, _label(x + width / 2, base - height / 2 + 4.5, name)] if name else shapes


def _bracket(x: float, top: float, bottom: float, text: str) -> Shapes:
    line = _line((x - 6, top), (x, top), (x, bottom), (x - 6, bottom), colour=ALARM, stroke_width=2)
    return [line, _label(x + 5, (top + bottom) / 2 + 4.5, text, ALARM, "start", "bold")]


def _image(heading: str, title: str, shapes: Shapes) -> Element:
    top = [_element("title", {}, text=f"{heading}. {title}"), _label(0, 16, heading, anchor="start", weight="bold")]
    image: Attributes = {"xmlns": "http://www.w3.org/2000/svg", "role": "img", "font-size": TEXT}
    image |= {"viewBox": f"0 0 {WIDTH} {HEIGHT}", "width": WIDTH, "height": HEIGHT}
    return _element("svg", image, [*top, *shapes])


def _compared(question: str, good: tuple[str, Shapes], bad: tuple[str, Shapes]) -> Element:
    """Draw a good and a bad case, whose shapes are in a box of ``HALF`` pixels in width."""
    shapes = []
    cases = (("Good", GOOD, "var(--good-band)", *good), ("Bad", ALARM, "var(--alarm-band)", *bad))
    for number, (word, colour, band, answer, inside) in enumerate(cases):
        back = _box(0, 28, HALF, HEIGHT - 28, fill=band, stroke="none")
        words = [_label(HALF / 2, 47, word, colour, weight="bold"), _label(HALF / 2, 212, answer, colour)]
        shapes.append(_element("g", {"transform": f"translate({number * (HALF + GAP)} 0)"}, [back, *words, *inside]))
    return _image(question, f"Good: {good[0]}. Bad: {bad[0]}.", shapes)


def _ranks(left: str, right: str, order: str) -> Shapes:
    """Draw two orders of the players, with a line from each player to itself."""
    shapes, x = [_note(38, 67, left), _note(127, 67, right)], (38, 127)
    heights = [84 + 26 * place for place in range(len(PLAYERS))]
    for name, y in zip(PLAYERS, heights, strict=True):
        shapes.append(_line((x[0], y), (x[1], heights[order.index(name)]), colour=ACCENT, stroke_width=2))
    for y, *names in zip(heights, PLAYERS, order, strict=True):
        shapes += [*_player(x[0], y, names[0]), *_player(x[1], y, names[1])]
    return shapes


def _valued_twice(heading: str, first: tuple[str, str], second: tuple[str, str]) -> Element:
    """Draw players that are valued in two ways."""
    shapes = [_note(0, 46, "same players", "start")]
    for place, name in enumerate(PLAYERS):
        shapes += _player(44, 76 + 28 * place, name)
    for y, lines, head in ((80, first, ((-10, -1), (-4, 9))), (184, second, ((-4, -9), (-10, 1)))):
        shapes += [*_arrow((62, 132), (104, y), head=head), _box(110, y - 28, 122, 56, fill="var(--band)")]
        shapes += [_label(171, y - 5, lines[0]), _label(171, y + 14, lines[1])]
        shapes += _arrow((236, y), (262, y), head=((-7, -6), (-7, 6)))
        shapes += [_label(268, y - 5, "order", anchor="start"), _label(268, y + 14, "by value", anchor="start")]
    return _image(heading, f"The same players are valued with: {', '.join(first)}; and {', '.join(second)}.", shapes)


def _second_name(heading: str) -> Element:
    """Draw three providers, and a copy of the first one under another name."""
    shapes = [_label(170, 50, "a copy of A's data", ACCENT)]
    shapes += _arrow((34, 84), (34, 58), (306, 58), (306, 84), head=((-6, -7), (6, -7)))
    for place, (name, dots) in enumerate(PROVIDERS):
        x, colour, line = 2 + 91 * place, ACCENT if name[0] == "A" else INK, DASHED if name == "A′" else "none"
        shapes += [_box(x, 90, 64, 66, fill="var(--band)", stroke=colour, stroke_width=2, stroke_dasharray=line)]
        shapes += [_label(x + 32, 110, name, colour)]
        for number, dot in enumerate(dots):
            shapes.append(_circle(x + dot, 126 + 8 * (number % 3), 4, fill=colour))
    shapes += [_note(170, 186, "and then, instead of a copy:"), _note(170, 206, "A′ has half of A's data")]
    return _image(heading, "The data of provider A are copied to a provider A′, or split between both.", shapes)


def rank_stability() -> Pair:
    """Two runs with other seeds should have one order."""
    done = _valued_twice("Valued twice, with other seeds", ("run 1:", "seed 1"), ("run 2:", "seed 2"))
    good, bad = _ranks("run 1", "run 2", SAME), _ranks("run 1", "run 2", UNRELATED)
    return done, _compared(ORDERS, ("yes: few crossings", good), ("no: many crossings", bad))


def randomised_model() -> Pair:
    """A trained and a random model should have different orders."""
    done = _valued_twice("Valued with two models", ("trained", "model"), ("random weights,", "never trained"))
    good, bad = _ranks("trained", "random", UNRELATED), _ranks("trained", "random", SAME)
    return done, _compared(ORDERS, ("no: unrelated", good), ("yes: no need to train", bad))


def null_labels() -> Pair:
    """Two permutations of the labels should have different orders."""
    rows = {"true labels": "10100", "shuffle 1": "00101", "shuffle 2": "01010"}
    shapes = [_note(0, 59, "players", "start")]
    for place, name in enumerate(PLAYERS):
        shapes += _player(116 + 50 * place, 54, name)
    for y, (row, labels) in zip((94, 132, 170), rows.items(), strict=True):
        shapes.append(_note(0, y + 4.5, row, "start"))
        for place, label in enumerate(labels):
            x, name = 116 + 50 * place, ("dog", "cat")[int(label)]
            shapes += [_box(x - 20, y - 13, 40, 26, fill=("none", BAR)[int(label)]), _label(x, y + 4.5, name)]
    shapes.append(_note(170, 208, "The validation set is shuffled too."))
    good, bad = _ranks("shuffle 1", "shuffle 2", UNRELATED), _ranks("shuffle 1", "shuffle 2", SAME)
    done = _image("All labels are shuffled, twice", "The labels of all points are permuted at random.", shapes)
    return done, _compared(ORDERS, ("no: unrelated", good), ("yes: labels ignored", bad))


def planted_shortcut() -> Pair:
    """Players with a planted mark should have the highest values."""
    shapes = [_note(4, 208, "There, nothing else shows the label.", "start")]
    rows = (46, "training set: a fifth is marked", (2, 6)), (126, "validation set: all are marked", range(10))
    for y, text, marked in rows:
        shapes.append(_note(4, y, text, "start"))
        for place, label in enumerate("1001101001"):
            x, shift = 34 * place + 4, 0 if label == "1" else 15
            shapes += [_box(x, y + 10, 26, 26, fill="var(--band)"), _label(x + 13, y + 51, ("dog", "cat")[int(label)])]
            if place in marked:
                shapes.append(_box(x + 1 + shift, y + 11 + shift, 9, 9, fill=ACCENT, stroke="none"))
    title = "A fifth of the players and all of the validation set have it."
    good, bad = ("yes: they come first", _sorted_bars(0, 1)), ("no: they are anywhere", _sorted_bars(3, 8))
    done = _image("A mark that shows the label is planted", title, shapes)
    return done, _compared("Are marked players valued highest?", good, bad)


def _sorted_bars(*marked: int) -> Shapes:
    shapes = [_line((6, 172), (159, 172)), _note(8, 190, "highest", "start"), _note(157, 190, "lowest", "end")]
    for place in range(10):
        shapes += _bar(9 + 15 * place, 172, 11, 98 - 9 * place, fill=ACCENT if place in marked else "var(--page)")
    return [*shapes, _label(9 + 15 * marked[0], 68 + 9 * marked[0], "marked", ACCENT, "start")]


def replication() -> Pair:
    """Both names together should be paid no more than the provider before."""

    def payouts(first: float, second: float) -> Shapes:
        before, both, base = 60, first + second, 172
        shapes = [*_bar(14, base, 36, before, "A"), *_bar(64, base, 36, first, "A")]
        shapes += _bar(64, base - first, 36, second, "A′", dash=DASHED)
        shapes += [_line((8, base), (157, base)), _note(32, 190, "before"), _note(82, 190, "after")]
        shapes.append(_line((14, base - before), (108, base - before), colour=SOFT, stroke_dasharray=DOTTED))
        return [*shapes, *(_bracket(110, base - both, base - before, "gain") if both > before else [])]

    good, bad = ("no: as much as before", payouts(30, 30)), ("yes: more than before", payouts(52, 44))
    return _second_name("Provider A acts under two names"), _compared("Are A and A′ together paid more?", good, bad)


def symmetry() -> Pair:
    """The provider and its copy should have the same value."""

    def values(first: float, second: float) -> Shapes:
        base, shapes = 172, [_line((2, 172), (127, 172)), _note(64, 190, "values")]
        shapes += [*_bar(6, base, 26, 90, "B", fill="var(--page)"), *_bar(35, base, 26, 36, "C", fill="var(--page)")]
        shapes += [*_bar(64, base, 26, first, "A"), *_bar(93, base, 26, second, "A′", dash=DASHED)]
        shapes.append(_line((90, base - first), (119, base - first), colour=SOFT, stroke_dasharray=DOTTED))
        return [*shapes, *(_bracket(127, base - first, base - second, "gap") if first != second else [])]

    good, bad = ("yes: equal values", values(60, 60)), ("no: a gap", values(76, 30))
    done = _second_name("Provider A's data, under a second name")
    return done, _compared("Do A and A′ get the same value?", good, bad)


DRAWINGS: dict[str, Callable[[], Pair]] = {
    sketch.__name__: sketch
    for sketch in (rank_stability, replication, symmetry, null_labels, planted_shortcut, randomised_model)
}
