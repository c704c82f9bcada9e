"""Texts as features of a frozen encoder: a network of transformers with random weights in a made-up mirror."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import datasets
import huggingface_hub
import numpy as np
import pytest
import torch
from made_up_encoders import COLUMNS, IMAGES, TEXTS, WORDS, write_image_encoder, write_text_encoder
from safetensors.torch import load_file, save_file

from dvbench.errors import UserError
from dvbench.problems.build import build_problem, load_source
from dvbench.problems.encoders import encode_source
from dvbench.problems.source import Source
from dvbench.problems.text_encoder import read_labelled_texts, text_encoder
from dvbench.settings import DatasetSettings, Noise, Sizes

LENGTHS = np.random.default_rng(1).integers(1, 60, size=50)
SENTENCES = [" ".join(np.random.default_rng(k).choice(list("abcdefghijz"), n)) for k, n in enumerate(LENGTHS)]


@pytest.fixture
def mirror(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A mirror with the encoders, and no network."""

    def refuse(*_: object, **__: object) -> None:
        raise ConnectionError("no network")

    monkeypatch.setenv("DVBENCH_MIRROR", str(tmp_path / "mirror"))
    monkeypatch.setenv("DVBENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "huggingface")
    monkeypatch.setattr(huggingface_hub.HfApi, "model_info", refuse)
    write_text_encoder(tmp_path / "mirror")
    return tmp_path / "mirror"


def encoded(texts: list[str] = SENTENCES, tokens: int = 40) -> Source:
    source = Source("classification", np.arange(len(texts)) % 2, lambda rows: rows, ("even", "odd"))
    return encode_source(source, lambda rows: [texts[row] for row in rows.tolist()], text_encoder(TEXTS, tokens))


def plain_features(folder: Path, texts: list[str], tokens: int) -> np.ndarray:
    """Features by transformers alone, one text at a time, without padding."""
    from transformers import BertModel

    network = BertModel.from_pretrained(folder).eval()
    rows = []
    for text in texts:
        words = [WORDS.index(word) if word in WORDS else 1 for word in text.split()][: tokens - 2]
        with torch.inference_mode():
            states = network(torch.tensor([[2, *words, 3]])).last_hidden_state[0].mean(dim=0)
        rows.append((states / states.norm()).numpy())
    return np.stack(rows)


@pytest.mark.parametrize("tokens", [40, 10])
def test_features_are_the_mean_states_of_the_network(mirror: Path, tokens: int) -> None:
    features = encoded(tokens=tokens).take(np.arange(50))
    assert features.shape == (50, COLUMNS[TEXTS])
    np.testing.assert_allclose(features, plain_features(mirror / TEXTS, SENTENCES, tokens), rtol=0, atol=1e-5)


def test_features_are_equal_to_the_bit_whatever_is_encoded_with_a_text(
    mirror: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    all_rows = encoded().take(np.arange(50))
    monkeypatch.setenv("DVBENCH_CACHE", str(tmp_path / "another"))
    for rows in ([7], [49, 0, 13], list(range(40, 5, -1))):
        np.testing.assert_array_equal(encoded().take(np.array(rows)), all_rows[rows])


def test_long_empty_and_odd_texts(mirror: Path) -> None:
    texts = ["", " \n", "a " * 5000, "語 🙂", "\0", "a"]
    features = encoded(texts, tokens=48).take(np.arange(len(texts)))  # all positions that the network has
    np.testing.assert_allclose(np.linalg.norm(features, axis=1), 1, rtol=1e-5)
    assert features[0].tolist() == features[1].tolist() != features[5].tolist()


@pytest.mark.parametrize(
    ("name", "tokens", "message"),
    [
        (IMAGES, 40, rf"'{IMAGES}' is no network of transformers, so it cannot encode texts \(it is a 'test_eff"),
        ("bert", 40, "encoder 'bert' is no id of the Hugging Face hub: write OWNER/NAME, such as .* for texts"),
        ("nobody/nothing", 40, "cannot get nobody/nothing/config.json: no mirror has it, and the Hugging Face hub"),
        (TEXTS, 49, f"'{TEXTS}' reads texts of 3 to 48 tokens, so encoder_tokens cannot be 49"),
        (TEXTS, 2, f"'{TEXTS}' reads texts of 3 to 48 tokens, so encoder_tokens cannot be 2"),
        (TEXTS, "40", "encoder_tokens cannot be '40'"),
    ],
)
def test_parameters_that_do_not_fit(mirror: Path, name: str, tokens: int, message: str) -> None:
    write_image_encoder(mirror)
    with pytest.raises(UserError, match=message) as caught:
        text_encoder(name, tokens)
    assert "\n" not in str(caught.value)


def test_an_encoder_without_a_tokenizer_or_safetensors(mirror: Path) -> None:
    (mirror / TEXTS / "tokenizer.json").rename(mirror / TEXTS / "hidden.json")
    with pytest.raises(UserError, match=rf"cannot get {TEXTS}/tokenizer.json: no mirror has it"):
        text_encoder(TEXTS, 40)
    (mirror / TEXTS / "model.safetensors").rename(mirror / TEXTS / "pytorch_model.bin")
    with pytest.raises(UserError, match=r"has no model.safetensors, only pytorch_model.bin: reading other formats"):
        text_encoder(TEXTS, 40)


@pytest.mark.parametrize("file", ["tokenizer.json", "model.safetensors"])
def test_files_that_are_wrong(mirror: Path, file: str, capfd: pytest.CaptureFixture[str]) -> None:
    (mirror / TEXTS / file).write_bytes(b"{}")
    with pytest.raises(UserError, match=f"encoder '{TEXTS}' cannot be used: ") as caught:
        encoded().take(np.arange(3))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("change", ["missing", "renamed", "other shape"])
def test_weights_of_another_network(mirror: Path, change: str, capfd: pytest.CaptureFixture[str]) -> None:
    """Layers without weights would be random, and features different in each process."""
    path = mirror / TEXTS / "model.safetensors"
    weights = load_file(path)
    name = "encoder.layer.1.output.dense.weight"
    layer = weights.pop(name)
    if change != "missing":
        weights |= {f"{name}s": layer} if change == "renamed" else {name: layer[:4].clone()}
    save_file(weights, path, {"format": "pt"})
    with pytest.raises(UserError, match=f"encoder '{TEXTS}' cannot be used: "):
        encoded().take(np.arange(3))


def test_the_global_generators_are_not_drawn_from(mirror: Path) -> None:
    before = torch.get_rng_state()
    encoded().take(np.arange(2))
    assert torch.equal(torch.get_rng_state(), before)


def test_a_network_that_is_not_in_transformers(mirror: Path) -> None:
    config = mirror / TEXTS / "config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | {"model_type": "of_my_own"}))
    with pytest.raises(UserError, match=f"encoder '{TEXTS}' cannot be used: .*of_my_own"):
        encoded().take(np.arange(3))


def write_texts(mirror: Path, hub_id: str, *, named: bool) -> list[str]:
    """Write 30 train and 20 test texts of two classes; gives all texts."""
    texts = [f"{'a b' if k % 2 else 'c d'} {WORDS[4 + k % 10]}" for k in range(50)]
    label = datasets.Value("string") if named else datasets.ClassLabel(names=["neg", "pos"])
    features = datasets.Features(text=datasets.Value("string"), label=label)
    (mirror / hub_id).mkdir(parents=True)
    for split, rows in (("train", range(30)), ("test", range(30, 50))):
        columns = {
            "text": [texts[k] for k in rows],
            "label": [("sport", "art")[k % 2] if named else k % 2 for k in rows],
        }
        datasets.Dataset.from_dict(columns, features=features).to_parquet(mirror / hub_id / f"{split}-0.parquet")
    return texts


def test_texts_of_a_mirror(mirror: Path, capfd: pytest.CaptureFixture[str]) -> None:
    texts = write_texts(mirror, "stanfordnlp/imdb", named=False)
    capfd.readouterr()
    dataset = DatasetSettings(name="imdb", params={"encoder": TEXTS, "encoder_tokens": 40})
    source = load_source(dataset)
    assert (source.classes, source.standardise) == (("neg", "pos"), True)
    np.testing.assert_array_equal(source.labels, np.arange(50) % 2)
    np.testing.assert_array_equal(source.test_rows, np.arange(30, 50))
    features = source.take(np.array([41, 3]))
    problem = build_problem(dataset, Sizes(train=10, validation=6, test=8), Noise(), 0)
    assert [split.y.sum(dim=0).tolist() for split in (problem.train, problem.test)] == [[5.0, 5.0], [4.0, 4.0]]
    again = build_problem(dataset, Sizes(train=10, validation=6, test=8), Noise(), 0)
    assert torch.equal(again.train.x, problem.train.x)
    assert again.revision == problem.revision
    assert capfd.readouterr() == ("", "")
    expected = plain_features(mirror / TEXTS, [texts[41], texts[3]], 40)
    np.testing.assert_allclose(features, expected, rtol=0, atol=1e-5)


def test_labels_that_are_names_are_classes_in_alphabetical_order(mirror: Path) -> None:
    write_texts(mirror, "some/texts", named=True)
    source = read_labelled_texts("some/texts", "text", "label", TEXTS, 40, standardise=False)
    assert (source.classes, source.standardise) == (("art", "sport"), False)
    np.testing.assert_array_equal(source.labels, (np.arange(50) + 1) % 2)


@pytest.mark.parametrize("name", ["bbc_news", "imdb"])
def test_texts_need_an_encoder(mirror: Path, name: str) -> None:
    message = (
        r"the texts of .* need an encoder, which turns them into features: use encoder = 'sentence-transformers/all"
    )
    with pytest.raises(UserError, match=message):
        load_source(name)


def test_a_column_that_is_not_there(mirror: Path) -> None:
    write_texts(mirror, "some/texts", named=True)
    with pytest.raises(UserError, match=r"cannot read some/texts in the mirror \(.*\): .*topic"):
        read_labelled_texts("some/texts", "text", "topic", TEXTS, 40)


def test_the_network_is_not_loaded_if_all_features_are_known(mirror: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = encoded().take(np.arange(9))
    monkeypatch.setitem(sys.modules, "tokenizers", None)  # importing it would fail
    np.testing.assert_array_equal(encoded().take(np.arange(9)), first)
