"""Small data and models. Models compute in double precision, so that two ways to the same numbers agree closely."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator

import numpy as np
import pytest
import torch

from dvbench.models import build_model
from dvbench.models.training import TensorModel
from dvbench.settings import ModelSettings

SHAPES = {"logistic_regression": (4,), "mlp": (4,), "cnn": (1, 4, 4), "resnet18": (3, 10, 10)}
PARAMS = {"mlp": {"hidden": [6]}, "cnn": {"channels": 2}}


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> Iterator[None]:
    """Matrices this small take several times as long on several threads."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def make_model() -> Callable[..., TensorModel]:
    """Build a small model by name, with three classes or one real target."""

    def make(name: str, kind: str = "classification", *, seed: int = 3, weight_decay: float = 0.01) -> TensorModel:
        settings = ModelSettings(name=name, params=PARAMS.get(name, {}))
        outputs = 3 if kind == "classification" else 1
        model = build_model(settings, SHAPES[name], outputs, kind, seed=seed, weight_decay=weight_decay)
        return model.double()

    return make


@pytest.fixture
def make_points() -> Callable[..., tuple[torch.Tensor, torch.Tensor]]:
    """Draw n points that fit a model, with one-hot labels or real targets."""

    def make(name: str, n: int, kind: str = "classification", seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
        rng = np.random.default_rng(seed)
        x = torch.from_numpy(rng.normal(size=(n, *SHAPES[name])))
        if kind == "regression":
            return x, torch.from_numpy(rng.normal(size=(n, 1)))
        return x, torch.eye(3, dtype=torch.float64)[rng.integers(0, 3, n)]

    return make


@pytest.fixture
def global_states() -> Iterator[Callable[..., list[object]]]:
    """Seed the global generators where a seed is given, and read their states; the states before the test come back."""
    before = torch.get_rng_state(), np.random.get_state(), random.getstate()  # noqa: NPY002

    def states(seed: int | None = None) -> list[object]:
        if seed is not None:
            torch.manual_seed(seed)
            np.random.seed(seed)  # noqa: NPY002
            random.seed(seed)
        numpy_state = np.random.get_state()  # noqa: NPY002
        return [torch.get_rng_state().tolist(), numpy_state[1].tolist(), *numpy_state[2:], random.getstate()]

    yield states
    torch.set_rng_state(before[0])
    np.random.set_state(before[1])  # noqa: NPY002
    random.setstate(before[2])
