"""The command, called in this process, in a folder of its own."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from small_inputs import SUITE, two_classes

from dvbench.cli import main


class Said(NamedTuple):
    code: int
    out: str
    err: str


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The folder in which the command is run, with ``tiny.toml`` and ``table.csv``."""
    (tmp_path / "tiny.toml").write_text(SUITE)
    (tmp_path / "table.csv").write_text("\n".join(two_classes()))
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend("")  # puts sys.path back afterwards
    # What the command sets in the environment is put back; a script's progress bars are its own affair.
    for name in ("TQDM_DISABLE", "OMP_NUM_THREADS", "DVBENCH_MIRROR"):
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)
    before = set(sys.modules)
    yield tmp_path
    for name in set(sys.modules) - before:
        if name.startswith("loose_"):
            del sys.modules[name]


@pytest.fixture
def dvbench(capsys: pytest.CaptureFixture[str]) -> Callable[..., Said]:
    def dvbench(*arguments: object) -> Said:
        capsys.readouterr()
        code = main([str(argument) for argument in arguments])
        return Said(code, *capsys.readouterr())

    return dvbench


@pytest.fixture
def refused(dvbench) -> Callable[..., str]:
    """What is said about something that cannot be done: exit code 2 and one line."""

    def refused(*arguments: object) -> str:
        said = dvbench(*arguments)
        assert said.code == 2
        assert said.err.startswith("error: ")
        assert said.err.endswith("\n")
        assert said.err.count("\n") == 1
        assert "Traceback" not in said.err + said.out
        return said.err.removeprefix("error: ").removesuffix("\n")

    return refused
