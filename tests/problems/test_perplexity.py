"""Perplexity by hand, and the mask of tokens."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from dvbench.problems.perplexity import NOT_PREDICTED, PADDING, are_tokens, mean_log_loss, negative_perplexity

LOG_PROBABILITIES = torch.tensor(
    [[NOT_PREDICTED, math.log(0.5), math.log(0.25), NOT_PREDICTED], [NOT_PREDICTED, math.log(0.1), 0.0, math.log(0.2)]]
)


def begin(*positions):
    return torch.tensor(positions).reshape(-1, 1)


@pytest.mark.parametrize(
    ("begins", "probabilities"),
    [
        ((1, 1), [0.5, 0.25, 0.1, 1.0, 0.2]),
        ((2, 3), [0.25, 0.2]),
        ((4, 2), [1.0, 0.2]),  # the loss includes no token of the first text
        ((0, 0), [0.5, 0.25, 0.1, 1.0, 0.2]),  # the first token is never predicted
        ((4, 3), [0.2]),
    ],
)
def test_perplexity_by_hand(begins, probabilities):
    geometric = np.prod(probabilities) ** (1 / len(probabilities))
    assert negative_perplexity(begin(*begins), LOG_PROBABILITIES) == pytest.approx(-1 / geometric)
    assert mean_log_loss(begin(*begins), LOG_PROBABILITIES) == pytest.approx(-math.log(geometric))


def test_a_model_that_predicts_every_token_has_perplexity_one():
    assert negative_perplexity(begin(1), torch.tensor([[NOT_PREDICTED, 0.0, 0.0]])) == -1.0


def test_texts_without_a_token_in_the_loss_are_refused():
    with pytest.raises(ValueError, match="the loss includes no token of these texts"):
        mean_log_loss(begin(4, 4), LOG_PROBABILITIES)
    with pytest.raises(ValueError, match="the loss includes no token of these texts"):
        negative_perplexity(begin(1), torch.full((1, 3), NOT_PREDICTED))


@given(st.integers(2, 60_000), st.integers(1, 5), st.integers(2, 9))
def test_the_perplexity_of_a_uniform_model_is_the_size_of_the_vocabulary(vocabulary, texts, length):
    log_probabilities = torch.full((texts, length), -math.log(vocabulary), dtype=torch.float64)
    log_probabilities[:, 0] = NOT_PREDICTED
    assert -negative_perplexity(begin(*[1] * texts), log_probabilities) == pytest.approx(vocabulary, rel=1e-9)


def test_padding_is_the_largest_number_in_narrow_rows_and_negative_in_wide_ones():
    narrow = torch.from_numpy(np.array([[7, 0, 65_534, PADDING]], dtype=np.uint16))
    assert are_tokens(narrow).tolist() == [[True, True, True, False]]
    for kind in (torch.int32, torch.int64):
        wide = torch.tensor([[7, 0, 65_535, 100_000, -1]], dtype=kind)
        assert are_tokens(wide).tolist() == [[True, True, True, True, False]]
