"""GPT-2's byte-pair encoding: texts -> token numbers.

A byte-pair encoding begins with the 256 bytes, and each further token is one merge of two before it. So the first
merges alone are an encoding too, with fewer tokens, for smaller models.
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
        Number of tokens. The last one marks the beginning of a text, and no text holds it.
    sha256 : str
        Hash of bytes and merges in their order: equal hashes, equal tokens.
    tokenizer : tokenizers.Tokenizer
    """

    size: int
    sha256: str
    tokenizer: Tokenizer

    @property
    def end(self) -> int:
        """The token that marks the beginning of a text, <|endoftext|>."""
        return self.size - 1

    def encode_batch(self, texts: Sequence[str]) -> list[list[int]]:
        """Tokens of each text, without any mark; what reads like one is text."""
        return [encoding.ids for encoding in self.tokenizer.encode_batch_fast(list(texts), add_special_tokens=False)]

    def decode(self, tokens: Sequence[int]) -> str:
        """The text of tokens."""
        return self.tokenizer.decode(list(tokens), skip_special_tokens=False)


def load_vocabulary(size: int | None = None) -> Vocabulary:
    """Read GPT-2's vocabulary, and cut it to its first tokens.

    Parameters
    ----------
    size : int, optional
        Number of tokens, at least 257: the bytes, the first ``size - 257`` merges, and <|endoftext|> as the last. All
        50,257 by default.

    Returns
    -------
    Vocabulary

    Raises
    ------
    UserError
        If its files cannot be had, are not laid out as GPT-2's, or have fewer tokens.
    """
    from dvbench.problems.hub import fetch_file

    files = [fetch_file(GPT2, name) for name in ("vocab.json", "merges.txt")]
    return _cut(*files, tuple(path.stat().st_mtime_ns for path in files), size)


@lru_cache(maxsize=4)
def _cut(vocabulary: Path, merges_file: Path, modified: tuple[int, ...], size: int | None) -> Vocabulary:
    """The vocabulary of files as they were when they were last modified; building one takes half a second."""
    letters, merges = _read_vocabulary(vocabulary, merges_file)
    whole = len(letters) + len(merges) + 1
    size = whole if size is None else size
    if not BYTES < size <= whole:
        raise UserError(f"{GPT2} has {whole} tokens, and {size} were asked for: ask for {BYTES + 1} to {whole}")
    merges = merges[: size - BYTES - 1]
    identity = hashlib.sha256(json.dumps([letters, merges]).encode()).hexdigest()
    return Vocabulary(size, identity, _tokenizer(letters, merges))


def _read_vocabulary(vocabulary: Path, merges: Path) -> tuple[list[str], list[tuple[str, str]]]:
    """Stand-ins for the 256 bytes, and the merges, both in order of their numbers."""
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
    in_turn = tokens == expected and sorted(numbers.values()) == list(range(len(tokens)))
    if not bytes_first or not in_turn or len(tokens) > PADDING:
        raise UserError(
            f"{vocabulary} is not laid out as GPT-2's: 256 bytes, a token for each merge, and {END_OF_TEXT}"
        )
    return tokens[:BYTES], list(zip(first, second, strict=True))


def _tokenizer(letters: list[str], merges: list[tuple[str, str]]) -> Tokenizer:
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers

    tokens = [*letters, *(left + right for left, right in merges), END_OF_TEXT]
    # The mark is a token like others, not a special one, which would be looked for in texts. No merge makes it.
    tokenizer = Tokenizer(models.BPE(vocab={token: number for number, token in enumerate(tokens)}, merges=merges))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    return tokenizer
