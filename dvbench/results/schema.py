"""The result of one cell, as it is written to disk. Version 2; `dvbench.results.upgrade` reads version 1.

A cell is one evaluator on one problem with one seed. Its folder holds ``result.json`` (this schema) and the arrays that
every score can be recomputed from.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, ValidationError, ValidationInfo, model_validator

from dvbench.errors import LONGEST_ERROR, plain
from dvbench.results.axes import check_axes
from dvbench.results.upgrade import upgrade_plan, upgrade_result
from dvbench.settings import EvaluatorSettings, Kind, Name, ProblemSettings, Role, Strict

MOST_ENTRIES = 1000  # metrics or curves of a score, diagnostics or packages of a result
LONGEST_KEY = 200  # characters of the name of one of these


def _printable(longest: int) -> BeforeValidator:
    """Clean and cut a text: results of evaluators of others, and of earlier versions, may have any."""
    return BeforeValidator(lambda text: plain(text, longest) if isinstance(text, str) else text)


ErrorText = Annotated[str, _printable(LONGEST_ERROR)]
Label = Annotated[str, _printable(300)]
Key = Annotated[str, _printable(LONGEST_KEY)]
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Number = Annotated[float, Field(ge=-1e30, le=1e30)]  # larger numbers are those of a diverged computation
Count = Annotated[int, Field(ge=0, le=2**53)]
ArrayName = Literal[
    "values", "standard_errors", "repeat", "chosen", "weights",
    "copied", "split", "untrained", "shortcut", "null", "other_null",
    "point_0", "point_1", "point_2", "point_3", "point_4", "point_5", "point_6", "point_7", "point_8", "point_9",
    "point_10", "point_11", "point_12", "point_13", "point_14", "point_15", "point_16", "point_17", "point_18",
    "point_19",
]  # fmt: skip


class CellKey(Strict):
    """Which cell: also the path of its folder, ``suite/problem/evaluator/seed-0``.

    Seeds of suites are small. Fresh seeds have 63 bits, so that an evaluator cannot find them by trying all.
    """

    suite: Name
    problem: Name
    evaluator: Name
    seed: int = Field(ge=0, lt=2**63)

    @property
    def folder(self) -> str:
        """Path of the cell's folder below the results folder."""
        return f"{self.suite}/{self.problem}/{self.evaluator}/seed-{self.seed}"

    def __str__(self) -> str:
        return f"{self.problem} {self.evaluator} seed {self.seed}"


class Cell(Strict):
    """Everything that decides what a cell computes. Two runs with equal cells compute the same values."""

    key: CellKey
    suite_version: int = Field(ge=1)
    problem: ProblemSettings
    evaluator: EvaluatorSettings
    tasks: tuple[Name, ...]

    def computes_values_of(self, other: Cell) -> bool:
        """Whether all settings are equal but the tasks, which values do not depend on."""
        return self.model_copy(update={"tasks": other.tasks}) == other


class Dataset(Strict):
    """The data a cell was run on; ``table`` is the hash of the file if they are a user's own table.

    ``players`` is the number of subsets, where those are the players.
    """

    revision: Sha256
    table: Sha256 | None = None
    kind: Kind
    train: int = Field(gt=0, le=2**53)
    players: int | None = Field(default=None, gt=1, le=2**53)
    validation: int = Field(gt=0, le=2**53)
    test: int = Field(gt=0, le=2**53)


class Array(Strict):
    """A saved array: ``<name>.npy`` in the cell's folder.

    Most have one number a player. ``repeat`` and those after ``weights`` are values of variants of the problem, see
    `dvbench.problems.variants`. ``chosen`` and ``weights`` say which points a selection strategy chose, and with
    which weights; see `dvbench.selecting.record`.
    """

    sha256: Sha256
    length: int = Field(gt=0)


class Score(Strict):
    """A task's outcome for a cell's values; ``error`` instead of metrics if the task failed.

    ``axes`` names the x axis of each curve: another curve of the same length, or ``player``, ``coalition`` or ``epoch``
    where a curve has one number for each of these.

    ``ceiling`` is what the headline metric is for values that are exact but for the randomness of training: the
    reference of another training. Tasks without a reference have none, nor have results of before there were ceilings.
    """

    version: int = Field(ge=1)
    headline: Name
    higher_is_better: bool
    metrics: dict[Key, Number] = Field(default={}, max_length=MOST_ENTRIES)
    curves: dict[Key, list[Number]] = Field(default={}, max_length=MOST_ENTRIES)
    axes: dict[Key, Key] = {}
    ceiling: Number | None = None
    error: ErrorText | None = None

    @model_validator(mode="after")
    def _headline_or_error(self) -> Score:
        if self.error is None and self.headline not in self.metrics:
            raise ValueError(f"neither an error nor the headline metric '{self.headline}'")
        if self.error is not None and (self.metrics or self.curves or self.ceiling is not None):
            raise ValueError("a failed score has an error, and neither metrics nor curves")
        return self

    @model_validator(mode="after")
    def _axes_exist(self) -> Score:
        check_axes(self.axes, self.curves)
        return self

    @property
    def value(self) -> float | None:
        """The headline metric, or None if the task failed."""
        return self.metrics.get(self.headline) if self.error is None else None


