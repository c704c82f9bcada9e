"""The precision of matrix products: torch's settings in a step, and that they are put back."""

from __future__ import annotations

from contextlib import suppress

import pytest
import torch

from dvbench.errors import UserError
from dvbench.settings import ModelSettings
from dvbench.training.build import build_model
from dvbench.training.precision import products_in


def settings():
    return torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32


@pytest.mark.parametrize(("precision", "inside"), [("float32", ("highest", False)), ("tf32", ("high", True))])
@pytest.mark.parametrize("before", [("highest", True), ("medium", False)])
def test_a_gpu_rounds_products_and_convolutions_only_if_asked(precision, inside, before):
    """Of its two settings, torch rounds convolutions by default."""
    initial = settings()
    try:
        torch.set_float32_matmul_precision(before[0])
        torch.backends.cudnn.allow_tf32 = before[1]
        with suppress(KeyError), products_in(precision, torch.device("cuda")):
            assert settings() == inside
            raise KeyError
        assert settings() == before
        with products_in(precision, torch.device("cpu")):
            assert settings() == before
    finally:
        torch.set_float32_matmul_precision(initial[0])
        torch.backends.cudnn.allow_tf32 = initial[1]


def test_texts_are_not_in_tf32():
    settings = ModelSettings(name="gpt2_tiny")
    with pytest.raises(UserError, match="tf32 is for models of points"):
        build_model(settings, (8,), 20, "language", seed=0, precision="tf32")


@pytest.mark.parametrize("precision", ["float32", "tf32", "bfloat16"])
def test_products_on_a_cpu(precision):
    with products_in(precision, torch.device("cpu")):
        product = torch.ones(2, 2) @ torch.ones(2, 2)
    assert product.dtype == (torch.bfloat16 if precision == "bfloat16" else torch.float32)
