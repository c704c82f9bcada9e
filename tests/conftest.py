"""What many tests share: one thread, and small data and models.

On matrices as small as theirs, several threads only wait for each other. Models compute in double precision, so that
two ways to the same numbers agree closely.
"""

from __future__ import annotations

import os
import signal
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

os.environ["OMP_NUM_THREADS"] = "1"  # before torch is imported
os.environ["COLUMNS"] = "200"  # before dvbench.console is imported: the width of what commands print
CACHE = tempfile.TemporaryDirectory(prefix="dvbench-cache-")
os.environ["DVBENCH_CACHE"] = CACHE.name  # indices of the results that tests make up

# A job in the background of a shell ignores these, and so would all runs that tests start and interrupt.
for number, default in ((signal.SIGINT, signal.default_int_handler), (signal.SIGHUP, signal.SIG_DFL)):
    if signal.getsignal(number) is signal.SIG_IGN:
        signal.signal(number, default)

if TYPE_CHECKING:
    import torch

    from dvbench.training.tensor_model import TensorModel

SHAPES = {"logistic_regression": (4,), "mlp": (4,), "cnn": (1, 4, 4), "resnet18": (3, 10, 10), "resnet9": (3, 10, 10)}
PARAMS = {"mlp": {"hidden": [6]}, "cnn": {"channels": 2}, "resnet9": {"channels": 2}}


@pytest.fixture
def make_model() -> Callable[..., TensorModel]:
    """Build a small model by name, with three classes or one real target."""

    from dvbench.settings import ModelSettings
    from dvbench.training.build import build_model

    def make(name: str, kind: str = "classification", *, seed: int = 3, weight_decay: float = 0.01) -> TensorModel:
        settings = ModelSettings(name=name, params=PARAMS.get(name, {}))
        outputs = 3 if kind == "classification" else 1
        model = build_model(settings, SHAPES[name], outputs, kind, seed=seed, weight_decay=weight_decay)
        return model.double()

    return make


@pytest.fixture
def make_points() -> Callable[..., tuple[torch.Tensor, torch.Tensor]]:
    """Draw n points that fit a model, with one-hot labels or real targets."""

    import numpy as np
    import torch

    def make(name: str, n: int, kind: str = "classification", seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
        rng = np.random.default_rng(seed)
        x = torch.from_numpy(rng.normal(size=(n, *SHAPES[name])))
        if kind == "regression":
            return x, torch.from_numpy(rng.normal(size=(n, 1)))
        return x, torch.eye(3, dtype=torch.float64)[rng.integers(0, 3, n)]

    return make


@pytest.fixture(scope="session")
def made_up_mirror(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A mirror with made-up corpora; not to be changed."""
    from made_up_corpora import write_mirror

    folder = tmp_path_factory.mktemp("mirror")
    write_mirror(folder)
    return folder


@pytest.fixture
def text_mirror(made_up_mirror: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Made-up corpora, so that `tiny_text` needs nothing but this; not to be changed."""
    monkeypatch.setenv("DVBENCH_MIRROR", str(made_up_mirror))
    return made_up_mirror
