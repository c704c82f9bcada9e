"""Results from another kind of machine: bits need not agree, but ranks and scores do."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest
from made_up_bundles import MINE, TITLE, Files, result_path, with_result, with_values

from dvbench import verify
from dvbench.execution.environment import current_environment
from dvbench.results import Environment
from dvbench.submission.machines import repeats, tolerance

LABELS = f"quick/digits-logistic_regression-labels0.2/{TITLE}/seed-0"
AGAIN = ("--sample", 3, "--trust", MINE.name, "--jobs", 0)


def position(files: Files) -> int:
    return sorted(path for path in files if path.endswith("result.json")).index(f"{LABELS}/result.json")


def elsewhere(files: Files, changed: dict[str, Any] | None = None) -> Files:
    """The same results with the environment of another machine."""
    for place in range(len([path for path in files if path.endswith("result.json")])):
        files = with_result(files, lambda said: said["environment"].update(changed or {"processor": "Other"}), place)
    return files


def scored_higher(files: Files, by: float) -> Files:
    def change(said: Any) -> None:
        said["scores"]["noisy_label_detection"]["metrics"]["auroc"] += by

    return with_result(files, change, position(files))


def values_of(files: Files) -> np.ndarray:
    path = result_path(files, position(files)).replace("result.json", "values.npy")
    return np.load(io.BytesIO(files[path]))


def nearly_equal(files: Files) -> Files:
    """One value differs by .08 of the range, which moves it by a few ranks."""
    values = values_of(files)
    values[int(np.argsort(values)[50])] += 0.08 * np.ptp(values)
    return with_values(files, values, position(files))


@pytest.mark.parametrize(
    ("changed", "same"),
    [
        ({}, True),
        ({"cores": 99, "python": "3.99"}, True),
        ({"processor": "Other"}, False),
        ({"device": "A GPU"}, False),
        ({"platform": "Plan 9 mips"}, False),
    ],
    ids=str,
)
def test_what_repeats_to_the_bit(changed: dict[str, Any], same: bool) -> None:
    here = current_environment("cpu")
    there = here.model_copy(update=changed)
    assert repeats(there, here) == same
    assert (tolerance(None, there, here), tolerance(0.5, there, here)) == (0.01 if same else 0.05, 0.5)


def test_a_gpu_does_not_repeat_itself() -> None:
    gpu = current_environment("cpu").model_copy(update={"device": "A GPU"})
    assert not repeats(gpu, gpu)


@pytest.mark.parametrize("package", ["torch", "numpy"])
def test_another_version_may_round_in_another_way(package: str) -> None:
    here = current_environment("cpu")
    there = Environment(**{**here.model_dump(), "packages": {**here.packages, package: "0.1"}})
    assert not repeats(there, here)


@pytest.mark.slow
@pytest.mark.parametrize(("by", "code_here", "code_there"), [(0.005, 0, 0), (0.03, 1, 0), (0.06, 1, 1)], ids=str)
def test_scores_of_another_machine_may_differ_by_more(
    dvbench, bundle, honest: Files, by: float, code_here: int, code_there: int
) -> None:
    assert dvbench("verify", bundle(scored_higher(honest, by)), "--jobs", 0).code == code_here
    said = dvbench("verify", bundle(elsewhere(scored_higher(honest, by))), "--jobs", 0)
    assert said.code == code_there
    assert "remark: 3 cells computed on Other with numpy " in said.out


def test_a_stated_tolerance_holds_for_every_machine(dvbench, bundle, honest: Files) -> None:
    files = elsewhere(scored_higher(honest, 0.03))
    assert dvbench("verify", bundle(files), "--jobs", 0, "--tolerance", 0.01).code == 1


@pytest.mark.slow
@pytest.mark.usefixtures("installed")
def test_values_of_another_machine_are_compared_by_ranks_and_scores(dvbench, bundle, honest: Files) -> None:
    files = nearly_equal(honest)
    assert dvbench("verify", bundle(files), *AGAIN).code == 1
    said = dvbench("verify", bundle(elsewhere(files)), *AGAIN)
    assert said.code == 0, said.out
    assert "largest deviation of a value: 0.08 of the range of the values" in said.out
    assert "lowest rank correlation of values from another kind of machine: 0.99" in said.out


@pytest.mark.usefixtures("installed")
def test_values_in_another_order_are_a_mismatch_on_every_machine(bundle, honest: Files) -> None:
    shuffled = np.random.default_rng(0).permutation(values_of(honest))
    path = bundle(elsewhere(with_values(honest, shuffled, position(honest))))
    verification = verify(path, sample=3, trust=[MINE.name], jobs=0)
    assert sum(mismatch.what.startswith("values of player ") for mismatch in verification.mismatches) == 1
