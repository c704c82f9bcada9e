"""What cells will cost, estimated from what finished cells have cost.

``costs.csv``, which `write_cost_table` makes from published results, comes with the package. Finished cells of the
results folder are used too, and they are from the user's own machine. An estimate is that of the most similar measured
cell, scaled by the number of training points and by the budget of the evaluator. It is for planning: for other data
sets than the measured ones it is wrong by a factor of 1.5 to 2 in half of the cells.
"""

from __future__ import annotations

import csv
import io
import json
import math
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from functools import cache
from pathlib import Path
from statistics import median
from typing import Any

from pydantic import TypeAdapter

from dvbench.files import write_atomically
from dvbench.results import Cell, Cost, Result, Store

TABLE = Path(__file__).with_name("costs.csv")
BUDGETS = {
    "models",
    "permutations",
    "rl_epochs",
    "steps",
}  # parameters that the time of an evaluator is proportional to
IMAGES = ("cifar10", "cifar100", "fashion_mnist", "tiny_imagenet")  # whose points are large
SMALL_MODELS = ("logistic_regression", "mlp")  # whose times are used for each other


@dataclass(frozen=True)
class Measured:
    """What cells of one setting have cost; numbers are medians over seeds.

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
    settings = defaultdict[tuple[Any, ...], list[tuple[Cost, int]]](list)
    for result, size in results:
        if result.status == "ok" and result.cost is not None and result.dataset is not None:
            data = result.dataset
            sizes = (data.train, data.players or data.train)
            key = (*_setting(result.cell), *sizes, result.environment.device != "cpu")
            settings[key].append((result.cost.model_copy(update={"seconds": result.seconds}), size))
    return [Measured(*setting, *_summary(costs)) for setting, costs in sorted(settings.items())]


def _summary(costs: Sequence[tuple[Cost, int]]) -> tuple[Any, ...]:
    of_seeds = [cost for cost, _ in costs]
    return (
        max(cost.fits for cost in of_seeds),
        max(cost.unlearned for cost in of_seeds),
        round(median(cost.seconds for cost in of_seeds), 3),
        max(max(cost.peak_memory, cost.peak_cuda_memory) for cost in of_seeds),
        max(size for _, size in costs),
    )


def stored(store: Store, suite: str) -> Iterator[tuple[Result, int]]:
    """Yield the results of a suite, with the bytes of their files."""
    for result in store.results(suite):
        yield result, sum(path.stat().st_size for path in store.folder(result.cell.key).iterdir())


def write_cost_table(results: Path, path: Path = TABLE) -> None:
    """Write ``costs.csv`` from a results folder."""
    store = Store(results)
    rows = measured(each for suite in store.suites() for each in stored(store, suite))
    text = io.StringIO()
    writer = csv.DictWriter(text, [field.name for field in fields(Measured)], lineterminator="\n")
    writer.writeheader()
    writer.writerows(asdict(row) for row in rows)
    write_atomically(path, text.getvalue().encode())


@cache
def published_costs() -> tuple[Measured, ...]:
    """Read ``costs.csv``."""
    with TABLE.open(encoding="utf-8", newline="") as file:
        return TypeAdapter(tuple[Measured, ...]).validate_python(tuple(csv.DictReader(file)))


def known_costs(store: Store, suite: str) -> list[Measured]:
    """What is known for a suite: its finished cells in a results folder, and what comes with the package."""
    return [*measured(stored(store, suite)), *published_costs()]


def estimate(cell: Cell, known: Sequence[Measured], cuda: bool) -> Estimate | None:
    """Estimate what a cell costs; None if its evaluator has not been measured with such a model.

    Parameters
    ----------
    cell : Cell
    known : sequence of Measured
    cuda : bool
        Whether it will run on a GPU. What was measured on a CPU is used if nothing was on a GPU.
    """
    kind, name, params, model, dataset = _setting(cell)
    models = SMALL_MODELS if model in SMALL_MODELS else (model,)
    rows = [row for row in known if (row.kind, row.name) == (kind, name) and row.model in models]
    if not rows:
        return None
    wanted, points = _parsed(params), cell.problem.sizes.train

    def players(row: Measured) -> int:
        """Players of the cell; of classes, columns and corpora as many as were measured."""
        groups = cell.problem.groups
        return points if groups is None else groups.count or row.players

    def distance(row: Measured) -> float:
        unlike = 3 * (row.cuda != cuda) + 2 * (row.model != model) + (row.dataset != dataset)
        unlike += 5 * ((row.dataset in IMAGES) != (dataset in IMAGES))
        unlike += 5 * (_without_budget(_parsed(row.params)) != _without_budget(wanted))
        return unlike + abs(math.log(row.points / points)) + abs(math.log(row.players / players(row)))

    nearest = min(rows, key=distance)
    more = _size(points, players(nearest), nearest) * _more_budget(wanted, _parsed(nearest.params))
    disk = nearest.disk * max(players(nearest) / nearest.players, 1.0)
    return Estimate(nearest.seconds * more, nearest.memory, int(disk))


def _size(cell_points: int, cell_players: int, row: Measured) -> float:
    """How much larger a cell is than a measured one.

    Models that are trained take time in proportion to the points, unlearned ones do not. Some evaluators train or
    unlearn models for every player, others as many as their parameters say.
    """
    points = cell_points / row.points if not row.unlearned else 1.0
    fixed = {"models", "rl_epochs"} & _parsed(row.params).keys()
    for_every_player = 2 * (row.fits + row.unlearned) > row.players and not fixed
    return points * (cell_players / row.players if for_every_player else 1.0)


@cache
def _parsed(params: str) -> dict[str, Any]:
    """Parameters of a row; many cells are compared with it."""
    parsed: dict[str, Any] = json.loads(params)
    return parsed


def _more_budget(wanted: Mapping[str, Any], given: Mapping[str, Any]) -> float:
    """Ratio of the parameters that time is proportional to, of those that both have; also of nested ones."""
    ratio = 1.0
    for name in wanted.keys() & given.keys():
        ours, theirs = wanted[name], given[name]
        if isinstance(ours, Mapping) and isinstance(theirs, Mapping):
            ratio *= _more_budget(ours, theirs)
        elif name in BUDGETS:
            ratio *= ours / theirs
    return ratio


def _without_budget(params: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name: _without_budget(value) if isinstance(value, Mapping) else value
        for name, value in params.items()
        if name not in BUDGETS
    }


def _setting(cell: Cell) -> tuple[str, str, str, str, str]:
    evaluator, problem = cell.evaluator, cell.problem
    params = json.dumps(evaluator.params, sort_keys=True)
    dataset = "features" if "encoder" in problem.dataset.params else problem.dataset.name
    return evaluator.kind, evaluator.name, params, problem.model.name, dataset
