"""Processes that share minibatches train what one trains. On a processor, as there may be no GPUs."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from dvbench.models.gpt2 import gpt2
from dvbench.training.checkpoints import Checkpoints
from dvbench.training.distributed import train_on_several
from dvbench.training.tensor_model import seeded
from dvbench.training.text_training import train_texts

HOW: dict[str, Any] = {"batch_size": 4, "epochs": 2, "lr": 1e-3, "weight_decay": 0.01, "seed": 0}


@pytest.fixture
def network() -> nn.Module:
    return seeded(lambda: gpt2((8,), 30, layers=1, width=8, heads=2), 0).double()


def texts() -> tuple[torch.Tensor, torch.Tensor]:
    """Five, so that the last minibatch of an epoch is one text, of which the second process has no share."""
    x = torch.randint(0, 29, (5, 8), generator=torch.Generator().manual_seed(0), dtype=torch.int32)
    x[3, 5:] = -1
    return x, torch.ones(5, 1)


def total(network: nn.Module) -> float:
    return sum(parameter.sum().item() for parameter in network.parameters())


@pytest.mark.slow
def test_what_is_trained_is_what_one_process_trains(network: nn.Module, tmp_path: Path) -> None:
    alone, shared = copy.deepcopy(network), copy.deepcopy(network)
    one, _ = train_texts(alone, *texts(), **HOW, on_epoch=lambda: total(alone))
    kept = Checkpoints("run", tmp_path, every=0)
    two, spared = train_on_several(
        shared, *texts(), **HOW, processes=2, checkpoints=kept, on_epoch=lambda: total(shared)
    )
    assert (two.step, spared) == (one.step, 0)
    assert two.epoch_results == pytest.approx(one.epoch_results, rel=1e-9)
    for here, there in zip(alone.parameters(), shared.parameters(), strict=True):
        torch.testing.assert_close(here, there, rtol=1e-7, atol=1e-9)
    assert total(shared) != pytest.approx(total(network))
    again = copy.deepcopy(network)
    taken, spared = train_texts(again, *texts(), **HOW, checkpoints=Checkpoints("run", tmp_path), on_epoch=lambda: None)
    assert (taken.step, taken.epoch_results) == (two.step, two.epoch_results)  # from what the first process kept
    assert spared == taken.seconds
    assert total(again) == total(shared)
