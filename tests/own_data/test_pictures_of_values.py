"""The picture of values: bars in order, ties as one bar, nothing on top of another, and no warnings."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from dvbench.own_data.picture import BARS, png
from dvbench.own_data.values import Values, ranks


def made(values: np.ndarray, label: str = "yes", group: bool = False) -> Values:
    n = len(values)
    columns = {"group": [f"{label}{i}" for i in range(n)], "rows": 7} if group else {"row": range(n), "label": label}
    frame = pd.DataFrame({**columns, "value": values, "spread": 0.1, "rank": ranks(values)})
    return Values(
        frame, "classification", "knn_shapley", "logistic_regression", "accuracy", "5 folds", "line", (), (), 0.1
    )


def test_rows_are_in_two_panels_on_one_axis_from_the_outside_in() -> None:
    figure = made(np.arange(100.0) - 50).plot()
    high, low = figure.axes
    assert [bar.get_width() for bar in high.patches] == [49.0 - i for i in range(BARS)]
    assert [bar.get_width() for bar in low.patches] == [-50.0 + i for i in range(BARS)]
    assert high.get_xlim() == low.get_xlim()
    assert high.get_yticklabels()[0].get_text() == "line 99 (yes)"
    caption = figure.get_suptitle().replace("\n", " ")
    assert caption == (
        "knn_shapley, logistic_regression, classification, 100 rows, 5 folds; error bars: standard deviation over folds"
    )


def test_panels_of_very_different_values_have_scales_of_their_own() -> None:
    high, low = made(np.concatenate([np.linspace(0.1, 1, 40), np.linspace(-90, -50, 40)])).plot().axes
    assert high.get_xlim() != low.get_xlim()
    assert high.get_xlim()[1] < 2
    assert all(axes.get_title().endswith("(scale of its own)") for axes in (high, low))


def test_ties_are_one_bar_and_a_constant_has_no_order() -> None:
    bars = made(np.array([2.0] * 30 + [1.0] + [0.0] * 69)).plot().axes[0]
    assert [tick.get_text() for tick in bars.get_yticklabels()] == ["30 rows tied", "line 30 (yes)", "69 rows tied"]
    (only,) = made(np.zeros(50)).plot().axes
    assert [tick.get_text() for tick in only.get_yticklabels()] == ["50 rows tied"]


def test_groups_are_one_sorted_chart() -> None:
    (axes,) = made(np.array([1.0, 3.0, 2.0]), "p", group=True).plot().axes
    assert [tick.get_text() for tick in axes.get_yticklabels()] == ["p1 (7)", "p2 (7)", "p0 (7)"]


CASES = [
    *((label, 31, False) for label in ("a" * 60, "日本語のラベル", "$x_$ <b>", "\u05d0\u05d1", "")),
    *(("yes", n, group) for n in (1, 3, 500) for group in (False, True)),
]


@pytest.mark.parametrize(("label", "n", "group"), CASES, ids=range(len(CASES)))
def test_labels_do_not_overlap_and_nothing_warns(label: str, n: int, group: bool) -> None:
    values = np.random.default_rng(n).normal(scale=1e-4, size=n)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        figure = made(values, label, group).plot()
        assert png(figure).startswith(b"\x89PNG")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        figure.draw_without_rendering()
    for axes in figure.axes:
        ys = [tick.get_window_extent() for tick in axes.get_yticklabels() if tick.get_text()]
        assert all(not a.overlaps(b) for i, a in enumerate(ys) for b in ys[i + 1 :])
        left, right = axes.get_xlim()
        ticks = [t for t in axes.get_xticklabels() if t.get_text() and left <= t.get_position()[0] <= right]
        xs = [tick.get_window_extent() for tick in ticks]
        assert all(not a.overlaps(b) for i, a in enumerate(xs) for b in xs[i + 1 :])
        assert all(box.x0 >= 0 and box.x1 <= figure.bbox.x1 for box in ys + xs)


def test_a_picture_is_written(tmp_path: Path) -> None:
    made(np.arange(40.0)).plot(tmp_path / "values.png")
    content = (tmp_path / "values.png").read_bytes()
    assert content.startswith(b"\x89PNG\r\n\x1a\n")
    assert int.from_bytes(content[16:20], "big") > 500  # its width
