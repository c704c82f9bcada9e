"""The language models by which unlearning corpora is judged: the full one, unlearned ones and retrained ones.

The points at which they are compared are tokens: all of the test set that count, and some thousands of each corpus. Of
what a model says of them, what enters its output layer is kept, and that layer; their product are the logits.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from functools import cached_property
from typing import Any, cast

import numpy as np
import torch
from torch import nn

from dvbench.problems.perplexity import mean_log_loss
from dvbench.problems.problem import Split
from dvbench.randomness import generator
from dvbench.scoring.contract import Points, UnlearningOutputs
from dvbench.scoring.retraining import Retraining
from dvbench.scoring.unlearned_models import WATCHED_STEPS, UnlearningExperiment
from dvbench.training.contract import OutputFunction
from dvbench.training.language_model import LanguageModel
from dvbench.training.text_batches import features, lengths, output_layer, passes
from dvbench.unlearning.contract import UnlearningMethod
from dvbench.unlearning.language_model_engine import LanguageModelUnlearner

KEPT = 4096  # tokens of each corpus at which models are compared
WATCHED = 1024  # tokens of each corpus, and four times as many of the test set, whose loss is followed


class TextUnlearningExperiment(UnlearningExperiment):
    """Unlearns every corpus of a problem from one language model, by any method, and retrains without each."""

    @property
    def _untrained(self) -> LanguageModel:
        return cast(LanguageModel, self._retraining.model)

    @property
    def _settings(self) -> dict[str, Any]:
        how = self._retraining.training
        return {"batch_size": how.batch_size, "epochs": how.epochs, "lr": how.lr}

    @cached_property
    def full(self) -> LanguageModel:
        """The model trained on all players."""
        return self.train()

    def train(self, on_epoch: Any = None) -> LanguageModel:
        """Train the full model, and note its losses at the start of every epoch."""
        train, model = self._retraining.train, self._untrained.clone()
        watched = self._watched
        return model.fit(
            train.x,
            train.y,
            **self._settings,
            on_epoch=lambda: watched.losses(model),
            looks_at=[watched.texts.x, watched.texts.y],
        )

    def unlearner(self, method: UnlearningMethod) -> LanguageModelUnlearner:
        """The engine that unlearns players' texts from the full model."""
        train, validation = self._retraining.train, self.problem.validation
        return LanguageModelUnlearner(self.full, train.x, train.y, validation.x, validation.y, method)

    def outputs(self, method: UnlearningMethod) -> UnlearningOutputs:
        """What all models say about the tokens at which they are compared; see `UnlearningExperiment.outputs`."""
        unlearned = list[_Kept]()
        seen: dict[tuple[int, int], list[float]] = {}
        marks = {round(method.steps * mark / WATCHED_STEPS) for mark in range(WATCHED_STEPS + 1)}

        def watch(numbers: np.ndarray, step: int, logits: OutputFunction) -> None:
            if step in marks:
                (player,) = numbers
                seen[step, player] = self._watched.apart(player, logits)

        for _, model in self.unlearner(method).models_without(self._coalitions, self._seed("valuation"), watch):
            unlearned.append(self._keep(model))
        means = np.array([[seen[step, player] for player in range(len(unlearned))] for step in sorted(marks)]).mean(1)
        names = ("forget", "retain", "test")
        return UnlearningOutputs(
            full=self._judges[0],
            untrained=self._judges[1],
            unlearned=TokenLogits(unlearned),
            retrained=self._judges[2],
            training=self._training_losses,
            unlearning={"step": sorted(map(float, marks)), **dict(zip(names, means.T.tolist(), strict=True))},
            points=self._tokens[1],
        )

    @cached_property
    def _judges(self) -> tuple[TokenLogits, TokenLogits, TokenLogits]:
        """The full model, the untrained one, and those retrained without a player each."""
        train = self._retraining.train
        others = [np.setdiff1d(np.arange(len(train)), points) for points in self._coalitions]
        retrained = self._untrained.fit_many(train.x, train.y, others, **self._settings)
        return (
            TokenLogits([self._keep(self.full)]),
            TokenLogits([self._keep(self._untrained)]),
            TokenLogits([self._keep(model) for _, model in retrained]),
        )

    @cached_property
    def _tokens(self) -> tuple[Split, Points]:
        """Texts, and the tokens of them that models are compared at."""
        parts = [*self._some(KEPT), self.problem.test]
        texts = _joined(parts)
        of_texts = np.repeat([*range(len(parts) - 1), -1], [len(part) for part in parts])
        network = self._untrained.network
        batches = [batch for _, batch in passes(network, texts.x, texts.y)]
        counts = torch.cat([batch.counts.sum(dim=1) for batch in batches]).cpu().numpy()
        return texts, Points(torch.cat([batch.targets for batch in batches]).cpu(), np.repeat(of_texts, counts))

    def _some(self, tokens: int) -> list[Split]:
        """Texts of each player, drawn until they have so many tokens."""
        train, rng = self.problem.train, generator(self.problem.dataset, self.problem.seed, "watched")
        parts = []
        for rows in self._coalitions:
            drawn = torch.from_numpy(rng.permutation(rows))
            enough = int((lengths(train.x[drawn]).cumsum(0) < tokens).sum()) + 1
            parts.append(Split(train.x[drawn[:enough]], train.y[drawn[:enough]]))
        return parts

    @torch.no_grad()
    def _keep(self, model: LanguageModel) -> _Kept:
        network, texts = model.network.eval(), self._tokens[0]
        with model.autocast():
            found = [features(network, batch).float().cpu() for _, batch in passes(network, texts.x, texts.y)]
        return _Kept(torch.cat(found), copy.deepcopy(output_layer(network)).float().cpu())

    @cached_property
    def _watched(self) -> _Watched:
        return _Watched(self._some(WATCHED), self.problem.test)

    @cached_property
    def _training_losses(self) -> dict[str, list[float]]:
        end = self._watched.losses(self.full)
        train, test = zip(*self.full.seen, end, strict=True)
        return {"train": list(train), "test": list(test)}


