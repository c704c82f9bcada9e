"""Fitting against a plain training loop, and what a fit may and may not depend on."""

from __future__ import annotations

import copy

import pytest
import torch
from plain_loops import plain_training, weights_of
from sklearn.datasets import load_digits
from torch import nn
from torch.utils.data import Subset

from dvbench.settings import ModelSettings
from dvbench.training.build import build_model
from dvbench.training.tensor_model import TensorModel, seeded

HOW = {"batch_size": 4, "epochs": 3, "lr": 1e-2}  # ten points leave a last batch of two
KINDS = pytest.mark.parametrize("kind", ["classification", "regression"])


def with_layer(layer, *, seed=3):
    """Model of four features and three classes with one more layer, such as dropout."""

    def build():
        return nn.Sequential(nn.Linear(4, 6), copy.deepcopy(layer), nn.ReLU(), nn.Linear(6, 3)).double()

    return TensorModel(seeded(build, 0), "classification", 3, seed)


@KINDS
@pytest.mark.parametrize("name", ["logistic_regression", "mlp", "cnn"])
def test_fit_equals_a_plain_training_loop(name, kind, make_model, make_points):
    model, (x, y) = make_model(name, kind, weight_decay=0.3), make_points(name, 10, kind)
    expected = plain_training(model.network, x, y, seed=3, weight_decay=0.3, **HOW)
    model.fit(x, y, **HOW)
    torch.testing.assert_close(weights_of(model), weights_of(expected), rtol=1e-6, atol=1e-8)


@KINDS
@pytest.mark.parametrize("columns", [(), (1,)])
def test_weighted_fit_equals_a_plain_training_loop(kind, columns, make_model, make_points):
    model, (x, y) = make_model("mlp", kind), make_points("mlp", 10, kind)
    weight = torch.linspace(0, 3, 10, dtype=torch.float64)
    expected = plain_training(model.network, x, y, seed=3, weight_decay=0.01, weight=weight, **HOW)
    model.fit(x, y, sample_weight=weight.reshape(10, *columns), **HOW)
    torch.testing.assert_close(weights_of(model), weights_of(expected), rtol=1e-6, atol=1e-8)


def test_points_of_weight_zero_teach_nothing(make_model, make_points):
    model, (x, y) = make_model("mlp"), make_points("mlp", 10)
    weight = torch.tensor([1.0, 0.0] * 5)
    other_x, other_y = x.clone(), y.clone()
    other_x[1::2], other_y[1::2] = 5.0, torch.eye(3, dtype=torch.float64)[0]
    first = model.clone().fit(x, y, sample_weight=weight, **HOW)
    second = model.clone().fit(other_x, other_y, sample_weight=weight, **HOW)
    torch.testing.assert_close(weights_of(first), weights_of(second))
    assert not torch.allclose(weights_of(first), weights_of(model))


def test_subsets_fit_like_the_points_they_hold(make_model, make_points):
    model, (x, y) = make_model("mlp"), make_points("mlp", 10)
    players = [7, 2, 5, 1, 8]
    subset = model.clone().fit(Subset(x, players), Subset(y, players), **HOW)
    assert torch.equal(weights_of(subset), weights_of(model.clone().fit(x[players], y[players], **HOW)))


def test_no_points_change_nothing(make_model, make_points):
    model, (x, y) = make_model("mlp"), make_points("mlp", 10)
    fitted = model.clone().fit(Subset(x, []), Subset(y, []), **HOW)
    assert torch.equal(weights_of(fitted), weights_of(model))


@pytest.mark.parametrize("layer", [nn.Identity(), nn.Dropout(0.5)], ids=["plain", "dropout"])
def test_same_seed_same_bits_and_other_seed_other_weights(layer, make_points):
    x, y = make_points("mlp", 10)
    first, again, other = (weights_of(with_layer(layer, seed=seed).fit(x, y, **HOW)) for seed in (3, 3, 4))
    assert torch.equal(first, again)
    assert not torch.allclose(first, other)


