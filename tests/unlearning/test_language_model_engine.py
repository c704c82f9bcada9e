"""Unlearning texts against plain loops of stated losses, and what it must do and leave alone."""

from __future__ import annotations

import copy
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from plain_loops import drawn_rows
from plain_texts import (
    LENGTH,
    VOCABULARY,
    counted,
    log_loss,
    made_texts,
    plain_text_unlearning,
    tiny_model,
    weights,
    weights_that_matter,
)
from transformers.pytorch_utils import Conv1D

from dvbench.problems.perplexity import mean_log_loss
from dvbench.registry import entries
from dvbench.training import pass_size
from dvbench.training.recompute import recompute_activations
from dvbench.training.text_batches import output_layer
from dvbench.unlearning.factory import make_method, make_unlearner
from dvbench.unlearning.language_model_engine import RANK, SCALE, LanguageModelUnlearner
from dvbench.unlearning_methods.fine_tuning import FineTuning
from dvbench.unlearning_methods.gradient_ascent import GradientAscent
from dvbench.unlearning_methods.neg_grad_plus import NegGradPlus
from dvbench.unlearning_methods.plain_ascent import PlainAscent

X, Y = made_texts(10)
Z, Y_Z = made_texts(7, seed=1)
COALITION = np.array([6, 1, 8])
MODEL = tiny_model().fit(X, Y, batch_size=5, epochs=3, lr=5e-3)
FEW = GradientAscent(steps=4, batch_size=5, lr=0.01, weight_decay=0.3, lambda1=0.4, lambda2=0.7)
KINDS = pytest.mark.parametrize("parameters", ["all", "head", "lora"])


def unlearner(method, x=X, y=Y):
    return LanguageModelUnlearner(MODEL, x, y, Z, Y_Z, method)


def of_network(logits, reference):
    """KL(network || full) of every token, and its mean."""
    log_p, log_q = logits.log_softmax(dim=1), reference.log_softmax(dim=1)
    return F.kl_div(log_q, log_p, reduction="batchmean", log_target=True)


def descends(network, method):
    """``- CE(S) + lambda2 KL(T)``, the second from the second step on: before, it is 0 and so is its slope."""

    def loss(step, forget, keep):
        actual = -log_loss(network, X[forget], Y[forget])
        if step:
            with torch.no_grad():
                full, _ = counted(MODEL.network, Z[keep], Y_Z[keep])
            actual = actual + method.lambda2 * of_network(counted(network, Z[keep], Y_Z[keep])[0], full)
        return actual

    return loss


def distance(pairs, weight):
    return lambda: weight * sum((new - old.detach()).square().sum() for new, old in pairs)


def run_plainly(network, loss, squared, method, seed=11):
    rows = drawn_rows(COALITION, len(X), len(Z), method.steps, method.batch_size, seed)
    plain_text_unlearning(network, loss, squared, rows, method.lr, method.weight_decay)


