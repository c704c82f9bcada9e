"""Carries unlearning methods out on causal language models, one coalition at a time.

A method's rules work as they do on other models: a point is a token that the loss counts, its outputs are the logits of
the vocabulary. Methods compare with the full model's logits on the validation set. These are not stored: what enters
the full model's output layer is stored instead, and the logits are computed from it when a step needs them. For GPT2-XL
that takes a thirtieth of the memory and gives the same numbers.
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
from dvbench.training.contract import OutputFunction
from dvbench.training.language_model import LanguageModel
from dvbench.training.memory import LOGITS_UNLEARNING
from dvbench.training.tensor_model import seeded
from dvbench.training.text_batches import TextBatch, features, logits, output_layer, passes
from dvbench.training.text_training import adamw
from dvbench.unlearning.contract import Minibatch, Parameters, Rule, UnlearningMethod
from dvbench.unlearning.engine import Observer, mean_gradient, require_a_rule, require_convergence
from dvbench.unlearning.minibatches import Minibatches

RANK, SCALE = 8, 16  # of low-rank adapters: their product is multiplied by SCALE / RANK


class LanguageModelUnlearner:
    """Unlearns coalitions of texts from one trained language model; see `dvbench.unlearning.engine.Unlearner`.

    Outputs are log-probabilities of tokens, of shape (models, length, texts).

    Parameters
    ----------
    model : LanguageModel
        Trained on all players. It is not changed.
    x, y : torch.Tensor
        The players' texts (n, length) and the positions from which their tokens count (n, 1).
    x_validation, y_validation : torch.Tensor
        The same of the validation set.
    method : UnlearningMethod

    Attributes
    ----------
    outputs_full : torch.Tensor of shape (length, n_validation)
        The full model's log-probabilities on the validation set.
    at_once : int
        Coalitions that are unlearned together: one.
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
        self.at_once = 1
        self.count = 0
        self.outputs_full = model.all_outputs(x_validation)[0]
        self._features, self._begins = self._features_full()

    @torch.no_grad()
    def _features_full(self) -> tuple[torch.Tensor, torch.Tensor]:
        """What enters the full model's output layer on the validation set, and the row where each text begins in it."""
        entering, counts = [], []
        network = self.model.network.eval()
        for _, batch in passes(network, self.x_validation, self.y_validation):
            with self.model.autocast():
                entering.append(features(network, batch))
            counts.append(batch.counts.sum(dim=1).cpu())
        return torch.cat(entering), F.pad(torch.cat(counts).cumsum(0), (1, 0))

    def outputs_without(
        self,
        coalitions: Sequence[np.ndarray],
        seed: int,
        points: torch.Tensor | None = None,
        observer: Observer | None = None,
    ) -> Iterator[tuple[np.ndarray, torch.Tensor]]:
        """Log-probabilities of models after unlearning one coalition each; see `dvbench.unlearning.engine.Unlearner`.

        Yields
        ------
        numbers : numpy.ndarray of int, shape (1,)
            Which coalition.
        log_probabilities : torch.Tensor of shape (1, length, n_validation), or (1, length, m)
        """
        texts = self.x_validation if points is None else points
        for number, model in self.models_without(coalitions, seed, observer):
            known = points is None and len(coalitions[number]) == 0
            yield np.array([number]), self.outputs_full.unsqueeze(0) if known else model.all_outputs(texts)

    def models_without(
        self, coalitions: Sequence[np.ndarray], seed: int, observer: Observer | None = None
    ) -> Iterator[tuple[int, LanguageModel]]:
        """Models that have unlearned one coalition each, with its number; the full model where it is empty.

        Raises
        ------
        FloatingPointError
            If unlearning diverged.
        """
        for number, coalition in enumerate(coalitions):
            if len(coalition) == 0:
                yield number, self.model
                continue
            model = self._unlearn(coalition, seed, None if observer is None else partial(observer, np.array([number])))
            require_convergence(self.method, model.finite(), [len(coalition)], "texts")
            yield number, model

    def unlearn(self, coalitions: Sequence[np.ndarray], seed: int) -> LanguageModel:
        """The model that has unlearned the one coalition given."""
        (coalition,) = coalitions
        return self._unlearn(coalition, seed)

    def _unlearn(
        self, coalition: np.ndarray, seed: int, observer: Callable[[int, OutputFunction], None] | None = None
    ) -> LanguageModel:
        method = self.method
        minibatches = Minibatches(method.steps, method.batch_size, len(self.x), len(self.x_validation), seed)
        model = LanguageModel(
            _trainable_copy(self.model.network, method.parameters, seed),
            seed,
            method.weight_decay,
            self.model.precision,
        )
        network = model.network.train()
        optimiser = adamw(network, method.lr, method.weight_decay)
        drawn = ((forget[:, 0], validation) for forget, validation in minibatches.pieces([coalition]))
        for step, (forget, validation) in enumerate(pair for piece in drawn for pair in zip(*piece, strict=True)):
            if observer is not None:
                observer(step, model.all_outputs)
                network.train()  # computing outputs leaves it in evaluation mode, where it keeps all activations
            forget_rule, validation_rule = method.rules(step)
            require_a_rule(method, step, forget_rule, validation_rule)
            if forget_rule is not None:
                self._accumulate_forget(network, forget_rule, forget, seed, step)
            if validation_rule is not None:
                self._accumulate_validation(network, validation_rule, validation)
            if method.anchor:
                self._accumulate_anchor(network)
            optimiser.step()
            optimiser.zero_grad(set_to_none=True)
        if observer is not None:
            observer(method.steps, model.all_outputs)
        network.eval()
        self.count += 1
        return model

    def _accumulate_forget(self, network: nn.Module, rule: Rule, rows: torch.Tensor, seed: int, step: int) -> None:
        """Add the gradient of a rule on texts of the forget set."""
        generator = torch_generator(integer_seed(seed, "labels", step))

        def full(batch: TextBatch, _: slice) -> torch.Tensor:
            return logits(self.model.network, batch)

        def labels(y: torch.Tensor) -> torch.Tensor:
            return self.method.labels(y, generator)

        self._accumulate(network, rule, self.x[rows], self.y[rows], full, labels)

    def _accumulate_validation(self, network: nn.Module, rule: Rule, rows: torch.Tensor) -> None:
        """Add the gradient of a rule on texts of the validation set."""

        def full(_: TextBatch, part: slice) -> torch.Tensor:
            entering = [self._features[self._begins[row] : self._begins[row + 1]] for row in rows[part].tolist()]
            outputs: torch.Tensor = output_layer(self.model.network)(torch.cat(entering))
            return outputs

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
        """Add the gradient of a rule on a minibatch, averaged over its tokens, to the parameters' gradients."""
        parts = list(passes(network, x, y, LOGITS_UNLEARNING))
        total = sum(int(batch.counts.sum()) for _, batch in parts)
        for part, batch in parts:
            self._accumulate_pass(network, rule, batch, partial(full, batch, part), labels, total, len(x))

    def _accumulate_pass(
        self,
        network: nn.Module,
        rule: Rule,
        batch: TextBatch,
        full: Callable[[], torch.Tensor],
        labels: Callable[[torch.Tensor], torch.Tensor],
        tokens: int,
        texts: int,
    ) -> None:
        """Add the gradient on some texts of a minibatch of so many tokens and texts; one pass frees its activations."""
        with self.model.autocast():
            outputs = logits(network, batch)

        @torch.no_grad()
        def reference() -> torch.Tensor:
            with self.model.autocast():
                return full().to(outputs).T.unsqueeze(0)

        one_hot = labels(F.one_hot(batch.targets, outputs.shape[1]).to(outputs))
        minibatch = Minibatch(one_hot.T.unsqueeze(0), reference, batch.counts.nonzero()[:, 0], tokens / texts)
        gradient = mean_gradient(rule, minibatch)(outputs.detach().T.unsqueeze(0))
        torch.autograd.backward(outputs, gradient[0].T * (len(one_hot) / max(1, tokens)))

    def _accumulate_anchor(self, network: nn.Module) -> None:
        """Add the gradient of the weighted squared distance from the full model's parameters."""
        weight = self.method.anchor
        if self.method.parameters == "lora":
            torch.autograd.backward(weight * _adapters_squared(network))
            return
        if self.method.parameters == "head":
            pairs = zip(output_layer(network).parameters(), output_layer(self.model.network).parameters(), strict=True)
        else:
            pairs = zip(network.parameters(), self.model.network.parameters(), strict=True)
        with torch.no_grad():
            for parameter, origin in pairs:
                gradient = 2 * weight * (parameter - origin)
                parameter.grad = gradient if parameter.grad is None else parameter.grad.add_(gradient)


def _trainable_copy(network: nn.Module, parameters: Parameters, seed: int) -> nn.Module:
    """Copy of a network in which only the parameters that unlearning moves require gradients."""
    copied = copy.deepcopy(network)
    copied.requires_grad_(parameters == "all")
    if parameters == "head":
        # The output layer often shares its weights with the embedding, which must not move.
        head = copy.deepcopy(output_layer(copied))
        copied.set_output_embeddings(head.requires_grad_(True))  # type: ignore[operator]
    if parameters == "lora":
        from peft import LoraConfig, inject_adapter_in_model

        layers = _inner_layers(copied)
        transposed = any(not isinstance(layer, nn.Linear) for layer in layers.values())
        config = LoraConfig(r=RANK, lora_alpha=SCALE, target_modules=list(layers), fan_in_fan_out=transposed)
        copied = seeded(lambda: inject_adapter_in_model(config, copied), seed)
    return copied


def _inner_layers(network: nn.Module) -> dict[str, nn.Module]:
    """The linear layers below the output layer, by name; GPT-2's store their weights transposed."""
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
