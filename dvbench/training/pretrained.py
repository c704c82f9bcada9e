"""Reads a causal language model and its tokenizer from a folder, without executing code from the folder."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from dvbench.errors import UserError, one_line
from dvbench.problems.quiet import quiet_transformers
from dvbench.settings import Precision
from dvbench.training.language_model import LanguageModel
from dvbench.training.memory import require_room
from dvbench.training.tensor_model import seeded
from dvbench.training.text_batches import TextBatch, features, output_layer

# A tokenizer must have this fraction of the model's vocabulary. Many models round the size of theirs up.
MIN_VOCABULARY_FRACTION = 0.9


DEFAULT_LENGTH = 768  # tokens of a piece of text, if the model takes so many


@dataclass(frozen=True)
class Tokens:
    """Texts as token numbers. A text that is longer than a model takes is cut into pieces of about equal length.

    Parameters
    ----------
    x : torch.Tensor of int32, shape (pieces, length)
        Each row starts with the token that marks the beginning of a text. Padding is -1.
    digests : tuple of bytes
        Hash of the tokens of each text that has one.
    tokens : int
        Number of their tokens, without the beginnings.
    """

    x: torch.Tensor
    digests: tuple[bytes, ...]
    tokens: int

    @property
    def pair(self) -> tuple[torch.Tensor, torch.Tensor]:
        """The rows, and for each the position of the first token that counts in the loss: 1."""
        return self.x, torch.ones(len(self.x), 1)

    @property
    def sizes(self) -> dict[str, int]:
        """Numbers of texts, pieces and tokens, and of tokens that are in a piece."""
        used = int((self.x >= 0).sum()) - len(self.x)
        return {"texts": len(self.digests), "pieces": len(self.x), "tokens": self.tokens, "tokens_used": used}

    def common(self, other: Tokens) -> int:
        """Number of texts of ``other`` that are texts of this too."""
        own = set(self.digests)
        return sum(digest in own for digest in other.digests)


@dataclass(frozen=True)
class Pretrained:
    """A pretrained language model with its tokenizer.

    Parameters
    ----------
    model : LanguageModel
        The model in the folder.
    untrained : callable
        Makes a model of the same architecture with random weights from a seed, which is also that of its minibatches.
    tokenizer : object
        A tokenizer of transformers.
    length : int
        Largest number of tokens of a piece of text.
    """

    model: LanguageModel
    untrained: Callable[[int], LanguageModel]
    tokenizer: Any
    length: int

    def tokenise(self, texts: Iterable[str]) -> Tokens:
        """Convert texts to token numbers, and cut long ones into pieces.

        Parameters
        ----------
        texts : iterable of str
            A text without any token is left out.

        Returns
        -------
        Tokens

        Raises
        ------
        UserError
            If no text has a token.
        """
        begin, end = self.tokenizer.bos_token_id, self.tokenizer.eos_token_id
        start = end if begin is None else begin
        with quiet_transformers():  # it warns of texts that are longer than the model takes
            encoded = [np.array(self.tokenizer(text, add_special_tokens=False)["input_ids"], int) for text in texts]
        encoded = [tokens for tokens in encoded if len(tokens)]
        if not encoded:
            raise UserError("the tokenizer finds no token in any of these texts; check that it belongs to the model")
        pieces = [
            piece for tokens in encoded for piece in np.array_split(tokens, math.ceil(len(tokens) / (self.length - 1)))
        ]
        x = np.full((len(pieces), self.length), -1, dtype=np.int32)
        x[:, 0] = start
        for row, piece in zip(x, pieces, strict=True):
            row[1 : len(piece) + 1] = piece
        digests = tuple(hashlib.sha256(tokens.tobytes()).digest() for tokens in encoded)
        return Tokens(torch.from_numpy(x), digests, sum(map(len, encoded)))


def load_pretrained(
    folder: Path, length: int | None, weight_decay: float, precision: Precision, device: str
) -> Pretrained:
    """Read a pretrained model from a folder.

    Parameters
    ----------
    folder : Path
        Contains ``config.json``, weights in safetensors files and a tokenizer, as ``save_pretrained`` of transformers
        writes them.
    length : int, optional
        Largest number of tokens of a piece of text. By default 768, or as many as the model takes if these are fewer.
    weight_decay : float
        Weight decay of AdamW.
    precision : {"float32", "bfloat16"}
        Precision of matrix products.
    device : str
        Device for the models.

    Returns
    -------
    Pretrained

    Raises
    ------
    UserError
        If the folder contains no model, reading it would execute code, the tokenizer belongs to another model, the
        model takes fewer tokens than ``length``, or the memory is too small.
    """
    for pattern, content in (("config.json", "model"), ("*.safetensors", "weights in safetensors files")):
        if not any(folder.glob(pattern)):
            raise UserError(
                f"{folder} contains no {content} ({pattern}); save the model there with save_pretrained of transformers"
            )
    with quiet_transformers():
        return _load(folder, length, weight_decay, precision, device)


def _load(folder: Path, length: int | None, weight_decay: float, precision: Precision, device: str) -> Pretrained:
    from transformers import AutoConfig, AutoModelForCausalLM

    options: dict[str, Any] = {"local_files_only": True, "trust_remote_code": False}
    tokenizer = _load_tokenizer(folder, options)
    try:
        config = AutoConfig.from_pretrained(folder, **options)
        with torch.device("meta"):
            meta_network = AutoModelForCausalLM.from_config(config, trust_remote_code=False)
        _check_vocabularies(folder, len(tokenizer), config.vocab_size)
        length = _checked_length(folder, length, getattr(config, "max_position_embeddings", None))
        require_room(f"the model in {folder}", meta_network, (length,), config.vocab_size, device)
        trained = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, use_safetensors=True, **options)
    except UserError:
        raise
    except Exception as error:  # transformers raises many kinds of errors for a wrong folder
        raise UserError(f"cannot read the model in {folder}: {one_line(error)}") from error
    model = LanguageModel(trained, 0, weight_decay, precision)
    _check_outputs(folder, model.network, config.vocab_size)

    def untrained(seed: int) -> LanguageModel:
        network = seeded(lambda: AutoModelForCausalLM.from_config(config, trust_remote_code=False), seed)
        model: LanguageModel = LanguageModel(network, seed, weight_decay, precision).to(device)
        return model

    return Pretrained(model.to(device), untrained, tokenizer, length)


def _checked_length(folder: Path, length: int | None, limit: int | None) -> int:
    if length is None:
        return min(DEFAULT_LENGTH, limit or DEFAULT_LENGTH)
    if limit is not None and length > limit:
        raise UserError(
            f"the model in {folder} takes at most {limit:,} tokens at a time: --length {length} is too long"
        )
    return length


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
        evaluated, trained, repeated = (
            output_layer(network)(features(network.train(training), batch)).float() for training in (False, True, True)
        )
    if not torch.allclose(evaluated, expected.float(), rtol=1e-3, atol=1e-4):
        raise UserError(
            f"the model in {folder} scales or limits the logits of its output layer, which is not supported"
        )
    if not torch.allclose(trained, repeated):
        raise UserError(
            f"the model in {folder} has randomness in training mode; set every dropout in its config.json to 0"
        )
