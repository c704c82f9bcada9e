"""Chooses how strongly a language model unlearns a corpus: until the corpus is to it like texts it was not trained on.

The learning rate of unlearning decides nearly everything, and no rate suits all models. So the strength is measured on
the corpus itself, by its mean log loss, and the rate is raised until that reaches the level of untrained-on texts.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np
import torch

from dvbench.execution.corpus_estimates import STRONGER, Forgetting, NoValueError
from dvbench.problems.perplexity import mean_log_loss
from dvbench.randomness import generator
from dvbench.training.contract import OutputFunction
from dvbench.training.language_model import LanguageModel
from dvbench.training.pretrained import Tokens
from dvbench.unlearning.contract import UnlearningMethod
from dvbench.unlearning.factory import make_unlearner

FACTOR = 3.0  # between two rates that are tried
HIGHEST_RATE, LOWEST_RATE = 0.1, 1e-9
LOOKS = 20  # how often a run is looked at
SAMPLE = 256  # pieces of the corpus whose loss is watched
COARSE = 3  # a run that forgets before so many looks is too fast to be measured


class _ForgottenError(Exception):
    """More was forgotten than is needed."""


def log_loss(outputs: OutputFunction, x: torch.Tensor) -> float:
    """Mean log loss of all tokens of texts, in nats."""
    return mean_log_loss(torch.ones(len(x), 1), outputs(x)[0].T)


def piece_losses(outputs: OutputFunction, x: torch.Tensor) -> tuple[np.ndarray, np.ndarray]:
    """Mean log loss of each piece, and its number of tokens: both of shape (n,)."""
    log_p = outputs(x)[0].T.double()
    predicted = log_p <= 0
    counts = predicted.sum(dim=1)
    losses = -torch.where(predicted, log_p, 0.0).sum(dim=1) / counts
    return losses.cpu().numpy(), counts.cpu().numpy()


def forget(
    model: LanguageModel,
    target: Tokens,
    test: Tokens,
    method: UnlearningMethod,
    gain: float,
    seed: int,
    say: Callable[[str], None],
) -> Forgetting:
    """Unlearn a corpus with rising rates, until its mean log loss has risen enough.

    Parameters
    ----------
    model : LanguageModel
        It is not changed.
    target, test : Tokens
    method : UnlearningMethod
        Its rate is the first that is tried.
    gain : float
        By how much the loss of the corpus is to rise.
    seed : int
        Seed of the minibatches.
    say : callable
        Called with a line for each rate.

    Returns
    -------
    Forgetting
        Of the lowest rate that was tried and is high enough.

    Raises
    ------
    NoValueError
        If no rate makes the model forget the corpus.
    """

    def at(rate: float) -> Forgetting:
        run = _run(model, target, test, dataclasses.replace(method, lr=rate), gain, seed)
        say(
            f"unlearning at the rate {rate:.2g}: the target's log loss rises from {run.target[0]:.3f} to "
            f"{max(run.target):.3f}"
        )
        return run

    run = at(method.lr)
    while run.reach < 1:
        if run.rate * FACTOR > HIGHEST_RATE:
            raise NoValueError(
                f"unlearning did not make the model forget the target: its log loss rose from {run.target[0]:.3f} to "
                f"{max(run.target):.3f} and not to {run.level:.3f}; raise --steps, or change more with --parameters all"
            )
        run = at(run.rate * FACTOR)
    while run.looks < COARSE and run.rate / FACTOR > LOWEST_RATE:
        slower = at(run.rate / FACTOR)
        if slower.reach < 1:
            break
        run = slower
    return run


def _run(
    model: LanguageModel, target: Tokens, test: Tokens, method: UnlearningMethod, gain: float, seed: int
) -> Forgetting:
    every = max(1, method.steps // LOOKS)
    rows = generator("watched texts").permutation(len(target.x))[:SAMPLE]
    watched = target.x[torch.from_numpy(np.sort(rows))]
    steps: list[int] = []
    losses: list[tuple[float, float]] = []

    def look(_: np.ndarray, step: int, outputs: OutputFunction) -> None:
        if step % every and step < method.steps:
            return
        steps.append(step)
        losses.append((log_loss(outputs, watched), log_loss(outputs, test.x)))
        if losses[-1][0] >= losses[0][0] + STRONGER * gain:
            raise _ForgottenError

    unlearner = make_unlearner(model, target.pair, test.pair, method)
    try:
        for _ in unlearner.outputs_without([np.arange(len(target.x))], seed, test.x[:1], look):
            pass
    except _ForgottenError:
        pass
    except FloatingPointError:  # what was seen before it diverged is kept
        if len(steps) < 2:
            raise
    of_target, of_test = zip(*losses, strict=True)
    return Forgetting(method.lr, of_target[0] + gain, tuple(steps), of_target, of_test)
