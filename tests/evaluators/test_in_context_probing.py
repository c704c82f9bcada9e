"""In-context probing against the logits of transformers, for each pair of a text and a question alone."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from plain_texts import counted, made_texts, tiny_model, tokens_of
from torch.nn import functional

import dvbench
from dvbench.errors import UserError
from dvbench.randomness import random_state
from evaluators import InContextProbing, in_context_probing

FIT = {"epochs": 2, "batch_size": 4, "lr": 0.01}


def values(model, train, validation, **settings):
    evaluator = InContextProbing(**{"random_state": 0, **settings})
    evaluator.input_data(*train, *validation).input_model(model)
    return evaluator.train_data_values(**FIT).evaluate_data_values()


def by_pairs(model, train, validation, positions=1024):
    """Rise of the log-probability of the tokens of each question that count."""
    network = model.clone().fit(*train, **FIT).network.eval()
    longest = max(len(tokens_of(question)) for question in validation[0])
    total, tokens = np.zeros(len(train[0])), len(counted(network, *validation)[1])
    with torch.no_grad():
        before = float(functional.cross_entropy(*counted(network, *validation), reduction="sum"))
        for i, text in enumerate(train[0]):
            for question, (begin,) in zip(validation[0], validation[1].tolist(), strict=True):
                text_tokens, asked = tokens_of(text)[: positions + 1 - longest], tokens_of(question)
                together = torch.tensor([*text_tokens, *asked])
                logits = network(input_ids=together[None, :-1]).logits[0]
                start = len(text_tokens) + int(begin)
                total[i] += float(functional.cross_entropy(logits[start - 1 :], together[start:], reduction="sum"))
    return (before - total) / tokens


@pytest.mark.parametrize("chunk", [512, 5])
def test_values_are_those_of_single_pairs(chunk, monkeypatch):
    monkeypatch.setattr(in_context_probing, "CHUNK", chunk)
    model, train, validation = tiny_model(), made_texts(7, 1), made_texts(4, 2)
    actual = values(model, train, validation)
    np.testing.assert_allclose(actual, by_pairs(model, train, validation), rtol=1e-7, atol=1e-10)
    assert np.ptp(actual) > 1e-3
    assert model.fits.count == 2


def test_a_text_that_is_too_long_loses_its_end():
    model, train, validation = tiny_model(), made_texts(6, 1), made_texts(4, 2)
    model.network.config.n_positions = 12
    actual = values(model, train, validation)
    np.testing.assert_allclose(actual, by_pairs(model, train, validation, 12), rtol=1e-7, atol=1e-10)
    assert np.abs(actual - by_pairs(model, train, validation)).max() > 1e-6


def test_questions_are_drawn_and_repeat():
    model, train, validation = tiny_model(), made_texts(5, 1), made_texts(9, 2)
    drawn = np.sort(random_state(0).permutation(9)[:3])
    some = values(model, train, validation, questions=3)
    np.testing.assert_array_equal(some, values(model, train, validation, questions=3))
    chosen = values(model, train, tuple(part[drawn] for part in validation))
    np.testing.assert_allclose(some, chosen, rtol=1e-9, atol=1e-12)
    assert not np.allclose(some, values(model, train, validation))


def test_what_it_cannot_do_is_refused():
    x, y = np.random.default_rng(0).normal(size=(12, 3)), np.arange(12) % 2
    with pytest.raises(UserError, match="in_context_probing takes texts only"):
        dvbench.value(x, y, evaluator="in_context_probing", validation=(x, y), progress=False)
    train, (questions, begins) = made_texts(4, 1), made_texts(4, 2)
    with pytest.raises(UserError, match="questions of which the loss includes no token"):
        values(tiny_model(), train, (questions, begins + 100))
