"""Operations that training takes, against torch's count of them, and what share of a device's that is."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from dvbench.models.gpt2 import gpt2
from dvbench.models.gpt2_tiny import gpt2_tiny
from dvbench.models.gpt2_xl import gpt2_xl
from dvbench.training import throughput
from dvbench.training.throughput import achievable_flops, training_flops, training_speed


def counted_flops(network: nn.Module, width: int) -> float:
    """Of a step on two texts, a token."""
    tokens = torch.zeros(2, width, dtype=torch.int64, device="meta")
    seen = torch.ones(2, 1, width, width, dtype=torch.bool, device="meta")  # or transformers would look at numbers
    with FlopCounterMode(display=False) as counter:
        network(input_ids=tokens, attention_mask=seen).logits.sum().backward()
    return counter.get_total_flops() / tokens.numel()


@pytest.mark.parametrize("width", [64, 1024])
@pytest.mark.parametrize(
    ("build", "params"), [(gpt2_tiny, {}), (gpt2, {}), (gpt2_xl, {"recompute": False})], ids=["tiny", "small", "xl"]
)
def test_operations_are_those_that_torch_counts(build, params, width):
    with torch.device("meta"):
        network = build((width,), 50257, **params)
    assert training_flops(network, width) == pytest.approx(counted_flops(network, width), rel=0.02)


def test_recomputing_does_not_count():
    with torch.device("meta"):
        plain, again = (gpt2_xl((128,), 50257, recompute=recompute) for recompute in (False, True))
    assert training_flops(plain, 128) == training_flops(again, 128)


def test_speed_and_utilisation_by_hand(monkeypatch):
    network = gpt2_tiny((16,), 40, width=8)
    monkeypatch.setattr(throughput, "achievable_flops", lambda device, precision: 1e9)
    actual = training_speed(network, tokens=5000, width=16, seconds=2.0, precision="float32")
    assert actual == {
        "tokens_per_second": 2500.0,
        "flop_utilisation": pytest.approx(2500 * training_flops(network, 16) / 1e9),
    }


def test_what_a_device_can_do_is_the_fastest_of_several_products(monkeypatch):
    seconds = iter([0.4, 0.2, 0.1, 0.3, 0.5])
    asked = []

    def product(left, right):
        asked.append((left.shape, left.dtype, right.shape))
        return next(seconds)

    monkeypatch.setattr(throughput, "_seconds_of_product", product)
    assert achievable_flops(torch.device("cpu"), "bfloat16") == pytest.approx(2 * 1024**3 / 0.1)
    assert set(asked) == {((1024, 1024), torch.bfloat16, (1024, 1024))}


def test_this_machine_multiplies():
    actual = achievable_flops(torch.device("cpu"), "float32")
    assert 1e8 < actual < 1e14
