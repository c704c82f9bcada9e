"""Reads a causal language model and its tokenizer from a folder, without executing anything that is in it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from dvbench.errors import UserError
from dvbench.settings import Precision
from dvbench.training.language_model import LanguageModel
from dvbench.training.memory import require_room
from dvbench.training.tensor_model import seeded
from dvbench.training.text_batches import TextBatch, logits

KNOWN = 0.9  # share of a model's vocabulary that its tokenizer must have: models round theirs up


@dataclass(frozen=True)
class Pretrained:
    """A language model that somebody has trained.

    Parameters
    ----------
    model, untrained : LanguageModel
        As it is in the folder, and as it was before training: of the same shape, with new weights.
    tokenizer : object
        Of transformers.
    length : int
        Tokens that a text is cropped to.
    """

    model: LanguageModel
    untrained: LanguageModel
    tokenizer: Any
    length: int

    def tokenise(self, texts: Iterable[str]) -> tuple[torch.Tensor, torch.Tensor]:
        """Rows of tokens, int32 (n, length), each behind the token that begins a text; and where their loss begins."""
        begin, end = self.tokenizer.bos_token_id, self.tokenizer.eos_token_id
        start = end if begin is None else begin
        how = {"add_special_tokens": False, "truncation": True, "max_length": self.length - 1}
        rows = [torch.tensor([start, *self.tokenizer(text, **how)["input_ids"]]) for text in texts]
        rows = [row for row in rows if len(row) > 1]
        if not rows:
            raise UserError("the tokenizer makes no token of any of these texts: is it the model's own?")
        x = torch.full((len(rows), self.length), -1, dtype=torch.int32)  # equal texts are equal rows, of whatever file
        for row, tokens in zip(x, rows, strict=True):
            row[: len(tokens)] = tokens
        return x, torch.ones(len(x), 1)


def load_pretrained(
    folder: Path, length: int, seed: int, weight_decay: float, precision: Precision, device: str
) -> Pretrained:
    """Read a model.

    Parameters
    ----------
    folder : Path
        With ``config.json``, weights in safetensors, and a tokenizer, as transformers saves them.
    length : int
        Tokens that a text is cropped to; less if the model has fewer positions.
    seed : int
        Of the untrained model's weights, and of the order of minibatches.
    weight_decay : float
    precision : {"float32", "bfloat16"}
    device : str

    Returns
    -------
    Pretrained

    Raises
    ------
    UserError
        If there is no such model, it cannot be read without executing code, its tokenizer is another's, or it does not
        fit the memory.
    """
    for name, what in (("config.json", "a model"), ("*.safetensors", "weights as safetensors")):
        if not any(folder.glob(name)):
            raise UserError(f"{folder} does not hold {what} ({name}); save it there with transformers' save_pretrained")
    with _quiet():
        return _loaded(folder, length, seed, weight_decay, precision, device)


def _loaded(folder: Path, length: int, seed: int, weight_decay: float, precision: Precision, device: str) -> Pretrained:
    from transformers import AutoConfig, AutoModelForCausalLM

    safe: dict[str, Any] = {"local_files_only": True, "trust_remote_code": False}
    tokenizer = _tokenizer(folder, safe)
    try:
        config = AutoConfig.from_pretrained(folder, **safe)
        with torch.device("meta"):
            shapes = AutoModelForCausalLM.from_config(config, trust_remote_code=False)
        _check_vocabularies(folder, len(tokenizer), config.vocab_size)
        length = min(length, getattr(config, "max_position_embeddings", None) or length)
        require_room(f"the model in {folder}", shapes, (length,), config.vocab_size, device)
        network = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, use_safetensors=True, **safe)
        fresh = seeded(lambda: AutoModelForCausalLM.from_config(config, trust_remote_code=False), seed)
    except UserError:
        raise
    except Exception as error:  # whatever a folder that somebody else made brings about
        raise UserError(f"cannot read the model in {folder}: {_line(error)}") from error
    model, untrained = (LanguageModel(each, seed, weight_decay, precision) for each in (network, fresh))
    _check_outputs(folder, model.network, config.vocab_size)
    return Pretrained(model.to(device), untrained.to(device), tokenizer, length)


def _tokenizer(folder: Path, safe: dict[str, Any]) -> Any:
    from transformers import AutoTokenizer

    try:
        tokenizer = AutoTokenizer.from_pretrained(folder, **safe)
    except Exception as error:  # of many families
        raise UserError(
            f"cannot read a tokenizer in {folder}: {_line(error)}; save the model's own there with save_pretrained"
        ) from error
    if tokenizer.bos_token_id is None and tokenizer.eos_token_id is None:
        raise UserError(f"the tokenizer in {folder} has no token that begins or ends a text: set its bos_token")
    return tokenizer


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep transformers from progress bars and warnings: what is wrong is said in one line of ours."""
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
    if not KNOWN * model <= tokenizer <= model:
        raise UserError(
            f"the tokenizer in {folder} has {tokenizer:,} tokens and the model {model:,}: they do not belong together; "
            "put the model's own tokenizer there"
        )


def _check_outputs(folder: Path, network: torch.nn.Module, vocabulary: int) -> None:
    """Raise a `UserError` if a model changes what its output layer puts out, or is random while it trains."""
    tokens = torch.arange(4).remainder(vocabulary).unsqueeze(0)
    batch = TextBatch(tokens, torch.ones(1, 3, dtype=torch.bool))
    with torch.no_grad():
        expected = network.eval()(input_ids=tokens).logits[0, :-1]
        found = [logits(each, batch) for each in (network.eval(), network.train(), network.train())]
    if not torch.allclose(found[0], expected.float(), rtol=1e-3, atol=1e-4):
        raise UserError(f"the model in {folder} scales or caps the outputs of its last layer, which is not supported")
    if not torch.allclose(found[1], found[2]):
        raise UserError(f"the model in {folder} is random while it trains; set the dropouts in its config.json to 0")


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[:300] or type(error).__name__
