"""Carries unlearning methods out on causal language models, one coalition at a time.

A method's rules work as they do on other models: a point is a token that counts, its outputs are the vocabulary. The
full model stays at hand, so that of its outputs on the validation set only what enters the output layer is kept: for
GPT2-XL a thirtieth of the logits, and just as exact.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from dvbench.randomness import integer_seed, torch_generator
from dvbench.training.language_model import LanguageModel
from dvbench.training.memory import LOGITS_UNLEARNING
from dvbench.training.tensor_model import seeded
from dvbench.training.tensors import as_indices
from dvbench.training.text_batches import TextBatch, features, logits, output_layer, passes
from dvbench.training.text_training import adamw
from dvbench.unlearning.contract import Minibatch, Parameters, Rule, UnlearningMethod
from dvbench.unlearning.stacked_engine import Logits, mean_gradient

RANK, SCALE = 8, 16  # of low-rank adapters, and what their product is multiplied by (divided by the rank)


class LanguageModelUnlearner:
    """Unlearns coalitions of texts from one trained language model; see `dvbench.unlearning.stacked_engine.StackedUnlearner`.

    What it calls logits are log-probabilities of tokens, of shape (models, length, texts).

    Parameters
    ----------
    model : LanguageModel
        Trained on all players. It is not changed.
    x, y : torch.Tensor
        The players' texts (n, length) and where their loss begins (n, 1).
    x_validation, y_validation : torch.Tensor
        The same of the validation set.
    method : UnlearningMethod

    Attributes
    ----------
    logits_full : torch.Tensor of shape (length, n_validation)
        What the full model says of the validation set.
    most : int
        Coalitions unlearned at once: one.
    count : int
        Coalitions unlearned so far.
    """

    def __init__(
        self,
        model: LanguageModel,
        x: torch.Tensor,
        y: torch.Tensor,
        x_validation: torch.Tensor,
        y_validation: torch.Tensor,
        method: UnlearningMethod,
    ) -> None:
        self.model = model
        self.x, self.y, self.x_validation, self.y_validation = x, y, x_validation, y_validation
        self.method = method
        self.most = 1
        self.count = 0
        self.logits_full = model.all_logits(x_validation)[0]
        self._features, self._begins = self._features_full()

    @torch.no_grad()
    def _features_full(self) -> tuple[torch.Tensor, torch.Tensor]:
        """What enters the full model's output layer on the validation set, and where each text's begins."""
        found, counts = [], []
        network = self.model.network.eval()
        for _, batch in passes(network, self.x_validation, self.y_validation):
            with self.model.autocast():
                found.append(features(network, batch))
            counts.append(batch.counts.sum(dim=1).cpu())
        return torch.cat(found), F.pad(torch.cat(counts).cumsum(0), (1, 0))

    def logits_without(
        self,
        coalitions: Sequence[np.ndarray],
        seed: int,
        points: torch.Tensor | None = None,
        watch: Callable[[np.ndarray, int, Logits], None] | None = None,
    ) -> Iterator[tuple[np.ndarray, torch.Tensor]]:
        """What models say that have unlearned a coalition each; see `dvbench.unlearning.stacked_engine.StackedUnlearner`.

        Yields
        ------
        numbers : numpy.ndarray of int, shape (1,)
        logits : torch.Tensor of shape (1, length, n_validation), or (1, length, m)
        """
        for number, model in self.models_without(coalitions, seed, watch):
            seen = self.x_validation if points is None else points
            nobody = points is None and len(coalitions[number]) == 0
            yield np.array([number]), self.logits_full.unsqueeze(0) if nobody else model.all_logits(seen)

    def models_without(
        self,
        coalitions: Sequence[np.ndarray],
        seed: int,
        watch: Callable[[np.ndarray, int, Logits], None] | None = None,
    ) -> Iterator[tuple[int, LanguageModel]]:
        """Models that have unlearned a coalition each, with its number; the full one where it is empty.

        Raises
        ------
        FloatingPointError
            If unlearning diverged.
        """
        for number, coalition in enumerate(coalitions):
            if len(coalition) == 0:
                yield number, self.model
                continue
            model = self._unlearn(coalition, seed, None if watch is None else partial(watch, np.array([number])))
            if not bool(model.finite()):
                raise FloatingPointError(
                    f"unlearning diverged for a coalition of {len(coalition)} texts at learning rate "
                    f"{self.method.lr:g}: lower it, or take fewer steps than {self.method.steps}"
                )
            yield number, model

    def unlearn(self, coalitions: Sequence[np.ndarray], seed: int) -> LanguageModel:
        """The model that has unlearned the one coalition given."""
        (coalition,) = coalitions
        return self._unlearn(coalition, seed)

    def _unlearn(
        self, coalition: np.ndarray, seed: int, watch: Callable[[int, Logits], None] | None = None
    ) -> LanguageModel:
        method, members = self.method, as_indices(coalition, len(self.x))
        model = LanguageModel(
            _moving(self.model.network, method.parameters, seed), seed, method.weight_decay, self.model.precision
        )
        network = model.network.train()
        optimiser = adamw(network, method.lr, method.weight_decay)
        draws = torch.rand(method.steps, 2, method.batch_size, generator=torch_generator(seed))
        for step in range(method.steps):
            if watch is not None:
                watch(step, model.all_logits)
                network.train()  # as predicting left it, it would keep all activations
            forgetting, keeping = method.rules(step)
            if forgetting is None and keeping is None:
                raise ValueError(f"{type(method).__name__} looks at neither minibatch at step {step}")
            if forgetting is not None:
                self._forget(network, forgetting, members[(draws[step, 0] * len(members)).long()], seed, step)
            if keeping is not None:
                self._keep(network, keeping, (draws[step, 1] * len(self.x_validation)).long())
            if method.anchor:
                self._anchor(network)
            optimiser.step()
            optimiser.zero_grad(set_to_none=True)
        if watch is not None:
            watch(method.steps, model.all_logits)
        network.eval()
        self.count += 1
        return model

    def _forget(self, network: nn.Module, rule: Rule, rows: torch.Tensor, seed: int, step: int) -> None:
        generator = torch_generator(integer_seed(seed, "labels", step))

        def full(batch: TextBatch, _: slice) -> torch.Tensor:
            return logits(self.model.network, batch)

        def labels(y: torch.Tensor) -> torch.Tensor:
            return self.method.labels(y, generator)

        self._accumulate(network, rule, self.x[rows], self.y[rows], full, labels)

    def _keep(self, network: nn.Module, rule: Rule, rows: torch.Tensor) -> None:
        def full(_: TextBatch, part: slice) -> torch.Tensor:
            kept = [self._features[self._begins[row] : self._begins[row + 1]] for row in rows[part].tolist()]
            return output_layer(self.model.network)(torch.cat(kept))

        self._accumulate(network, rule, self.x_validation[rows], self.y_validation[rows], full, lambda y: y)

    def _accumulate(
        self,
        network: nn.Module,
        rule: Rule,
        x: torch.Tensor,
        y: torch.Tensor,
        full: Callable[[TextBatch, slice], torch.Tensor],
        labels: Callable[[torch.Tensor], torch.Tensor],
    ) -> None:
        """Add a rule's gradient on a minibatch, the mean over its tokens, to the parameters'."""
        parts = list(passes(network, x, y, LOGITS_UNLEARNING))
        total = sum(int(batch.counts.sum()) for _, batch in parts)
        for part, batch in parts:
            self._accumulate_pass(network, rule, batch, partial(full, batch, part), labels, total)

    def _accumulate_pass(
        self,
        network: nn.Module,
        rule: Rule,
        batch: TextBatch,
        full: Callable[[], torch.Tensor],
        labels: Callable[[torch.Tensor], torch.Tensor],
        total: int,
    ) -> None:
        """The same in one pass, whose share of all tokens it weighs; what it makes is gone before the next one."""
        with self.model.autocast():
            found = logits(network, batch)

        @torch.no_grad()
        def reference() -> torch.Tensor:
            with self.model.autocast():
                return full().to(found).T.unsqueeze(0)

        hot = labels(F.one_hot(batch.targets, found.shape[1]).to(found))
        slope = mean_gradient(rule, Minibatch(hot.T.unsqueeze(0), reference))(found.detach().T.unsqueeze(0))
        found.backward(slope[0].T * (len(hot) / max(1, total)))

    def _anchor(self, network: nn.Module) -> None:
        """Add the gradient of the weighted squared distance from the full model's parameters."""
        weight = self.method.anchor
        if self.method.parameters == "lora":
            (weight * _adapters_squared(network)).backward()
            return
        if self.method.parameters == "head":
            pairs = zip(output_layer(network).parameters(), output_layer(self.model.network).parameters(), strict=True)
        else:
            pairs = zip(network.parameters(), self.model.network.parameters(), strict=True)
        with torch.no_grad():
            for parameter, origin in pairs:
                pull = 2 * weight * (parameter - origin)
                parameter.grad = pull if parameter.grad is None else parameter.grad.add_(pull)


