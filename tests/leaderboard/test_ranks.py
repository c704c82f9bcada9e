"""Means, intervals, ranks and costs, against numbers worked out by hand."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
from made_up import a_cell, a_result, a_score, scores_of

from dvbench.errors import UserError
from dvbench.results import Dataset, Plan
from leaderboard import statistics

T1 = 12.7062047  # t(0.975) with one degree of freedom


def by_evaluator(frame, column, **where):
    for name, value in where.items():
        frame = frame[frame[name] == value]
    return dict(zip(frame["evaluator"], frame[column], strict=True))


def test_scores_tell_ok_failed_and_missing_apart(write):
    broken = a_score(None, error="no noise to find")
    store = write(
        {("p", "A", 0): {"f": 0.5, "g": broken}, ("p", "B", 0): "out of memory", ("p", "C", 0): None}, ("f", "g")
    )
    frame = scores_of(store).scores
    shown = frame.set_index(["evaluator", "task"])[["status", "error"]].apply(tuple, axis=1).to_dict()
    assert shown == {
        ("A", "f"): ("ok", ""),
        ("A", "g"): ("failed", "no noise to find"),
        ("B", "f"): ("failed", "out of memory"),
        ("B", "g"): ("failed", "out of memory"),
        ("C", "f"): ("missing", ""),
        ("C", "g"): ("missing", ""),
    }
    assert frame["value"].tolist()[0] == 0.5
    assert frame["value"].isna().tolist() == [False, True, True, True, True, True]
    assert set(frame["metric"]) == {"f1"}
    assert list(frame) == [
        *("problem", "task", "evaluator", "seed", "value", "metric", "higher_is_better", "status", "error"),
        *("metrics", "id", "ceiling", "lowest", "highest"),
    ]


def test_a_planned_task_that_is_not_scored_is_missing(write):
    store = write({("p", "A", 0): {"f": 0.5}}, ("f", "new"))
    assert scores_of(store).scores["status"].tolist() == ["ok", "missing"]


def test_a_result_of_other_settings_is_missing(write):
    store = write({("p", "A", 0): {"f": 0.5}, ("p", "B", 0): None})
    store.write(a_result(a_cell("p", "B", 0, ("f",), version=2), {"f": a_score(0.9)}), {"values": np.zeros(20)})
    frame = scores_of(store).scores
    assert frame["status"].tolist() == ["ok", "missing"]
    assert "other settings" in frame["error"].iloc[1]
    assert math.isnan(by_evaluator(statistics.cost(scores_of(store).cells), "seconds")["B"])


def test_a_result_scored_for_more_tasks_than_planned_counts(write):
    store = write({("p", "A", 0): None})
    store.write(
        a_result(a_cell("p", "A", 0, ("f", "more")), {"f": a_score(0.5), "more": a_score(0.1)}),
        {"values": np.zeros(20)},
    )
    assert scores_of(store).scores[["task", "value"]].to_numpy().tolist() == [["f", 0.5]]


@pytest.mark.parametrize(
    "odd",
    [a_score(9.0, version=2), a_score(9.0, headline="recall"), a_score(-9.0, up=False)],
    ids=["version", "metric", "up"],
)
def test_a_score_measured_otherwise_than_most_is_missing(write, odd):
    store = write({("p", "A", 0): {"f": 0.5}, ("p", "B", 0): {"f": odd}, ("p", "C", 0): {"f": 0.4}})
    frame = scores_of(store).scores
    assert by_evaluator(frame, "status") == {"A": "ok", "B": "missing", "C": "ok"}
    assert set(frame["metric"]) == {"f1"}
    assert set(frame["higher_is_better"]) == {True}
    assert by_evaluator(statistics.summary(frame), "rank") == {"A": 1, "B": 3, "C": 2}


def test_summary_means_and_intervals(write):
    store = write(
        {("p", "A", 0): {"f": 0.6}, ("p", "A", 1): {"f": 0.8}, ("p", "B", 0): {"f": 0.5}, ("p", "B", 1): "broke"}
    )
    frame = statistics.summary(scores_of(store).scores)
    assert by_evaluator(frame, "mean") == pytest.approx({"A": 0.7, "B": 0.5})
    assert by_evaluator(frame, "low") == pytest.approx({"A": 0.7 - T1 * 0.1, "B": math.nan}, nan_ok=True, rel=1e-6)
    assert by_evaluator(frame, "high") == pytest.approx({"A": 0.7 + T1 * 0.1, "B": math.nan}, nan_ok=True, rel=1e-6)
    assert by_evaluator(frame, "n_ok") == {"A": 2, "B": 1}
    assert by_evaluator(frame, "n_failed") == {"A": 0, "B": 1}
    assert by_evaluator(frame, "n_missing") == {"A": 0, "B": 0}


def test_summary_ranks_average_ties_and_put_those_without_a_score_last(write):
    values = {"A": 0.5, "B": 0.9, "C": 0.5, "D": 0.1}
    table = {("p", name, 0): {"f": value, "loss": value} for name, value in values.items()}
    store = write({**table, ("p", "E", 0): "broke", ("p", "F", 0): None}, ("f", "loss"))
    frame = statistics.summary(scores_of(store).scores)
    assert by_evaluator(frame, "rank", task="f") == {"A": 2.5, "B": 1, "C": 2.5, "D": 4, "E": 5.5, "F": 5.5}
    assert by_evaluator(frame, "rank", task="loss") == {"A": 2.5, "B": 4, "C": 2.5, "D": 1, "E": 5.5, "F": 5.5}


def test_overall_averages_the_ranks_of_each_seed(write):
    # Ranks of A, B, C: seed 0 is (1, 2, 3) in f and (3, 1.5, 1.5) in loss; seed 1 is (1, 2, 3) in both.
    table = {
        ("p", "A", 0): {"f": 0.9, "loss": 3.0},
        ("p", "B", 0): {"f": 0.8, "loss": 1.0},
        ("p", "C", 0): {"f": 0.7, "loss": 1.0},
        ("p", "A", 1): {"f": 0.9, "loss": 1.0},
        ("p", "B", 1): {"f": 0.8, "loss": 2.0},
        ("p", "C", 1): "broke",
    }
    frame = statistics.overall(scores_of(write(table, ("f", "loss"))).scores)
    assert frame["evaluator"].tolist() == ["A", "B", "C"]
    assert frame["rank"].tolist() == [1, 2, 3]
    assert frame["mean_rank"].tolist() == pytest.approx([1.5, 1.875, 2.625])
    # Two seeds tell nothing apart.
    assert frame["first"].tolist() == [1, 1, 1]
    assert frame["last"].tolist() == [3, 3, 3]
    assert frame["n_ok"].tolist() == [4, 4, 2]
    assert frame["n_failed"].tolist() == [0, 0, 2]


def test_failing_where_it_is_weak_does_not_help(write):
    table = {("p", "A", 0): {"f": 0.9}, ("q", "A", 0): {"f": 0.1}, ("p", "B", 0): {"f": 0.8}, ("q", "B", 0): {"f": 0.2}}
    honest = statistics.overall(scores_of(write(table)).scores)
    failing = statistics.overall(scores_of(write({**table, ("q", "A", 0): "gave up"}, suite="s2"), "s2").scores)
    assert by_evaluator(honest, "mean_rank") == by_evaluator(failing, "mean_rank") == {"A": 1.5, "B": 1.5}
    assert honest["rank"].tolist() == [1, 1]


def test_what_is_not_planned_for_one_in_a_shared_column_is_missing(write):
    # C is planned for q alone, and best there.
    table = {("p", "A", 0): {"f": 0.9}, ("q", "A", 0): {"f": 0.1}, ("p", "B", 0): {"f": 0.8}, ("q", "C", 0): {"f": 0.2}}
    frame = statistics.overall(scores_of(write(table)).scores)
    assert by_evaluator(frame, "mean_rank") == {"A": 1.5, "B": 2.5, "C": 2.0}
    assert by_evaluator(frame, "n_missing") == {"A": 0, "B": 1, "C": 1}


def test_a_rank_in_a_small_field_does_not_count(write):
    """Whoever is run alone somewhere is first there, which says nothing."""
    table = {("p", name, 0): {"f": value} for name, value in (("A", 0.9), ("B", 0.8), ("C", 0.1))}
    alone = {("q", "C", seed): {"f": 1.0} for seed in range(5)}
    frame = statistics.overall(scores_of(write({**table, **alone})).scores)
    assert by_evaluator(frame, "mean_rank") == {"A": 1.0, "B": 2.0, "C": 3.0}


def test_all_missing_tie(write):
    frame = statistics.overall(scores_of(write({("p", "A", 0): None, ("p", "B", 0): None})).scores)
    assert frame[["mean_rank", "n_missing"]].to_numpy().tolist() == [[1.5, 1], [1.5, 1]]


def test_cost_is_the_mean_over_seeds_that_are_ok(write):
    table = {("p", "A", 0): {"f": 1.0}, ("p", "A", 1): {"f": 1.0}, ("p", "B", 0): {"f": 1.0}, ("p", "B", 1): "broke"}
    frame = statistics.cost(scores_of(write({**table, ("p", "C", 0): None})).cells).set_index("evaluator")
    assert frame["seconds"].to_dict() == pytest.approx({"A": 1.5, "B": 1.0, "C": math.nan}, nan_ok=True)
    assert frame.loc["A", ["fits", "unlearned", "peak_memory", "peak_cuda_memory"]].tolist() == [3, 2, 5e6, 0]


def test_remarks_name_what_is_not_comparable(write):
    store = write({("p", name, 0): {"f": 1.0} for name in "ABC"})
    assert scores_of(store).remarks == ()
    result = a_result(a_cell("p", "B", 0, ("f",)), {"f": a_score(1.0)})
    faster = result.environment.model_copy(update={"processor": "fast", "device": "cuda"})
    store.write(result.model_copy(update={"environment": faster}), {"values": np.zeros(20)})
    store.write(a_result(a_cell("p", "Unplanned", 0, ("f",)), {"f": a_score(1.0)}), {"values": np.zeros(20)})
    assert scores_of(store).remarks == (
        "1 result(s) that are not planned are left out.",
        "Seconds were measured on 2 kinds of machine: cpu (4 cores, cpu); fast (4 cores, cuda).",
    )


def test_another_revision_of_the_data_is_refused(write):
    store = write({("p", name, 0): {"f": 1.0} for name in "ABC"})
    other = Dataset(revision="1" * 64, kind="classification", train=20, validation=10, test=10)
    store.write(a_result(a_cell("p", "B", 0, ("f",)), {"f": a_score(9.0)}, dataset=other), {"values": np.zeros(20)})
    actual = scores_of(store)
    assert by_evaluator(actual.scores, "status") == {"A": "ok", "B": "missing", "C": "ok"}
    assert "another revision of the data" in by_evaluator(actual.scores, "error")["B"]
    assert actual.remarks == ("1 result(s) on another revision of the data than most others are refused.",)


def test_a_claim_about_the_data_does_not_stand_against_what_is_verified(write):
    from dvbench.results import Verified, VerifiedCell
    from leaderboard.index import open_index

    store = write({("p", name, 0): {"f": 1.0} for name in "ABC"})
    other = Dataset(revision="f" * 64, kind="classification", train=20, validation=10, test=10)
    for name in "BC":
        cell = a_cell("p", name, 0, ("f",))
        store.write(a_result(cell, {"f": a_score(9.0)}, dataset=other), {"values": np.zeros(20)})
    assert by_evaluator(scores_of(store).scores, "status") == {"A": "missing", "B": "ok", "C": "ok"}
    with open_index(store, "small") as index:
        actual = index.read().results.set_index("evaluator")["sha256"]
    cells = {"p/seed-0": VerifiedCell(sha256=actual["A"], how="recomputed")}
    store.write_verified(Verified(suite="small", evaluator="A", dvbench_version="0", cells=cells))
    assert by_evaluator(scores_of(store).scores, "status") == {"A": "ok", "B": "missing", "C": "missing"}


def test_results_of_several_versions_of_an_evaluator_are_told(write):
    store = write({("p", "A", seed): {"f": 1.0} for seed in (0, 1)})
    newer = a_result(a_cell("p", "A", 1, ("f",)), {"f": a_score(1.0)}, evaluator_version="2")
    store.write(newer, {"values": np.zeros(20)})
    assert scores_of(store).remarks == ("The results of A are of 2 versions of it.",)


def test_a_plan_of_another_suite_is_refused(write):
    store = write({("p", "A", 0): None})
    (store.root / "small").rename(store.root / "renamed")
    with pytest.raises(UserError, match="plan of another suite"):
        scores_of(store, "renamed")


def test_a_plan_without_scores_is_refused(write):
    store = write({("p", "A", 0): None})
    store.write_plan(Plan(suite="small", suite_version=1, description="", cells=(a_cell("p", "A", 0, ()),)))
    with pytest.raises(UserError, match="no task to score"):
        scores_of(store)


def test_scores_that_differ_in_their_last_bits_tie():
    """The pages have nine digits of each score, so that browser and Python rank alike."""
    scores = pd.DataFrame(
        {"problem": "p", "task": "t", "seed": 0, "evaluator": ["A", "B", "C"], "higher_is_better": True}
        | {"value": [0.1 + 0.2, 0.3, 0.299999]}
    )
    assert statistics.seed_ranks(scores).tolist() == [1.5, 1.5, 3.0]
