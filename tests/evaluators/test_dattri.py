"""Evaluators of dattri against dvbench's own and against autograd; skipped where dattri is not installed."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from dvbench.errors import UserError
from dvbench.registry import library_entries
from dvbench.training.losses import point_losses
from dvbench.training.tensor_model import TensorModel
from evaluators import HessianInfluence
from evaluators import TracIn as OwnTracIn

pytest.importorskip("dattri", reason="dvbench[dattri] is not installed")
pytestmark = pytest.mark.slow
EVALUATORS = {name: entry for name, entry in library_entries("evaluators").items() if entry.library == "dattri"}
FIT = {"epochs": 3, "batch_size": 8, "lr": 0.01}
RNG = np.random.default_rng(0)
X, X_VALID = RNG.normal(size=(30, 4)), RNG.normal(size=(20, 4))
Y, Y_VALID = ((x[:, 0] + 0.3 * RNG.normal(size=len(x)) > 0).astype(int) for x in (X, X_VALID))
TARGETS, TARGETS_VALID = (x @ [1.0, 2.0, 0.0, -1.0] for x in (X, X_VALID))


def network(seed=0):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return nn.Sequential(nn.Linear(4, 5), nn.Tanh(), nn.Linear(5, 2))


def model():
    return TensorModel(network(), "classification", 2, seed=1)


def values_of(evaluator):
    return evaluator.fit(X, Y, X_VALID, Y_VALID, model=model(), **FIT).values_


def make(name, **params):
    return EVALUATORS[f"dattri:{name}"].load()(random_state=0, **params)


def gradients():
    """Gradients of each training point and of the mean validation loss of the last layer, after the training."""
    trained = model().fit(*_tensors(X, Y), **FIT).network.double()
    rows = []
    for x, y in [*(_tensors(X[i : i + 1], Y[i : i + 1]) for i in range(len(X))), _tensors(X_VALID, Y_VALID)]:
        loss = point_losses(trained(x.double()), y.double()).mean()
        rows.append(torch.cat([part.flatten() for part in torch.autograd.grad(loss, [*trained[2].parameters()])]))
    return torch.stack(rows[:-1]), rows[-1]


def _tensors(x, y):
    return torch.tensor(x, dtype=torch.float32), torch.eye(2)[torch.tensor(y)]


@pytest.mark.parametrize(
    ("name", "params"),
    [("influence_explicit", {}), ("influence_cg", {"steps": 11})],
)
def test_influence_is_that_of_the_own_evaluator(name, params):
    expected = values_of(HessianInfluence(damping=0.02))
    np.testing.assert_allclose(values_of(make(name, damping=0.02, **params)), expected, rtol=1e-3, atol=1e-7)
    assert np.ptp(values_of(make(name, damping=0.5, **params)) - expected) > 1e-4


def test_trac_in_is_that_of_the_own_evaluator():
    np.testing.assert_allclose(values_of(make("trac_in")), values_of(OwnTracIn()), rtol=1e-3, atol=1e-7)
    assert np.corrcoef(values_of(make("trac_in", normalised=True)), values_of(OwnTracIn()))[0, 1] < 0.999


def test_data_inf_is_equation_5_of_the_paper():
    """The mean over points j of (v - <v, g_j> / (damping + |g_j|^2) g_j) / damping, for each layer."""
    rows, towards = gradients()
    damping = 0.05
    inverse = [(towards - (towards @ g) / (damping + g @ g) * g) / damping for g in rows]
    expected = rows @ torch.stack(inverse).mean(dim=0) / len(rows)
    np.testing.assert_allclose(values_of(make("data_inf", damping=damping)), expected, rtol=1e-3, atol=1e-7)


@pytest.mark.parametrize("name", EVALUATORS)
def test_all_layers_regression_and_repetition(name):
    params = {} if name == "dattri:trac_in" else {"layers": "all"}
    make_it = EVALUATORS[name].load()
    first = values_of(make_it(random_state=0, **params))
    np.testing.assert_array_equal(first, values_of(make_it(random_state=0, **params)))
    assert np.isfinite(first).all()
    assert np.ptp(first) > 0
    valued = make_it(random_state=0, **params).fit(X, TARGETS, X_VALID, TARGETS_VALID, **FIT).values_
    assert np.ptp(valued) > 0


@pytest.mark.parametrize("name", EVALUATORS)
def test_what_is_refused(name):
    make_it = EVALUATORS[name].load()
    if name != "dattri:trac_in":
        with pytest.raises(ValueError, match=r"^damping is a finite number above 0, not 0$"):
            make_it(damping=0)
        with pytest.raises(ValueError, match=r"^layers is 'all' or 'last', not 'first'$"):
            make_it(layers="first")
    tokens = torch.ones(6, 5, dtype=torch.int32)
    evaluator = make_it(random_state=0)
    evaluator.input_data(tokens, torch.eye(2)[[0, 1] * 3], tokens, torch.eye(2)[[0, 1] * 3])
    evaluator.input_model(model()).input_metric(lambda y, predicted: 0.0)
    with pytest.raises(UserError, match=r"cannot value texts|fails on points"):
        evaluator.train_data_values(**FIT)


def test_conjugate_gradients_that_divide_by_zero_are_refused():
    with pytest.raises(UserError, match=r"^conjugate gradients of dattri fail after 300 steps: set fewer steps$"):
        values_of(make("influence_cg", steps=300))


def test_a_hessian_that_is_too_large_is_refused():
    wide = nn.Sequential(nn.Linear(4, 2600), nn.ReLU(), nn.Linear(2600, 2))
    with pytest.raises(UserError, match=r"at most 5,000 parameters, and there are 5,202: use dattri:influence_cg$"):
        make("influence_explicit").fit(X, Y, X_VALID, Y_VALID, model=wide, **FIT)
