"""``dvbench value-corpus``: what a corpus is worth to a language model in a folder."""

from __future__ import annotations

import json
import math
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional as F

WORDS = [f"w{number}" for number in range(40)]
FILES = ("--target", "target.txt", "--test", "test.txt")
TRAINING = ("--length", 8, "--epochs", 8, "--batch-size", 4, "--lr", 0.01)
UNLEARNING = ("--steps", 20, "--unlearning-batch", 4, "--unlearning-lr", 1e-3)
FEW = (*TRAINING, *UNLEARNING, "--seeds", "0,1")


def sentences(words: list[str], count: int, seed: int) -> list[str]:
    """Words in their order, from one drawn at random: something to learn."""
    rng = np.random.default_rng(seed)
    starts, lengths = rng.integers(len(words), size=count), rng.integers(3, 12, size=count)
    return [
        " ".join(words[(start + k) % len(words)] for k in range(length))
        for start, length in zip(starts, lengths, strict=True)
    ]


def write(path: Path, texts: list[str]) -> None:
    path.write_text("\n\n".join(texts))


@pytest.fixture
def model(here: Path) -> Any:
    """A model of forty words in the folder ``model``, trained on both files' words, and its two files of texts."""
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    from dvbench.models.gpt2 import gpt2
    from dvbench.training.language_model import LanguageModel
    from dvbench.training.tensor_model import seeded

    vocabulary = {word: number for number, word in enumerate([*WORDS, "<end>"])}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="w0"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<end>").save_pretrained(here / "model")
    network = seeded(lambda: gpt2((8,), len(vocabulary), layers=1, width=16, heads=2), 0)
    target, others = sentences(WORDS[:25], 24, 1), sentences(WORDS[15:], 24, 2)
    write(here / "target.txt", target)
    write(here / "test.txt", sentences(WORDS, 10, 3))
    rows = [[40, *(vocabulary[word] for word in text.split())][:8] for text in (*target, *others)]
    x = torch.tensor([row + [-1] * (8 - len(row)) for row in rows], dtype=torch.int32)
    LanguageModel(network, 0).fit(x, torch.ones(len(x), 1), batch_size=8, epochs=10, lr=1e-2)
    network.save_pretrained(here / "model")
    return network


def perplexity(network: torch.nn.Module, texts: list[str]) -> float:
    losses = []
    for text in texts:
        tokens = torch.tensor([40, *(WORDS.index(word) for word in text.split())][:8])
        with torch.no_grad():
            losses.append(F.cross_entropy(network(tokens[None]).logits[0, :-1], tokens[1:], reduction="none"))
    return math.exp(torch.cat(losses).mean())


def test_what_it_says_is_what_the_perplexities_make(dvbench, model, here: Path) -> None:
    said = dvbench("value-corpus", "--model", "model", *FILES, *FEW, "--out", "value.json")
    assert said.code == 0
    assert said.err == ""
    actual = json.loads((here / "value.json").read_text())
    texts = (here / "test.txt").read_text().split("\n\n")
    assert actual["full"] == pytest.approx(perplexity(model, texts), rel=1e-5)
    assert actual["untrained"] == pytest.approx(41, rel=0.1)  # of 41 tokens it knows none
    assert actual["full"] < actual["alone"] < actual["untrained"]
    value = ((actual["unlearned"] - actual["full"]) + actual["untrained"] - actual["alone"]) / 2
    assert actual["value"] == pytest.approx(value)
    logs = {name: math.log(actual[name]) for name in ("full", "unlearned", "alone", "untrained")}
    log_value = ((logs["unlearned"] - logs["full"]) + logs["untrained"] - logs["alone"]) / 2
    assert actual["log_value"] == pytest.approx(log_value)
    assert actual["target"]["texts"] == 24
    assert actual["test"]["texts"] == 10
    assert f"value by perplexity: {actual['value']:,.4g}" in said.out
    assert "epoch 2 of 2" in said.out
    again = dvbench("value-corpus", "--model", "model", *FILES, *FEW, "--out", "again.json")
    assert again.code == 0
    same = json.loads((here / "again.json").read_text())
    assert {name: same[name] for name in logs} == {name: actual[name] for name in logs}


@pytest.mark.parametrize("parameters", ["head", "lora"])
def test_parts_of_the_model_can_be_unlearned(dvbench, model, here: Path, parameters: str) -> None:
    more = ("--parameters", parameters, "--unlearning-lr", "0.01", "--out", "value.json")
    assert dvbench("value-corpus", "--model", "model", *FILES, *FEW, *more).code == 0
    actual = json.loads((here / "value.json").read_text())
    assert actual["unlearned"] != actual["full"]


def test_other_files_have_columns(dvbench, model, here: Path) -> None:
    lines = [json.dumps({"words": text}) for text in sentences(WORDS[:25], 6, 5)]
    (here / "target.jsonl").write_text("\n".join(lines))
    (here / "test.csv").write_text("words\n" + "\n".join(sentences(WORDS, 6, 6)))
    files = ("--target", "target.jsonl", "--target", "target.jsonl", "--test", "test.csv")
    said = dvbench("value-corpus", "--model", "model", *files, "--column", "words", *FEW)
    assert said.code == 0
    assert "target: 12 texts" in said.out


