"""The papers' tables and figures from made-up results."""

from __future__ import annotations

import math
import xml.etree.ElementTree as ET
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from changed_cells import with_problem
from made_up import a_cell, a_result, scores_of
from matplotlib.figure import Figure

from dvbench.cli import main
from dvbench.registry import entries
from dvbench.results import Cell, Dataset, Plan, Result, Score, Store
from dvbench.settings import Noise
from leaderboard.drawing import draw_front, draw_point, label_points, logarithmic, panels
from leaderboard.exhibits import exhibit_makers, exhibits
from leaderboard.exhibits.cost_and_quality import draw_costs
from leaderboard.figures import write_figures
from leaderboard.published import published

SEEDS = (0, 1, 2)
CORRELATIONS = {"mine": (0.2, 0.4, 0.9), "random": (-0.1, 0.0, 0.1)}
FRACTIONS = [0.0, 0.5, 1.0]


def score(headline: str, metrics: dict[str, float], up: bool = True, x: str = "", **curves: list[float]) -> Score:
    """A score whose curves of the length of the curve ``x`` are drawn over it, and the others over epochs."""
    axes = {name: x if x and len(curve) == len(curves[x]) else "epoch" for name, curve in curves.items() if name != x}
    return Score(version=1, headline=headline, higher_is_better=up, metrics=metrics, curves=curves, axes=axes)


def partial(value: float) -> Score:
    return score(
        "spearman_exact",
        {"spearman_exact": value, "p_exact": 0.5, "spearman_without": -value, "p_without": 0.25},
    )


def detection(share: float) -> Score:
    lines = {"recall": [0.0, share, 1.0], "optimal": [0.0, 1.0, 1.0], "random": FRACTIONS}
    return score("auroc", {"auroc": share}, x="fraction", fraction=FRACTIONS, **lines)


def unlearning(scale: float) -> dict[str, Score]:
    # Each its own multiple of a scale that is skewed over seeds, so that none can stand in for another.
    metrics = ("lkd", "lmse", "pmse", "lkd_untrained", "lmse_untrained", "pmse_untrained", "lkd_full")
    density = {name: [0.1, 1.0, 0.1] for name in ("unlearned", "retrained", "full", "untrained")}
    kr = ("kr_forget", "kr_retain", "kr_forget_retrained", "kr_error")
    lines = {"train_loss": [2.0, 1.0], "test_loss": [2.0, 1.5], "step": [0.0, 5.0, 10.0]}
    lines |= {f"unlearning_{part}": [1.0, 2.0, 3.0] for part in ("forget", "retain", "test")}
    return {
        "output_divergence": score(
            "lkd",
            {name: k * scale for k, name in enumerate(metrics, 1)},
            up=False,
            x="log10_loss",
            log10_loss=[-2.0, 0.0, 1.0],
            **density,
        ),
        "knowledge_retention": score(
            "kr_error", {name: k * scale for k, name in enumerate(kr, 11)}, up=False, x="step", **lines
        ),
        "retrained_agreement": score("spc", {"spc": -scale, "gap": 21 * scale, "gap_full": 22 * scale}),
    }


@pytest.fixture
def fill(tmp_path: Path) -> Callable[..., Store]:
    """A suite 'small' on two problems, clean and noisy, with the scores that are given by evaluator and seed."""

    def fill(
        scored: Callable[[str, int], dict[str, Score]],
        evaluators=tuple(CORRELATIONS),
        problems=("cifar10", "noisy"),
        **more,
    ) -> Store:
        store, cells = Store(tmp_path / "results"), list[Cell]()
        for problem in problems:
            for evaluator in evaluators:
                for seed in SEEDS:
                    tasks = tuple(scored(evaluator, seed))
                    cell = a_cell(problem, evaluator, seed, tasks)
                    if problem == "noisy":
                        cell = with_problem(cell, dataset="cifar10", noise=Noise(kind="labels", rate=0.3))
                    if "diagnostics" in more:
                        method = cell.evaluator.model_copy(update={"kind": "unlearning"})
                        cell = cell.model_copy(update={"evaluator": method})
                    cells.append(cell)
                    store.write(
                        a_result(cell, scored(evaluator, seed), seconds=1.0 + seed, **more), {"values": np.zeros(20)}
                    )
        store.write_plan(Plan(suite="small", suite_version=1, description="Small.", cells=tuple(cells)))
        return store

    return fill


def named(store: Store, name: str):
    return next(each for each in exhibits(store, scores_of(store)) if each.name == name)


