"""What cells will cost, estimated from what finished cells have cost.

``costs.csv``, which `write_cost_table` makes from published results, comes with the package. Finished cells of the
results folder are used too, and they are from the user's own machine. An estimate is that of the most similar measured
cell, scaled by what makes the cell larger or smaller: points, players, epochs, the weights of the model and the budget
of the evaluator. The most similar cell is the one that has to be scaled least. It is for planning. From
other problems of the published suites half of the cells are estimated within a factor of 1.1 to 1.9, and from other
suites within 1.3 to 2.6; sums are wrong by up to 3, and single cells by up to 9. The rules were chosen on these suites,
so new ones may be estimated worse. Much of that is how busy the machines were.
"""

from __future__ import annotations

import ast
import json
import math
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cache
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import Any

from dvbench.errors import UserError
from dvbench.execution.resume import needed_variants
from dvbench.files import read_rows, write_rows
from dvbench.registry import find
from dvbench.results import Cell, Cost, Result, Store

TABLE = Path(__file__).with_name("costs.csv")
# Parameters that the time of an evaluator is proportional to.
BUDGETS = frozenset({"models", "permutations", "utilities", "rl_epochs", "rl_batch_size", "steps", "batch_size"})
PER_MODEL = frozenset({"steps", "batch_size", "rl_batch_size"})  # those of unlearning, and the points of a step of DVRL
PERMUTATIONS = 10  # of a sampling that sets no limit
SMALL_MODELS = ("logistic_regression", "mlp")  # whose times are used for each other
# Numbers of one point, as models get them; those of features are of frozen encoders.
WIDTHS = {"cifar10": 3072, "cifar100": 3072, "fashion_mnist": 784, "tiny_imagenet": 12288, "features": 800}
TABLE_WIDTH, OUTPUTS = 50, 10
# Besides its steps a model takes as long as these many points times weights: it is made, and its utility is computed.
MODEL_OVERHEAD = 3e6
STEP_OVERHEAD = 3e5  # the same of a step of unlearning
MANY_WEIGHTS = 1_000_000  # of models whose weights are not counted here
UNLIKE = {"cuda": 3.0, "model": 1.0, "dataset": 0.5, "params": 2.0}  # as if that had to be scaled by e to the number


@dataclass(frozen=True)
class Measured:
    """What cells of one setting have cost; seconds are the median over seeds, of several machines the lowest.

    Parameters
    ----------
    kind, name : str
        Kind and name of what is compared, such as an evaluator.
    params : str
        Its parameters, as JSON.
    model, dataset : str
        Name of the model, and of the data set; those of a frozen encoder are named "features".
    points, players : int
        Training points, and players, which are points or subsets of them.
    weights : int
        About how many weights of the model change in a step.
    epochs : int
        For which models are trained.
    cuda : bool
        Whether it ran on a GPU.
    fits, unlearned : int
        Models that were trained and unlearned.
    seconds : float
        Of the valuation; scoring is not measured.
    memory, disk : int
        Bytes that a valuation adds to the memory of its process, and those of its files.
    """

    kind: str
    name: str
    params: str
    model: str
    dataset: str
    points: int
    players: int
    weights: int
    epochs: int
    cuda: bool
    fits: int
    unlearned: int
    seconds: float
    memory: int
    disk: int


@dataclass(frozen=True)
class Estimate:
    """What a cell will cost; the numbers are those of `Measured`."""

    seconds: float
    memory: int
    disk: int


def measured(results: Iterable[tuple[Result, int]]) -> list[Measured]:
    """Summarise results by setting.

    Parameters
    ----------
    results : iterable of (Result, int)
        Results, with the bytes of their files. Failed ones count for nothing.
    """
    settings = defaultdict[tuple[Any, ...], list[tuple[Cost, int, tuple[str, int]]]](list)
    for result, size in results:
        if result.status == "ok" and result.cost is not None and result.dataset is not None:
            data = result.dataset
            sizes = (data.train, data.players or data.train)
            key = (*setting_of(result.cell), *sizes, *_training(result.cell), result.environment.device != "cpu")
            machine = result.environment.processor, result.environment.cores
            settings[key].append((result.cost.model_copy(update={"seconds": result.seconds}), size, machine))
    return [Measured(*setting, *_summary(costs)) for setting, costs in sorted(settings.items())]


