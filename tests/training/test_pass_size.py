"""How many texts go through a network at a time: from free memory, and half of it when memory runs out."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from plain_texts import LENGTH, made_texts, tiny_model, weights, weights_that_matter

from dvbench.models.gpt2 import gpt2
from dvbench.models.gpt2_xl import gpt2_xl
from dvbench.training import pass_size
from dvbench.training.memory import LOGITS_UNLEARNING, logits_bytes, pass_bytes
from dvbench.training.pass_size import ENOUGH_TOKENS, FEW_TOKENS, LOGITS_SHARE, MARGIN, PassSize
from dvbench.training.recompute import recomputation, recompute_activations, recomputes_activations
from dvbench.training.text_training import training_bytes
from dvbench.unlearning.language_model_engine import LanguageModelUnlearner
from dvbench.unlearning_methods.gradient_ascent import GradientAscent
from dvbench.unlearning_methods.random_labels import RandomLabels

GB = 10**9
HOW = {"batch_size": 8, "epochs": 2, "lr": 1e-2}


def on_a_gpu(monkeypatch, build, free: float, **settings) -> PassSize:
    """The size for a network on a device with so many free bytes; ``meta`` stands for the GPU."""
    monkeypatch.setattr(pass_size, "memory_of", lambda device: int(free))
    with torch.device("meta"):
        return PassSize(build((768,), 50257), **settings)


def coming(build) -> int:
    with torch.device("meta"):
        return training_bytes(build((768,), 50257), "bfloat16")


def test_free_memory_is_used_with_a_margin(monkeypatch):
    with torch.device("meta"):
        network = gpt2((768,), 50257)
    size = on_a_gpu(monkeypatch, gpt2, 20 * GB, coming=GB)
    room = MARGIN * 20 * GB - GB
    assert size.tokens == pytest.approx((1 - 1 / LOGITS_SHARE) * room / pass_bytes(network, 1), abs=1)
    assert size.chunk_tokens == pytest.approx(room / LOGITS_SHARE / logits_bytes(network, 1), abs=1)
    fewer = on_a_gpu(monkeypatch, gpt2, 20 * GB, coming=GB, logits=LOGITS_UNLEARNING)
    assert (fewer.tokens, fewer.chunk_tokens) == (size.tokens, pytest.approx(size.chunk_tokens * 2 / 5, abs=1))
    assert size.texts(10**6, 768) == size.tokens // 768
    assert size.texts(3, 768) == 3


def test_a_large_gpu_takes_a_whole_minibatch_at_once(monkeypatch):
    size = on_a_gpu(monkeypatch, gpt2, 139e9, coming=coming(gpt2))
    assert size.tokens == ENOUGH_TOKENS
    assert size.texts(32, 768) == 32
    assert size.chunk_texts(768) >= 32


def test_no_memory_is_one_text(monkeypatch):
    for free in (0, 1000):
        size = on_a_gpu(monkeypatch, gpt2, free, coming=GB)
        assert (size.texts(8, 768), size.chunk_texts(768)) == (1, 1)


@pytest.mark.parametrize(
    ("build", "free", "recompute"),
    [
        (gpt2, 139, False),
        (gpt2, 10, False),
        (gpt2, 3, True),
        (gpt2_xl, 139, False),
        (gpt2_xl, 74, False),
        (gpt2_xl, 35, True),
    ],
)
def test_activations_are_recomputed_where_few_tokens_would_fit(monkeypatch, build, free, recompute):
    size = on_a_gpu(monkeypatch, build, free * GB, coming=coming(build))
    assert size.recompute is recompute
    assert recompute or size.tokens >= FEW_TOKENS


def test_a_model_that_always_recomputes_is_left_so():
    network = tiny_model().network
    assert not PassSize(network).recompute
    recompute_activations(network)
    assert PassSize(network).recompute
    with recomputation(network, True):
        pass
    assert recomputes_activations(network)


def test_recomputation_ends_with_its_run():
    network = tiny_model().network
    with recomputation(network, False):
        assert not recomputes_activations(network)
    with recomputation(network, True):
        assert recomputes_activations(network)
    assert not recomputes_activations(network)


def test_recomputing_for_want_of_memory_changes_no_number(monkeypatch):
    x, y = made_texts(8)
    expected = tiny_model().fit(x, y, **HOW)
    gradient, _ = expected.loss_gradient(x, y)
    method = GradientAscent(steps=3, batch_size=4, lr=1e-2)
    unlearned = LanguageModelUnlearner(expected, x, y, x, y, method).unlearn([np.arange(3)], 0)
    monkeypatch.setattr(pass_size, "memory_of", lambda device: 10_000)
    model, calls = tiny_model(), []
    assert PassSize(model.network).recompute
    model.network.transformer.h[0].attn.register_forward_hook(lambda *_: calls.append(1))
    model.fit(x, y, **HOW)
    assert len(calls) == 2 * 8 * HOW["epochs"]  # every text alone, and again
    torch.testing.assert_close(weights(model.network), weights(expected.network), rtol=1e-6, atol=1e-8)
    for one, other in zip(model.loss_gradient(x, y)[0], gradient, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-6, atol=1e-6)
    calls.clear()
    again = LanguageModelUnlearner(model, x, y, x, y, method).unlearn([np.arange(3)], 0)
    assert len(calls) > 2 * 4 * 3
    actual, wanted = (weights_that_matter(each.network) for each in (again, unlearned))
    torch.testing.assert_close(actual, wanted, rtol=1e-5, atol=1e-7)


# When memory runs out


@pytest.fixture
def memory_for(monkeypatch: pytest.MonkeyPatch):
    """Let memory run out in every backward pass of more texts than a number; note the sizes that were tried."""
    tried: list[int] = []

    def limit(model, texts: int, *, in_gradients: bool = True) -> list[int]:
        def check(module, args, kwargs, output):
            tokens = kwargs["input_ids"]
            tried.append(len(tokens))

            def runs_out(gradient):
                if len(tokens) > texts:
                    raise torch.OutOfMemoryError
                return gradient

            if not in_gradients:
                runs_out(None)
            elif output.last_hidden_state.requires_grad:
                output.last_hidden_state.register_hook(runs_out)

        model.network.transformer.register_forward_hook(check, with_kwargs=True)
        return tried

    return limit


def test_training_goes_on_with_passes_of_half_the_size(memory_for):
    x, y = made_texts(8)
    expected, model = tiny_model().fit(x, y, **HOW), tiny_model()
    tried = memory_for(model, 2)
    model.fit(x, y, **HOW)
    assert tried == [8, 4, 2, 2, 2, 2, 2, 2, 2, 2]
    torch.testing.assert_close(weights(model.network), weights(expected.network), rtol=1e-6, atol=1e-8)


def test_unlearning_goes_on_with_passes_of_half_the_size(memory_for):
    x, y = made_texts(8)
    full = tiny_model().fit(x, y, **HOW)
    for method in (GradientAscent(steps=3, batch_size=8, lr=1e-2), RandomLabels(steps=2, batch_size=8, lr=1e-2)):
        expected = LanguageModelUnlearner(full, x, y, x, y, method).unlearn([np.arange(3)], 0)
        model = full.clone()
        tried = memory_for(model, 2)
        actual = LanguageModelUnlearner(model, x, y, x, y, method).unlearn([np.arange(3)], 0)
        assert max(tried) == 8
        one, other = (weights_that_matter(each.network) for each in (actual, expected))
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-7)


def test_outputs_and_gradients_go_on_with_passes_of_half_the_size(memory_for):
    x, y = made_texts(8)
    expected, model = tiny_model(), tiny_model()
    tried = memory_for(model, 3, in_gradients=False)
    torch.testing.assert_close(model.predict(x), expected.predict(x))
    assert tried == [8, 4, 2, 2, 2, 2]
    torch.testing.assert_close(model.features(x, y), expected.features(x, y))
    for one, other in zip(model.loss_gradient(x, y)[0], expected.loss_gradient(x, y)[0], strict=True):
        torch.testing.assert_close(one, other)


def test_no_memory_for_one_text_is_an_error(memory_for):
    x, y = made_texts(4)
    model = tiny_model()
    tried = memory_for(model, 0)
    before = copy.deepcopy(weights(model.network))
    with pytest.raises(torch.OutOfMemoryError):
        model.fit(x, y, **HOW)
    assert tried == [4, 2, 1]
    assert torch.equal(weights(model.network), before)


def test_chunks_shrink_with_passes():
    size, tried = PassSize(tiny_model().network), []
    size.chunk_tokens = 10**6

    def compute():
        tried.append((size.texts(8, LENGTH), size.chunk_texts(LENGTH)))
        if tried[-1][0] > 3:
            raise torch.OutOfMemoryError

    size.attempt(compute)
    assert tried == [(8, 10**6 // LENGTH), (4, 4), (2, 2)]