def test_table_1_has_means_intervals_and_the_published_row_of_clean_problems(fill):
    store = fill(lambda evaluator, seed: {"partial_agreement": partial(CORRELATIONS[evaluator][seed])})
    table = named(store, "partial_valuation").table
    mine = table[(table["evaluator"] == "mine") & (table["problem"] == "cifar10")].iloc[0]
    assert mine["spearman_exact"] == pytest.approx(0.5)
    assert mine["spearman_without"] == pytest.approx(-0.5)
    # t(0.975, 2) times the standard error; the upper end is cut at 1.
    half = 4.3026527 * np.std(CORRELATIONS["mine"], ddof=1) / np.sqrt(3)
    assert mine["spearman_exact_ci_low"] == pytest.approx(0.5 - half)
    assert (mine["spearman_exact_ci_high"], mine["spearman_without_ci_low"]) == (1.0, -1.0)
    assert (mine["seeds"], mine["p_exact_median"], mine["p_without_median"]) == (3, 0.5, 0.25)
    shown = table[table["source"] != ""]
    assert shown["problem"].tolist() == ["cifar10"]
    assert shown["spearman_without"].tolist() == [-0.652]
    # Beside the rows of its problem.
    assert table["problem"].tolist() == ["cifar10"] * 3 + ["noisy"] * 2


def test_table_1_is_drawn_best_first(fill):
    store = fill(lambda evaluator, seed: {"partial_agreement": partial(CORRELATIONS[evaluator][seed])})
    (figure,) = named(store, "partial_valuation").figures.values()
    names = [[label.get_text() for label in axis.get_yticklabels()] for axis in figure.axes]
    assert names == [["random", "mine"]] * 2  # upwards


@pytest.mark.parametrize(
    ("limits", "most"), [((5.4, 5.9), 5), ((0.42, 1.9), 5), ((1.6, 2.4), 5), ((0.001, 30.0), 6), ((1.0, 9.0), 5)]
)
def test_ticks_of_a_logarithmic_axis_are_few_round_numbers(limits, most):
    axis = Figure().subplots()
    axis.set_ylim(*limits)
    logarithmic(axis)
    axis.figure.draw_without_rendering()
    inside = [
        label.get_text()
        for both in (axis.get_yticklabels(), axis.get_yticklabels(minor=True))
        for label in both
        if label.get_text() and limits[0] <= label.get_position()[1] <= limits[1]
    ]
    assert 2 <= len(inside) <= most
    assert all(len(text.strip("0.")) <= 3 for text in inside)


def test_labels_lie_beside_the_points_and_the_line_of_a_front():
    figure, axes = panels(["front"], columns=1, height=2.8)
    x, y = pd.Series([0.10, 0.11, 0.3, 5.0]), pd.Series([1.0, 2.0, 2.1, 3.0])
    for point in zip(x, y, strict=True):
        draw_point(axes["front"], *point, [[0.5], [0.5]], first=True)
    axes["front"].set_xscale("log")
    labels = draw_front(axes["front"], x, y, ["a_long_name_of_one", "another_long_name", "a_third_name", "last"])
    label_points(figure, [(labels, list(x), list(y))])
    boxes = [text.get_window_extent() for text in labels[1]]
    assert not any(a.overlaps(b) for i, a in enumerate(boxes) for b in boxes[:i])
    places = axes["front"].transData.transform(np.column_stack([x, y]))
    assert not any(box.contains(*place) for box in boxes for place in places)
    line = axes["front"].transData.transform([(0.2, 2.0), (1.0, 2.1), (3.0, 2.1)])
    assert not any(box.contains(*place) for box in boxes for place in line)


def test_curves_are_means_over_seeds(fill):
    store = fill(lambda evaluator, seed: {"noisy_label_detection": detection(0.6 + 0.1 * seed)})
    exhibit = named(store, "noisy_label_detection")
    assert list(exhibit.figures) == ["-cifar10", "-noisy"]
    data = exhibit.data
    line = data[(data["problem"] == "noisy") & (data["evaluator"] == "mine") & (data["line"] == "recall")]
    assert line["x"].tolist() == FRACTIONS
    assert line["y"].tolist() == pytest.approx([0.0, 0.7, 1.0])
    drawn = exhibit.figures["-noisy"].axes[0].get_lines()[0]
    assert drawn.get_ydata() == pytest.approx([0.0, 0.7, 1.0])


