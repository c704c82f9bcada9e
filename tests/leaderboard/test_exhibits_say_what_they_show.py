"""All exhibits: every number is what its column and its caption say, and no two series of a figure look the same."""

from __future__ import annotations

import itertools
import re
import statistics
from collections import defaultdict

import numpy as np
import pandas as pd
import pytest
from made_up import scores_of
from matplotlib.colors import to_rgb
from matplotlib.container import ErrorbarContainer
from scipy import stats
from whole_suites import METHODS, SUITES, write_suite

from dvbench.results import Store
from leaderboard.drawing import markers, reference_styles, styles
from leaderboard.exhibit import suite_results
from leaderboard.exhibits import exhibit_makers
from leaderboard.figures import write_figures
from leaderboard.intervals import IN_WORDS, metric_range

APART = ("cost_and_quality", "task_agreement")  # have one row for an evaluator, or for a pair of tasks
NAMES = {"problem", "evaluator", "source", "dataset", "points"}  # columns that name a row
WORDS = {  # that belong to one kind of suite alone
    "images": r"cifar|mnist|resnet|mlp|class(es)?\b|random subset",
    "texts": r"corp(us|ora)|texts?\b|token|perplexity|gpt",
    "rows": r"training points",
}


@pytest.fixture(scope="module", params=SUITES)
def suite(request, tmp_path_factory):
    store = Store(tmp_path_factory.mktemp(request.param) / "results")
    write_suite(store, request.param)
    results = suite_results(store, scores_of(store, request.param))
    declared = {task for maker in exhibit_makers() for task in maker.tasks or ()}
    made = []
    for maker in exhibit_makers():
        tasks = [
            task for task in results.tasks if (task not in declared if maker.tasks is None else task in maker.tasks)
        ]
        if tasks or maker.tasks == ():
            # A maker of all other tasks makes an exhibit of each, with the name of the task.
            of = {exhibit.name: exhibit for exhibit in maker.make(results, tasks)}
            made += [(exhibit, [name] if maker.tasks is None else tasks) for name, exhibit in of.items()]
    return request.param, store, results, made


def seeds_of(results, tasks) -> dict[tuple[str, str, str], list[float]]:
    """The numbers of each metric by problem and evaluator, read from the results."""
    numbers = defaultdict(list)
    for cell, result in results.cells:
        for task in tasks:
            for metric, value in result.scores[task].metrics.items() if result and task in result.scores else ():
                numbers[cell.key.problem, cell.key.evaluator, metric].append(value)
    return numbers


def student(numbers):
    half = stats.t.ppf(0.975, len(numbers) - 1) * statistics.stdev(numbers) / len(numbers) ** 0.5
    return statistics.mean(numbers) - half, statistics.mean(numbers) + half


@pytest.mark.slow
def test_every_exhibit_is_made(suite):
    name, _, results, made = suite
    assert len(made) == len({exhibit.name for exhibit, _ in made})
    declared = {task for maker in exhibit_makers() for task in maker.tasks or ()}
    assert declared & set(results.tasks) <= {task for _, tasks in made for task in tasks}
    assert {"cost_and_quality", "partial_valuation", "games"} <= {exhibit.name for exhibit, _ in made}
    expected = {"unlearning_quality", "loss_densities", "loss_curves", "efficiency"}
    assert name == "rows" or expected <= {exhibit.name for exhibit, _ in made}


def test_every_number_of_a_table_is_what_its_column_says(suite):
    _, _, results, made = suite
    checked = 0
    for exhibit, tasks in made:
        numbers = seeds_of(results, tasks)
        metrics = {metric for _, _, metric in numbers}
        of_task = {metric: task for task in tasks for _, score in results.scores_of(task) for metric in score.metrics}
        for row in exhibit.table.to_dict("records"):
            if row.get("source") or exhibit.name in (*APART, "efficiency"):
                continue
            key = row["problem"], row["evaluator"]
            for column, value in row.items():
                metric, _, suffix = re.fullmatch(r"(.*?)((_ci_low|_ci_high|_n|_median)?)", column).groups()
                if column in NAMES | {"seeds", "planned"}:
                    continue
                assert metric in metrics, f"{exhibit.name}: what is '{column}'?"
                seeds = numbers[*key, metric]
                low, high = student(seeds)
                lowest, highest = metric_range(of_task[metric], metric, results.kinds[row["problem"]])
                expected = {
                    None: statistics.mean(seeds),
                    "_median": statistics.median(seeds),
                    "_n": len(seeds),
                    "_ci_low": max(low, lowest),
                    "_ci_high": min(high, highest),
                }[suffix]
                assert value == pytest.approx(expected), (exhibit.name, column)
                checked += 1
            counts = [len(numbers[*key, metric]) for metric in metrics]
            assert (row["seeds"], row["planned"]) == (max(counts), 4)
    assert checked > 100