def make_unlearning_experiment(retraining: Retraining) -> UnlearningExperiment:
    """What unlearns a problem's players and retrains without them: points, or texts."""
    return (
        TextUnlearningExperiment(retraining)
        if retraining.problem.kind == "language"
        else UnlearningExperiment(retraining)
    )


class TokenLogits(Sequence["_Kept"]):
    """Logits of models at tokens, made when they are looked at; see `dvbench.scoring.contract.Outputs`."""

    def __init__(self, models: list[_Kept]) -> None:
        self._models = models

    def __len__(self) -> int:
        return len(self._models)

    def __getitem__(self, model: int) -> _Kept:  # type: ignore[override]
        return self._models[model]


class _Kept:
    """What enters a model's output layer at every token, and that layer."""

    def __init__(self, entering: torch.Tensor, layer: nn.Module) -> None:
        self._entering = entering
        self._layer = layer

    @torch.no_grad()
    def __getitem__(self, part: tuple[slice, torch.Tensor]) -> torch.Tensor:
        return self._layer(self._entering[part[1]]).T


class _Watched:
    """Texts whose loss is followed while models learn and unlearn."""

    def __init__(self, players: list[Split], test: Split) -> None:
        enough = int((lengths(test.x).cumsum(0) < 4 * WATCHED).sum()) + 1
        self._parts = [*players, Split(test.x[:enough], test.y[:enough])]
        self.texts = _joined(self._parts)

    def _each(self, said: torch.Tensor) -> list[tuple[torch.Tensor, torch.Tensor]]:
        """Where loss begins, and what a model says (length, n), of every part."""
        sizes = [len(part) for part in self._parts]
        return list(zip(self.texts.y.split(sizes), said.T.split(sizes), strict=True))

    def losses(self, model: LanguageModel) -> list[float]:
        """Mean loss on all players together, and on the test set."""
        *players, test = self._each(model.all_outputs(self.texts.x)[0])
        return [_loss(players), _loss([test])]

    def apart(self, player: int, logits: OutputFunction) -> list[float]:
        """Mean loss on a player, on all others, and on the test set."""
        *players, test = self._each(logits(self.texts.x)[0])
        return [_loss([players.pop(player)]), _loss(players), _loss([test])]


def _loss(parts: list[tuple[torch.Tensor, torch.Tensor]]) -> float:
    y, said = (torch.cat(each) for each in zip(*parts, strict=True))
    return mean_log_loss(y, said)


def _joined(parts: Sequence[Split]) -> Split:
    return Split(torch.cat([part.x for part in parts]), torch.cat([part.y for part in parts]))
