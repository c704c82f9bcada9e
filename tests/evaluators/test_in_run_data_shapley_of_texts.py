"""In-Run Data Shapley of texts against gradients of single texts by autograd, at every step of a training."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from plain_texts import counted, made_texts, tiny_model
from text_problems import a_text_problem
from torch.nn import functional

from dvbench.errors import UserError
from dvbench.training import text_training
from dvbench.training.language_model import LanguageModel
from dvbench.training.pass_size import PassSize
from dvbench.training.text_training import text_minibatches
from evaluators import InRunDataShapley

FIT = {"epochs": 2, "batch_size": 4, "lr": 0.01}


def values(model, train, validation, fit=FIT, **settings):
    evaluator = InRunDataShapley(random_state=0, **{"validation_batch": len(validation[0]), **settings})
    evaluator.input_data(*train, *validation)
    evaluator.input_model(model)
    return evaluator.train_data_values(**fit).evaluate_data_values()


def texts(n, seed):
    x, y = made_texts(n, seed)
    return torch.as_tensor(x), torch.as_tensor(y)


def flat(loss, network):
    return torch.cat([part.flatten() for part in torch.autograd.grad(loss, list(network.parameters()))])


def by_autograd(model, train, validation):
    """Every step of the training, replayed with one gradient for each text of its minibatch."""
    network, total = model.clone().network.train(), np.zeros(len(train[0]))
    optimiser = torch.optim.AdamW(network.parameters(), lr=FIT["lr"], weight_decay=model.weight_decay)
    for rows in text_minibatches(len(train[0]), FIT["batch_size"], FIT["epochs"], model.seed):
        towards = flat(functional.cross_entropy(*counted(network, *validation)), network)
        parts = [part[rows] for part in train]
        tokens = len(counted(network, *parts)[1])
        for row in rows:
            summed = functional.cross_entropy(*counted(network, *(p[row : row + 1] for p in train)), reduction="sum")
            total[row] += FIT["lr"] * float(towards @ flat(summed, network)) / tokens
        optimiser.zero_grad()
        functional.cross_entropy(*counted(network, *parts)).backward()
        optimiser.step()
    return total


@pytest.mark.parametrize("passes", ["one", "many"])
def test_values_are_those_of_single_gradients_at_every_step(passes, monkeypatch):
    """Of all layers: embeddings of words and positions, normalisations, GPT-2's linear layers, and the tied output."""
    model, train, validation = tiny_model(), texts(10, 1), texts(5, 2)
    if passes == "many":
        monkeypatch.setattr(PassSize, "texts", lambda self, n, width: min(n, 3))
        monkeypatch.setattr(PassSize, "chunk_texts", lambda self, width: 2)
    actual = values(model, train, validation)
    np.testing.assert_allclose(actual, by_autograd(model, train, validation), rtol=1e-7, atol=1e-10)
    assert np.ptp(actual) > 1e-3


def test_an_untied_output_layer_and_recomputed_activations_change_nothing_about_that():
    from dvbench.training.recompute import recompute_activations

    model, train, validation = tiny_model(), texts(8, 1), texts(4, 2)
    model.network.lm_head.weight = torch.nn.Parameter(model.network.lm_head.weight.detach().clone())
    expected = by_autograd(model, train, validation)
    np.testing.assert_allclose(values(model, train, validation), expected, rtol=1e-7, atol=1e-10)
    recompute_activations(model.network)
    np.testing.assert_allclose(values(model, train, validation), expected, rtol=1e-7, atol=1e-10)


def test_the_model_trains_as_without_observation_and_is_not_changed():
    problem = a_text_problem(players=3, each=4, groups=False)
    model = tiny_model(dtype=torch.float32, vocabulary=30)
    train, validation = (vars(part) for part in (problem.train, problem.validation))
    before = [p.clone() for p in model.network.parameters()]
    trained: list[LanguageModel] = []
    fit = LanguageModel.fit
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(LanguageModel, "fit", lambda self, *args, **how: trained.append(fit(self, *args, **how)))
        data = [train["x"], train["y"]], [validation["x"], validation["y"]]
        first = values(model, *data)
        np.testing.assert_array_equal(first, values(model, *data))
    assert all(torch.equal(a, b) for a, b in zip(before, model.network.parameters(), strict=True))
    plain = model.clone().fit(train["x"], train["y"], **FIT)
    for observed in trained:
        assert all(
            torch.equal(a, b) for a, b in zip(plain.network.parameters(), observed.network.parameters(), strict=True)
        )
    assert model.fits.count == 3


def test_memory_that_runs_out_in_a_step_loses_nothing(monkeypatch):
    model, train, validation = tiny_model(), texts(10, 1), texts(5, 2)
    expected, failed = values(model, train, validation), []
    whole = text_training._accumulate_passes

    def once(*args):
        whole(*args)
        if not failed:
            failed.append(True)
            raise torch.OutOfMemoryError

    monkeypatch.setattr(text_training, "_accumulate_passes", once)
    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: None)
    np.testing.assert_allclose(values(model, train, validation), expected, rtol=1e-7, atol=1e-10)
    assert failed


def test_what_texts_do_not_have_is_refused():
    model, train, validation = tiny_model(), texts(4, 1), texts(4, 2)
    for settings in ({"order": 2}, {"layers": "last"}):
        with pytest.raises(UserError, match='values texts with order = 1 and layers = "all" only'):
            values(model, train, validation, **settings)
    with pytest.raises(UserError, match="there are none: set epochs"):
        values(model, train, validation, {**FIT, "epochs": 0})
    model.network.transformer.ln_f = Scaled()
    with pytest.raises(UserError, match=r"Scaled is not known to be linear.*; choose another evaluator"):
        values(model, train, validation)


class Scaled(torch.nn.Module):
    """A layer with parameters of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = torch.nn.Parameter(torch.ones(8, dtype=torch.float64))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * self.scale
