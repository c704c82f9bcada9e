"""Losses through the output layer, chunk by chunk, against torch's loss of all logits at once."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from plain_texts import made_texts, tiny_model
from torch import nn

from dvbench.training.output_chunks import chunked_loss, logits_of, token_losses
from dvbench.training.text_batches import text_batch

TOKENS, WIDTH, VOCABULARY = 11, 5, 13
TARGETS = torch.randint(VOCABULARY, (TOKENS,), generator=torch.Generator().manual_seed(1))
CHUNKS = pytest.mark.parametrize("size", [1, 4, TOKENS])


def made(dtype=torch.float64, *, bias=True):
    torch.manual_seed(0)
    layer = nn.Linear(WIDTH, VOCABULARY, bias=bias).to(dtype)
    return layer, torch.randn(TOKENS, WIDTH, dtype=dtype).requires_grad_()


def chunks(size):
    return [slice(start, min(start + size, TOKENS)) for start in range(0, TOKENS, size)]


@CHUNKS
@pytest.mark.parametrize("bias", [True, False])
def test_loss_and_gradients_are_those_of_all_logits(size, bias):
    layer, entering = made(bias=bias)
    expected = F.cross_entropy(layer(entering), TARGETS, reduction="sum")
    actual = chunked_loss(layer, entering, chunks(size), token_losses(TARGETS))
    torch.testing.assert_close(actual, expected)
    leaves = [entering, *layer.parameters()]
    for one, other in zip(*(torch.autograd.grad(loss / 3, leaves) for loss in (actual, expected)), strict=True):
        torch.testing.assert_close(one, other)


@CHUNKS
def test_half_precision_is_that_of_the_caller(size):
    layer, entering = made(torch.float32)
    with torch.autocast("cpu", torch.bfloat16):
        expected = F.cross_entropy(layer(entering).float(), TARGETS, reduction="sum")
        actual = chunked_loss(layer, entering, chunks(size), token_losses(TARGETS))
    assert actual.dtype == torch.float32
    torch.testing.assert_close(actual, expected)
    leaves = [entering, *layer.parameters()]
    for one, other in zip(*(torch.autograd.grad(loss, leaves) for loss in (actual, expected)), strict=True):
        assert one.dtype == torch.float32
        torch.testing.assert_close(one, other, rtol=0.02, atol=0.02)


@pytest.mark.parametrize("bias", [True, False])
def test_a_padded_vocabulary_changes_nothing(bias, monkeypatch):
    """In half precision on a GPU, for whose fast kernels it is."""
    monkeypatch.setattr("dvbench.training.output_chunks.MULTIPLE", 8)
    layer, entering = made(torch.float32, bias=bias)
    leaves, results, products = [entering, *layer.parameters()], [], []
    for devices in ((), ("cpu",)):
        monkeypatch.setattr("dvbench.training.output_chunks.PADDED_ON", devices)
        with torch.autocast("cpu", torch.bfloat16):
            logits = logits_of(layer, entering)
            loss = chunked_loss(layer, entering, chunks(4), token_losses(TARGETS))
        products.append(logits.stride(0))
        results.append([logits, loss, *torch.autograd.grad(loss, leaves), *torch.autograd.grad(logits.sum(), leaves)])
    assert products == [VOCABULARY, 16]  # the second is a view of 16 columns
    for one, other in zip(*results, strict=True):
        assert one.shape == other.shape
        torch.testing.assert_close(one, other, rtol=0.01, atol=0.01)


@pytest.mark.parametrize("precision", [torch.float32, torch.float64])
def test_only_half_precision_is_padded(precision, monkeypatch):
    monkeypatch.setattr("dvbench.training.output_chunks.PADDED_ON", ("cpu",))
    layer, entering = made(precision)
    assert logits_of(layer, entering).stride(0) == VOCABULARY


@pytest.mark.parametrize("trained", ["layer", "rest"])
def test_what_is_not_trained_has_no_gradient(trained):
    layer, entering = made()
    (entering if trained == "layer" else layer).requires_grad_(False)
    chunked_loss(layer, entering, chunks(4), token_losses(TARGETS)).backward()
    assert (layer.weight.grad is None) == (trained == "rest")
    assert (entering.grad is None) == (trained == "layer")


def test_logits_of_one_chunk_exist_at_a_time():
    layer, entering = made()
    rows = []
    layer.register_forward_hook(lambda module, args, outputs: rows.append(len(outputs)))
    chunked_loss(layer, entering, chunks(4), token_losses(TARGETS)).backward()
    assert rows == [4, 4, 3]


def test_of_no_tokens_the_loss_and_the_gradients_are_zero():
    layer, entering = made()
    loss = chunked_loss(layer, entering[:0], [], token_losses(TARGETS[:0]))
    loss.backward()
    assert loss == 0
    assert not layer.weight.grad.any()


def test_chunks_are_whole_texts_and_leave_none_out():
    x, y = made_texts(6)
    y[2:4] = x.shape[1]  # nothing counts
    batch = text_batch(x, y)
    ends = torch.tensor(batch.sizes).cumsum(0).tolist()
    assert batch.chunks(1) == [slice(a, b) for a, b in zip([0, *ends], ends, strict=False) if a < b]
    assert batch.chunks(2) == [slice(0, ends[1]), slice(ends[3], ends[5])]
    assert batch.chunks(6) == batch.chunks(100) == [slice(0, len(batch.targets))]
    assert text_batch(x[2:4], y[2:4]).chunks(1) == []


def test_texts_of_which_nothing_counts_train_nothing():
    model, (x, y) = tiny_model(weight_decay=0.0), made_texts(4)
    gradient, tokens = model.loss_gradient(x, torch.full_like(y, x.shape[1]))
    assert tokens == 0
    assert not any(part.any() for part in gradient)
