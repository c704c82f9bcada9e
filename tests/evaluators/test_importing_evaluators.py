"""`from evaluators import Name`: every evaluator by the name of its class, without a list and without torch."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from opendataval.dataval import DataEvaluator

import evaluators
from dvbench.errors import UserError
from dvbench.registry import entries

CLASSES = {name: entry.target.partition(":")[2] for name, entry in entries("evaluators").items()}

HEAVY = "{'torch', 'opendataval', 'numpy'}"


def files_of_evaluators() -> set[str]:
    folder = Path(evaluators.__file__).parent
    return {path.stem for path in [*folder.glob("*.py"), *folder.glob("baselines/*.py")]} - {"__init__"}


def test_every_file_of_the_package_is_an_evaluator() -> None:
    assert files_of_evaluators() == set(CLASSES)
    assert dir(evaluators) == sorted(CLASSES.values())
    assert {"AME", "DataOob", "KNNShapley"} < set(CLASSES.values())


def test_a_star_imports_every_evaluator_and_nothing_else() -> None:
    names: dict[str, object] = {}
    exec("from evaluators import *", names)
    assert set(names) - {"__builtins__"} == set(CLASSES.values())


@pytest.mark.parametrize(("name", "attribute"), CLASSES.items())
def test_every_evaluator_is_a_class_that_the_package_offers(name: str, attribute: str) -> None:
    evaluator = getattr(evaluators, attribute)
    assert isinstance(evaluator, type)
    assert issubclass(evaluator, DataEvaluator)
    assert evaluator.__name__ == attribute
    assert evaluator is entries("evaluators")[name].load()
    assert evaluator.__module__.rpartition(".")[2] == name


@pytest.mark.parametrize("name", CLASSES)
def test_parameters_can_be_checked_before_the_file_is_imported(name: str) -> None:
    entry = entries("evaluators")[name]
    entry.check_parameters(["random_state"])
    with pytest.raises(UserError, match=f"no parameter of {name} is named 'random_stat'"):
        entry.check_parameters(["random_stat"])


def test_a_name_that_no_file_defines() -> None:
    with pytest.raises(AttributeError, match="module 'evaluators' has no attribute 'DataShaply'"):
        evaluators.DataShaply  # noqa: B018
    with pytest.raises(ImportError, match="cannot import name 'PermutationSampler'"):
        from evaluators import PermutationSampler  # noqa: F401


def test_submodules_stay_importable() -> None:
    from evaluators import baselines, chg_shapley
    from evaluators.chg_shapley import chg_shapley_values

    assert baselines.__name__ == "evaluators.baselines"
    assert chg_shapley.chg_shapley_values is chg_shapley_values


@pytest.mark.parametrize("use", ["evaluators", "evaluators.baselines", "dir(evaluators)"])
def test_importing_the_package_does_not_import_torch(use: str) -> None:
    code = f"import sys, evaluators, evaluators.baselines; {use}; assert not {HEAVY} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.slow
def test_opendataval_gets_its_own_classes_whatever_is_imported_first() -> None:
    code = (
        "from evaluators import DataShapley, KNNShapley, AME; import opendataval.dataval as stock;"
        "registry = stock.DataEvaluator.Evaluators;"
        "assert registry['datashapley'] is stock.DataShapley is not DataShapley;"
        "assert registry['knnshapley'] is stock.KNNShapley and registry['ame'] is stock.AME"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
