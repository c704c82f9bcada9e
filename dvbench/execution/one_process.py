"""Runs jobs in this process, one after the other, which is for debugging: worker processes keep cells apart better.

Values are the same to the bit as in worker processes. So this process computes with one thread too, and what one cell
changes in it is put back before the next one: settings of torch and numpy, environment variables, the current folder,
and functions and methods that were replaced in the packages `PATCHED`. Other objects, such as lists, and other packages
stay as they are.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Generator, Iterator
from contextlib import ExitStack, contextmanager
from types import FunctionType, ModuleType
from typing import Any

import numpy as np

from dvbench.execution.environment import resolve_device
from dvbench.execution.job_queue import JobQueue
from dvbench.execution.limits import Limits, enforced
from dvbench.results import Result, Store

PATCHED = ("builtins", "dvbench", "evaluators", "math", "numpy", "opendataval", "os", "random", "time", "torch")
PUBLIC_DEPTH = 2  # dots in the names of those modules of numpy and torch that others use, such as torch.nn.functional
HEAP_TYPE = 1 << 9  # the flag of a class whose attributes can be set, of CPython's object.h


def run_queue_here(
    queue: JobQueue, store: Store, device: str, on_valued: Callable[[Result], None], limits: Limits
) -> Generator[Result]:
    """Do all jobs of a queue in this process; see `dvbench.execution.workers.run_queue`."""
    device = resolve_device(device)
    while job := queue.next():
        results = job.run(store, device)
        while result := _next_alone(results, limits.times(len(job.cells))):
            if queue.add_result(job, result):
                yield result
            else:
                on_valued(result)


def _next_alone(results: Iterator[Result], limits: Limits) -> Result | None:
    """Compute the next result of a job with one thread, and put back what that changes in this process."""
    from threadpoolctl import threadpool_limits

    with enforced(limits), threadpool_limits(limits=1), _restored_settings(), _restored_functions():
        import torch

        torch.set_num_threads(1)
        return next(results, None)


def _settings() -> list[tuple[Callable[[], Any], Callable[[Any], object]]]:
    """Return what reads and what writes each setting of this process that decides what is computed."""
    import torch

    return [
        (torch.get_num_threads, torch.set_num_threads),
        (torch.get_default_dtype, torch.set_default_dtype),
        (torch.get_default_device, torch.set_default_device),
        (torch.is_grad_enabled, torch.set_grad_enabled),
        (torch.is_anomaly_enabled, torch.autograd.set_detect_anomaly),
        (torch.get_float32_matmul_precision, torch.set_float32_matmul_precision),
        (torch.are_deterministic_algorithms_enabled, torch.use_deterministic_algorithms),
        (np.geterr, lambda errors: np.seterr(**errors)),
        (np.geterrcall, np.seterrcall),
        (np.get_printoptions, lambda options: np.set_printoptions(**options)),
        (os.getcwd, os.chdir),
        (lambda: dict(os.environ), _set_environment),
        (lambda: list(sys.path), lambda path: sys.path.__setitem__(slice(None), path)),
        (sys.getrecursionlimit, sys.setrecursionlimit),
    ]


@contextmanager
def _restored_settings() -> Iterator[None]:
    before = [(get, put, get()) for get, put in _settings()]
    try:
        yield
    finally:
        with ExitStack() as stack:  # which goes on if one of them cannot be put back
            for get, put, value in before:
                stack.callback(_put_back, get, put, value)


def _put_back(get: Callable[[], Any], put: Callable[[Any], object], value: object) -> None:
    if get() != value:
        put(value)


def _set_environment(variables: dict[str, str]) -> None:
    os.environ.clear()
    os.environ.update(variables)


@contextmanager
def _restored_functions() -> Iterator[None]:
    """Put back functions and classes that are replaced in the packages of `PATCHED`, and methods of their classes."""
    owners = list(_owners())
    before = [(owner, {name: value for name, value in vars(owner).items() if callable(value)}) for owner in owners]
    try:
        yield
    finally:
        for owner, functions in before:
            now = vars(owner)
            for name, function in functions.items():
                if now.get(name) is not function:
                    setattr(owner, name, function)
            if isinstance(owner, type):  # a new method hides one of a base class
                for name in [name for name, value in now.items() if isinstance(value, FunctionType)]:
                    if name not in functions:
                        delattr(owner, name)


def _owners() -> Iterator[ModuleType | type]:
    """Yield the modules that `PATCHED` names, and the classes in them."""
    classes = set[type]()
    for name, module in list(sys.modules.items()):
        own = name.startswith(("dvbench.", "evaluators.", "opendataval."))
        public = "._" not in name and (own or name.count(".") <= PUBLIC_DEPTH)
        if name.partition(".")[0] in PATCHED and public and isinstance(module, ModuleType):
            yield module
            classes |= {value for value in vars(module).values() if issubclass(type(value), type)}
    yield from (each for each in classes if each.__flags__ & HEAP_TYPE)
