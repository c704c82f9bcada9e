"""Constructors of evaluators refuse wrong numbers, before anything is computed; and which evaluators take a model."""

from __future__ import annotations

import re

import numpy as np
import pytest
from opendataval.dataval import ModelMixin

from dvbench.errors import UserError
from dvbench.execution.evaluator_making import make_evaluator
from dvbench.number_checks import number, whole_number
from dvbench.registry import entries
from dvbench.settings import EvaluatorSettings

EVALUATORS = entries("evaluators")
WRONG = {"int": ("a", -1, 1.5, float("nan"), True), "float": ("a", float("nan"), float("inf"), True)}


def numeric_parameters():
    """(evaluator, parameter, type) of all parameters that are annotated as numbers, with or without None."""
    for evaluator, entry in EVALUATORS.items():
        for parameter in entry.definition.parameters or ():
            types = [part.strip() for part in parameter.type.split("|") if part.strip() != "None"]
            if types in (["int"], ["float"]):
                yield evaluator, parameter.name, types[0]


NUMERIC = list(numeric_parameters())


def test_numeric_parameters_are_found():
    assert {("ame", "models", "int"), ("dvrl", "rl_batch_size", "int"), ("beta_shapley", "alpha", "float")} <= {
        *NUMERIC
    }


@pytest.mark.parametrize(
    ("evaluator", "name", "value"),
    [(evaluator, name, value) for evaluator, name, kind in NUMERIC for value in WRONG[kind]],
)
def test_wrong_numbers_are_refused(evaluator, name, value):
    with pytest.raises(ValueError, match=rf"^{name} is .*, not {re.escape(repr(value))}$"):
        EVALUATORS[evaluator].load()(**{name: value})
    with pytest.raises(UserError, match=f"^cannot make {evaluator}: {name} is "):
        make_evaluator(EvaluatorSettings(name=evaluator, params={name: value}), 0)


@pytest.mark.parametrize(
    ("evaluator", "name"), [(evaluator, name) for evaluator, name, kind in NUMERIC if kind == "int"]
)
def test_counts_may_be_integers_of_numpy_and_cannot_be_zero(evaluator, name):
    make = EVALUATORS[evaluator].load()
    make(**{name: np.int64(3)})
    if name == "memory":  # with none, models are unlearned one at a time
        make(**{name: 0})
        return
    with pytest.raises(ValueError, match=f"^{name} is a whole number of at least [12], not 0$"):
        make(**{name: 0})


@pytest.mark.parametrize(
    ("evaluator", "name", "value"),
    [
        ("ame", "models", 1),
        ("data_banzhaf", "models", 1),
        ("influence_subsample", "models", 1),
        ("influence_subsample", "proportion", 0),
        ("influence_subsample", "proportion", 1),
        ("influence_subsample", "proportion", 1.5),
        ("beta_shapley", "alpha", 0),
        ("beta_shapley", "beta", -1),
        ("dvrl", "lr", -1),
        ("dvrl", "lr", 0),
        ("warm_start_shapley", "l2", 0),
        ("warm_start_shapley", "seconds", 0),
        ("warm_start_shapley", "target_standard_error", -0.1),
    ],
)
def test_numbers_out_of_range_are_refused(evaluator, name, value):
    with pytest.raises(ValueError, match=f"^{name} is .*, not {value}$"):
        EVALUATORS[evaluator].load()(**{name: value})


@pytest.mark.parametrize(
    ("setting", "value"),
    [("permutations", 1.5), ("draws", 0), ("seconds", np.nan), ("target_standard_error", "a"), ("truncation", np.inf)],
)
def test_sampling_is_refused_when_the_evaluator_is_made(setting, value):
    with pytest.raises(ValueError, match=f"^{setting} is "):
        EVALUATORS["unlearning_shapley"].load()(sampling={setting: value})


def test_numbers_are_returned_as_pythons_own():
    assert (whole_number("n", np.int32(4)), type(whole_number("n", np.int32(4)))) == (4, int)
    assert (number("x", np.float32(0.5)), type(number("x", 1))) == (0.5, float)
    with pytest.raises(ValueError, match=r"^n is a whole number of at least 2, not 1$"):
        whole_number("n", 1, least=2)
    with pytest.raises(ValueError, match=r"^x is a finite number above 0 and below 1, not 1$"):
        number("x", 1, above=0, below=1)
    with pytest.raises(ValueError, match=r"^x is a finite number, not inf$"):
        number("x", np.inf)


@pytest.mark.parametrize("name", EVALUATORS)
def test_only_evaluators_with_a_model_take_one(name):
    evaluator = EVALUATORS[name].load()()
    assert hasattr(evaluator, "input_model") == isinstance(evaluator, ModelMixin)
