"""What the engines that carry unlearning out have in common: their interface and the gradient of a rule.

Engines are made by `dvbench.unlearning.factory.make_unlearner`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Protocol

import numpy as np
import torch

from dvbench.training.contract import Models, OutputFunction
from dvbench.training.stacks import LogitGradient
from dvbench.unlearning.contract import Minibatch, Rule, UnlearningMethod

Observer = Callable[[np.ndarray, int, OutputFunction], None]
"""Called with numbers of coalitions, the steps taken, and a function from points to outputs of their models."""


class Unlearner(Protocol):
    """Unlearns coalitions of points or texts from one trained model.

    Attributes
    ----------
    outputs_full : torch.Tensor of shape (outputs, n_validation)
        The full model's outputs on the validation set: logits, predicted targets of regression, or log-probabilities of
        tokens.
    at_once : int
        Coalitions that are unlearned together.
    count : int
        Coalitions unlearned so far.
    """

    outputs_full: torch.Tensor
    at_once: int
    count: int

    def outputs_without(
        self,
        coalitions: Sequence[np.ndarray],
        seed: int,
        points: torch.Tensor | None = None,
        observer: Observer | None = None,
    ) -> Iterator[tuple[np.ndarray, torch.Tensor]]:
        """Unlearn every coalition from the full model, and yield the outputs of the resulting models.

        Parameters
        ----------
        coalitions : sequence of numpy.ndarray of int
            Numbers of points to forget; their order does not matter. For an empty coalition the full model's outputs
            are returned.
        seed : int
            Seed of the minibatches. It is the same for all coalitions, so that differences between two models come from
            the difference between their coalitions; see `dvbench.unlearning.minibatches`.
        points : torch.Tensor of shape (m, ...), optional
            Points on which outputs are computed; by default the validation set.
        observer : callable, optional
            Called before every step and after the last with the numbers of the k coalitions that are being unlearned,
            the number of steps taken, and a function from points (m, ...) to their models' outputs (k, outputs, m).

        Yields
        ------
        numbers : numpy.ndarray of int, shape (k,)
            Which coalitions.
        outputs : torch.Tensor of shape (k, outputs, n_validation), or (k, outputs, m)

        Raises
        ------
        FloatingPointError
            If unlearning diverged: a parameter or an output is NaN or infinite.
        """

    def unlearn(self, coalitions: Sequence[np.ndarray], seed: int) -> Models:
        """Models that have unlearned one coalition each, none of them empty; at most ``at_once`` coalitions."""


def mean_gradient(rule: Rule, batch: Minibatch, points: int | None = None) -> LogitGradient:
    """A rule's gradient of the mean over a minibatch.

    Parameters
    ----------
    rule : callable
    batch : Minibatch
    points : int, optional
        Number of points of the whole minibatch, if ``batch`` is a part of it.

    Raises
    ------
    ValueError
        When called, if the rule does not return a tensor of the shape of its logits.
    """

    def gradient_of_mean(logits: torch.Tensor) -> torch.Tensor:
        with torch.enable_grad():  # stacks call this without gradients, and a rule may use autograd
            gradient = rule(logits, batch)
        if not isinstance(gradient, torch.Tensor) or gradient.shape != logits.shape:
            shape = list(gradient.shape) if isinstance(gradient, torch.Tensor) else type(gradient).__name__
            raise ValueError(
                f"a rule must return a tensor of the shape {list(logits.shape)} of its logits, not {shape}"
            )
        return gradient.detach().div_(points or logits.shape[2])

    return gradient_of_mean


def require_a_rule(method: UnlearningMethod, step: int, forget: Rule | None, validation: Rule | None) -> None:
    """Raise a `ValueError` if a method uses neither minibatch at a step."""
    if forget is None and validation is None:
        raise ValueError(f"{type(method).__name__} uses neither minibatch at step {step}")


def require_convergence(
    method: UnlearningMethod, finite: torch.Tensor, sizes: Sequence[int], members: str = "players"
) -> None:
    """Raise a `FloatingPointError` if unlearning diverged.

    Parameters
    ----------
    method : UnlearningMethod
    finite : torch.Tensor of bool, shape (k,)
        Which models are finite.
    sizes : sequence of int
        Number of points in each of the k coalitions.
    members : str
        What coalitions consist of, for the message.
    """
    diverged = [size for size, is_finite in zip(sizes, finite.tolist(), strict=True) if not is_finite]
    if diverged:
        raise FloatingPointError(
            f"unlearning diverged for {len(diverged)} of {len(sizes)} coalitions (the first has {diverged[0]} "
            f"{members}) at learning rate {method.lr:g}: lower it, or take fewer steps than {method.steps}"
        )