def test_a_new_task_gets_its_curves_without_a_list(fill, tmp_path: Path):
    def scored(evaluator, seed):
        lines = {"accuracy": [0.5, 0.6 + 0.1 * seed, 0.9], "cost_$": [1.0, 2.0, 3.0], "other": [1.0, 2.0]}
        return {"label_repair": score("gain", {"gain": 0.5}, x="labels_repaired", labels_repaired=FRACTIONS, **lines)}

    store = fill(scored)
    exhibit = named(store, "label_repair")
    assert exhibit.title == "Label repair, over labels repaired"
    assert list(exhibit.figures) == ["-cifar10", "-noisy"]
    assert list(exhibit.data["line"].unique()) == ["accuracy", "cost_$"]
    line = exhibit.data.query("problem == 'noisy' and evaluator == 'mine' and line == 'accuracy'")
    assert (line["x"].tolist(), line["y"].tolist()) == (FRACTIONS, pytest.approx([0.5, 0.7, 0.9]))
    drawn = exhibit.figures["-noisy"]
    assert drawn.get_supxlabel() == "labels repaired"
    assert [text.get_text() for text in drawn.legends[0].get_texts()] == ["accuracy", "cost $"]
    assert "label_repair-noisy.svg" in {path.name for path in write_figures(store.root, "small", tmp_path / "out")}


def test_names_of_curves_are_no_part_of_a_path(fill):
    def scored(evaluator, seed):
        curves = {"../x": FRACTIONS, "a": FRACTIONS, "../../y": FRACTIONS, "b": FRACTIONS}
        axes = {"a": "../x", "b": "../../y"}
        made = Score(version=1, headline="f", higher_is_better=True, metrics={"f": 1.0}, curves=curves, axes=axes)
        return {"strange": made}

    store = fill(scored)
    assert [each.name for each in exhibits(store, scores_of(store))] == ["strange", "strange-2", "cost_and_quality"]


def test_every_declared_task_is_registered():
    declared = [task for maker in exhibit_makers() for task in maker.tasks or ()]
    assert set(declared) <= set(entries("tasks"))


def test_unlearning_has_table_3_and_both_figures(fill):
    store = fill(lambda evaluator, seed: unlearning(0.1 * 2**seed))
    made = {each.name: each for each in exhibits(store, scores_of(store))}
    assert list(made) == ["unlearning_quality", "loss_densities", "loss_curves", "cost_and_quality", "pareto_front"]
    table = made["unlearning_quality"].table
    ours = table[(table["evaluator"] == "mine") & (table["problem"] == "cifar10")].iloc[0]
    mean = 0.7 / 3
    means = {"lkd": 1, "lmse": 2, "pmse": 3, "kr_forget": 11, "kr_retain": 12, "spc": -1, "gap": 21}
    means |= {"lkd_untrained": 4, "lmse_untrained": 5, "pmse_untrained": 6, "lkd_full": 7}
    means |= {"kr_forget_retrained": 13, "gap_full": 22}
    for name, k in means.items():
        assert ours[name] == pytest.approx(k * mean), name
    (shown,) = table[table["source"] != ""].to_dict("records")
    assert (shown["lkd"], shown["spc"], shown["kr_forget"]) == (0.825, 0.665, 0.0)
    densities = made["loss_densities"].data
    assert set(densities["line"]) == {"unlearned", "retrained", "full", "untrained"}
    curves = made["loss_curves"].data
    assert curves[(curves["line"] == "unlearning_forget") & (curves["evaluator"] == "mine")]["x"].max() == 10.0
    assert len(made["loss_curves"].figures[""].axes) == 6


@pytest.mark.parametrize(("evaluator", "marked"), [("mine-common-2e-5", True), ("mine-strong", False)])
def test_rates_that_are_the_same_for_all_methods_are_marked(evaluator, marked, fill):
    store = fill(lambda evaluator, seed: unlearning(1.0), evaluators=("mine", evaluator))
    captions = {each.name: each.caption for each in exhibits(store, scores_of(store))}
    for name in ("unlearning_quality", "loss_densities", "loss_curves"):
        assert ("one rate for all methods" in captions[name]) == marked


def test_table_2_has_ratios_and_the_published_one(fill):
    def scored(evaluator, seed):
        return {"rank_stability": score("spearman", {"spearman": 0.5})}

    seconds = {"train_seconds": 6.0, "unlearn_seconds": 2.0}
    points = Dataset(revision="0" * 64, kind="classification", train=500, validation=10, test=10)
    store = fill(scored, diagnostics=seconds, dataset=points, problems=("cifar10",))
    table = named(store, "efficiency").table
    assert table["train_over_unlearn"].tolist() == pytest.approx([3.0, 3.0, 187.92 / 23.333])
    assert table["points"].tolist() == [500, 500, 50000]


