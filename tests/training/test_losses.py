"""The losses' gradients and divergences against autograd, torch and closed forms."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch.distributions import Normal, kl_divergence

from dvbench.training.losses import (
    divergence_gradients,
    divergences,
    is_classification,
    log_probabilities,
    point_losses,
    predictions,
    residuals,
)

LABELS = torch.eye(3, dtype=torch.float64)[[0, 2, 1, 2]]
TARGETS = torch.tensor([[0.5], [-1.0], [2.0], [0.0]], dtype=torch.float64)
BOTH = pytest.mark.parametrize("y", [LABELS, TARGETS], ids=["classification", "regression"])


def logits_like(y, seed=0):
    return torch.randn(y.shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_one_column_means_regression_and_more_mean_classification():
    assert is_classification(LABELS)
    assert not is_classification(TARGETS)
    assert not is_classification(torch.zeros(5))


def test_losses_by_hand():
    even = torch.zeros(4, 3, dtype=torch.float64)
    torch.testing.assert_close(point_losses(even, LABELS), torch.full((4,), 3.0, dtype=torch.float64).log())
    wanted = torch.tensor([0.125, 0.5, 2.0, 0.0], dtype=torch.float64)
    torch.testing.assert_close(point_losses(torch.zeros_like(TARGETS), TARGETS), wanted)


@BOTH
def test_residuals_are_the_gradient_of_the_losses(y):
    logits = logits_like(y).requires_grad_()
    (gradient,) = torch.autograd.grad(point_losses(logits, y).sum(), logits)
    torch.testing.assert_close(residuals(logits, y), gradient)


def test_divergence_of_classes_is_from_the_model_to_its_reference():
    p, q = logits_like(LABELS, 0), logits_like(LABELS, 1)
    wanted = F.kl_div(q.log_softmax(1), p.log_softmax(1), reduction="none", log_target=True).sum(1)
    torch.testing.assert_close(divergences(p, q, LABELS), wanted)


def test_divergence_of_real_targets_is_that_of_gaussians():
    p, q = logits_like(TARGETS, 0), logits_like(TARGETS, 1)
    torch.testing.assert_close(divergences(p, q, TARGETS), kl_divergence(Normal(p, 1.0), Normal(q, 1.0))[:, 0])


@BOTH
def test_divergence_is_zero_where_models_agree_and_positive_elsewhere(y):
    reference = logits_like(y)
    logits = reference.clone()
    logits[1] += torch.arange(1.0, 1 + y.shape[1])
    actual = divergences(logits, reference, y)
    assert actual[[0, 2, 3]].tolist() == [0, 0, 0]
    assert actual[1] > 0.1


def test_adding_a_number_to_all_logits_changes_no_distribution():
    logits = logits_like(LABELS)
    torch.testing.assert_close(divergences(logits + 7, logits, LABELS), torch.zeros(4, dtype=torch.float64))


def test_certain_models_have_finite_losses_and_divergences():
    certain, opposite = 1000 * LABELS, 1000 * LABELS.roll(1, dims=1)
    assert point_losses(opposite, LABELS).tolist() == [1000.0] * 4
    assert divergences(opposite, certain, LABELS).tolist() == [1000.0] * 4


def test_predictions_are_probabilities_or_the_outputs():
    logits = logits_like(LABELS)
    torch.testing.assert_close(predictions(logits, LABELS), logits.exp() / logits.exp().sum(1, keepdim=True))
    assert torch.equal(predictions(TARGETS, TARGETS), TARGETS)


# Words of a language


def layouts(n=6, words=7):
    """Logits (2, words, n) in both layouts, and the numbers of the words and their one-hot labels."""
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(2, n, words, generator=generator, dtype=torch.float64)
    numbers = torch.randint(words, (2, n), generator=generator)
    one_hot = F.one_hot(numbers, words).double().mT
    return logits.mT, logits.mT.contiguous(), numbers, one_hot


@pytest.mark.parametrize("n", [6, 1])
def test_class_numbers_are_one_hot_labels_in_any_layout(n):
    words_last, points_last, numbers, one_hot = layouts(n)
    expected = point_losses(points_last, one_hot)
    for logits in (words_last, points_last):
        torch.testing.assert_close(point_losses(logits, numbers), expected)
        torch.testing.assert_close(residuals(logits, numbers), residuals(points_last, one_hot))
        torch.testing.assert_close(predictions(logits, numbers), points_last.softmax(dim=1))
        for both in (numbers, one_hot):
            actual = divergences(logits, logits.flip(1), both)
            torch.testing.assert_close(actual, divergences(points_last, points_last.flip(1), one_hot))
            slope = divergence_gradients(logits, logits.flip(1), both)
            torch.testing.assert_close(slope, divergence_gradients(points_last, points_last.flip(1), one_hot))
    assert expected.shape == (2, n)
    flat, labels = points_last[0].T, numbers[0]
    torch.testing.assert_close(point_losses(flat, labels), F.cross_entropy(flat, labels, reduction="none"))
    torch.testing.assert_close(residuals(flat, labels), residuals(flat, one_hot[0].T))


def test_words_stay_next_to_each_other_in_memory():
    words_last, points_last, numbers, _ = layouts()
    for logits, stride in ((words_last, 1), (points_last, 6)):
        for result in (
            log_probabilities(logits),
            predictions(logits, numbers),
            residuals(logits, numbers),
            divergence_gradients(logits, logits.clone(), numbers),
        ):
            assert result.stride(1) == stride
