"""What language models say of texts and how they are trained, against loops over single texts."""

from __future__ import annotations

import copy
import math

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from plain_texts import (
    LENGTH,
    VOCABULARY,
    log_loss,
    made_texts,
    plain_text_training,
    tiny_model,
    token_logits,
    tokens_of,
    weights,
)
from torch.utils.data import Subset
from transformers import GPT2Config, GPT2LMHeadModel

from dvbench.errors import UserError
from dvbench.problems.perplexity import NOT_PREDICTED, PADDING, mean_log_loss, negative_perplexity
from dvbench.problems.subsets import Subsets
from dvbench.settings import ModelSettings
from dvbench.training import build as building
from dvbench.training import pass_size, tensor_model, text_batches
from dvbench.training.build import build_model
from dvbench.training.language_model import LanguageModel
from dvbench.training.memory import pass_bytes
from dvbench.training.pass_size import PassSize
from dvbench.training.recompute import recompute_activations
from dvbench.training.tensor_model import TensorModel
from dvbench.training.text_batches import lengths, passes, text_batch

HOW = {"batch_size": 4, "epochs": 2, "lr": 1e-2}  # ten texts leave a last batch of two
MODEL = tiny_model()


@pytest.fixture
def one_text_a_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("CPU_PASS_BYTES", "CPU_CHUNK_BYTES"):
        monkeypatch.setattr(pass_size, name, 1)


def wide(x: torch.Tensor) -> torch.Tensor:
    """The same rows in a type that holds larger vocabularies."""
    return torch.where(text_batches.are_tokens(x), x.to(torch.int32), -1)


def said_plainly(model: LanguageModel, x: torch.Tensor) -> torch.Tensor:
    expected = torch.full(x.shape, NOT_PREDICTED)
    with torch.no_grad():
        for row, text in enumerate(x):
            logits, tokens = token_logits(model.network, text)
            said = logits.log_softmax(dim=1)
            for position, token in enumerate(tokens):
                expected[row, position + 1] = said[position, token]
    return expected


# What is said


def test_what_is_said_equals_a_loop_over_texts():
    x, _ = made_texts(11)
    actual = MODEL.predict(x)
    torch.testing.assert_close(actual, said_plainly(MODEL, x), rtol=1e-6, atol=1e-6)
    assert (
        (actual == NOT_PREDICTED) == ((torch.arange(LENGTH) == 0) | (torch.arange(LENGTH) >= lengths(x)[:, None]))
    ).all()
    torch.testing.assert_close(MODEL.predict(wide(x)), actual, rtol=0, atol=0)


def test_how_many_texts_go_through_at_once_changes_nothing(monkeypatch):
    x, y = made_texts(7)
    whole = MODEL.predict(x)
    for most in (1, 3):
        monkeypatch.setattr(pass_size, "CPU_PASS_BYTES", most * pass_bytes(MODEL.network, LENGTH))
        size = PassSize(MODEL.network)
        assert size.texts(7, LENGTH) == most
        assert [batch.tokens.shape[0] for _, batch in passes(x, y, size)] == [most] * (7 // most) + [1] * (most > 1)
        torch.testing.assert_close(MODEL.predict(x), whole, rtol=1e-6, atol=1e-6)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(0, 10**6), st.integers(1, 6), st.integers(0, 9))
def test_padding_and_neighbours_never_change_what_is_said_of_a_text(seed, n, more):
    x, _ = made_texts(n, seed)
    padded = torch.cat([x.long(), torch.full((n, more), PADDING)], dim=1).to(torch.uint16)
    together = MODEL.predict(padded)
    assert (together[:, LENGTH:] == NOT_PREDICTED).all()
    for row in range(n):
        size = len(tokens_of(x[row]))
        alone = MODEL.predict(x[row : row + 1, :size])
        torch.testing.assert_close(together[row, :size], alone[0], rtol=1e-6, atol=1e-6)


@settings(max_examples=25, deadline=None)
@given(st.integers(1, LENGTH - 1), st.integers(0, 10**6))
def test_nothing_is_known_of_what_comes_later(position, seed):
    x, _ = made_texts(2, seed)
    x = torch.where(text_batches.are_tokens(x), x.long(), 5).to(torch.uint16)  # two texts of full length
    other = x.clone()
    other[:, position] = (x[:, position].long() + 1).remainder(VOCABULARY - 1).to(torch.uint16)
    before, after = MODEL.predict(x), MODEL.predict(other)
    torch.testing.assert_close(before[:, :position], after[:, :position], rtol=1e-6, atol=1e-6)
    assert not torch.allclose(before[:, position], after[:, position])


