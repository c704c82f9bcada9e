"""The expensive step: one evaluator values the players of one problem."""

from __future__ import annotations

import inspect
import math
import os
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from dvbench.errors import UserError
from dvbench.execution.environment import watch_memory
from dvbench.models import build_model
from dvbench.problem import Problem
from dvbench.randomness import integer_seed, quarantine
from dvbench.registry import find
from dvbench.results import ArrayName, Cell, Cost


@dataclass(frozen=True)
class Valued:
    """An evaluator's values, standard errors if it has any, what they cost, and what else it reports."""

    arrays: dict[ArrayName, np.ndarray]
    cost: Cost
    diagnostics: dict[str, float]


def valuate(cell: Cell, problem: Problem, device: str = "cpu", *, purpose: str = "valuation") -> Valued:
    """Value a problem's players as a cell asks.

    The evaluator is made anew, is given train and reachable data and a model, and is driven through OpenDataVal's own
    interface.

    Parameters
    ----------
    cell : Cell
    problem : Problem
    device : str
        Where the model lives.
    purpose : str
        Part of the key of the evaluator's randomness: another purpose, other randomness.

    Returns
    -------
    Valued

    Raises
    ------
    UserError
        If the evaluator cannot be made, or its values are not one finite number a player.
    """
    key, how = cell.key, cell.training
    seed = integer_seed(key.suite, problem.dataset, cell.evaluator.name, key.seed, purpose)
    model = build_model(
        cell.model,
        problem.shape,
        problem.outputs,
        problem.kind,
        seed=integer_seed(key.suite, problem.dataset, key.seed, purpose, "model"),
        weight_decay=how.weight_decay,
        device=device,
    )
    make = find("evaluators", cell.evaluator.name).load()
    with _silence(), quarantine(seed), watch_memory(device) as memory:
        started = time.perf_counter()
        try:
            evaluator = make(**cell.evaluator.params, **_randomness(make, seed))
        except TypeError as error:
            raise UserError(f"cannot make {cell.evaluator.name}: {error}") from error
        evaluator.train(
            problem.fetcher(), model, problem.metric, epochs=how.epochs, batch_size=how.batch_size, lr=how.lr
        )
        values = evaluator.evaluate_data_values()
        seconds = time.perf_counter() - started
    arrays: dict[ArrayName, np.ndarray] = {"values": _checked(values, len(problem.train))}
    errors = getattr(evaluator, "standard_errors_", None)
    if errors is not None and np.all(np.isfinite(errors)):
        arrays["standard_errors"] = _checked(errors, len(problem.train))
    diagnostics = _finite(getattr(evaluator, "diagnostics_", None))
    diagnostics["distinct_values"] = float(len(np.unique(arrays["values"])))
    cost = Cost(
        seconds=seconds,
        fits=model.fits.count,
        unlearned=int(diagnostics.get("unlearned", 0)),
        peak_memory=memory.peak,
        peak_cuda_memory=memory.peak_cuda,
    )
    return Valued(arrays, cost, diagnostics)


@contextmanager
def _silence() -> Iterator[None]:
    """Drop what evaluators print and warn of; OpenDataVal's draw a progress bar each."""
    with Path(os.devnull).open("w") as nowhere, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with redirect_stdout(nowhere), redirect_stderr(nowhere):
            yield


def _randomness(make: Callable[..., Any], seed: int) -> dict[str, np.random.RandomState]:
    """``random_state`` for those that take it; OpenDataVal does not ask an evaluator to."""
    parameters = inspect.signature(make).parameters
    takes = "random_state" in parameters or any(p.kind is p.VAR_KEYWORD for p in parameters.values())
    return {"random_state": np.random.RandomState(seed)} if takes else {}


def _finite(diagnostics: object) -> dict[str, float]:
    """What an evaluator reports of itself, as far as it is numbers: nothing depends on it."""
    items = diagnostics.items() if isinstance(diagnostics, dict) else ()
    return {str(k): float(v) for k, v in items if isinstance(v, int | float) and math.isfinite(v)}


def _checked(values: object, n: int) -> np.ndarray:
    try:
        array = np.asarray(values)
        if array.dtype.kind not in "biuf":
            raise TypeError(f"their type is {array.dtype}")
        array = array.astype(np.float64)
    except (TypeError, ValueError) as error:
        raise UserError(f"the evaluator returned values that are no real numbers: {error}") from error
    if array.shape != (n,):
        raise UserError(f"the evaluator returned values of shape {array.shape}; it must return one a player, ({n},)")
    if not np.all(np.isfinite(array)):
        raise UserError(f"{int((~np.isfinite(array)).sum())} of the evaluator's {n} values are NaN or infinite")
    return array
