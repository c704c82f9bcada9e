"""Embedding similarity, with a made-up encoder of random weights and GPT-2's layout of a made-up vocabulary."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from made_up_corpora import made_up_words, sentence, write_vocabulary
from made_up_encoders import TEXTS, write_text_encoder

from dvbench.errors import UserError
from dvbench.problems.perplexity import PADDING
from dvbench.problems.text_encoder import text_encoder
from dvbench.problems.tokenizer import GPT2, load_vocabulary
from evaluators import EmbeddingSimilarity

SIZE = 270
SENTENCES = ["a b c", "d e f g", "h", "a c b", "j i h g f e", ""]
QUESTIONS = ["a b c", "b d"]


@pytest.fixture
def vocabulary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("DVBENCH_MIRROR", str(tmp_path / "mirror"))
    monkeypatch.setenv("DVBENCH_CACHE", str(tmp_path / "cache"))
    write_text_encoder(tmp_path / "mirror")
    rng = np.random.default_rng(0)
    made_up = [sentence(rng, made_up_words(rng, 50), 30) for _ in range(20)]
    write_vocabulary(tmp_path / "mirror" / GPT2, made_up, SIZE)
    return load_vocabulary(SIZE)


def rows(texts, vocabulary):
    encoded = vocabulary.encode_batch(texts)
    length = 1 + max(map(len, encoded))
    padded = [[vocabulary.begin_of_text, *row, *[PADDING] * (length - 1 - len(row))] for row in encoded]
    return torch.tensor(padded).to(torch.uint16)


def values(texts, questions, encoder=TEXTS, tokens=40):
    length = max(texts.shape[1], questions.shape[1])
    widened = [
        torch.cat([part.int(), torch.full((len(part), length - part.shape[1]), PADDING)], dim=1).to(torch.uint16)
        for part in (texts, questions)
    ]
    starts = [torch.ones(len(part), 1) for part in widened]
    evaluator = EmbeddingSimilarity(encoder, tokens).input_data(widened[0], starts[0], widened[1], starts[1])
    return evaluator.train_data_values().evaluate_data_values()


def test_values_are_mean_cosines_of_texts_that_are_encoded_one_by_one(vocabulary):
    encode = text_encoder(TEXTS, 40).load()

    def feature(text):
        ((_, compute),) = encode([text])
        return compute()[0].astype(float)

    def cosine(left, right):
        return left @ right / np.linalg.norm(left) / np.linalg.norm(right)

    expected = [np.mean([cosine(feature(s), feature(q)) for q in QUESTIONS]) for s in SENTENCES]
    actual = values(rows(SENTENCES, vocabulary), rows(QUESTIONS, vocabulary))
    np.testing.assert_allclose(actual, expected, atol=1e-5)
    assert np.ptp(actual) > 0.01


def test_a_text_is_most_like_itself(vocabulary):
    actual = values(rows(SENTENCES, vocabulary), rows(SENTENCES[1:2], vocabulary))
    assert actual[1] == pytest.approx(1, abs=1e-5)
    assert actual.argmax() == 1
    assert np.abs(actual).max() < 1 + 1e-5


def test_other_tokens_than_gpt2s_and_other_encoders_are_refused(vocabulary):
    texts = rows(SENTENCES, vocabulary)
    other = torch.where(torch.arange(texts.shape[1]) == 0, 3, texts.int()).to(torch.uint16)
    with pytest.raises(UserError, match=r"decodes texts in GPT-2's tokens.*; choose another evaluator"):
        values(other, other)
    with pytest.raises(UserError, match="encoder 'bert' is no id of the Hugging Face hub"):
        values(texts, texts, encoder="bert")
    with pytest.raises(UserError, match="reads texts and cannot value points with features"):
        EmbeddingSimilarity(TEXTS).fit(np.zeros((3, 2)), [0, 1, 0], np.zeros((3, 2)), [0, 1, 0])
