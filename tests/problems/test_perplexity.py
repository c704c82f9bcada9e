"""Perplexity by hand, and which numbers stand for tokens."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from dvbench.problems.perplexity import NOT_PREDICTED, PADDING, are_tokens, mean_log_loss, negative_perplexity

SAID = torch.tensor(
    [[NOT_PREDICTED, math.log(0.5), math.log(0.25), NOT_PREDICTED], [NOT_PREDICTED, math.log(0.1), 0.0, math.log(0.2)]]
)


def begin(*positions):
    return torch.tensor(positions).reshape(-1, 1)


@pytest.mark.parametrize(
    ("begins", "probabilities"),
    [
        ((1, 1), [0.5, 0.25, 0.1, 1.0, 0.2]),
        ((2, 3), [0.25, 0.2]),
        ((4, 2), [1.0, 0.2]),  # a text of which nothing counts
        ((0, 0), [0.5, 0.25, 0.1, 1.0, 0.2]),  # the first token is never predicted
        ((4, 3), [0.2]),
    ],
)
def test_perplexity_by_hand(begins, probabilities):
    geometric = np.prod(probabilities) ** (1 / len(probabilities))
    assert negative_perplexity(begin(*begins), SAID) == pytest.approx(-1 / geometric)
    assert mean_log_loss(begin(*begins), SAID) == pytest.approx(-math.log(geometric))


def test_a_sure_and_right_model_has_perplexity_one():
    assert negative_perplexity(begin(1), torch.tensor([[NOT_PREDICTED, 0.0, 0.0]])) == -1.0


def test_texts_of_which_nothing_counts_have_none():
    with pytest.raises(ValueError, match="no token of these texts counts"):
        mean_log_loss(begin(4, 4), SAID)
    with pytest.raises(ValueError, match="no token of these texts counts"):
        negative_perplexity(begin(1), torch.full((1, 3), NOT_PREDICTED))


@given(st.integers(2, 60_000), st.integers(1, 5), st.integers(2, 9))
def test_a_uniform_model_is_as_perplexed_as_there_are_tokens(vocabulary, texts, length):
    said = torch.full((texts, length), -math.log(vocabulary), dtype=torch.float64)
    said[:, 0] = NOT_PREDICTED
    assert -negative_perplexity(begin(*[1] * texts), said) == pytest.approx(vocabulary, rel=1e-9)


def test_padding_is_the_largest_number_in_narrow_rows_and_negative_in_wide_ones():
    narrow = torch.from_numpy(np.array([[7, 0, 65_534, PADDING]], dtype=np.uint16))
    assert are_tokens(narrow).tolist() == [[True, True, True, False]]
    for kind in (torch.int32, torch.int64):
        wide = torch.tensor([[7, 0, 65_535, 100_000, -1]], dtype=kind)
        assert are_tokens(wide).tolist() == [[True, True, True, True, False]]
