"""What can be built by name, for which points, and what is refused."""

from __future__ import annotations

import contextlib

import pytest
import torch
from torch import nn

from dvbench.errors import UserError
from dvbench.registry import entries
from dvbench.settings import ModelSettings
from dvbench.training.build import build_model


def build(name, shape, outputs=3, **params):
    return build_model(ModelSettings(name=name, params=params), shape, outputs, "classification", seed=0)


def test_every_registered_model_is_tried_here():
    of_points, of_texts = (
        {"logistic_regression", "mlp", "cnn", "resnet18", "resnet9"},
        {"gpt2", "gpt2_tiny", "gpt2_xl"},
    )
    assert set(entries("models")) == of_points | of_texts


@pytest.mark.parametrize("outputs", [1, 4])
@pytest.mark.parametrize("name", ["logistic_regression", "mlp", "cnn"])
@pytest.mark.parametrize("shape", [(1, 4, 4), (3, 9, 7)])
def test_images_of_any_size(name, shape, outputs):
    model = build(name, shape, outputs)
    assert model(torch.zeros(2, *shape)).shape == (2, outputs)
    assert model.num_classes == outputs


def test_logistic_regression_has_one_layer():
    weight, bias = build("logistic_regression", (2, 5)).parameters()
    assert weight.shape == (3, 10)
    assert bias.shape == (3,)


def test_default_mlp_is_784_512_10():
    model = build("mlp", (1, 28, 28), 10)
    assert [tuple(p.shape) for p in model.parameters()] == [(512, 784), (512,), (10, 512), (10,)]


def test_parameters_reach_the_builder():
    assert [tuple(p.shape) for p in build("mlp", (4,), hidden=[7, 5]).parameters()][::2] == [(7, 4), (5, 7), (3, 5)]
    assert next(build("cnn", (1, 8, 8), channels=5).parameters()).shape == (5, 1, 3, 3)


def test_hidden_layers_are_not_linear_together():
    model = build("mlp", (4,), hidden=[7, 5])
    x = torch.randn(6, 4, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        assert not torch.allclose(model(x) - model(0 * x), model(0 * x) - model(-x), atol=1e-3)


@pytest.mark.parametrize("name", ["cnn", "resnet18", "resnet9"])
@pytest.mark.parametrize("shape", [(10,), (8, 8), (3, 3, 8), (1, 8, 3)])
def test_image_models_refuse_other_points(name, shape):
    with pytest.raises(UserError, match=f"'{name}' needs images.*use 'mlp'"):
        build(name, shape)


def test_unknown_parameter():
    with pytest.raises(UserError, match=r"model 'mlp'.*'depth'"):
        build("mlp", (4,), depth=3)


def test_unknown_model():
    with pytest.raises(UserError, match="did you mean 'mlp'"):
        build("mpl", (4,))


def test_same_seed_same_weights_and_other_seed_other_weights(make_model):
    first, again, other = (make_model("mlp", seed=seed).state_dict() for seed in (5, 5, 6))
    assert all(torch.equal(first[key], again[key]) for key in first)
    assert not any(torch.equal(first[key], other[key]) for key in first)


def test_resnet18_keeps_small_images_large_and_takes_any_channels():
    model = build("resnet18", (2, 10, 10))
    shapes = []
    model.network.layer1.register_forward_hook(lambda *call: shapes.append(call[2].shape))
    model.eval()
    assert model(torch.zeros(1, 2, 10, 10)).shape == (1, 3)
    assert shapes == [(1, 64, 10, 10)]  # stride-free stem without pooling


@pytest.mark.parametrize("name", ["resnet18", "resnet9"])
def test_resnets_fit_and_predict(name, make_points):
    model = build(name, (3, 10, 10))
    x, y = (tensor.float() for tensor in make_points(name, 6))
    untrained = model.predict(x)
    statistics = [module for module in model.modules() if isinstance(module, nn.BatchNorm2d)]
    model.fit(x, y, batch_size=3, epochs=1, lr=1e-3)
    assert {int(module.num_batches_tracked) for module in statistics} == {2}
    predicted = model.predict(x)
    assert not torch.allclose(predicted, untrained)
    torch.testing.assert_close(predicted.sum(1), torch.ones(6))
    # In evaluation mode a point's prediction does not depend on its neighbours, and predicting teaches nothing.
    torch.testing.assert_close(model.predict(x[2:3]), predicted[2:3], rtol=1e-3, atol=1e-4)
    assert {int(module.num_batches_tracked) for module in statistics} == {2}


@pytest.mark.parametrize("name", ["resnet18", "resnet9"])
def test_resnets_fit_a_single_point(name, make_points):
    x, y = (tensor.float() for tensor in make_points(name, 1))
    assert build(name, (3, 10, 10)).fit(x, y, epochs=1).predict(x).isfinite().all()


def test_resnet9_has_the_layers_of_its_kind():
    """Eight convolutions and a linear layer; the published network for 32 x 32 images has 6.6 million parameters."""
    model = build("resnet9", (3, 32, 32), 10)
    convolutions = [tuple(p.shape[:2]) for p in model.parameters() if p.ndim == 4]
    doubled = [(64, 3), (128, 64), (128, 128), (128, 128), (256, 128), (512, 256), (512, 512), (512, 512)]
    assert convolutions == doubled
    assert 6.5e6 < sum(p.numel() for p in model.parameters()) < 6.7e6


def test_images_too_small_for_resnet18_are_fitted_or_refused():
    with contextlib.suppress(UserError):
        build("resnet18", (3, 8, 8)).fit(torch.zeros(3, 3, 8, 8), torch.eye(3), batch_size=2, epochs=1)