def _summary(costs: Sequence[tuple[Cost, int, tuple[str, int]]]) -> tuple[Any, ...]:
    of_seeds = [cost for cost, _, _ in costs]
    of_machines = defaultdict[tuple[str, int], list[float]](list)
    for cost, _, machine in costs:
        of_machines[machine].append(cost.seconds)
    return (
        max(cost.fits for cost in of_seeds),
        max(cost.unlearned for cost in of_seeds),
        float(f"{min(map(median, of_machines.values())):.4g}"),  # of the machine that was less busy, or faster
        max(max(cost.peak_memory, cost.peak_cuda_memory) for cost in of_seeds),
        max(size for _, size, _ in costs),
    )


def stored(store: Store, suite: str) -> Iterator[tuple[Result, int]]:
    """Yield the results of a suite, with the bytes of their files."""
    for result in store.results(suite):
        yield result, sum(path.stat().st_size for path in store.folder(result.cell.key).iterdir())


def write_cost_table(results: Path, path: Path = TABLE) -> None:
    """Write ``costs.csv`` from a results folder."""
    store = Store(results)
    rows = measured(each for suite in store.suites() for each in stored(store, suite))
    write_rows(path, Measured, rows)


@cache
def published_costs() -> tuple[Measured, ...]:
    """Read ``costs.csv``."""
    return read_rows(TABLE, Measured)


def known_costs(store: Store, suite: str) -> list[Measured]:
    """What is known for a suite: its finished cells in a results folder, and what comes with the package."""
    return [*measured(stored(store, suite)), *published_costs()]


def estimate(cell: Cell, known: Sequence[Measured], cuda: bool) -> Estimate | None:
    """Estimate what a cell costs: its valuation, and those of the variants of its problem that tasks need.

    Parameters and None are those of `estimate_valuation`.
    """
    one = estimate_valuation(cell, known, cuda)
    return None if one is None else replace(one, seconds=one.seconds * _valuations(cell))


def _valuations(cell: Cell) -> int:
    """How often the players of a cell are valued."""
    variants = set[str]()
    for task in cell.tasks:
        with suppress(UserError):  # it is not installed, which fails the task and not the valuation
            variants |= {*needed_variants(task)}
    return 1 + len(variants)


def estimate_valuation(cell: Cell, known: Sequence[Measured], cuda: bool) -> Estimate | None:
    """Estimate what one valuation costs; None if the evaluator has not been measured with such a model.

    Parameters
    ----------
    cell : Cell
    known : sequence of Measured
    cuda : bool
        Whether it will run on a GPU. What was measured on a CPU is used if nothing was on a GPU.
    """
    kind, name, params, model, dataset = setting_of(cell)
    models = SMALL_MODELS if model in SMALL_MODELS else (model,)
    rows = [row for row in known if (row.kind, row.name) == (kind, name) and row.model in models]
    if not rows:
        return None
    training, others = _training(cell), _without_budget(_parsed(params))

    def distance(row: Measured) -> float:
        unlike = {
            "cuda": row.cuda != cuda,
            "model": row.model != model,
            "dataset": row.dataset != dataset,
            "params": _without_budget(_parsed(row.params)) != others,
        }
        scaled = sum(abs(math.log(factor)) for factor in _factors(cell, params, training, row))
        return scaled + sum(UNLIKE[what] for what, differs in unlike.items() if differs)

    nearest = min(rows, key=distance)
    more = math.prod(_factors(cell, params, training, nearest))
    disk = nearest.disk * max(_players(cell, nearest) / nearest.players, 1.0)
    return Estimate(nearest.seconds * more, nearest.memory, int(disk))


def _players(cell: Cell, row: Measured) -> int:
    """Players of a cell; of classes, columns and corpora as many as were measured."""
    groups = cell.problem.groups
    return cell.problem.sizes.train if groups is None else groups.count or row.players


