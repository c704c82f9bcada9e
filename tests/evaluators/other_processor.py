"""Runs an evaluator as on another kind of processor: in a process that uses no newer instructions than SSE 4.2."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

OLD_INSTRUCTIONS = {
    "ATEN_CPU_CAPABILITY": "default",
    "MKL_ENABLE_INSTRUCTIONS": "SSE4_2",
    "ONEDNN_MAX_CPU_ISA": "SSE41",
    "OPENBLAS_CORETYPE": "Nehalem",
}


def product() -> float:
    """A number whose last digits depend on the instructions of the processor."""
    numbers = torch.randn(300, 300, generator=torch.Generator().manual_seed(0))
    return float((numbers @ numbers).sin().sum())


def values_with_old_instructions(module: str) -> np.ndarray:
    """Values of ``module.values()``, a function of a test module, in a process of its own.

    The test is skipped if numbers of that process are computed like those of this one: then it would show nothing.
    """
    code = f"import json, {module} as m, other_processor as o; print(json.dumps([o.product(), m.values().tolist()]))"
    path = os.pathsep.join([str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")])
    environment = os.environ | OLD_INSTRUCTIONS | {"PYTHONPATH": path}
    output = subprocess.run([sys.executable, "-c", code], env=environment, check=True, capture_output=True, text=True)
    there, values = json.loads(output.stdout.splitlines()[-1])
    if there == product():
        pytest.skip("this processor has no other instructions that could be left out")
    return np.array(values)