@pytest.mark.slow
def test_a_number_over_fewer_seeds_says_so_on_the_page(suite, tmp_path):
    name, store, _, made = suite
    page = write_figures(store.root, name, tmp_path)[-1].read_text()
    fewer = sum(
        int((exhibit.table[column] < exhibit.table["seeds"]).sum())
        for exhibit, _ in made
        for column in exhibit.table
        if column.endswith("_n")
    )
    assert fewer > 0
    assert len(re.findall(r"\(n = \d\)", page)) == fewer
    assert "_ci_low" not in page


def test_captions_tell_means_from_medians(suite):
    for exhibit, _ in suite[3]:
        columns = list(exhibit.table)
        said = f"{exhibit.caption} {exhibit.table_caption}"
        assert "means over seeds" in said.lower() or exhibit.name in APART
        medians = any(column.endswith("_median") for column in columns)
        assert ("median" in exhibit.caption) == medians or exhibit.name in APART
        intervals = any(column.endswith("_ci_low") for column in columns) and exhibit.name not in APART
        assert (IN_WORDS in said) == intervals
        assert exhibit.name in APART or "bootstrap" not in exhibit.caption


def test_p_values_are_named_medians_and_nothing_else_is(suite):
    for exhibit, _ in suite[3]:
        for column in exhibit.table:
            if column.startswith("p_"):
                assert column.endswith("_median") or exhibit.data is not None, (exhibit.name, column)
            if column.endswith("_median"):
                assert column.startswith("p_")


def test_captions_speak_of_the_suite_that_they_are_of(suite):
    name, _, _, made = suite
    for exhibit, _ in made:
        text = f"{exhibit.title} {exhibit.caption}".lower()
        for kind, words in WORDS.items():
            if kind != name:
                assert not re.search(words, text), (exhibit.name, kind, text)
        assert name != "texts" or "accuracy" not in text
    captions = {exhibit.name: exhibit.caption for exhibit, _ in made}
    expected = {"images": "classes, or 8 random subsets", "texts": "corpora", "rows": "training points"}[name]
    for exhibit in ("partial_valuation", "games", "unlearning_quality", "loss_densities", "point_removal"):
        assert expected in captions.get(exhibit, expected), exhibit


def test_costs_are_medians_over_seeds_then_means_over_problems_of_evaluators_without_a_failure(suite):
    _, _, results, made = suite
    (table,) = [exhibit.table.set_index("evaluator") for exhibit, _ in made if exhibit.name == "cost_and_quality"]
    spent = defaultdict(lambda: defaultdict(list))
    for cell, result in results.cells:
        spent[cell.key.evaluator][cell.key.problem].append(result.cost.seconds if result else None)
    for name in METHODS:
        lists = spent[name].values()
        whole = all(None not in each for each in lists)
        expected = statistics.mean(statistics.median(each) for each in lists) if whole else float("nan")
        assert table.loc[name, "seconds"] == pytest.approx(expected, nan_ok=True)
    assert np.isnan(table.loc[METHODS[-1], "seconds"])


def test_seconds_of_unlearning_are_means_and_the_ratio_is_that_of_means(suite):
    name, _, results, made = suite
    tables = [exhibit.table for exhibit, _ in made if exhibit.name == "efficiency"]
    assert len(tables) == (name != "rows")
    for row in (row for table in tables for row in table.to_dict("records") if not row["source"]):
        told = [
            result.diagnostics
            for cell, result in results.cells
            if result and (cell.key.problem, cell.key.evaluator) == (row["problem"], row["evaluator"])
        ]
        assert row["seeds"] == len(told)
        for column in {"train_seconds", "unlearn_seconds", "tokens_per_second", "flop_utilisation"} & set(told[0]):
            assert row[column] == pytest.approx(statistics.mean(each[column] for each in told))
        assert row["train_over_unlearn"] == pytest.approx(row["train_seconds"] / row["unlearn_seconds"])


def test_lines_are_means_over_the_seeds_that_they_say(suite):
    _, _, results, made = suite
    checked = 0
    for exhibit, tasks in made:
        if exhibit.data is None:
            continue
        for key, line in exhibit.data.groupby(["problem", "evaluator", "line"], sort=False):
            problem, evaluator, name = key
            curves = [
                (cell.key.seed, score.curves.get(score.axes.get(name, "")), score.curves[name])
                for task in tasks
                for cell, score in results.scores_of(task)
                if (cell.key.problem, cell.key.evaluator) == (problem, evaluator) and name in score.curves
            ]
            if "seed" in line:
                (seed,) = set(line["seed"])
                curves = [each for each in curves if each[0] == seed]
            else:
                curves = [each for each in curves if each[1] == curves[0][1]]
                assert set(line["seeds"]) == {len(curves)}
            x = curves[0][1] if curves[0][1] is not None else range(len(curves[0][2]))
            assert line["x"].tolist() == pytest.approx(list(x))
            assert line["y"].tolist() == pytest.approx(np.mean([y for _, _, y in curves], axis=0).tolist())
            checked += 1
    assert checked >= len(METHODS)


