"""What every task promises."""

from __future__ import annotations

import math
import textwrap

import numpy as np
import pytest
from small_problems import Worths, a_problem, scored

from dvbench.errors import UserError
from dvbench.registry import entries
from dvbench.scoring import contract
from dvbench.scoring.contract import Outcome, Task, Valuation, task

HEADLINES = {
    "exact_agreement": ("spearman", None, False),
    "group_lds": ("lds", None, False),
    "noisy_feature_detection": ("auroc", "features", False),
    "noisy_label_detection": ("auroc", "labels", False),
    "partial_agreement": ("spearman_exact", None, False),
    "point_addition": ("kept_against_random", None, False),
    "point_removal": ("gap", None, False),
    "rank_stability": ("spearman", None, True),
}
WITH_VARIANTS = {  # scored in test_payout_tasks and test_sanity_tasks
    "null_labels": ("agreement", False, ("null", "other_null")),
    "planted_shortcut": ("auroc", True, ("shortcut",)),
    "randomised_model": ("agreement", False, ("untrained",)),
    "replication": ("gain", False, ("copied", "split")),
    "symmetry": ("gap", False, ("copied", "split")),
}
WITH_MEASURES = {  # scored in test_utility_robustness, test_lds and test_lds_per_point
    "lds": ("lds", ("log_loss", "utility")),
    "lds_per_point": ("lds", ("points",)),
    "utility_robustness": ("wins", ("utility", "log_loss", "f1", "other_model")),
}
VERSIONS = {"rank_stability": 2, "point_addition": 2}
MOST = {"exact_agreement": 12}  # players, where a task takes no more


def players(name, wanted):
    return min(wanted, MOST.get(name, wanted))


def outcome_of(name, values, repeat):
    return scored(entries("tasks")[name].load(), a_problem(len(values)), Valuation(values, repeat), Worths(values))


def test_the_tasks_there_are():
    # Those that judge unlearning methods are in test_unlearning_quality, and the other in test_selection_accuracy.
    judging = {
        name
        for name, entry in entries("tasks").items()
        if {"judges_unlearning", "judges_selection"} & entry.definition.metadata.keys()
    }
    assert set(entries("tasks")) - judging == {*HEADLINES, *WITH_VARIANTS, *WITH_MEASURES}


@pytest.mark.parametrize("name", [*WITH_VARIANTS, *WITH_MEASURES])
def test_metadata_of_tasks_with_variants_and_measures(name):
    entry = entries("tasks")[name]
    actual = entry.load()
    if name in WITH_VARIANTS:
        assert (actual.headline, actual.higher_is_better, actual.variants) == WITH_VARIANTS[name]
    else:
        assert (actual.headline, actual.measures) == WITH_MEASURES[name]
    assert {key: getattr(actual, key) for key in entry.definition.metadata} == entry.definition.metadata
    assert {"ranges", "version", "min_players"} <= entry.definition.metadata.keys()
    assert "Headline:" in entry.docstring


@pytest.mark.parametrize("name", HEADLINES)
def test_metadata(name):
    entry = entries("tasks")[name]
    actual = entry.load()
    assert isinstance(actual, Task)
    assert (actual.headline, actual.noise, actual.repeats) == HEADLINES[name]
    assert actual.version == VERSIONS.get(name, 1)
    assert actual.higher_is_better is True
    assert actual.score.__name__ == name
    # What is shown without importing the task is what the task says.
    assert {key: getattr(actual, key) for key in entry.definition.metadata} == entry.definition.metadata
    assert {"version", "headline", "higher_is_better"} <= set(entry.definition.metadata)
    assert "Headline:" in entry.docstring


@pytest.mark.parametrize("name", HEADLINES)
def test_outcomes_are_plain_numbers(name):
    values = np.random.default_rng(0).normal(size=players(name, 23))
    outcome = outcome_of(name, values, values[::-1])
    assert HEADLINES[name][0] in outcome.metrics
    assert all(type(number) is float for number in outcome.metrics.values())
    assert all(type(number) is float for curve in outcome.curves.values() for number in curve)
    assert len({len(curve) for curve in outcome.curves.values()}) <= 1


