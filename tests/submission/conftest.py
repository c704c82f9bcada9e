"""A bundle of results that were computed: the digits of `quick`, seed 0, valued by a script."""

from __future__ import annotations

import io
import sys
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from made_up_bundles import MINE, TOML, Files, write_zip

from dvbench.cli import main
from dvbench.results import Store
from dvbench.submission.checks import planned_cells

SCRIPT = """
import numpy as np
from opendataval.dataval import DataEvaluator

class Mine(DataEvaluator):
    def __init__(self, scale=1.0, random_state=None):
        self.scale, self.random_state = scale, random_state
    def train_data_values(self, *args, **kwargs):
        return self
    def evaluate_data_values(self):
        return self.scale * self.random_state.normal(size=len(self.x_train))
"""


class Said(NamedTuple):
    code: int
    out: str
    err: str


@pytest.fixture
def dvbench(capsys: pytest.CaptureFixture[str]) -> Callable[..., Said]:
    def dvbench(*arguments: object) -> Said:
        capsys.readouterr()
        code = main([str(argument) for argument in arguments])
        return Said(code, *capsys.readouterr())

    return dvbench


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder in which the command is run, without the script."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [path for path in sys.path if path])
    for name in ("TQDM_DISABLE", "OMP_NUM_THREADS"):
        monkeypatch.setenv(name, "1")
    monkeypatch.setenv("COLUMNS", "300")
    (tmp_path / "submission.toml").write_text(TOML)
    return tmp_path


@pytest.fixture(scope="session")
def scripts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("scripts")
    (folder / "loose_mine.py").write_text(SCRIPT)
    return folder


@pytest.fixture
def installed(scripts: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The script can be imported."""
    monkeypatch.syspath_prepend(scripts)
    yield
    sys.modules.pop("loose_mine", None)


@pytest.fixture(scope="session")
def runs(scripts: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Results of the script, with a plan of what was run."""
    from dvbench.execution.run import run_cells

    store = Store(tmp_path_factory.mktemp("runs"))
    plan = planned_cells("quick", MINE)
    cells = tuple(cell for cell in plan.cells if cell.problem.dataset.name == "digits" and cell.key.seed == 0)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(scripts)
        assert [result.status for result in run_cells(cells, store, "cpu", 0)] == ["ok"] * 3
        sys.modules.pop("loose_mine", None)
    store.write_plan(plan.model_copy(update={"cells": cells}))
    return store.root


@pytest.fixture(scope="session")
def honest(runs: Path, tmp_path_factory: pytest.TempPathFactory) -> Files:
    """Files of the bundle that `dvbench submit` makes of them."""
    from dvbench.submission.pack import pack

    folder = tmp_path_factory.mktemp("honest")
    (folder / "submission.toml").write_text(TOML)
    packed = pack(runs, MINE.name, folder / "submission.toml", folder / "mine.zip")
    with zipfile.ZipFile(io.BytesIO(packed.path.read_bytes())) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


@pytest.fixture
def bundle(here: Path) -> Callable[[Files], Path]:
    return lambda files: write_zip(here / "mine.zip", files)
