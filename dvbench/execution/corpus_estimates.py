"""What a corpus is worth to a model: the parts of the value, their means and intervals, and what is no value.

With the mean log loss of test texts, or its exponential, the perplexity, as the cost:

    value = 1/2 ( [unlearned - full] + [untrained - alone] )

The first part is what the model loses without the corpus, the second what the corpus teaches a model on its own.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from dvbench.errors import UserError
from dvbench.problems.perplexity import perplexity

FORMULA = "value = 1/2 ([unlearned - full] + [untrained - alone])"
UNITS: Mapping[str, Callable[[float], float]] = {"log_loss": float, "perplexity": perplexity}
LEARNED = 0.02  # part of an untrained model's log loss that a trained one is at least below it
CONFIDENCE = 0.95
WEAKER, STRONGER = 0.5, 1.5  # how much forgetting the range of values covers, beside 1


class NoValueError(UserError):
    """Numbers that are no value; the message says why in a line."""


@dataclass(frozen=True)
class Forgetting:
    """What a model lost while it unlearned a corpus with one rate.

    Parameters
    ----------
    rate : float
        Learning rate.
    level : float
        Mean log loss of the corpus at which it counts as forgotten.
    steps : tuple of int
        Steps after which the model was looked at, from 0.
    target, test : tuple of float
        Mean log losses of the corpus and of the test texts after these steps.
    """

    rate: float
    level: float
    steps: tuple[int, ...]
    target: tuple[float, ...]
    test: tuple[float, ...]

    @property
    def reach(self) -> float:
        """The most that was forgotten; 1 if the loss of the corpus rose to the level, 0 if it did not rise."""
        return (max(self.target) - self.target[0]) / (self.level - self.target[0])

    def test_loss(self, fraction: float) -> float:
        """Mean log loss of the test texts when so much was forgotten for the first time, at most `reach`."""
        wanted = self.target[0] + min(fraction, self.reach) * (self.level - self.target[0])
        after = self._first(wanted)
        if after == 0:
            return self.test[0]
        return float(np.interp(wanted, self.target[after - 1 : after + 1], self.test[after - 1 : after + 1]))

    @property
    def looks(self) -> int:
        """Number of the look at which the corpus was found to be forgotten."""
        return self._first(self.level)

    def _first(self, wanted: float) -> int:
        wanted = min(wanted, max(self.target))
        return next(k for k, loss in enumerate(self.target) if loss >= wanted)


@dataclass(frozen=True)
class SeedLosses:
    """Mean log losses of the test texts with one seed.

    Parameters
    ----------
    seed : int
    full, unlearned, alone, untrained : float
        Of the given model, of the same model after it has unlearned the corpus, of a model trained on the corpus alone,
        and of an untrained one.
    weaker, stronger : float
        Of the given model after it has unlearned the corpus half as far, and half as far again.
    forgetting : Forgetting
        How it unlearned the corpus.
    """

    seed: int
    full: float
    unlearned: float
    alone: float
    untrained: float
    weaker: float
    stronger: float
    forgetting: Forgetting

    def parts(self, unit: str, unlearned: float | None = None) -> tuple[float, float, float]:
        """The two parts, and half of their sum."""
        cost = UNITS[unit]
        lost = cost(self.unlearned if unlearned is None else unlearned) - cost(self.full)
        taught = cost(self.untrained) - cost(self.alone)
        return lost, taught, (lost + taught) / 2


@dataclass(frozen=True)
class Estimate:
    """A mean over seeds, and its interval (Student's t); None with one seed."""

    mean: float
    low: float | None
    high: float | None


@dataclass(frozen=True)
class CorpusValue:
    """The value of a corpus for a model.

    Parameters
    ----------
    runs : tuple of SeedLosses
        One for each seed.
    level : float
        Mean log loss of the corpus at which it counts as forgotten.
    rule : str
        Where that level comes from.
    refused : str, optional
        Why the numbers are no value.
    train_seconds, unlearn_seconds : float
        Time to train on the corpus alone and to unlearn it, all seeds together.
    peak_memory : int
        Bytes of GPU memory if the model is on a GPU, otherwise of this process.
    """

    runs: tuple[SeedLosses, ...]
    level: float
    rule: str
    refused: str | None = None
    train_seconds: float = 0.0
    unlearn_seconds: float = 0.0
    peak_memory: int = 0

    def estimates(self, unit: str) -> dict[str, Estimate]:
        """The parts and the value, in the unit ``"log_loss"`` (nats per token) or ``"perplexity"``."""
        parts = np.array([run.parts(unit) for run in self.runs])
        return {name: estimate(column) for name, column in zip(("unlearning", "alone", "value"), parts.T, strict=True)}

    def range_of_strengths(self, unit: str) -> tuple[float, float]:
        """Lowest and highest mean value, of those with weaker, the chosen and stronger unlearning."""
        means = [
            np.mean([run.parts(unit, getattr(run, strength))[2] for run in self.runs])
            for strength in ("weaker", "unlearned", "stronger")
        ]
        return float(min(means)), float(max(means))

    @property
    def reach(self) -> float:
        """How much was forgotten in the stronger case; 1 is the chosen strength."""
        return min(STRONGER, *(run.forgetting.reach for run in self.runs))

    def losses(self) -> dict[str, float]:
        """Mean log losses of the four models over seeds."""
        names = ("full", "unlearned", "alone", "untrained")
        return {name: float(np.mean([getattr(run, name) for run in self.runs])) for name in names}

    def as_json(self) -> dict[str, Any]:
        """Everything, for a file; ``value`` is None where it is refused or there is none."""
        content: dict[str, Any] = {"formula": FORMULA, "value": None, "refused": self.refused}
        if self.runs:
            content["parts"] = {
                unit: {name: dataclasses.asdict(part) for name, part in self.estimates(unit).items()} for unit in UNITS
            }
            values = {unit: parts.pop("value") for unit, parts in content["parts"].items()}
            for unit, value in values.items():
                low, high = self.range_of_strengths(unit)
                value |= {"weaker_or_stronger_unlearning": {"from": WEAKER, "to": self.reach, "low": low, "high": high}}
            content["value"] = None if self.refused else values
            content["losses"] = {
                name: {"log_loss": loss, "perplexity": perplexity(loss)} for name, loss in self.losses().items()
            }
        content["forgotten_at"] = {"log_loss": self.level, "rule": self.rule}
        content["runs"] = [dataclasses.asdict(run) for run in self.runs]
        names = ("train_seconds", "unlearn_seconds", "peak_memory")
        return content | {name: getattr(self, name) for name in names}


def estimate(values: Sequence[float] | np.ndarray) -> Estimate:
    """Mean and interval of a quantity that was measured with several seeds."""
    from scipy.stats import t

    mean = float(np.mean(values))
    if len(values) < 2:
        return Estimate(mean, None, None)
    half = float(t.ppf((1 + CONFIDENCE) / 2, len(values) - 1) * np.std(values, ddof=1) / math.sqrt(len(values)))
    return Estimate(mean, mean - half, mean + half)


def require_learned(loss: float, untrained: float, otherwise: str, texts: str = "test texts") -> None:
    """Refuse a model whose log loss on some texts is not clearly below that of an untrained one."""
    if not loss < (1 - LEARNED) * untrained:
        raise NoValueError(
            f"{otherwise}: the perplexity of the {texts} is {perplexity(loss):,.1f}, and {perplexity(untrained):,.1f} "
            "with random weights"
        )


def require_possible(run: SeedLosses) -> None:
    """Refuse numbers that are outside of what a value can be."""
    where = f"with seed {run.seed} "
    if run.unlearned >= run.untrained:
        raise NoValueError(
            f"{where}the model that has unlearned the target is worse than an untrained one: unlearning ruined it (log "
            f"loss {run.unlearned:.3f} against {run.untrained:.3f}); lower --unlearning-lr or --forgotten-at"
        )
    gain, value = run.untrained - run.full, run.parts("log_loss")[2]
    if abs(value) > gain:
        raise NoValueError(
            f"{where}the result is {value:.3f} nats per token, beyond the {gain:.3f} that the model has gained from "
            "all its training data; check that it was trained on the target, and lower --epochs if training on the "
            "target alone overfits"
        )
