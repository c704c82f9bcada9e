"""Saves checkpoints of long training, so that it can be resumed, and is not repeated once it is complete.

A checkpoint is a folder with the state of a run after some step: tensors in safetensors files, which contain no code,
and ``state.json`` with the hashes of these files and of itself, which is written last. A run is identified by a hash of
everything that its result depends on, so that only the same run can resume it.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import uuid
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import nn

from dvbench.errors import UserError
from dvbench.files import cache_folder, file_sha256

FINISHED_SECONDS = 60.0  # the result of training that takes less is not kept
BETWEEN = 60.0, 600.0  # the fewest and the most seconds between two checkpoints
# A checkpoint takes about this many seconds for a byte of weights and moments, to copy, write and hash it.
WRITING_SECONDS, WRITING_SHARE = 2e-9, 0.1
WORDS = {1: torch.int8, 2: torch.int16, 4: torch.int32, 8: torch.int64}  # by the bytes of an element
ELEMENTS_AT_ONCE = {"cpu": 2**16, "cuda": 2**24}  # that are mixed together, in the cache of a CPU
MIXING = tuple(  # the constants of SplitMix64, as signed numbers
    constant - 2**64 for constant in (0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB)
)
STATE = "state.json"
MOMENTS = ("step", "exp_avg", "exp_avg_sq")
STATE_KEYS = {"step", "seconds", "epoch_results", "sha256"}
FORMAT = b"4"  # part of every key: a checkpoint in another format is never resumed


@dataclass(frozen=True)
class TrainingProgress:
    """Progress of a training run.

    Parameters
    ----------
    step : int
        Number of optimiser steps taken.
    seconds : float
        Duration of these steps, including those before the run was resumed.
    epoch_results : list
        What ``on_epoch`` returned at the start of each epoch so far. JSON must be able to store it.
    """

    step: int
    seconds: float
    epoch_results: list[Any] = field(default_factory=list)


class Checkpoints:
    """The checkpoints of one training run.

    Parameters
    ----------
    key : str
        Hash of everything that the result of the run depends on, from `run_key`.
    folder : Path, optional
        Folder of the checkpoints of all runs; by default ``checkpoints`` in dvbench's cache.
    every : float
        Seconds between two checkpoints; see `seconds_between`.
    """

    def __init__(self, key: str, folder: Path | None = None, every: float = BETWEEN[1]) -> None:
        self.folder = (folder or cache_folder() / "checkpoints") / key
        self.every = every

    def load(self, network: nn.Module, optimiser: torch.optim.Optimizer) -> TrainingProgress | None:
        """Restore weights and moments from the latest checkpoint.

        Returns
        -------
        TrainingProgress, optional
            None if there is no checkpoint.

        Raises
        ------
        UserError
            If a file of the checkpoint does not match its hash.
        """
        steps = sorted(int(path.parent.name) for path in self.folder.glob(f"[0-9]*/{STATE}"))
        if not steps:
            return None
        checkpoint = self.folder / str(steps[-1])
        state = self._read_state(checkpoint)
        weights, moments = (self._read_tensors(checkpoint, name, state["sha256"]) for name in ("weights", "moments"))
        _copy_weights_into(network, weights)
        for name, parameter in network.named_parameters() if moments else ():
            # A fused optimiser needs all of them on the device of the parameter.
            optimiser.state[parameter] = {key: moments[f"{key} {name}"].to(parameter.device) for key in MOMENTS}
        return TrainingProgress(state["step"], state["seconds"], state["epoch_results"])

    @staticmethod
    def _read_state(checkpoint: Path) -> dict[str, Any]:
        path = checkpoint / STATE
        with suppress(ValueError):
            state: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
            known = isinstance(state, dict) and set(state) == STATE_KEYS and isinstance(state["sha256"], dict)
            if known and state["sha256"].pop("state", None) == _state_sha256(state) and "weights" in state["sha256"]:
                return state
        raise UserError(f"{path} is damaged: delete {checkpoint.parent} to train from the start")

    @staticmethod
    def _read_tensors(checkpoint: Path, name: str, hashes: dict[str, str]) -> dict[str, torch.Tensor]:
        from safetensors.torch import load_file

        path = checkpoint / f"{name}.safetensors"
        if name not in hashes:
            return {}
        if not path.is_file() or file_sha256(path) != hashes[name]:
            raise UserError(f"{path} is damaged: delete {checkpoint.parent} to train from the start")
        return load_file(path)

    def save(self, progress: TrainingProgress, network: nn.Module, optimiser: torch.optim.Optimizer | None) -> None:
        """Write a checkpoint atomically, and then delete earlier ones.

        Parameters
        ----------
        progress : TrainingProgress
        network : torch.nn.Module
        optimiser : torch.optim.Optimizer, optional
            None when training is complete: no moments are needed then.

        Raises
        ------
        UserError
            If the checkpoint cannot be written.
        """
        from safetensors.torch import save_file

        tensors = {"weights": _weights_on_cpu(network)}
        if optimiser is not None:
            tensors["moments"] = {
                f"{key} {name}": value.detach().cpu().contiguous()
                for name, parameter in network.named_parameters()
                for key, value in optimiser.state[parameter].items()
            }
        checkpoint, temporary = self.folder / str(progress.step), self.folder / f".{progress.step}-{uuid.uuid4().hex}"
        try:
            temporary.mkdir(parents=True, exist_ok=True)
            for name, named_tensors in tensors.items():
                save_file(named_tensors, temporary / f"{name}.safetensors")
            hashes = {name: file_sha256(temporary / f"{name}.safetensors") for name in tensors}
            state = {**asdict(progress), "sha256": hashes}
            hashes["state"] = _state_sha256(state)
            (temporary / STATE).write_text(json.dumps(state, indent=1) + "\n", encoding="utf-8")
            shutil.rmtree(checkpoint, ignore_errors=True)
            temporary.replace(checkpoint)
        except Exception as error:  # safetensors has its own exceptions, such as for a full disk
            shutil.rmtree(temporary, ignore_errors=True)
            raise UserError(
                f"cannot write a checkpoint in {self.folder}: {' '.join(str(error).split())}; set DVBENCH_CACHE to a "
                "folder on a disk with more space"
            ) from error
        for path in self.folder.glob("[0-9]*"):
            if path != checkpoint:
                shutil.rmtree(path, ignore_errors=True)


def _state_sha256(state: Mapping[str, Any]) -> str:
    """Hash of what ``state.json`` holds besides this hash."""
    return hashlib.sha256(json.dumps(state, sort_keys=True).encode()).hexdigest()


def seconds_between(network: nn.Module) -> float:
    """Seconds between two checkpoints, so that writing them takes a tenth of the time at most, if 10 minutes allow it.

    They are few for small networks, whose training can then be done in short stretches.
    """
    size = 3 * sum(parameter.numel() * parameter.element_size() for parameter in network.parameters())
    return min(max(size * WRITING_SECONDS / WRITING_SHARE, BETWEEN[0]), BETWEEN[1])


def save_weights(network: nn.Module, path: Path) -> None:
    """Write the weights of a network to a safetensors file. Shared weights are written once."""
    from safetensors.torch import save_file

    save_file(_weights_on_cpu(network), path)


def load_weights(network: nn.Module, path: Path) -> None:
    """Copy weights from a file that `save_weights` wrote into a network of the same shapes, on any device."""
    from safetensors.torch import load_file

    _copy_weights_into(network, load_file(path))


def _weights_on_cpu(network: nn.Module) -> dict[str, torch.Tensor]:
    return {name: parameter.detach().cpu().contiguous() for name, parameter in network.named_parameters()}


def _copy_weights_into(network: nn.Module, weights: dict[str, torch.Tensor]) -> None:
    for name, parameter in network.named_parameters():
        parameter.data.copy_(weights[name])


def run_key(network: nn.Module, *parts: object) -> str:
    """Hash of everything that the result of a training run depends on.

    Parameters
    ----------
    network : torch.nn.Module
        Its initial weights are part of the hash, by their `fingerprints`.
    *parts : object
        The data, of which the bytes are hashed, and the settings, of which the ``repr`` is hashed.
    """
    digest = hashlib.sha256(FORMAT)
    named = dict(network.named_parameters())
    for (name, parameter), fingerprint in zip(named.items(), fingerprints(list(named.values())), strict=True):
        digest.update(f"{name} {parameter.dtype} {tuple(parameter.shape)} {fingerprint}".encode())
    for part in parts:
        digest.update(b"\x1f" + (_bytes(part) if isinstance(part, torch.Tensor) else repr(part).encode()))
    return digest.hexdigest()


@torch.no_grad()
def fingerprints(tensors: Sequence[torch.Tensor]) -> list[int]:
    """A number of 64 bits for each tensor that depends on every bit of it, computed on its device.

    Billions of weights on a GPU need not be copied to the CPU for this. Each element is mixed with its position as in
    the finaliser of SplitMix64, and the results are added, so that the order of addition does not matter. It tells
    different weights apart, but is no protection against somebody who makes up weights.

    References
    ----------
    G. L. Steele Jr., D. Lea, C. H. Flood. Fast splittable pseudorandom number generators. OOPSLA 2014.
    """
    sums = []
    for tensor in tensors:
        at_once = ELEMENTS_AT_ONCE.get(tensor.device.type, ELEMENTS_AT_ONCE["cpu"])
        words = tensor.detach().contiguous().reshape(-1).view(WORDS[tensor.element_size()])
        total = torch.zeros((), dtype=torch.int64, device=tensor.device)
        for start in range(0, len(words), at_once):
            part = words[start : start + at_once].long()
            mixed = torch.arange(start + 1, start + 1 + len(part), device=tensor.device).mul_(MIXING[0]).add_(part)
            for shift, factor in zip((30, 27), MIXING[1:], strict=True):
                mixed.bitwise_xor_(mixed >> shift).mul_(factor)
            total += mixed.bitwise_xor_(mixed >> 31).sum()
        sums.append(total)
    return torch.stack(sums).tolist() if sums else []


def _bytes(tensor: torch.Tensor) -> memoryview:
    return tensor.cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data
