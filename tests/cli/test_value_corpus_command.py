"""``dvbench value-corpus``: what a corpus is worth to a language model in a folder."""

from __future__ import annotations

import hashlib
import itertools
import json
import math
import re
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional as F

WORDS = [f"w{number}" for number in range(40)]
FILES = ("--target", "target.txt", "--test", "test.txt")
TRAINING = ("--length", 12, "--epochs", 4, "--batch-size", 8, "--lr", 0.01)
UNLEARNING = ("--steps", 20, "--unlearning-batch", 4, "--unlearning-lr", 1e-3)
FEW = (*TRAINING, *UNLEARNING, "--seeds", "0,1")


def sentences(words: list[str], count: int, seed: int) -> list[str]:
    """Words in their order, from one drawn at random, but a fifth are any words: rules to learn, texts to know."""
    rng = np.random.default_rng(seed)

    def sentence() -> str:
        start, strays = rng.integers(len(words)), rng.random(rng.integers(8, 12)) < 0.2
        return " ".join(
            words[rng.integers(len(words)) if stray else (start + k) % len(words)] for k, stray in enumerate(strays)
        )

    return [sentence() for _ in range(count)]


def write(path: Path, texts: list[str]) -> None:
    path.write_text("\n\n".join(texts))


def write_held_out(here: Path) -> list[str]:
    """Texts of the target's kind that are not in it."""
    known = (here / "target.txt").read_text().split("\n\n")
    texts = [text for text in sentences(WORDS[:25], 60, 9) if text not in known]
    write(here / "held.txt", texts)
    return texts


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
    target, others = sentences(WORDS[:25], 60, 1), sentences(WORDS[15:], 60, 2)
    write(here / "target.txt", target)
    write(here / "test.txt", sentences(WORDS, 10, 3))
    rows = [[40, *(vocabulary[word] for word in text.split())] for text in (*target, *others)]
    x = torch.tensor([row + [-1] * (12 - len(row)) for row in rows], dtype=torch.int32)
    LanguageModel(network, 0).fit(x, torch.ones(len(x), 1), batch_size=8, epochs=8, lr=1e-2)
    network.save_pretrained(here / "model")
    return network


