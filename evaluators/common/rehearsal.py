"""Lets a library that asks for the utility of one coalition after another get them from models trained together."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, Self, TypeVar

import numpy as np
from opendataval.dataval import DataEvaluator, ModelMixin

from dvbench.errors import UserError
from dvbench.number_checks import whole_number
from dvbench.randomness import random_state as as_random_state
from evaluators.common.baseline import Baseline
from evaluators.common.coalitions import coalition_utilities, coalitions_of

Result = TypeVar("Result")
Compute = Callable[[Sequence[np.ndarray]], np.ndarray]


class Utilities:
    """Utilities of coalitions of n players; each coalition is computed once, however often it is asked for.

    Parameters
    ----------
    compute : callable
        Utilities of coalitions, which are arrays of ascending player numbers.
    n : int
        Number of players.

    Attributes
    ----------
    asked : int
        How many utilities were asked for since the last `rehearsed`, repetitions included.
    """

    def __init__(self, compute: Compute, n: int) -> None:
        self.n, self.asked = n, 0
        self._compute = compute
        self._known: dict[bytes, float] = {}
        self._noted: dict[bytes, np.ndarray] | None = None

    def __call__(self, inclusion: np.ndarray) -> np.ndarray:
        """Utilities of coalitions, bool of shape (k, n): an array of shape (k,). In a rehearsal all are 0."""
        rows = {row.tobytes(): row for row in inclusion}
        self.asked += len(inclusion)
        if self._noted is not None:
            self._noted |= rows
            return np.zeros(len(inclusion))
        self._learn({key: row for key, row in rows.items() if key not in self._known})
        return np.array([self._known[row.tobytes()] for row in inclusion])

    def of_players(self, players: Sequence[int] | np.ndarray) -> float:
        """Utility of one coalition of player numbers in any order."""
        inclusion = np.zeros((1, self.n), dtype=bool)
        inclusion[0, np.asarray(players, dtype=int)] = True
        return float(self(inclusion)[0])

    def rehearsed(self, run: Callable[[Utilities], Result]) -> Result:
        """Run code twice: it first only tells which coalitions it needs, which are then computed together.

        The code must draw the same random numbers in both runs. Coalitions that depend on utilities are computed when
        they are asked for.
        """
        self._noted = {}
        with suppress(Exception):  # an error that is not due to utilities of 0 is raised again
            run(self)
        noted, self._noted, self.asked = self._noted, None, 0
        self._learn({key: row for key, row in noted.items() if key not in self._known})
        return run(self)

    def _learn(self, rows: dict[bytes, np.ndarray]) -> None:
        if rows:
            utilities = self._compute(coalitions_of(np.stack([*rows.values()])))
            self._known |= dict(zip(rows, map(float, utilities), strict=True))


class SampledByLibrary(Baseline, DataEvaluator, ModelMixin):
    """Base of evaluators whose values a library computes from utilities.

    Parameters
    ----------
    utilities : int
        How many utilities the library may ask for. Each costs one fit, except of a coalition that it asks for again.
    random_state : int or RandomState, optional

    Attributes
    ----------
    diagnostics_ : dict
        ``utilities``, how many the library asked for.
    """

    takes_subsets = True  # models can be fitted to players that are subsets of points

    def __init__(self, utilities: int = 1000, random_state: int | np.random.RandomState | None = None) -> None:
        self.utilities = whole_number("utilities", utilities, least=2)
        self.random_state = as_random_state(random_state)

    def library_values(self, utilities: Utilities, seed: int) -> np.ndarray:
        """Values of the players, (n,); also sets ``standard_errors_`` if the library has them."""
        raise NotImplementedError

    def train_data_values(self, *args: Any, **kwargs: Any) -> Self:
        """Compute the values.

        Parameters
        ----------
        *args, **kwargs
            Arguments of the model's ``fit``.

        Raises
        ------
        UserError
            If the library has no value for a player.
        """
        self.__dict__.pop("data_values", None)  # OpenDataVal caches it; it belongs to earlier data
        seed = int(self.random_state.randint(2**31))
        known = Utilities(lambda coalitions: coalition_utilities(self, coalitions, *args, **kwargs), len(self.x_train))
        values = known.rehearsed(lambda utilities: self.library_values(utilities, seed))
        self.diagnostics_ = {"utilities": known.asked}
        if lacking := int((~np.isfinite(values)).sum()):
            raise UserError(
                f"{type(self).__name__} has no value for {lacking} of {known.n} players from {known.asked} utilities: "
                "raise utilities"
            )
        self.library_values_ = np.asarray(values, dtype=np.float64)
        return self

    def evaluate_data_values(self) -> np.ndarray:
        """Return the values.

        Returns
        -------
        numpy.ndarray of shape (n,)
        """
        return self.library_values_
