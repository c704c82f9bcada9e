"""Embedding similarity: how near a text is to the questions in the space of a frozen sentence encoder."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from dvbench.errors import UserError
from dvbench.number_checks import whole_number
from dvbench.problems.encoders import TEXT_ENCODER, encode_rows
from dvbench.problems.text_encoder import text_encoder
from dvbench.problems.tokenizer import load_vocabulary
from dvbench.randomness import random_state as as_random_state
from dvbench.training.tensors import as_tensor
from evaluators.common.own_evaluator import OwnEvaluator
from evaluators.common.requirements import require_texts
from evaluators.common.texts import word_tokens


class EmbeddingSimilarity(OwnEvaluator):
    """Embedding similarity: mean cosine similarity of a text and the texts of the validation set. It trains nothing.

        phi_i = mean over questions q of  <e(i), e(q)>

    with e the features of a frozen sentence encoder, of length 1. Texts are decoded from the model's tokens, without
    the begin-of-text token; all of a question is used, also where the loss includes the answer only. Values are between
    -1 and 1 and have no unit; positive values are of texts that are like the questions. A subset is worth the sum over
    its texts.

    It costs no fit, but one pass of the encoder over all texts, which are then kept in the cache: some 20 ms a text of
    64 tokens on one core. It takes texts in the first tokens of GPT-2's vocabulary only, which all text data sets of
    dvbench have, and no model: what it says is the same for every model, and whatever training does.

    Parameters
    ----------
    encoder : str
        Id of a sentence encoder on the hub.
    tokens : int
        Tokens of the encoder that are read of each text, at most.
    random_state : int or RandomState, optional
        Not used.

    Notes
    -----
    Variant: the mean over the questions, not the similarity to the nearest one. Tested against cosines of texts that
    were encoded one by one, and on texts that equal or share nothing with the question.

    Values: cosine, between -1 and 1; a high one is of a text that is like the questions.

    Takes: texts only, as points and subsets.

    Between processors: equal up to rounding.

    References
    ----------
    N. Reimers, I. Gurevych. Sentence-BERT: sentence embeddings using siamese BERT-networks. EMNLP 2019,
    arXiv:1908.10084.
    """

    def __init__(
        self, encoder: str = TEXT_ENCODER, tokens: int = 256, random_state: int | np.random.RandomState | None = None
    ) -> None:
        self.encoder, self.tokens = encoder, whole_number("tokens", tokens)
        self.random_state = as_random_state(random_state)

    def train_data_values(self, *args: Any, **kwargs: Any) -> EmbeddingSimilarity:
        """Encode the texts and compute the values.

        Raises
        ------
        UserError
            If the encoder is not available, or the tokens are not GPT-2's.
        """
        self.__dict__.pop("data_values", None)  # OpenDataVal caches it; it belongs to earlier data
        texts, questions = as_tensor(self.x_train), as_tensor(self.x_valid)
        require_texts("embedding_similarity", texts)
        rows = decoded(torch.cat([texts, questions]))
        features = encode_rows(rows, text_encoder(self.encoder, self.tokens)).astype(np.float64)
        self.values_: np.ndarray = features[: len(texts)] @ features[len(texts) :].mean(axis=0)
        return self


def decoded(x: torch.Tensor) -> list[str]:
    """Texts of rows of tokens.

    Parameters
    ----------
    x : torch.Tensor of shape (n, length)
        All begin with the begin-of-text token, which is the last one of its vocabulary.

    Raises
    ------
    UserError
        If they do not, or a token is none of the vocabulary.
    """
    begins, rows = x[:, 0].long().unique(), word_tokens(x)
    if len(begins) != 1 or any(len(row) and row.max() > int(begins) for row in rows):
        raise UserError(
            "embedding_similarity decodes texts in GPT-2's tokens, which begin with the last token of the vocabulary; "
            "choose another evaluator"
        )
    vocabulary = load_vocabulary(int(begins) + 1)
    return [vocabulary.decode(row.tolist()) for row in rows]