def log_loss(network: torch.nn.Module, texts: list[str], length: int = 12) -> float:
    """Of all words: texts are cut into as few pieces as possible, of lengths that differ by one at most."""
    losses = []
    for text in texts:
        words = text.split()
        count = -(-len(words) // (length - 1))
        ends = [0, *np.cumsum([len(words) // count + (k < len(words) % count) for k in range(count)])]
        for begin, end in itertools.pairwise(ends):
            tokens = torch.tensor([40, *(WORDS.index(word) for word in words[begin:end])])
            with torch.no_grad():
                losses.append(F.cross_entropy(network(tokens[None]).logits[0, :-1], tokens[1:], reduction="none"))
    return float(torch.cat(losses).mean())


@pytest.mark.slow
def test_what_it_says_is_what_the_losses_make(dvbench, model, here: Path) -> None:
    said = dvbench("value-corpus", "--model", "model", *FILES, *FEW, "--out", "value.json")
    assert said.code == 0, said.err
    assert said.err == ""
    actual = json.loads((here / "value.json").read_text())
    assert actual["refused"] is None
    texts = (here / "test.txt").read_text().split("\n\n")
    assert [run["full"] for run in actual["runs"]] == pytest.approx([log_loss(model, texts)] * 2, rel=1e-5)
    values = []
    for run in actual["runs"]:
        assert run["untrained"] == pytest.approx(math.log(41), rel=0.05)  # of 41 tokens it knows none
        assert run["full"] < run["unlearned"] < run["untrained"]
        assert run["full"] < run["alone"]
        values.append(((run["unlearned"] - run["full"]) + (run["untrained"] - run["alone"])) / 2)
    value = actual["value"]["log_loss"]
    assert value["mean"] == pytest.approx(np.mean(values))
    half = 12.706 * abs(values[1] - values[0]) / 2  # Student's t of two values
    assert (value["low"], value["high"]) == pytest.approx((np.mean(values) - half, np.mean(values) + half), rel=1e-3)
    within = value["weaker_or_stronger_unlearning"]
    assert within["low"] < value["mean"] < within["high"]
    parts = actual["parts"]["perplexity"]
    lost = np.mean([math.exp(run["unlearned"]) - math.exp(run["full"]) for run in actual["runs"]])
    assert parts["unlearning"]["mean"] == pytest.approx(lost)
    for shown in (
        "value = 1/2 ([unlearned - full] + [untrained - alone])",
        f"{value['mean']:,.4g} [{value['low']:,.4g}, {value['high']:,.4g}]",
        f"{parts['unlearning']['mean']:,.4g} [",
        f"{within['low']:,.4g} to {within['high']:,.4g} nats",
        "seed 1, 2 of 2",
        "epoch 4 of 4",
    ):
        assert shown in said.out
    again = dvbench("value-corpus", "--model", "model", *FILES, *FEW, "--out", "again.json")
    assert again.code == 0
    assert json.loads((here / "again.json").read_text())["runs"] == actual["runs"]


@pytest.mark.slow
def test_the_corpus_is_forgotten_as_far_as_is_said_whatever_the_first_rate(dvbench, model, here: Path) -> None:
    """Rates of which one does nothing and one ruins the model at once give about the same value."""
    level = log_loss(model, write_held_out(here))
    found = {}
    for rate in (1e-6, 1e-3, 0.1):
        more = ("--held-out", "held.txt", "--unlearning-lr", rate, "--seeds", 0, "--out", "value.json")
        said = dvbench("value-corpus", "--model", "model", *FILES, *TRAINING, "--steps", 20, *more)
        assert said.code == 0, said.err
        actual = json.loads((here / "value.json").read_text())
        assert actual["forgotten_at"]["log_loss"] == pytest.approx(level, rel=1e-5)
        found[rate] = actual["runs"][0]["unlearned"] - actual["runs"][0]["full"]
        assert "One seed has no interval" in said.out
    assert max(found.values()) < 1.5 * min(found.values())


@pytest.mark.parametrize("parameters", ["head", "lora"])
def test_parts_of_the_model_can_be_unlearned(dvbench, model, here: Path, parameters: str) -> None:
    more = ("--parameters", parameters, "--seeds", 0, "--out", "value.json")
    said = dvbench("value-corpus", "--model", "model", *FILES, *FEW, *more)
    assert said.code == 0, said.err
    run = json.loads((here / "value.json").read_text())["runs"][0]
    assert run["unlearned"] > run["full"]


def test_other_files_have_columns_of_their_own(dvbench, model, here: Path) -> None:
    for name, seed in (("target", 5), ("held", 6)):
        lines = [json.dumps({"words": text, "body": "w1"}) for text in sentences(WORDS[:25], 12, seed)]
        (here / f"{name}.jsonl").write_text("\n".join(lines))
    (here / "test.csv").write_text("question\n" + "\n".join(sentences(WORDS, 6, 6)))
    files = ("--target", "target.jsonl", "--target", "target.txt", "--test", "test.csv", "--held-out", "held.jsonl")
    more = ("--column", "words", "--test-column", "question", "--forgotten-at", 3, "--seeds", 0, "--out", "value.json")
    said = dvbench("value-corpus", "--model", "model", *files, *FEW, *more)
    assert said.code == 0, said.err
    texts = json.loads((here / "value.json").read_text())
    assert [texts[name]["column"] for name in ("target", "test", "held-out")] == ["words", "question", "words"]
    assert texts["target"]["texts"] == 72
    assert texts["held-out"]["texts"] == 12


def test_long_texts_are_cut_into_pieces_and_every_token_is_used(dvbench, model, here: Path) -> None:
    long = " ".join(WORDS[:25] * 20)
    write(here / "target.txt", [long, WORDS[30]])
    said = dvbench("value-corpus", "--model", "model", *FILES, *FEW, "--length", 8, "--seeds", 0, "--out", "value.json")
    assert said.code == 0, said.err
    assert "target: 2 texts in 73 pieces of at most 8 tokens; 501 of 501 tokens are used" in said.out
    assert json.loads((here / "value.json").read_text())["target"]["tokens_used"] == 501


def test_the_file_says_from_what_it_was_computed(dvbench, model, here: Path) -> None:
    assert dvbench("value-corpus", "--model", "model", *FILES, *FEW, "--seeds", 3, "--out", "value.json").code == 0
    actual = json.loads((here / "value.json").read_text())
    (target,) = actual["target"]["files"]
    assert target == {"name": "target.txt", "sha256": hashlib.sha256((here / "target.txt").read_bytes()).hexdigest()}
    hashes = {Path(file["name"]).name: file["sha256"] for file in actual["model"]["files"]}
    assert {"config.json", "model.safetensors", "tokenizer.json"} <= set(hashes)
    weights = (here / "model/model.safetensors").read_bytes()
    assert hashes["model.safetensors"] == hashlib.sha256(weights).hexdigest()
    for package in ("transformers", "tokenizers", "peft", "torch"):
        assert actual["environment"]["packages"][package] == version(package)
    assert actual["settings"]["seeds"] == [3]
    assert actual["settings"]["length"] == 12


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
        ((*FILES, "--held-out", "nowhere.txt"), r"there is no file nowhere.txt"),
        (("--target", "empty.txt", "--test", "test.txt"), r"empty.txt has no text"),
        (
            ("--target", "test.txt", "--test", "test.txt"),
            r"of the test texts are in the target too",
        ),
        ((*FILES, "--held-out", "target.txt"), r"of the held-out texts are in the target too"),
        ((*FILES, "--out", "nowhere/value.json"), r"there is no folder nowhere"),
        ((*FILES, "--out", "model"), r"model is a folder"),
        ((*FILES, "--out", "model/config.json"), r"model/config.json would overwrite a file that is read"),
        ((*FILES, "--out", "test.txt"), r"test.txt would overwrite a file that is read"),
        ((*FILES, "--out", "notes.json"), r"notes.json exists, and no file says that dvbench made it"),
        ((*FILES, "--model", "nowhere"), r"there is no folder nowhere"),
        ((*FILES, "--lr", "0"), r"lr: "),
        ((*FILES, "--unlearning-lr", "0"), r"lr is a finite number above 0"),
        ((*FILES, "--lr", "1e30"), r"diverged"),
        ((*FILES, "--lr", "1e-12"), r"models that are trained on one half of the target know that half no better"),
        ((*FILES, "--forgotten-at", "3.5", "--lr", "1e-12"), r"no value: training on the target alone taught nothing"),
        ((*FILES, "--forgotten-at", "0.1"), r"--forgotten-at 0.1 is no log loss above that of the target now"),
        ((*FILES, "--forgotten-at", "1e6"), r"no value: unlearning did not make the model forget the target"),
        ((*FILES, "--forgotten-at", "9"), r"no value: .* worse than an untrained one: unlearning ruined it"),
        ((*FILES, "--length", "2000"), r"takes at most 1,024 tokens at a time: --length 2000 is too long"),
        ((*FILES, "--seeds", "1-0"), r"seeds are numbers"),
    ],
)
def test_what_cannot_be_valued(refused, model, here: Path, arguments: tuple[str, ...], message: str) -> None:
    (here / "empty.txt").write_text("\n\n \n")
    (here / "notes.json").write_text("{}")
    said = refused("value-corpus", "--model", "model", *FEW, *arguments)
    assert re.search(message, said), said


def test_a_model_that_never_learned_has_no_value(refused, model, here: Path) -> None:
    model.apply(model._init_weights)
    model.save_pretrained(here / "model")
    assert "has learned nothing" in refused("value-corpus", "--model", "model", *FILES, *FEW)


def test_there_is_nothing_to_forget_in_a_corpus_that_the_model_was_not_trained_on(refused, model, here: Path) -> None:
    write(here / "target.txt", sentences(WORDS[:25], 60, 11))
    write_held_out(here)
    said = refused("value-corpus", "--model", "model", *FILES, *FEW, "--held-out", "held.txt")
    assert "there is nothing to forget" in said


def test_the_parts_of_what_is_no_value_are_kept(dvbench, model, here: Path) -> None:
    said = dvbench("value-corpus", "--model", "model", *FILES, *FEW, "--forgotten-at", 9, "--out", "value.json")
    assert said.code == 2
    actual = json.loads((here / "value.json").read_text())
    assert actual["value"] is None
    assert actual["refused"] in said.err
    assert len(actual["runs"]) == 1
    assert "what the model loses without the corpus" in said.out
    assert "value: half of the sum" not in said.out


def test_wrong_files_are_refused_before_torch_is_imported(here: Path) -> None:
    code = (
        "import sys; from dvbench.cli import main; code = main(sys.argv[1:]); "
        "print(code, sorted({'torch', 'transformers', 'datasets'} & set(sys.modules)))"
    )
    (here / "model").mkdir()
    arguments = ("value-corpus", "--model", "model", "--target", "nowhere.txt", "--test", "table.csv")
    said = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=True)
    assert said.stdout == "2 []\n"
    assert "there is no file nowhere.txt" in said.stderr


def test_a_model_that_does_not_fit_is_told_so(refused, model, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dvbench.training.memory.memory_of", lambda device: 1000)
    said = refused("value-corpus", "--model", "model", *FILES, *FEW)
    assert re.search(r"the model in model needs 0\.\d GB .* and this machine has 0\.0 GB", said)


def test_one_text_that_is_in_both_is_found_among_texts_of_other_lengths(refused, model, here: Path) -> None:
    longest = (here / "test.txt").read_text() + "\n\n" + " ".join(WORDS[:7])
    (here / "test.txt").write_text(longest + "\n\n" + WORDS[3])
    (here / "target.txt").write_text(f"{WORDS[3]}\n\n{WORDS[5]} {WORDS[6]}")
    said = refused("value-corpus", "--model", "model", *FILES, *FEW)
    assert "1 of the test texts are in the target too" in said


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
    assert said.code == 2
    if message is None:
        texts = (here / "test.txt").read_text().split("\n\n")
        perplexity = math.exp(log_loss(network.eval(), texts))
        assert (
            f"has learned nothing that helps with the test texts: the perplexity of the test texts is {perplexity:,.1f}"
            in said.err
        )
    else:
        assert message in said.err
