"""Carries unlearning methods out on causal language models, one coalition at a time.

A method's rules work as they do on other models: a point is a token that the loss counts, its outputs are the logits of
the vocabulary. Methods compare with the full model's logits on the validation set. These are not stored: what enters
the full model's output layer is stored instead, and the logits are computed from it when a step needs them. For GPT2-XL
that takes a thirtieth of the memory and gives the same numbers.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Sequence
from functools import cache, partial
from typing import Any

import numpy as np
import torch
from torch import nn

from dvbench.randomness import integer_seed, torch_generator
from dvbench.training.contract import OutputFunction
from dvbench.training.language_model import LanguageModel
from dvbench.training.memory import LOGITS_UNLEARNING
from dvbench.training.output_chunks import ChunkGradient, chunked_loss, logits_of
from dvbench.training.pass_size import PassSize
from dvbench.training.recompute import recomputation
from dvbench.training.tensor_model import seeded
from dvbench.training.text_batches import TextBatch, features, output_layer, text_batch
from dvbench.training.text_training import adamw, training_bytes
from dvbench.unlearning.contract import Minibatch, Parameters, Rule, UnlearningMethod
from dvbench.unlearning.engine import Observer, mean_gradient, require_a_rule, require_convergence
from dvbench.unlearning.minibatches import Minibatches
from dvbench.unlearning.text_anchor import adapters_distance, add_distance

_MinibatchOf = Callable[[torch.Tensor, slice], Minibatch]

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
        config: Any = model.network.config
        self._vocabulary: int = config.vocab_size
        self.outputs_full = model.all_outputs(x_validation)[0]
        self._features, sizes = model.features(x_validation, y_validation)
        self._begins = [0, *np.cumsum(sizes).tolist()]  # the row where each text of the validation set begins in it

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
        coming = training_bytes(network, model.precision)
        size = PassSize(network, logits=LOGITS_UNLEARNING, coming=coming)
        optimiser = adamw(network, method.lr, method.weight_decay)
        reset = partial(optimiser.zero_grad, set_to_none=True)
        anchor = self._anchor(network)
        drawn = ((forget[:, 0], validation) for forget, validation in minibatches.pieces([coalition]))
        for step, (forget, validation) in enumerate(pair for piece in drawn for pair in zip(*piece, strict=True)):
            if observer is not None:
                observer(step, model.all_outputs)
                network.train()  # computing outputs leaves it in evaluation mode, where it keeps all activations
            with recomputation(network, size.recompute):
                size.attempt(partial(self._accumulate_step, network, size, (forget, validation), seed, step), reset)
            if anchor is not None:
                anchor()
            optimiser.step()
            reset()
        if observer is not None:
            observer(method.steps, model.all_outputs)
        network.eval()
        self.count += 1
        return model

    def _accumulate_step(
        self, network: nn.Module, size: PassSize, rows: tuple[torch.Tensor, torch.Tensor], seed: int, step: int
    ) -> None:
        """Compute the gradient of one step; ``rows`` are those of the forget set and of the validation set."""
        forget_rule, validation_rule = self.method.rules(step)
        require_a_rule(self.method, step, forget_rule, validation_rule)
        if forget_rule is not None:
            self._accumulate_forget(network, size, forget_rule, rows[0], seed, step)
        if validation_rule is not None:
            self._accumulate_validation(network, size, validation_rule, rows[1])

    def _accumulate_forget(
        self, network: nn.Module, size: PassSize, rule: Rule, rows: torch.Tensor, seed: int, step: int
    ) -> None:
        """Add the gradient of a rule on texts of the forget set."""
        generator = torch_generator(integer_seed(seed, "labels", step))
        batch = text_batch(self.x[rows], self.y[rows])
        labels = self.method.token_labels(batch.targets, self._vocabulary, generator)

        def entering_full(part: slice) -> torch.Tensor:
            return features(self.model.network, batch.part(part))

        self._accumulate(network, size, rule, batch, labels, entering_full)

    def _accumulate_validation(self, network: nn.Module, size: PassSize, rule: Rule, rows: torch.Tensor) -> None:
        """Add the gradient of a rule on texts of the validation set."""
        batch = text_batch(self.x_validation[rows], self.y_validation[rows])

        def entering_full(part: slice) -> torch.Tensor:
            return torch.cat([self._features[self._begins[row] : self._begins[row + 1]] for row in rows[part].tolist()])

        self._accumulate(network, size, rule, batch, batch.targets, entering_full)

    def _accumulate(
        self,
        network: nn.Module,
        size: PassSize,
        rule: Rule,
        batch: TextBatch,
        labels: torch.Tensor,
        entering_full: Callable[[slice], torch.Tensor],
    ) -> None:
        """Add the gradient of a rule on a minibatch, averaged over its tokens, to the parameters' gradients."""
        n, width = batch.tokens.shape
        ends, texts, chunk_texts = np.cumsum([0, *batch.sizes]).tolist(), size.texts(n, width), size.chunk_texts(width)
        for start in range(0, n, texts):
            rows = slice(start, min(start + texts, n))
            part, labels_of_part = batch.part(rows), labels[ends[rows.start] : ends[rows.stop]]
            minibatches = self._minibatches_of(part, labels_of_part, ends[-1] / n, cache(partial(entering_full, rows)))

            def gradient(logits: torch.Tensor, chunk: slice, of: _MinibatchOf = minibatches) -> ChunkGradient:
                columns = logits.T.unsqueeze(0)
                return 0.0, mean_gradient(rule, of(columns, chunk), ends[-1])(columns)[0].T

            with self.model.autocast():
                entering = features(network, part)
                loss = chunked_loss(output_layer(network), entering, part.chunks(chunk_texts), gradient)
            loss.backward()

    def _minibatches_of(
        self, batch: TextBatch, labels: torch.Tensor, tokens_per_text: float, entering_full: Callable[[], torch.Tensor]
    ) -> _MinibatchOf:
        """What rules get of each chunk of a pass."""
        owners = torch.arange(len(batch.sizes)).repeat_interleave(torch.tensor(batch.sizes))
        labels = labels.to(self.model.device, non_blocking=True)

        def of_chunk(logits: torch.Tensor, chunk: slice) -> Minibatch:
            @torch.no_grad()
            def full() -> torch.Tensor:
                with self.model.autocast():
                    outputs = logits_of(output_layer(self.model.network), entering_full()[chunk])
                return outputs.to(logits).T.unsqueeze(0)

            texts = owners[chunk] - owners[chunk][0]
            return Minibatch(labels[chunk].unsqueeze(0), full, texts, tokens_per_text)

        return of_chunk

    def _anchor(self, network: nn.Module) -> Callable[[], None] | None:
        """Return what adds the gradient of the weighted squared distance from the full model's parameters, if any."""
        weight, full = self.method.anchor, self.model.network
        if not weight:
            return None
        if self.method.parameters == "lora":
            return partial(adapters_distance(network), weight)
        if self.method.parameters == "head":
            network, full = output_layer(network), output_layer(full)
        origins = [each.detach() for each in full.parameters()]
        return partial(add_distance, list(network.parameters()), origins, weight)


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