def _factors(cell: Cell, params: str, training: tuple[int, int], row: Measured) -> Iterator[float]:
    """Yield by what a cell takes longer than a measured one.

    It is the number of models, which is one for every player or as many as parameters say, and the work for a model.
    """
    ours, theirs = _budgets(row.kind, row.name, params), _budgets(row.kind, row.name, row.params)
    yield from (ours[name] / theirs[name] for name in ours.keys() & theirs.keys() - PER_MODEL)
    fixed, points = {"models", "rl_epochs", "utilities"} & theirs.keys(), cell.problem.sizes.train
    if (row.fits + row.unlearned) / theirs.get("permutations", math.inf) > row.points:
        yield points / row.points  # points are valued, whoever has them
    elif 2 * (row.fits + row.unlearned) > row.players and not fixed:
        yield _players(cell, row) / row.players
    if not row.fits + row.unlearned:
        yield points / row.points
    else:
        yield _work(points, *training, ours, row) / _work(row.points, row.weights, row.epochs, theirs, row)


def _work(points: int, weights: int, epochs: int, budgets: Mapping[str, float], row: Measured) -> float:
    """Work for one model, as points times weights. Coalitions have half of the points on average.

    Each step of unlearning takes a minibatch of points to forget and one of the validation set.
    """
    if row.unlearned:
        step = STEP_OVERHEAD + 2 * budgets.get("batch_size", 1) * weights
        return MODEL_OVERHEAD + budgets.get("steps", 1) * step
    return MODEL_OVERHEAD + min(points / 2, budgets.get("rl_batch_size", math.inf)) * epochs * weights


@cache
def _parsed(params: str) -> dict[str, Any]:
    """Parameters of a row; many cells are compared with it."""
    parsed: dict[str, Any] = json.loads(params)
    return parsed


@cache
def _budgets(kind: str, name: str, params: str) -> dict[str, float]:
    """Return the parameters that time is proportional to, also nested ones and those that have their defaults."""
    given = {**_defaults(kind, name), **_parsed(params)}
    budgets = {each: float(given[each]) for each in BUDGETS & given.keys() if isinstance(given[each], int | float)}
    if "sampling" in given:
        budgets["permutations"] = (given["sampling"] or {}).get("permutations") or PERMUTATIONS
    if method := given.get("method"):
        method = {"name": method} if isinstance(method, str) else dict(method)
        budgets |= _budgets("unlearning", method.pop("name", ""), json.dumps(method, sort_keys=True))
    return budgets


@cache
def _defaults(kind: Any, name: str) -> dict[str, Any]:
    """Defaults of the parameters of a plug-in, as far as they are literals in its source."""
    try:
        parameters = find(kind, name).definition.parameters or ()
    except UserError:  # it was measured, and is not installed now
        return {}
    defaults = {}
    for each in parameters:
        with suppress(ValueError, SyntaxError):
            defaults[each.name] = ast.literal_eval(each.default or "")
    return defaults


def _without_budget(params: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name: _without_budget(value) if isinstance(value, Mapping) else value
        for name, value in params.items()
        if name not in BUDGETS
    }


def setting_of(what: Cell | Measured) -> tuple[str, str, str, str, str]:
    """Return kind, name, parameters, model and data set."""
    if isinstance(what, Measured):
        return what.kind, what.name, what.params, what.model, what.dataset
    cell = what
    evaluator, problem = cell.evaluator, cell.problem
    params = json.dumps(evaluator.params, sort_keys=True)
    dataset = "features" if "encoder" in problem.dataset.params else problem.dataset.name
    return evaluator.kind, evaluator.name, params, problem.model.name, dataset


def _training(cell: Cell) -> tuple[int, int]:
    """About how many weights change in a step, and epochs."""
    *_, model, dataset = setting_of(cell)
    problem, params = cell.problem, cell.evaluator.params
    epochs = problem.training.epochs if problem.selection is None else problem.selection.epochs
    if model not in SMALL_MODELS:
        return MANY_WEIGHTS, epochs
    hidden = {**_defaults("models", model), **problem.model.params}.get("hidden", ())
    sizes = [WIDTHS.get(dataset, TABLE_WIDTH), *hidden, OUTPUTS]
    method = params.get("method", params)
    if isinstance(method, Mapping) and method.get("parameters") == "head":
        sizes = sizes[-2:]
    return sum(map(math.prod, pairwise(sizes))), epochs
