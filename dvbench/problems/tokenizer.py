"""GPT-2's byte-pair encoding, which turns texts into token numbers, and smaller encodings made from it.

A byte-pair encoding starts with the 256 bytes, and each further token is a merge of two earlier tokens. So the first
merges of GPT-2 form an encoding with fewer tokens, for smaller models.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from dvbench.errors import UserError
from dvbench.problems.perplexity import PADDING

if TYPE_CHECKING:
    from tokenizers import Tokenizer

GPT2 = "openai-community/gpt2"
END_OF_TEXT = "<|endoftext|>"
BYTES = 256


@dataclass(frozen=True, eq=False)
class Vocabulary:
    """A byte-level byte-pair encoding.

    Parameters
    ----------
    size : int
        Number of tokens. The last one is the begin-of-text token, which no text contains.
    sha256 : str
        Hash of the bytes and merges in their order; vocabularies with equal hashes give equal tokens.
    tokenizer : tokenizers.Tokenizer
    """

    size: int
    sha256: str
    tokenizer: Tokenizer

    @property
    def begin_of_text(self) -> int:
        """Number of the begin-of-text token, which GPT-2 calls <|endoftext|>."""
        return self.size - 1

    def encode_batch(self, texts: Sequence[str]) -> list[list[int]]:
        """Encode texts without a begin-of-text token; the characters <|endoftext|> in a text are encoded as text."""
        return [encoding.ids for encoding in self.tokenizer.encode_batch_fast(list(texts), add_special_tokens=False)]

    def decode(self, tokens: Sequence[int]) -> str:
        """Decode tokens to a text."""
        return self.tokenizer.decode(list(tokens), skip_special_tokens=False)


def load_vocabulary(size: int | None = None) -> Vocabulary:
    """Load GPT-2's vocabulary, all of it or its first tokens.

    Parameters
    ----------
    size : int, optional
        Number of tokens, at least 257: the 256 bytes, the first ``size - 257`` merges, and the begin-of-text token. By
        default all 50,257.

    Returns
    -------
    Vocabulary

    Raises
    ------
    UserError
        If the vocabulary's files are not available, have another layout than GPT-2's, or have fewer tokens.
    """
    from dvbench.problems.hub import fetch_file

    files = [fetch_file(GPT2, name) for name in ("vocab.json", "merges.txt")]
    return _build(*files, tuple(path.stat().st_mtime_ns for path in files), size)


@lru_cache(maxsize=4)
def _build(vocabulary: Path, merges_file: Path, modified: tuple[int, ...], size: int | None) -> Vocabulary:
    """Build a vocabulary, once for each modification time of the files, because it takes half a second."""
    letters, merges = _read_vocabulary(vocabulary, merges_file)
    available = len(letters) + len(merges) + 1
    size = available if size is None else size
    if not BYTES < size <= available:
        raise UserError(f"{GPT2} has {available} tokens, not {size}: ask for {BYTES + 1} to {available}")
    merges = merges[: size - BYTES - 1]
    identity = hashlib.sha256(json.dumps([letters, merges]).encode()).hexdigest()
    return Vocabulary(size, identity, _tokenizer(letters, merges))


def _read_vocabulary(vocabulary: Path, merges: Path) -> tuple[list[str], list[tuple[str, str]]]:
    """Characters that represent the 256 bytes, and the merges, both in the order of their token numbers."""
    from tokenizers import pre_tokenizers

    try:
        numbers: dict[str, int] = json.loads(vocabulary.read_bytes())
        tokens = sorted(numbers, key=numbers.__getitem__)
        lines = merges.read_text(encoding="utf-8").split("\n")
        first, second = zip(
            *(line.split(" ") for line in lines if line and not line.startswith("#version")), strict=True
        )
    except (OSError, ValueError, TypeError, LookupError) as error:
        raise UserError(f"cannot read {vocabulary} and {merges.name}: {' '.join(str(error).split())}") from error
    expected = [*tokens[:BYTES], *map(str.__add__, first, second), END_OF_TEXT]
    bytes_first = sorted(tokens[:BYTES]) == sorted(pre_tokenizers.ByteLevel.alphabet())
    in_order = tokens == expected and sorted(numbers.values()) == list(range(len(tokens)))
    if not bytes_first or not in_order or len(tokens) > PADDING:
        raise UserError(
            f"{vocabulary} does not have GPT-2's layout: 256 bytes, one token for each merge, and {END_OF_TEXT}"
        )
    return tokens[:BYTES], list(zip(first, second, strict=True))


def _tokenizer(letters: list[str], merges: list[tuple[str, str]]) -> Tokenizer:
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers

    tokens = [*letters, *(left + right for left, right in merges), END_OF_TEXT]
    # <|endoftext|> is not added as a special token, because the tokenizer would then find it in texts. No merge
    # produces it.
    tokenizer = Tokenizer(models.BPE(vocab={token: number for number, token in enumerate(tokens)}, merges=merges))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    return tokenizer
