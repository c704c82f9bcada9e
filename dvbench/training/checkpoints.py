"""Keeps what long training has reached, so that it can be taken up again, or need not be done a second time.

A checkpoint is a folder with the state of a run after some step: tensors in safetensors files, from which nothing is
ever executed, and ``state.json``, written last, with their hashes. A run is known by the hash of all that decides what
it computes, so that only the same run takes it up.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import nn

from dvbench.errors import UserError
from dvbench.files import cache_folder

EVERY_SECONDS = 600.0  # between checkpoints; what trains faster leaves none
STATE = "state.json"
MOMENTS = ("step", "exp_avg", "exp_avg_sq")
STATED = {"step", "seconds", "seen", "sha256"}


@dataclass(frozen=True)
class TrainingProgress:
    """How far a run has come.

    Parameters
    ----------
    step : int
        Optimiser steps taken.
    seconds : float
        They took, in all runs together.
    seen : list
        What was noted at the start of every epoch so far; anything that JSON holds.
    """

    step: int
    seconds: float
    seen: list[Any] = field(default_factory=list)


class Checkpoints:
    """The checkpoints of one training run.

    Parameters
    ----------
    key : str
        Hash of all that decides what the run computes.
    folder : Path, optional
        Of all runs; by default ``checkpoints`` in dvbench's cache.
    every : float
        Seconds between two checkpoints.
    """

    def __init__(self, key: str, folder: Path | None = None, every: float = EVERY_SECONDS) -> None:
        self.folder = (folder or cache_folder() / "checkpoints") / key
        self.every = every

    def load(self, network: nn.Module, optimiser: torch.optim.Optimizer) -> TrainingProgress | None:
        """Take a run up where it was left; None if there is nothing to take up.

        Raises
        ------
        UserError
            If what is there does not match its hash.
        """
        steps = sorted(int(path.parent.name) for path in self.folder.glob(f"[0-9]*/{STATE}"))
        if not steps:
            return None
        place = self.folder / str(steps[-1])
        state = self._state(place)
        weights, moments = (self._read(place, name, state["sha256"]) for name in ("weights", "moments"))
        _put(network, weights)
        for name, parameter in network.named_parameters() if moments else ():
            # A fused optimiser wants all of them beside the parameter.
            optimiser.state[parameter] = {part: moments[f"{part} {name}"].to(parameter.device) for part in MOMENTS}
        return TrainingProgress(state["step"], state["seconds"], state["seen"])

    @staticmethod
    def _state(place: Path) -> dict[str, Any]:
        path = place / STATE
        with suppress(ValueError):
            state = json.loads(path.read_text(encoding="utf-8"))
            if isinstance(state, dict) and set(state) == STATED and "weights" in state["sha256"]:
                return state
        raise UserError(f"{path} is not what was saved: delete {place.parent} to train anew")

    @staticmethod
    def _read(place: Path, name: str, hashes: dict[str, str]) -> dict[str, torch.Tensor]:
        from safetensors.torch import load_file

        path = place / f"{name}.safetensors"
        if name not in hashes:
            return {}
        if not path.is_file() or _sha256(path) != hashes[name]:
            raise UserError(f"{path} is not what was saved: delete {place.parent} to train anew")
        return load_file(path)

    def save(self, reached: TrainingProgress, network: nn.Module, optimiser: torch.optim.Optimizer | None) -> None:
        """Keep the state of a run, whole or not at all, in place of earlier ones.

        Parameters
        ----------
        reached : TrainingProgress
        network : torch.nn.Module
        optimiser : torch.optim.Optimizer, optional
            None when training has come to its end.

        Raises
        ------
        UserError
            If it cannot be written.
        """
        from safetensors.torch import save_file

        tensors = {"weights": _taken(network)}
        if optimiser is not None:
            tensors["moments"] = {
                f"{part} {name}": value.detach().cpu().contiguous()
                for name, parameter in network.named_parameters()
                for part, value in optimiser.state[parameter].items()
            }
        place, temporary = self.folder / str(reached.step), self.folder / f".{reached.step}-{os.getpid()}"
        try:
            temporary.mkdir(parents=True, exist_ok=True)
            for name, parts in tensors.items():
                save_file(parts, temporary / f"{name}.safetensors")
            hashes = {name: _sha256(temporary / f"{name}.safetensors") for name in tensors}
            state = {**asdict(reached), "sha256": hashes}
            (temporary / STATE).write_text(json.dumps(state, indent=1) + "\n", encoding="utf-8")
            shutil.rmtree(place, ignore_errors=True)
            temporary.replace(place)
        except Exception as error:  # safetensors raises errors of its own where a disk is full
            shutil.rmtree(temporary, ignore_errors=True)
            raise UserError(
                f"cannot keep a checkpoint in {self.folder}: {' '.join(str(error).split())}; set DVBENCH_CACHE to a "
                "folder on a disk with more room"
            ) from error
        for old in self.folder.glob("[0-9]*"):
            if old != place:
                shutil.rmtree(old, ignore_errors=True)


def save_weights(network: nn.Module, path: Path) -> None:
    """Write a network's weights; those that are shared once."""
    from safetensors.torch import save_file

    save_file(_taken(network), path)


def load_weights(network: nn.Module, path: Path) -> None:
    """Read what `save_weights` wrote into a network of the same shape, wherever it lives."""
    from safetensors.torch import load_file

    _put(network, load_file(path))


def _taken(network: nn.Module) -> dict[str, torch.Tensor]:
    return {name: parameter.detach().cpu().contiguous() for name, parameter in network.named_parameters()}


def _put(network: nn.Module, weights: dict[str, torch.Tensor]) -> None:
    for name, parameter in network.named_parameters():
        parameter.data.copy_(weights[name])


def run_key(network: nn.Module, *parts: object) -> str:
    """Hash of a network's weights and of whatever else decides what a run computes, by its text or its bytes."""
    digest = hashlib.sha256()
    for name, parameter in network.named_parameters():
        digest.update(f"{name} {parameter.dtype} {tuple(parameter.shape)}".encode())
        digest.update(_bytes(parameter.detach()))
    for part in parts:
        digest.update(b"\x1f" + (_bytes(part) if isinstance(part, torch.Tensor) else repr(part).encode()))
    return digest.hexdigest()


def _bytes(tensor: torch.Tensor) -> memoryview:
    return tensor.cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
