"""CHG, Gradient and Hardness Shapley on models: streamed values against features written out."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import numpy as np
import pytest
import torch
from opendataval.experiment import ExperimentMediator
from opendataval.metrics import accuracy, neg_mse
from opendataval.model import ClassifierMLP, LogisticRegression
from short_fits import FIT
from sklearn.metrics import roc_auc_score

from dvbench.errors import UserError
from dvbench.problems.build import build_problem
from dvbench.settings import ModelSettings, Noise, Sizes
from dvbench.training import heads
from dvbench.training.build import build_model
from dvbench.training.heads import output_layer
from evaluators import CHGShapley, GradientShapley, HardnessShapley
from evaluators.chg_shapley import chg_shapley_values
from evaluators.common import training_dynamics as dynamics
from evaluators.common.spool import Spool
from evaluators.hardness_shapley import hardness_shapley_values

FULL = Path("/dev/full")
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
        parts = torch.autograd.grad(loss, list(output_layer(model, x).parameters()))
        losses.append(loss.item())
        gradients.append(torch.cat([part.flatten() for part in parts]).numpy())
    return np.array(losses), np.array(gradients, dtype=np.float64)


@pytest.mark.parametrize("chunk", [7, 4096])
@pytest.mark.parametrize("per_class", [False, True])
def test_streamed_values_are_those_of_written_out_features(problem, monkeypatch, chunk, per_class):
    monkeypatch.setattr(dynamics, "CHUNK", chunk)
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
    sizes = Sizes(train=40, validation=20, test=20)
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


@pytest.mark.parametrize("make", ALL)
@pytest.mark.parametrize("name", ["logistic_regression", "mlp"])
def test_memory_is_flat_in_the_number_of_players(make, name):
    """No tensor made while valuing grows with n beyond a number or two a player."""
    n, inputs, classes = 20_000, 64, 10
    params = {"hidden": [inputs]} if name == "mlp" else {}
    model = build_model(ModelSettings(name=name, params=params), (inputs,), classes, "classification", seed=0)
    x = torch.randn(n, inputs, generator=torch.Generator().manual_seed(0))
    y = torch.eye(classes)[torch.arange(n) % classes]
    largest = 0

    class Watch(torch.utils._python_dispatch.TorchDispatchMode):
        def __torch_dispatch__(self, function, types, args=(), kwargs=None):
            nonlocal largest
            made = function(*args, **(kwargs or {}))
            if isinstance(made, torch.Tensor):
                largest = max(largest, made.nbytes)
            return made

    with Watch():
        make().epoch_values(model.eval(), x, y)
    assert largest <= max(8 * n, 4 * dynamics.CHUNK * (inputs + 1)) < 4 * n * inputs


def logistic_regression_or_mlp(name):
    params = {"hidden": [8]} if name == "mlp" else {}
    return build_model(ModelSettings(name=name, params=params), (6,), 3, "classification", seed=0).eval()


def points(n=50):
    """Features and labels of three classes, the last of which only one point has."""
    labels = torch.cat([torch.arange(n - 1) % 2, torch.tensor([2])])
    return torch.randn(n, 6, generator=torch.Generator().manual_seed(0)), torch.eye(3)[labels]


@pytest.fixture
def files(monkeypatch, tmp_path):
    """Temporary files made, in a folder of their own, in chunks of 7 points."""
    monkeypatch.setattr(dynamics, "CHUNK", 7)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    made, make = [], tempfile.TemporaryFile
    monkeypatch.setattr(tempfile, "TemporaryFile", lambda **settings: made.append(make(**settings)) or made[-1])
    return made


@pytest.mark.parametrize("name", ["logistic_regression", "mlp"])
@pytest.mark.parametrize("make", [*ALL, lambda: CHGShapley(per_class=True)])
def test_one_forward_pass_an_epoch(name, make, files, monkeypatch):
    """After the first points, from which the output layer is found, and where it is checked for tied weights."""
    monkeypatch.setattr(heads, "TRACED", 2)
    model, (x, y), seen = logistic_regression_or_mlp(name), points(), {}
    traced = 2 if make is HardnessShapley else 3
    for module in model.modules():
        module.register_forward_hook(lambda module, inputs, _: seen.setdefault(module, []).append(inputs[0].clone()))
    make().epoch_values(model, x, y)
    assert set(seen) == set(model.modules())
    for module, batches in seen.items():
        assert [len(batch) for batch in batches[:traced]] == [2] * traced
        assert sum(map(len, batches[traced:])) == len(x), type(module)
    assert torch.equal(torch.cat(seen[model][traced:]), x)


@pytest.mark.parametrize(("name", "numbers"), [("logistic_regression", 3), ("mlp", 3 + 8)])
def test_what_lies_on_disk_and_for_how_long(name, numbers, files, monkeypatch, tmp_path):
    """Residuals, and the last layer's inputs if they are not the data; gone afterwards, also if something fails."""
    model, (x, y), sizes = logistic_regression_or_mlp(name), points(), []
    rewind = Spool.rewind
    monkeypatch.setattr(
        Spool, "rewind", lambda spool: sizes.append(os.fstat(spool._file.fileno()).st_size) or rewind(spool)
    )
    CHGShapley().epoch_values(model, x, y)
    assert sum(sizes) == 4 * numbers * len(x)
    broken, calls = CHGShapley(), []

    def fail_in_the_third_chunk(losses):
        calls.append(len(losses))
        return losses if len(calls) < 3 else losses / None

    monkeypatch.setattr(broken, "weights", fail_in_the_third_chunk)
    with pytest.raises(TypeError):
        broken.epoch_values(model, x, y)
    assert files
    assert all(file.closed for file in files)
    assert not list(tmp_path.iterdir())


