"""Faults of OpenDataVal 1.3.0 that must not reach any result. Where it is cheap, a test shows the fault itself too."""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version

import numpy as np
import opendataval.dataval as stock
import pytest
import torch
from games import additive_game, shapley_by_definition
from opendataval.dataloader import DataFetcher, mix_labels
from opendataval.dataval import DataEvaluator
from opendataval.metrics import accuracy
from short_fits import FIT

from dvbench.execution.valuation import valuate_cell
from dvbench.problems.build import build_problem
from dvbench.registry import find
from dvbench.results import Cell, CellKey
from dvbench.scoring.player_orders import ascending
from dvbench.settings import EvaluatorSettings, ModelSettings, Noise, ProblemSettings, Sizes, Training
from dvbench.training.build import build_model
from evaluators import (
    AME,
    DVRL,
    BetaShapley,
    CHGShapley,
    ClassWiseShapley,
    DataBanzhaf,
    DataOob,
    DataShapley,
    GradientShapley,
    HardnessShapley,
    InfluenceFunction,
    InfluenceSubsample,
    KNNShapley,
    Lava,
    LeaveOneOut,
    Random,
    RobustVolumeShapley,
    TracIn,
    UnlearningShapley,
    WarmStartShapley,
)
from evaluators.common.sampling import PermutationSampler

BUDGETS = {
    AME: {"models": 10},
    BetaShapley: {"permutations": 1},
    ClassWiseShapley: {"permutations": 1},
    DataBanzhaf: {"models": 20},
    DataOob: {"models": 20},
    DataShapley: {"permutations": 1},
    DVRL: {"rl_epochs": 5},
    InfluenceFunction: {},
    InfluenceSubsample: {"models": 30},
    KNNShapley: {},
    Lava: {},
    LeaveOneOut: {},
    Random: {},
    RobustVolumeShapley: {"permutations": 1},
}
STOCK = {
    "ame", "betashapley", "classwiseshapley", "databanzhaf", "dataoob", "datashapley", "dvrl", "influencefunction",
    "influencesubsample", "knnshapley", "lavaevaluator", "leaveoneout", "randomevaluator", "robustvolumeshapley",
}  # fmt: skip


def sampled(sampler, game, n):
    sampler.set_coalition(torch.zeros(n, 1))
    sampler.set_evaluator(lambda coalition, **_: game(coalition))
    return sampler.compute_marginal_contribution()


def one_hot(labels, classes):
    return torch.eye(classes)[torch.as_tensor(labels)]


# 1 and 2: installation and import


def test_pins_that_work_are_installed():
    assert version("opendataval") == "1.3.0"
    assert version("geomloss") == "0.2.6"
    with pytest.raises(PackageNotFoundError):
        version("pykeops")


