"""How the batched engine grows with players, with coalitions at once and with cores: draws ``docs/growth.svg``.

Run as ``python tests/benchmarks/growth.py``; it takes a few minutes, on one thread a process.
"""

from __future__ import annotations

import multiprocessing
import os
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import matplotlib as mpl
import numpy as np
import torch
import torch.nn.functional as F

from dvbench.settings import ModelSettings
from dvbench.training.build import build_model
from dvbench.unlearning.stacked_engine import StackedUnlearner
from dvbench.unlearning_methods.gradient_ascent import GradientAscent
from evaluators import WarmStartShapley

FIT = {"epochs": 10, "batch_size": 32, "lr": 0.01}
PLAYERS = (125, 250, 500, 1000, 2000)
AT_ONCE = (1, 2, 4, 8, 16, 32, 64, 128, 256)
RETRAIN, RETRAIN_MLP = "logistic regression, retrained", "MLP 64-25-10, retrained"
HEAD, HEAD_512 = "head of 64 features, unlearned", "head of 512 features, unlearned"
WARM = "logistic regression, warm starts"
COLOURS = {label: f"C{i}" for i, label in enumerate((RETRAIN, RETRAIN_MLP, HEAD, HEAD_512, WARM))}


def data(n: int, width: int = 64) -> tuple[torch.Tensor, torch.Tensor]:
    """Points of ten classes around their centres."""
    generator = torch.Generator().manual_seed(n)
    labels = torch.arange(n) % 10
    centres = torch.randn(10, width, generator=torch.Generator().manual_seed(0))
    return torch.randn(n, width, generator=generator) + centres[labels], F.one_hot(labels, 10).float()


def model(width: int = 64, hidden: tuple[int, ...] = ()):
    settings = ModelSettings(name="mlp", params={"hidden": list(hidden)})
    return build_model(settings, (width,), 10, "classification", seed=0)


def retrain(n: int, coalitions: list[np.ndarray], hidden: tuple[int, ...] = (), budget: int | None = None) -> None:
    for _ in model(hidden=hidden).fit_many(*data(n), coalitions, budget=budget, **FIT):
        pass


def unlearn(n: int, coalitions: list[np.ndarray], width: int = 64, budget: int | None = None) -> None:
    network = model(width).network[-1]  # the head alone
    unlearner = StackedUnlearner(network, *data(n, width), *data(500, width), GradientAscent(), budget)
    for _ in unlearner.outputs_without(coalitions, 0):
        pass


def warm(n: int) -> None:
    """64 permutations side by side."""
    evaluator = WarmStartShapley(permutations=64, random_state=0).input_data(*data(n), *data(300))
    evaluator.input_metric(accuracy()).train_data_values()


def accuracy():
    from opendataval.metrics import accuracy

    return accuracy


def seconds(run: Callable[[], object]) -> float:
    """Best of two."""
    times = []
    for _ in range(2):
        started = time.perf_counter()
        run()
        times.append(time.perf_counter() - started)
    return min(times)


def by_players() -> dict[str, list[float]]:
    """Seconds for one permutation, all of its prefixes."""
    curves: dict[str, list[float]] = {RETRAIN: [], HEAD: [], WARM: []}
    for n in PLAYERS:
        prefixes = [np.random.RandomState(0).permutation(n)[:size] for size in range(1, n + 1)]
        curves[RETRAIN].append(seconds(partial(retrain, n, prefixes)))
        curves[HEAD].append(seconds(partial(unlearn, n, prefixes)))
        curves[WARM].append(seconds(partial(warm, n)) / 64)
    return curves


def by_coalitions() -> dict[str, list[float]]:
    """Milliseconds a coalition, with so many of them at once."""
    curves: dict[str, list[float]] = {RETRAIN: [], RETRAIN_MLP: [], HEAD: [], HEAD_512: []}
    for count in AT_ONCE:
        coalitions = [np.delete(np.arange(1000), i) for i in range(count)]
        each = 1e3 / count
        enough = 2**40
        curves[RETRAIN].append(each * seconds(partial(retrain, 1000, coalitions, budget=enough)))
        curves[RETRAIN_MLP].append(each * seconds(partial(retrain, 1000, coalitions, (25,), budget=enough)))
        curves[HEAD].append(each * seconds(partial(unlearn, 1000, coalitions, budget=enough)))
        curves[HEAD_512].append(each * seconds(partial(unlearn, 1000, coalitions, 512, budget=enough)))
    return curves


def _work(start, done, kind: str) -> None:
    torch.set_num_threads(1)
    coalitions = [np.delete(np.arange(1000), i) for i in range(400)]
    run = {RETRAIN: lambda c: retrain(1000, c), HEAD: lambda c: unlearn(1000, c)}[kind]
    run(coalitions[:20])
    start.wait()
    run(coalitions)
    done.wait()


def by_cores() -> dict[str, list[float]]:
    """Coalitions a second with so many processes, as a multiple of one."""
    context, curves = multiprocessing.get_context("fork"), {}
    for kind in (RETRAIN, HEAD):
        rates = []
        for count in range(1, (os.cpu_count() or 1) + 1):
            start, done = context.Barrier(count + 1), context.Barrier(count + 1)
            workers = [context.Process(target=_work, args=(start, done, kind)) for _ in range(count)]
            for worker in workers:
                worker.start()
            start.wait()
            started = time.perf_counter()
            done.wait()
            rates.append(count / (time.perf_counter() - started))
        curves[kind] = [rate / rates[0] for rate in rates]
    return curves


def draw(path: Path) -> None:
    """Measure and draw all three."""
    mpl.use("svg")
    mpl.rcParams["svg.fonttype"] = "none"
    from matplotlib import pyplot as plt

    torch.set_num_threads(1)
    cores = by_cores()
    figure, axes = plt.subplots(1, 3, figsize=(13, 4.2), layout="constrained")
    panels = (
        ("players", "seconds for one permutation", PLAYERS, by_players()),
        ("coalitions at once", "milliseconds a coalition", AT_ONCE, by_coalitions()),
    )
    for axis, (across, up, places, curves) in zip(axes, panels, strict=False):
        for label, curve in curves.items():
            axis.loglog(places, curve, marker="o", markersize=4, label=label, color=COLOURS[label])
            print(up, label, [round(value, 3) for value in curve])
        axis.set(xlabel=across, ylabel=up, xticks=places, xticklabels=places)
        axis.minorticks_off()
    for label, curve in cores.items():
        axes[2].plot(range(1, len(curve) + 1), curve, marker="o", markersize=4, label=label, color=COLOURS[label])
        print("speed-up by processes", label, [round(value, 2) for value in curve])
    most = len(next(iter(cores.values())))
    axes[2].plot([1, most], [1, most], color="grey", linestyle=":", label="as many times as fast")
    axes[2].set(xlabel="processes, one thread each", ylabel="speed-up", xticks=range(1, most + 1), ylim=(0, None))
    for axis in axes:
        axis.grid(alpha=0.3)
        axis.legend(fontsize=8, frameon=False)
    figure.savefig(path, metadata={"Date": None})


if __name__ == "__main__":
    draw(Path(__file__).parents[2] / "docs/growth.svg")
