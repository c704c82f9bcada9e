"""The same table from every format and object gives the same features, labels and groups."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from made_up_tables import write_csv

from dvbench.errors import UserError
from dvbench.tables.reading import Table, read_arrays, read_table, read_validation

N = 12
FRAME = pd.DataFrame(
    {
        "amount": [1234.5, np.nan, *(i + 0.25 for i in range(N - 2))],
        "count": [7, 7, 9, 2**40, *range(N - 4)],
        "open": [True, False, True] * 4,
        "colour": ["red", None, "blue", "green"] * 3,
        "when": pd.to_datetime([f"2020-{i % 3 + 1:02}-{i + 1:02}" for i in range(N)]),
        "provider": ["07", "7", "010", "10"] * 3,
        "kind": ["None", "Mild", "NA"] * 4,
    }
)
TEXT = {
    "amount": ["1234.5", "", *(f"{i + 0.25}" for i in range(N - 2))],
    "count": list(map(str, FRAME["count"])),
    "open": list(map(str, FRAME["open"])),
    "colour": ["red", "", "blue", "green"] * 3,
    "when": [f"2020-{i % 3 + 1:02}-{i + 1:02}" for i in range(N)],
    "provider": list(FRAME["provider"]),
    "kind": list(FRAME["kind"]),
}


def write_json_lines(path: Path) -> Path:
    records = json.loads(FRAME.assign(when=TEXT["when"]).to_json(orient="records"))
    path.write_text("".join(json.dumps(record) + "\n" for record in records), encoding="utf-8")
    return path


WRITERS = {
    "t.csv": lambda path: write_csv(path, TEXT),
    "t.tsv": lambda path: write_csv(path, TEXT, "\t"),
    "semicolons.csv": lambda path: write_csv(path, TEXT, ";"),
    "bars.txt": lambda path: write_csv(path, TEXT, "|"),
    "t.parquet": lambda path: FRAME.to_parquet(path),
    "t.xlsx": lambda path: FRAME.to_excel(path, index=False),
    "t.jsonl": write_json_lines,
    "t.csv.gz": lambda path: FRAME.to_csv(path, index=False, na_rep=""),
}
FIRST_ROW = {"t.parquet": ("row", 0), "t.xlsx": ("row", 2), "t.jsonl": ("line", 1)}


def features(table: Table) -> np.ndarray:
    return table.source.take(np.arange(len(table.rows)))


def same(table: Table) -> None:
    reference = read_table(FRAME, group="provider")
    np.testing.assert_array_equal(features(table), features(reference))
    assert table.source.classes == reference.source.classes == ("Mild", "NA", "None")
    assert table.targets.tolist() == reference.targets.tolist() == list(FRAME["kind"])
    assert table.source.groups is not None
    assert table.source.groups.tolist() == list(FRAME["provider"])


@pytest.mark.parametrize("name", WRITERS)
def test_every_format_gives_the_same_table(tmp_path, name):
    WRITERS[name](tmp_path / name)
    table = read_table(tmp_path / name, group="provider")
    same(table)
    assert (table.numbering, table.rows[0]) == FIRST_ROW.get(name, ("line", 2))
    assert table.rows.tolist() == list(range(table.rows[0], table.rows[0] + N))


def test_objects_in_memory_give_the_same_table():
    same(read_table(FRAME.to_dict("list"), group="provider"))
    same(read_arrays(FRAME.drop(columns="kind"), FRAME["kind"], groups="provider"))
    same(read_arrays(FRAME.drop(columns=["kind", "provider"]), list(FRAME["kind"]), groups=list(FRAME["provider"])))
    indexed = read_table(FRAME.set_index(pd.Index([f"r{i}" for i in range(N)])), group="provider")
    same(indexed)
    assert (indexed.numbering, indexed.rows[1]) == ("index", "r1")
    assert read_table(FRAME).source.take(np.arange(N)).shape == (N, 1 + 1 + 1 + 4 + 3 + 4)


def test_a_data_set_of_hugging_face_is_a_table():
    from datasets import ClassLabel, Dataset

    data = Dataset.from_pandas(FRAME.drop(columns="kind"))
    data = data.add_column("kind", [2, 0, 1] * 4).cast_column("kind", ClassLabel(names=["Mild", "NA", "None"]))
    same(read_table(data, label="kind", group="provider"))


@pytest.mark.parametrize(
    "convert", [np.array, torch.tensor, list, pd.DataFrame], ids=["numpy", "torch", "list", "pandas"]
)
def test_arrays_of_numbers_are_used_as_they_are(convert):
    X = np.column_stack([np.arange(12.0), np.ones(12), np.arange(12.0) ** 2])
    data = convert(X.tolist()) if convert is list else convert(X)
    table = read_arrays(data, np.arange(12) % 2)
    expected = (
        X[:, 2:] if convert is pd.DataFrame else X
    )  # a data frame is a table: counters and constants are left out
    np.testing.assert_array_equal(features(table), expected)
    assert table.source.classes == ("0", "1")
    assert table.rows.tolist() == list(range(12))


def test_labels_of_arrays_may_be_one_hot_or_columns():
    X, classes = np.random.default_rng(0).normal(size=(9, 2)), np.arange(9) % 3
    for y in (np.eye(3)[classes], classes[:, np.newaxis], torch.eye(3)[classes], pd.Series(classes)):
        assert read_arrays(X, y).source.labels.tolist() == classes.tolist()
    assert read_arrays(X, classes, kind="regression").source.labels.tolist() == classes.tolist()
    assert read_arrays(torch.zeros(9, 3, 4, 4), classes).source.take(np.arange(2)).shape == (2, 3, 4, 4)


WRONG = {
    "rows": ((np.zeros((4, 2)), np.arange(5)), "y has 5 rows, but X has 4"),
    "two classes in a row": ((np.zeros((3, 2)), np.ones((3, 2))), "rows with several classes"),
    "infinite": ((np.full((6, 2), np.inf), [0, 1] * 3), "infinite or too large numbers in rows 0, 1"),
    "nothing": ((np.full((6, 2), np.nan), [0, 1] * 3), "columns without any number"),
    "missing label": ((np.zeros((6, 2)), [0, 1, None, 0, 1, 0]), "1 missing label, in row 2"),
    "empty": ((np.zeros((0, 2)), []), "it must have rows and columns"),
    "no table": (("nowhere.csv", [1, 2]), "nowhere.csv does not exist"),
    "lists of two lengths": (([[1, 2], [3]], [0, 1]), "rows of an array must all have the same length"),
    "no labels": ((np.zeros((4, 2)),), "X has no column of labels: give them as y"),
    "shape": ((np.zeros((4, 2)), np.zeros((4, 2, 2))), "y must have the shape"),
}


@pytest.mark.parametrize("case", WRONG)
def test_arrays_that_cannot_be_used_are_refused_in_one_line(case):
    arrays, expected = WRONG[case]
    with pytest.raises(UserError, match=expected) as caught:
        read_arrays(*arrays)
    assert "\n" not in str(caught.value)


def test_nested_columns_are_not_read_and_that_is_said(tmp_path):
    frame = FRAME.assign(nested=[[1, 2]] * N)
    frame.to_parquet(tmp_path / "t.parquet")
    (tmp_path / "t.jsonl").write_text('{"a": 1.5, "nested": {"b": 1}, "label": "x"}\n{"a": 2, "label": "y"}\n' * 2)
    for data in (frame, frame.to_dict("list"), tmp_path / "t.parquet", tmp_path / "t.jsonl"):
        table = read_table(data, label="label" if str(data).endswith(".jsonl") else "kind")
        assert table.understood[0] == "column 'nested' is not read: it holds lists or other nested values"


def test_types_that_only_pandas_knows_are_text():
    frame = pd.DataFrame({"part": pd.cut(np.arange(8), 3), "z": np.arange(8) + 1j, "label": list("xyxyxyxy")})
    table = read_table(frame)
    assert features(table).shape == (8, 3)
    assert any("1 left out (z: different in every row" in line for line in table.understood)


def test_validation_rows_are_encoded_like_the_table(tmp_path):
    table = read_table(FRAME, group="provider")
    columns = {name: cells[3:9] for name, cells in TEXT.items()}
    validation = read_validation(write_csv(tmp_path / "v.csv", columns), table)
    np.testing.assert_array_equal(validation.take(np.arange(6)), features(table)[3:9])
    assert validation.labels.tolist() == table.source.labels[3:9].tolist()
    assert validation.classes == table.source.classes
    pair = read_validation((FRAME.drop(columns="kind")[3:9], FRAME["kind"][3:9]), table)
    np.testing.assert_array_equal(pair.take(np.arange(6)), validation.take(np.arange(6)))


def test_validation_rows_that_differ_are_refused(tmp_path):
    table = read_table(FRAME, group="provider")
    for change, expected in (
        (
            {"kind": ["Severe"] * N},
            r"class 'Severe' in lines 2, 3, 4 and 9 more of v.csv is not a class of the table \(",
        ),
        ({"kind": ["Mild"] * 11 + [""]}, r"1 missing label, in line 13"),
        ({"amount": ["x"] * N}, r"column 'amount' of v.csv: 'x' is not a number"),
        ({"when": ["2020-01-01"] * 11 + ["soon"]}, r"column 'when' of v.csv: 'soon' is not a date"),
    ):
        with pytest.raises(UserError, match=expected):
            read_validation(write_csv(tmp_path / "v.csv", {**TEXT, **change}), table)
    without = {name: cells for name, cells in TEXT.items() if name != "amount"}
    with pytest.raises(UserError, match="amount"):
        read_validation(write_csv(tmp_path / "v.csv", without), table)
    arrays = read_arrays(np.random.default_rng(0).normal(size=(6, 2)), [0, 1] * 3)
    with pytest.raises(UserError, match=r"must have rows of numbers of shape \(2,\)"):
        read_validation((np.zeros((3, 3)), [0, 1, 0]), arrays)


def test_validation_rows_in_another_unit_are_refused(tmp_path):
    def written(name: str, amounts: list[str], prices: list[str]) -> Path:
        return write_csv(tmp_path / name, {"amount": amounts, "price": prices})

    numbers = ["3", "1", "4", "15", "9", "26", "5", "35", "8", "97", "93", "23"]
    euros, dollars, percent = ([form.format(n) for n in numbers] for form in ("{} EUR", "{} $", "{}%"))
    for ours, theirs, said in (
        (euros, dollars, r"\(\$ instead of EUR\): convert them"),
        (numbers, percent, r"\(% instead of none\)"),
        (percent, numbers, r"\(none instead of %\)"),
        (euros, numbers, None),
        (numbers, dollars, None),  # as within one table
    ):
        for what, table, other in (
            ("column 'amount'", (ours, numbers), (theirs, numbers)),
            ("label column 'price'", (numbers, ours), (numbers, theirs)),
        ):
            read = read_table(written("t.csv", *table), label="price", kind="regression")
            validation = written("v.csv", *other)
            if said is None:
                assert len(read_validation(validation, read).labels) == 12
                continue
            with pytest.raises(UserError, match=f"{what} of v.csv: it .* another unit than the table {said}"):
                read_validation(validation, read)
    frame = pd.DataFrame({"amount": np.arange(12.0), "price": numbers})
    with pytest.raises(UserError, match=r"\(none instead of %\)"):
        read_validation(frame, read_table(written("t.csv", percent, numbers), label="price"))


def test_a_type_of_a_column_that_is_not_used_is_refused():
    for used in ({"drop": ["amount"]}, {"features": ["when"]}):
        with pytest.raises(UserError, match="column 'amount' is not used as a feature, so leave it out of --as"):
            read_table(FRAME, group="provider", types={"amount": "number"}, **used)


@pytest.mark.slow
def test_reading_a_table_imports_no_torch(tmp_path):
    import subprocess

    write_csv(tmp_path / "t.csv", TEXT)
    script = f"import sys; from dvbench.tables.reading import read_table; read_table({str(tmp_path / 't.csv')!r})"
    subprocess.run([sys.executable, "-c", f"{script}; assert 'torch' not in sys.modules"], check=True)
