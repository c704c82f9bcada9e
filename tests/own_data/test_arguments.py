"""Messages for callers in Python name arguments, and those of the command line name options."""

from __future__ import annotations

import inspect
import re

import numpy as np
import pytest

import dvbench
from dvbench.errors import UserError
from dvbench.own_data.arguments import in_python


@pytest.mark.parametrize(
    ("options", "arguments"),
    [
        ("use --kind classification or --kind regression", "use kind='classification' or kind='regression'"),
        ("--as 'net age=number' if not", "types={'net age': 'number'} if not"),
        ("use --as COLUMN=day-first", "use types={'COLUMN': 'day-first'}"),
        ("or --drop 'a b'", "or drop=['a b']"),
        ("use --decimal . or --decimal ,", "use decimal='.' or decimal=','"),
        ("into 5 folds: use --folds 3", "into 5 folds: use folds=3"),
        ("with --parameter permutations=40 it", "with parameters={'permutations': 40} it"),
        ("--evaluator chooses another", "`evaluator` chooses another"),
        ("give another --valid", "give another `validation`"),
        ("try --utility log_loss, another evaluator", "try utility='log_loss', another evaluator"),
        ("a -- b --unknown", "a -- b --unknown"),
    ],
)
def test_an_option_becomes_an_argument(options: str, arguments: str) -> None:
    assert in_python(options) == arguments
    for name in re.findall(r"(\w+)=[^=]", arguments):
        assert name in inspect.signature(dvbench.value).parameters


def test_python_is_told_its_own_arguments() -> None:
    features = np.random.default_rng(0).normal(size=(40, 2))
    values = dvbench.value(features, np.arange(40) % 2, evaluator="unlearning_shapley", folds=2)
    assert any(line.endswith("`utility` chooses another") for line in values.understood)
    with pytest.raises(UserError, match=r"use folds=20$"):
        dvbench.value(features, np.arange(40) % 2, folds=30)


def test_two_permutations_a_fold() -> None:
    features = np.random.default_rng(0).normal(size=(40, 2))
    labels, validation = np.arange(40) % 2, (features[:10], np.arange(10) % 2)
    in_folds = dvbench.value(features, labels, evaluator="unlearning_shapley", folds=2)
    assert "sampling: 2 permutations of the rows in each fold" in in_folds.understood
    at_once = dvbench.value(features, labels, evaluator="unlearning_shapley", validation=validation)
    assert not any("sampling" in line for line in at_once.understood)
