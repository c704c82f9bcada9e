"""Processes that start at once on one cache folder: one of them makes a file, and the others wait and read it."""

from __future__ import annotations

import errno
import multiprocessing
import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import filelock
import pytest

from dvbench.files import one_process_at_a_time
from dvbench.problems.token_cache import Passage, Request, token_file
from dvbench.problems.tokenizer import load_vocabulary

PROCESSES = 4


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("DVBENCH_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def start(work: Callable[..., None], *arguments: object) -> Any:
    process = multiprocessing.get_context("fork").Process(target=work, args=arguments)
    process.start()
    return process


def note(path: Path, text: str) -> None:
    with path.open("a") as file:
        file.write(f"{text}\n")


def tokens(notes: Path, killed: bool = False) -> None:
    """Note when texts are read, and what came out."""
    vocabulary = load_vocabulary(300)
    request = Request(origin={}, texts=3, length=5, vocabulary=vocabulary.sha256)

    def texts() -> Iterator[Passage]:
        note(notes, "read")
        time.sleep(0.3)
        if killed:
            os.kill(os.getpid(), signal.SIGKILL)
        yield from (("ab",), ("abcdefgh",), ("c",))

    file = token_file(request, texts, vocabulary, "letters")
    note(notes, f"{file.record.sha256} {file.rows.sum()}")


def test_texts_are_made_tokens_by_one_of_many_processes(cache: Path, text_mirror: Path, tmp_path: Path) -> None:
    processes = [start(tokens, tmp_path / "notes") for _ in range(PROCESSES)]
    for process in processes:
        process.join(60)
        assert process.exitcode == 0
    lines = (tmp_path / "notes").read_text().splitlines()
    assert lines.count("read") == 1
    assert len(lines) == 1 + PROCESSES
    assert len(set(lines)) == 2  # all of them have the same tokens
    assert len(list((cache / "tokens").iterdir())) == 2


def test_another_process_goes_on_when_the_one_that_makes_tokens_is_killed(
    cache: Path, text_mirror: Path, tmp_path: Path
) -> None:
    notes = tmp_path / "notes"
    killed = start(tokens, notes, True)
    while not notes.exists():
        time.sleep(0.01)
    waiting = start(tokens, notes)
    killed.join(60)
    waiting.join(60)
    assert (killed.exitcode, waiting.exitcode) == (-signal.SIGKILL, 0)
    assert notes.read_text().splitlines().count("read") == 2


@pytest.mark.parametrize("number", [errno.ENOSYS, errno.ENOLCK, errno.ENOSPC, errno.EROFS])
def test_where_files_cannot_be_locked_nobody_waits(cache: Path, monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(filelock.FileLock, "acquire", refuse)
    with one_process_at_a_time("a"), one_process_at_a_time("a"):
        pass


def test_an_error_in_what_is_done_is_not_swallowed(cache: Path) -> None:
    with pytest.raises(OSError, match="mine"), one_process_at_a_time("a"):
        raise OSError("mine")
    with one_process_at_a_time("a"):  # it is free again
        assert (cache / "locks").is_dir()


TRAINS = """
    import sys
    import torch
    sys.path[:0] = ["tests/training"]
    from plain_texts import made_texts, tiny_model, weights
    from dvbench.training import language_model

    language_model.LONG_TRAINING = 0
    language_model.seconds_between = lambda network: 0.0
    torch.set_num_threads(1)
    print("ready", flush=True)
    sys.stdin.readline()
    model = tiny_model(dtype=torch.float32).fit(*made_texts(10), batch_size=4, epochs=10, lr=1e-2)
    print(model.fits.resumed_seconds, model.seconds, weights(model.network).sum().item())
"""


@pytest.mark.slow
def test_one_of_several_processes_trains_a_language_model(cache: Path) -> None:
    command = [sys.executable, "-c", textwrap.dedent(TRAINS)]
    pipe = subprocess.PIPE
    runs = [subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True) for _ in range(3)]
    assert [run.stdout.readline() for run in runs if run.stdout] == ["ready\n"] * 3
    said = []
    for run in runs:
        assert run.stdin
        run.stdin.write("\n")
        run.stdin.flush()
    for run in runs:
        said.append(run.communicate(timeout=300)[0].split())
        assert run.returncode == 0
    assert sorted(float(resumed) > 0 for resumed, _, _ in said) == [False, True, True]
    assert len({total for _, _, total in said}) == 1
    assert len(list((cache / "checkpoints").iterdir())) == 1