def test_densities_of_a_problem_are_of_one_seed_that_the_caption_names(suite):
    for exhibit, _ in suite[3]:
        if exhibit.name == "loss_densities":
            seeds = exhibit.data.groupby("problem")["seed"].agg(["min", "max"])
            assert (seeds["min"] == seeds["max"]).all()
            assert all(f"seed {seed}" in exhibit.caption for seed in seeds["min"])


def look(artist):
    """Colour, line style and marker of a line or of points with error bars."""
    line = artist[0] if isinstance(artist, ErrorbarContainer) else artist
    style = None if line.get_linestyle() == "None" else line._unscaled_dash_pattern
    return to_rgb(line.get_color()), style, line.get_marker()


def same(one, other) -> bool:
    """Whether two looks can hardly be told apart: nearly the same colour, the same line style and marker."""
    return one[1:] == other[1:] and np.linalg.norm(np.subtract(one[0], other[0])) < 0.1


def test_no_two_series_of_a_figure_look_the_same(suite):
    drawn = 0
    for exhibit, _ in suite[3]:
        for suffix, figure in exhibit.figures.items():
            looks = defaultdict(set)
            for axis in figure.axes:
                for artist, label in zip(*axis.get_legend_handles_labels(), strict=True):
                    looks[label].add(look(artist))
            assert looks, f"{exhibit.name}{suffix} has no labelled series"
            assert all(len(of_label) == 1 for of_label in looks.values()), f"a series of {exhibit.name} has two looks"
            pairs = itertools.combinations(((label, *of_label) for label, of_label in looks.items()), 2)
            alike = [(one[0], other[0]) for one, other in pairs if same(one[1], other[1])]
            assert not alike, f"{exhibit.name}{suffix}: {alike}"
            drawn += len(looks)
    assert drawn > len(METHODS)


def test_any_number_of_series_can_be_told_apart():
    for make, count in ((styles, 60), (markers, 90), (reference_styles, 5)):
        made = [
            (to_rgb(style["color"]), style.get("ls"), style.get("marker"))
            for style in make(map(str, range(count))).values()
        ]
        assert not any(same(one, other) for one, other in itertools.combinations(made, 2))
    greys = [to_rgb(style["color"]) for style in reference_styles("abcde").values()]
    assert all(max(grey) - min(grey) < 1e-9 for grey in greys)
    assert all(max(each) - min(each) > 0.2 for each in map(to_rgb, {s["color"] for s in styles("abcdefgh").values()}))


def test_a_line_whose_seeds_have_other_x_is_the_mean_of_those_of_the_first():
    from leaderboard.exhibit import mean_lines

    points = {0: ([0.0, 1.0], [1.0, 3.0]), 1: ([0.0, 1.0], [3.0, 5.0]), 2: ([0.0, 2.0], [9.0, 9.0])}
    rows = [
        {"problem": "p", "evaluator": "A", "seed": seed, "line": "l", "x": x, "y": y}
        for seed, (xs, ys) in points.items()
        for x, y in zip(xs, ys, strict=True)
    ]
    expected = {"x": [0.0, 1.0], "y": [2.0, 4.0], "lowest": [1.0, 3.0], "highest": [3.0, 5.0], "seeds": [2, 2]}
    pd.testing.assert_frame_equal(mean_lines(rows)[list(expected)], pd.DataFrame(expected))


def test_panels_of_curves_are_in_the_order_of_the_ranks(suite):
    _, _, results, made = suite
    scores = results.scores.scores
    for exhibit, _ in made:
        if exhibit.name == "point_removal":
            for suffix, figure in exhibit.figures.items():
                of_panels = scores[(scores["task"] == exhibit.name) & (scores["problem"] == suffix[1:])]
                means = of_panels.groupby("evaluator")["value"].mean()
                shown = [axis.get_title().replace("\n", "") for axis in figure.axes if axis.get_visible()]
                ranked = [each for each in shown if each not in results.scores.roles]
                assert shown == ranked + [each for each in shown if each in results.scores.roles]
                assert len(ranked) > 2
                assert means[ranked[0]] >= means[ranked[-1]]
