"""How much memory language models take: counted beforehand, and measured."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from plain_texts import made_texts
from torch.profiler import profile

from dvbench.errors import UserError
from dvbench.models.gpt2 import gpt2
from dvbench.models.gpt2_tiny import gpt2_tiny
from dvbench.models.gpt2_xl import gpt2_xl
from dvbench.settings import ModelSettings
from dvbench.training import memory, pass_size
from dvbench.training.build import build_model
from dvbench.training.language_model import LanguageModel
from dvbench.training.memory import (
    LOGITS_TRAINING,
    LOGITS_UNLEARNING,
    MemoryEstimate,
    estimate_run,
    estimate_training,
    estimate_unlearning,
    logits_bytes,
    parameter_count,
    pass_bytes,
    require_room,
)
from dvbench.unlearning.language_model_engine import LanguageModelUnlearner
from dvbench.unlearning_methods.gradient_ascent import GradientAscent
from dvbench.unlearning_methods.negative_preference import NegativePreference
from dvbench.unlearning_methods.random_labels import RandomLabels
from dvbench.unlearning_methods.scrub import Scrub

VOCABULARY = 50257
GB = 10**9
WIDTH = 33


def shapes(build, length=1024, vocabulary=VOCABULARY, **params):
    with torch.device("meta"):
        return build((length,), vocabulary, **params)


@pytest.mark.parametrize(("build", "count"), [(gpt2, 124_439_808), (gpt2_xl, 1_557_611_200)])
def test_published_sizes_have_their_parameters(build, count):
    network = shapes(build)
    assert parameter_count(network) == count
    assert sum(each.numel() for each in network.parameters()) == count  # torch names what is shared once
    assert {each.device.type for each in network.parameters()} == {"meta"}


def test_what_gpt2_xl_takes():
    """Weights, gradients and two moments in float32 are 16 bytes a parameter; unlearning has the full model beside."""
    network = shapes(gpt2_xl, 128)
    assert estimate_training(network, 128).weights == 16 * 1_557_611_200
    assert estimate_unlearning(network, 128).weights == 20 * 1_557_611_200
    assert estimate_run(network, 128).weights == 24 * 1_557_611_200
    assert 37 * GB < estimate_run(network, 128).total < 45 * GB
    assert MemoryEstimate(100, 50).total == 165


def test_recomputed_blocks_leave_one_block_and_the_inputs_of_all():
    kept, recomputed = (shapes(gpt2_xl, 128, recompute=recompute) for recompute in (False, True))
    assert pass_bytes(kept, 128) == 4 * 128 * 48 * 16 * 1600
    assert pass_bytes(recomputed, 128) == pass_bytes(kept, 128, recompute=True) == 4 * 128 * (48 + 16) * 1600
    assert pass_bytes(recomputed, 128, recompute=False) == pass_bytes(kept, 128)
    assert logits_bytes(kept, 128) == 4 * 128 * LOGITS_TRAINING * VOCABULARY


def peak(run) -> int:
    """The most bytes that torch held at once, beyond what it held before; exact."""
    with profile(profile_memory=True) as profiled:
        run()
    held = most = 0
    for event in sorted(profiled.profiler.kineto_results.events(), key=lambda event: event.start_ns()):
        if event.name() == "[memory]":
            held += event.nbytes()
            most = max(most, held)
    return most


@pytest.mark.slow
def test_the_estimate_is_what_is_measured():
    """By how much a process grows, which starts without the network."""
    script = Path(__file__).with_name("measured_memory.py")
    # Else the allocator keeps freed blocks of up to 32 MiB for later, and now and then counts them as still in use.
    frugal = {**os.environ, "MALLOC_MMAP_THRESHOLD_": str(2**18), "MALLOC_TRIM_THRESHOLD_": str(2**18)}
    run = subprocess.run([sys.executable, script], capture_output=True, text=True, check=True, env=frugal)
    actual = [json.loads(line) for line in run.stdout.splitlines()]
    assert [each["what"] for each in actual] == ["train", "unlearn"]
    for each in actual:
        assert 200e6 < each["estimate"] < 600e6
        assert 0.8 < each["estimate"] / each["measured"] < 1.5


def numbers_a_token(run, texts: int) -> float:
    """As many numbers as the vocabulary that a pass holds for each token at its peak, told from two vocabularies."""
    small, large = 2048, 4096
    peaks = [peak(run(vocabulary)) for vocabulary in (small, large)]
    return (peaks[1] - peaks[0]) / 4 / (large - small) / (texts * (WIDTH - 1))


def setting(vocabulary, n=8):
    """A model of width 4, and texts of full length."""
    x, y = made_texts(n, vocabulary=1000, length=WIDTH)
    x = x.long().clamp(max=999).to(torch.uint16)
    return LanguageModel(gpt2((WIDTH,), vocabulary, layers=1, width=4, heads=1), 0), x, torch.ones_like(y)


@pytest.mark.parametrize("texts", [8, 2])  # in a chunk, of eight in a pass
def test_what_grows_with_the_vocabulary_is_counted_exactly(texts, monkeypatch):
    def training(vocabulary):
        model, x, y = setting(vocabulary)
        monkeypatch.setattr(pass_size, "CPU_CHUNK_BYTES", texts * logits_bytes(model.network, WIDTH))
        return lambda: model.fit(x, y, batch_size=8, epochs=2, lr=1e-3)

    def unlearning(method):
        def make(vocabulary):
            model, x, y = setting(vocabulary)
            unlearner = LanguageModelUnlearner(model, x, y, x, y, method)
            a_chunk = logits_bytes(model.network, WIDTH, LOGITS_UNLEARNING)
            monkeypatch.setattr(pass_size, "CPU_CHUNK_BYTES", texts * a_chunk)
            return lambda: unlearner.unlearn([np.arange(8)], 0)

        return make

    # Besides, there may be at once: the output layer's two moments, its gradients of a chunk and of all; and its copy.
    layer = 4 / (texts * (WIDTH - 1))
    assert LOGITS_TRAINING - 0.1 < numbers_a_token(training, texts) <= LOGITS_TRAINING + 5 * layer
    ascent = unlearning(GradientAscent(steps=3, batch_size=8))
    assert LOGITS_UNLEARNING - 0.1 < numbers_a_token(ascent, texts) <= LOGITS_UNLEARNING + 6 * layer
    for method in (Scrub, RandomLabels, NegativePreference):  # none takes more
        most = numbers_a_token(unlearning(method(steps=4, batch_size=8)), texts)
        assert most <= LOGITS_UNLEARNING + 6 * layer


# What is refused


def refusal(name, build, device="cpu", there=10 * GB, length=128, vocabulary=VOCABULARY):
    with pytest.raises(UserError) as error:
        require_room(name, shapes(build, length), (length,), vocabulary, device, there)
    return str(error.value)


def gigabytes(build, length=128):
    return f"{estimate_run(shapes(build, length), length).total / GB:.1f} GB"


def test_what_does_not_fit_is_told_with_the_next_size_that_does():
    assert refusal("gpt2_xl", gpt2_xl) == (
        f"gpt2_xl needs {gigabytes(gpt2_xl)} of memory for training and unlearning on texts of 128 tokens, and this "
        f"machine has 10.0 GB; run it on a GPU with enough memory; gpt2 fits, with {gigabytes(gpt2)}"
    )
    assert refusal("gpt2_xl", gpt2_xl, there=GB).endswith(f"; gpt2_tiny fits, with {gigabytes(gpt2_tiny)}")
    assert refusal("gpt2_xl", gpt2_xl, there=1000).endswith("; run it on a GPU with enough memory")


def test_on_a_gpu_another_gpu_is_no_advice():
    shown = refusal("gpt2_xl", gpt2_xl, "cuda", 24 * GB)
    assert "and the GPU has 24.0 GB; gpt2 fits, with" in shown
    assert "run it on a GPU" not in shown


def test_a_model_is_not_told_to_be_replaced_by_a_larger_one():
    shown = refusal("mine", gpt2_tiny, there=estimate_run(shapes(gpt2_tiny, 128), 128).total - 1)
    assert shown.endswith("; run it on a GPU with enough memory")


def test_what_fits_exactly_is_fine():
    network = shapes(gpt2, 128)
    needed = estimate_run(network, 128).total
    require_room("gpt2", network, (128,), VOCABULARY, "cpu", needed)
    with pytest.raises(UserError):
        require_room("gpt2", network, (128,), VOCABULARY, "cpu", needed - 1)


def test_memory_is_this_machines(monkeypatch, tmp_path):
    monkeypatch.setattr(memory, "CONTAINER", tmp_path / "memory.max")
    pages = int(Path("/proc/meminfo").read_text().partition("MemTotal:")[2].split()[0]) * 1024
    assert memory.memory_of("cpu") == pytest.approx(pages, rel=0.01)
    for limit, there in (("max\n", pages), ("1000000\n", 10**6)):
        (tmp_path / "memory.max").write_text(limit)
        assert memory.memory_of("cpu") == pytest.approx(there, rel=0.01)


def test_what_does_not_fit_is_refused_before_anything_is_built(monkeypatch):
    monkeypatch.setattr(memory, "memory_of", lambda device: 10 * GB)
    settings = ModelSettings(name="gpt2_xl")

    def build():
        with pytest.raises(UserError, match="gpt2_xl needs"):
            build_model(settings, (128,), VOCABULARY, "language", seed=0)

    assert peak(build) < 10**6
