"""The arithmetic of a corpus' value: its parts, intervals, strengths, and what cannot be a value."""

from __future__ import annotations

import dataclasses
import json
import math

import pytest

from dvbench.execution.corpus_estimates import CorpusValue, Forgetting, NoValueError, SeedLosses, require_possible
from dvbench.execution.value_corpus import _finite

CURVE = Forgetting(1e-3, 3.0, (0, 5, 10, 15), target=(2.0, 2.5, 4.0, 3.5), test=(5.0, 5.1, 5.7, 5.9))
RUN = SeedLosses(0, full=5.0, unlearned=5.3, alone=6.0, untrained=7.0, weaker=5.1, stronger=5.5, forgetting=CURVE)


def with_seed(seed: int, **losses: float) -> SeedLosses:
    return dataclasses.replace(RUN, seed=seed, **losses)


@pytest.mark.parametrize(
    ("fraction", "loss"),
    [
        (0.0, 5.0),
        (0.25, 5.05),
        (0.5, 5.1),
        (1.0, 5.3),  # a third of the way from 2.5 to 4
        (2.0, 5.7),
        (9.0, 5.7),  # it never forgot so much
    ],
)
def test_the_loss_at_a_strength_is_interpolated_where_it_was_first_reached(fraction: float, loss: float) -> None:
    assert CURVE.test_loss(fraction) == pytest.approx(loss)
    assert CURVE.reach == 2.0
    assert CURVE.looks == 2


def test_a_run_that_forgot_nothing_has_reached_nothing() -> None:
    curve = Forgetting(1e-9, 3.0, (0, 5), target=(2.0, 2.0), test=(5.0, 5.0))
    assert curve.reach == 0.0
    assert curve.test_loss(1.0) == 5.0


def test_a_value_is_half_of_both_parts_with_an_interval_over_seeds() -> None:
    corpus = CorpusValue((RUN, with_seed(1, unlearned=5.5), with_seed(2, unlearned=5.4)), 3.0, "made up")
    parts = corpus.estimates("log_loss")
    assert parts["unlearning"].mean == pytest.approx(0.4)
    assert parts["alone"].mean == pytest.approx(1.0)
    assert parts["value"].mean == pytest.approx(0.7)
    half = 4.302653 * 0.05 / math.sqrt(3)  # Student's t, two degrees of freedom
    assert (parts["value"].low, parts["value"].high) == pytest.approx((0.7 - half, 0.7 + half))
    assert corpus.range_of_strengths("log_loss") == pytest.approx((0.55, 0.75))
    assert corpus.reach == 1.5
    perplexities = corpus.estimates("perplexity")
    assert perplexities["alone"].mean == pytest.approx(math.exp(7) - math.exp(6))


def test_one_seed_has_no_interval() -> None:
    value = CorpusValue((RUN,), 3.0, "made up").estimates("log_loss")["value"]
    assert (value.low, value.high) == (None, None)


@pytest.mark.parametrize(
    ("run", "message"),
    [
        (with_seed(4, unlearned=7.1), r"with seed 4 the model .* is worse than an untrained one: unlearning ruined it"),
        (with_seed(4, unlearned=6.9, alone=4.0), r"the result is 2\.450 nats per token, beyond the 2\.000"),
        (with_seed(4, alone=12.0), r"the result is -2\.350 nats per token, beyond the 2\.000"),
    ],
)
def test_numbers_that_cannot_be_a_value_are_refused(run: SeedLosses, message: str) -> None:
    with pytest.raises(NoValueError, match=message):
        require_possible(run)
    require_possible(RUN)


def test_a_refused_value_is_not_in_the_file_and_its_parts_are() -> None:
    content = CorpusValue((RUN,), 3.0, "made up", refused="too much").as_json()
    assert content["value"] is None
    assert content["refused"] == "too much"
    assert content["parts"]["log_loss"]["unlearning"]["mean"] == pytest.approx(0.3)
    assert CorpusValue((), 3.0, "made up", refused="at once").as_json()["value"] is None


def test_a_perplexity_that_is_no_number_is_null_in_the_file() -> None:
    ruined = CorpusValue((with_seed(0, unlearned=800.0),), 3.0, "made up", refused="ruined")
    content = json.loads(json.dumps(_finite(ruined.as_json()), allow_nan=False))
    assert content["losses"]["unlearned"] == {"log_loss": 800.0, "perplexity": None}