def test_a_model_that_knows_nothing_is_as_perplexed_as_there_are_tokens():
    model = tiny_model()
    with torch.no_grad():
        model.network.transformer.wte.weight.zero_()  # tied: all logits are 0
    x, y = made_texts(6)
    assert negative_perplexity(y, model.predict(x)) == pytest.approx(-VOCABULARY, rel=1e-6)


def test_no_texts_are_no_texts():
    x, y = made_texts(3)
    assert MODEL.predict(x[:0]).shape == (0, LENGTH)
    assert text_batch(x[:0], y[:0]).tokens.shape[0] == 0
    assert list(passes(x[:0], y[:0], PassSize(MODEL.network))) == []


def test_a_batch_is_cut_to_its_longest_text():
    x, y = made_texts(5, longest=4)
    batch = text_batch(x, y)
    assert batch.tokens.shape == (5, int(lengths(x).max()))
    assert batch.targets.tolist() == [
        token for row, begin in zip(x, y[:, 0].tolist(), strict=True) for token in tokens_of(row)[begin:]
    ]


def test_what_all_models_put_out_is_turned_as_logits_are():
    x, _ = made_texts(5)
    assert torch.equal(MODEL.all_outputs(x), MODEL.predict(x).T[None])


def test_outputs_that_are_not_finite_are_an_error():
    model = tiny_model()
    with torch.no_grad():
        model.network.transformer.ln_f.weight.fill_(math.nan)
    with pytest.raises(FloatingPointError, match="a model diverged"):
        model.predict(made_texts(2)[0])
    assert not bool(model.finite())
    assert bool(MODEL.finite())


# What is learned


@pytest.mark.parametrize("weight_decay", [0.01, 0.3])
def test_fit_equals_a_plain_training_loop(weight_decay):
    model, (x, y) = tiny_model(weight_decay=weight_decay), made_texts(10)
    expected = plain_text_training(model.network, x, y, seed=3, weight_decay=weight_decay, **HOW)
    untrained = weights(model.network)
    assert model.fit(x, y, **HOW) is model
    torch.testing.assert_close(weights(model.network), weights(expected), rtol=1e-6, atol=1e-8)
    assert (weights(model.network) - untrained).norm() > 0.1


@pytest.mark.usefixtures("one_text_a_pass")
def test_fit_in_several_passes_equals_a_plain_training_loop():
    model, (x, y) = tiny_model(), made_texts(10)
    expected = plain_text_training(model.network, x, y, seed=3, **HOW)
    torch.testing.assert_close(weights(model.fit(x, y, **HOW).network), weights(expected), rtol=1e-6, atol=1e-8)


def test_only_the_tokens_that_count_are_learned():
    x, y = made_texts(10)
    first = tiny_model().fit(x, y, **HOW)
    assert not torch.allclose(weights(first.network), weights(tiny_model().fit(x, torch.ones_like(y), **HOW).network))
    # What is said after the last token, which nothing predicts: other padding in rows that are longer.
    longer = torch.cat([wide(x), torch.full((10, 3), -1)], dim=1)
    assert torch.equal(weights(first.network), weights(tiny_model().fit(longer, y, **HOW).network))


def test_every_epoch_takes_every_text_once_and_epochs_differ():
    from dvbench.training.text_training import text_minibatches

    rows = list(text_minibatches(10, 4, 3, 7))
    assert [len(batch) for batch in rows] == [4, 4, 2] * 3
    epochs = [torch.cat(rows[start : start + 3]).tolist() for start in (0, 3, 6)]
    assert [sorted(epoch) for epoch in epochs] == [list(range(10))] * 3
    assert epochs[0] != epochs[1] != epochs[2]
    assert [batch.tolist() for batch in text_minibatches(10, 4, 2, 7)] == [batch.tolist() for batch in rows[:6]]


def test_the_same_seed_gives_the_same_bits_and_another_does_not():
    x, y = made_texts(10)
    first, again = (weights(tiny_model(dtype=torch.float32).fit(x, y, **HOW).network) for _ in range(2))
    assert torch.equal(first, again)
    other = tiny_model(dtype=torch.float32)
    other.seed = 4
    assert not torch.equal(first, weights(other.fit(x, y, **HOW).network))


def test_clones_share_initial_weights_and_the_count_of_fits():
    model, (x, y) = tiny_model(), made_texts(6)
    clone = model.clone()
    before = weights(model.network)
    clone.fit(x, y, **HOW)
    assert torch.equal(weights(model.network), before)
    assert not torch.equal(weights(clone.network), before)
    assert torch.equal(weights(model.clone().network), before)
    model.clone().fit(x, y, **HOW)
    assert model.fits.count == clone.fits.count == 2


