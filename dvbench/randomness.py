"""Random generators, each derived from a key that says what is computed.

No code in this project reads or sets a global seed. A key is a tuple such as
``("quick", "digits", "knn_shapley", 0, "valuation")``. The same key gives the same numbers in every process and in
every order of calls.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import torch

Key = str | int


def seed_sequence(*key: Key) -> np.random.SeedSequence:
    """Derive a seed sequence from a key.

    Parameters
    ----------
    *key : str or int
        What is computed, from the general to the particular. Types matter: ``1`` and ``"1"`` are different keys.

    Returns
    -------
    numpy.random.SeedSequence
    """
    text = "\x1f".join(f"{type(part).__name__}:{part}".replace("\x1f", "\x1f\x1f") for part in key)
    digest = hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()  # file names need not be UTF-8
    return np.random.SeedSequence(np.frombuffer(digest, dtype=np.uint32).tolist())


def generator(*key: Key) -> np.random.Generator:
    """Create the NumPy generator of a key."""
    return np.random.default_rng(seed_sequence(*key))


def integer_seed(*key: Key) -> int:
    """Derive an integer seed in ``[0, 2**32)`` from a key, for interfaces that take one."""
    return int(seed_sequence(*key).generate_state(1)[0])


def random_state(value: int | np.random.RandomState | None = None) -> np.random.RandomState:
    """Turn scikit-learn's ``random_state`` argument into a generator that is not the global one.

    Parameters
    ----------
    value : int, numpy.random.RandomState or None
        A seed, or a generator, which is returned as it is. ``None`` takes a seed from the operating system, never from
        NumPy's global generator.

    Returns
    -------
    numpy.random.RandomState
    """
    if isinstance(value, np.random.RandomState):
        return value
    bits = np.random.SeedSequence(value).generate_state(4)
    return np.random.RandomState(np.random.MT19937(np.random.SeedSequence(bits.tolist())))


def torch_generator(seed: int) -> torch.Generator:
    """Create a torch generator on the CPU with this seed."""
    import torch

    return torch.Generator().manual_seed(seed)


@contextmanager
def isolated_generators(seed: int) -> Iterator[None]:
    """Seed the global generators inside a context, and restore the caller's states afterwards.

    Some of OpenDataVal's evaluators reseed torch's global generator or draw from it, and third-party evaluators may use
    the global generators of NumPy or Python. Inside this context these generators start from ``seed``, so that the
    numbers are reproducible. After the context, also after an error, their states are those from before.
    """
    import torch

    numpy_state, python_state = np.random.get_state(), random.getstate()  # noqa: NPY002
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        np.random.seed(seed % 2**32)  # noqa: NPY002
        random.seed(seed)
        try:
            yield
        finally:
            np.random.set_state(numpy_state)  # noqa: NPY002
            random.setstate(python_state)
