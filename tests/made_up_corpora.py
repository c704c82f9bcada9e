"""A mirror of the hub with made-up corpora and a vocabulary made of them, laid out like the real ones.

Every corpus has words of its own and some that all have, so that a model learns from one what it does not from another.
The questions are made of words of the first.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

CORPORA = {
    "Salesforce/wikitext/wikitext-2-v1": 170,
    "HuggingFaceFW/fineweb/sample": 160,
    "HuggingFaceFW/fineweb-edu/sample": 150,
    "allenai/c4/sample": 200,
    "roneneldan/TinyStories/sample": 160,
}  # and how many texts are not empty
QUESTIONS = "truthfulqa/truthful_qa/generation"
N_QUESTIONS = 122
LONG = 2  # questions that leave no room for an answer
VOCABULARY = 2100
GPT2 = "openai-community/gpt2"


def write_mirror(folder: Path) -> None:
    """Write all of it."""
    rng = np.random.default_rng(2505)
    common, *own = [made_up_words(rng, count) for count in (150, *[250] * len(CORPORA))]
    everything: list[str] = []
    for words, (name, count) in zip(own, CORPORA.items(), strict=True):
        texts = [sentence(rng, [*common, *words], int(rng.integers(4, 60))) for _ in range(count)]
        everything += texts
        rows: list[str | None] = []
        for k, text in enumerate(texts):  # a corpus has empty texts in between
            rows += [text] if k % 40 else [None, "", " \n", text]
        write_rows(
            folder / name, "train", {"text": rows, "url": [f"https://example.org/{k}" for k in range(len(rows))]}
        )
    questions = [sentence(rng, own[0], 6)[:-1] + "?" for _ in range(N_QUESTIONS - LONG)]
    questions += [sentence(rng, own[0], 120)[:-1] + "?" for _ in range(LONG)]
    answers = [sentence(rng, own[0], 8) for _ in questions]
    write_rows(folder / QUESTIONS, "validation", {"question": questions, "best_answer": answers})
    write_vocabulary(folder / GPT2, [*everything, *questions, *answers], VOCABULARY)


def made_up_words(rng: np.random.Generator, count: int) -> list[str]:
    """Words of two to four syllables, a few with letters beyond ASCII."""
    heads, tails = [*"bdfgklmnprstvz", "ch", "st", "é"], ["a", "e", "i", "o", "u", "an", "el", "ir", "on", "ü"]
    lengths = rng.integers(2, 5, count)
    return ["".join(str(rng.choice(heads)) + str(rng.choice(tails)) for _ in range(length)) for length in lengths]


def sentence(rng: np.random.Generator, words: Sequence[str], length: int) -> str:
    """Words drawn one after the other."""
    return " ".join(rng.choice(words, length)).capitalize() + "."


def write_rows(folder: Path, split: str, columns: dict[str, list]) -> Path:
    """Write the rows of a split as the hub has them."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{split}-00000-of-00001.parquet"
    pq.write_table(pa.table(columns), path)
    return path


def decode_rows(size: int, rows: np.ndarray) -> list[str]:
    """Decode rows of tokens of the first ``size`` tokens of the vocabulary."""
    from dvbench.problems.perplexity import PADDING
    from dvbench.problems.tokenizer import load_vocabulary

    vocabulary = load_vocabulary(size)
    no_text = (PADDING, vocabulary.begin_of_text)
    return [vocabulary.decode([token for token in row.tolist() if token not in no_text]) for row in rows]


def write_vocabulary(folder: Path, texts: Sequence[str], size: int) -> None:
    """Learn a byte-pair encoding of texts, and write it as that of GPT-2 is written."""
    from tokenizers import Tokenizer, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=size + 200, initial_alphabet=alphabet, show_progress=False)
    tokenizer.train_from_iterator(texts, trainer)
    made: dict[str, tuple[str, str]] = {}
    for left, right in json.loads(tokenizer.to_str())["model"]["merges"]:
        made.setdefault(left + right, (left, right))  # GPT-2 has no token that is made in two ways
    merges = list(made.values())[: size - 257]
    assert len(merges) == size - 257
    tokens = [*sorted(alphabet), *(left + right for left, right in merges), "<|endoftext|>"]
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "vocab.json").write_text(json.dumps({token: number for number, token in enumerate(tokens)}))
    lines = ["#version: 0.2", *(f"{left} {right}" for left, right in merges), ""]
    (folder / "merges.txt").write_text("\n".join(lines), encoding="utf-8")
