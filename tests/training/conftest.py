"""What tests of models share."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator

import numpy as np
import pytest
import torch


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> Iterator[None]:
    """Matrices this small take several times as long on several threads."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


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
