"""Copies from the CPU to another device, counted on torch's `meta` device, where tensors have shapes and no numbers."""

from __future__ import annotations

import numpy as np
import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from dvbench.training.optimisers import AdamW
from dvbench.training.stack_training import stacked_minibatches, take_steps
from dvbench.training.stacks import stack
from dvbench.unlearning.minibatches import Minibatches


class Transfers(TorchDispatchMode):
    """Counts copies from the CPU to another device."""

    def __init__(self):
        super().__init__()
        self.count = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        result = function(*args, **(kwargs or {}))
        sources = [each for each in args if isinstance(each, torch.Tensor) and each.ndim]
        if function.overloadpacket in (torch.ops.aten._to_copy, torch.ops.aten.copy_):
            self.count += result.device.type != "cpu" and any(each.device.type == "cpu" for each in sources)
        return result


def test_training_moves_the_minibatches_of_many_steps_together():
    counts, network = [], nn.Sequential(nn.Linear(6, 4), nn.Tanh(), nn.Linear(4, 3)).to("meta")
    for epochs, count in ((1, 3), (4, 12)):
        copies, coalitions = stack(network, count), [torch.arange(20 - i) for i in range(count)]
        x, y = torch.empty(20, 6, device="meta"), torch.empty(20, 3, device="meta")
        with Transfers() as transfers:
            minibatches = stacked_minibatches(coalitions, 4, epochs, 0, y)
            take_steps(copies, x, y, minibatches, AdamW(copies, 0.1, 0.0))
        counts.append(transfers.count)
    assert counts == [4, 4]


def test_unlearning_moves_the_minibatches_of_many_steps_together(monkeypatch):
    monkeypatch.setattr("torch.fx.experimental._config.meta_nonzero_assume_all_nonzero", True)
    counts = []
    for steps, count in ((3, 2), (50, 30)):
        coalitions = [np.arange(i + 1) for i in range(count)]
        with Transfers() as transfers:
            ((forget, _),) = Minibatches(steps, 8, 40, 20, 0).pieces(coalitions, "meta")
        assert forget.shape == (steps, count, 8)
        counts.append(transfers.count)
    assert counts == [3, 3]
