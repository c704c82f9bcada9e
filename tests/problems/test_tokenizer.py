"""GPT-2's byte-pair encoding and its smaller versions: encoding, decoding, and damaged vocabulary files."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from functools import cache
from itertools import pairwise
from pathlib import Path

import huggingface_hub
import pytest
from hypothesis import given
from hypothesis import strategies as st
from made_up_corpora import GPT2, VOCABULARY, write_vocabulary

from dvbench.errors import UserError
from dvbench.problems.hub import stream
from dvbench.problems.tokenizer import Vocabulary, load_vocabulary

REAL = Path(os.environ.get("DVBENCH_MIRROR") or Path(__file__).parents[3] / "shared/data/hub")
needs_gpt2 = pytest.mark.skipif(
    not (REAL / GPT2 / "merges.txt").is_file(),
    reason=f"no mirror of {GPT2}: set DVBENCH_MIRROR to a folder that has it",
)
BYTES_ONLY = 257  # tokens of a vocabulary without merges
EXAMPLES = [
    "",
    " ",
    "Hello world",
    "naïve café — “déjà vu”",
    "日本語のテキスト",
    "👩‍👩‍👧 emoji 🎉\r\n\ttabs   and spaces  ",
    "it's, we'll; 12345 <unk> @-@",
    "<|endoftext|>",
    "a\x00b\u2028c\ufeff",
]


@pytest.mark.parametrize("text", EXAMPLES)
@pytest.mark.parametrize("size", [BYTES_ONLY, 258, 700, None])
def test_decoding_returns_the_text(text_mirror: Path, size: int | None, text: str) -> None:
    vocabulary = load_vocabulary(size)
    (encoded,) = vocabulary.encode_batch([text])
    assert vocabulary.decode(encoded) == text
    assert all(0 <= token < vocabulary.begin_of_text for token in encoded)
    assert vocabulary.begin_of_text == vocabulary.size - 1 == (size or VOCABULARY) - 1


@cache
def load_from(folder: Path, size: int) -> Vocabulary:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DVBENCH_MIRROR", str(folder))
        return load_vocabulary(size)


@given(st.text(), st.sampled_from([BYTES_ONLY, 300, 1000, VOCABULARY]))
def test_decoding_returns_any_text(made_up_mirror: Path, text: str, size: int) -> None:
    vocabulary = load_from(made_up_mirror, size)
    (encoded,) = vocabulary.encode_batch([text])
    assert vocabulary.decode(encoded) == text
    assert all(token < vocabulary.begin_of_text for token in encoded)


@given(st.text("abdegilmnorst", min_size=1), st.sampled_from([BYTES_ONLY, 300, 1000, VOCABULARY]))
def test_merges_follow_the_definition(made_up_mirror: Path, word: str, size: int) -> None:
    """In a word, merge the pair that was learnt first, at all its positions, until no pair can be merged."""
    numbers = json.loads((made_up_mirror / GPT2 / "vocab.json").read_bytes())
    lines = (made_up_mirror / GPT2 / "merges.txt").read_text().split("\n")[1:-1]
    ranks = {tuple(line.split(" ")): rank for rank, line in enumerate(lines[: size - BYTES_ONLY])}
    parts = list(word)
    while known := [pair for pair in pairwise(parts) if pair in ranks]:
        best, k = min(known, key=ranks.__getitem__), 0
        while k < len(parts) - 1:
            if (parts[k], parts[k + 1]) == best:
                parts[k : k + 2] = ["".join(best)]
            k += 1
    assert load_from(made_up_mirror, size).encode_batch([word]) == [[numbers[part] for part in parts]]


def test_the_number_of_tokens_changes_the_hash(text_mirror: Path) -> None:
    assert len({load_vocabulary(size).sha256 for size in (BYTES_ONLY, 300, 301, None)}) == 4
    assert load_vocabulary(None).sha256 == load_vocabulary(VOCABULARY).sha256


@pytest.mark.parametrize("size", [0, 256, VOCABULARY + 1])
def test_a_size_beyond_the_vocabulary_is_refused(text_mirror: Path, size: int) -> None:
    with pytest.raises(UserError, match=rf"gpt2 has {VOCABULARY} tokens, not {size}: ask for 257 to"):
        load_vocabulary(size)


def shift(numbers: dict[str, int], merges: list[str]) -> None:
    numbers.update({token: number + 1 for token, number in numbers.items()})


def swap(numbers: dict[str, int], merges: list[str]) -> None:
    merges[5], merges[9] = merges[9], merges[5]


def drop(numbers: dict[str, int], merges: list[str]) -> None:
    del merges[-2:]


def rename(numbers: dict[str, int], merges: list[str]) -> None:
    numbers["<eos>"] = numbers.pop("<|endoftext|>")


def unknown_letter(numbers: dict[str, int], merges: list[str]) -> None:
    (zero,) = (token for token, number in numbers.items() if number == 0)
    numbers["日"] = numbers.pop(zero)


@pytest.mark.parametrize("spoil", [shift, swap, drop, rename, unknown_letter])
def test_a_vocabulary_of_another_layout_is_refused(
    spoil: Callable, text_mirror: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    numbers = json.loads((text_mirror / GPT2 / "vocab.json").read_bytes())
    merges = (text_mirror / GPT2 / "merges.txt").read_text().split("\n")
    spoil(numbers, merges)
    (tmp_path / GPT2).mkdir(parents=True)
    (tmp_path / GPT2 / "vocab.json").write_text(json.dumps(numbers))
    (tmp_path / GPT2 / "merges.txt").write_text("\n".join(merges))
    monkeypatch.setenv("DVBENCH_MIRROR", str(tmp_path))
    with pytest.raises(
        UserError, match=r"vocab\.json does not have GPT-2's layout: 256 bytes, one token for each merge"
    ):
        load_vocabulary()


@pytest.mark.parametrize(("name", "content"), [("vocab.json", "{"), ("vocab.json", "[1]"), ("merges.txt", "a b c")])
def test_a_damaged_vocabulary_is_refused_in_one_line(
    name: str, content: str, text_mirror: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(text_mirror / GPT2, tmp_path / GPT2)
    (tmp_path / GPT2 / name).write_text(content)
    monkeypatch.setenv("DVBENCH_MIRROR", str(tmp_path))
    with pytest.raises(UserError, match=r"cannot read .*vocab\.json and merges\.txt: ") as caught:
        load_vocabulary()
    assert "\n" not in str(caught.value)


def test_a_mirror_without_vocabulary_and_no_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    requests: list[str] = []

    def refuse(self: object, repo_id: str, **_: object) -> None:
        requests.append(repo_id)
        raise ConnectionError("no network\nat all")

    monkeypatch.setattr(huggingface_hub.HfApi, "model_info", refuse)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "empty"))
    monkeypatch.setenv("DVBENCH_MIRROR", str(tmp_path))
    with pytest.raises(UserError) as caught:
        load_vocabulary()
    assert str(caught.value) == (
        "cannot get openai-community/gpt2/vocab.json: no mirror has it, and the Hugging Face hub gave no answer "
        "(no network); pass --mirror DIR or set DVBENCH_MIRROR to a folder that has it"
    )
    assert requests == [GPT2]  # one attempt, no retries


def test_without_mirror_the_cache_is_read(text_mirror: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def download(hub_id: str, name: str, *, local_files_only: bool = False) -> str:
        assert local_files_only
        return str(text_mirror / hub_id / name)

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", download)
    monkeypatch.delenv("DVBENCH_MIRROR")
    assert load_vocabulary().size == VOCABULARY


@needs_gpt2
def test_gpt2_encodes_like_transformers(monkeypatch: pytest.MonkeyPatch) -> None:
    from transformers import GPT2TokenizerFast

    monkeypatch.setenv("DVBENCH_MIRROR", str(REAL))
    vocabulary, reference = load_vocabulary(), GPT2TokenizerFast.from_pretrained(str(REAL / GPT2))
    assert (vocabulary.size, vocabulary.begin_of_text) == (50257, 50256) == (len(reference), reference.eos_token_id)
    assert vocabulary.encode_batch(["Hello world"]) == [[15496, 995]]
    texts = [row["text"] for row in stream("roneneldan/TinyStories", ("text",), "train")][:300]
    texts += [row["text"] for row in stream("allenai/c4", ("text",), "train", "en")][:100]
    texts += [text for text in EXAMPLES if "<|" not in text]
    assert vocabulary.encode_batch(texts) == reference(texts, add_special_tokens=False)["input_ids"]
    (plain,) = vocabulary.encode_batch(["<|endoftext|>"])
    assert len(plain) > 1
    assert reference.encode("<|endoftext|>") == [vocabulary.begin_of_text]


@needs_gpt2
def test_the_number_of_gpt2_tokens_of_a_sample_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DVBENCH_MIRROR", str(REAL))
    texts = [row["text"] for row in stream("HuggingFaceFW/fineweb-edu", ("text",), "train")]
    assert sum(map(len, load_vocabulary().encode_batch(texts))) == 89_288


@needs_gpt2
@pytest.mark.parametrize("size", [BYTES_ONLY, 2048, 30_000])
def test_gpt2_with_any_number_of_tokens(size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DVBENCH_MIRROR", str(REAL))
    vocabulary = load_vocabulary(size)
    for text, encoded in zip(EXAMPLES, vocabulary.encode_batch(EXAMPLES), strict=True):
        assert vocabulary.decode(encoded) == text
        assert max(encoded, default=0) < vocabulary.begin_of_text


def test_a_merge_changes_the_encoding(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_vocabulary(tmp_path / GPT2, ["abab abab cdcd"] * 3, 260)
    monkeypatch.setenv("DVBENCH_MIRROR", str(tmp_path))
    assert load_vocabulary().encode_batch(["abab"]) != load_vocabulary(BYTES_ONLY).encode_batch(["abab"])