@pytest.fixture
def at_once(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("CPU_PASS_BYTES", "CPU_CHUNK_BYTES"):
        monkeypatch.setattr(pass_size, name, request.param)


in_passes = pytest.mark.parametrize("at_once", [2**28, 1], indirect=True, ids=["one pass", "text by text"])


@in_passes
@pytest.mark.usefixtures("at_once")
@pytest.mark.parametrize("steps", [1, 4])
def test_unlearning_equals_a_plain_loop_of_its_loss(steps):
    method = replace(FEW, steps=steps)
    network = copy.deepcopy(MODEL.network)
    pairs = list(zip(network.parameters(), MODEL.network.parameters(), strict=True))
    run_plainly(network, descends(network, method), distance(pairs, method.lambda1), method)
    actual = unlearner(method).unlearn([COALITION], 11)
    torch.testing.assert_close(weights_that_matter(actual.network), weights_that_matter(network), rtol=1e-6, atol=1e-8)
    assert actual.network.lm_head.weight is actual.network.transformer.wte.weight


@in_passes
@pytest.mark.usefixtures("at_once")
def test_head_alone_equals_a_plain_loop_and_the_embedding_stays():
    method = replace(FEW, parameters="head")
    network = copy.deepcopy(MODEL.network).requires_grad_(False)
    network.lm_head.weight = torch.nn.Parameter(network.lm_head.weight.clone())
    origin = network.lm_head.weight.clone()
    run_plainly(network, descends(network, method), distance([(network.lm_head.weight, origin)], FEW.lambda1), method)
    actual = unlearner(method).unlearn([COALITION], 11).network
    torch.testing.assert_close(actual.lm_head.weight, network.lm_head.weight, rtol=1e-6, atol=1e-8)
    assert not torch.allclose(actual.lm_head.weight, origin)
    for name, parameter in MODEL.network.named_parameters():
        assert torch.equal(dict(actual.named_parameters())[name], parameter), name


class Adapted(torch.nn.Module):
    """A layer with a low-rank product added to its weights (stored transposed)."""

    def __init__(self, layer, down, up):
        super().__init__()
        self.layer, self.down, self.up = layer, torch.nn.Parameter(down), torch.nn.Parameter(up)

    @property
    def added(self):
        return SCALE / RANK * self.up @ self.down

    def forward(self, x):
        return self.layer(x) + x @ self.added.T


@in_passes
@pytest.mark.usefixtures("at_once")
def test_adapters_equal_a_plain_loop_and_the_weights_stay():
    """The distance to the full model is the squared norm of what the adapters add to its weights."""
    method = replace(FEW, parameters="lora")
    start = unlearner(replace(method, steps=1, lr=1e-30, weight_decay=0.0)).unlearn([COALITION], 11).network
    network = copy.deepcopy(MODEL.network).requires_grad_(False)
    adapted = {}
    for name, module in list(network.named_modules()):
        if isinstance(module, Conv1D):
            peer = start.get_submodule(name)
            down, up = (getattr(peer, part)["default"].weight.detach().clone() for part in ("lora_A", "lora_B"))
            assert down.shape[0] == up.shape[1] == RANK
            parent, _, child = name.rpartition(".")
            adapted[name] = Adapted(module, down, torch.zeros_like(up))
            setattr(network.get_submodule(parent), child, adapted[name])
    assert len(adapted) == 8  # four in each of two blocks

    def squared():
        return method.lambda1 * sum(layer.added.square().sum() for layer in adapted.values())

    run_plainly(network, descends(network, method), squared, method)
    actual = unlearner(method).unlearn([COALITION], 11).network
    for name, layer in adapted.items():
        peer = actual.get_submodule(name)
        product = SCALE / RANK * peer.lora_B["default"].weight @ peer.lora_A["default"].weight
        torch.testing.assert_close(product, layer.added, rtol=1e-6, atol=1e-8)
        assert product.norm() > 1e-3
    own = {name.replace(".base_layer", ""): each for name, each in actual.named_parameters() if "lora" not in name}
    for name, parameter in MODEL.network.named_parameters():
        assert torch.equal(own[name], parameter), name


@pytest.mark.parametrize("seed", [0, 5])
def test_adapters_are_drawn_from_the_seed_and_add_nothing_at_first(seed):
    states = torch.get_rng_state()
    still = replace(FEW, parameters="lora", steps=1, lr=1e-30)
    first, again = (unlearner(still).unlearn([COALITION], seed) for _ in range(2))
    assert torch.equal(weights(first.network), weights(again.network))
    assert not torch.equal(weights(first.network), weights(unlearner(still).unlearn([COALITION], seed + 1).network))
    torch.testing.assert_close(first.predict(Z), MODEL.predict(Z))
    assert torch.equal(torch.get_rng_state(), states)


@in_passes
@pytest.mark.usefixtures("at_once")
@pytest.mark.parametrize(
    ("method", "loss"),
    [
        (PlainAscent, lambda forget, keep: -forget()),
        (FineTuning, lambda forget, keep: keep()),
        (partial(NegGradPlus, alpha=0.3), lambda forget, keep: 0.3 * keep() - 0.7 * forget()),
    ],
    ids=["plain_ascent", "fine_tuning", "neg_grad_plus"],
)  # fmt: skip
def test_other_methods_equal_plain_loops_of_their_losses(method, loss):
    method = method(steps=3, batch_size=4, lr=0.01)
    network = copy.deepcopy(MODEL.network)

    def stated(step, forget, keep):
        return loss(lambda: log_loss(network, X[forget], Y[forget]), lambda: log_loss(network, Z[keep], Y_Z[keep]))

    run_plainly(network, stated, lambda: 0.0, method)
    actual = unlearner(method).unlearn([COALITION], 11).network
    torch.testing.assert_close(weights(actual), weights(network), rtol=1e-6, atol=1e-8)


def test_what_is_kept_of_the_full_model_gives_its_logits():
    engine = unlearner(FEW)
    layer = output_layer(MODEL.network)
    expected, _ = counted(MODEL.network, Z, Y_Z)
    torch.testing.assert_close(layer(engine._features), expected)
    begins = engine._begins
    for row in range(len(Z)):
        alone, _ = counted(MODEL.network, Z[row : row + 1], Y_Z[row : row + 1])
        torch.testing.assert_close(layer(engine._features[begins[row] : begins[row + 1]]), alone)


def test_outputs_of_the_full_model_are_what_it_predicts():
    engine = unlearner(FEW)
    assert torch.equal(engine.outputs_full, MODEL.predict(Z).T)
    assert engine.outputs_full.shape == (LENGTH, len(Z))
    for points, expected in ((None, MODEL.predict(Z)), (X, MODEL.predict(X))):
        ((numbers, actual),) = engine.outputs_without([np.arange(0)], 0, points)
        assert numbers.tolist() == [0]
        assert torch.equal(actual, expected.T[None])
    assert engine.count == 0


@KINDS
def test_the_full_model_is_not_changed_and_coalitions_do_not_meet(parameters):
    before = weights(MODEL.network)
    engine = unlearner(replace(FEW, parameters=parameters))
    coalitions = [COALITION, np.arange(0), np.array([0]), np.arange(10)]
    together = {int(numbers[0]): actual for numbers, actual in engine.outputs_without(coalitions, 2)}
    assert torch.equal(weights(MODEL.network), before)
    assert all(parameter.requires_grad and parameter.grad is None for parameter in MODEL.network.parameters())
    assert engine.count == 3
    for number, coalition in enumerate(coalitions):
        ((_, alone),) = engine.outputs_without([coalition], 2)
        assert torch.equal(alone, together[number])
    assert not torch.equal(together[0], together[2])
    ((_, other),) = engine.outputs_without([COALITION], 3)
    assert not torch.equal(other, together[0])


def test_only_the_coalition_and_the_validation_set_are_looked_at():
    x, y = made_texts(10, seed=9)
    kept = torch.from_numpy(np.isin(np.arange(10), COALITION))[:, None]
    x, y = torch.where(kept, X.int(), x.int()).to(torch.uint16), torch.where(kept, Y, y)
    expected, actual = (weights(unlearner(FEW, *data).unlearn([COALITION], 4).network) for data in ((X, Y), (x, y)))
    assert torch.equal(actual, expected)


@KINDS
@pytest.mark.parametrize("name", sorted(entries("unlearning")))
def test_every_method_works_on_texts(name, parameters):
    method = make_method(name, steps=3, batch_size=4, lr=1e-2, parameters=parameters)
    engine = make_unlearner(MODEL, (X, Y), (Z, Y_Z), method)
    assert isinstance(engine, LanguageModelUnlearner)
    first, again = (dict(engine.models_without([COALITION], 7))[0] for _ in range(2))
    assert torch.equal(weights(first.network), weights(again.network))
    assert not torch.allclose(first.predict(X), MODEL.predict(X))
    assert bool(first.finite())


@pytest.mark.parametrize("lr", [{"all": 5e-3, "head": 5e-2, "lora": 2e-2}])
@KINDS
def test_the_loss_on_the_forget_set_rises(parameters, lr):
    rows = torch.from_numpy(COALITION)
    method = PlainAscent(steps=20, batch_size=8, lr=lr[parameters], parameters=parameters)
    unlearned = unlearner(method).unlearn([COALITION], 0)
    before, after = (mean_log_loss(Y[rows], model.predict(X[rows])) for model in (MODEL, unlearned))
    assert after > before + 0.2


def test_wrong_labels_are_drawn_for_tokens_and_never_their_own():
    seen = []
    method = make_method("random_labels", steps=2, batch_size=5, lr=1e-3)

    class Watched(type(method)):
        def token_labels(self, tokens, vocabulary, generator):
            wrong = super().token_labels(tokens, vocabulary, generator)
            seen.append((tokens, wrong))
            return wrong

    unlearner(Watched(steps=2, batch_size=5, lr=1e-3)).unlearn([COALITION], 0)
    forgotten = [batch for batch in seen if len(batch[0])]
    assert len(forgotten) == 2
    for own, wrong in forgotten:
        assert (own != wrong).all()
        assert ((wrong >= 0) & (wrong < VOCABULARY)).all()
        assert len(wrong.unique()) > 3


def test_what_is_watched_changes_nothing_and_ends_at_the_model():
    engine, seen = unlearner(FEW), {}

    def watch(numbers, step, logits):
        seen[step] = logits(X)[0]
        assert numbers.tolist() == [0]

    ((_, actual),) = engine.outputs_without([COALITION], 0, X, watch)
    ((_, unwatched),) = engine.outputs_without([COALITION], 0, X)
    assert torch.equal(actual, unwatched)
    assert list(seen) == [0, 1, 2, 3, 4]
    assert torch.equal(seen[0], MODEL.predict(X).T)
    assert torch.equal(seen[4], actual[0])


def test_blocks_are_recomputed_after_a_look_too():
    """Predicting leaves a network in evaluation mode, in which all activations would be kept."""
    model = MODEL.clone()
    recompute_activations(model.network)
    modes = []
    engine = LanguageModelUnlearner(model, X, Y, Z, Y_Z, PlainAscent(steps=3, batch_size=4, lr=1e-3))

    class Watching(PlainAscent):
        def rules(self, step):
            modes.append(networks[-1].training)
            return super().rules(step)

    networks = []
    engine.method = Watching(steps=3, batch_size=4, lr=1e-3)
    list(engine.models_without([COALITION], 0, lambda numbers, step, logits: networks.append(logits.__self__.network)))
    assert modes == [True, True, True]


@KINDS
def test_divergence_is_an_error(parameters):
    engine = unlearner(replace(FEW, lr=1e200, parameters=parameters))
    message = r"for 1 of 1 coalitions \(the first has 3 texts\) at learning rate 1e\+200: .* fewer steps than 4$"
    with pytest.raises(FloatingPointError, match=message):
        list(engine.outputs_without([COALITION], 0))


def test_half_precision_unlearns_about_the_same():
    models = [tiny_model(dtype=torch.float32, precision=each) for each in ("float32", "bfloat16")]
    whole, half = (
        LanguageModelUnlearner(model, X, Y, Z, Y_Z, PlainAscent(steps=5, batch_size=8, lr=5e-3)).unlearn([COALITION], 0)
        for model in models
    )
    assert half.precision == "bfloat16"
    assert mean_log_loss(Y, half.predict(X)) == pytest.approx(mean_log_loss(Y, whole.predict(X)), abs=0.1)
