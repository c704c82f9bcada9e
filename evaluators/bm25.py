"""BM25: how many words a text shares with the questions, rare words counting most."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy import sparse

from dvbench.number_checks import number
from dvbench.randomness import random_state as as_random_state
from dvbench.training.tensors import as_tensor
from evaluators.common.own_evaluator import OwnEvaluator
from evaluators.common.requirements import require_texts
from evaluators.common.texts import word_counts


class BM25(OwnEvaluator):
    """BM25: mean score of a text as the answer to a search for each text of the validation set. It trains nothing.

        phi_i = mean over questions q of the sum over tokens t of q of  idf(t) f (k1 + 1) / (f + k1 (1 - b + b |i| / m))

    with f the number of times that t occurs in text i, |i| its number of tokens, m their mean over texts, and the
    inverse document frequency idf(t) = log(1 + (n - n_t + 1/2) / (n_t + 1/2)) for the n_t of n texts that have t. A
    token that occurs twice in a question counts twice. The words are the model's tokens, without the begin-of-text
    token; all tokens of a question are used, also where the loss includes the answers only. A value is at least 0,
    which a text has that shares no token with any question, has no unit and no upper bound. A subset is worth the sum
    over its texts, so long texts are not favoured but large subsets are.

    It costs no fit, and takes a fraction of a second. It reads texts only, and no model: what it says is the same for
    every model, and whatever training does.

    Parameters
    ----------
    k1 : float
        Above 0: how much further occurrences of a token add.
    b : float
        Between 0 and 1: how much long texts are penalised.
    random_state : int or RandomState, optional
        Not used.

    Notes
    -----
    Variant: with the inverse document frequency of Lucene, which is never negative, and with the factor k1 + 1, which
    Lucene leaves out. Tested against the formula written as loops, and a case worked out by hand.

    Values: score of a search, at least 0, without unit; a high one is of a text that is like the questions.

    Takes: texts only, as points and subsets.

    Between processors: equal up to rounding.

    References
    ----------
    S. Robertson, H. Zaragoza. The probabilistic relevance framework: BM25 and beyond. Foundations and Trends in
    Information Retrieval 3, 2009, doi:10.1561/1500000019. Section 3.4.
    """

    def __init__(
        self, k1: float = 1.5, b: float = 0.75, random_state: int | np.random.RandomState | None = None
    ) -> None:
        self.k1, self.b = number("k1", k1, above=0), number("b", b, above=0, below=1)
        self.random_state = as_random_state(random_state)

    def train_data_values(self, *args: Any, **kwargs: Any) -> BM25:
        """Compute the values."""
        self.__dict__.pop("data_values", None)  # OpenDataVal caches it; it belongs to earlier data
        texts, questions = as_tensor(self.x_train), as_tensor(self.x_valid)
        require_texts("bm25", texts)
        counts, asked = word_counts(texts, questions)
        self.values_: np.ndarray = bm25_values(counts, asked, self.k1, self.b)
        return self


def bm25_values(texts: sparse.csr_array, questions: sparse.csr_array, k1: float, b: float) -> np.ndarray:
    """Mean score of every text over the questions.

    Parameters
    ----------
    texts, questions : scipy.sparse.csr_array of shape (n, vocabulary) and (m, vocabulary)
        How often each token occurs.
    k1, b : float

    Returns
    -------
    numpy.ndarray of shape (n,), float64
    """
    n, counts = texts.shape[0], texts.tocoo()
    having = np.bincount(counts.col, minlength=texts.shape[1])
    asked = questions.mean(axis=0) * np.log1p((n - having + 0.5) / (having + 0.5))
    lengths = texts.sum(axis=1)
    norms = k1 * (1 - b + b * lengths / max(lengths.mean(), 1e-300))
    scores = asked[counts.col] * counts.data * (k1 + 1) / (counts.data + norms[counts.row])
    return np.bincount(counts.row, weights=scores, minlength=n)
