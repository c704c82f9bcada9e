"""Computes data values, the expensive step: an evaluator or an unlearning method values the players of a problem."""

from __future__ import annotations

import math
import os
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from dvbench.errors import DeclinedError, UserError, plain
from dvbench.execution.environment import current_environment, watch_memory
from dvbench.execution.evaluator_making import make_evaluator
from dvbench.execution.failures import declined_result, error_line, failed_score, record_failed_valuation
from dvbench.execution.resume import data_of, evaluator_version, needed_variants, reusable, task_versions
from dvbench.execution.selection_valuation import value_by_selection
from dvbench.execution.unlearning_valuation import value_by_unlearning
from dvbench.execution.valuation_input import ValuationInput, in_variant, input_of_cell, make_input
from dvbench.execution.valuation_output import ValuationOutput
from dvbench.problems.build import build_from_settings
from dvbench.problems.evaluator_data import EvaluatorData
from dvbench.problems.problem import Problem
from dvbench.problems.variants import VARIANTS, in_words
from dvbench.randomness import isolated_generators
from dvbench.registry import find
from dvbench.results import ArrayName, Cell, Cost, Result, Store
from dvbench.results.schema import LONGEST_KEY, MOST_ENTRIES
from dvbench.settings import EvaluatorSettings, ModelSettings, Training
from dvbench.training.build import build_model
from dvbench.training.tensor_model import FitStatistics
from dvbench.version import __version__

if TYPE_CHECKING:
    import torch


def value_cell(cell: Cell, store: Store, device: str = "cpu") -> Result:
    """Value the players of a cell, and variants of its problem that tasks need, and write the values.

    Values that are on disk are kept. An error is recorded in the result.

    Parameters
    ----------
    cell : Cell
    store : Store
    device : str

    Returns
    -------
    Result
        The result that was written.

    Raises
    ------
    UserError
        If the result cannot be written, or what is on disk is not a result.
    """
    result = reusable(cell, store)
    try:
        problem = build_from_settings(cell.problem, cell.key.seed)
        if result is None or (result.dataset and result.dataset.revision != problem.revision):
            result = _first_valuation(cell, problem, store, device)
        lacking = {name: needed_variants(name) for name in result.lacks(task_versions(cell))}
        for variant in dict.fromkeys(variant for variants in lacking.values() for variant in variants):
            waiting = [name for name, variants in lacking.items() if variant in variants]
            if waiting and variant not in result.arrays:
                result = _value_variant(cell, result, variant, waiting, problem, store, device)
                if variant not in result.arrays:  # these tasks have failed, and need no other variant
                    lacking = {name: variants for name, variants in lacking.items() if name not in waiting}
        return result
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # code of others raises anything
        return record_failed_valuation(cell, store, error_line(error), device)


def _first_valuation(cell: Cell, problem: Problem, store: Store, device: str) -> Result:
    entry = find(cell.evaluator.kind, cell.evaluator.name)
    version = evaluator_version(cell.evaluator)  # before the valuation, during which a file may be edited
    try:
        output = valuate_cell(cell, problem, device)
    except DeclinedError as reason:
        return store.write(declined_result(cell, error_line(reason), data_of(cell, problem), device))
    result = Result(
        dvbench_version=__version__,
        cell=cell,
        status="ok",
        evaluator_object=entry.target,
        evaluator_version=version,
        dataset=data_of(cell, problem),
        cost=output.cost,
        diagnostics=output.diagnostics,
        environment=current_environment(device),
    )
    return store.write(result, output.arrays)


def _value_variant(
    cell: Cell, result: Result, variant: ArrayName, tasks: Sequence[str], problem: Problem, store: Store, device: str
) -> Result:
    """Add the values of a variant. If its valuation fails, the scores of the tasks that need it get the error."""
    arrays = store.arrays(result)
    try:
        arrays[variant] = valuate_cell(cell, problem, device, purpose=variant).arrays["values"]
    except (Exception, SystemExit) as error:
        text = f"{in_words(variant)}: {error_line(error)}"
        return store.write(result.with_scores(cell, {name: failed_score(name, text) for name in tasks}))
    return store.write(result, arrays)


def valuate_cell(cell: Cell, problem: Problem, device: str = "cpu", *, purpose: str = "valuation") -> ValuationOutput:
    """Value the players of a problem, or of the variant that is the purpose; see `valuate`."""
    if cell.evaluator.kind != "evaluators" and purpose in VARIANTS:
        cell, problem = in_variant(cell, problem, purpose)
    if cell.evaluator.kind == "unlearning":
        return value_by_unlearning(cell, problem, device, purpose)
    if cell.evaluator.kind == "selection":
        return value_by_selection(cell, problem, device, purpose, valuate_input)
    return valuate_input(input_of_cell(cell, problem, purpose), device)


def valuate(
    problem: Problem,
    evaluator: EvaluatorSettings,
    model: ModelSettings,
    training: Training,
    *,
    key: tuple[str, int],
    device: str = "cpu",
    purpose: str = "valuation",
) -> ValuationOutput:
    """Value a problem's players by an evaluator; see `make_input` and `valuate_input`."""
    return valuate_input(make_input(problem, evaluator, model, training, key, purpose), device)