def test_cost_stands_beside_quality(fill):
    store = fill(lambda evaluator, seed: {"partial_agreement": partial(CORRELATIONS[evaluator][seed])})
    exhibit = named(store, "cost_and_quality")
    row = exhibit.table.set_index("evaluator").loc["mine"]
    assert (row["seconds"], row["fits"], row["unlearned"], row["peak_memory_mb"]) == (2, 3, 2, 5)
    assert math.isnan(row["mean_rank"])
    assert not exhibit.figures  # one that is ranked alone
    store = fill(
        lambda evaluator, seed: {"partial_agreement": partial(CORRELATIONS["mine"][seed])}, evaluators=("mine", "other")
    )
    # Both trained as many models in as much memory, which is not drawn.
    assert [axis.get_xlabel() for axis in named(store, "cost_and_quality").figures[""].axes] == [
        "seconds of a valuation"
    ]
    table = named(store, "cost_and_quality").table.assign(fits=[3, 30], peak_memory_mb=[5, 6])
    labels = [axis.get_xlabel() for axis in draw_costs(table, "seconds of training").axes]
    assert labels == ["seconds of training", "models trained or unlearned", "peak memory, MB"]


def test_a_suite_that_failed_is_shown_as_failed(tmp_path: Path):
    store = Store(tmp_path)
    cell = a_cell("cifar10", "mine", 0, ("partial_agreement",))
    store.write(a_result(cell, error="it broke", dataset=None, cost=None))
    store.write_plan(Plan(suite="small", suite_version=1, description="Small.", cells=(cell,)))
    (exhibit,) = exhibits(store, scores_of(store))
    assert exhibit.table["n_failed"].tolist() == [1]
    assert write_figures(tmp_path, "small", tmp_path / "out")[-1].read_text().count("mine") == 1


@pytest.mark.slow
def test_files_are_whole_and_the_same_each_time(fill, tmp_path: Path):
    store = fill(lambda evaluator, seed: unlearning(0.1 * 2**seed) | {"point_removal": removal(seed)})
    first, again = (write_figures(store.root, "small", tmp_path / out) for out in ("one", "two"))
    assert [path.read_bytes() for path in first] == [path.read_bytes() for path in again]
    page = first[-1].read_text()
    assert first[-1].name == "small.md"
    for path in first:
        if path.suffix == ".svg":
            ET.parse(path)
            assert f"({path.name})" in page
        if path.suffix == ".csv":
            assert len(pd.read_csv(path)) > 0
    assert "*Ma et al., arXiv:2505.16147, Table 3*" in page


def removal(seed: int) -> Score:
    lines = {"remove_high": [0.9, 0.5, 0.1], "remove_low": [0.9, 0.8, 0.4], "random": [0.9, 0.7, 0.3]}
    return score("gap", {"gap": 0.2 + seed}, x="fraction", fraction=FRACTIONS, **lines)


def test_the_command_says_what_is_wrong(tmp_path: Path, capsys, fill):
    assert main(["figures", "small", "--results", str(tmp_path / "none")]) == 2
    assert "there is no results folder" in capsys.readouterr().err
    store = fill(lambda evaluator, seed: {"partial_agreement": partial(0.1 * seed)})
    assert main(["figures", "smal", "--results", str(store.root)]) == 2
    assert "did you mean 'small'?" in capsys.readouterr().err
    assert main(["figures", "small", "--results", str(store.root)]) == 0
    assert str(store.root / "figures" / "small" / "small.md") in capsys.readouterr().out


