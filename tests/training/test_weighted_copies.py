"""Copies that are trained together on weighted points, against a fit of each alone."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from plain_loops import by_number, weights_of

COALITIONS = [np.array(members, dtype=int) for members in (range(10), [3], [], [7, 2, 5], range(4))]


@pytest.mark.parametrize("numbers", [1, 2**18])
def test_each_copy_has_its_points_with_their_weights(numbers, make_model, make_points, monkeypatch):
    """Also where the minibatches of several steps are not gathered together."""
    monkeypatch.setattr("dvbench.training.stack_training.GATHERED_NUMBERS", numbers)
    model, (x, y) = make_model("mlp"), make_points("mlp", 10)
    weights = torch.linspace(0, 2, 10)
    actual = by_number(model.fit_many(x, y, COALITIONS, batch_size=2, epochs=3, lr=0.01, sample_weight=weights))
    for number, coalition in enumerate(COALITIONS):
        alone = model.clone()
        alone.fit(x[coalition], y[coalition], batch_size=2, epochs=3, lr=0.01, sample_weight=weights[coalition])
        torch.testing.assert_close(_weights(actual[number]), weights_of(alone.network))
    unweighted = by_number(model.fit_many(x, y, COALITIONS, batch_size=2, epochs=3, lr=0.01))
    assert not torch.equal(_weights(unweighted[0]), _weights(actual[0]))


def test_points_that_require_gradients_are_not_followed_by_autograd(make_model, make_points):
    model, (x, y) = make_model("mlp"), make_points("mlp", 10)
    fits = [model.clone().fit(points, y, batch_size=4, epochs=2) for points in (x, x.clone().requires_grad_())]
    assert torch.equal(*(weights_of(fitted.network) for fitted in fits))


def _weights(copies):
    """All parameters of a stack of one copy in one vector."""
    return torch.cat([parameter.double().flatten() for parameter in copies.parameters])