def test_naming_our_packages_imports_neither_torch_nor_opendataval():
    code = (
        "import sys, dvbench, evaluators, evaluators.baselines, dvbench.registry as r;"
        "[e.summary for k in r.KINDS for e in r.entries(k).values()];"
        "assert not {'torch', 'opendataval', 'sklearn'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


# 3: the shared cache


def test_samplers_share_nothing():
    for trial in range(50):
        worth = np.arange(6) + trial
        contributions = sampled(PermutationSampler(3, random_state=0), additive_game(worth), 6)
        np.testing.assert_allclose(contributions.sum(axis=1) / 6, worth)


def test_a_sampler_forgets_other_data():
    ours, theirs = PermutationSampler(2, random_state=0), stock.TMCSampler(2, min_cardinality=1)
    for n in (6, 4):
        assert sampled(ours, additive_game(np.ones(n)), n).shape == (n, n)
        last = sampled(theirs, additive_game(np.ones(n)), n)
    assert last.shape == (6, 6)  # the fault: an answer for the first data


# 4 and 5: truncation and convergence


def decreasing(coalition):
    return -float(len(coalition) ** 2)


def test_a_falling_utility_is_sampled_to_the_end():
    def utilities_asked(sampler):
        calls = []
        sampled(sampler, lambda s: calls.append(len(s)) or decreasing(s), 60)
        return max(calls), len(calls)

    assert utilities_asked(PermutationSampler(1, random_state=0)) == (60, 61)
    assert utilities_asked(stock.TMCSampler(1, cache_name=None))[0] < 30  # the fault


def test_noise_does_not_count_as_convergence():
    """The number of permutations is what was asked for, whatever the utilities."""
    calls = []
    noise = np.random.RandomState(0)
    sampled(PermutationSampler(7, random_state=0), lambda s: calls.append(s) or noise.normal(), 10)
    assert len(calls) == 2 + 7 * 9


# 6: weights


@pytest.mark.parametrize("n", [1, 2, 5, 1000, 1072, 5000])
def test_beta_weights_are_finite_and_right(n):
    evaluator = BetaShapley(permutations=1)
    evaluator.num_points = n
    weights = evaluator.compute_weight()
    assert np.isfinite(weights).all()
    assert weights.sum() == pytest.approx(1)
    assert np.all(np.diff(weights) <= 0)  # Beta(4, 1) prefers small coalitions
    uniform = BetaShapley(permutations=1, alpha=1, beta=1)
    uniform.num_points = n
    np.testing.assert_allclose(uniform.compute_weight(), 1 / n)


def test_beta_weights_agree_with_opendataval_where_it_is_finite():
    ours, theirs = BetaShapley(1), stock.BetaShapley(sampler=PermutationSampler(1))
    ours.num_points = theirs.num_points = 200
    np.testing.assert_allclose(ours.compute_weight(), theirs.compute_weight(), rtol=1e-8)
    theirs.num_points = 1072
    with np.errstate(all="ignore"):
        assert np.isnan(theirs.compute_weight()).any()  # the fault


def test_banzhaf_does_not_use_weights():
    assert isinstance(DataBanzhaf(2), stock.DataBanzhaf)
    assert not isinstance(DataBanzhaf(2), stock.DataBanzhafMargContrib)


# Semivalues from our sampler


@pytest.mark.parametrize("make", [DataShapley, lambda **k: BetaShapley(alpha=1, beta=1, **k)])
def test_sampled_semivalues_are_unbiased(make):
    """At any number of permutations; OpenDataVal divides by counts, which shrinks rarely visited sizes to zero."""

    def game(coalition):
        return len(coalition) ** 0.5 + (0 in coalition) * (1 in coalition)

    exact = shapley_by_definition(game, 6)
    values = []
    for seed in range(400):
        evaluator = make(permutations=2, random_state=seed)
        evaluator.num_points = 6
        evaluator.marg_contrib = sampled(evaluator.sampler, game, 6)
        values.append(evaluator.evaluate_data_values())
    error = np.std(values, axis=0, ddof=1) / 20
    assert np.all(np.abs(np.mean(values, axis=0) - exact) < 4 * error + 1e-12)
    assert np.std(np.sum(values, axis=1)) < 1e-9  # each sums to the worth of all


def test_min_cardinality_leaves_small_coalitions_out():
    calls = []
    sampled(PermutationSampler(2, min_cardinality=3, random_state=0), lambda s: calls.append(len(s)) or 0.0, 8)
    assert min(calls) == 3


# 7: RobustVolumeShapley and ClassWiseShapley


def test_volume_takes_the_arguments_of_training(problem, model, fetcher):
    values = RobustVolumeShapley(2, random_state=0).train(fetcher, model, accuracy, **FIT).data_values
    assert np.isfinite(values).all()
    assert np.ptp(values) > 0
    with pytest.raises(TypeError, match="epochs"):  # the fault
        stock.RobustVolumeShapley(sampler=PermutationSampler(1)).train(fetcher, model, accuracy, **FIT)


def test_volume_is_finite_in_many_dimensions_and_sums_to_the_whole():
    x = torch.randn(30, 784, generator=torch.Generator().manual_seed(0))
    evaluator = RobustVolumeShapley(2, random_state=0).input_data(x, one_hot(range(30), 30), x, x)
    values = evaluator.train_data_values().evaluate_data_values()
    assert values.sum() == pytest.approx(evaluator._evaluate_volume(list(range(30))))


def test_class_wise_shapley_selects_the_right_validation_points():
    """More validation than training points, in another order of classes."""
    train, valid = [0] * 4 + [1] * 4, [1] * 10 + [0] * 5
    x = torch.zeros(8, 2), torch.zeros(15, 2)
    evaluator = ClassWiseShapley(1).input_data(x[0], one_hot(train, 2), x[1], one_hot(valid, 2))
    parts = evaluator._get_class_indices(0)
    assert [part.tolist() for part in parts] == [[0, 1, 2, 3], [4, 5, 6, 7], [*range(10, 15)], [*range(10)]]


def test_class_wise_shapley_starts_anew_and_accepts_a_class_without_validation_points(problem, model):
    fetcher = problem.fetcher()
    keep = fetcher.y_valid[:, 3] == 0
    fetcher.x_valid, fetcher.y_valid = fetcher.x_valid[keep], fetcher.y_valid[keep]
    evaluator = ClassWiseShapley(1, variant="opendataval", random_state=np.random.RandomState(0))
    first = evaluator.train(fetcher, model, accuracy, **FIT).data_values
    assert np.isfinite(first).all()
    evaluator.sampler.random_state = np.random.RandomState(0)
    again = evaluator.train(fetcher, model, accuracy, **FIT).data_values
    # The sampler draws from a generator seeded alike, so equal values mean that nothing was added up.
    np.testing.assert_array_equal(again, first)


# 8: the cached property


def test_values_are_computed_and_not_remembered(problem):
    """An evaluator that was asked for ``data_values`` before, on other data, still gives this problem's values."""
    cell = make_cell("test_opendataval_traps:Remembering")
    values = valuate_cell(cell, problem).arrays["values"]
    np.testing.assert_array_equal(values, np.arange(60))


class Remembering(DataEvaluator):
    """Asks for its own cached values too early."""

    def train_data_values(self, *args, **kwargs):
        self.x_train, kept = self.x_train[:2], self.x_train
        assert len(self.data_values) == 2
        self.x_train = kept
        return self

    def evaluate_data_values(self):
        return np.arange(len(self.x_train))


# 9: InfluenceFunction


def test_influence_starts_anew(problem, model, fetcher):
    evaluator = InfluenceFunction(random_state=0)
    first = evaluator.train(fetcher, model, accuracy, **FIT).evaluate_data_values()
    again = evaluator.train(fetcher, model, accuracy, **FIT).evaluate_data_values()
    np.testing.assert_array_equal(first, again)
    theirs = stock.InfluenceFunction()
    theirs.train(fetcher, model, accuracy, **FIT)
    np.testing.assert_allclose(first, theirs.evaluate_data_values(), rtol=1e-3, atol=1e-3)
    theirs.train_data_values(**FIT)
    assert np.abs(theirs.evaluate_data_values() - first).max() > 0.1  # the fault


# 10: randomness


@pytest.mark.parametrize("make", BUDGETS, ids=lambda make: make.__name__)
def test_every_baseline_repeats_to_the_bit_whatever_the_global_seeds(problem, make):
    cell = make_cell(find("evaluators", make.__name__).name, BUDGETS[make])
    values = []
    for seed in (1, 2):
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            before = torch.get_rng_state().tolist(), np.random.get_state()[1].tolist()  # noqa: NPY002
            values.append(valuate_cell(cell, problem).arrays["values"])
            assert (torch.get_rng_state().tolist(), np.random.get_state()[1].tolist()) == before  # noqa: NPY002
    assert values[0].tobytes() == values[1].tobytes()
    if make not in (InfluenceFunction, KNNShapley, Lava):
        other = valuate_cell(cell, problem, purpose="repeat").arrays["values"]
        assert other.tobytes() != values[0].tobytes()


def make_cell(name, params=None):
    return Cell(
        key=CellKey(suite="test", problem="digits", evaluator="e", seed=0),
        suite_version=1,
        problem=ProblemSettings(
            dataset="digits",
            sizes=Sizes(train=60, validation=60, test=100),
            noise=Noise(kind="labels", rate=0.2),
            model=ModelSettings(name="logistic_regression"),
            training=Training(**FIT),
        ),
        evaluator=EvaluatorSettings(name=name, params=params or {}),
        tasks=(),
    )


@pytest.mark.parametrize("make", [Lava, DVRL])
def test_standalone_too_the_global_generator_stays(make, global_state):
    evaluator = make(random_state=0)
    x = torch.zeros(8, 2)
    evaluator.input_data(x, one_hot([0, 1] * 4, 2), x, one_hot([0, 1] * 4, 2))


# 11: noise


def test_noise_does_not_change_the_validation_set():
    sizes = Sizes(train=100, validation=100, test=100)
    clean, noisy = (build_problem("digits", sizes, noise, 0) for noise in (Noise(), Noise(kind="labels", rate=0.3)))
    for part in ("validation", "test"):
        assert torch.equal(getattr(clean, part).y, getattr(noisy, part).y)
    assert (clean.train.y.argmax(1) != noisy.train.y.argmax(1)).sum() == 30
    theirs = DataFetcher.from_data_splits(
        *[part.numpy().copy() for s in (clean.train, clean.validation, clean.test) for part in (s.x, s.y)],
        one_hot=True,
        random_state=np.random.RandomState(0),
    ).noisify(mix_labels, noise_rate=0.3)
    assert (theirs.y_valid != clean.validation.y.numpy()).any()  # the fault


# 12: losses and metrics


def test_a_wide_network_learns(problem):
    """OpenDataVal's softmax before its cross-entropy leaves a 512-wide MLP at chance at learning rate .01."""
    big = build_problem("digits", Sizes(train=600, validation=50, test=500), Noise(), 0)
    model = build_model(ModelSettings(name="mlp"), big.shape, 10, "classification", seed=0)
    model.fit(big.train.x, big.train.y, lr=0.01)
    assert big.metric(big.test.y, model.predict(big.test.x)) > 0.9


def test_a_problem_never_has_integer_labels(problem):
    """`accuracy` of one column is 1 whatever is in it; labels of a problem have one column a class."""
    assert problem.train.y.shape == (60, 10)
    assert accuracy(torch.tensor([[1.0], [2.0]]), torch.tensor([[5.0], [7.0]])) == 1.0  # the fault


# 14: names


def test_opendatavals_own_evaluators_keep_their_names():
    for name in STOCK:
        assert DataEvaluator.Evaluators[name].__module__.startswith("opendataval.")
    assert not [name for name, other in DataEvaluator.Evaluators.items() if other in BUDGETS]
    assert DataEvaluator.Evaluators["datashapley"] is stock.DataShapley
    assert issubclass(DataShapley, stock.DataShapley)


def test_a_class_that_derives_from_a_baseline_is_not_registered_either():
    before = dict(DataEvaluator.Evaluators)
    type("KNNShapley", (KNNShapley,), {})
    assert before == DataEvaluator.Evaluators


def test_our_own_evaluators_are_registered_by_opendataval():
    for evaluator in (CHGShapley, GradientShapley, HardnessShapley, UnlearningShapley, WarmStartShapley, TracIn):
        assert DataEvaluator.Evaluators[evaluator.__name__.lower()] is evaluator


# 15: models


def test_fits_do_not_fetch_point_by_point(problem, model, monkeypatch):
    def fetch(*_):
        raise AssertionError("a point was fetched by itself")

    monkeypatch.setattr(torch.utils.data.Subset, "__getitem__", fetch)
    monkeypatch.setattr(torch.utils.data.Subset, "__getitems__", fetch)
    x, y = (torch.utils.data.Subset(part, range(60)) for part in (problem.train.x, problem.train.y))
    fitted = model.clone().fit(x, y, epochs=1)
    assert fitted.predict(x).shape == (60, 10)


# 16: AME's zeros


def test_equal_values_are_not_ranked_by_row(problem):
    """AME's lasso sets most values to zero; a stable sort would rank those by row number."""
    order = ascending(problem, np.zeros(60))
    assert sorted(order) == list(range(60))
    assert abs(np.corrcoef(order, np.arange(60))[0, 1]) < 0.4
