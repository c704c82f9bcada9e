"""Vector-Jacobian products against torch's own, and without what torch's own load."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch

from dvbench.training.vector_jacobian import vector_jacobian

CHECK = """
import sys
import torch
from dvbench.training.stacks import stack
from dvbench.training.tensor_model import TensorModel
from dvbench.training.vector_jacobian import vector_jacobian

x = torch.ones(3, 2, requires_grad=True)
vector_jacobian([x.sin()], [torch.ones(3, 2)], [x])
network = torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.Tanh(), torch.nn.Linear(2, 2))
list(TensorModel(network, "classification", 2, 0).grad(x.detach(), torch.eye(2)[[0, 1, 0]]))
stack(network, 2).accumulate_gradient(x.detach().expand(2, 3, 2), lambda logits: logits)
print(*[name for name in ("sympy", "torch._dynamo", "torch._inductor") if name in sys.modules])
"""


def drawn(*shape):
    return torch.randn(shape, generator=torch.Generator().manual_seed(sum(shape)), dtype=torch.float64)


def made():
    a, b, unused = (each.requires_grad_() for each in (drawn(4), drawn(4, 2), drawn(3)))
    outputs = [a.exp() @ b, (a * a[:, None].T).sum(), b]
    return outputs, [drawn(2), drawn().squeeze(), drawn(4, 2)], [a, b, unused]


def test_it_is_that_of_torch():
    outputs, weights, inputs = made()
    expected = torch.autograd.grad(outputs, inputs, weights, materialize_grads=True, retain_graph=True)
    torch.testing.assert_close(vector_jacobian(outputs, weights, inputs), expected, rtol=0, atol=0)
    with pytest.raises(RuntimeError, match="second time"):
        vector_jacobian(outputs, weights, inputs)


def test_the_graph_is_kept_where_that_is_asked_and_gradients_are_not_needed_around():
    outputs, weights, inputs = made()
    with torch.no_grad():
        first = vector_jacobian(outputs, weights, inputs, retain_graph=True)
        torch.testing.assert_close(vector_jacobian(outputs, weights, inputs), first, rtol=0, atol=0)


@pytest.mark.parametrize("towards", ["inputs", "weights"])
def test_it_can_be_differentiated(towards):
    results = []
    for own in (True, False):
        outputs, weights, inputs = made()
        weights = [each.requires_grad_() for each in weights]
        if own:
            products = vector_jacobian(outputs, weights, inputs, create_graph=True)
        else:
            products = torch.autograd.grad(outputs, inputs, weights, materialize_grads=True, create_graph=True)
        total = sum(product.square().sum() for product in products)
        chosen = inputs[:2] if towards == "inputs" else weights
        results.append(torch.autograd.grad(total, chosen, materialize_grads=True))
    torch.testing.assert_close(*results)
    assert all(part.abs().max() > 0 for part in results[0])


def test_shapes_must_agree():
    (output, *_), (weight, *_), inputs = made()
    with pytest.raises(ValueError, match=r"an output has shape \(2,\) and its weights \(1,\)"):
        vector_jacobian([output], [weight[:1]], inputs)


@pytest.mark.slow
def test_gradients_load_no_compiler():
    assert subprocess.check_output([sys.executable, "-c", CHECK], text=True).split() == []
