"""Rows on models of points for the table of `gpu.py`: seconds, and what TF32, CUDA graphs and the Triton kernel change.

Points are made up: classes with random means. ``tiny`` sizes run on a CPU in seconds, where the numbers mean nothing.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

import numpy as np
import torch
import torch.nn.functional as F
from scipy.stats import spearmanr

from dvbench.settings import ModelSettings
from dvbench.training import anchored, tensor_model
from dvbench.training.build import build_model
from dvbench.training.tensor_model import TensorModel
from dvbench.unlearning import stacked_engine
from dvbench.unlearning.stacked_engine import StackedUnlearner
from dvbench.unlearning_methods.gradient_ascent import GradientAscent

Row = tuple[str, str, str]
"""Work, what was measured, and what it is compared with."""


# Measured on an H200 at an earlier version.
EARLIER = {("all", "float32"): "1.02 s", ("all", "tf32"): "0.83 s", ("head", "float32"): "0.148 s"}


@dataclass(frozen=True)
class Size:
    """How much work is measured."""

    points: int = 1000
    steps: int = 100
    images: str = "resnet18"  # the model of images
    resnets: int = 4  # coalitions of which all its parameters are unlearned
    side: int = 32  # of its images
    hidden: int = 512
    pixels: int = 784
    permutations: int = 5  # for values in both precisions


TINY = Size(points=24, steps=3, images="cnn", resnets=1, side=4, hidden=8, pixels=16, permutations=2)


def point_rows(tiny: bool, device: str) -> Iterator[Row]:
    """Measure everything; with ``tiny`` in sizes for a CPU."""
    size = TINY if tiny else Size()
    yield from _unlearning_rows(device, size)
    yield from _resnet_rows(device, size)
    yield from _retraining_rows(device, size)
    yield _effect_of_tf32(device, size)


def _unlearning_rows(device: str, size: Size) -> Iterator[Row]:
    """One permutation: all prefixes of all points."""
    prefixes = _prefixes(size.points)
    for what, parameters in (("all", "all"), ("the head", "head")):
        title = f"unlearn {what} of {size.pixels}-{size.hidden}-10, {size.points} prefixes, {size.steps} steps"
        results = {}
        for precision in ("float32", "tf32") if parameters == "all" else ("float32",):
            unlearner = _unlearner(device, size, parameters, precision)
            seconds, results[precision] = _best(device, unlearner, prefixes)
            before = EARLIER.get((parameters, precision), "")
            yield f"{title}, {precision}", f"{seconds:.3f} s a permutation, {unlearner.at_once} at once", before
        for name, without in (("CUDA graphs", _without_graphs), ("the Triton kernel", _without_kernel)):
            with without():
                seconds, taken = _best(device, _unlearner(device, size, parameters, "float32"), prefixes)
            difference = float((taken - results["float32"]).abs().max())
            yield f"the same in float32 without {name}", f"{seconds:.3f} s", f"logits differ by up to {difference:.1e}"


def _resnet_rows(device: str, size: Size) -> Iterator[Row]:
    for parameters, precision in (("all", "float32"), ("all", "tf32"), ("head", "float32")):
        images = replace(size, points=min(size.points, 256))
        model = _model(size.images, (3, size.side, size.side), precision, device)
        x, y = _points(images.points, model, (3, size.side, size.side), device)
        method = GradientAscent(parameters=parameters, steps=size.steps)
        unlearner = StackedUnlearner(model, x, y, x[: images.points // 2], y[: images.points // 2], method)
        coalitions = _prefixes(images.points)[-(size.resnets if parameters == "all" else images.points) :]
        seconds, _ = _best(device, unlearner, coalitions)
        work = f"unlearn {parameters} of {size.images}, {size.steps} steps of 32 + 32 images, {precision}"
        before = {"all": "912 ms, 3 at once", "head": "0.27 ms"}[parameters]
        yield work, f"{1e3 * seconds / len(coalitions):.2f} ms a coalition", before


def _retraining_rows(device: str, size: Size) -> Iterator[Row]:
    for name, width, batch_size, before in (
        ("logistic_regression", 64, 32, "0.37 s"),
        ("mlp", size.pixels, 512, "0.61 s"),
    ):
        model = _model(name, (width,), "float32", device, size)
        x, y = _points(size.points, model, (width,), device)
        prefixes = _prefixes(size.points)
        how = {"batch_size": batch_size, "epochs": 10, "lr": 1e-3}

        def fit(model=model, x=x, y=y, prefixes=prefixes, how=how) -> torch.Tensor:
            return torch.cat([models.all_outputs(x[:10]) for _, models in model.fit_many(x, y, prefixes, **how)])

        logits = fit()
        seconds = min(_seconds(device, fit) for _ in range(2))
        yield (
            f"retrain {name}, {width} features, {size.points} prefixes, batch {batch_size}",
            f"{seconds:.3f} s",
            before,
        )
        with _without_graphs():
            difference = float((fit() - logits).abs().max())
            seconds = min(_seconds(device, fit) for _ in range(2))
        yield "the same without CUDA graphs", f"{seconds:.3f} s", f"logits differ by up to {difference:.1e}"


def _effect_of_tf32(device: str, size: Size) -> Row:
    values = {}
    for precision in ("float32", "tf32"):
        unlearner = _unlearner(device, size, "all", precision)
        values[precision] = np.mean([_marginals(unlearner, size, seed) for seed in range(size.permutations)], axis=0)
    exact, rounded = values["float32"], values["tf32"]
    largest = np.abs(exact - rounded).max() / max(exact.std(), 1e-12)
    work = f"values of {size.points} points from {size.permutations} permutations, TF32 against float32"
    return work, f"Spearman {spearmanr(exact, rounded).statistic:.4f}", f"at most {largest:.2g} standard deviations"


def _marginals(unlearner: StackedUnlearner, size: Size, seed: int) -> np.ndarray:
    """Marginal contributions to the mean log-likelihood, in one permutation."""
    prefixes = _prefixes(size.points, seed)
    utilities = torch.empty(len(prefixes) + 1, dtype=torch.float64)
    labels = unlearner.y_validation.T.unsqueeze(0)
    for numbers, logits in unlearner.outputs_without([np.empty(0, dtype=int), *prefixes], seed):
        utilities[numbers] = (logits.log_softmax(1) * labels).sum(1).mean(1).double().cpu()
    marginals = np.empty(size.points)
    marginals[prefixes[-1]] = (utilities[:-1] - utilities[1:]).numpy()
    return marginals


def _unlearner(device: str, size: Size, parameters: str, precision: str) -> StackedUnlearner:
    model = _model("mlp", (size.pixels,), precision, device, size)
    x, y = _points(size.points, model, (size.pixels,), device)
    half = size.points // 2
    return StackedUnlearner(model, x, y, x[:half], y[:half], GradientAscent(parameters=parameters, steps=size.steps))


def _model(name: str, shape: tuple[int, ...], precision: str, device: str, size: Size | None = None) -> TensorModel:
    params = {"hidden": [size.hidden]} if name == "mlp" and size else {}
    settings = ModelSettings(name=name, params=params)
    return build_model(settings, shape, 10, "classification", seed=0, precision=precision, device=device)


def _points(n: int, model: TensorModel, shape: tuple[int, ...], device: str) -> tuple[torch.Tensor, torch.Tensor]:
    """Points of ten classes, on which the model is trained for an epoch."""
    draws = torch.Generator().manual_seed(0)
    labels = torch.randint(10, (n,), generator=draws)
    x = torch.randn(10, *shape, generator=draws)[labels] + torch.randn(n, *shape, generator=draws)
    x, y = x.to(device), F.one_hot(labels, 10).float().to(device)
    model.fit(x, y, epochs=1)
    return x, y


def _prefixes(n: int, seed: int = 0) -> list[np.ndarray]:
    order = np.random.RandomState(seed).permutation(n)
    return [order[: k + 1] for k in range(n)]


def _best(device: str, unlearner: StackedUnlearner, coalitions: list[np.ndarray]) -> tuple[float, torch.Tensor]:
    """Seconds of the better of two runs, after two in which steps are compiled and recorded; and logits."""

    def run() -> torch.Tensor:
        return torch.cat([logits for _, logits in unlearner.outputs_without(coalitions, 0)])

    run()
    logits = run()
    return min(_seconds(device, run) for _ in range(2)), logits


def _seconds(device: str, run: Callable[[], object]) -> float:
    if device == "cuda":
        torch.cuda.synchronize()
    started = time.perf_counter()
    run()
    if device == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - started


@contextmanager
def _without_graphs() -> Iterator[None]:
    modules = stacked_engine, tensor_model
    before = [module.recorder for module in modules]
    for module in modules:
        module.recorder = lambda network: None
    try:
        yield
    finally:
        for module, recorder in zip(modules, before, strict=True):
            module.recorder = recorder


@contextmanager
def _without_kernel() -> Iterator[None]:
    before, anchored.FUSED_ON = anchored.FUSED_ON, ()
    try:
        yield
    finally:
        anchored.FUSED_ON = before
