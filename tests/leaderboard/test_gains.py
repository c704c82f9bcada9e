"""Gains over random values, their intervals, and the Pareto front, against made-up evaluators of known gains."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from leaderboard.gains import gains, on_front

ROLES = {"random": "random", "best": "oracle"}


def scores(values, tasks=("f",), limits=(0.0, 1.0)) -> pd.DataFrame:
    """Scores of ``{evaluator: array (problems, tasks, seeds)}``; NaN is a failed score."""
    rows = [
        (f"p{p}", task, evaluator, seed, value, True, "failed" if np.isnan(value) else "ok", *limits)
        for evaluator, array in values.items()
        for p, of_problem in enumerate(array)
        for task, seeds in zip(tasks, of_problem, strict=True)
        for seed, value in enumerate(seeds)
    ]
    columns = ["problem", "task", "evaluator", "seed", "value", "higher_is_better", "status", "lowest", "highest"]
    return pd.DataFrame(rows, columns=columns)


def costs(seconds, problems) -> pd.DataFrame:
    rows = [(f"p{p}", name, taken, True) for name, taken in seconds.items() for p in range(problems)]
    return pd.DataFrame(rows, columns=["problem", "evaluator", "seconds", "complete"])


def same(value: float, problems: int = 7, seeds: int = 3) -> np.ndarray:
    return np.full((problems, 1, seeds), value)


def test_a_gain_is_the_distance_from_random_values_in_the_same_seed():
    values = {"random": same(0.5), "A": same(0.8), "best": same(0.9), "bad": same(0.4)}
    for array in values.values():
        array[0, 0, 0] += 0.1  # luck of a split is everyone's
    found = gains(scores(values), costs(dict.fromkeys(values, 1.0), 7), ROLES)
    assert found.table["gain"].round(12).to_dict() == {"random": 0.0, "A": 0.3, "best": 0.4, "bad": -0.1}
    assert found.table.loc["A", ["gain_low", "gain_high"]].tolist() == pytest.approx([0.3, 0.3])
    assert np.isnan(found.table.loc["random", "gain_low"])
    assert (found.observations, found.columns, found.left_out) == ("problems", 7, 0)


def test_random_values_alone_gain_nothing():
    table = gains(scores({"random": same(0.5)}), costs({"random": 1.0}, 7), ROLES).table
    assert table.loc["random", "gain"] == 0
    assert table[["gain_low", "gain_high", "front"]].isna().all(axis=None)


def test_lower_is_better_has_a_gain_too():
    frame = scores({"random": same(0.5), "A": same(0.2)}).assign(higher_is_better=False)
    assert gains(frame, costs({}, 0), ROLES).table.loc["A", "gain"] == pytest.approx(0.3)


def test_every_problem_has_the_same_weight_whatever_its_seeds():
    values = {"random": same(0.5), "A": same(0.8)}
    values["A"][0] = 0.5
    frame = scores(values)
    frame = frame[~((frame["problem"] == "p0") & (frame["seed"] > 0))]
    assert gains(frame, costs({}, 0), ROLES).table.loc["A", "gain"] == pytest.approx(0.3 * 6 / 7)


def test_failing_gains_nothing_and_declining_loses_nothing():
    values = {"random": same(0.5), "A": same(0.8), "bad": same(0.3), "honest": same(0.3)}
    values["bad"][0] = np.nan  # counts as the worst of the problem
    found = gains(scores(values), costs({}, 0), ROLES).table["gain"]
    assert found["bad"] == pytest.approx(found["honest"])
    frame = scores({"random": same(0.5), "A": same(0.8)})
    frame.loc[(frame["evaluator"] == "A") & (frame["problem"] == "p0"), ["value", "status"]] = np.nan, "failed"
    assert gains(frame, costs({}, 0), ROLES).table.loc["A", "gain"] == pytest.approx(0.3 * 6 / 7)
    frame.loc[frame["status"] == "failed", "status"] = "declined"
    assert gains(frame, costs({}, 0), ROLES).table.loc["A", "gain"] == pytest.approx(0.3)


def test_metrics_without_bounds_are_left_out_and_no_random_values_give_no_gain():
    errors = scores({"random": same(50.0, 2), "A": same(90.0, 2)}, limits=(-np.inf, np.inf)).replace(
        {"p0": "q0", "p1": "q1"}
    )
    both = pd.concat([scores({"random": same(0.5), "A": same(0.8)}), errors], ignore_index=True)
    found = gains(both, costs({}, 0), ROLES)
    assert found.table.loc["A", "gain"] == pytest.approx(0.3)
    assert (found.columns, found.left_out) == (7, 2)
    assert gains(both, costs({}, 0), {}).table.isna().all(axis=None)
    assert gains(errors, costs({}, 0), ROLES).table.isna().all(axis=None)


def test_few_problems_have_intervals_over_their_seeds_and_one_seed_has_none():
    rng = np.random.default_rng(0)
    values = {"random": same(0.5, 2, 4), "A": 0.8 + 0.01 * rng.normal(size=(2, 1, 4))}
    found = gains(scores(values), costs({}, 0), ROLES)
    assert found.observations == "seeds"
    assert 0.001 < found.table.loc["A", "gain_high"] - found.table.loc["A", "gain_low"] < 0.06
    one = gains(scores({name: array[:, :, :1] for name, array in values.items()}), costs({}, 0), ROLES)
    assert one.table.loc["A"].isna().tolist() == [False, True, True, True]


def test_the_front_is_who_nobody_beats_in_both():
    gain = np.array([[0.3, 0.2, 0.2, 0.4, -0.1, np.nan, 0.4]])
    seconds = np.array([[1.0, 0.5, 0.6, 9.0, 0.1, 0.1, np.nan]])
    assert on_front(gain, seconds).tolist() == [[True, True, False, True, False, False, False]]
    # The numbers of the second draw are those of the first in another order.
    order = [3, 1, 0, 2, 4, 6, 5]
    both = on_front(np.vstack([gain, gain[:, order]]), np.vstack([seconds, seconds[:, order]]))
    assert (both[0][order] == both[1]).all()


def test_who_is_on_the_front_in_half_of_the_draws_has_half_a_probability():
    """B is dearer than A, and better in every second problem as much as it is worse in the others."""
    values = {"random": same(0.5, 12), "A": same(0.7, 12), "B": same(0.7, 12), "C": same(0.6, 12)}
    values["B"][::2] += 0.1
    values["B"][1::2] -= 0.1
    found = gains(scores(values), costs({"random": 0.0, "A": 1.0, "B": 2.0, "C": 3.0}, 12), ROLES)
    assert found.table.loc["A", "front"] == 1.0
    assert 0.3 < found.table.loc["B", "front"] < 0.5
    assert found.table.loc["C", "front"] == 0.0
    assert np.isnan(found.table.loc["random", "front"])


def test_who_did_not_finish_has_no_place_on_the_front():
    cost = costs({"random": 0.0, "A": 1.0}, 7)
    values = {"random": same(0.5), "A": same(0.8)}
    assert gains(scores(values), cost, ROLES).table.loc["A", "front"] == 1.0
    cost.loc[cost["evaluator"].eq("A") & cost["problem"].eq("p3"), ["seconds", "complete"]] = np.nan, False
    assert np.isnan(gains(scores(values), cost, ROLES).table.loc["A", "front"])


@pytest.mark.parametrize(
    ("problems", "seeds", "observations"), [(7, 2, "problems"), (11, 10, "problems"), (2, 3, "seeds")]
)
def test_intervals_hold_the_true_gain_as_often_as_they_say(problems, seeds, observations):
    """Of 600 made-up evaluators, at most 5% + 3 standard deviations miss it, and not all hold it."""
    rng, missed = np.random.default_rng(1), 0
    for _ in range(6):
        between = (0.1 if observations == "problems" else 0.0) * rng.normal(size=(100, problems, 1, 1))
        made = 0.7 + between + 0.05 * rng.normal(size=(100, problems, 1, seeds))
        values = {"random": same(0.5, problems, seeds)} | {f"e{number}": array for number, array in enumerate(made)}
        found = gains(scores(values), costs({}, 0), ROLES)
        assert found.observations == observations
        others = found.table.drop("random")
        missed += ((others["gain_low"] > 0.2) | (others["gain_high"] < 0.2)).sum()
    assert 0 < missed <= 600 * 0.05 + 3 * np.sqrt(600 * 0.05 * 0.95)
