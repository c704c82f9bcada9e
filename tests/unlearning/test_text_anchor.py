"""The gradient of a distance between models, against autograd on the distance."""

from __future__ import annotations

import torch
from torch import nn

from dvbench.unlearning.text_anchor import AT_A_TIME, adapters_distance, add_distance

SHAPES = [(3,), (2, 4), (5, 1)] * (AT_A_TIME // 2)  # more than are computed at a time


def drawn(seed, shapes=SHAPES):
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(shape, generator=generator, dtype=torch.float64) for shape in shapes]


def test_distance_is_added_to_the_gradients():
    parameters, origins, before = [nn.Parameter(each) for each in drawn(0)], drawn(1), drawn(2)
    distance = sum(((p - o) ** 2).sum() for p, o in zip(parameters, origins, strict=True))
    slopes = torch.autograd.grad(0.3 * distance, parameters)
    for parameter, gradient in zip(parameters[1:], before[1:], strict=True):
        parameter.grad = gradient.clone()
    add_distance(parameters, origins, 0.3)
    before[0].zero_()  # the first parameter had no gradient
    torch.testing.assert_close([p.grad for p in parameters], [g + s for g, s in zip(before, slopes, strict=True)])
    torch.testing.assert_close(origins, drawn(1))


class Adapted(nn.Module):
    """A layer as peft makes it, with two adapters."""

    def __init__(self, seed, inputs, outputs, scaling):
        super().__init__()
        self.lora_A, self.lora_B = nn.ModuleDict(), nn.ModuleDict()
        self.scaling = {"one": scaling, "two": 2 * scaling}
        for number, name in enumerate(self.scaling):
            down, up = drawn(10 * seed + number, [(2, inputs), (outputs, 2)])
            self.lora_A[name], self.lora_B[name] = nn.Module(), nn.Module()
            self.lora_A[name].weight, self.lora_B[name].weight = nn.Parameter(down), nn.Parameter(up)


def test_distance_of_adapters_is_that_of_the_weights_which_they_add():
    network = nn.Sequential(Adapted(1, 4, 3, 2.0), nn.ReLU(), Adapted(2, 4, 3, 2.0), Adapted(3, 3, 5, 2.0))
    added = [
        layer.scaling[name] * layer.lora_B[name].weight @ layer.lora_A[name].weight
        for layer in network
        if isinstance(layer, Adapted)
        for name in layer.scaling
    ]
    parameters = list(network.parameters())
    expected = torch.autograd.grad(0.7 * sum((each**2).sum() for each in added), parameters)
    for parameter in parameters:
        parameter.grad = torch.ones_like(parameter)
    adapters_distance(network)(0.7)
    torch.testing.assert_close([p.grad for p in parameters], [1 + each for each in expected])
