"""Frozen encoders of texts: networks of transformers, whose features are the mean of the last hidden states.

A data set of texts with labels calls `read_labelled_texts`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from dvbench.errors import UserError
from dvbench.problems.encoders import (
    TEXT_ENCODER,
    Compute,
    Encode,
    Encoder,
    check_flag,
    checked,
    encode_source,
    errors_of,
    filled,
    find_weights,
    kind_of,
    parts,
    read_config,
    sha256_of,
)
from dvbench.problems.hub import errors_of_dataset, fetch_file, load, mirrored_files
from dvbench.problems.quiet import quiet_transformers
from dvbench.problems.source import Source
from dvbench.randomness import isolated_generators

if TYPE_CHECKING:
    from pathlib import Path

    import torch

TOKENS = 256
BATCH = 16
PADDED_TOKENS = 32  # texts are padded to a multiple of this


def read_labelled_texts(
    hub_id: str, text: str, label: str, encoder: str | None, tokens: int = TOKENS, standardise: bool = True
) -> Source:
    """Read texts with classes, as features of a frozen encoder; the data set has an official test split.

    Parameters
    ----------
    hub_id : str
        Such as ``"stanfordnlp/imdb"``.
    text, label : str
        Names of the columns of texts and labels. Labels are class numbers with names, or names.
    encoder : str or None
        Id of the encoder on the hub; without one an error says that it is required.
    tokens : int
        As in `text_encoder`.
    standardise : bool
        Whether features are standardised with the mean and the standard deviation of the training set.

    Returns
    -------
    Source
        The rows of the train split come first, then those of the test split.

    Raises
    ------
    UserError
        If the data set or the encoder is not available, or the encoder does not fit.
    """
    import datasets

    if encoder is None:
        raise UserError(
            f"the texts of {hub_id} need an encoder, which turns them into features: use encoder = '{TEXT_ENCODER}'"
        )
    standardise, frozen = check_flag(standardise), text_encoder(encoder, tokens)
    train, test = load(hub_id)
    with errors_of_dataset(hub_id, mirrored_files(hub_id, "train")):
        both = datasets.concatenate_datasets([train, test])
        labels, feature = both[label][:], both.features[label]
        names = tuple(getattr(feature, "names", None) or sorted(set(labels)))
        numbers = labels if hasattr(feature, "names") else [names.index(name) for name in labels]
    source = Source(
        "classification",
        labels=np.array(numbers, dtype=np.int64),
        take=lambda rows: rows,
        classes=names,
        test_rows=np.arange(len(train), len(both)),
    )
    encoded = encode_source(source, lambda rows: [row or "" for row in both[rows.tolist()][text]], frozen)
    return replace(encoded, standardise=standardise)


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
        with errors_of(name), quiet_transformers():
            from tokenizers import Tokenizer

            encoding = Tokenizer.from_file(str(tokenizer))
            encoding.no_padding()
            encoding.enable_truncation(tokens)
            network = _load(weights.parent)
        return lambda texts: _encode(texts, network, encoding, name)

    return Encoder(name, "texts", sha256_of([weights, config_file, tokenizer], tokens), load)


def _load(folder: Path) -> torch.nn.Module:
    from transformers import AutoModel

    options = {"local_files_only": True, "use_safetensors": True, "trust_remote_code": False, "dtype": "float32"}
    with isolated_generators(0):
        network, loaded = AutoModel.from_pretrained(folder, output_loading_info=True, **options)
    # transformers draws missing weights at random. The pooler is not used.
    missing = sorted(key for key in loaded["missing_keys"] if "pooler." not in key)
    if missing:
        raise UserError(f"its weights lack {missing[0]}" + (f" and {len(missing) - 1} more" if missing[1:] else ""))
    frozen: torch.nn.Module = network.eval()
    return frozen


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
