"""CHG, Gradient and Hardness Shapley on models: streamed values against features written out."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from opendataval.experiment import ExperimentMediator
from opendataval.metrics import accuracy, neg_mse
from opendataval.model import ClassifierMLP, LogisticRegression
from short_fits import FIT
from sklearn.metrics import roc_auc_score

import evaluators.chg_shapley as chg
from dvbench.datasets import build_problem
from dvbench.models import build_model
from dvbench.models.heads import last_linear
from dvbench.settings import ModelSettings, Noise, Sizes
from evaluators import CHGShapley, GradientShapley, HardnessShapley
from evaluators.chg_shapley import chg_shapley_values
from evaluators.hardness_shapley import hardness_shapley_values

ALL = [CHGShapley, GradientShapley, HardnessShapley]


def losses_and_gradients(model, x, y):
    """Loss and last-layer gradient (weights and bias) of every point, by autograd, one at a time."""
    model.eval()
    losses, gradients = [], []
    for point, target in zip(x, y, strict=True):
        if y.shape[1] > 1:
            loss = torch.nn.functional.cross_entropy(model(point[None]), target[None])
        else:
            loss = 0.5 * (model(point[None]) - target[None]).square().sum()
        parts = torch.autograd.grad(loss, list(last_linear(model).parameters()))
        losses.append(loss.item())
        gradients.append(torch.cat([part.flatten() for part in parts]).numpy())
    return np.array(losses), np.array(gradients, dtype=np.float64)


@pytest.mark.parametrize("chunk", [7, 4096])
@pytest.mark.parametrize("per_class", [False, True])
def test_streamed_values_are_those_of_written_out_features(problem, monkeypatch, chunk, per_class):
    monkeypatch.setattr(chg, "CHUNK", chunk)
    settings = ModelSettings(name="mlp", params={"hidden": [8]})
    model = build_model(settings, problem.shape, 10, "classification", seed=0)
    model.fit(problem.train.x, problem.train.y, epochs=2, lr=0.01)
    x, y = problem.train.x, problem.train.y
    losses, gradients = losses_and_gradients(model, x, y)
    classes = y.argmax(dim=1).numpy() if per_class else np.zeros(len(x))
    for evaluator, features in (
        (CHGShapley(per_class=per_class), losses[:, None] * gradients),
        (GradientShapley(per_class=per_class), gradients),
    ):
        expected = np.empty(len(x))
        for c in np.unique(classes):
            expected[classes == c] = chg_shapley_values(features[classes == c])
        np.testing.assert_allclose(evaluator.epoch_values(model.eval(), x, y), expected, rtol=1e-4, atol=1e-7)
    np.testing.assert_allclose(HardnessShapley().epoch_values(model, x, y), hardness_shapley_values(losses), rtol=1e-5)


def test_values_are_the_mean_over_epochs_of_one_training(problem, model, fetcher):
    """Replayed here epoch by epoch: the state at the start of epoch k is that after k epochs."""
    evaluator = HardnessShapley().train(fetcher, model, accuracy, **FIT)
    expected = []
    for epochs in range(FIT["epochs"]):
        replay = model.clone()
        if epochs:
            replay.fit(problem.train.x, problem.train.y, **{**FIT, "epochs": epochs})
        expected.append(hardness_shapley_values(losses_and_gradients(replay, problem.train.x, problem.train.y)[0]))
    np.testing.assert_allclose(evaluator.data_values, np.mean(expected, axis=0), rtol=1e-4)
    assert model.fits.count == 1 + FIT["epochs"] - 1  # the evaluator's one, and the replays


def test_regression(global_state):
    sizes = Sizes(train=40, reachable=20, test=20)
    diabetes = build_problem("diabetes", sizes, Noise(), seed=0)
    model = build_model(ModelSettings(name="mlp", params={"hidden": [4]}), diabetes.shape, 1, "regression", seed=0)
    x, y = diabetes.train.x, diabetes.train.y
    losses, gradients = losses_and_gradients(model, x, y)
    expected = chg_shapley_values(losses[:, None] * gradients)
    np.testing.assert_allclose(CHGShapley().epoch_values(model.eval(), x, y), expected, rtol=1e-4, atol=1e-7)
    for make in ALL:
        assert np.isfinite(make().train(diabetes.fetcher(), model, neg_mse, **FIT).data_values).all()


def test_planted_label_noise_is_found(problem, model):
    for make, low in ((CHGShapley, 0.7), (GradientShapley, 0.75)):
        values = make().train(problem.fetcher(), model, accuracy, **FIT).data_values
        assert roc_auc_score(problem.corrupted, -values) > low
    hardness = HardnessShapley().train(problem.fetcher(), model, accuracy, **FIT).data_values
    assert roc_auc_score(problem.corrupted, -hardness) < 0.3  # hard points are valued highly, mislabelled ones are hard


@pytest.mark.parametrize("make", ALL)
@pytest.mark.parametrize("network", [lambda: LogisticRegression(4, 2), lambda: ClassifierMLP(4, 2, layers=3)])
def test_with_opendatavals_mediator_and_models(two_blobs, make, network):
    mediator = ExperimentMediator(two_blobs, network(), {"epochs": 2, "lr": 0.05}, "accuracy", raises_error=True)
    mediator.compute_data_values([make()])
    values = mediator.data_evaluators[0].data_values
    assert values.shape == (16,)
    assert np.isfinite(values).all()
    assert np.ptp(values) > 0


def test_opendatavals_outputs_are_read_as_logits(two_blobs):
    """ClassifierMLP ends in a softmax; the loss is that of what enters it."""
    model = ClassifierMLP(4, 2, layers=3)
    x, y = (torch.tensor(part, dtype=torch.float32) for part in (two_blobs.x_train, two_blobs.y_train))
    losses = -(model(x) * y).sum(dim=1).log().detach().numpy()
    np.testing.assert_allclose(HardnessShapley().epoch_values(model, x, y), hardness_shapley_values(losses), rtol=1e-4)


@pytest.mark.parametrize("make", ALL)
def test_training_again_forgets_the_first_values(problem, model, make):
    evaluator = make().train(problem.fetcher(), model, accuracy, **FIT)
    first = evaluator.data_values
    again = evaluator.train(problem.fetcher(), model, accuracy, **FIT).data_values
    assert first.tobytes() == again.tobytes()
    smaller = problem.fetcher()
    smaller.x_train, smaller.y_train = smaller.x_train[:20], smaller.y_train[:20]
    assert evaluator.train(smaller, model, accuracy, **FIT).data_values.shape == (20,)


def test_memory_is_flat_in_the_number_of_players(monkeypatch):
    """No tensor made while valuing grows with n beyond a number or two a player."""
    n, inputs, classes = 20_000, 64, 10
    model = build_model(ModelSettings(name="logistic_regression"), (inputs,), classes, "classification", seed=0)
    x = torch.randn(n, inputs, generator=torch.Generator().manual_seed(0))
    y = torch.eye(classes)[torch.arange(n) % classes]
    largest = 0

    class Watch(torch.utils._python_dispatch.TorchDispatchMode):
        def __torch_dispatch__(self, function, types, args=(), kwargs=None):
            nonlocal largest
            made = function(*args, **(kwargs or {}))
            if isinstance(made, torch.Tensor):
                largest = max(largest, made.numel())
            return made

    with Watch():
        CHGShapley().epoch_values(model.eval(), x, y)
    assert largest <= max(n, chg.CHUNK * (inputs + 1)) < n * inputs