def test_published_numbers_are_the_papers():
    shown = published()
    assert {name: each.source.rpartition(", ")[2] for name, each in shown.items()} == {
        "partial_valuation": "Table 1", "efficiency": "Table 2", "unlearning_quality": "Table 3",
    }  # fmt: skip
    assert shown["partial_valuation"].numbers == {
        "cifar10": {"spearman_without": -0.652, "spearman_exact": 0.280},
        "fashion_mnist": {"spearman_without": -0.188, "spearman_exact": 0.164},
        "text_corpus": {"spearman_without": -0.543, "spearman_exact": 0.143},
    }
    names = ("lkd", "pmse", "kr_forget", "spc", "lkd_untrained", "pmse_untrained")
    assert shown["unlearning_quality"].numbers == {
        "cifar10": dict(zip(names, (0.825, 0.077, 0.0, 0.665, 2.582, 0.090), strict=True)),
        "fashion_mnist": dict(zip(names, (0.781, 0.018, 0.0, -0.104, 2.300, 0.072), strict=True)),
        "text_corpus": dict(zip(names, (8.124, 7.440e-6, 0.377, 0.812, 10.96, 4.120e-6), strict=True)),
    }
    ratios = {
        dataset: round(numbers["train_seconds"] / numbers["unlearn_seconds"])
        for dataset, numbers in shown["efficiency"].numbers.items()
    }
    assert ratios == {"fashion_mnist": 20, "cifar10": 8, "text_corpus": 195}
    for each in shown.values():
        assert each.evaluator in {*entries("evaluators"), *entries("unlearning")}


def test_scores_of_another_version_are_left_out_and_failed_cells_have_a_row(fill):
    store = fill(lambda evaluator, seed: {"partial_agreement": partial(0.5)}, problems=("cifar10",))
    tasks = ("partial_agreement",)
    other = partial(-1.0).model_copy(update={"version": 7})
    store.write(a_result(a_cell("cifar10", "mine", 0, tasks), {"partial_agreement": other}), {"values": np.zeros(20)})
    for seed in SEEDS:
        store.write(a_result(a_cell("cifar10", "random", seed, tasks), error="it broke", dataset=None, cost=None))
    table = named(store, "partial_valuation").table.set_index("evaluator")
    assert (table.loc["mine", "seeds"], table.loc["mine", "planned"]) == (2, 3)
    assert table.loc["mine", "spearman_exact"] == pytest.approx(0.5)
    assert (table.loc["random", "seeds"], table.loc["random", "planned"]) == (0, 3)
    assert np.isnan(table.loc["random", "spearman_exact"])


def test_densities_are_those_of_the_first_seed_that_has_them(fill):
    def scored(evaluator, seed):
        actual = unlearning(0.1 * 2**seed)
        if seed == 0:
            actual["output_divergence"] = actual["output_divergence"].model_copy(
                update={"error": "no", "metrics": {}, "curves": {}, "axes": {}}
            )
        return actual

    data = named(fill(scored), "loss_densities").data
    assert len(data) == 2 * 2 * 4 * 3  # problems, methods, kinds of model, places
    (row,) = data[
        (data["problem"] == "noisy") & (data["evaluator"] == "mine") & (data["line"] == "full") & (data["x"] == 0.0)
    ].to_dict("records")
    assert row["y"] == 1.0


def test_columns_that_are_no_intervals_are_on_the_page(fill, tmp_path: Path):
    def scored(evaluator, seed):
        lines = {"remove_high": FRACTIONS, "remove_low": FRACTIONS, "random": FRACTIONS}
        return {
            "point_removal": score("gap", {"gap": 0.5, "area_low": 0.25}, x="fraction", fraction=FRACTIONS, **lines)
        }

    page = write_figures(fill(scored).root, "small", tmp_path / "out")[-1].read_text()
    assert "| area_low |" in page
    assert "| 0.250 |" in page  # equal scores have no interval


def test_results_of_other_settings_are_left_out(fill):
    store = fill(lambda evaluator, seed: {"partial_agreement": partial(0.5)}, problems=("cifar10",))
    cell = a_cell("cifar10", "mine", 0, ("partial_agreement",), version=2)
    other: Result = a_result(cell, {"partial_agreement": partial(-1.0)})
    store.write(other, {"values": np.zeros(20)})
    table = named(store, "partial_valuation").table
    assert table[table["evaluator"] == "mine"].iloc[0]["seeds"] == 2
    assert table[table["evaluator"] == "mine"].iloc[0]["spearman_exact"] == pytest.approx(0.5)


def test_exact_values_and_lds_share_a_table(fill):
    def scored(evaluator, seed):
        exact = score("spearman", {"spearman": 0.1 * seed, "p_spearman": 0.5, "pearson": 0.3})
        return {"exact_agreement": exact, "group_lds": score("lds", {"lds": 0.2 * seed, "p_lds": 0.1})}

    row = named(fill(scored), "games").table.iloc[0]
    assert row[["spearman", "pearson", "lds", "p_spearman_median", "p_lds_median"]].tolist() == pytest.approx(
        [0.1, 0.3, 0.2, 0.5, 0.1]
    )
