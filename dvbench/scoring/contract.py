"""What a task is.

A task scores the data values of one evaluator on one problem. It is a function in a file of the same name, in
``dvbench/tasks`` or in a package that the entry-point group ``dvbench.tasks`` names::

    import numpy as np
    from dvbench.scoring.contract import Outcome, task

    def coalitions(problem, valuation):
        return [np.argsort(valuation.values)[-k:] for k in (5, 10)]

    @task(version=1, headline="utility", higher_is_better=True, coalitions=coalitions, min_players=10)
    def best_players(problem, valuation, utilities):
        '''Best players: how good is a model that is trained on the ten most valuable players alone?'''
        return Outcome({"utility": float(utilities[1])}, {"size": [5.0, 10.0], "best": utilities.tolist()}, x="size")

``coalitions`` returns the sets of players that a model is to be trained on, each an array of player numbers;
``utilities`` holds the test utility of each of these models. A task that needs no such models omits ``coalitions``. All
tasks are asked for their coalitions first; then each coalition is trained once for all evaluators, and the tasks score.
A task that compares values with those of a changed problem names its ``variants``: they are valued together with the
problem, and saved, so that scoring needs no evaluator.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, get_args

import numpy as np

from dvbench.errors import UserError
from dvbench.problems.problem import Problem
from dvbench.ranges import Range
from dvbench.results.axes import check_axes
from dvbench.scoring.correlation import rank_correlation
from dvbench.scoring.outputs import CoalitionUtilities, UnlearningOutputs
from dvbench.scoring.selection_experiment import SelectionOutputs
from dvbench.settings import Goal


@dataclass(frozen=True)
class Valuation:
    """The data values of one evaluator, unlearning method or selection strategy, on one problem.

    Parameters
    ----------
    values : numpy.ndarray of shape (n,)
        Data values of the n players; a higher value means more useful data.
    repeat : numpy.ndarray of shape (n,), optional
        Values of the same evaluator on the same problem with other random numbers.
    variants : mapping of str to numpy.ndarray
        Values of the same evaluator on variants of the problem, by the names of `dvbench.problems.variants.VARIANTS`.
    compute_coalitions : callable, optional
        Computes utilities of models without each coalition; None unless the values come from an unlearning method.
    compute_outputs : callable, optional
        Computes the outputs of the models that have unlearned each player; None unless the values come from an
        unlearning method.
    compute_selected : callable, optional
        Trains and tests models on the points that were chosen; None unless the values come from a selection strategy.
    """

    values: np.ndarray
    repeat: np.ndarray | None = None
    compute_outputs: Callable[[], UnlearningOutputs] | None = None
    compute_selected: Callable[[], SelectionOutputs] | None = None
    variants: Mapping[str, np.ndarray] = field(default_factory=dict)
    compute_coalitions: Callable[[], CoalitionUtilities] | None = None

    def outputs(self) -> UnlearningOutputs:
        """Outputs of the models that have unlearned each player.

        Raises
        ------
        ValueError
            If the values do not come from an unlearning method.
        """
        if self.compute_outputs is None:
            raise ValueError("these values come from no unlearning method, so there are no unlearned models to judge")
        return self.compute_outputs()

    def coalition_utilities(self) -> CoalitionUtilities:
        """Utilities of models without each coalition, unlearned and retrained.

        Raises
        ------
        ValueError
            If the values do not come from an unlearning method.
        """
        if self.compute_coalitions is None:
            raise ValueError("these values come from no unlearning method, so there are no unlearned models to judge")
        return self.compute_coalitions()

    def selected(self) -> SelectionOutputs:
        """Accuracies of models that were trained on the points that a selection strategy chose.

        Raises
        ------
        ValueError
            If the values do not come from a selection strategy.
        """
        if self.compute_selected is None:
            raise ValueError("these values come from no selection strategy, so there is no choice to judge")
        return self.compute_selected()


@dataclass(frozen=True)
class Outcome:
    """What a task returns.

    Parameters
    ----------
    metrics : dict of str to float
        The headline metric and others.
    curves : dict of str to list of float
    x : str or dict of str to str
        The x axis of the curves: one name for all, or a name for each curve. An x axis is another curve of the same
        length, such as ``"fraction"``, or what a curve has one number for: ``"player"``, ``"coalition"`` or
        ``"epoch"``.

    Raises
    ------
    ValueError
        If a curve has no x axis, or one that does not exist or has another length.
    """

    metrics: dict[str, float]
    curves: dict[str, list[float]] = field(default_factory=dict)
    x: str | Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        check_axes(self.axes, self.curves)
        names = {*self.axes, *self.axes.values()}
        if without := [name for name in self.curves if name not in names]:
            raise ValueError(f"the curve '{without[0]}' has no x axis: give Outcome an x, such as x=\"player\"")

    @property
    def axes(self) -> dict[str, str]:
        """The x axis of each curve; curves that are x axes have none."""
        if isinstance(self.x, str):
            return {name: self.x for name in self.curves if name != self.x}
        return dict(self.x)


Measured = Callable[[Sequence[np.ndarray], Sequence[str]], np.ndarray]


@dataclass(frozen=True)
class Reference:
    """What a task correlates values with, if other trainings of the same models give it too.

    Its rank correlation with that of another training is the ceiling of the headline metric: what values reach that
    are exact, but for the randomness of training. For a task that averages correlations, it is their mean.

    Parameters
    ----------
    curve : str or None
        Curve of the outcome that holds the reference; None if it is to be computed from the models again.
    coalitions : callable
        ``(problem) -> sequence of numpy.ndarray of int``: the sets of players that the reference is computed from.
    compute : callable
        ``(utilities) -> numpy.ndarray``: the reference, from the test utilities of models trained on these sets. For
        a task that averages correlations it has a row for each, and so have the utilities.
    measure : str
        The measure that these utilities are, one of those of the task if it has any.
    """

    curve: str | None
    coalitions: Callable[[Problem], Sequence[np.ndarray]]
    compute: Callable[[np.ndarray], np.ndarray]
    measure: str = "utility"

    def ceiling(self, problem: Problem, outcome: Outcome, retrain: Measured, scored: Measured) -> float:
        """Rank correlation of the reference of an outcome with that of models that another training gives.

        Parameters
        ----------
        problem : Problem
        outcome : Outcome
            Of the task.
        retrain : callable
            ``(coalitions, measures) -> numpy.ndarray`` of shape (measures, coalitions), of models with other initial
            weights and minibatches.
        scored : callable
            The same of the models that the task scores with.
        """
        coalitions = self.coalitions(problem)

        def reference(models: Measured) -> np.ndarray:
            utilities = models(coalitions, [self.measure])
            return self.compute(utilities[0] if len(utilities) == 1 else utilities)

        first = reference(scored) if self.curve is None else np.asarray(outcome.curves[self.curve])
        pairs = zip(np.atleast_2d(reference(retrain)), np.atleast_2d(first), strict=True)
        return float(np.mean([rank_correlation(*pair)[0] for pair in pairs]))


Coalitions = Callable[[Problem, Valuation], Sequence[np.ndarray]]
Scorer = Callable[[Problem, Valuation, np.ndarray], Outcome]


@dataclass(frozen=True)
class Task:
    """A task: a function that scores a valuation, and what dvbench must know before it calls the function.

    Parameters
    ----------
    score : callable
        ``(problem, valuation, utilities) -> Outcome``.
    version : int
        Raised whenever a score would change.
    headline : str
        The metric that ranks evaluators.
    higher_is_better : bool
        Whether a higher headline is better.
    goal : Goal
        The purpose of values that the task measures, "check" for those that no user has; see `dvbench.settings.Goal`.
    ranges : mapping of str to Range
        The range of each metric that has one, the same for all evaluators: ``(low, high)``, where None is no limit, or
        ``"utility"``, ``"difference"`` (of two utilities) or ``"distance"`` (the absolute value of a difference). The
        leaderboard cuts intervals to it. ``accuracy_*`` stands for all metrics of this form, such as ``accuracy_0.1``.
    coalitions : callable, optional
        ``(problem, valuation) -> sequence of numpy.ndarray of int``: the sets of players that models are trained on.
    reference : Reference, optional
        What the headline metric, a rank correlation, compares values with, if its ceiling is to be reported.
    noise : {"labels", "features"}, optional
        The kind of noise that a problem must have.
    repeats : bool
        Whether the task needs a second valuation.
    variants : tuple of str
        Variants of the problem whose values the task needs; see `dvbench.problems.variants`. ``"points"`` are
        ``point_0`` to ``point_19``.
    measures : tuple of str
        Test utilities that the task needs of each coalition, in place of the problem's; see `dvbench.scoring.measures`.
        ``"points"`` has a row for each point of the variants of this name.
    judges_unlearning : bool
        Whether the task judges an unlearning method by the models that have unlearned each player.
    judges_selection : bool
        Whether the task judges a selection strategy by models that are trained on what it chose.
    min_players : int
    max_players : int, optional
        Numbers of players that the task accepts.
    """

    score: Scorer
    version: int
    headline: str
    higher_is_better: bool
    goal: Goal = "check"
    ranges: Mapping[str, Range] = field(default_factory=dict)
    coalitions: Coalitions | None = None
    reference: Reference | None = None
    noise: Literal["labels", "features"] | None = None
    repeats: bool = False
    variants: tuple[str, ...] = ()
    measures: tuple[str, ...] = ()
    judges_unlearning: bool = False
    judges_selection: bool = False
    min_players: int = 1
    max_players: int | None = None

    def __post_init__(self) -> None:
        if self.goal not in get_args(Goal):
            raise ValueError(f"the goal of a task is {' or '.join(get_args(Goal))}, not {self.goal!r}")

    def wanted_coalitions(self, problem: Problem, valuation: Valuation) -> list[np.ndarray]:
        """The sets of players whose models' utilities the task needs, each an array of player numbers.

        Raises
        ------
        UserError
            If there are too few players, or too many.
        """
        check_players(problem.players, self.min_players, self.max_players)
        if self.coalitions is None:
            return []
        return [np.array(players) for players in self.coalitions(problem, valuation)]

    def __call__(self, problem: Problem, valuation: Valuation, utilities: np.ndarray) -> Outcome:
        """Score a valuation.

        Parameters
        ----------
        problem : Problem
        valuation : Valuation
        utilities : numpy.ndarray of shape (coalitions,), or (measures, coalitions)
            Test utilities of models trained on the `wanted_coalitions`, in their order.

        Raises
        ------
        UserError
            If there are too few players, or too many, or the headline is not among the metrics.
        TypeError
            If the task does not return an `Outcome`.
        ValueError
            If a metric or a curve is not finite, or a curve over players has not one number for each player.
        """
        check_players(problem.players, self.min_players, self.max_players)
        outcome = self.score(problem, valuation, utilities)
        if not isinstance(outcome, Outcome):
            raise TypeError(f"the task must return an Outcome; it returned a {type(outcome).__name__}")
        if self.headline not in outcome.metrics:
            names = ", ".join(f"'{name}'" for name in outcome.metrics) or "no metrics"
            raise UserError(f"task returned no metric '{self.headline}', its headline; it returned {names}")
        _check_numbers(outcome, problem.players)
        return outcome


def task(
    *,
    version: int,
    headline: str,
    higher_is_better: bool,
    goal: Goal = "check",
    ranges: Mapping[str, Range] | None = None,
    coalitions: Coalitions | None = None,
    reference: Reference | None = None,
    noise: Literal["labels", "features"] | None = None,
    repeats: bool = False,
    variants: tuple[str, ...] = (),
    measures: tuple[str, ...] = (),
    judges_unlearning: bool = False,
    judges_selection: bool = False,
    min_players: int = 1,
    max_players: int | None = None,
) -> Callable[[Scorer], Task]:
    """Turn a function into a `Task`; see there for the parameters.

    dvbench reads all of them but ``coalitions`` and ``reference`` from the source without importing it, so they must
    be written as constants.
    """
    return lambda score: Task(
        score=score,
        version=version,
        headline=headline,
        higher_is_better=higher_is_better,
        goal=goal,
        ranges=ranges or {},
        coalitions=coalitions,
        reference=reference,
        noise=noise,
        repeats=repeats,
        variants=variants,
        measures=measures,
        judges_unlearning=judges_unlearning,
        judges_selection=judges_selection,
        min_players=min_players,
        max_players=max_players,
    )


def check_players(players: int, minimum: int, maximum: int | None) -> None:
    """Raise a `UserError` if there are fewer or more players than a task accepts."""
    if players < minimum:
        raise UserError(f"{players} players are too few: at least {minimum} are needed, or chance would rank them")
    if maximum is not None and players > maximum:
        raise UserError(f"{players} players are too many: at most {maximum}; make fewer groups")


def _check_numbers(outcome: Outcome, players: int) -> None:
    """Raise a ValueError if a number is not finite, or a curve over players has another length."""
    for numbers in (outcome.metrics, outcome.curves):
        for name, number in numbers.items():
            if not np.isfinite(np.asarray(number)).all():
                raise ValueError(f"{name} is not finite")
    for name, axis in outcome.axes.items():
        length = len(outcome.curves[name])
        if axis == "player" and length != players:
            raise ValueError(f"the curve '{name}' has {length} numbers for {players} players")
