"""`dvbench.select` and ``dvbench select``: what is kept, what is said, and what is refused."""

from __future__ import annotations

import inspect
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import dvbench
from dvbench.cli import main
from dvbench.errors import UserError
from dvbench.results import Store
from leaderboard.index import open_index
from leaderboard.statistics import overall
from leaderboard.suite_scores import suite_scores

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def table() -> pd.DataFrame:
    """Three classes that two columns tell apart; every tenth row has the wrong one."""
    rng = np.random.default_rng(0)
    kind = np.arange(90) % 3
    x = rng.normal(size=(90, 2)) + 4 * np.eye(3)[kind][:, :2]
    kind[::10] = (kind[::10] + 1) % 3
    return pd.DataFrame({"a": x[:, 0], "b": x[:, 1], "kind": np.array(["ash", "elm", "oak"])[kind]})


@pytest.fixture
def file(table: pd.DataFrame, tmp_path: Path) -> Path:
    table.to_csv(tmp_path / "trees.csv", index=False)
    return tmp_path / "trees.csv"


def test_a_fraction_of_the_rows_is_kept(table: pd.DataFrame) -> None:
    kept = dvbench.select(table, fraction=0.3, label="kind")
    assert len(kept.kept) == len(kept.positions) == 27
    assert list(kept.kept["row"]) == list(table.index[kept.positions])
    pd.testing.assert_frame_equal(kept.kept[["a", "b", "kind"]], table.iloc[kept.positions].reset_index(drop=True))
    assert (kept.kept["weight"] > 0).all()
    counts = table["kind"].value_counts()
    assert sum(some for some, _ in kept.counts.values()) == 27
    assert {name: every for name, (_, every) in kept.counts.items()} == counts.to_dict()
    assert "kept 27 of 90 rows" in repr(kept)


def test_strategies_that_choose_in_classes_keep_the_same_part_of_each(table: pd.DataFrame) -> None:
    kept = dvbench.select(table, fraction=0.3, label="kind", strategy="chg_shapley")
    assert set(kept.kept["weight"]) == {1.0}
    assert all(0 <= some - 27 * every // 90 <= 2 for some, every in kept.counts.values())  # what is left is random


def test_the_default_is_the_first_of_the_published_results() -> None:
    with open_index(Store(ROOT / "results"), "selection-features") as index:
        scores = suite_scores(index)
    default = inspect.signature(dvbench.select).parameters["strategy"].default
    assert overall(scores.scores, scores.roles)["evaluator"].iloc[0] == default


def test_mislabelled_rows_are_kept_less_often_by_gradient_shapley_than_by_losses(table: pd.DataFrame) -> None:
    wrong = {
        strategy: sum(dvbench.select(table, fraction=0.3, label="kind", strategy=strategy).positions % 10 == 0)
        for strategy in ("gradient_shapley", "hardness_shapley")
    }
    assert wrong["gradient_shapley"] < wrong["hardness_shapley"]


def test_the_order_of_a_table_leaves_no_class_without_a_minibatch(table: pd.DataFrame) -> None:
    ordered = table.sort_values("kind", kind="stable").reset_index(drop=True)
    kept = dvbench.select(ordered, fraction=0.4, label="kind", strategy="grad_match_pb")
    assert all(some for some, _ in kept.counts.values())
    assert list(kept.kept["kind"]) == list(ordered["kind"].iloc[kept.positions])


def test_the_seed_decides(table: pd.DataFrame) -> None:
    def kept(seed: int) -> list[int]:
        return dvbench.select(table, fraction=0.2, label="kind", strategy="random", seed=seed).positions.tolist()

    assert kept(1) == kept(1)
    assert kept(1) != kept(2)


def test_an_evaluators_values_are_those_of_value(table: pd.DataFrame) -> None:
    kept = dvbench.select(table, fraction=0.1, label="kind", strategy="evaluator_values")
    values = dvbench.value(table, label="kind", evaluator="knn_shapley").values["value"]
    assert set(kept.positions) == set(np.argsort(-values.to_numpy(), kind="stable")[:9])


def test_the_evaluator_of_the_highest_values_is_said_and_written(file: Path, capsys) -> None:
    command = ["select", str(file), "--label", "kind", "--fraction", "0.5", "--strategy", "evaluator_values"]
    assert main(command) == 0
    assert "\nrows are valued by knn_shapley\n" in capsys.readouterr().out
    made_with = json.loads(file.with_name(f"{file.stem}-kept.json").read_text())
    assert "rows are valued by knn_shapley" in made_with["understood"]


def test_the_command_writes_what_it_keeps(file: Path, capsys) -> None:
    assert main(["select", str(file), "--label", "kind", "--fraction", ".3"]) == 0
    said = capsys.readouterr().out
    assert "by grad_match_pb, logistic_regression: kept 27 of 90 rows" in said
    written = pd.read_csv(file.with_name("trees-kept.csv"))
    assert list(written) == ["row", "a", "b", "kind", "weight"]
    table = pd.read_csv(file)
    pd.testing.assert_frame_equal(written[list(table)], table.iloc[written["row"] - 2].reset_index(drop=True))
    assert len(written) == 27


def test_columns_of_the_table_that_are_named_like_new_ones_are_kept(table: pd.DataFrame) -> None:
    named = table.rename(columns={"a": "row", "b": "weight_"})
    kept = dvbench.select(named, fraction=0.3, label="kind", strategy="random")
    assert list(kept.kept) == ["row_", "row", "weight_", "kind", "weight"]
    assert list(kept.kept["row"]) == list(named["row"].iloc[kept.positions])


def test_of_arrays_the_label_is_the_only_column(table: pd.DataFrame) -> None:
    kept = dvbench.select(table[["a", "b"]].to_numpy(), table["kind"].to_numpy(), fraction=0.3, strategy="random")
    assert list(kept.kept) == ["row", "y", "weight"]
    assert list(kept.kept["y"]) == list(table["kind"].iloc[kept.positions])


def test_a_validation_set_of_its_own_is_what_glister_chooses_by(
    table: pd.DataFrame, file: Path, tmp_path: Path
) -> None:
    clean = table[np.arange(90) % 10 != 0]
    clean.to_csv(tmp_path / "clean.csv", index=False)
    command = ["select", str(file), "--label", "kind", "--fraction", "0.2", "--strategy", "glister"]
    kept = []
    for more in ([], ["--valid", str(tmp_path / "clean.csv")]):
        assert main([*command, *more]) == 0
        kept.append(pd.read_csv(file.with_name("trees-kept.csv"))["row"].tolist())
    assert kept[0] != kept[1]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--fraction", "0"], "--fraction is above 0 and at most 1, not 0"),
        (["--fraction", "nan"], "--fraction is above 0 and at most 1, not nan"),
        (["--fraction", "0.02"], "fraction 0.02 keeps 1 of 90 rows and so leaves some of the 3 classes empty: keep"),
        (["--strategy", "chg"], "no selection strategy is named 'chg': did you mean 'chg_shapley'?"),
        (["--strategy", "WarmStartShapley"], "with --strategy=evaluator_values --evaluator=warm_start_shapley"),
        (["--label", "a"], "'a' is a number: 'dvbench value' values the rows of a regression; --kind classification"),
        (["--strategy", "el2n", "--every", "30"], "el2n first chooses after 30 epochs, and training has 30"),
        (["--evaluator", "lava"], "--evaluator belongs to --strategy evaluator_values"),
        (["--strategy", "evaluator_values", "--evaluator", "lav"], "no evaluator is named 'lav'"),
        (["--model", "cnn"], "model 'cnn' needs images"),
        (["--label", "nothing"], "no column of trees.csv is named 'nothing'"),
    ],
)
def test_what_is_refused(file: Path, options: list[str], message: str, capsys) -> None:
    before = sorted(path.name for path in file.parent.iterdir())
    assert main(["select", str(file), "--label", "kind", "--fraction", ".3", *options]) == 2
    said = capsys.readouterr().err
    assert message in said
    assert len(said.strip().splitlines()) == 1
    assert sorted(path.name for path in file.parent.iterdir()) == before


