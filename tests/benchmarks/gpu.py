"""Prints what is measured on one GPU as a table in Markdown, row by row as it is measured.

``python tests/benchmarks/gpu.py`` takes less than four minutes on one card of 80 GB. With ``--tiny`` it measures small
sizes on any machine, which shows that it works and says nothing about speed.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from gpu_points import point_rows

from dvbench.models.gpt2 import gpt2
from dvbench.models.gpt2_tiny import gpt2_tiny
from dvbench.models.gpt2_xl import gpt2_xl
from dvbench.settings import Precision
from dvbench.training.language_model import LanguageModel
from dvbench.training.recompute import recompute_activations
from dvbench.training.tensor_model import seeded
from dvbench.unlearning.language_model_engine import LanguageModelUnlearner
from dvbench.unlearning_methods.gradient_ascent import GradientAscent


class Row(NamedTuple):
    """One line of the table."""

    work: str
    measured: str
    compared: str


@dataclass(frozen=True)
class Texts:
    """Sizes of the rows of one language model."""

    name: str
    build: Callable[..., nn.Module]
    length: int = 768
    vocabulary: int = 50257
    batch: int = 16
    batches: int = 6  # that are timed
    steps: int = 10  # of unlearning
    recompute: bool = False  # activations, in the plain loop too
    short: bool = False  # time a fit of two minibatches


FULL = (
    Texts("gpt2", gpt2),
    Texts("gpt2_xl", gpt2_xl, batches=4, steps=5, short=True),
    Texts("gpt2_xl, recomputed", gpt2_xl, batches=4, steps=5, recompute=True),
)
TINY = (
    Texts("gpt2_tiny", gpt2_tiny, 16, 64, 4, 2, 2, short=True),
    Texts("gpt2_tiny, recomputed", gpt2_tiny, 16, 64, 4, 2, 2, recompute=True),
)


def seconds(work: Callable[[], object], device: str) -> float:
    """Time of a call, after the GPU has finished what was asked of it before, and until it has finished this."""
    if device == "cuda":
        torch.cuda.synchronize()
    started = time.perf_counter()
    work()
    if device == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - started


def made_texts(of: Texts, batches: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Random tokens, as many in every text."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randint(0, of.vocabulary - 1, (of.batch * batches, of.length), generator=generator)
    return x.to(torch.int32), torch.ones(len(x), 1)


def plain_loop(network: nn.Module, x: torch.Tensor, of: Texts, device: str, precision: Precision) -> None:
    """The shortest training loop: all logits of a minibatch, autocast, scaled dot products and the fused AdamW."""
    optimiser = torch.optim.AdamW(network.parameters(), lr=3e-4, fused=True)
    network.train()
    for tokens in x.long().to(device).split(of.batch):
        with torch.autocast(device, torch.bfloat16, enabled=precision == "bfloat16"):
            logits = network(input_ids=tokens[:, :-1]).logits
        F.cross_entropy(logits.float().flatten(0, 1), tokens[:, 1:].flatten()).backward()
        optimiser.step()
        optimiser.zero_grad(set_to_none=True)


def text_rows(tiny: bool, device: str) -> Iterator[Row]:
    """Training and unlearning of language models."""
    for of in TINY if tiny else FULL:
        try:
            yield from rows_of_a_language_model(of, device)
        except torch.OutOfMemoryError:
            yield Row(of.name, "does not fit", "")
        if device == "cuda":
            torch.cuda.empty_cache()


def rows_of_a_language_model(of: Texts, device: str) -> Iterator[Row]:
    precision: Precision = "bfloat16" if device == "cuda" else "float32"
    network = seeded(lambda: of.build((of.length,), of.vocabulary), 0, device)
    if of.recompute:
        recompute_activations(network)
    model = LanguageModel(network, 0, precision=precision)
    x, y = made_texts(of, of.batches)
    few = made_texts(of, 2)
    tokens = x.numel()

    def fit(data: tuple[torch.Tensor, torch.Tensor]) -> LanguageModel:
        return model.clone().fit(*data, batch_size=of.batch, epochs=1, lr=3e-4)

    fit(few)
    peak = reset_peak(device)
    training = seconds(lambda: fit((x, y)), device)
    used = peak()
    yield Row(
        f"train {of.name}, {of.length} tokens, batch {of.batch}",
        f"{tokens / training:,.0f} tokens/s{used}",
        f"plain loop: {compared_with_a_plain_loop(model, x, of, device, training)}",
    )
    if of.short:
        short = seconds(lambda: fit(few), device)
        yield Row(f"one short fit of {of.name}, {len(few[0])} texts", f"{few[0].numel() / short:,.0f} tokens/s", "")
    full = fit(few)
    method = GradientAscent(steps=of.steps, batch_size=of.batch // 2)
    unlearner = LanguageModelUnlearner(full, x, y, *few, method)
    unlearner.unlearn([np.arange(of.batch)], 0)
    step = seconds(lambda: unlearner.unlearn([np.arange(of.batch)], 0), device) / of.steps
    train_step = training / of.batches
    yield Row(
        f"unlearning step of {of.name}, {of.batch // 2} + {of.batch // 2} texts",
        f"{1e3 * step:,.0f} ms",
        f"training step of {of.batch} texts: {1e3 * train_step:,.0f} ms; ratio {step / train_step:.2f}",
    )


def compared_with_a_plain_loop(model: LanguageModel, x: torch.Tensor, of: Texts, device: str, training: float) -> str:
    """Speed of the plain loop on the same texts, and how many times faster dvbench was."""

    def loop(texts: torch.Tensor) -> None:
        plain_loop(model.clone().network, texts, of, device, model.precision)

    try:
        loop(x[: of.batch])
        plain = seconds(lambda: loop(x), device)
    except torch.OutOfMemoryError:
        return "does not fit"
    return f"{x.numel() / plain:,.0f} tokens/s; ratio {plain / training:.2f}"


def reset_peak(device: str) -> Callable[[], str]:
    """Start to watch the GPU's memory; the result tells the peak."""
    if device != "cuda":
        return lambda: ""
    torch.cuda.reset_peak_memory_stats()
    return lambda: f", {torch.cuda.max_memory_allocated() / 1e9:.0f} GB"


PARTS: dict[str, Callable[[bool, str], Iterator[tuple[str, str, str]]]] = {"points": point_rows, "texts": text_rows}


def main() -> None:
    """Measure all parts."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tiny", action="store_true", help="small sizes, on the CPU if there is no GPU")
    parser.add_argument("--part", choices=PARTS, help="only models of points, or only of texts")
    given = parser.parse_args()
    tiny, parts = given.tiny, PARTS if given.part is None else {given.part: PARTS[given.part]}
    device = "cuda" if torch.cuda.is_available() else "cpu"
    if device == "cpu" and not tiny:
        parser.error("there is no GPU; --tiny measures small sizes on a CPU")
    name = torch.cuda.get_device_name() if device == "cuda" else "CPU"
    started = time.perf_counter()
    print(f"{name}, torch {torch.__version__}\n\n| work | measured | compared with |\n|---|---|---|")
    for part in parts.values():
        for row in part(tiny, device):
            print(f"| {' | '.join(row)} |", flush=True)
    print(f"\nThis took {time.perf_counter() - started:.0f} s.")


if __name__ == "__main__":
    main()