@pytest.mark.parametrize("name", HEADLINES)
def test_higher_headlines_mean_better_values(name):
    n = players(name, 40)
    values = np.random.default_rng(0).permutation(n).astype(float)
    problem = a_problem(n, corrupted=values < n // 5)
    scores = [
        scored(entries("tasks")[name].load(), problem, Valuation(said, values), Worths(values)).metrics[
            HEADLINES[name][0]
        ]
        for said in (values, -values)
    ]
    assert scores[0] > scores[1]


@pytest.mark.parametrize("name", HEADLINES)
def test_values_are_not_changed(name):
    values = np.random.default_rng(0).normal(size=players(name, 20))
    repeat = values[::-1].copy()
    values.flags.writeable = repeat.flags.writeable = False
    assert outcome_of(name, values, repeat) == outcome_of(name, values, repeat)


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("where", ["metrics", "curves"])
def test_what_is_not_finite_is_an_error(bad, where):
    outcome = Outcome({"good": 1.0}, {"line": [0.0, 1.0]}, x="epoch")
    broken = {"metrics": {"worst": bad}, "curves": {"worst": [0.0, bad]}}[where]
    getattr(outcome, where).update(broken)
    made = task(version=1, headline="good", higher_is_better=True)(lambda *_: outcome)
    with pytest.raises(ValueError, match="worst is not finite"):
        scored(made, a_problem(), Valuation(np.zeros(20)))


def test_a_curve_does_not_hide_the_metric_of_the_same_name():
    made = task(version=1, headline="area", higher_is_better=True)(
        lambda *_: Outcome({"area": math.nan}, {"area": [1.0]}, x="epoch")
    )
    with pytest.raises(ValueError, match="area is not finite"):
        scored(made, a_problem(), Valuation(np.zeros(20)))


def test_one_x_axis_for_all_curves():
    outcome = Outcome({}, {"fraction": [0.0, 1.0], "recall": [0.1, 1.0], "random": [0.0, 1.0]}, x="fraction")
    assert outcome.axes == {"recall": "fraction", "random": "fraction"}
    assert Outcome({"a": 1.0}, x="fraction").axes == {}


def test_an_x_axis_for_each_curve():
    axes = {"loss": "epoch", "forget": "step", "value": "player"}
    curves = {"loss": [1.0], "step": [0.0, 5.0], "forget": [0.1, 0.2], "value": [3.0] * 20}
    outcome = Outcome({"good": 1.0}, curves, axes)
    assert outcome.axes == axes
    made = task(version=1, headline="good", higher_is_better=True)(lambda *_: outcome)
    assert scored(made, a_problem(), Valuation(np.zeros(20))) is outcome
    with pytest.raises(ValueError, match="the curve 'value' has 20 numbers for 10 players"):
        scored(made, a_problem(10), Valuation(np.zeros(10)))


@pytest.mark.parametrize(
    ("x", "message"),
    [
        ({}, "the curve 'a' has no x axis: give Outcome an x, such as x=\"player\""),
        ({"a": "epoch"}, "the curve 'b' has no x axis"),
        ("c", "the x axis of 'a' is 'c', neither another curve nor one of player, coalition, epoch"),
        ("b", "the curve 'a' has 2 numbers, and its x axis 'b' 3"),
        ({"a": "a", "b": "epoch"}, "the x axis of 'a' is 'a', neither another curve"),
        ({"a": "epoch", "b": "epoch", "c": "epoch"}, "there is an x axis for 'c', which is no curve"),
    ],
)
def test_x_axes_that_do_not_exist_are_errors(x, message):
    with pytest.raises(ValueError, match=message):
        Outcome({}, {"a": [1.0, 2.0], "b": [1.0, 2.0, 3.0]}, x)


def test_a_task_is_given_everything_and_returns_its_outcome():
    given = []

    @task(version=3, headline="good", higher_is_better=False, noise="labels", repeats=True)
    def mine(*arguments):
        given.extend(arguments)
        return Outcome({"good": 1.0})

    problem, valuation, utilities = a_problem(), Valuation(np.zeros(20)), np.empty(0)
    assert mine(problem, valuation, utilities) == Outcome({"good": 1.0})
    assert given == [problem, valuation, utilities]
    assert (mine.version, mine.higher_is_better, mine.noise, mine.repeats) == (3, False, "labels", True)


@pytest.fixture
def example():
    """The task that the contract shows, run as written there."""
    lines = contract.__doc__.split("::\n", 1)[1].splitlines()
    code = [line for line in lines[1:] if line.startswith("    ") or not line]
    names = {}
    exec(textwrap.dedent("\n".join(code)), names)
    return names["best_players"]


def test_the_example_of_the_contract_is_a_task(example):
    values = np.random.default_rng(0).permutation(20).astype(float)
    retrain = Worths(values)
    outcome = scored(example, a_problem(20), Valuation(values), retrain)
    best = np.argsort(-values)
    assert retrain.asked == [frozenset(best[:5].tolist()), frozenset(best[:10].tolist())]
    assert outcome.metrics == {"utility": sum(range(10, 20)) / 20}
    assert outcome.axes == {"best": "size"}
    assert example.score.__doc__.startswith("Best players: ")
    with pytest.raises(UserError, match="9 players are too few: at least 10"):
        example.wanted_coalitions(a_problem(9), Valuation(np.zeros(9)))


def test_a_missing_headline_is_named_with_what_there_is():
    made = task(version=1, headline="good", higher_is_better=True)(lambda *_: Outcome({"fine": 1.0, "better": 2.0}))
    message = "^task returned no metric 'good', its headline; it returned 'fine', 'better'$"
    with pytest.raises(UserError, match=message):
        scored(made, a_problem(), Valuation(np.zeros(20)))


def test_coalitions_are_copies():
    players = np.arange(3)
    made = task(version=1, headline="good", higher_is_better=True, coalitions=lambda *_: [players])(lambda *_: None)
    (asked,) = made.wanted_coalitions(a_problem(), Valuation(np.zeros(20)))
    asked[0] = 7
    assert players.tolist() == [0, 1, 2]
