"""Measures by how much training and unlearning grow a process each, and prints that beside the estimates.

Run as a script: what others did in a process before leaves it memory that it need not ask for.
"""

from __future__ import annotations

import gc
import json
import os

import numpy as np
import torch

from dvbench.execution.environment import watch_memory
from dvbench.models.gpt2_tiny import gpt2_tiny
from dvbench.training import pass_size
from dvbench.training.language_model import LanguageModel
from dvbench.training.memory import estimate_training, estimate_unlearning
from dvbench.unlearning.language_model_engine import LanguageModelUnlearner
from dvbench.unlearning_methods.gradient_ascent import GradientAscent

VOCABULARY, WIDTH, TEXTS = 8192, 64, {"train": 512, "unlearn": 448}


def texts(n: int) -> tuple[torch.Tensor, torch.Tensor]:
    tokens = np.random.default_rng(0).integers(0, VOCABULARY, (n, WIDTH)).astype(np.uint16)
    return torch.from_numpy(tokens), torch.ones(n, 1, dtype=torch.int64)


def run(what: str, n: int) -> None:
    """Two steps on so many texts at once."""
    model = LanguageModel(gpt2_tiny((WIDTH,), VOCABULARY), 0)
    x, y = texts(n)
    if what == "train":
        model.fit(x, y, batch_size=n, epochs=2, lr=1e-4)
    else:
        unlearner = LanguageModelUnlearner(model, x, y, x, y, GradientAscent(steps=2, batch_size=n, lr=1e-4))
        unlearner.unlearn([np.arange(n)], 0)


def measure(what: str) -> dict[str, float]:
    """By how much this process grows, and by how much it should."""
    n = TEXTS[what]
    run(what, 1)
    gc.collect()
    with watch_memory("cpu") as memory:
        run(what, n)
    footprint = {"train": estimate_training, "unlearn": estimate_unlearning}[what]
    return {
        "measured": memory.peak,
        "estimate": footprint(gpt2_tiny((WIDTH,), VOCABULARY), WIDTH, n, recompute=False).total,
    }


def apart(what: str) -> None:
    """Measure in a process of its own, which need not import everything anew."""
    child = os.fork()
    if not child:
        print(json.dumps({"what": what, **measure(what)}), flush=True)
        os._exit(0)
    os.waitpid(child, 0)


if __name__ == "__main__":
    torch.set_num_threads(1)
    pass_size.CPU_PASS_BYTES = pass_size.ENOUGH_TOKENS = 2**40
    for what in TEXTS:
        apart(what)
