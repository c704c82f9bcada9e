"""A pilot on a user's table: labels of some rows are flipped, which gives a truth that the table itself lacks.

To select rows, nothing is flipped: how good a model of the kept rows is can be measured on the table as it is.

Each repeat draws other rows, divides them, flips labels, and values the training rows by each evaluator in the way in
which `dvbench value` does.
"""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from dvbench.errors import UserError
from dvbench.execution.limits import Limits, TimedOutError, enforced
from dvbench.own_data.door import Report
from dvbench.own_data.value import MODEL, TRAINING, Choice, How, choose, valuation_of
from dvbench.registry import find
from dvbench.settings import Goal, Noise

if TYPE_CHECKING:
    from dvbench.problems.problem import Problem
    from dvbench.tables.reading import Table

RATE = 0.2  # of labels that are flipped
KEPT = (0.1, 0.3, 0.5)  # fractions of rows that are kept, as in the task point_addition
RANDOM_CHOICES = 5  # of as many rows, which those that are kept are compared with
MOST_ROWS, LEAST_ROWS = 600, 60
PARTS = (0.6, 0.2)  # of training and validation rows; the rest is the test set
LEAST_REPEATS, MOST_REPEATS = 4, 12
PROVIDERS = 10
LATEST = 1.1  # of the budget; a repeat that takes longer than the others is ended
SHORTEST = 0.1  # seconds that an evaluator is given when the budget is over
LEAST_SECONDS = 2.0  # that an evaluator is given, so that its time says what budget is needed


def choice_of(table: Table, goal: Goal, name: str) -> Choice:
    """Return how an evaluator is run, with the settings that `dvbench value` gives it."""
    return choose(replace(table, group="provider" if goal == "pay" else None), How(evaluator=name))


@dataclass
class Trial:
    """What the pilot measured of an evaluator.

    Parameters
    ----------
    gains : list of float
        Of each repeat.
    seconds : list of float
        Of the valuation in each repeat.
    """

    gains: list[float] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)


def run_pilot(
    table: Table, goal: Goal, names: Sequence[str], budget: float, seed: int, report: Report, spent: float = 0.0
) -> dict[str, Trial]:
    """Return what evaluators gain in as many repeats as fit; one that fails or is too slow is left out.

    Parameters
    ----------
    table : Table
    goal : {"find", "select", "pay"}
    names : sequence of str
        The fastest first. In the first repeat each may take as long as leaves time for `LEAST_REPEATS` of all.
    budget : float
        Seconds.
    seed : int
    report : Report
        Shows progress, and what failed.
    spent : float
        Seconds of the budget that are over.

    Raises
    ------
    UserError
        If all fail, or for none there is time for `LEAST_REPEATS` repeats.
    """
    begun, kept = time.perf_counter() - spent, {name: Trial() for name in names}
    for name in names:
        find("evaluators", name).load()
    _Measure(table, goal, seed, 0)("random")  # imports take seconds, which say nothing about evaluators
    part = f"and {LEAST_REPEATS} repeats of all do not fit into {in_words(budget)}"
    took: dict[str, float] = {}  # seconds of the last repeat, with what it takes to measure the gain
    late, slow = list[str](), list[float]()  # those that the budget left out, and seconds of those that finished

    def left() -> float:
        return budget - (time.perf_counter() - begun)

    def leave_out(name: str, why: object) -> None:
        del kept[name]
        report.say(f"note: {name} is left out: {why}")

    def attempt(measure: _Measure, name: str, limit: float) -> float:
        """Measure an evaluator once; returns the seconds, NaN if it is left out, and infinity if this came too late."""
        clock = time.perf_counter()
        try:
            with enforced(Limits(seconds=limit)):
                gain, seconds = measure(name)
        except (UserError, FloatingPointError) as error:
            ended = any(isinstance(each, TimedOutError) for each in (error, error.__cause__))
            if ended and len(kept[name].gains) >= LEAST_REPEATS:
                return math.inf  # this repeat is not counted
            late.extend([name] if ended else [])
            leave_out(name, f"it takes longer than {in_words(limit)}, {part}" if ended else error)
            return math.nan
        kept[name].gains.append(gain)
        kept[name].seconds.append(seconds)
        took[name] = time.perf_counter() - clock
        return took[name]

    with report.counting("repeat") as observe:
        measure, taken = _Measure(table, goal, seed, 0), 0.0
        for name in names:
            # With each that is kept, the least number of repeats of all fits what is left.
            limit = max((left() - (LEAST_REPEATS - 1) * taken) / LEAST_REPEATS, LEAST_SECONDS)
            seconds = attempt(measure, name, limit)
            if not math.isnan(seconds) and (LEAST_REPEATS - 1) * (taken + seconds) > left():
                leave_out(name, f"it took {in_words(seconds)}, {part}")
                slow.append(seconds)
                late.append(name)
            elif not math.isnan(seconds):
                taken += seconds
        for repeat in range(1, MOST_REPEATS):
            if not kept:
                break
            while repeat < LEAST_REPEATS and len(kept) > 1 and (LEAST_REPEATS - repeat) * taken > left():
                slowest = max(kept, key=took.__getitem__)
                taken -= took[slowest]
                late.append(slowest)
                leave_out(slowest, f"it took {in_words(took[slowest])}, {part}")
            fitting = int(left() / taken) if taken else MOST_REPEATS
            if repeat >= LEAST_REPEATS and fitting < 1:
                break
            total = min(MOST_REPEATS, max(repeat + fitting, LEAST_REPEATS))
            observe(repeat, total, budget - left(), max(left(), 0.0))
            measure, taken = _Measure(table, goal, seed, repeat), 0.0
            for name in list(kept):
                seconds = attempt(measure, name, max(left() + (LATEST - 1) * budget, SHORTEST))
                taken += 0.0 if math.isnan(seconds) else seconds
                if math.isinf(seconds):
                    break
    repeats = min((len(trial.gains) for trial in kept.values()), default=0)
    kept = {name: Trial(trial.gains[:repeats], trial.seconds[:repeats]) for name, trial in kept.items()}
    if not kept and late:
        needed = max(1.2 * LEAST_REPEATS * min(slow, default=budget), 2 * budget)
        raise UserError(
            f"--budget {in_words(budget)} is too small: no candidate can repeat the pilot {LEAST_REPEATS} times in it; "
            f"give {in_words(needed)} or more"
        )
    if not kept:
        raise UserError("every candidate failed on this table; 'dvbench value DATA --evaluator NAME' says more")
    return kept


