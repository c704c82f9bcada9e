"""A small problem with planted label noise, and OpenDataVal's own objects."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from opendataval.dataloader import DataFetcher

from dvbench.problems.build import build_problem
from dvbench.settings import ModelSettings, Noise, Sizes
from dvbench.training.build import build_model


@pytest.fixture(scope="session")
def problem():
    """Digits, 60 players of which 12 have a wrong label."""
    sizes = Sizes(train=60, validation=60, test=100)
    return build_problem("digits", sizes, Noise(kind="labels", rate=0.2), seed=0)


@pytest.fixture
def model(problem):
    return build_model(
        ModelSettings(name="logistic_regression"), problem.shape, problem.outputs, "classification", seed=3
    )


@pytest.fixture
def fetcher(problem):
    return problem.fetcher()


@pytest.fixture(scope="session")
def two_blobs():
    """OpenDataVal's own fetcher on two well separated classes, with clean labels."""
    rng = np.random.default_rng(0)
    labels = np.arange(40) % 2
    x = rng.normal(size=(40, 4)) + 4 * labels[:, None]
    y = np.eye(2)[labels]
    parts = [part for rows in (range(16), range(16, 28), range(28, 40)) for part in (x[list(rows)], y[list(rows)])]
    return DataFetcher.from_data_splits(*parts, one_hot=True, random_state=np.random.RandomState(0))


@pytest.fixture
def global_state():
    """Torch's and NumPy's global generators; a test that changes them fails."""

    def read():
        return torch.get_rng_state().tolist(), np.random.get_state()[1].tolist()  # noqa: NPY002

    before = read()
    yield
    assert read() == before
