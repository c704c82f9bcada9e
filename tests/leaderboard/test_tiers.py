"""Tiers and intervals of ranks, against made-up evaluators of which it is known who is better."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from leaderboard.tiers import separated, tiers

NAMES = list("ABCDEFGH")


def frame(by_problem: np.ndarray, seeds: int = 1) -> pd.DataFrame:
    """Ranks in (problem, seed), of scores (problems, seeds, evaluators) or (problems, evaluators)."""
    scores = by_problem.reshape(len(by_problem), seeds, -1)
    index = pd.MultiIndex.from_product([range(len(scores)), range(seeds)], names=["problem", "seed"])
    ranks = pd.DataFrame(-scores.reshape(-1, scores.shape[2]), index=index).rank(axis=1)
    return ranks.set_axis(NAMES[: scores.shape[2]], axis=1)


def interval(found, name: str) -> tuple[int, int]:
    return tuple(found.table.loc[name, ["first", "last"]])


def test_who_is_better_everywhere_is_first_and_who_swaps_shares_ranks():
    # A always wins; B and C swap; D always loses.
    scores = np.array([[9, 5, 4, 1] if i % 2 else [9, 4, 5, 1] for i in range(12)], dtype=float)
    found = tiers(frame(scores))
    assert [interval(found, name) for name in "ABCD"] == [(1, 1), (2, 3), (2, 3), (4, 4)]
    assert found.table["tier"].to_dict() == {"A": 1, "B": 2, "C": 2, "D": 3}
    assert (found.separable, found.neighbours, found.observations) == (2, 3, "problems")


def test_five_problems_say_nothing_of_others_and_their_seeds_do_of_these():
    """With five signs, the least p-value is 1/16: nothing is below 5%, however clear it is."""
    always = np.array([[9.0, 1.0]] * 5)
    alone = tiers(frame(always))
    assert interval(alone, "A") == (1, 2)
    assert alone.separable == 0
    with_seeds = tiers(frame(np.stack([always, always], axis=1), seeds=2))
    assert with_seeds.observations == "seeds"
    assert interval(with_seeds, "A") == (1, 1)
    assert interval(tiers(frame(np.array([[9.0, 1.0]] * 6))), "A") == (1, 1)


def test_a_problem_with_many_seeds_weighs_as_much_as_one_with_few():
    """B wins both problems of three seeds each; the 60 seeds of the one that A wins are no 60 problems."""
    few = pd.concat([frame(np.array([[1.0, 9.0]] * 3), 1).assign(problem=p) for p in ("p", "q")])
    many = frame(np.array([[9.0, 1.0]] * 60)).assign(problem="r")
    both = pd.concat([few, many]).reset_index(level="seed", drop=True).reset_index(drop=True)
    both["seed"] = both.groupby("problem").cumcount()
    found = tiers(both.set_index(["problem", "seed"]))
    assert found.table.index.tolist() == ["B", "A"]


def test_declined_problems_are_not_compared():
    """A is first wherever it applies, in eight of twelve problems, and the other four say nothing on it."""
    ranks = frame(np.array([[9.0, 5.0, 1.0]] * 12))
    ranks.iloc[8:, 0] = np.nan
    found = tiers(ranks)
    assert interval(found, "A") == (1, 1)
    ranks.iloc[3:, 0] = np.nan  # three problems are too few to say it
    assert interval(tiers(ranks), "A")[1] > 1


def test_nobody_and_one_alone():
    assert tiers(pd.DataFrame()).neighbours == 0
    assert tiers(frame(np.ones((7, 1)))).table.empty
    assert not separated(np.ones((9, 3))).any()


def test_equal_evaluators_share_a_tier():
    scores = np.random.default_rng(3).normal(size=(11, 8))
    found = tiers(frame(scores))
    assert (found.table["tier"] == 1).all()
    assert found.separable == 0


@pytest.mark.slow
@pytest.mark.parametrize(("problems", "observations"), [(8, "problems"), (18, "problems"), (3, "seeds")])
def test_one_wrong_statement_in_at_most_one_suite_of_twenty(problems, observations):
    """Family-wise: A and B are better than six equal ones, in 400 made-up suites.

    A wrong statement is one among equals, or one the wrong way round. Of 400 suites with a rate of 5%, more than 32
    have one with a probability of 0.1%.
    """
    rng, wrong, true = np.random.default_rng(0), 0, 0
    for _ in range(400):
        skill = np.array([2.5, 2.5, 0, 0, 0, 0, 0, 0.0])
        noise = rng.gamma(1.0, 1.0, size=(problems, 1, 8))  # an evaluator is steady on some problems only
        scores = skill + noise * rng.normal(size=(problems, 4, 8))
        ranks = frame(scores.reshape(problems, -1), seeds=4)
        found = tiers(ranks)
        assert found.observations == observations
        values = ranks.groupby("problem").mean() if observations == "problems" else ranks
        better = separated(values.to_numpy())
        wrong += better[:2, :2].any() or better[2:, 2:].any() or better[2:, :2].any()
        true += better[:2, 2:].mean()
    assert wrong <= 32
    assert true > 80


@pytest.mark.slow
@pytest.mark.parametrize("problems", [7, 11])
def test_the_rate_is_held_where_nobody_is_better(problems):
    rng = np.random.default_rng(1)
    wrong = sum(separated(frame(rng.normal(size=(problems, 8))).to_numpy()).any() for _ in range(400))
    assert wrong <= 32
