"""Runs of the command line in processes of their own, which tests end in many ways."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import psutil

MARK = "STARTED_IN_FOLDER"  # an environment variable, which all processes that a run starts inherit
EVALUATORS = """
import os, time
import numpy as np
from opendataval.dataval import DataEvaluator

class Quick(DataEvaluator):
    def __init__(self, random_state=None): super().__init__(random_state=random_state)
    def train_data_values(self, *args, **kwargs): return self
    def evaluate_data_values(self): return self.random_state.normal(size=len(self.x_train))

class Slow(Quick):
    def train_data_values(self, *args, **kwargs):
        with open(os.path.dirname(__file__) + "/slow", "a") as file: file.write(f"{os.getpid()}\\n")
        time.sleep(2)
        return self

class Hanging(Quick):
    def train_data_values(self, *args, **kwargs):
        with open("hanging", "a") as file: file.write(f"{os.getpid()}\\n")
        time.sleep(600)
"""
SUITE = """
version = 1
description = "Quick cells."
seeds = {seeds}
[[problems]]
dataset = "digits"
sizes = {{ train = 30, validation = 20, test = 40 }}
noise = {{ kind = "labels", rate = 0.2 }}
model = "logistic_regression"
training = {{ epochs = 1, batch_size = 32, lr = 0.05 }}
tasks = ["noisy_label_detection", "point_removal"]
"""


def write_inputs(folder: Path, evaluators: tuple[str, ...], seeds: int = 2) -> None:
    """Write a suite, and the evaluators that may stand in it besides those of dvbench."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "loose_ending.py").write_text(EVALUATORS)
    named = "".join(f'[[evaluators]]\nname = "{name}"\n' for name in evaluators)
    (folder / "ending.toml").write_text(SUITE.format(seeds=list(range(seeds))) + named)


def start_run(folder: Path, *words: object, **options: object) -> subprocess.Popen[str]:
    """Start ``dvbench run ending.toml`` in a folder."""
    command = [sys.executable, "-m", "dvbench", "run", "ending.toml", *map(str, words)]
    environment = {**os.environ, MARK: str(folder), "PYTHONPATH": os.pathsep.join([str(Path.cwd()), str(folder)])}
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen(command, cwd=folder, env=environment, **{**pipes, **options})  # type: ignore[call-overload, no-any-return]


def processes_of(folder: Path) -> list[psutil.Process]:
    """All processes that runs in a folder have started, directly or not, and that are not only waiting to be reaped."""
    return [process for process in psutil.process_iter() if _started_in(process) == str(folder)]


def _started_in(process: psutil.Process) -> str | None:
    try:
        return None if process.status() == psutil.STATUS_ZOMBIE else process.environ().get(MARK)
    except (psutil.Error, OSError):  # it has ended, or is another user's
        return None


def arrays(folder: Path) -> dict[str, bytes]:
    """Contents of all arrays of a results folder, by path."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*.npy"))}