class _Measure:
    """One repeat of a pilot: rows, their parts and the planted noise are the same for all candidates."""

    def __init__(self, table: Table, goal: Goal, seed: int, repeat: int) -> None:
        self.table, self.goal, self.seed, self.repeat = table, goal, seed, repeat
        self.problem = pilot_problem(table, goal, seed, repeat)
        self._retrain: Any = None

    def __call__(self, name: str) -> tuple[float, float]:
        """Return the gain of an evaluator, and the seconds of its valuation."""
        how = How(evaluator=name, seed=self.seed)
        choice = choice_of(self.table, self.goal, name)
        clock = time.perf_counter()
        values = valuation_of(self.problem, choice, how, self.repeat, MOST_REPEATS).arrays["values"]
        seconds = time.perf_counter() - clock
        return self._gain(values), seconds

    def _gain(self, values: np.ndarray) -> float:
        if self.goal == "select":
            return self._kept(values)
        from dvbench.scoring.contract import Valuation

        task = find("tasks", "noisy_label_detection" if self.goal == "find" else "partial_agreement").load()
        valuation = Valuation(values)
        coalitions = task.wanted_coalitions(self.problem, valuation)
        utilities = self.retrain(coalitions) if coalitions else np.array([])
        score = task(self.problem, valuation, utilities).metrics[task.headline]
        return float(score - 0.5 if self.goal == "find" else score)

    def _kept(self, values: np.ndarray) -> float:
        """Accuracy with the most valuable rows alone, minus that with as many random rows; mean over `KEPT`."""
        from dvbench.randomness import generator

        order, counts = np.argsort(-values, kind="stable"), [max(1, round(part * len(values))) for part in KEPT]
        rng = generator("advise", self.seed, f"random rows {self.repeat}")
        others = [rng.permutation(len(values)) for _ in range(RANDOM_CHOICES)]
        utilities = self.retrain([rows[:count] for rows in (order, *others) for count in counts])
        return float(utilities[: len(KEPT)].mean() - utilities[len(KEPT) :].mean())

    def retrain(self, coalitions: Sequence[np.ndarray]) -> np.ndarray:
        """Test utilities of models that are trained on coalitions."""
        from dvbench.scoring.retraining import Retraining
        from dvbench.settings import ModelSettings

        if self._retrain is None:
            self._retrain = Retraining(self.problem, ModelSettings(name=MODEL), TRAINING)
        utilities: np.ndarray = self._retrain(coalitions)
        return utilities


def pilot_problem(table: Table, goal: Goal, seed: int, repeat: int) -> Problem:
    """Draw rows of a table, divide them, and flip labels of the training rows, but not for the goal ``select``."""
    from dvbench.problems.build import assemble
    from dvbench.randomness import generator, integer_seed

    rng = generator("advise", seed, f"pilot {repeat}")
    rows = rng.permutation(len(table.rows))[:MOST_ROWS]
    ends = np.cumsum([int(part * len(rows)) for part in PARTS])
    train, judges, test = np.split(rows, ends)
    groups = np.arange(len(train)) % PROVIDERS if goal == "pay" else None
    noise = {
        "find": Noise(kind="labels", rate=RATE), "pay": Noise(kind="labels", rate=0.5, draw="graded")
    }.get(goal, Noise())  # fmt: skip
    source = replace(table.source, groups=None)
    noise_seed = integer_seed("advise", seed, str(repeat))
    return assemble(source, "advise", (train, judges, test), noise, noise_seed, groups)


def in_words(seconds: float) -> str:
    """Write a time with two digits, or in minutes."""
    return f"{seconds:.2g} s" if seconds < 60 else f"{seconds / 60:.0f} min"
