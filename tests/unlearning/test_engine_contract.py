"""Both engines have the one interface that evaluators and tasks use."""

from __future__ import annotations

import inspect

import pytest

import dvbench.unlearning
from dvbench.settings import ModelSettings
from dvbench.training.build import build_model
from dvbench.training.contract import TrainableModel
from dvbench.unlearning import contract
from dvbench.unlearning.engine import Unlearner
from dvbench.unlearning.language_model_engine import LanguageModelUnlearner
from dvbench.unlearning.stacked_engine import StackedUnlearner


@pytest.mark.parametrize("engine", [StackedUnlearner, LanguageModelUnlearner])
def test_engines_have_the_methods_of_the_contract(engine):
    for name in ("outputs_without", "unlearn"):
        expected = inspect.signature(getattr(Unlearner, name)).parameters
        parameters = inspect.signature(getattr(engine, name)).parameters
        assert list(parameters)[: len(expected)] == list(expected)


def test_dvbenchs_models_are_trainable_models():
    mlp = build_model(ModelSettings(name="mlp"), (4,), 3, "classification", seed=0)
    texts = build_model(ModelSettings(name="gpt2_tiny"), (8,), 50, "language", seed=0)
    assert isinstance(mlp, TrainableModel)
    assert isinstance(texts, TrainableModel)
    assert (mlp.kind, texts.kind) == ("classification", "language")
    assert not isinstance(mlp.network, TrainableModel)


def test_the_base_of_methods_has_its_former_name_too():
    assert contract.Method is contract.UnlearningMethod is dvbench.unlearning.UnlearningMethod