def _moving(network: nn.Module, parameters: Parameters, seed: int) -> nn.Module:
    """Copy of a network of which only those parameters require gradients that unlearning moves."""
    copied = copy.deepcopy(network)
    copied.requires_grad_(parameters == "all")
    if parameters == "head":
        # It often shares its weights with the embedding, which is to stay.
        own = copy.deepcopy(output_layer(copied))
        copied.set_output_embeddings(own.requires_grad_(True))  # type: ignore[operator]
    if parameters == "lora":
        from peft import LoraConfig, inject_adapter_in_model

        layers = _inner_layers(copied)
        transposed = any(not isinstance(layer, nn.Linear) for layer in layers.values())
        config = LoraConfig(r=RANK, lora_alpha=SCALE, target_modules=list(layers), fan_in_fan_out=transposed)
        copied = seeded(lambda: inject_adapter_in_model(config, copied), seed)
    return copied


def _inner_layers(network: nn.Module) -> dict[str, nn.Module]:
    """The linear layers below the output layer, by name; GPT-2's keep their weights transposed."""
    from transformers.pytorch_utils import Conv1D

    last = output_layer(network)
    return {
        name: module
        for name, module in network.named_modules()
        if isinstance(module, nn.Linear | Conv1D) and module is not last
    }


def _adapters_squared(network: nn.Module) -> torch.Tensor:
    """Squared norm of what low-rank adapters add to the weights: ``|s B A|^2 = s^2 tr(B^T B A A^T)``."""
    total = torch.zeros(())
    adapted: list[Any] = [module for module in network.modules() if hasattr(module, "lora_A")]
    for layer in adapted:
        for name, down in layer.lora_A.items():
            a, b = down.weight, layer.lora_B[name].weight
            total = total.to(a) + layer.scaling[name] ** 2 * ((b.T @ b) * (a @ a.T)).sum()
    return total
