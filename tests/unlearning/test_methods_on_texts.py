"""Negative preference optimisation and SCRUB of texts against plain loops of their losses."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from plain_loops import drawn_rows
from plain_texts import counted, log_loss, made_texts, plain_text_unlearning, tiny_model, weights

from dvbench.training import pass_size
from dvbench.unlearning.contract import Minibatch
from dvbench.unlearning.language_model_engine import LanguageModelUnlearner
from dvbench.unlearning_methods.negative_preference import NegativePreference
from dvbench.unlearning_methods.plain_ascent import PlainAscent
from dvbench.unlearning_methods.scrub import Scrub

X, Y = made_texts(10)
Z, Y_Z = made_texts(7, seed=1)
COALITION = np.array([6, 1, 8])
MODEL = tiny_model().fit(X, Y, batch_size=5, epochs=3, lr=5e-3)


@pytest.fixture(params=[2**28, 1], ids=["one pass", "text by text"], autouse=True)
def at_once(request, monkeypatch):
    for name in ("CPU_PASS_BYTES", "CPU_CHUNK_BYTES"):
        monkeypatch.setattr(pass_size, name, request.param)


def unlearned(method):
    return LanguageModelUnlearner(MODEL, X, Y, Z, Y_Z, method).unlearn([COALITION], 11).network


def assert_minimises(method, loss):
    """The method moves a network as AdamW moves it on ``loss(network, step, forget, keep)``."""
    network = copy.deepcopy(MODEL.network)
    rows = drawn_rows(COALITION, len(X), len(Z), method.steps, method.batch_size, 11)
    plain_text_unlearning(network, lambda *step: loss(network, *step), lambda: 0.0, rows, method.lr)
    torch.testing.assert_close(weights(unlearned(method)), weights(network), rtol=1e-6, atol=1e-8)


def log_probability(network, row):
    """Of a whole text: the sum over its tokens that count."""
    logits, tokens = counted(network, X[row : row + 1], Y[row : row + 1])
    return -F.cross_entropy(logits, tokens, reduction="sum")


def test_negative_preference_is_of_whole_texts():
    """Equation 3 of its paper, where p(y|x) is that of a sequence, and the mean is over sequences."""

    def loss(network, step, forget, keep):
        ratios = [log_probability(network, row) - log_probability(MODEL.network, row).detach() for row in forget]
        forgetting = torch.stack([2 / 0.5 * torch.log(1 + ratio.exp() ** 0.5) for ratio in ratios]).mean()
        return forgetting + 0.4 * log_loss(network, Z[keep], Y_Z[keep])

    assert_minimises(NegativePreference(steps=4, batch_size=4, lr=0.01, beta=0.5, retain=0.4), loss)


def test_negative_preference_becomes_ascent_on_whole_texts_as_beta_falls():
    method = NegativePreference(steps=3, batch_size=4, lr=0.01, beta=1e-9, retain=0.0)

    class Ascent(PlainAscent):
        """Of the sum over each text's tokens; AdamW's epsilon sees the scale."""

        def rules(self, step):
            return lambda logits, batch: super(Ascent, self).rules(step)[0](logits, batch) * batch.tokens_per_text, None

    expected = unlearned(Ascent(steps=3, batch_size=4, lr=0.01))
    torch.testing.assert_close(weights(unlearned(method)), weights(expected), rtol=1e-5, atol=1e-7)


def test_scrub_distils_at_its_temperature():
    def loss(network, step, forget, keep):
        x, y = (X[forget], Y[forget]) if step % 2 else (Z[keep], Y_Z[keep])
        teacher, student = (counted(each, x, y)[0] / 3 for each in (MODEL.network, network))
        log_q, log_p = student.log_softmax(dim=1), teacher.detach().log_softmax(dim=1)
        apart = 9 * F.kl_div(log_q, log_p, reduction="batchmean", log_target=True)
        return -apart if step % 2 else 0.6 * apart + 0.8 * log_loss(network, x, y)

    scrub = Scrub(steps=4, batch_size=4, lr=0.01, alpha=0.6, gamma=0.8, forgetting=1.0, temperature=3.0)
    assert_minimises(scrub, loss)


def test_sums_of_texts_are_given_to_each_of_their_tokens():
    values = torch.tensor([[1.0, 2.0, 4.0, 8.0]])
    texts = Minibatch(values, lambda: values, torch.tensor([0, 2, 0, 2]), 2.0)
    assert texts.sums_of_texts(values).tolist() == [[5, 10, 5, 10]]
    points = Minibatch(values, lambda: values)
    assert points.sums_of_texts(values) is values
    assert points.tokens_per_text == 1
