"""BM25 against its formula in loops, and a case worked out by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from text_problems import a_text_problem

import dvbench
from dvbench.errors import UserError
from dvbench.problems.perplexity import PADDING
from evaluators import BM25

BEGIN = 99


def rows(*texts):
    """Texts of token numbers as rows with a begin-of-text token and padding."""
    length = 1 + max(map(len, texts))
    return torch.tensor([[BEGIN, *text, *[PADDING] * (length - 1 - len(text))] for text in texts]).to(torch.uint16)


def values(texts, questions, **settings):
    starts = [torch.ones(len(part), 1) for part in (texts, questions)]
    evaluator = BM25(**settings).input_data(texts, starts[0], questions, starts[1])
    return evaluator.train_data_values().evaluate_data_values()


def by_loops(texts, questions, k1, b):
    mean_length = sum(map(len, texts)) / len(texts)
    scores = np.zeros((len(texts), len(questions)))
    pairs = [(one, other) for one in enumerate(texts) for other in enumerate(questions)]
    for (i, text), (j, question) in pairs:
        for token in question:
            having = sum(token in other for other in texts)
            rarity = math.log(1 + (len(texts) - having + 0.5) / (having + 0.5))
            often = text.count(token)
            scores[i, j] += rarity * often * (k1 + 1) / (often + k1 * (1 - b + b * len(text) / mean_length))
    return scores.mean(axis=1)


@pytest.mark.parametrize(("k1", "b"), [(1.5, 0.75), (0.9, 0.4)])
def test_values_are_those_of_the_formula_in_loops(k1, b):
    rng = np.random.default_rng(0)
    texts, questions = ([rng.integers(0, 12, rng.integers(1, 9)).tolist() for _ in range(n)] for n in (7, 5))
    actual = values(rows(*texts), rows(*questions), k1=k1, b=b)
    np.testing.assert_allclose(actual, by_loops(texts, questions, k1, b), rtol=1e-12)
    assert np.ptp(actual) > 0.1


def test_a_case_by_hand():
    """Two texts of two tokens; 5 is in one of two texts, so it counts log(1 + 1.5 / 1.5); 6 is in both: log(1.2)."""
    actual = values(rows([5, 6], [6, 7]), rows([5]), k1=1.0)
    np.testing.assert_allclose(actual, [math.log(2), 0])
    both = values(rows([5, 6], [6, 7]), rows([5, 6], [8]), k1=1.0)
    np.testing.assert_allclose(both, [(math.log(2) + math.log(1.2)) / 2, math.log(1.2) / 2])


def test_what_all_texts_begin_with_and_padding_count_for_nothing():
    assert values(rows([1, 2, 3], [4]), rows([5], [6, 7, 8])).tolist() == [0, 0]


def test_a_corpus_is_worth_the_sum_over_its_texts_and_one_like_the_questions_most():
    problem = a_text_problem(players=4, each=6)
    like_first = type(problem.validation)(problem.train.x[:6], problem.train.y[:6])
    problem = type(problem)(**{**vars(problem), "validation": like_first})
    of_texts = BM25().train(problem.fetcher(), None, None).data_values
    assert problem.summed(of_texts).argmax() == 0
    np.testing.assert_array_equal(problem.summed(of_texts)[1:], 0)


def test_points_with_features_are_refused():
    x, y = np.random.default_rng(0).normal(size=(12, 3)), np.arange(12) % 2
    with pytest.raises(UserError, match="bm25 takes texts only, and no table"):
        dvbench.value(x, y, evaluator="bm25", validation=(x, y), progress=False)
    with pytest.raises(ValueError, match="b is a finite number above 0 and below 1, not 1"):
        BM25(b=1)
