"""Byte-pair encodings cut to their first tokens, and files of tokens that survive what happens to disks."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
import subprocess
import sys
import textwrap
import time
from collections import namedtuple
from collections.abc import Callable, Iterator
from functools import cache
from itertools import pairwise
from pathlib import Path

import huggingface_hub
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from made_up_corpora import GPT2, VOCABULARY, write_vocabulary

from dvbench.errors import UserError
from dvbench.problems import token_cache
from dvbench.problems.hub import stream
from dvbench.problems.perplexity import PADDING
from dvbench.problems.token_cache import Passage, Request, TokenFile, token_file
from dvbench.problems.tokenizer import Vocabulary, load_vocabulary

REAL = Path(os.environ.get("DVBENCH_MIRROR") or Path(__file__).parents[3] / "shared/data/hub")
needs_gpt2 = pytest.mark.skipif(
    not (REAL / GPT2 / "merges.txt").is_file(),
    reason=f"no mirror of {GPT2}: set DVBENCH_MIRROR to a folder that has it",
)
LETTERS = 257  # tokens of a vocabulary without merges
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


@pytest.fixture
def vocabulary(text_mirror: Path) -> Vocabulary:
    return load_vocabulary(300)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of tokens in a cache of its own."""
    monkeypatch.setenv("DVBENCH_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "tokens"


# The vocabulary


@pytest.mark.parametrize("text", EXAMPLES)
@pytest.mark.parametrize("size", [LETTERS, 258, 700, None])
def test_a_cut_vocabulary_gives_texts_back(text_mirror: Path, size: int | None, text: str) -> None:
    words = load_vocabulary(size)
    (encoded,) = words.encode_batch([text])
    assert words.decode(encoded) == text
    assert all(0 <= token < words.end for token in encoded)
    assert words.end == words.size - 1 == (size or VOCABULARY) - 1


@cache
def learnt(folder: Path, size: int) -> Vocabulary:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DVBENCH_MIRROR", str(folder))
        return load_vocabulary(size)


@given(st.text(), st.sampled_from([LETTERS, 300, 1000, VOCABULARY]))
def test_any_text_is_given_back(made_up_mirror: Path, text: str, size: int) -> None:
    words = learnt(made_up_mirror, size)
    (encoded,) = words.encode_batch([text])
    assert words.decode(encoded) == text
    assert all(token < words.end for token in encoded)


@given(st.text("abdegilmnorst", min_size=1), st.sampled_from([LETTERS, 300, 1000, VOCABULARY]))
def test_merges_are_those_of_the_definition(made_up_mirror: Path, word: str, size: int) -> None:
    """Of one word: merge the pair that was learnt first, everywhere, until there is none."""
    numbers = json.loads((made_up_mirror / GPT2 / "vocab.json").read_bytes())
    lines = (made_up_mirror / GPT2 / "merges.txt").read_text().split("\n")[1:-1]
    ranks = {tuple(line.split(" ")): rank for rank, line in enumerate(lines[: size - LETTERS])}
    parts = list(word)
    while known := [pair for pair in pairwise(parts) if pair in ranks]:
        best, k = min(known, key=ranks.__getitem__), 0
        while k < len(parts) - 1:
            if (parts[k], parts[k + 1]) == best:
                parts[k : k + 2] = ["".join(best)]
            k += 1
    assert learnt(made_up_mirror, size).encode_batch([word]) == [[numbers[part] for part in parts]]


def test_fewer_tokens_other_identity(text_mirror: Path) -> None:
    assert len({load_vocabulary(size).sha256 for size in (LETTERS, 300, 301, None)}) == 4
    assert load_vocabulary(None).sha256 == load_vocabulary(VOCABULARY).sha256


@pytest.mark.parametrize("size", [0, 256, VOCABULARY + 1])
def test_tokens_that_there_are_not(text_mirror: Path, size: int) -> None:
    with pytest.raises(UserError, match=rf"gpt2 has {VOCABULARY} tokens, and {size} were asked for: ask for 257 to"):
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
    with pytest.raises(UserError, match=r"vocab\.json is not laid out as GPT-2's: 256 bytes, a token for each merge"):
        load_vocabulary()


@pytest.mark.parametrize(("name", "content"), [("vocab.json", "{"), ("vocab.json", "[1]"), ("merges.txt", "a b c")])
def test_a_damaged_vocabulary_is_one_line(
    name: str, content: str, text_mirror: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(text_mirror / GPT2, tmp_path / GPT2)
    (tmp_path / GPT2 / name).write_text(content)
    monkeypatch.setenv("DVBENCH_MIRROR", str(tmp_path))
    with pytest.raises(UserError, match=r"cannot read .*vocab\.json and merges\.txt: ") as caught:
        load_vocabulary()
    assert "\n" not in str(caught.value)


def test_a_mirror_without_vocabulary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def refuse(self: object, repo_id: str, **_: object) -> None:
        asked.append(repo_id)
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
    assert asked == [GPT2]  # one attempt, no retries


def test_without_mirror_the_cache_is_enough(text_mirror: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def download(hub_id: str, name: str, *, local_files_only: bool = False) -> str:
        assert local_files_only
        return str(text_mirror / hub_id / name)

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", download)
    monkeypatch.delenv("DVBENCH_MIRROR")
    assert load_vocabulary().size == VOCABULARY


@needs_gpt2
def test_the_whole_of_gpt2_is_what_transformers_has(monkeypatch: pytest.MonkeyPatch) -> None:
    from transformers import GPT2TokenizerFast

    monkeypatch.setenv("DVBENCH_MIRROR", str(REAL))
    words, reference = load_vocabulary(), GPT2TokenizerFast.from_pretrained(str(REAL / GPT2))
    assert (words.size, words.end) == (50257, 50256) == (len(reference), reference.eos_token_id)
    assert words.encode_batch(["Hello world"]) == [[15496, 995]]
    texts = [row["text"] for row in stream("roneneldan/TinyStories", ("text",), "train")][:300]
    texts += [row["text"] for row in stream("allenai/c4", ("text",), "train", "en")][:100]
    texts += [text for text in EXAMPLES if "<|" not in text]
    assert words.encode_batch(texts) == reference(texts, add_special_tokens=False)["input_ids"]
    (plain,) = words.encode_batch(["<|endoftext|>"])
    assert len(plain) > 1
    assert reference.encode("<|endoftext|>") == [words.end]


@needs_gpt2
def test_gpt2_counts_what_others_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DVBENCH_MIRROR", str(REAL))
    texts = [row["text"] for row in stream("HuggingFaceFW/fineweb-edu", ("text",), "train")]
    assert sum(map(len, load_vocabulary().encode_batch(texts))) == 89_288


@needs_gpt2
@pytest.mark.parametrize("size", [LETTERS, 2048, 30_000])
def test_gpt2_is_cut_anywhere(size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DVBENCH_MIRROR", str(REAL))
    words = load_vocabulary(size)
    for text, encoded in zip(EXAMPLES, words.encode_batch(EXAMPLES), strict=True):
        assert words.decode(encoded) == text
        assert max(encoded, default=0) < words.end


# Files of tokens


TEXTS = ["ab", "", "abcdefgh", "  \n", "c"]


def request(vocabulary: Vocabulary, texts: int | None = 3, length: int = 5, **origin: object) -> Request:
    return Request(origin=origin, texts=texts, length=length, vocabulary=vocabulary.sha256)


def make(vocabulary: Vocabulary, texts: int | None = 3, passages: Callable | None = None, **more: object) -> TokenFile:
    given_texts = passages or (lambda: ((text,) for text in TEXTS))
    return token_file(request(vocabulary, texts), given_texts, vocabulary, "letters", **more)  # type: ignore[arg-type]


def never() -> Iterator[Passage]:
    raise AssertionError("texts are read again")


def in_full(vocabulary: Vocabulary) -> list[list[int]]:
    """Rows of TEXTS, by hand: the mark, letters, padding."""
    encoded = vocabulary.encode_batch(["ab", "abcdefgh", "c"])
    return [([vocabulary.end, *row] + [PADDING] * 5)[:5] for row in encoded]


def test_rows_begin_with_the_mark_and_end_with_padding(folder: Path, text_mirror: Path) -> None:
    letters = load_vocabulary(LETTERS)  # one token a letter
    made = make(letters)
    a = letters.encode_batch(["a"])[0][0]
    assert made.rows.tolist() == [
        [256, a, a + 1, PADDING, PADDING],
        [256, a, a + 1, a + 2, a + 3],
        [256, a + 2, PADDING, PADDING, PADDING],
    ]
    assert made.rows.dtype == np.uint16
    assert (made.record.texts, made.record.empty, made.record.tokens) == (3, 2, 7)
    assert made.record.starts == ()
    assert not made.rows.flags.writeable


def test_parts_are_encoded_by_themselves_and_the_last_has_a_start(folder: Path, vocabulary: Vocabulary) -> None:
    passages = [("ab", " c"), ("abcdefgh", " d"), ("x", ""), ("", " e"), ("c", " d")]
    made = make(vocabulary, None, lambda: iter(passages))
    assert (made.record.texts, made.record.empty) == (3, 2)
    for row, start, (first, last) in zip(made.rows, made.record.starts, [passages[k] for k in (0, 1, 4)], strict=True):
        parts = vocabulary.encode_batch([first, last])
        assert start == 1 + len(parts[0])
        wanted = [vocabulary.end, *parts[0], *parts[1]][:5]
        assert row.tolist() == wanted + [PADDING] * (5 - len(wanted))


def test_the_second_time_texts_are_not_read(folder: Path, vocabulary: Vocabulary) -> None:
    first = make(vocabulary)
    again = make(vocabulary, passages=never)
    assert again.record == first.record
    np.testing.assert_array_equal(again.rows, first.rows)
    assert sorted(path.suffix for path in folder.iterdir()) == [".json", ".npy"]
    (path,) = folder.glob("*.npy")
    assert hashlib.sha256(path.read_bytes()).hexdigest() == path.stem == first.record.sha256
    np.testing.assert_array_equal(np.load(path, allow_pickle=False), first.rows)


def test_whatever_is_asked_for_differently_is_made(folder: Path, vocabulary: Vocabulary) -> None:
    requests = [
        request(vocabulary),
        request(vocabulary, texts=2),
        request(vocabulary, texts=None),
        request(vocabulary, length=6),
        request(load_vocabulary(301)),
        request(vocabulary, files=[["train-0.parquet", 12, 1]]),
        request(vocabulary, files=[["train-0.parquet", 12, 2]]),
    ]
    assert len({each.key for each in requests}) == len(requests)


def test_reading_stops_when_there_are_enough(folder: Path, vocabulary: Vocabulary) -> None:
    def texts() -> Iterator[Passage]:
        yield from (("ab",), ("",), ("c",))
        raise AssertionError("read too far")

    assert make(vocabulary, 2, texts).record.empty == 1


def test_batches_change_nothing(folder: Path, vocabulary: Vocabulary, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = make(vocabulary)
    told: list[int] = []
    for limit, value in (("BATCH_TEXTS", 2), ("BATCH_CHARACTERS", 1)):
        shutil.rmtree(folder)
        monkeypatch.setattr(token_cache, limit, value)
        assert make(vocabulary, progress=told.append).record == whole.record
    assert told == [2, 3, 1, 2, 3]


def test_too_few_texts_leave_nothing(folder: Path, vocabulary: Vocabulary) -> None:
    with pytest.raises(UserError, match=r"^letters has 3 texts that are not empty, and 4 were asked for$"):
        make(vocabulary, 4)
    with pytest.raises(UserError, match=r"^letters has no text that is not empty$"):
        make(vocabulary, None, lambda: iter([("",), (" \n",)]))
    assert list(folder.iterdir()) == []


def test_a_disk_that_fills_up(folder: Path, vocabulary: Vocabulary, monkeypatch: pytest.MonkeyPatch) -> None:
    write, written = token_cache._write, []

    def fill_up(file: object, rows: np.ndarray) -> None:
        if written:
            raise OSError(errno.ENOSPC, "No space left on device")
        written.append(rows)
        write(file, rows)  # type: ignore[arg-type]

    monkeypatch.setattr(token_cache, "BATCH_TEXTS", 1)
    monkeypatch.setattr(token_cache, "_write", fill_up)
    with pytest.raises(UserError, match=r"has no room for 1 MB of tokens of letters: set DVBENCH_CACHE to a folder on"):
        make(vocabulary)
    assert list(folder.iterdir()) == []
    monkeypatch.setattr(token_cache, "_write", write)
    assert make(vocabulary).rows.tolist() == in_full(vocabulary)


def test_room_is_looked_for_before_anything_is_read(
    folder: Path, vocabulary: Vocabulary, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(10**12, 10**12, 10 * 10**6))
    with pytest.raises(UserError, match=r"has no room for 1,536 MB of tokens of letters"):
        token_file(request(vocabulary, 10**6, 768), never, vocabulary, "letters")


def test_a_cache_that_cannot_be_written(
    tmp_path: Path, vocabulary: Vocabulary, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("DVBENCH_CACHE", str(tmp_path / "file"))
    with pytest.raises(UserError, match=r"cannot write tokens of letters to .*; set DVBENCH_CACHE to a folder you can"):
        make(vocabulary)


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-3])


def alter(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)


def empty(path: Path) -> None:
    path.write_bytes(b"")


@pytest.mark.parametrize("spoil", [truncate, alter, empty, Path.unlink])
def test_a_spoilt_file_is_made_anew(folder: Path, vocabulary: Vocabulary, spoil: Callable[[Path], None]) -> None:
    make(vocabulary)
    (path,) = folder.glob("*.npy")
    spoil(path)
    assert make(vocabulary).rows.tolist() == in_full(vocabulary)
    assert make(vocabulary, passages=never).rows.tolist() == in_full(vocabulary)


@pytest.mark.parametrize("spoil", [truncate, empty])
def test_a_large_file_is_checked_by_its_size(
    folder: Path, vocabulary: Vocabulary, spoil: Callable[[Path], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(token_cache, "HASHED_BYTES", -1)
    make(vocabulary)
    (path,) = folder.glob("*.npy")
    spoil(path)
    assert make(vocabulary).rows.tolist() == in_full(vocabulary)


@pytest.mark.parametrize("content", ["", "{", "{}", '{"sha256": "../../x", "texts": 3}'])
def test_a_spoilt_record_is_made_anew(folder: Path, vocabulary: Vocabulary, content: str) -> None:
    make(vocabulary)
    (path,) = folder.glob("*.json")
    path.write_text(content)
    assert make(vocabulary).rows.tolist() == in_full(vocabulary)


def test_killed_between_file_and_record(folder: Path, vocabulary: Vocabulary, monkeypatch: pytest.MonkeyPatch) -> None:
    def die(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(token_cache, "write_atomically", die)
        with pytest.raises(KeyboardInterrupt):
            make(vocabulary)
    assert [path.suffix for path in folder.iterdir()] == [".npy"]
    assert make(vocabulary).rows.tolist() == in_full(vocabulary)


KILLED = """
    import os, signal
    from dvbench.problems import token_cache
    from dvbench.problems.tokenizer import load_vocabulary

    token_cache.BATCH_TEXTS = 1
    words = load_vocabulary(300)
    request = token_cache.Request(origin={}, texts=3, length=5, vocabulary=words.sha256)

    def texts():
        yield ("ab",)
        yield ("something else",)
        os.kill(os.getpid(), signal.SIGKILL)

    token_cache.token_file(request, texts, words, "letters")
"""


@pytest.mark.skipif(sys.platform == "win32", reason="has no SIGKILL")
def test_what_a_killed_process_leaves_is_not_used_and_goes_in_time(folder: Path, vocabulary: Vocabulary) -> None:
    run = subprocess.run([sys.executable, "-c", textwrap.dedent(KILLED)], env={**os.environ}, check=False)
    assert run.returncode == -9
    (left,) = folder.iterdir()
    assert left.suffix != ".npy"
    assert make(vocabulary).rows.tolist() == in_full(vocabulary)
    assert left.exists()  # for all that is known, another process is still writing it
    os.utime(left, (time.time() - 2 * token_cache.ABANDONED_SECONDS,) * 2)
    make(vocabulary, 2)
    assert not left.exists()


def test_two_that_make_the_same_do_not_hurt_each_other(folder: Path, vocabulary: Vocabulary) -> None:
    inner: list[TokenFile] = []

    def texts() -> Iterator[Passage]:
        yield ("ab",)
        inner.append(make(vocabulary))  # another begins later and is done first
        yield from ((text,) for text in TEXTS[1:])

    outer = make(vocabulary, passages=texts)
    assert outer.record == inner[0].record
    assert outer.rows.tolist() == inner[0].rows.tolist() == in_full(vocabulary)
    assert len(list(folder.iterdir())) == 2


def test_a_small_vocabulary_can_be_learnt(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_vocabulary(tmp_path / GPT2, ["abab abab cdcd"] * 3, 260)
    monkeypatch.setenv("DVBENCH_MIRROR", str(tmp_path))
    assert load_vocabulary().encode_batch(["abab"]) != load_vocabulary(LETTERS).encode_batch(["abab"])
