"""Seconds of training beside those of unlearning, on the page of a suite."""

from __future__ import annotations

import numpy as np
import pytest
from made_up import a_cell, a_result, a_score, scores_of

from dvbench.results import Dataset, Plan, Store
from dvbench.settings import DatasetSettings, EvaluatorSettings
from leaderboard.build import build
from leaderboard.published import published
from leaderboard.site.unlearning_speed import unlearning_speed

VALUES = {"values": np.zeros(20)}
SECONDS = {  # points -> (train, unlearn) by seed
    1000: [(2.0, 1.0), (4.0, 1.0)],
    20000: [(90.0, 1.0), (110.0, 3.0)],
}


@pytest.fixture
def write_sizes(tmp_path):
    def write(sizes: dict[int, list[tuple[float, float]]], dataset: str) -> Store:
        store, cells = Store(tmp_path / "results"), []
        for points, seeds in sizes.items():
            for seed, (train, unlearn) in enumerate(seeds):
                cell = a_cell(f"{dataset}-{points}", "forgets", seed, ("f",))
                problem = cell.problem.model_copy(update={"dataset": DatasetSettings(name=dataset)})
                method = EvaluatorSettings(name="gradient_ascent", kind="unlearning")
                cells.append(cell.model_copy(update={"problem": problem, "evaluator": method}))
                data = Dataset(revision="0" * 64, kind="classification", train=points, validation=10, test=10)
                seconds = {"train_seconds": train, "unlearn_seconds": unlearn}
                store.write(a_result(cells[-1], {"f": a_score(0.5)}, dataset=data, diagnostics=seconds), VALUES)
        store.write_plan(Plan(suite="small", suite_version=1, description="Small.", cells=tuple(cells)))
        return store

    return write


def test_ratios_are_those_of_means_over_seeds(write_sizes):
    speed = unlearning_speed(scores_of(write_sizes(SECONDS, "some_data")))
    assert [(row["train"], row["ratio"], row["seeds"]) for row in speed["rows"]] == [(1000, 3.0, 2), (20000, 50.0, 2)]
    (line,) = speed["lines"]
    assert (line["points"], line["ratios"]) == ([1000, 20000], [3.0, 50.0])
    assert speed["sentences"] == [
        "some_data, logistic_regression, forgets: training on 20,000 points takes 50.0 times as long as "
        "unlearning all of them; on 1,000 points, 3.0 times."
    ]
    assert speed["remark"] == ""


def test_published_seconds_of_the_same_data_are_beside_ours(write_sizes, tmp_path):
    store = write_sizes(SECONDS, "fashion_mnist")
    speed = unlearning_speed(scores_of(store))
    theirs = published()["efficiency"].numbers["fashion_mnist"]
    assert speed["rows"][-1]["train_seconds"] == theirs["train_seconds"]
    assert speed["lines"][-1]["points"] == [theirs["points"]]
    assert "60,000 points of Fashion-MNIST" in speed["remark"]
    build(store.root, tmp_path / "out")
    page = (tmp_path / "out/small/index.html").read_text(encoding="utf-8")
    before, _, after = page.partition("Training against unlearning")
    assert 'id="ranking"' in before  # whose first rows are to be seen without scrolling
    assert speed["sentences"][0] in before
    assert "<td>20,000</td>" in after
    assert "50.0" in after


def test_one_size_is_a_table_without_a_chart(write_sizes, tmp_path):
    store = write_sizes({1000: SECONDS[1000]}, "some_data")
    speed = unlearning_speed(scores_of(store))
    assert (len(speed["rows"]), speed["lines"], speed["sentences"]) == (1, [], [])
    build(store.root, tmp_path / "out")
    page = (tmp_path / "out/small/index.html").read_text(encoding="utf-8")
    assert "Seconds to train and to unlearn" in page
    assert 'id="speed"' not in page


def test_evaluators_have_no_such_seconds(write, tmp_path):
    store = write({("p", "A", 0): {"f": 1.0}})
    assert unlearning_speed(scores_of(store))["rows"] == []
    build(store.root, tmp_path / "out")
    assert "Seconds to train" not in (tmp_path / "out/small/index.html").read_text(encoding="utf-8")
