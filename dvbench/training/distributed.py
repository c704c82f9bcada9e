"""Trains a language model on several GPUs: one process each, which share every minibatch, by accelerate.

What is trained is what one GPU would train, up to rounding. Processes are started for one training and end with it;
weights go to them and come back as safetensors files.
"""

from __future__ import annotations

import copy
import multiprocessing
import os
import socket
import tempfile
from collections.abc import Callable, Sequence
from datetime import timedelta
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import torch
from torch import nn

from dvbench.training.checkpoints import Checkpoints, TrainingProgress, load_weights, save_weights
from dvbench.training.text_training import train_texts

PATIENCE = timedelta(days=1)  # that processes wait for one another, while one keeps a checkpoint or is watched


def train_on_several(
    network: nn.Module,
    x: torch.Tensor,
    y: torch.Tensor,
    *,
    processes: int,
    checkpoints: Checkpoints | None = None,
    on_epoch: Callable[[], Any] | None = None,
    **how: Any,
) -> tuple[TrainingProgress, float]:
    """Train as `dvbench.training.text_training.train_texts` does, with its parameters and results.

    Parameters
    ----------
    processes : int
        One a GPU; on a processor they share it.

    Raises
    ------
    FloatingPointError
        If training diverged.
    RuntimeError
        If a process died.
    """
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    device, sent = next(network.parameters()).device.type, copy.deepcopy(network).cpu()
    with tempfile.TemporaryDirectory(prefix="dvbench-") as folder:
        weights = Path(folder, "weights.safetensors")
        shared = (processes, _free_port(), device, sent, x, y, how, checkpoints, on_epoch is not None, weights)
        started = [
            context.Process(target=_work, args=(rank, *shared, theirs if rank == 0 else None))
            for rank in range(processes)
        ]
        try:
            for process in started:
                process.start()
            theirs.close()
            return _attend(network, started, ours, weights, on_epoch)
        finally:
            for process in started:
                if process.is_alive():
                    process.terminate()
                process.join()


def _attend(
    network: nn.Module,
    processes: Sequence[BaseProcess],
    ours: Connection,
    weights: Path,
    on_epoch: Callable[[], Any] | None,
) -> tuple[TrainingProgress, float]:
    """Answer the first process until it is done."""
    while True:
        wait([ours, *(process.sentinel for process in processes)])
        if not ours.poll():
            if any(process.exitcode for process in processes):
                raise RuntimeError("a process of a training on several GPUs died; its error is above")
            continue
        kind, content = ours.recv()
        if kind == "diverged":
            raise FloatingPointError(content)
        load_weights(network, weights)
        if kind == "done":
            for process in processes:
                process.join()
            network.eval()
            return content
        ours.send(on_epoch() if on_epoch is not None else None)


def _work(
    rank: int,
    processes: int,
    port: int,
    device: str,
    network: nn.Module,
    x: torch.Tensor,
    y: torch.Tensor,
    how: dict[str, Any],
    checkpoints: Checkpoints | None,
    watched: bool,
    weights: Path,
    theirs: Connection | None,
) -> None:
    from accelerate import Accelerator, InitProcessGroupKwargs

    places = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": processes, "MASTER_PORT": port}
    os.environ.update({name: str(value) for name, value in places.items()}, MASTER_ADDR="127.0.0.1")
    team = Accelerator(cpu=device == "cpu", kwargs_handlers=[InitProcessGroupKwargs(timeout=PATIENCE)])
    network.to(team.device)

    def show() -> Any:
        if theirs is None:  # the others wait in the next step
            return None
        save_weights(network, weights)
        theirs.send(("epoch", None))
        return theirs.recv()

    try:
        found = train_texts(
            network, x, y, **how, checkpoints=checkpoints, on_epoch=show if watched else None, team=team
        )
    except FloatingPointError as error:
        if theirs is not None:
            theirs.send(("diverged", str(error)))
        return
    if theirs is not None:
        save_weights(network, weights)
        theirs.send(("done", found))
    team.wait_for_everyone()
    team.end_training()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