def test_dropout_drops_while_training_only(make_points):
    x, y = make_points("mlp", 10)
    model = with_layer(nn.Dropout(0.5))
    plain = with_layer(nn.Identity()).fit(x, y, **HOW)
    assert not torch.allclose(weights_of(model.fit(x, y, **HOW)), weights_of(plain))
    assert torch.equal(model.predict(x), model.predict(x))


def test_a_second_fit_goes_on_from_the_weights_of_the_first_with_the_same_shuffles(make_model, make_points):
    model, (x, y) = make_model("mlp"), make_points("mlp", 10)
    model.fit(x, y, **HOW)
    expected = plain_training(model.network, x, y, seed=3, weight_decay=0.01, **HOW)
    model.fit(x, y, **HOW)
    torch.testing.assert_close(weights_of(model), weights_of(expected), rtol=1e-6, atol=1e-8)


def test_fits_are_counted_over_all_clones(make_model, make_points):
    model, (x, y) = make_model("logistic_regression"), make_points("logistic_regression", 4)
    stranger = make_model("logistic_regression")
    clone = model.clone()
    clone.clone().fit(x, y, epochs=1)
    clone.fit(x, y, epochs=1)
    model.fit(x[:0], y[:0])
    assert (model.fits.count, clone.fits.count, stranger.fits.count) == (3, 3, 0)


def test_fitting_a_clone_leaves_the_model_alone(make_model, make_points):
    model, (x, y) = make_model("mlp"), make_points("mlp", 10)
    before = weights_of(model)
    model.clone().fit(x, y, **HOW)
    assert torch.equal(weights_of(model), before)


def test_on_epoch_is_called_at_the_start_of_every_epoch(make_model, make_points):
    model, (x, y) = make_model("mlp"), make_points("mlp", 10)
    after = [weights_of(model)]
    after += [weights_of(model.clone().fit(x, y, batch_size=4, epochs=k, lr=1e-2)) for k in (1, 2)]
    seen = []
    model.fit(x, y, on_epoch=lambda: seen.append(weights_of(model)), **HOW)
    assert len(seen) == 3
    assert all(torch.equal(now, then) for now, then in zip(seen, after, strict=True))


@pytest.mark.parametrize("layer", [nn.BatchNorm1d(6), nn.Dropout(0.5)], ids=["batch norm", "dropout"])
def test_on_epoch_may_evaluate_the_model(layer, make_points):
    x, y = make_points("mlp", 10)
    model, alone = with_layer(layer), with_layer(layer).fit(x, y, **HOW)

    def look():
        model.eval()
        model.predict(x)
        model(x).sum().backward()

    model.fit(x, y, on_epoch=look, **HOW)
    assert torch.equal(weights_of(model), weights_of(alone))


def test_divergence_is_an_error(make_model, make_points):
    model, (x, y) = make_model("mlp"), make_points("mlp", 10)
    with pytest.raises(FloatingPointError, match=r"learning rate 1e\+200"):
        model.fit(x, y, batch_size=4, epochs=3, lr=1e200)


def test_hyperparameters_are_given_by_name(make_model, make_points):
    model, (x, y) = make_model("mlp"), make_points("mlp", 10)
    with pytest.raises(TypeError, match="by name"):
        model.fit(x, y, 4)


def test_a_wide_mlp_learns_digits_at_a_learning_rate_where_a_doubled_softmax_sticks():
    digits = load_digits()
    x = torch.tensor(digits.data / 16, dtype=torch.float32)
    y = torch.eye(10)[digits.target]
    model = build_model(ModelSettings(name="mlp"), (64,), 10, "classification", seed=0)
    predicted = model.fit(x[::2], y[::2], epochs=3, lr=1e-2).predict(x[1::2])
    assert (predicted.argmax(1) == y[1::2].argmax(1)).float().mean() > 0.9
