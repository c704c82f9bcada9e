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
from dvbench.own_data.choice import MODEL, TRAINING, Choice, How, choose
from dvbench.own_data.folds import valuation_of
from dvbench.own_data.given import Report
from dvbench.progress import time_in_words
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
QUICK = 0.5  # seconds; an evaluator that takes no longer is never left out for the time it takes
LEAST_SECONDS = 2.0  # that an evaluator is given, so that its time says what budget is needed


def choice_of(table: Table, goal: Goal, name: str, providers: int = PROVIDERS) -> Choice:
    """Return how an evaluator is run, with the settings that `dvbench value` gives it."""
    groups = np.arange(len(table.rows)) % providers if goal == "pay" else None
    source = replace(table.source, groups=groups)
    return choose(replace(table, group=None if groups is None else "provider", source=source), How(evaluator=name))


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
    pilot = _Pilot(table, goal, seed, budget, report, time.perf_counter() - spent, {name: Trial() for name in names})
    for name in names:
        find("evaluators", name).load()
    pilot.measure(0)("random")  # imports take seconds, which say nothing about evaluators
    with report.counting("repeat") as observe:
        taken = pilot.first_repeat()
        for repeat in range(1, MOST_REPEATS):
            taken = pilot.leave_out_the_slowest(repeat, taken)
            fitting = int(pilot.left() / taken) if taken else MOST_REPEATS
            if not pilot.kept or (repeat >= LEAST_REPEATS and fitting < 1):
                break
            total = min(MOST_REPEATS, max(repeat + fitting, LEAST_REPEATS))
            observe(repeat, total, budget - pilot.left(), max(pilot.left(), 0.0))
            taken = pilot.repeat(repeat)
    if not pilot.kept:
        raise pilot.nothing_kept()
    repeats = min(len(trial.gains) for trial in pilot.kept.values())
    return {name: Trial(trial.gains[:repeats], trial.seconds[:repeats]) for name, trial in pilot.kept.items()}


@dataclass
class _Pilot:
    """The candidates of a pilot and its clock.

    Parameters
    ----------
    table, goal, seed, budget, report
        As in `run_pilot`.
    begun : float
        When the budget began, by `time.perf_counter`.
    kept : dict of str to Trial
        Candidates that were not left out.
    took : dict of str to float
        Seconds of the last repeat of each, with what it takes to measure the gain.
    late : list of str
        Candidates that the budget left out.
    slow : list of float
        Seconds of those of them that finished their first repeat.
    """

    table: Table
    goal: Goal
    seed: int
    budget: float
    report: Report
    begun: float
    kept: dict[str, Trial]
    took: dict[str, float] = field(default_factory=dict)
    late: list[str] = field(default_factory=list)
    slow: list[float] = field(default_factory=list)

    def measure(self, repeat: int) -> _Measure:
        return _Measure(self.table, self.goal, self.seed, repeat)

    def left(self) -> float:
        """Seconds of the budget."""
        return self.budget - (time.perf_counter() - self.begun)

    def at_most(self) -> float:
        """Seconds in which the last repeat must end."""
        return self.left() + (LATEST - 1) * self.budget

    def first_repeat(self) -> float:
        """Measure each once, and keep those that leave time for `LEAST_REPEATS` of all; return the seconds of these."""
        measure, taken = self.measure(0), 0.0
        for name in list(self.kept):
            limit = max((self.left() - (LEAST_REPEATS - 1) * taken) / LEAST_REPEATS, LEAST_SECONDS)
            seconds = self.attempt(measure, name, limit)
            if math.isnan(seconds):
                continue
            if seconds > QUICK and (LEAST_REPEATS - 1) * (taken + seconds) > self.left():
                self.leave_out_as_late(name)
                self.slow.append(seconds)
            else:
                taken += seconds
        return taken

    def leave_out_the_slowest(self, repeat: int, taken: float) -> float:
        """Until all others can be repeated `LEAST_REPEATS` times; return the seconds of a repeat of those."""
        while repeat < LEAST_REPEATS and len(self.kept) > 1 and (LEAST_REPEATS - repeat) * taken > self.at_most():
            slowest = max(self.kept, key=self.took.__getitem__)
            if self.took[slowest] <= QUICK:
                break
            taken -= self.took[slowest]
            self.leave_out_as_late(slowest)
        return taken

    def repeat(self, number: int) -> float:
        """Measure each candidate once more; return the seconds."""
        measure, taken = self.measure(number), 0.0
        for name in list(self.kept):
            seconds = self.attempt(measure, name, max(self.at_most(), 2 * QUICK))
            taken += 0.0 if math.isnan(seconds) else seconds
            if math.isinf(seconds):
                break
        return taken

    def attempt(self, measure: _Measure, name: str, limit: float) -> float:
        """Measure an evaluator once; returns the seconds, NaN if it is left out, and infinity if this came too late."""
        clock, trial = time.perf_counter(), self.kept[name]
        try:
            with enforced(Limits(seconds=limit)):
                gain, seconds = measure(name)
        except (UserError, FloatingPointError) as error:
            if not any(isinstance(each, TimedOutError) for each in (error, error.__cause__)):
                self.leave_out(name, str(error))
                return math.nan
            if len(trial.gains) >= LEAST_REPEATS:
                return math.inf  # this repeat is not counted
            self.leave_out_as_late(name, f"it takes longer than {time_in_words(limit)}")
            return math.nan
        trial.gains.append(gain)
        trial.seconds.append(seconds)
        self.took[name] = time.perf_counter() - clock
        return self.took[name]

    def leave_out_as_late(self, name: str, why: str = "") -> None:
        judging = not why and self.kept[name].seconds[-1] < self.took[name] / 2
        why = why or f"it took {time_in_words(self.took[name])}{', most of it to measure the gain' * judging}"
        self.late.append(name)
        self.leave_out(name, f"{why}, and {LEAST_REPEATS} repeats of all do not fit into {time_in_words(self.budget)}")

    def leave_out(self, name: str, why: str) -> None:
        del self.kept[name]
        self.report.say(f"note: {name} is left out: {why}")

    def nothing_kept(self) -> UserError:
        """Say why no candidate is left."""
        if not self.late:
            return UserError("every candidate failed on this table; 'dvbench value DATA --evaluator NAME' says more")
        needed = max(
            1.2 * LEAST_REPEATS * min(self.slow, default=max(LEAST_SECONDS, self.budget / LEAST_REPEATS)),
            2 * self.budget,
        )
        needed = math.ceil(needed / 6) * 6 if needed >= 60 else needed  # tenths of a minute, as it is said
        return UserError(
            f"--budget {time_in_words(self.budget)} is too small: no candidate can repeat the pilot {LEAST_REPEATS} "
            f"times in it; give {time_in_words(needed)} or more"
        )


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
