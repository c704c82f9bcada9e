"""Scripts of users, found as beside the command, and a store."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from loose_scripts import HEAD

from dvbench.execution import scoring
from dvbench.results import Store
from dvbench.scoring.retraining import Retraining


@pytest.fixture(autouse=True)
def _private_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """What running sets in the environment is put back."""
    monkeypatch.setenv("TQDM_DISABLE", "1")
    monkeypatch.setenv("OMP_NUM_THREADS", "1")


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "results")


@pytest.fixture
def retrainings(monkeypatch: pytest.MonkeyPatch) -> list[Retraining]:
    """What trains models of coalitions, in the order in which scoring makes them."""
    made: list[Retraining] = []

    class Seen(Retraining):
        def __init__(self, *arguments: object) -> None:
            super().__init__(*arguments)
            made.append(self)

    monkeypatch.setattr(scoring, "Retraining", Seen)
    return made


@pytest.fixture
def trace(tmp_path: Path) -> Path:
    """File to which evaluators of scripts write a line for each valuation."""
    path = tmp_path / "trace"
    path.touch()
    return path


@pytest.fixture
def script(tmp_path: Path, trace: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str, str], None]]:
    """Write a module of evaluators, or write it anew."""
    folder = tmp_path / "scripts"
    folder.mkdir()
    names = []

    def script(name: str, code: str) -> None:
        (folder / f"{name}.py").write_text(HEAD.format(trace=str(trace)) + code)
        monkeypatch.syspath_prepend(folder)
        sys.modules.pop(name, None)
        names.append(name)

    yield script
    for name in names:
        sys.modules.pop(name, None)


@pytest.fixture
def install_tasks(script, tmp_path: Path) -> Callable[[str, str], None]:
    """Write a module of tasks, as an installed distribution would: all its functions with a decorator."""

    def install(name: str, code: str) -> None:
        script(name, f"from dvbench.scoring.contract import Outcome, task\n{code}")
        info = tmp_path / "scripts" / f"{name}-1.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1\n")
        functions = re.findall(r"^@task.*\ndef (\w+)", code, re.MULTILINE)
        points = [f"{function} = {name}:{function}" for function in functions]
        (info / "entry_points.txt").write_text("\n".join(["[dvbench.tasks]", *points]))

    return install