def test_fitted_to_nothing_a_model_stays_as_it_is():
    model, (x, y) = tiny_model(), made_texts(6)
    before = weights(model.network)
    model.fit(x[:0], y[:0], **HOW)
    assert torch.equal(weights(model.network), before)
    assert model.fits.count == 1


def test_opendatavals_subsets_and_groups_of_texts_are_texts():
    x, y = made_texts(10)
    groups = np.array([0, 1] * 5)
    members = torch.arange(10)[groups == 1]
    expected = weights(tiny_model().fit(x[members], y[members], **HOW).network)
    grouped = [Subset(Subsets(part, groups), [1]) for part in (x, y)]
    for parts in ([Subset(part, members.tolist()) for part in (x, y)], grouped):
        assert torch.equal(weights(tiny_model().fit(*parts, **HOW).network), expected)


def test_many_coalitions_are_fitted_as_one_by_one():
    model, (x, y) = tiny_model(), made_texts(8)
    coalitions = [np.array([5, 1, 2]), np.arange(0), np.arange(8)]
    actual = {int(numbers[0]): weights(one.network) for numbers, one in model.fit_many(x, y, coalitions, **HOW)}
    assert list(actual) == [0, 1, 2]
    for number, rows in enumerate(coalitions):
        assert torch.equal(actual[number], weights(tiny_model().fit(x[rows], y[rows], **HOW).network))


def test_what_is_done_at_the_start_of_an_epoch_is_noted_and_changes_nothing():
    model, (x, y) = tiny_model(), made_texts(10)
    expected = weights(tiny_model().fit(x, y, **HOW).network)
    model.fit(x, y, **HOW, on_epoch=lambda: mean_log_loss(y, model.predict(x)))
    assert torch.equal(weights(model.network), expected)
    assert model.epoch_results[0] == pytest.approx(log_loss(tiny_model().network, x, y).item(), rel=1e-6)
    once = tiny_model().fit(x, y, **{**HOW, "epochs": 1})
    assert model.epoch_results[1:] == [pytest.approx(log_loss(once.network, x, y).item(), rel=1e-6)]
    assert model.seconds > 0


def test_training_that_diverges_is_an_error():
    x, y = made_texts(6)
    with pytest.raises(FloatingPointError, match=r"training diverged at learning rate 1e\+200: lower it"):
        tiny_model().fit(x, y, batch_size=2, epochs=2, lr=1e200)


def test_dropout_is_off():
    config = GPT2Config(
        vocab_size=VOCABULARY, n_positions=16, n_layer=1, n_embd=8, n_head=2, bos_token_id=0, eos_token_id=0
    )
    network = GPT2LMHeadModel(config).double()
    assert config.attn_pdrop == config.resid_pdrop == config.embd_pdrop == 0.1
    x, y = made_texts(6)
    plain = copy.deepcopy(network).eval()
    model = LanguageModel(network, 3)
    expected = plain_text_training(plain, x, y, seed=3, **HOW)  # in evaluation mode
    torch.testing.assert_close(weights(model.fit(x, y, **HOW).network), weights(expected), rtol=1e-6, atol=1e-8)


def test_half_precision_learns_about_the_same_and_weights_stay_whole():
    x, y = made_texts(16)
    how = {"batch_size": 8, "epochs": 5, "lr": 1e-2}
    whole, half = (tiny_model(dtype=torch.float32, precision=each) for each in ("float32", "bfloat16"))
    before = mean_log_loss(y, whole.predict(x))
    losses = [mean_log_loss(y, model.fit(x, y, **how).predict(x)) for model in (whole, half)]
    assert losses[0] < before - 0.3
    assert losses[1] == pytest.approx(losses[0], abs=0.1)
    assert losses[1] != losses[0]
    assert {parameter.dtype for parameter in half.network.parameters()} == {torch.float32}
    assert half.predict(x).dtype == torch.float32


def test_settings_are_given_by_name():
    with pytest.raises(TypeError, match="give batch_size, epochs and lr by name"):
        tiny_model().fit(*made_texts(3), 4, 2)


# Gradients


def test_gradients_of_texts_are_those_of_their_mean_losses():
    x, y = made_texts(4)
    for row, gradient in enumerate(MODEL.grad(x, y)):
        loss = log_loss(MODEL.network, x[row : row + 1], y[row : row + 1])
        expected = torch.autograd.grad(loss, list(MODEL.network.parameters()))
        for actual, part in zip(gradient, expected, strict=True):
            torch.testing.assert_close(actual, part, rtol=1e-6, atol=1e-9)


