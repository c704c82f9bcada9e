"""Runs an evaluator as on another kind of processor: in a process that uses no newer instructions than SSE 4.2."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np

OLD_INSTRUCTIONS = {
    "ATEN_CPU_CAPABILITY": "default",
    "MKL_ENABLE_INSTRUCTIONS": "SSE4_2",
    "ONEDNN_MAX_CPU_ISA": "SSE41",
    "OPENBLAS_CORETYPE": "Nehalem",
}


def values_with_old_instructions(module: str) -> np.ndarray:
    """Values of ``module.values()``, a function of a test module, in a process of its own."""
    code = f"import json, {module} as m; print(json.dumps(m.values().tolist()))"
    path = os.pathsep.join([str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")])
    environment = os.environ | OLD_INSTRUCTIONS | {"PYTHONPATH": path}
    output = subprocess.run([sys.executable, "-c", code], env=environment, check=True, capture_output=True, text=True)
    return np.array(json.loads(output.stdout.splitlines()[-1]))
