"""Reads a causal language model and its tokenizer from a folder, without executing code from the folder."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from dvbench.errors import UserError, one_line
from dvbench.settings import Precision
from dvbench.training.language_model import LanguageModel
from dvbench.training.memory import require_room
from dvbench.training.tensor_model import seeded
from dvbench.training.text_batches import TextBatch, logits

# A tokenizer must have this fraction of the model's vocabulary. Many models round the size of theirs up.
MIN_VOCABULARY_FRACTION = 0.9


@dataclass(frozen=True)
class Pretrained:
    """A pretrained language model with its tokenizer.

    Parameters
    ----------
    model : LanguageModel
        The model in the folder.
    untrained : LanguageModel
        A model of the same architecture with random weights.
    tokenizer : object
        A tokenizer of transformers.
    length : int
        Number of tokens that texts are cropped to.
    """

    model: LanguageModel
    untrained: LanguageModel
    tokenizer: Any
    length: int

    def tokenise(self, texts: Iterable[str]) -> tuple[torch.Tensor, torch.Tensor]:
        """Convert texts to token numbers.

        Parameters
        ----------
        texts : iterable of str
            A text without any token is left out.

        Returns
        -------
        x : torch.Tensor of int32, shape (n, length)
            Each row starts with the token that marks the beginning of a text. Padding is -1.
        y : torch.Tensor of shape (n, 1)
            Position of the first token of each text that counts in the loss: 1.

        Raises
        ------
        UserError
            If no text has a token.
        """
        begin, end = self.tokenizer.bos_token_id, self.tokenizer.eos_token_id
        start = end if begin is None else begin
        options = {"add_special_tokens": False, "truncation": True, "max_length": self.length - 1}
        rows = [torch.tensor([start, *self.tokenizer(text, **options)["input_ids"]]) for text in texts]
        rows = [row for row in rows if len(row) > 1]
        if not rows:
            raise UserError("the tokenizer finds no token in any of these texts; check that it belongs to the model")
        x = torch.full(
            (len(rows), self.length), -1, dtype=torch.int32
        )  # of one length, so that equal texts of two files are equal rows
        for row, tokens in zip(x, rows, strict=True):
            row[: len(tokens)] = tokens
        return x, torch.ones(len(x), 1)


def load_pretrained(
    folder: Path, length: int, seed: int, weight_decay: float, precision: Precision, device: str
) -> Pretrained:
    """Read a pretrained model from a folder.

    Parameters
    ----------
    folder : Path
        Contains ``config.json``, weights in safetensors files and a tokenizer, as ``save_pretrained`` of transformers
        writes them.
    length : int
        Number of tokens that texts are cropped to. It is reduced if the model has fewer positions.
    seed : int
        Seed of the weights of the untrained model, and of the order of minibatches.
    weight_decay : float
        Weight decay of AdamW.
    precision : {"float32", "bfloat16"}
        Precision of matrix products.
    device : str
        Device for both models.

    Returns
    -------
    Pretrained

    Raises
    ------
    UserError
        If the folder contains no model, reading it would execute code, the tokenizer belongs to another model, or the
        memory is too small.
    """
    for pattern, content in (("config.json", "model"), ("*.safetensors", "weights in safetensors files")):
        if not any(folder.glob(pattern)):
            raise UserError(
                f"{folder} contains no {content} ({pattern}); save the model there with save_pretrained of transformers"
            )
    with _quiet_transformers():
        return _load(folder, length, seed, weight_decay, precision, device)


def _load(folder: Path, length: int, seed: int, weight_decay: float, precision: Precision, device: str) -> Pretrained:
    from transformers import AutoConfig, AutoModelForCausalLM

    options: dict[str, Any] = {"local_files_only": True, "trust_remote_code": False}
    tokenizer = _load_tokenizer(folder, options)
    try:
        config = AutoConfig.from_pretrained(folder, **options)
        with torch.device("meta"):
            meta_network = AutoModelForCausalLM.from_config(config, trust_remote_code=False)
        _check_vocabularies(folder, len(tokenizer), config.vocab_size)
        length = min(length, getattr(config, "max_position_embeddings", None) or length)
        require_room(f"the model in {folder}", meta_network, (length,), config.vocab_size, device)
        trained = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, use_safetensors=True, **options)
        random = seeded(lambda: AutoModelForCausalLM.from_config(config, trust_remote_code=False), seed)
    except UserError:
        raise
    except Exception as error:  # transformers raises many kinds of errors for a wrong folder
        raise UserError(f"cannot read the model in {folder}: {one_line(error)}") from error
    model, untrained = (LanguageModel(network, seed, weight_decay, precision) for network in (trained, random))
    _check_outputs(folder, model.network, config.vocab_size)
    return Pretrained(model.to(device), untrained.to(device), tokenizer, length)


def _load_tokenizer(folder: Path, options: dict[str, Any]) -> Any:
    from transformers import AutoTokenizer

    try:
        tokenizer = AutoTokenizer.from_pretrained(folder, **options)
    except Exception as error:  # tokenizers raise many kinds of errors
        raise UserError(
            f"cannot read a tokenizer in {folder}: {one_line(error)}; save the model's own there with save_pretrained"
        ) from error
    if tokenizer.bos_token_id is None and tokenizer.eos_token_id is None:
        raise UserError(
            f"the tokenizer in {folder} has no token for the beginning or the end of a text: set its bos_token"
        )
    return tokenizer


@contextmanager
def _quiet_transformers() -> Iterator[None]:
    """Switch off progress bars and warnings of transformers: errors are reported in one line by this module."""
    from transformers.utils import logging

    bars, verbosity = logging.is_progress_bar_enabled(), logging.get_verbosity()
    logging.disable_progress_bar()
    logging.set_verbosity_error()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
        if bars:
            logging.enable_progress_bar()


def _check_vocabularies(folder: Path, tokenizer: int, model: int) -> None:
    if not MIN_VOCABULARY_FRACTION * model <= tokenizer <= model:
        raise UserError(
            f"the tokenizer in {folder} has {tokenizer:,} tokens and the model {model:,}: they do not belong together; "
            "save the tokenizer of the model there"
        )


def _check_outputs(folder: Path, network: torch.nn.Module, vocabulary: int) -> None:
    """Raise a `UserError` if a model changes the logits after its output layer, or has randomness in training mode."""
    tokens = torch.arange(4).remainder(vocabulary).unsqueeze(0)
    batch = TextBatch(tokens, torch.ones(1, 3, dtype=torch.bool))
    with torch.no_grad():
        expected = network.eval()(input_ids=tokens).logits[0, :-1]
        evaluated = logits(network.eval(), batch)
        trained, repeated = logits(network.train(), batch), logits(network.train(), batch)
    if not torch.allclose(evaluated, expected.float(), rtol=1e-3, atol=1e-4):
        raise UserError(
            f"the model in {folder} scales or limits the logits of its output layer, which is not supported"
        )
    if not torch.allclose(trained, repeated):
        raise UserError(
            f"the model in {folder} has randomness in training mode; set every dropout in its config.json to 0"
        )