def spoil(folder: Path, change: str) -> None:
    if change == "no weights":
        (folder / "model.safetensors").unlink()
    elif change == "weights that execute code":
        (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    elif change == "half a file":
        path = folder / "model.safetensors"
        path.write_bytes(path.read_bytes()[:1000])
    elif change == "code of its own":
        config = json.loads((folder / "config.json").read_text())
        config |= {
            "model_type": "mine",
            "auto_map": {"AutoConfig": "mine.Config", "AutoModelForCausalLM": "mine.Model"},
        }
        (folder / "config.json").write_text(json.dumps(config))
        (folder / "mine.py").write_text("raise SystemExit('executed')")
    elif change == "another's tokenizer":
        tokenizer = json.loads((folder / "tokenizer.json").read_text())
        tokenizer["model"]["vocab"] = {word: number for number, word in enumerate(WORDS[:20])}
        tokenizer["added_tokens"] = []
        (folder / "tokenizer.json").write_text(json.dumps(tokenizer))
    elif change == "no tokenizer":
        (folder / "tokenizer.json").unlink()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("no weights", r"model contains no weights in safetensors files"),
        ("weights that execute code", r"model contains no weights in safetensors files"),
        ("half a file", r"cannot read the model in model: "),
        ("code of its own", r"cannot read "),
        ("another's tokenizer", r"the tokenizer in model has 2\d tokens and the model 41: they do not belong together"),
        ("no tokenizer", r"cannot read a tokenizer in model: "),
    ],
)
def test_models_that_are_refused(refused, model, here: Path, change: str, message: str) -> None:
    spoil(here / "model", change)
    said = refused("value-corpus", "--model", "model", *FILES, *FEW, "--out", "value.json")
    assert re.search(message, said)
    assert not (here / "value.json").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--target", "nowhere.txt", "--test", "test.txt"), r"there is no file nowhere.txt"),
        (("--target", "empty.txt", "--test", "test.txt"), r"empty.txt has no text"),
        (("--target", "test.txt", "--test", "test.txt"), r"10 texts of the validation set are in the target set too"),
        ((*FILES, "--out", "nowhere/value.json"), r"there is no folder nowhere"),
        ((*FILES, "--lr", "0"), r"lr: "),
        ((*FILES, "--unlearning-lr", "0"), r"a rate above 0"),
        ((*FILES, "--lr", "1e30"), r"diverged"),
    ],
)
def test_what_cannot_be_valued(refused, model, here: Path, arguments: tuple[str, ...], message: str) -> None:
    (here / "empty.txt").write_text("\n\n \n")
    assert re.search(message, refused("value-corpus", "--model", "model", *FEW, *arguments))


def test_a_model_that_does_not_fit_is_told_so(refused, model, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dvbench.training.memory.memory_of", lambda device: 1000)
    said = refused("value-corpus", "--model", "model", *FILES, *FEW)
    assert re.search(r"the model in model needs 0\.\d GB .* and this machine has 0\.0 GB", said)


def test_one_text_that_is_in_both_is_found_among_texts_of_other_lengths(refused, model, here: Path) -> None:
    longest = (here / "test.txt").read_text() + "\n\n" + " ".join(WORDS[:7])
    (here / "test.txt").write_text(longest + "\n\n" + WORDS[3])
    (here / "target.txt").write_text(f"{WORDS[3]}\n\n{WORDS[5]} {WORDS[6]}")
    said = refused("value-corpus", "--model", "model", *FILES, *FEW)
    assert "1 texts of the validation set are in the target set too" in said


@pytest.mark.parametrize(
    ("kind", "settings", "message"),
    [
        ("Granite", {"logits_scaling": 8.0}, "scales or limits the logits"),
        ("OPT", {"dropout": 0.5}, None),  # which has its dropout in no module of its own
    ],
)
def test_models_of_other_kinds_are_what_they_say_or_are_refused(
    dvbench, model, here: Path, kind: str, settings: dict[str, Any], message: str | None
) -> None:
    import transformers

    sizes = {"vocab_size": 41, "hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    sizes |= {"intermediate_size": 32, "num_key_value_heads": 2, "max_position_embeddings": 16}
    if kind == "OPT":
        sizes = {key: sizes[key] for key in ("vocab_size", "hidden_size", "num_hidden_layers", "num_attention_heads")}
        sizes |= {"ffn_dim": 32, "word_embed_proj_dim": 16, "max_position_embeddings": 16}
    config = getattr(transformers, f"{kind}Config")(**sizes, **settings)
    network = getattr(transformers, f"{kind}ForCausalLM")(config)
    network.save_pretrained(here / "model")
    said = dvbench("value-corpus", "--model", "model", *FILES, *FEW)
    if message is None:
        assert said.code == 0
        texts = (here / "test.txt").read_text().split("\n\n")
        assert f"{perplexity(network.eval(), texts):,.2f}" in said.out
    else:
        assert said.code == 2
        assert message in said.err
