"""A pilot on a user's table: labels of some rows are flipped, which gives a truth that the table itself lacks.

To select rows, nothing is flipped: how good a model of the kept rows is can be measured on the table as it is.

Each repeat draws other rows, divides them, flips labels, and values the training rows by each evaluator in the way in
which `dvbench value` does.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from dvbench.errors import UserError
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


def choice_of(table: Table, goal: Goal, name: str) -> Choice:
    """Return how an evaluator is run, with the settings that `dvbench value` gives it."""
    return choose(replace(table, group="provider" if goal == "pay" else None), How(evaluator=name))


def run_pilot(
    table: Table, goal: Goal, names: Sequence[str], budget: float, seed: int, report: Report
) -> dict[str, np.ndarray]:
    """Return the gains of evaluators, (repeats,) each, of as many repeats as fit; one that fails is left out.

    Parameters
    ----------
    table : Table
    goal : {"find", "select", "pay"}
    names : sequence of str
    budget : float
        Seconds. The first repeat is always made.
    seed : int
    report : Report
        Shows progress, and what failed.

    Raises
    ------
    UserError
        If all fail, or fewer than `LEAST_REPEATS` repeats fit.
    """
    import dvbench.execution.valuation
    import dvbench.scoring.contract  # noqa: F401  imports take seconds, which say nothing about evaluators

    for name in names:
        find("evaluators", name).load()
    gains: dict[str, list[float]] = {name: [] for name in names}
    seconds = dict.fromkeys(names, 0.0)
    begun = time.perf_counter()
    with report.counting("repeat") as observe:
        for repeat in range(MOST_REPEATS):
            taken = time.perf_counter() - begun
            if repeat and taken + sum(seconds[name] for name in gains) > budget:
                break
            measure = _Measure(table, goal, seed, repeat)
            for name in list(gains):
                clock = time.perf_counter()
                try:
                    gains[name].append(measure(name))
                except (UserError, FloatingPointError) as error:
                    del gains[name]
                    report.say(f"note: {name} is left out: {error}")
                seconds[name] = time.perf_counter() - clock
            observe(repeat + 1, MOST_REPEATS, time.perf_counter() - begun)
            if not repeat:
                _leave_out_slow(gains, seconds, budget - (time.perf_counter() - begun), report)
    if not gains:
        raise UserError("every candidate failed on this table; 'dvbench value DATA --evaluator NAME' says more")
    done = len(next(iter(gains.values())))
    if done < LEAST_REPEATS:
        each = (time.perf_counter() - begun) / done
        raise UserError(
            f"--budget {in_words(budget)} is too small: a repeat of the pilot takes {in_words(each)}, and at least "
            f"{LEAST_REPEATS} are needed; give about {in_words(1.2 * each * LEAST_REPEATS)}"
        )
    return {name: np.array(each) for name, each in gains.items()}


def _leave_out_slow(gains: dict[str, list[float]], seconds: dict[str, float], left: float, report: Report) -> None:
    """Leave out the slowest evaluators until the least number of repeats fits the time that is left."""
    while len(gains) > 1 and (LEAST_REPEATS - 1) * sum(seconds[name] for name in gains) > left:
        slowest = max(gains, key=lambda name: seconds[name])
        del gains[slowest]
        report.say(f"note: {slowest} is left out: it took {in_words(seconds[slowest])}, too long for the budget")


class _Measure:
    """One repeat of a pilot: rows, their parts and the planted noise are the same for all candidates."""

    def __init__(self, table: Table, goal: Goal, seed: int, repeat: int) -> None:
        self.table, self.goal, self.seed, self.repeat = table, goal, seed, repeat
        self.problem = pilot_problem(table, goal, seed, repeat)
        self._retrain: Any = None

    def __call__(self, name: str) -> float:
        """Return the gain of an evaluator."""
        from dvbench.scoring.contract import Valuation

        how = How(evaluator=name, seed=self.seed)
        choice = choice_of(self.table, self.goal, name)
        output = valuation_of(self.problem, choice, how, self.repeat, MOST_REPEATS)
        values = output.arrays["values"]
        if self.goal == "select":
            return self._kept(values)
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
