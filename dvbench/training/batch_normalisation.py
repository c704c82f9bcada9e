"""Trains networks with batch normalisation on minibatches of one point.

The last minibatch of an epoch may have one point, and a coalition may have one player. Batch normalisation has no
statistics of one value, so torch refuses such a minibatch in training mode. It is normalised by the layer's running
statistics instead, as in evaluation mode. Every point is trained on, and no other minibatch changes.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils.hooks import RemovableHandle

MARK = "_dvbench_evaluates_a_lone_point"  # attribute of a layer during such a forward pass


@contextmanager
def lone_points_normalised(network: object) -> Iterator[None]:
    """Within this context, batch normalisation uses running statistics where a channel has one value.

    Parameters
    ----------
    network : torch.nn.Module
        Anything else, such as a model of scikit-learn, has no such layers.
    """
    with ExitStack() as stack:
        for hook in normalise_lone_points(network):
            stack.callback(hook.remove)
        yield


def normalise_lone_points(network: object) -> list[RemovableHandle]:
    """Do what `lone_points_normalised` does, for a network and all its later copies, until the hooks are removed."""
    hooks = []
    for module in network.modules() if isinstance(network, nn.Module) else ():
        if isinstance(module, _BatchNorm) and module.track_running_stats:
            hooks.append(module.register_forward_pre_hook(_evaluate_lone_points))
            hooks.append(module.register_forward_hook(_train_again, always_call=True))
    return hooks


def _evaluate_lone_points(module: nn.Module, inputs: tuple[Any, ...]) -> None:
    values_per_channel = inputs[0].numel() // max(inputs[0].shape[1], 1)
    if module.training and values_per_channel == 1:
        module.training, module.__dict__[MARK] = False, True


def _train_again(module: nn.Module, inputs: object, output: object) -> None:
    if module.__dict__.pop(MARK, False):
        module.training = True
