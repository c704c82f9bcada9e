"""Copies that make values meaningless are named: of the label, of rows of other groups, of validation rows."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import dvbench
from dvbench.errors import UserError
from dvbench.tables.reading import read_arrays


def a_table(n: int = 60) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    kind = np.arange(n) % 3
    return pd.DataFrame(
        {"a": rng.normal(size=n) + kind, "b": rng.normal(size=n), "kind": np.array(["x", "y", "z"])[kind]}
    )


@pytest.mark.parametrize(
    ("copy", "named"),
    [
        (lambda kind: kind, True),
        (lambda kind: kind.map({"x": 5, "y": 7, "z": 1}), True),
        (lambda kind: kind.map({"x": 5, "y": 7, "z": 7}), False),
        (lambda kind: kind.where(np.arange(60) > 0, "y"), False),  # one row differs
        (lambda kind: kind.where(np.arange(60) > 0), False),  # one row is missing
    ],
)
def test_a_copy_of_the_label_is_named(copy, named: bool) -> None:
    table = a_table()
    remarks = read_arrays(table.assign(copy=copy(table["kind"])), label="kind").remarks
    said = "column 'copy' has one value for each class of 'kind': if it is a copy of the label, leave it out with "
    assert (f"{said}--drop 'copy'" in remarks) == named


@pytest.mark.parametrize(
    ("numbers", "named"),
    [
        (np.arange(100_000, 100_060), True),
        (np.arange(60) * 5, False),  # not close to each other
        (np.arange(60) // 2, False),
        (np.arange(60) + 0.5, False),
    ],
)
def test_a_column_that_numbers_the_rows_is_named(numbers, named: bool) -> None:
    read = read_arrays(a_table().assign(case=numbers), label="kind")
    assert any("'case' has another number in each row" in remark for remark in read.remarks) == named


def test_groups_with_the_rows_of_others_are_named() -> None:
    table = a_table()
    table["who"] = np.repeat(["ada", "ben", "cyd"], 20)
    again = table[:20].assign(who="ann")
    part = table[20:29].assign(who="cyd")  # of 29 rows of cyd, nine are ben's: less than half
    read = read_arrays(pd.concat([table, again, part], ignore_index=True), label="kind", groups="who")
    assert [remark for remark in read.remarks if "rows of group" in remark] == [
        "20 of the 20 rows of group 'ada' are rows of 'ann' too: copies can be paid again",
    ]
    assert not any("rows of group" in each for each in read_arrays(table, label="kind", groups="who").remarks)


def test_validation_rows_that_are_in_the_table_are_counted() -> None:
    table = a_table()
    other = a_table(90)[60:]
    values = dvbench.value(table, label="kind", validation=pd.concat([other, table[:7]]))
    assert any(
        remark.startswith("7 of the 37 rows of the validation set are rows of the table") for remark in values.remarks
    )
    changed = table[:7].assign(kind="x")
    values = dvbench.value(table, label="kind", validation=pd.concat([other, changed]))
    assert any(remark.startswith("3 of the 37 rows") for remark in values.remarks)  # those that have been x before


def test_an_evaluator_that_takes_no_regression_names_others() -> None:
    with pytest.raises(UserError, match=r"knn_shapley takes classes, and cannot value a regression.*data_oob") as error:
        dvbench.value(a_table()[["a", "b"]], label="b", evaluator="knn_shapley")
    assert "lava" not in str(error.value)
    with pytest.raises(UserError, match="bm25 takes texts only"):
        dvbench.value(a_table(), label="kind", evaluator="bm25")


def test_values_that_are_all_below_zero_have_no_border_there() -> None:
    said = "all values are below 0"
    regression = dvbench.value(a_table()[["a", "b"]], label="b")
    assert any(remark.startswith(said) for remark in regression.remarks)
    assert not any(remark.startswith(said) for remark in dvbench.value(a_table(), label="kind").remarks)


def test_a_selection_says_what_it_was_made_with(tmp_path: Path) -> None:
    a_table().to_csv(tmp_path / "mine.csv", index=False)
    dvbench.select(tmp_path / "mine.csv", label="kind", fraction=0.5, strategy="random").to_csv(tmp_path / "kept.csv")
    made_with = json.loads((tmp_path / "kept.json").read_text())
    assert (made_with["strategy"], made_with["seed"], made_with["training"]["fractions"]) == ("random", 0, [0.5])
    assert made_with["table"]["file"] == "mine.csv"
    with pytest.raises(UserError, match="comma-separated"):
        dvbench.select(a_table(), label="kind", fraction=0.5, strategy="random").to_csv(tmp_path / "kept.parquet")


def test_a_validation_set_in_another_unit_is_named() -> None:
    table, judges = a_table(), a_table(20)
    judges["a"] += 0.01
    plain = dvbench.value(table, label="kind", validation=judges, evaluator="knn_shapley", progress=False)
    assert not any("standard deviations" in remark for remark in plain.remarks)
    other = judges.assign(b=judges["b"] * 1000)
    said = dvbench.value(table, label="kind", validation=other, evaluator="knn_shapley", progress=False).remarks
    assert any(remark.startswith("the validation set has numbers in 'b' that are more than 100") for remark in said)


def said_of(validation: pd.DataFrame, what: str) -> list[str]:
    remarks = dvbench.value(a_table(), label="kind", validation=validation, evaluator="knn_shapley").remarks
    return [remark for remark in remarks if what in remark]


def test_a_unit_that_is_only_some_times_larger_is_named_by_the_middle_of_a_column() -> None:
    judges = a_table(30).assign(a=a_table(30)["a"] + 0.01)
    assert said_of(judges, "have the same unit") == []
    (said,) = said_of(judges.assign(b=judges["b"] * 0.1 + 12), "have the same unit")
    assert said.startswith("half of the rows of the validation set or more have numbers in 'b'")
    assert said_of(judges[:8].assign(b=12.0), "have the same unit") == []  # so few rows can be anywhere


def test_a_column_that_says_nothing_in_a_validation_set_is_named() -> None:
    judges = a_table(30).assign(a=a_table(30)["a"] + 0.01)
    (said,) = said_of(judges.assign(b=np.nan), "no number")
    assert said == "the validation set has no number, or the same one in every row, in 'b'"
    assert said_of(judges, "no number") == []


def test_rows_that_repeat_others_are_counted_where_rows_judge_each_other() -> None:
    table = pd.concat([a_table(), a_table()[:4]], ignore_index=True)
    said = "4 rows repeat others: where a row is judged by its copy, its value says little"
    assert said in dvbench.value(table, label="kind").remarks
    assert said not in dvbench.value(table, label="kind", validation=a_table(90)[60:]).remarks
    assert not any("repeat others" in remark for remark in dvbench.value(a_table(), label="kind").remarks)


def test_what_a_validation_set_lacks_is_said_with_what_to_do() -> None:
    expected = (
        r"has no column 'b', which is a feature of the table: add it, or leave it out of the table with drop=\['b'\]"
    )
    with pytest.raises(UserError, match=expected):
        dvbench.value(a_table(), label="kind", validation=a_table(30).drop(columns="b"))
    with pytest.raises(UserError, match=r"has no column 'b' \(did you mean 'bb'\?\)"):
        dvbench.value(a_table(), label="kind", validation=a_table(30).rename(columns={"b": "bb"}))
