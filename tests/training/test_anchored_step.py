"""The Triton kernel against torch's AdamW: in Triton's interpreter, which runs it on a CPU in a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

pytest.importorskip("triton", reason="torch's build for this platform has no Triton")

COMPARED = """
import numpy as np, torch
from dvbench.training import anchored
from dvbench.training.stacks import stack
from dvbench.unlearning.stacked_engine import StackedUnlearner
from dvbench.unlearning_methods.gradient_ascent import GradientAscent

torch.manual_seed(0)
network = torch.nn.Sequential(torch.nn.Linear(5, 300), torch.nn.ReLU(), torch.nn.Linear(300, 7))  # 2,100 weights
copies, others = stack(network, 3), stack(network, 3)
anchored.FUSED_ON = ("cpu",)
fused = anchored.AnchoredAdamW(copies, 0.01, 0.3, 0.7)
anchored.FUSED_ON = ()
passes = anchored.AnchoredAdamW(others, 0.01, 0.3, 0.7)
assert fused._fused_step and not passes._fused_step
for step in range(8):
    if step == 5:
        fused.restart(copies), passes.restart(others)
    active = 3 if step < 6 else 2  # the third copy has no steps left
    gradients = [torch.randn_like(gradient[:active]) for gradient in copies.gradients]
    for optimiser, whole in ((fused, copies), (passes, others)):
        part = whole[:active]
        beta = optimiser.write_distance(part)
        assert beta == (0 if optimiser is fused else 1.4)
        for total, gradient in zip(part.gradients, gradients):
            total.copy_(gradient if beta == 0 else beta * total + gradient)
        optimiser.step(part)
    for one, other in zip(copies.parameters, others.parameters):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-6)
        assert not torch.equal(one[0], one[1])

x, y, results = torch.randn(20, 5), torch.nn.functional.one_hot(torch.arange(20) % 7, 7).float(), []
for devices in (("cpu",), ()):
    anchored.FUSED_ON = devices
    unlearner = StackedUnlearner(network, x, y, x, y, GradientAscent(steps=5, batch_size=4, lr=0.01), budget=2**30)
    results.append(next(unlearner.outputs_without([np.arange(5), np.arange(9)], 0))[1])
torch.testing.assert_close(*results, rtol=1e-4, atol=1e-5)
print("equal")
"""

COMPILED = """
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource, compile
from dvbench.training.anchored_kernel import _step

tensors = dict.fromkeys(("parameter", "gradient", "first", "second", "start"), "*fp32")
tensors |= {"betas": "*fp64", "corrections": "*fp64"}
numbers = {"size": "i32", **dict.fromkeys(("lr", "decay", "twice_anchor", "epsilon"), "fp32"), "BLOCK": "constexpr"}
kernel = compile(ASTSource(_step, {**tensors, **numbers}, {"BLOCK": 1024}), target=GPUTarget("cuda", 90, 32))
print(kernel.asm["ptx"].count("st.global"))
"""


def run(script, **environment):
    command = [sys.executable, "-c", script]
    return subprocess.run(
        command, capture_output=True, text=True, check=False, env={**os.environ, "OMP_NUM_THREADS": "1", **environment}
    )


@pytest.mark.slow
def test_one_kernel_takes_the_step_of_three_passes():
    done = run(COMPARED, TRITON_INTERPRET="1")
    assert done.stdout == "equal\n", done.stderr


@pytest.mark.slow
def test_the_kernel_is_compiled_for_a_gpu(tmp_path):
    """Of compute capability 9.0, by Triton's own compiler; each program stores a block of three tensors."""
    done = run(COMPILED, TRITON_CACHE_DIR=str(tmp_path))
    assert int(done.stdout or 0) % 3 == 0 < int(done.stdout or 0), done.stderr