@pytest.mark.skipif(not FULL.exists(), reason="needs /dev/full, which has no room for anything")
def test_a_full_disk(monkeypatch):
    monkeypatch.setattr(tempfile, "TemporaryFile", lambda **settings: FULL.open("r+b", **settings))
    with pytest.raises(UserError, match=r"No space left.*; set TMPDIR to a folder with more room"):
        CHGShapley().epoch_values(logistic_regression_or_mlp("mlp"), *points())


def test_no_folder_for_temporary_files(monkeypatch, tmp_path):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "none"))
    with pytest.raises(UserError, match="set TMPDIR"):
        CHGShapley().epoch_values(logistic_regression_or_mlp("mlp"), *points())


@pytest.mark.parametrize("name", ["logistic_regression", "mlp"])
@pytest.mark.parametrize("per_class", [False, True])
def test_exact_in_float64(name, per_class, monkeypatch):
    """Nothing is lost on the way: a float64 network's values agree to 12 digits."""
    monkeypatch.setattr(dynamics, "CHUNK", 7)
    model, (x, y) = logistic_regression_or_mlp(name).double(), (part.double() for part in points())
    losses, gradients = losses_and_gradients(model, x, y)
    groups = y.argmax(dim=1).numpy() if per_class else np.zeros(len(x))
    expected = np.empty(len(x))
    for group in np.unique(groups):
        members = groups == group
        expected[members] = chg_shapley_values(losses[members, None] * gradients[members])
    values = CHGShapley(per_class=per_class).epoch_values(model, x, y)
    np.testing.assert_allclose(values, expected, rtol=1e-12, atol=1e-12 * np.abs(expected).max())


@pytest.mark.parametrize("name", ["logistic_regression", "mlp"])
def test_however_data_lie_in_memory(name, monkeypatch):
    monkeypatch.setattr(dynamics, "CHUNK", 7)
    model, (x, y) = logistic_regression_or_mlp(name).double(), (part.double() for part in points())
    expected = CHGShapley().epoch_values(model, x, y)
    by_columns, with_gaps = x.T.contiguous().T, torch.stack([x, -x], dim=1)[:, 0]
    images = x.view(-1, 2, 3).transpose(1, 2).contiguous().transpose(1, 2)
    for same in (by_columns, with_gaps, images):
        assert not same.is_contiguous()
        np.testing.assert_allclose(CHGShapley().epoch_values(model, same, y), expected, rtol=1e-9)
