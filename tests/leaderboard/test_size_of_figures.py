"""Figures fit on a page, and their axes of ranks begin with rank 1."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from pathlib import Path

import pytest
from made_up import scores_of
from matplotlib.figure import Figure

from dvbench.results import Score
from leaderboard.drawing import rank_axis
from leaderboard.exhibits import exhibits

FIGURES = Path(__file__).parents[2] / "results/figures"


@pytest.mark.parametrize("path", sorted(FIGURES.glob("*/")), ids=lambda path: path.name)
def test_published_figures_fit_on_a_page(path):
    heights = {each.name: ET.parse(each).getroot().get("height", "") for each in path.glob("*.svg")}
    assert heights
    assert {name for name, height in heights.items() if float(height.removesuffix("pt")) / 72 > 9.5} == set()  # inches


@pytest.mark.parametrize(
    ("last", "ticks"), [(4, [1, 2, 3, 4]), (11, [1, 2, 4, 6, 8, 10]), (25, [1, 5, 10, 15, 20, 25]), (2.5, [1, 2])]
)
def test_ticks_of_an_axis_of_ranks_begin_with_1(last, ticks):
    axis = Figure().subplots()
    axis.set_ylim(last, 0.5)
    rank_axis(axis.yaxis, last)
    assert axis.get_yticks().tolist() == ticks


@pytest.mark.parametrize(("evaluators", "panels"), [(5, [5]), (32, [32]), (33, [20, 13])])
def test_panels_that_do_not_fit_on_a_page_are_several_figures_with_equal_axes(write, evaluators, panels):
    def curve(share: float) -> Score:
        lines = {"recall": [0.0, share, 2 * share], "fraction": [0.0, 0.5, 1.0]}
        axes = {"recall": "fraction"}
        return Score(version=1, headline="f1", higher_is_better=True, metrics={"f1": share}, curves=lines, axes=axes)

    store = write({("p", f"e{i:02}", 0): {"mine": curve(i / 10)} for i in range(evaluators)}, ("mine",))
    (figures,) = (each.figures for each in exhibits(store, scores_of(store)) if each.name == "mine")
    shown = [[axis for axis in figure.axes if axis.get_visible()] for figure in figures.values()]
    assert [len(axes) for axes in shown] == panels
    assert list(figures) == (["-p"] if len(panels) == 1 else ["-p-1", "-p-2"])
    assert len({axis.get_ylim() for axes in shown for axis in axes}) == 1
    assert [axis.get_title() for axes in shown for axis in axes][:2] == [
        f"e{evaluators - 1:02}",
        f"e{evaluators - 2:02}",
    ]