class Cost(Strict):
    """What the valuation took. Scoring is not part of it.

    ``seconds`` are those of a clock, ``processor_seconds`` those of this process on all its cores, which other work on
    the machine does not lengthen; they are None where they are unknown, as in results of earlier versions and in runs
    that were resumed. ``fits`` counts trained models, ``unlearned`` unlearned ones; ``peak_memory`` is the growth of
    the resident set in bytes, and ``peak_cuda_memory`` the most that torch had allocated on the GPU.
    """

    seconds: float = Field(ge=0, le=1e12)
    processor_seconds: float | None = Field(default=None, ge=0, le=1e12)
    fits: Count
    unlearned: Count = 0
    peak_memory: Count
    peak_cuda_memory: Count = 0


class Environment(Strict):
    """Where it was computed."""

    platform: Label
    processor: Label
    cores: int
    device: Label
    python: Label
    packages: dict[Label, Label] = Field(max_length=MOST_ENTRIES)


class Result(Strict):
    """One cell's result.

    ``status`` is that of the valuation: a failed one has an ``error`` and neither arrays nor scores, and so has one
    that the evaluator declined, because it does not apply to the problem. ``evaluator_object`` is ``module:attribute``;
    for ``evaluator_version`` see `dvbench.execution.resume.evaluator_version`.
    """

    schema_version: Literal[2] = 2
    dvbench_version: Label
    cell: Cell
    status: Literal["ok", "failed", "declined"]
    error: ErrorText | None = None
    evaluator_object: Label
    evaluator_version: Label
    dataset: Dataset | None = None
    arrays: dict[ArrayName, Array] = {}
    scores: dict[Name, Score] = {}
    cost: Cost | None = None
    diagnostics: dict[Key, Number] = Field(default={}, max_length=MOST_ENTRIES)
    environment: Environment

    @property
    def seconds(self) -> float | None:
        """Seconds of the valuation to compare: processor time where it is known, and a clock's for a GPU."""
        if self.cost is None:
            return None
        of_processor = self.cost.processor_seconds if self.environment.device == "cpu" else None
        return self.cost.seconds if of_processor is None else of_processor

    @model_validator(mode="before")
    @classmethod
    def _upgrade(cls, data: Any) -> Any:
        return upgrade_result(data)

    @model_validator(mode="after")
    def _whole(self) -> Result:
        if self.status != "ok" and (not self.error or self.scores or self.arrays):
            raise ValueError(f"a {self.status} result has an error, and neither arrays nor scores")
        if self.status == "ok" and (self.error or self.dataset is None or self.cost is None):
            raise ValueError("a result that is ok has a dataset and a cost, and no error")
        return self

    def lacks(self, tasks: dict[str, int]) -> list[str]:
        """Tasks of ``{name: version}`` that have not been scored in that version; none of a declined valuation."""
        if self.status == "declined":
            return []
        return [
            name
            for name, version in tasks.items()
            if (score := self.scores.get(name)) is None or score.error is not None or score.version != version
        ]

    def with_scores(self, cell: Cell, scores: Mapping[str, Score]) -> Result:
        """Add scores, or replace them; ``cell`` may ask for other tasks than the result's did."""
        changes = {"cell": cell.model_dump(), "scores": {**self.scores, **scores}}
        return Result.model_validate({**self.model_dump(), **changes})


class Plan(Strict):
    """All cells a suite was asked for, so that missing ones are seen.

    ``roles`` says which evaluators, by their titles, are reference rows in this suite; see `dvbench.settings.Role`.
    ``trials`` names the suite whose results chose the settings of this one.
    """

    schema_version: Literal[2] = 2
    suite: Name
    suite_version: int = Field(ge=1)
    description: str
    cells: tuple[Cell, ...]
    roles: dict[Name, Role] = {}
    trials: Name | None = None

    @model_validator(mode="before")
    @classmethod
    def _upgrade(cls, data: Any, info: ValidationInfo) -> Any:
        data = upgrade_plan(data)
        if info.mode == "json" and isinstance(data, dict) and isinstance(data.get("cells"), list):
            _share_problems(data["cells"])
        return data


def _share_problems(cells: list[Any]) -> None:
    """Replace what was read of cells by `Cell`, in place, with one object for equal problems.

    A leaderboard of 100,000 cells needs 1.4 GB so, and 1.9 without. What is no cell stays, and is refused where its
    place in the file is known.
    """
    problems: dict[str, ProblemSettings] = {}
    for number, cell in enumerate(cells):
        with suppress(ValidationError, TypeError, KeyError):
            text = repr(cell["problem"])
            if text not in problems:
                problems[text] = ProblemSettings.model_validate(cell["problem"])
            cells[number] = Cell.model_validate({**cell, "problem": problems[text]})


def as_json(model: Strict) -> str:
    """Readable JSON with a newline at its end."""
    return model.model_dump_json(indent=1) + "\n"