def test_summed_gradients_do_not_depend_on_passes(monkeypatch):
    x, y = made_texts(5)
    whole, tokens = MODEL.loss_gradient(x, y)
    for name in ("CPU_PASS_BYTES", "CPU_CHUNK_BYTES"):
        monkeypatch.setattr(pass_size, name, 1)
    parts, again = MODEL.loss_gradient(x, y)
    expected = torch.autograd.grad(log_loss(MODEL.network, x, y), list(MODEL.network.parameters()))
    assert tokens == again == sum(len(tokens_of(row)) - int(begin) for row, begin in zip(x, y, strict=True))
    for one, other, mean in zip(whole, parts, expected, strict=True):
        torch.testing.assert_close(one, other)
        torch.testing.assert_close(one / tokens, mean, rtol=1e-6, atol=1e-9)


def test_recomputed_blocks_have_the_same_gradients_and_are_recomputed():
    """Blocks are computed again wherever gradients are taken, or memory for them would run out."""
    x, y = made_texts(4)
    plain, again = tiny_model(), tiny_model()
    recompute_activations(again.network)
    calls = []
    again.network.transformer.h[0].attn.register_forward_hook(lambda *_: calls.append(1))
    expected, _ = plain.loss_gradient(x, y)
    actual, _ = again.loss_gradient(x, y)
    for one, other in zip(actual, expected, strict=True):
        torch.testing.assert_close(one, other)
    assert len(calls) == 2
    calls.clear()
    again.fit(x, y, batch_size=4, epochs=1, lr=1e-3, on_epoch=lambda: again.predict(x).sum().item())
    assert len(calls) == 1 + 2  # one to look
    torch.testing.assert_close(
        weights(again.network), weights(plain.fit(x, y, batch_size=4, epochs=1, lr=1e-3).network)
    )


# Building


def build(name, shape, outputs, kind="language", **params):
    return build_model(ModelSettings(name=name, params=params), shape, outputs, kind, seed=0)


def test_tiny_models_are_built_by_name_and_weights_are_drawn_from_the_seed():
    model = build("gpt2_tiny", (16,), 40, width=8)
    assert isinstance(model, LanguageModel)
    config = model.network.config
    assert (config.n_layer, config.n_embd, config.n_head, config.vocab_size) == (2, 8, 2, 40)
    assert config.max_position_embeddings == 1024
    assert build("gpt2", (1500,), 40, layers=1, width=8, heads=1).network.config.max_position_embeddings == 1500
    assert torch.equal(weights(model.network), weights(build("gpt2_tiny", (16,), 40, width=8).network))
    other = build_model(ModelSettings(name="gpt2_tiny", params={"width": 8}), (16,), 40, "language", seed=1)
    assert not torch.equal(weights(model.network), weights(other.network))


@pytest.mark.parametrize(("least", "made_on"), [(10**9, "cpu"), (0, "meta")])
def test_large_models_are_made_on_their_device(least, made_on, monkeypatch):
    """``meta`` stands for a GPU. Small models are made on the CPU, with the same weights for every device."""
    networks, made = [], tensor_model.seeded

    def watched(*args):
        networks.append(made(*args))
        assert {parameter.device.type for parameter in networks[-1].parameters()} == {made_on}
        return networks[-1]

    monkeypatch.setattr(tensor_model, "seeded", watched)
    monkeypatch.setattr(building, "MADE_ON_DEVICE", least)
    states = torch.get_rng_state()
    model = build_model(ModelSettings(name="gpt2_tiny"), (16,), 40, "language", seed=0, device="meta")
    assert model.network is networks[0]
    assert {parameter.device.type for parameter in model.network.parameters()} == {"meta"}
    assert torch.equal(torch.get_rng_state(), states)


def test_texts_want_language_models_and_points_others():
    assert isinstance(build("mlp", (4,), 3, "classification"), TensorModel)
    with pytest.raises(
        UserError, match=r"^model 'mlp' needs points, but the data are texts; see 'dvbench list models'$"
    ):
        build("mlp", (16,), 40)
    with pytest.raises(UserError, match=r"^model 'gpt2_tiny' needs texts, but the data are points"):
        build("gpt2_tiny", (16,), 3, "classification")


@pytest.mark.parametrize("params", [{"heads": 3}, {"depth": 2}])
def test_wrong_parameters_are_one_line(params):
    with pytest.raises(UserError, match=r"^model 'gpt2_tiny': .*see 'dvbench describe gpt2_tiny'$") as error:
        build("gpt2_tiny", (16,), 40, **params)
    assert "\n" not in str(error.value)