def valuate_input(given: ValuationInput, device: str = "cpu") -> ValuationOutput:
    """Value players by an evaluator.

    A new evaluator gets training data, validation data and a model through OpenDataVal's interface. If the players are
    subsets, an evaluator with ``takes_subsets`` gets the subsets. Any other evaluator values points, and the values of
    the points of each subset are summed.

    Parameters
    ----------
    given : ValuationInput
    device : str
        Device of the model.

    Returns
    -------
    ValuationOutput

    Raises
    ------
    UserError
        If the evaluator cannot be made, or its values are not one finite number a player.
    """
    data, training = given.data, given.training
    trained = build_model(
        given.model,
        data.shape,
        data.outputs,
        data.kind,
        seed=given.model_seed,
        weight_decay=training.weight_decay,
        precision=training.precision,
        device=device,
    )
    return value_with_model(data, given.evaluator, trained, training.fit, seed=given.seed, device=device)


def value_with_model(
    problem: Problem | EvaluatorData,
    evaluator: EvaluatorSettings,
    model: Any,
    fit: Mapping[str, Any],
    *,
    seed: int,
    device: str = "cpu",
    metric: Callable[[torch.Tensor, torch.Tensor], float] | None = None,
) -> ValuationOutput:
    """Value a problem's players by an evaluator with a given model; see `valuate_input`.

    Parameters
    ----------
    problem : Problem or EvaluatorData
    evaluator : EvaluatorSettings
    model : opendataval.model.Model
        Of dvbench, or any other that OpenDataVal's evaluators can use.
    fit : mapping
        Arguments of the model's ``fit``.
    seed : int
        Seed of the evaluator.
    device : str
        Device of the model.
    metric : callable, optional
        Utility of predictions, a function of (targets, predictions). By default the problem's.

    Returns
    -------
    ValuationOutput
    """
    data = problem.for_evaluators if isinstance(problem, Problem) else problem
    find("evaluators", evaluator.name).load()  # so that the time measured below does not include imports
    fits = getattr(model, "fits", None) or FitStatistics()
    # All that is taken from the evaluator is taken inside: an attribute or an array of it may compute when it is read.
    with _only_this_process(), _silence(), isolated_generators(seed), watch_memory(device) as memory:
        started, started_processor = time.perf_counter(), time.process_time()
        made = make_evaluator(evaluator, seed)
        whole = data.groups is not None and getattr(made, "takes_subsets", False)
        fetcher = data.subset_fetcher() if whole else data.fetcher()
        made.train(fetcher, model, metric or data.metric, **fit)
        summed = data.groups is not None and not whole
        values = _checked(made.evaluate_data_values(), len(data.train[0]) if summed else data.players)
        seconds = time.perf_counter() - started + fits.resumed_seconds
        processor_seconds = None if fits.resumed_seconds else time.process_time() - started_processor
        errors = None if summed else _standard_errors(made, data.players)  # a sum has other errors
        diagnostics = _finite(getattr(made, "diagnostics_", None))
    arrays: dict[ArrayName, np.ndarray] = {"values": data.summed(values) if summed else values}
    if errors is not None:
        arrays["standard_errors"] = errors
    diagnostics["distinct_values"] = float(len(np.unique(arrays["values"])))
    cost = Cost(
        seconds=seconds,
        processor_seconds=processor_seconds,
        fits=fits.count,
        unlearned=int(diagnostics.get("unlearned", 0)),
        peak_memory=memory.peak,
        peak_cuda_memory=memory.peak_cuda,
    )
    return ValuationOutput(arrays, cost, diagnostics)


@contextmanager
def _only_this_process() -> Iterator[None]:
    """End a copy of this process that an evaluator has forked and that comes out of it: it would go on with the run."""
    process = os.getpid()
    try:
        yield
    finally:
        if os.getpid() != process:
            os._exit(0)


@contextmanager
def _silence() -> Iterator[None]:
    """Suppress the output and the warnings of evaluators; those of OpenDataVal draw progress bars."""
    with Path(os.devnull).open("w") as nowhere, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with redirect_stdout(nowhere), redirect_stderr(nowhere):
            yield


def _standard_errors(evaluator: Any, n: int) -> np.ndarray | None:
    """Return the standard errors of an evaluator, or None if it has none or not all of them are finite."""
    errors = getattr(evaluator, "standard_errors_", None)
    return None if errors is None or not np.all(np.isfinite(errors)) else _checked(errors, n)


def _finite(diagnostics: object) -> dict[str, float]:
    """Return those diagnostics of an evaluator that are finite numbers, as many as a result may have."""
    items = diagnostics.items() if isinstance(diagnostics, dict) else ()
    finite = {plain(k, LONGEST_KEY): float(v) for k, v in items if isinstance(v, int | float) and math.isfinite(v)}
    return dict(islice(finite.items(), MOST_ENTRIES - 1))


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
