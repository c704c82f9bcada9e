"""Repeats steps of training and unlearning. On a GPU the kernels of a step are recorded once and replayed.

A small step keeps a GPU busy for less time than Python takes to start its kernels; a replay starts all of them at once.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from functools import partial

import torch
from torch import nn

Record = Callable[[Callable[[], None]], Callable[[], None]]
"""Records the kernels of a function and returns a function that starts them again; raises RuntimeError if it cannot."""

MOST_KINDS = 16  # of steps that are recorded; a method may make new rules for every step
# Layers of these packages do the same in every step. Others may compute in Python what a recording would not repeat.
REPEATABLE = ("torch.nn.modules.", "torchvision.")


class RepeatedSteps:
    """Takes steps that write their results into tensors which exist before.

    Parameters
    ----------
    record : callable, optional
        See `Record`. By default nothing is recorded, and every step is taken by Python.
    """

    def __init__(self, record: Record | None = None) -> None:
        self._record = record
        self._kinds: dict[Hashable, tuple[Callable[[], None], list[torch.Tensor]] | None] = {}

    def take(self, kind: Hashable, step: Callable[..., None], *inputs: torch.Tensor) -> None:
        """Take a step.

        Parameters
        ----------
        kind : hashable
            Steps of one kind differ in the numbers in their inputs only.
        step : callable
            Called with the inputs, or with copies of the inputs of another step of this kind into which the numbers of
            these were written. The first step of each kind is not recorded, so it may compute what later ones reuse.
        *inputs : torch.Tensor
            For every kind of the same shapes.
        """
        if self._record is None or (kind not in self._kinds and len(self._kinds) == MOST_KINDS):
            step(*inputs)
            return
        if kind not in self._kinds:
            self._kinds[kind] = None
            step(*inputs)
            return
        if self._kinds[kind] is None:
            own = [each.clone() for each in inputs]
            try:
                self._kinds[kind] = self._record(partial(step, *own)), own
            except RuntimeError:  # a step that waits for the GPU, say
                self._record = None
                step(*inputs)
                return
        recorded = self._kinds[kind]
        assert recorded is not None
        replay, own = recorded
        for mine, given in zip(own, inputs, strict=True):
            mine.copy_(given)
        replay()


def recorder(network: nn.Module) -> Record | None:
    """How steps of a network are recorded: in CUDA graphs if it is on a GPU and made of torch's layers, else not."""
    of_torch = all(type(module).__module__.startswith(REPEATABLE) for module in network.modules())
    return _cuda_graph if of_torch and next(network.parameters()).is_cuda else None


def _cuda_graph(step: Callable[[], None]) -> Callable[[], None]:
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        step()
    replay: Callable[[], None] = graph.replay
    return replay
