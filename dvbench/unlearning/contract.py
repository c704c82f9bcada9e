"""The contract of unlearning methods: the direction, the size and the number of optimiser steps.

A method is a frozen dataclass derived from `UnlearningMethod`, in a file of ``dvbench/unlearning_methods`` that has its
name. It defines `UnlearningMethod.rules`: for every step, the gradient of its objective with respect to the model's
outputs on a minibatch of the forget set, and on one of the validation set. `ascend` and `descend` are the usual rules.

Logits and what a rule returns have shape (copies, outputs, points). In memory the outputs of a token, which are the
words of a vocabulary, follow each other, and those of other points need not; functions of `dvbench.training.losses`
work on both without a copy.

The engines average the gradients of a minibatch over its points, of texts over tokens. A method whose unit is a text
uses `Minibatch.sums_of_texts` and multiplies its gradients by `Minibatch.tokens_per_text`, which makes the average one
over texts.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch

from dvbench.number_checks import number, whole_number
from dvbench.training.losses import residuals

Parameters = Literal["all", "head", "lora"]


class Minibatch:
    """Points of one step, from the forget set or from the validation set. Of texts, the points are tokens.

    Parameters
    ----------
    y : torch.Tensor of shape (copies or 1, outputs, points), or int64 of shape (1, points)
        Targets; of texts the numbers of the tokens.
    full : callable
        Computes the full model's logits; called only if a method uses them.
    texts : torch.Tensor of int64, shape (points,), optional
        The text of each token, numbered from 0, on the CPU.
    tokens_per_text : float
        Mean over all texts of the step, of which a minibatch may be a part; 1 if the points are no tokens.
    """

    def __init__(
        self,
        y: torch.Tensor,
        full: Callable[[], torch.Tensor],
        texts: torch.Tensor | None = None,
        tokens_per_text: float = 1.0,
    ) -> None:
        self.y = y
        self.tokens_per_text = tokens_per_text
        self._full = full
        self._texts = texts

    @property
    def full(self) -> torch.Tensor:
        """The full model's logits, of the shape of the logits that a rule gets; the first dimension may be 1."""
        return self._full()

    def sums_of_texts(self, values: torch.Tensor) -> torch.Tensor:
        """For every token, the sum of values over the tokens of its text; for other points, the values themselves.

        Parameters
        ----------
        values : torch.Tensor of shape (copies, points)

        Returns
        -------
        torch.Tensor of shape (copies, points)
        """
        if self._texts is None or not len(self._texts):
            return values
        texts = self._texts.to(values.device)
        sums = values.new_zeros(len(values), int(self._texts.max()) + 1)
        return sums.index_add(1, texts, values)[:, texts]


Rule = Callable[[torch.Tensor, Minibatch], torch.Tensor]


@dataclass(frozen=True)
class UnlearningMethod(ABC):
    """Base class of unlearning methods: AdamW on minibatches of the forget set and of the validation set.

    A subclass defines by its `rules` what each step minimises. Many forget sets are unlearned together, by stacked
    copies of the model, so rules work on the logits of all copies.

    Parameters
    ----------
    steps, batch_size : int
        Number of optimiser steps, and number of points of the forget set and of the validation set in each step.
    lr, weight_decay : float
        AdamW's learning rate and weight decay. The learning rate decides how strongly a forget set is unlearned, so
        each method of dvbench has a default of its own, see ``docs/unlearning-rates.md``.
    parameters : {"all", "head", "lora"}
        Which parameters change: all, or those of the last linear layer, also if they do not require gradients. For
        language models also "lora": low-rank adapters of all other linear layers.
    """

    steps: int = 100
    batch_size: int = 32
    lr: float = 2e-5
    weight_decay: float = 0.01
    parameters: Parameters = "all"

    def __post_init__(self) -> None:
        if self.parameters not in ("all", "head", "lora"):
            raise ValueError(f"parameters is 'all', 'head' or 'lora', not {self.parameters!r}")
        for name in ("steps", "batch_size"):
            whole_number(name, getattr(self, name))
        number("lr", self.lr, above=0)
        if number("weight_decay", self.weight_decay) < 0:
            raise ValueError(f"weight_decay is at least 0, not {self.weight_decay!r}")

    @property
    def anchor(self) -> float:
        """Weight of the squared distance to the full model's parameters."""
        return 0.0

    @abstractmethod
    def rules(self, step: int) -> tuple[Rule | None, Rule | None]:
        """Return the rules of one step.

        Parameters
        ----------
        step : int
            Number of the step, from 0.

        Returns
        -------
        forget, validation : callable or None
            Functions of logits (copies, outputs, points) and a `Minibatch`, of the forget set and of the validation
            set. Each returns a new tensor: the gradient of every point's loss with respect to its logits. One of them
            may be None: then the step does not use that minibatch.
        """

    def labels(self, y: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        """Targets with which forget sets are unlearned, (n, outputs) like ``y``; by default the true ones."""
        return y

    def token_labels(self, tokens: torch.Tensor, vocabulary: int, generator: torch.Generator) -> torch.Tensor:
        """Tokens with which forget sets of texts are unlearned; by default the true ones.

        Parameters
        ----------
        tokens : torch.Tensor of int64, shape (n,)
            Their numbers, from 0 to ``vocabulary`` - 1, on the CPU.
        vocabulary : int
        generator : torch.Generator

        Returns
        -------
        torch.Tensor of int64, shape (n,)

        Raises
        ------
        ValueError
            If a method has other `labels` of points, and does not say what they are of tokens.
        """
        if type(self).labels is not UnlearningMethod.labels:
            raise ValueError(f"{type(self).__name__} has labels of points only: define token_labels, for texts")
        return tokens


def ascend(logits: torch.Tensor, batch: Minibatch) -> torch.Tensor:
    """Rule that leads away from the labels: gradient of the negative loss."""
    return residuals(logits, batch.y).neg_()


def descend(logits: torch.Tensor, batch: Minibatch) -> torch.Tensor:
    """Rule that leads towards the labels: gradient of the loss."""
    return residuals(logits, batch.y)


Method = UnlearningMethod
"""The name of `UnlearningMethod` in dvbench 0.1, which existing packages of methods may import."""
