"""What CHG Shapley adds to the training it watches, on one thread: time, memory and how both grow."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from opendataval.dataloader import DataFetcher
from opendataval.metrics import accuracy
from side_by_side import seconds

from dvbench.problems.build import load_source
from dvbench.settings import ModelSettings
from dvbench.training.build import build_model
from evaluators import CHGShapley
from evaluators.common.training_dynamics import chunks

FIT = {"epochs": 1, "batch_size": 32, "lr": 0.001}
HUB_ID = "zalando-datasets/fashion_mnist"
MIRROR = Path(os.environ.get("DVBENCH_MIRROR") or Path(__file__).parents[3] / "shared/data/hub")
needs_mirror = pytest.mark.skipif(
    not (MIRROR / HUB_ID).is_dir(), reason=f"no mirror of {HUB_ID}: set DVBENCH_MIRROR to a folder that has it"
)
needs_proc = pytest.mark.skipif(
    not Path("/proc/self/clear_refs").exists(), reason="reads peak memory from Linux's /proc"
)


def mlp(inputs: int, hidden: int):
    return build_model(ModelSettings(name="mlp", params={"hidden": [hidden]}), (inputs,), 10, "classification", seed=0)


def synthetic(n: int, inputs: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Points of ten classes."""
    x = torch.randn(n, inputs, generator=torch.Generator().manual_seed(0))
    return x, torch.eye(10)[torch.arange(n) % 10]


@pytest.fixture(scope="module")
def fashion(tmp_path_factory):
    """All 60,000 training images, for OpenDataVal's evaluators."""
    with pytest.MonkeyPatch.context() as patch:
        import datasets

        patch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path_factory.mktemp("huggingface"))
        patch.setenv("DVBENCH_MIRROR", str(MIRROR))
        source = load_source("fashion_mnist")
        x, y = source.take(np.arange(60_000)).reshape(60_000, -1), np.eye(10, dtype=np.float32)[source.labels[:60_000]]
    return DataFetcher.from_data_splits(x, y, *(x[:100], y[:100]) * 2, one_hot=True)


class Timed(CHGShapley):
    """Keeps the seconds of each valuation."""

    def __init__(self) -> None:
        super().__init__()
        self.seconds: list[float] = []

    def epoch_values(self, network, x, y):
        start = time.perf_counter()
        values = super().epoch_values(network, x, y)
        self.seconds.append(time.perf_counter() - start)
        return values


@needs_mirror
@pytest.mark.benchmark(group="one epoch of 784-512-10 on 60,000 images of Fashion-MNIST, and its valuation")
def test_at_most_two_fifths_more_than_training(benchmark, fashion):
    """Of each round's own training, because other processes slow down whole rounds.

    No value can be computed without the logits of all points under the weights of the epoch's start, so one forward
    pass is the least that a valuation takes.
    """
    model, alone, together, valuing, forward = mlp(784, 512), [], [], [], []
    x, y = fashion.x_train, fashion.y_train

    @torch.no_grad()
    def predict():
        for (points,) in chunks(x):
            model.network(points)

    def train_alone():
        clone = model.clone()
        alone.append(seconds(lambda: clone.fit(x, y, **FIT)))
        forward.append(seconds(predict))

    def train_and_value():
        evaluator = Timed()
        together.append(seconds(lambda: evaluator.train(fashion, model, accuracy, **FIT)))
        valuing.extend(evaluator.seconds)

    benchmark.pedantic(train_and_value, setup=train_alone, rounds=5, warmup_rounds=0)
    within = [1 + value / (both - value) for value, both in zip(valuing, together, strict=True)]
    benchmark.extra_info.update(
        training_seconds=alone,
        valuation_seconds=valuing,
        ratio=within,
        ratio_of_a_forward_pass=[
            1 + one / (both - value) for one, value, both in zip(forward, valuing, together, strict=True)
        ],
    )
    assert float(np.median(within)) <= 1.4


PEAK = """
import sys
from pathlib import Path

sys.path.insert(0, {folder!r})
import torch
from test_chg import CHGShapley, mlp, synthetic

torch.set_num_threads(1)
(x, y), model = synthetic({n}, 784), mlp(784, 512)
model.fit(x[:3200], y[:3200], epochs=1)


def kilobytes(field):
    return int(Path("/proc/self/status").read_text().partition(field + ":")[2].split()[0])


Path("/proc/self/clear_refs").write_text("5")  # the peak so far, that of making the data, is forgotten
before = kilobytes("VmRSS")
total = torch.zeros({n}, dtype=torch.float64)
for _ in range(2):
    total += torch.from_numpy(CHGShapley().epoch_values(model.eval(), x, y))
print(kilobytes("VmHWM") - before)
"""


def peak_megabytes(n: int) -> float:
    """Peak memory of two valuations, beyond data and training, in a process of its own.

    It gives back at once what it frees: what training left over would be used, and not be counted.
    """
    script = PEAK.format(folder=str(Path(__file__).parent), n=n)
    environment = {**os.environ, "MALLOC_MMAP_THRESHOLD_": "65536", "MALLOC_TRIM_THRESHOLD_": "0"}
    done = subprocess.run([sys.executable, "-c", script], env=environment, stdout=subprocess.PIPE, check=True)
    return int(done.stdout.split()[-1]) / 1024


@needs_proc
@pytest.mark.benchmark(group="peak memory of valuing (in a new process; read extra_info, not the seconds)")
def test_memory_is_flat(benchmark):
    peaks = {n: peak_megabytes(n) for n in (10_000, 60_000)}
    benchmark.extra_info["megabytes"] = peaks
    benchmark.pedantic(lambda: None)
    assert peaks[60_000] <= 1.1 * peaks[10_000]


@pytest.mark.benchmark(group="valuing a million points, 64 features, MLP of 25 hidden units")
def test_time_is_linear(benchmark):
    model, sizes = mlp(64, 25).eval(), (10_000, 100_000, 1_000_000)
    x, y = synthetic(sizes[-1], 64)

    def microseconds_a_point(n: int) -> float:
        return 1e6 / n * seconds(lambda: CHGShapley().epoch_values(model, x[:n], y[:n]))

    rounds = [{n: microseconds_a_point(n) for n in sizes} for _ in range(5)]
    times = {n: float(np.median([each[n] for each in rounds])) for n in sizes}
    exponent = 1 + np.log(times[sizes[-1]] / times[sizes[0]]) / np.log(sizes[-1] / sizes[0])
    benchmark.extra_info.update(microseconds_a_point=times, grows_with_n_to_the=round(float(exponent), 2))
    benchmark.pedantic(CHGShapley().epoch_values, args=(model, x, y), rounds=1)
    assert exponent < 1.15
