"""Hours of the point-level suites on one H200, from the speeds in docs/performance.md that were measured there."""

from __future__ import annotations

import pytest

from dvbench.suite import Suite, load_suite

# Seconds of ResNet-18: a training step of 32 images (that of 64 images, in TF32 and started by Python: an upper bound),
# an unlearning step in a CUDA graph, and a coalition that is unlearned from the last layer.
TRAINING_STEP, UNLEARNING_STEP, HEAD = 6.0e-3, 3.74e-3, 0.1e-3
PERMUTATION_OF_MLP, PREFIXES_OF_MLP = 0.69, 0.49  # seconds of 1,000 prefixes of 784-512-10: unlearned, retrained
OTHERS = 1200.0  # seconds of a cell's tasks, and of evaluators that train one model
PARTS = {"data_banzhaf": 0.5, "ame": 0.5, "influence_subsample": 0.7, "data_oob": 1.0, "leave_one_out": 1.0}
PREFIXES = ("data_shapley", "beta_shapley", "class_wise_shapley")


def hours_of_mlp(suite: Suite) -> float:
    permutations = {each.name: each.params.get("permutations", 0) for each in suite.evaluators}
    (unlearning,) = (each.params["sampling"]["permutations"] for each in suite.evaluators if "unlearning" in each.name)
    seconds = PERMUTATION_OF_MLP * unlearning + PREFIXES_OF_MLP * sum(permutations[name] for name in PREFIXES) + OTHERS
    return len(suite.problems) * len(suite.seeds) * seconds / 3600


def hours_of_resnet(suite: Suite) -> float:
    seconds = OTHERS
    for each in suite.evaluators:
        assert each.name not in PREFIXES
        points, models = suite.problems[0].sizes.train, each.params.get("models", 0)
        fit = 10 * points / 32 * TRAINING_STEP
        if each.name == "leave_one_out":
            models = points
        if each.name == "dvrl":
            seconds += each.params["rl_epochs"] * fit
        if each.name == "unlearning_shapley":
            coalitions = points * each.params["sampling"]["permutations"]
            seconds += coalitions * (100 * UNLEARNING_STEP if "method" not in each.params else HEAD)
        seconds += models * PARTS.get(each.name, 0) * fit
    return len(suite.problems) * len(suite.seeds) * seconds / 3600


def test_both_end_within_a_day():
    mlp, resnet = hours_of_mlp(load_suite("point-level")), hours_of_resnet(load_suite("point-level-resnet"))
    assert mlp == pytest.approx(5.7, abs=0.5)
    assert resnet == pytest.approx(16, abs=1)
    assert mlp + resnet < 24
