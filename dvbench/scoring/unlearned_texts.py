"""The language models by which an unlearning method is judged: the full, the unlearned and the retrained ones.

They are compared at tokens: all tokens of the test set that count, and some thousands of each corpus. Logits of all
tokens would not fit in memory, so the input of each model's output layer is kept, with that layer, and the logits are
computed when they are used.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from functools import cached_property
from typing import NamedTuple, cast

import numpy as np
import torch
from torch import nn

from dvbench.problems.perplexity import mean_log_loss
from dvbench.problems.problem import Split
from dvbench.randomness import generator
from dvbench.scoring.outputs import ComparedPoints, UnlearningOutputs
from dvbench.scoring.unlearning_experiment import UnlearningExperiment, mean_losses, measured_steps
from dvbench.training.contract import OutputFunction
from dvbench.training.language_model import LanguageModel
from dvbench.training.text_batches import lengths, output_layer, text_batch
from dvbench.unlearning.contract import UnlearningMethod
from dvbench.unlearning.language_model_engine import LanguageModelUnlearner

COMPARED = 4096  # tokens of each corpus at which models are compared
MONITORED = 1024  # tokens of each corpus, and four times as many of the test set, whose losses are measured


class TextUnlearningExperiment(UnlearningExperiment):
    """The experiment for language models, whose players are corpora; see `UnlearningExperiment`."""

    @property
    def _untrained(self) -> LanguageModel:
        return cast(LanguageModel, self._retraining.model)

    @cached_property
    def full(self) -> LanguageModel:
        """The model trained on all players, whose losses are measured at the start of every epoch."""
        train, model, monitor = self._retraining.train, self._untrained.clone(), self._monitor
        return model.fit(
            train.x,
            train.y,
            **self._fit_settings,
            on_epoch=lambda: monitor.training_losses(model),
            callback_data=[monitor.texts.x, monitor.texts.y],
        )

    def unlearner(self, method: UnlearningMethod) -> LanguageModelUnlearner:
        """The engine that unlearns coalitions of texts from the full model."""
        return cast(LanguageModelUnlearner, super().unlearner(method))

    def outputs(self, method: UnlearningMethod) -> UnlearningOutputs:
        """Outputs at the tokens at which models are compared; see `UnlearningExperiment.outputs`."""
        unlearned: list[TokenLogits] = []
        steps, measured = measured_steps(method.steps), dict[tuple[int, int], list[float]]()

        def measure(numbers: np.ndarray, step: int, outputs: OutputFunction) -> None:
            if step in steps:
                (player,) = numbers
                measured[step, player] = self._monitor.unlearning_losses(player, outputs)

        for _, model in self.unlearner(method).models_without(self._coalitions, self._seed("valuation"), measure):
            unlearned.append(self._token_logits(model))
        references = self._references
        return UnlearningOutputs(
            full=references.full,
            untrained=references.untrained,
            unlearned=unlearned,
            retrained=references.retrained,
            training=self._training_losses,
            unlearning=mean_losses(measured, steps, len(unlearned)),
            points=self._tokens[1],
        )

    @cached_property
    def _references(self) -> _References:
        """Outputs of the models that unlearned models are compared with."""
        train = self._retraining.train
        retrained = self._untrained.fit_many(train.x, train.y, self._complements, **self._fit_settings)
        return _References(
            full=[self._token_logits(self.full)],
            untrained=[self._token_logits(self._untrained)],
            retrained=[self._token_logits(model) for _, model in retrained],
        )

    @cached_property
    def _tokens(self) -> tuple[Split, ComparedPoints]:
        """Texts, and the tokens of them at which models are compared."""
        parts = [*self._sampled_texts(COMPARED), self.problem.test]
        texts = _joined(parts)
        owners_of_texts = np.repeat([*range(len(parts) - 1), -1], [len(part) for part in parts])
        batch = text_batch(texts.x, texts.y)
        return texts, ComparedPoints(batch.targets, np.repeat(owners_of_texts, batch.sizes))

    def _sampled_texts(self, tokens: int) -> list[Split]:
        """Whole texts of each player, in random order, until they have at least this number of tokens."""
        train, rng = self.problem.train, generator(self.problem.dataset, self.problem.seed, "watched")
        parts = []
        for rows in self._coalitions:
            shuffled = torch.from_numpy(rng.permutation(rows))
            enough = int((lengths(train.x[shuffled]).cumsum(0) < tokens).sum()) + 1
            parts.append(Split(train.x[shuffled[:enough]], train.y[shuffled[:enough]]))
        return parts

    @torch.no_grad()
    def _token_logits(self, model: LanguageModel) -> TokenLogits:
        texts = self._tokens[0]
        inputs, _ = model.features(texts.x, texts.y)
        layer = copy.deepcopy(output_layer(model.network))
        return TokenLogits(inputs.float().cpu(), layer.float().cpu())

    @cached_property
    def _monitor(self) -> _TextMonitor:
        return _TextMonitor(self._sampled_texts(MONITORED), self.problem.test)

    @cached_property
    def _training_losses(self) -> dict[str, list[float]]:
        end = self._monitor.training_losses(self.full)
        train, test = zip(*self.full.epoch_results, end, strict=True)
        return {"train": list(train), "test": list(test)}


class TokenLogits:
    """Logits of one model at tokens, computed when they are indexed; see `dvbench.scoring.outputs.Outputs`.

    Parameters
    ----------
    inputs : torch.Tensor of shape (tokens, width)
        Inputs of the model's output layer.
    layer : torch.nn.Module
        That layer.
    """

    def __init__(self, inputs: torch.Tensor, layer: nn.Module) -> None:
        self._inputs = inputs
        self._layer = layer

    @torch.no_grad()
    def __getitem__(self, part: tuple[slice, torch.Tensor]) -> torch.Tensor:
        """Logits (vocabulary, k) of the tokens that ``part[1]`` selects."""
        logits: torch.Tensor = self._layer(self._inputs[part[1]])
        return logits.T


class _References(NamedTuple):
    """Outputs of the full model, of the untrained one, and of those trained on all players but one."""

    full: list[TokenLogits]
    untrained: list[TokenLogits]
    retrained: list[TokenLogits]


class _TextMonitor:
    """Measures losses on some texts of each player and of the test set, while models are trained and unlearn.

    Parameters
    ----------
    players : list of Split
        Texts of each player.
    test : Split
        The test set, of which the first texts are used.
    """

    def __init__(self, players: list[Split], test: Split) -> None:
        enough = int((lengths(test.x).cumsum(0) < 4 * MONITORED).sum()) + 1
        self._parts = [*players, Split(test.x[:enough], test.y[:enough])]
        self.texts = _joined(self._parts)

    def _by_part(self, outputs: torch.Tensor) -> list[tuple[torch.Tensor, torch.Tensor]]:
        """Targets, and the outputs (length, n) of one model, of every part."""
        sizes = [len(part) for part in self._parts]
        return list(zip(torch.split(self.texts.y, sizes), torch.split(outputs.T, sizes), strict=True))

    def training_losses(self, model: LanguageModel) -> list[float]:
        """Mean loss on all players together, and on the test set."""
        *players, test = self._by_part(model.all_outputs(self.texts.x)[0])
        return [_loss(players), _loss([test])]

    def unlearning_losses(self, player: int, outputs: OutputFunction) -> list[float]:
        """Mean loss on a player, on all other players together, and on the test set."""
        *players, test = self._by_part(outputs(self.texts.x)[0])
        return [_loss([players.pop(player)]), _loss(players), _loss([test])]


def _loss(parts: list[tuple[torch.Tensor, torch.Tensor]]) -> float:
    y, outputs = (torch.cat(tensors) for tensors in zip(*parts, strict=True))
    return mean_log_loss(y, outputs)


def _joined(parts: Sequence[Split]) -> Split:
    return Split(torch.cat([part.x for part in parts]), torch.cat([part.y for part in parts]))
