"""Measures the parts of a corpus' value, once for each seed.

How far the corpus is unlearned follows a rule, because the learning rate of unlearning decides what its part is. The
corpus counts as forgotten when its mean log loss reaches that of texts of its kind which the model was not trained on:

- given texts of that kind, their loss;
- without them, the loss that the corpus itself would have if it had not been trained on. A model that is trained on one
  half of the corpus has a higher loss on the other half; this difference is added to the loss of the given model.
"""

from __future__ import annotations

import dataclasses
import itertools
import math
import time
from collections.abc import Callable, Sequence

import numpy as np
import torch

from dvbench.errors import UserError
from dvbench.execution.corpus_estimates import (
    STRONGER,
    WEAKER,
    CorpusValue,
    NoValueError,
    SeedLosses,
    require_learned,
    require_possible,
)
from dvbench.execution.forgetting import forget, log_loss, piece_losses
from dvbench.randomness import generator
from dvbench.settings import Training
from dvbench.training.language_model import LanguageModel
from dvbench.training.pretrained import Pretrained, Tokens
from dvbench.unlearning.contract import UnlearningMethod

Say = Callable[[str], None]
NOISE = 2.0  # standard errors by which a difference of log losses is above chance


class CorpusParts:
    """Computes the parts of one corpus' value.

    Parameters
    ----------
    loaded : Pretrained
    tokens : dict
        ``target`` and ``test`` texts, and possibly ``held-out`` ones.
    training : Training
        How a model is trained on the corpus alone.
    method : UnlearningMethod
        Its rate is the first that is tried.
    forgotten_at : float, optional
        Mean log loss of the corpus at which it counts as forgotten.
    say : callable
    """

    def __init__(
        self,
        loaded: Pretrained,
        tokens: dict[str, Tokens],
        training: Training,
        method: UnlearningMethod,
        forgotten_at: float | None,
        say: Say,
    ) -> None:
        self.loaded, self.training, self.say = loaded, training, say
        self.method, self.forgotten_at = method, forgotten_at
        self.target, self.test, self.held_out = tokens["target"], tokens["test"], tokens.get("held-out")
        self.train_seconds = self.unlearn_seconds = 0.0

    def value(self, seeds: Sequence[int]) -> CorpusValue:
        """The parts for every seed, up to the first that is refused.

        Raises
        ------
        UserError
            Before the first seed, if the model has learned nothing or there is nothing to forget.
        """
        untrained = log_loss(self.loaded.untrained(seeds[0]).all_outputs, self.test.x)
        full = log_loss(self.loaded.model.all_outputs, self.test.x)
        require_learned(full, untrained, "the model has learned nothing that helps with the test texts")
        known, level, rule = self._level(seeds[0])
        self.say(f"the target is forgotten at a log loss of {level:.3f}, from {known:.3f}: {rule}")
        runs: list[SeedLosses] = []
        refused = None
        try:
            for number, seed in enumerate(seeds, start=1):
                self.say(f"seed {seed}, {number} of {len(seeds)}")
                runs.append(self._run(seed, level - known))
                require_possible(runs[-1])
        except (NoValueError, FloatingPointError) as error:
            refused = str(error)
        return CorpusValue(tuple(runs), level, rule, refused, self.train_seconds, self.unlearn_seconds)

    def _run(self, seed: int, gain: float) -> SeedLosses:
        started = time.perf_counter()
        forgetting = forget(self.loaded.model, self.target, self.test, self.method, gain, seed, self.say)
        self.method = dataclasses.replace(self.method, lr=forgetting.rate)  # the first rate of the next seed
        self.unlearn_seconds += time.perf_counter() - started
        model = self.loaded.untrained(seed)
        untrained, before = (log_loss(model.all_outputs, part.x) for part in (self.test, self.target))
        self._train(model, self.target.x, "the target alone")
        after = log_loss(model.all_outputs, self.target.x)
        require_learned(after, before, "training on the target alone taught nothing; raise --lr or --epochs", "target")
        unlearned, weaker, stronger = map(forgetting.test_loss, (1.0, WEAKER, STRONGER))
        alone = log_loss(model.all_outputs, self.test.x)
        return SeedLosses(seed, forgetting.test[0], unlearned, alone, untrained, weaker, stronger, forgetting)

    def _train(self, model: LanguageModel, x: torch.Tensor, name: str) -> None:
        training, epochs = self.training, itertools.count(1)

        def on_epoch() -> None:
            self.say(f"training on {name}: epoch {next(epochs)} of {training.epochs}")

        targets = torch.ones(len(x), 1)
        model.fit(x, targets, **training.fit, on_epoch=on_epoch)
        self.train_seconds += model.seconds

    def _level(self, seed: int) -> tuple[float, float, str]:
        """The log loss of the target, that at which it counts as forgotten, and the rule that gives it."""
        losses, tokens = piece_losses(self.loaded.model.all_outputs, self.target.x)
        known = float(losses @ tokens / tokens.sum())
        if self.forgotten_at is not None:
            if not known < self.forgotten_at < math.inf:
                raise UserError(
                    f"--forgotten-at {self.forgotten_at:g} is no log loss above that of the target now, {known:.3f}"
                )
            return known, self.forgotten_at, "set by --forgotten-at"
        if self.held_out is None:
            gain = self._gain_of_halves(seed)
            return known, known + gain, f"{gain:.3f} is what a half is harder for models trained on the other half"
        others, counts = piece_losses(self.loaded.model.all_outputs, self.held_out.x)
        level = float(others @ counts / counts.sum())
        error = math.hypot(_standard_error(losses), _standard_error(others))
        if not level - known > NOISE * error:
            raise NoValueError(
                f"there is nothing to forget: the model knows the target (log loss {known:.3f}) no better than the "
                f"held-out texts ({level:.3f}), up to chance; check that it was trained on the target"
            )
        return known, level, "that of the held-out texts"

    def _gain_of_halves(self, seed: int) -> float:
        """How much lower the log loss of texts of the target is if a model is trained on them than on the others."""
        x, n = self.target.x, len(self.target.x)
        if n < 2:
            raise UserError("the target has one piece only; give --held-out texts of its kind, or --forgotten-at")
        half = generator("halves of a corpus", seed).permutation(n) < n // 2
        inside, outside = np.empty(n), np.empty(n)
        for name, rows in (("one half of the target", half), ("the other half", ~half)):
            model = self.loaded.untrained(seed)
            self._train(model, x[torch.from_numpy(rows)], name)
            losses, tokens = piece_losses(model.all_outputs, x)
            inside[rows], outside[~rows] = losses[rows], losses[~rows]
        gain = float((outside - inside) @ tokens / tokens.sum())
        if not gain > NOISE * _standard_error(outside - inside):
            raise NoValueError(
                "models that are trained on one half of the target know that half no better than the other, so nothing "
                "shows what forgetting it would be; raise --epochs or --lr, or give --held-out texts or --forgotten-at"
            )
        return gain


def _standard_error(losses: np.ndarray) -> float:
    return float(np.std(losses, ddof=1) / math.sqrt(len(losses))) if len(losses) > 1 else 0.0