def test_the_table_is_not_overwritten(file: Path, capsys) -> None:
    before = file.read_bytes()
    assert main(["select", str(file), "--label", "kind", "--fraction", ".3", "--out", str(file)]) == 2
    assert "would be overwritten" in capsys.readouterr().err
    assert file.read_bytes() == before


def test_one_class_and_classes_of_the_validation_set_alone(table: pd.DataFrame) -> None:
    one = table.assign(kind="elm")
    with pytest.raises(UserError) as error:
        dvbench.select(one, fraction=0.5, label="kind")
    assert "\n" not in str(error.value)
    two = table[table["kind"] != "oak"]
    with pytest.raises(UserError, match="oak") as error:
        dvbench.select(two, fraction=0.5, label="kind", validation=table)
    assert "\n" not in str(error.value)


def test_numbers_are_classes_if_that_is_said(table: pd.DataFrame) -> None:
    many = table.assign(kind=np.arange(90) % 45 + 0.5)
    with pytest.raises(UserError, match=r"'kind' is a number.*; kind='classification' takes every number as a class"):
        dvbench.select(many, fraction=0.5, label="kind", strategy="random")
    kept = dvbench.select(many, fraction=0.5, label="kind", strategy="random", kind="classification")
    assert len(kept.counts) == 45


def test_errors_name_arguments_in_python(table: pd.DataFrame) -> None:
    with pytest.raises(UserError, match=r"^`fraction` is above 0 and at most 1, not True"):
        dvbench.select(table, fraction=True, label="kind")
    with pytest.raises(UserError, match=r"strategy='evaluator_values', params={'evaluator': 'lava'}$"):
        dvbench.select(table, fraction=0.5, label="kind", strategy="lava")
    with pytest.raises(UserError, match="unknown key 'epoch'"):
        dvbench.select(table, fraction=0.5, label="kind", training={"epoch": 3})
    with pytest.raises(UserError, match="no parameter of glister is named 'eps'"):
        dvbench.select(table, fraction=0.5, label="kind", strategy="glister", params={"eps": 3})


def test_equal_tables_have_equal_selections_in_every_format_and_name(table: pd.DataFrame, tmp_path: Path) -> None:
    for name in ("trees.csv", "copy.csv"):
        table.to_csv(tmp_path / name, index=False)
    given = (table, tmp_path / "trees.csv", tmp_path / "copy.csv")
    kept = [dvbench.select(each, fraction=0.3, label="kind", strategy="random").positions for each in given]
    assert [rows.tolist() for rows in kept] == [kept[0].tolist()] * 3


def test_a_selection_in_python_names_arguments(capsys) -> None:
    numbers = pd.DataFrame({"a": np.arange(60.0) % 7, "kind": np.arange(60) % 3})
    summary = dvbench.select(numbers, fraction=0.3, label="kind").summary()
    assert "kind='regression' for the other" in summary
    assert "--" not in summary


def test_wrong_labels_are_said_before_rows_are_chosen(table: pd.DataFrame) -> None:
    """A tenth of these labels are wrong."""
    said = "find wrong ones first, with dvbench.value"
    assert any(said in remark for remark in dvbench.select(table, fraction=0.5, label="kind").remarks)
    right = table.drop(index=table.index[::10])
    assert not any(said in remark for remark in dvbench.select(right, fraction=0.5, label="kind").remarks)
