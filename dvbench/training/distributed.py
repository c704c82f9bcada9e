"""Trains a language model on several GPUs with accelerate: one process per GPU, and each minibatch split among them.

The result equals that of a single GPU up to rounding. The processes are started for one training run and end with it.
Weights are sent back as safetensors files.
"""

from __future__ import annotations

import copy
import multiprocessing
import os
import socket
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import torch
from torch import nn

from dvbench.training.checkpoints import Checkpoints, TrainingProgress, load_weights, save_weights
from dvbench.training.text_training import train_texts

# How long processes wait for each other: the first one may write a checkpoint or call on_epoch meanwhile.
TIMEOUT = timedelta(days=1)


def train_on_several(
    network: nn.Module,
    x: torch.Tensor,
    y: torch.Tensor,
    *,
    processes: int,
    checkpoints: Checkpoints | None = None,
    on_epoch: Callable[[], Any] | None = None,
    **settings: Any,
) -> tuple[TrainingProgress, float]:
    """Train with several processes. Parameters and results are those of `dvbench.training.text_training.train_texts`.

    Parameters
    ----------
    processes : int
        Number of GPUs. On a CPU, the processes share it.

    Raises
    ------
    FloatingPointError
        If training diverged.
    RuntimeError
        If a process ended with an error.
    """
    context = multiprocessing.get_context("spawn")
    parent_end, child_end = context.Pipe()
    device, sent_network = next(network.parameters()).device.type, copy.deepcopy(network).cpu()
    with tempfile.TemporaryDirectory(prefix="dvbench-") as folder:
        job = _Job(
            processes=processes,
            port=_free_port(),
            device=device,
            network=sent_network,
            x=x,
            y=y,
            settings=settings,
            checkpoints=checkpoints,
            reports_epochs=on_epoch is not None,
            weights=Path(folder, "weights.safetensors"),
        )
        started = [
            context.Process(target=_train_in_process, args=(job, rank, child_end if rank == 0 else None))
            for rank in range(processes)
        ]
        try:
            for process in started:
                process.start()
            child_end.close()
            return _answer_messages(network, started, parent_end, job.weights, on_epoch)
        finally:
            for process in started:
                if process.is_alive():
                    process.terminate()
                process.join()


@dataclass(frozen=True)
class _Job:
    """What is sent to every process; ``settings`` are keyword arguments of `train_texts`."""

    processes: int
    port: int
    device: str
    network: nn.Module
    x: torch.Tensor
    y: torch.Tensor
    settings: dict[str, Any]
    checkpoints: Checkpoints | None
    reports_epochs: bool
    weights: Path


def _answer_messages(
    network: nn.Module,
    processes: Sequence[BaseProcess],
    connection: Connection,
    weights: Path,
    on_epoch: Callable[[], Any] | None,
) -> tuple[TrainingProgress, float]:
    """Answer the messages of the first process until training is complete."""
    while True:
        wait([connection, *(process.sentinel for process in processes)])
        if not connection.poll():
            if any(process.exitcode for process in processes):
                raise RuntimeError("a process that trained on one of several GPUs failed; its error is printed above")
            continue
        message, content = connection.recv()
        if message == "diverged":
            raise FloatingPointError(content)
        load_weights(network, weights)
        if message == "done":
            for process in processes:
                process.join()
            network.eval()
            result: tuple[TrainingProgress, float] = content
            return result
        connection.send(on_epoch() if on_epoch is not None else None)


def _train_in_process(job: _Job, rank: int, connection: Connection | None) -> None:
    """Train in the process number ``rank``. Only the first process has a connection to the parent."""
    from accelerate import Accelerator, InitProcessGroupKwargs

    variables = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": job.processes, "MASTER_PORT": job.port}
    os.environ.update({name: str(value) for name, value in variables.items()}, MASTER_ADDR="127.0.0.1")
    accelerator = Accelerator(cpu=job.device == "cpu", kwargs_handlers=[InitProcessGroupKwargs(timeout=TIMEOUT)])
    network = job.network.to(accelerator.device)

    def report_epoch() -> Any:
        if connection is None:  # the other processes wait for the first one in the next step
            return None
        save_weights(network, job.weights)
        connection.send(("epoch", None))
        return connection.recv()

    try:
        result = train_texts(
            network,
            job.x,
            job.y,
            **job.settings,
            checkpoints=job.checkpoints,
            on_epoch=report_epoch if job.reports_epochs else None,
            accelerator=accelerator,
        )
    except FloatingPointError as error:
        if connection is not None:
            connection.send(("diverged", str(error)))
        return
    if connection is not None:
        save_weights(network, job.weights)
        connection.send(("done", result))
    accelerator.wait_for_everyone()
    accelerator.end_training()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
