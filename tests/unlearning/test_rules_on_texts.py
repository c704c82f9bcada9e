"""Rules and coalitions that unlearning of texts refuses, and what a rule is given."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from plain_texts import LENGTH, made_texts, tiny_model, weights

from dvbench.unlearning.contract import Minibatch, UnlearningMethod
from dvbench.unlearning.factory import make_unlearner
from dvbench.unlearning.language_model_engine import LanguageModelUnlearner
from dvbench.unlearning.stacked_engine import StackedUnlearner
from dvbench.unlearning_methods.gradient_ascent import GradientAscent

X, Y = made_texts(10)
Z, Y_Z = made_texts(7, seed=1)
COALITION = np.array([6, 1, 8])
MODEL = tiny_model().fit(X, Y, batch_size=5, epochs=3, lr=5e-3)
FEW = GradientAscent(steps=4, batch_size=5, lr=0.01, weight_decay=0.3, lambda1=0.4, lambda2=0.7)


def unlearner(method, x=X, y=Y):
    return LanguageModelUnlearner(MODEL, x, y, Z, Y_Z, method)


def test_a_method_that_looks_at_nothing_is_an_error():
    class Idle(UnlearningMethod):
        def rules(self, step):
            return None, None

    with pytest.raises(ValueError, match="Idle uses neither minibatch at step 0"):
        unlearner(Idle(steps=1)).unlearn([COALITION], 0)


def test_a_rule_of_another_shape_is_an_error():
    class Flat(UnlearningMethod):
        def rules(self, step):
            return lambda logits, batch: logits.sum(dim=1), None

    with pytest.raises(ValueError, match="a rule must return a tensor of the shape"):
        unlearner(Flat(steps=1)).unlearn([COALITION], 0)


def test_a_rule_is_given_tokens_as_points():
    shapes = []

    class Looking(UnlearningMethod):
        def rules(self, step):
            def look(logits: torch.Tensor, batch: Minibatch) -> torch.Tensor:
                assert logits.stride(1) == batch.full.stride(1) == 1  # the words of a token follow each other
                shapes.append((logits.shape, batch.full.shape))
                assert batch.y.shape == (1, logits.shape[2])
                torch.testing.assert_close(logits, batch.full)  # before the first step
                return torch.zeros_like(logits)

            return look, look

    unlearner(Looking(steps=1, batch_size=3)).unlearn([COALITION], 0)
    for each in shapes:
        assert len(set(each)) == 1
        copies, vocabulary, tokens = each[0]
        assert (copies, vocabulary) == (1, 29)
        assert 3 <= tokens <= 3 * (LENGTH - 1)


def test_labels_of_points_are_no_labels_of_tokens():
    class Labelling(GradientAscent):
        def labels(self, y, generator):
            return y.flip(0)

    with pytest.raises(ValueError, match=r"^Labelling has labels of points only: define token_labels, for texts$"):
        unlearner(Labelling(steps=1)).unlearn([COALITION], 0)


def test_adapters_are_of_language_models_only(make_model, make_points):
    network, (x, y) = make_model("mlp").network, make_points("mlp", 6)
    with pytest.raises(
        ValueError, match=r"^parameters='lora' works with language models only; choose 'all' or 'head'$"
    ):
        make_unlearner(network, (x, y), (x, y), replace(FEW, parameters="lora"))
    assert isinstance(make_unlearner(network, (x, y), (x, y), FEW), StackedUnlearner)


@pytest.mark.parametrize("coalition", [np.array([10]), np.array([-1]), np.array([0.5])])
def test_what_is_no_coalition_is_refused(coalition):
    with pytest.raises(ValueError, match="a coalition is an array of whole numbers from 0 to 9"):
        unlearner(FEW).unlearn([coalition], 0)


def test_texts_of_which_nothing_counts_pull_nowhere():
    """They may be drawn beside others, or alone."""
    y = Y.clone()
    y[COALITION] = LENGTH
    lone = unlearner(replace(FEW, weight_decay=0.0, lambda1=0.0, lambda2=0.0), X, y).unlearn([COALITION], 0)
    torch.testing.assert_close(weights(lone.network), weights(MODEL.network))
