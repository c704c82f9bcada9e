"""The losses' gradients and divergences against autograd, torch and closed forms."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch.distributions import Normal, kl_divergence

from dvbench.training.losses import divergences, is_classification, point_losses, predictions, residuals

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
