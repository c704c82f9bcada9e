"""Frozen encoders of texts: networks of transformers, whose features are the mean of the last hidden states."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

from dvbench.errors import UserError
from dvbench.problems.encoders import (
    TEXT_ENCODER,
    Compute,
    Encode,
    Encoder,
    checked,
    errors_of,
    filled,
    find_weights,
    kind_of,
    parts,
    read_config,
    sha256_of,
)
from dvbench.problems.hub import fetch_file

if TYPE_CHECKING:
    import torch

TOKENS = 256
BATCH = 16
PADDED_TOKENS = 32  # texts are padded to a multiple of this


def text_encoder(name: str, tokens: int = TOKENS) -> Encoder:
    """Find an encoder of texts.

    Features are the mean of the last hidden states over the tokens of a text, scaled to length 1, as
    sentence-transformers computes them.

    Parameters
    ----------
    name : str
        Such as ``"sentence-transformers/all-MiniLM-L6-v2"``.
    tokens : int
        Number of tokens of each text that are read, at most.

    Returns
    -------
    Encoder

    Raises
    ------
    UserError
        If it is not available, has no safetensors or tokenizer, or does not read texts of this length.
    """
    config_file, config = read_config(name)
    if not isinstance(config.get("model_type"), str):
        raise UserError(
            f"encoder '{name}' is no network of transformers, so it cannot encode texts{kind_of(config)}: use one such "
            f"as {TEXT_ENCODER}"
        )
    _check_tokens(name, tokens, config.get("max_position_embeddings"))
    weights, tokenizer = find_weights(name, config_file), fetch_file(name, "tokenizer.json")

    def load() -> Encode:
        with errors_of(name), _quiet():
            from tokenizers import Tokenizer
            from transformers import AutoModel

            network = AutoModel.from_pretrained(
                weights.parent, local_files_only=True, use_safetensors=True, trust_remote_code=False, dtype="float32"
            ).eval()
            encoding = Tokenizer.from_file(str(tokenizer))
            encoding.no_padding()
            encoding.enable_truncation(tokens)
        return lambda texts: _encode(texts, network, encoding, name)

    return Encoder(name, "texts", sha256_of([weights, config_file, tokenizer], tokens), load)


def _check_tokens(name: str, tokens: int, longest: object) -> None:
    most = longest if isinstance(longest, int) else 10**6
    if isinstance(tokens, bool) or not isinstance(tokens, int) or not 2 < tokens <= most:
        raise UserError(f"encoder '{name}' reads texts of 3 to {most:,} tokens, so encoder_tokens cannot be {tokens!r}")


def _encode(
    texts: Sequence[str], network: torch.nn.Module, tokenizer: Any, name: str
) -> Iterator[tuple[list[int], Compute]]:
    with errors_of(name):
        rows = [encoding.ids for encoding in tokenizer.encode_batch(list(texts))]
    padded = [max(-(-len(row) // PADDED_TOKENS), 1) * PADDED_TOKENS for row in rows]
    for length in sorted(set(padded)):
        for positions in parts([k for k, width in enumerate(padded) if width == length], BATCH):

            def compute(positions: list[int] = positions, length: int = length) -> np.ndarray:
                with errors_of(name):
                    return _mean_states([rows[position] for position in positions], length, network)

            yield positions, compute


def _mean_states(rows: list[list[int]], length: int, network: torch.nn.Module) -> np.ndarray:
    """Mean of the last hidden states over the tokens of each text, scaled to length 1."""
    import torch

    # Some networks have fewer positions than the next multiple of PADDED_TOKENS.
    length = min(length, getattr(network.config, "max_position_embeddings", None) or length)
    padding = getattr(network.config, "pad_token_id", None) or 0
    tokens = np.array([row + [padding] * (length - len(row)) for row in rows], dtype=np.int64)
    mask = np.array([[1] * len(row) + [0] * (length - len(row)) for row in rows], dtype=np.int64)
    ids, kept = (torch.from_numpy(filled(array, BATCH)) for array in (tokens, mask))
    with torch.inference_mode():
        states = network(input_ids=ids, attention_mask=kept).last_hidden_state
        means = (states * kept[..., None]).sum(dim=1) / kept.sum(dim=1, keepdim=True).clamp(min=1)
        return checked(torch.nn.functional.normalize(means, dim=1), len(rows))


@contextmanager
def _quiet() -> Iterator[None]:
    """Switch off the progress bar and messages of transformers, and restore their settings afterwards."""
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
