"""What GPT-2's sizes take: reckoned from their shapes, and measured for those that this machine trains in seconds.

``python tests/benchmarks/text_scale.py`` prints two tables in Markdown; with ``--device cuda`` GPT-2 and GPT2-XL are
measured too.
"""

from __future__ import annotations

import argparse
import time

import numpy as np
import torch
from torch import nn

from dvbench.execution.environment import watch_memory
from dvbench.models.gpt2 import gpt2
from dvbench.models.gpt2_tiny import gpt2_tiny
from dvbench.models.gpt2_xl import gpt2_xl
from dvbench.training.language_model import LanguageModel
from dvbench.training.memory import estimate_run, estimate_training, estimate_unlearning, parameter_count
from dvbench.training.tensor_model import seeded
from dvbench.training.throughput import training_flops, training_speed
from dvbench.unlearning.language_model_engine import LanguageModelUnlearner
from dvbench.unlearning_methods.gradient_ascent import GradientAscent

SIZES = ((gpt2_tiny, 64, 2048), (gpt2, 768, 50257), (gpt2_xl, 768, 50257))


def reckoned() -> None:
    print(
        "| model | tokens of a text | vocabulary | parameters | GFLOP a token | GB to train | to unlearn | to do both |"
    )
    print("|---|---:|---:|---:|---:|---:|---:|---:|")
    for build, length, vocabulary in SIZES:
        with torch.device("meta"):
            network = build((length,), vocabulary)
        sizes = (each(network, length).total / 1e9 for each in (estimate_training, estimate_unlearning, estimate_run))
        print(
            f"| {build.__name__} | {length} | {vocabulary:,} | {parameter_count(network):,} | "
            f"{training_flops(network, length) / 1e9:.3g} | " + " | ".join(f"{size:.2g}" for size in sizes) + " |"
        )


def measured(device: str) -> None:
    print("\n| model | tokens a second | of what torch.mm reaches | GB | ms a training step | an unlearning step |")
    print("|---|---:|---:|---:|---:|---:|")
    for build, length, vocabulary in SIZES if device == "cuda" else SIZES[:1]:
        row = _row(lambda build=build, length=length, v=vocabulary: build((length,), v), length, vocabulary, device)
        print(f"| {build.__name__} | " + " | ".join(row) + " |")


def _row(build, length: int, vocabulary: int, device: str, texts: int = 128, batch: int = 16) -> list[str]:
    network: nn.Module = seeded(build, 0)
    model = LanguageModel(network, 0, precision="bfloat16" if device == "cuda" else "float32").to(device)
    tokens = torch.randint(0, vocabulary - 1, (texts, length), generator=torch.Generator().manual_seed(0))
    x, y = tokens.to(torch.int32), torch.ones(texts, 1)
    model.clone().fit(x[:batch], y[:batch], batch_size=batch, epochs=1)  # warm
    with watch_memory(device) as memory:
        full = model.clone().fit(x, y, batch_size=batch, epochs=2, lr=3e-4)
        method = GradientAscent(steps=10, batch_size=batch // 2)
        unlearner = LanguageModelUnlearner(full, x, y, x[:batch], y[:batch], method)
        started = time.perf_counter()
        bool(unlearner.unlearn([np.arange(texts)], 0).finite())
        unlearning = (time.perf_counter() - started) / method.steps
    speed = training_speed(full.network, 2 * texts * length, length, full.seconds, model.precision)
    peak = (memory.peak_cuda or memory.peak) / 1e9
    step = full.seconds / (2 * texts / batch)
    return [
        f"{speed['tokens_per_second']:,.0f}",
        f"{speed['flop_utilisation']:.0%}",
        f"{peak:.2f}",
        f"{1e3 * step:.0f}",
        f"{1e3 * unlearning:.0f}",
    ]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    reckoned()
    measured(parser.parse_args().device)
