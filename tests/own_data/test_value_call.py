"""`dvbench.value`: what it takes, what it returns, and what it says about results that rank nothing."""

from __future__ import annotations

import re
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.cluster import KMeans

import dvbench
from dvbench.errors import UserError
from dvbench.problems.splits import fold_rows
from dvbench.registry import find
from dvbench.results import Store
from evaluators import KNNShapley
from leaderboard.index import open_index
from leaderboard.suite_scores import suite_scores

ROOT = Path(__file__).parents[2]


def points(n: int = 60, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    y = np.arange(n) % 2
    return rng.normal(size=(n, 3)) + 3 * y[:, None], y


def test_rows_with_a_wrong_label_are_the_least_valuable() -> None:
    x, y = points()
    y[[3, 8, 40]] ^= 1
    result = dvbench.value(x, y)
    assert list(result.values) == ["row", "label", "value", "spread", "rank"]
    assert set(result.values.nsmallest(3, "value")["row"]) == {3, 8, 40}
    assert set(result.suspects()[:3]) == {3, 8, 40}
    assert result.evaluator == "knn_shapley"
    assert "finds wrong labels best on average in the published results of the suite board" in result.understood[-1]


def test_the_name_and_the_format_of_a_file_do_not_change_values(tmp_path: Path) -> None:
    x, y = points()
    frame = pd.DataFrame(x, columns=list("abc")).assign(label=np.where(y, "yes", "no"))
    frame.to_csv(tmp_path / "one.csv", index=False)
    frame.to_csv(tmp_path / "other.csv", index=False)
    frame.to_parquet(tmp_path / "t.parquet")
    expected = dvbench.value(frame).values["value"]
    for name in ("one.csv", "other.csv", "t.parquet"):
        values = dvbench.value(tmp_path / name).values["value"]
        np.testing.assert_allclose(values, expected, atol=1e-6, err_msg=name)


@pytest.mark.parametrize("make", [pd.DataFrame, torch.tensor, np.asarray, lambda x: x.tolist()], ids=range(4))
def test_all_containers_of_the_same_numbers_have_the_same_values(make) -> None:
    x, y = points()
    expected = dvbench.value(x, y).values
    actual = dvbench.value(make(x), pd.Series(y) if make is pd.DataFrame else make(y)).values
    pd.testing.assert_frame_equal(actual[["value", "rank"]], expected[["value", "rank"]], atol=1e-6)


def test_a_file_and_its_data_frame_have_the_same_values(tmp_path: Path) -> None:
    x, y = points()
    frame = pd.DataFrame(x.round(3), columns=["a", "b", "c"]).assign(kind=np.array(["no", "yes"])[y])
    frame.to_csv(tmp_path / "mine.csv", index=False)
    frame.to_parquet(tmp_path / "mine.parquet")
    by_name = dvbench.value(frame, label="kind").values
    by_path = dvbench.value(tmp_path / "mine.csv", label="kind").values
    assert list(by_path["label"]) == list(frame["kind"])
    assert list(by_path["row"]) == list(range(2, 62))
    assert list(by_name["row"]) == list(range(60))
    assert set(by_name.nsmallest(5, "value")["row"]) & set(by_path.nsmallest(5, "value")["row"] - 2)


def test_values_over_folds_are_means_of_knn_shapley_on_the_other_folds() -> None:
    """Computed again by a plain loop over the folds, with the evaluator used directly."""
    x, y = points(40)
    table_name = "the table"
    result = dvbench.value(x, y, evaluator="knn_shapley", folds=4, seed=3)
    from dvbench.problems.source import classification
    from dvbench.randomness import generator

    parts = fold_rows(classification(x, y, ("0", "1")), 4, generator(table_name, 3, "folds"))
    found = np.full((4, 40), np.nan)
    for fold, valid in enumerate(parts):
        rows = np.setdiff1d(np.arange(40), valid)
        mean, deviation = x[rows].mean(axis=0), x[rows].std(axis=0)
        features = torch.tensor((x - mean) / deviation, dtype=torch.float32)
        labels = torch.eye(2)[torch.tensor(y)]
        evaluator = KNNShapley().input_data(features[rows], labels[rows], features[valid], labels[valid])
        found[fold, rows] = evaluator.train_data_values().evaluate_data_values()
    np.testing.assert_allclose(result.values["value"], np.nanmean(found, axis=0), atol=1e-6)
    np.testing.assert_allclose(result.values["spread"], np.nanstd(found, axis=0, ddof=1), atol=1e-6)


def test_two_folds_value_each_row_once_and_have_no_spread() -> None:
    x, y = points(40, 0)
    assert list(dvbench.value(x, y, folds=2).values) == ["row", "label", "value", "rank"]
    groups = np.arange(40) % 4
    assert (dvbench.value(x, y, groups=groups, folds=2).values["spread"] > 0).all()


def test_a_validation_set_of_its_own_values_all_rows_once() -> None:
    x, y = points()
    result = dvbench.value(x, y, validation=points(20, 1))
    assert list(result.values) == ["row", "label", "value", "rank"]
    assert len(result.values) == 60
    assert "60 rows, one validation set" in result.how


def test_an_error_names_a_validation_set_only_where_there_is_one() -> None:
    x, y = points(20)
    with pytest.raises(UserError) as error:
        dvbench.value(x, y, evaluator="chg_shapley", training={"lr": 1e30})
    assert "validation set" not in str(error.value)
    with pytest.raises(UserError, match="16 rows are valued, 4 rows are the validation set"):
        dvbench.value(x, y, evaluator="leave_one_out", training={"lr": 1e30})


def test_an_evaluator_that_uses_no_validation_set_values_all_rows_once() -> None:
    x, y = points()
    result = dvbench.value(x, y, evaluator="chg_shapley")
    assert list(result.values) == ["row", "label", "value", "rank"]
    assert "60 rows, no validation set, because the evaluator uses none" in result.how
    features = torch.tensor((x - x.mean(axis=0)) / x.std(axis=0), dtype=torch.float32)
    other = dvbench.value(features, y, evaluator="chg_shapley", validation=points(20, 1))
    np.testing.assert_allclose(other.values["value"], result.values["value"], atol=1e-5)


def test_groups_are_valued_and_one_that_mislabels_is_worth_least() -> None:
    x, y = points(120)
    groups = np.array(["acme", "bolt", "duff"])[np.arange(120) // 2 % 3]
    y = np.where(groups == "duff", 1 - y, y)
    result = dvbench.value(x, y, groups=groups)
    assert list(result.values) == ["group", "rows", "value", "spread", "rank"]
    assert list(result.values["group"]) == ["acme", "bolt", "duff"]
    assert result.values.set_index("group")["rank"]["duff"] == 3
    assert result.evaluator == "partial_unlearning_shapley"
    assert result.suspects() == []


def test_shapley_values_of_few_groups_are_exact_so_equal_ones_are_equal_with_every_seed() -> None:
    x, y = points(160)
    groups = np.array(["acme", "bolt", "copy"])[np.arange(160) // 2 % 2]
    x, y = (np.concatenate([each, each[groups == "bolt"]]) for each in (x, y))
    groups = np.concatenate([groups, np.full((groups == "bolt").sum(), "copy")])
    for seed in (0, 1):
        result = dvbench.value(x, y, groups=groups, evaluator="data_shapley", validation=points(60, 1), seed=seed)
        values = result.values.set_index("group")["value"]
        assert values["bolt"] == pytest.approx(values["copy"], abs=0.02)
        assert "all 8 coalitions" in "\n".join(result.understood)
        assert (result.made_with["coalitions"], result.made_with["parameters"]) == ("all", {})
        assert "an untrained model can be worse than guessing" in result.summary()
        assert f"the values add up to {values.sum():.6g}" in result.summary()


def test_values_of_groups_that_miss_a_fold_are_not_said_to_add_up() -> None:
    """A mean over other folds is no part of one sum."""
    x, y = points(40)
    for groups, adds_up in ((np.arange(40) // 10, True), (np.where(np.arange(40) == 7, 9, np.arange(40) // 20), False)):
        result = dvbench.value(x, y, groups=groups, evaluator="data_shapley", folds=2)
        assert (result.adds_up, "the values add up to" in result.summary()) == (adds_up, adds_up)


def providers(count: int, rows: int = 6) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Points of providers, of which the last one copies the first one."""
    x, y = points(count * rows)
    groups = np.repeat(np.arange(count), rows)
    x[groups == count - 1], y[groups == count - 1] = x[:rows], y[:rows]
    return x, y, groups


def test_a_copy_among_twelve_providers_is_worth_what_the_original_is() -> None:
    """All points are one minibatch, so that a model does not depend on their order."""
    x, y, groups = providers(12)
    training = {"epochs": 3, "batch_size": 100}  # one minibatch
    given = {"groups": groups, "evaluator": "data_shapley", "utility": "log_loss", "validation": points(20, 1)}
    result = dvbench.value(x, y, **given, training=training)
    values = result.values.set_index("group")["value"]
    assert "trained on all 4,096 coalitions of the groups" in "\n".join(result.understood)
    assert values["0"] == pytest.approx(values["11"], abs=1e-6)
    assert np.ptp(values) > 5e-4
    assert not any("sampled" in remark for remark in result.remarks)


def test_sampled_values_of_providers_say_their_error_and_what_to_do() -> None:
    x, y, groups = providers(13)
    given = {"groups": groups, "evaluator": "data_shapley", "validation": points(20, 1), "training": {"epochs": 2}}
    few = dvbench.value(x, y, **given, parameters={"permutations": 10})
    assert not any("exact" in line for line in few.understood)
    (said,) = [remark for remark in few.remarks if remark.startswith("values are sampled")]
    errors = few.values["standard_error"]
    part = errors.max() / few.values["value"][few.values["value"] > 0].mean()
    assert part > 0.1
    assert f"the largest standard error is {errors.max():.2g}, {part:.0%} of the mean value above zero" in said
    needed = int(re.search(r"with parameters=\{'permutations': (\d+)\} it would be about 10%", said)[1])
    assert 10 * (part / 0.1) ** 2 <= needed <= 11.1 * (part / 0.1) ** 2
    more = dvbench.value(x, y, **given)  # as many coalitions as twelve providers have
    assert "sampling: 342 permutations of the groups; parameters={'permutations': N} changes it" in more.understood
    assert more.values["standard_error"].max() < 0.5 * errors.max()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"evaluator": "data_shapley", "parameters": {"permutation": 5}}, "did you mean 'permutations'"),
        ({"evaluator": "data_shapley", "parameters": {"random_state": 5}}, "give random_state as `seed`"),
        ({"evaluator": "unlearning_shapley", "parameters": {"utility": "metric"}}, "give utility as `utility`"),
        ({"parameters": {"permutations": 5}}, "choose one with `evaluator`"),
        ({"evaluator": "data_shapley", "parameters": {"permutations": 0}}, "permutations"),
    ],
    ids=str,
)
def test_parameters_that_an_evaluator_does_not_have_are_refused(arguments, message: str) -> None:
    x, y, groups = providers(13)
    with pytest.raises(UserError, match=message):
        dvbench.value(x, y, groups=groups, **arguments)


def test_a_target_of_a_regression_that_is_wrong_has_the_lowest_value() -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(50, 2))
    y = x @ [1.0, -2.0]
    y[7] = 50.5
    result = dvbench.value(x, y)
    assert (result.kind, result.evaluator) == ("regression", "data_oob")
    assert result.values["value"].idxmin() == 7
    assert "linear_regression (mse)" in result.how
    assert result.suspects() == []
    assert "said for classes only; here, look at the least valuable rows" in result.summary()


def test_a_constant_result_is_no_ranking_and_says_what_to_do() -> None:
    x, y = points(20)
    result = dvbench.value(x, y, evaluator="leave_one_out", utility="accuracy")
    assert set(result.values["rank"]) == {1}
    assert any("all 20 values are equal: they rank no rows; try utility='log_loss'" in each for each in result.remarks)
    moved = dvbench.value(x, y, evaluator="leave_one_out", utility="log_loss")
    assert moved.values["rank"].nunique() == 20


def test_unlearning_uses_log_loss_by_default_and_says_so() -> None:
    x, y = points(20)
    result = dvbench.value(x, y, evaluator="partial_unlearning_shapley", groups=np.arange(20) % 4, folds=2)
    assert result.utility == "log_loss"
    assert any(line.startswith("utility: log_loss, because unlearning") for line in result.understood)
    assert result.values["value"].nunique() == 4


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"folds": 1}, "folds must be a whole number from 2 on"),
        ({"folds": 40}, "60 rows cannot be divided into 40 folds of at least 2: use folds=30"),
        ({"evaluator": "knn_shaply"}, "did you mean 'knn_shapley'"),
        ({"utility": "mse"}, "the utility of a classification is accuracy or log_loss, not 'mse'"),
        ({"training": {"epochs": 0}}, "epochs"),
        ({"training": {"epoch": 3}}, "training: unknown key 'epoch'"),
        ({"training": {"lr": 1e30}, "evaluator": "leave_one_out"}, "diverged"),
        ({"label": "a"}, "not both"),
        ({"seed": -1}, "seed must be"),
    ],
    ids=str,
)
def test_what_cannot_be_done_is_one_line(arguments: dict[str, object], message: str) -> None:
    with pytest.raises(UserError) as caught:
        dvbench.value(*points(), **arguments)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_bad_arguments_are_refused_before_torch_is_imported(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("a,b,y\n" + "".join(f"{i},{i * i},{i % 2}\n" for i in range(20)))
    code = (
        "import sys, dvbench\n"
        "for data, more in (('none.csv', {}), ('t.csv', {'label': 'z'}), ('t.csv', {'evaluator': 'no'}),\n"
        "                   ('t.csv', {'model': 'no'}), ('t.csv', {'utility': 'no'}), ('t.csv', {'folds': 0})):\n"
        "    try: dvbench.value(data, **more)\n"
        "    except dvbench.errors.UserError as error: print(error)\n"
        "print([name for name in ('torch', 'opendataval', 'skrub') if name in sys.modules])\n"
    )
    said = subprocess.run(
        [sys.executable, "-c", "import dvbench.errors\n" + code],
        capture_output=True, text=True, check=True, cwd=tmp_path,
    )  # fmt: skip
    lines = said.stdout.splitlines()
    assert len(lines) == 7
    assert lines[-1] == "[]"


def test_the_defaults_are_those_that_the_published_results_recommend() -> None:
    with open_index(Store(ROOT / "results"), "quick") as index:
        scores = suite_scores(index)
    seconds = scores.cells.groupby("evaluator")["seconds"].mean()
    from leaderboard.statistics import overall

    ranked = overall(scores.scores, scores.roles)
    cheap = ranked[ranked["evaluator"].map(seconds) < 0.5]
    assert "knn_shapley" in list(cheap["evaluator"])[:3]
    with open_index(Store(ROOT / "results"), "board-providers") as index:
        of_providers = suite_scores(index).scores
    agreement = of_providers[of_providers["task"] == "partial_agreement"]
    best = agreement.groupby("evaluator")["value"].mean().idxmax()
    assert best == "partial_unlearning_shapley"


def test_an_evaluator_of_ones_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "loose_constant.py").write_text(
        "class Mine:\n    def __init__(self, random_state=None): pass\n"
        "    def train(self, fetcher, *args, **kwargs): self.n = len(fetcher.x_train)\n"
        "    def evaluate_data_values(self): return [0.0] * self.n\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    result = dvbench.value(*points(), evaluator="loose_constant:Mine")
    assert any("all 60 values are equal" in remark for remark in result.remarks)
    assert find("evaluators", "loose_constant:Mine")


def test_progress_says_what_was_understood_and_counts_folds(capsys: pytest.CaptureFixture[str]) -> None:
    started = time.perf_counter()
    dvbench.value(*points(), progress=True, folds=3)
    lines = capsys.readouterr().out.splitlines()
    assert any(line.startswith("classification") for line in lines)
    counted = [line.split(":")[0] for line in lines if line.startswith("fold")]  # a fold of less than a second has none
    assert counted[0] == "fold 1 of 3"
    assert set(counted) <= {"fold 1 of 3", "fold 2 of 3", "fold 3 of 3"}
    assert time.perf_counter() - started < 100


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"validation": (np.zeros((0, 3)), np.zeros(0))}, "the validation set has no rows"),
        ({"validation": (np.zeros((2, 3)), [0, 1], [0, 1])}, "must be a table or a pair"),
        ({"kind": "multiclass"}, "no kind of problem is named 'multiclass'"),
        ({"model": torch.nn.Flatten()}, "model 'Flatten' has no weights"),
        ({"model": torch.nn.LazyLinear(2)}, "model 'LazyLinear' has lazy layers without weights"),
        ({"model": torch.nn.Linear(3, 2).double()}, r"weights of torch\.float64: convert them, with \.float\(\)"),
        ({"model": KMeans(2)}, "KMeans predicts neither classes nor numbers"),
    ],
    ids=str,
)
def test_what_cannot_be_used_is_refused_in_a_line(arguments, message) -> None:
    x, y = points(20)
    with pytest.raises(UserError, match=message):
        dvbench.value(x, y, **{"evaluator": "data_oob" if "model" in arguments else None, **arguments})


def test_a_validation_file_without_rows_is_refused(tmp_path: Path) -> None:
    frame = pd.DataFrame(points(20)[0], columns=list("abc")).assign(label=["yes", "no"] * 10)
    frame.head(0).to_csv(tmp_path / "empty.csv", index=False)
    with pytest.raises(UserError, match=r"empty\.csv has no rows of data"):
        dvbench.value(frame, validation=tmp_path / "empty.csv")
