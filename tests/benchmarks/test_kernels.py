"""What the engine is made of, each alone: the limits that the other benchmarks are held against."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import nn

from dvbench.training.optimisers import AdamW
from dvbench.training.stacks import stack


def product(rows: int, inner: int, columns: int, dtype: torch.dtype = torch.float32) -> tuple[Callable, int]:
    """A matrix product, and its floating-point operations."""
    a, b = (torch.rand(shape, dtype=torch.float32).to(dtype) for shape in ((rows, inner), (inner, columns)))
    out = torch.empty(rows, columns, dtype=dtype)
    return lambda: torch.mm(a, b, out=out), 2 * rows * inner * columns


PRODUCTS = {
    "1024 x 1024 x 1024": (1024, 1024, 1024),
    "1024 x 1024 x 1024 in bfloat16": (1024, 1024, 1024, torch.bfloat16),
    "784-512 forward, 32 points": (512, 784, 32),
    "784-512 forward, 64 points": (512, 784, 64),
    "784-512 backward, 32 points": (512, 32, 784),
    "784-512 backward, 64 points": (512, 64, 784),
}


@pytest.mark.benchmark(group="kernels: matrix products")
@pytest.mark.parametrize("shape", PRODUCTS)
def test_product(benchmark, shape):
    run, flop = product(*PRODUCTS[shape])
    benchmark.pedantic(run, rounds=5 if "bfloat16" in shape else 50, warmup_rounds=1)
    benchmark.extra_info["gflops"] = round(flop / benchmark.stats.stats.median / 1e9, 1)


@pytest.mark.benchmark(group="kernels: one step of 784-512-10, 407,050 parameters")
@pytest.mark.parametrize("part", ["AdamW", "distance from the start"])
def test_step(benchmark, part):
    copies = stack(nn.Sequential(nn.Linear(784, 512), nn.ReLU(), nn.Linear(512, 10)), 1)
    optimiser, origin = AdamW(copies, 1e-3, 0.01), [parameter.clone() for parameter in copies.parameters]

    def distance():
        for parameter, start, gradient in zip(copies.parameters, origin, copies.gradients, strict=True):
            torch.sub(parameter, start, out=gradient)

    run = distance if part != "AdamW" else lambda: optimiser.step(copies)
    benchmark.pedantic(run, rounds=200, warmup_rounds=5)
    benchmark.extra_info["milliseconds"] = round(1e3 * benchmark.stats.stats.median, 3)
