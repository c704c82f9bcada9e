"""Tables as careless programs and people write them: each is read rightly, or refused in a line that says why."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from datasets import ClassLabel, Dataset, Features, Value

from dvbench.errors import UserError
from dvbench.own_data.arguments import in_python
from dvbench.tables.cells import from_arrow
from dvbench.tables.labels import alike
from dvbench.tables.number_text import read_number
from dvbench.tables.reading import Table, read_arrays, read_table

N = 24
LABEL = ["no", "yes"] * (N // 2)


@pytest.fixture
def read(tmp_path: Path):
    def read(text: str, name: str = "t.csv", **options) -> Table:
        path = tmp_path / name
        path.write_bytes(text.encode())
        return read_table(path, **options)

    return read


def column(cells: list[str], name: str = "x") -> str:
    rows = [f"{(cells * N)[i]};{i % 7}.5;{LABEL[i]}" for i in range(N)]
    return "\n".join([f"{name};b;label", *rows])


def features(table: Table) -> np.ndarray:
    return table.source.take(np.arange(len(table.rows)))


@pytest.mark.parametrize(
    ("header", "row"),
    [
        ('"a;b;c;d",label', "{i}.5,{c}"),  # another separator inside of a name
        ("size, cm;label", "{i},5;{c}"),  # a comma in a name and in numbers
        ('"two\nlines";label', "{i}.5;{c}"),
        ("x|label", "{i}.5|{c}"),
    ],
)
def test_the_separator_is_the_one_that_divides_all_lines(read, header, row):
    table = read("\n".join([header, *(row.format(i=i % 5, c=LABEL[i]) for i in range(N))]), label="label")
    np.testing.assert_array_equal(features(table)[:, 0], [i % 5 + 0.5 for i in range(N)])


def test_lines_may_end_as_on_any_system(read):
    text = column(["1.5", "2.5", "4.5"])
    for end in ("\r\n", "\r"):
        np.testing.assert_array_equal(features(read(text.replace("\n", end))), features(read(text)))


def test_a_file_of_json_is_read_line_by_line(read):
    table = read("".join(f'{{"x": {i % 5}.5, "label": "{LABEL[i]}"}}\n' for i in range(N)), "t.json")
    assert features(table).shape == (N, 1)
    with pytest.raises(UserError, match="cannot be read as JSON lines: line 1 is not an object"):
        read('[{"x": 1, "label": "a"}]', "t.json")


@pytest.mark.parametrize(
    "cells",
    [
        ["31. Januar 2020", "1. Februar 2020"],
        ["Friday, 31 January 2020", "Saturday, 1 February 2020"],
        ["2020年1月31日", "2020年2月15日"],
        ["2020-W05", "2020-W06"],
        ["10:00:00.5", "11:59:00.25"],
        ["192.168.1.1", "10.0.0.1", "10.0.0.2"],
    ],
    ids=lambda cells: cells[0],
)
def test_what_looks_like_dates_is_refused_if_it_cannot_be_read(read, cells):
    with pytest.raises(UserError, match=r"column 'x' has dates such as .*use --as 'x=category'") as refused:
        read(column(cells))
    assert "types={'x': 'category'}" in in_python(str(refused.value))
    assert "column 'x'" not in " ".join(read(column(cells), types={"x": "category"}).understood)


def test_a_dropped_column_still_tells_the_decimal_mark(read):
    text = "\n".join(["rooms;rent;label", *(f"{i % 4}.5;CHF 2,75{i % 10};{LABEL[i]}" for i in range(N))])
    for drop in ([], ["rooms"]):
        table = read(text, label="label", drop=drop)
        assert features(table)[:2, -1].tolist() == [2750, 2751]
    amounts = "\n".join(["rooms;rent", *(f"{i % 4}.5;CHF 2,7{10 + i}" for i in range(N))])
    assert "from CHF 2,710 to CHF 2,733" in " ".join(read(amounts, label="rent").understood)
    assert read(amounts, label="rent").source.labels[0] == 2710


def test_amounts_are_not_said_to_be_no_whole_numbers(read):
    rows = [f"{i % 7}.5;EUR {1 + i}" for i in range(N)]
    assert "(numbers with a unit)" in " ".join(read("\n".join(["x;price", *rows]), label="price").understood)


def test_exponents_are_no_unit(read):
    for cells, numbers in ((["14e3", "2E2", "7e3"], [14000, 200, 7000]), (["EUR 5", "7 EUR", "9"], [5, 7, 9])):
        table = read(column(cells), types={"x": "number"})
        assert features(table)[:3, 0].tolist() == numbers


def test_a_date_that_is_named_as_an_example_is_none_of_the_wrong_texts(read):
    with pytest.raises(UserError, match=r"such as '10\.0\.0\.1', but '192\.168\.1\.1' is none"):
        read(column(["192.168.1.1", "10.0.0.1", "10.0.0.2"]))


@pytest.mark.parametrize("unit", ["kg", "m2", "m²", "°C", "km/h"])
def test_numbers_with_a_unit_are_no_silent_categories(read, unit: str):
    table = read(column([f"12 {unit}", f"13 {unit}", f"7.5{unit}"]))
    assert f"'x' is read as numbers, without its unit {unit}; --as 'x=category' if it is no unit" in table.understood
    assert features(table)[:3, 0].tolist() == [12, 13, 7.5]
    np.testing.assert_array_equal(table.encoders["x"].encode(pa.array([f"14 {unit}", "15"])), [[14], [15]])
    few = read(
        column([f"1 {unit}", f"1 002{unit}", "3"]), types={"x": "number"}
    )  # two texts, one number without the unit
    assert features(few)[:3, 0].tolist() == [1, 1002, 3]
    assert f"'x' is read as numbers, without its unit {unit}" in few.understood
    with pytest.raises(UserError, match=f"'12 {unit}s?x' is not a number"):
        table.encoders["x"].encode(pa.array([f"12 {unit}x"]))
    for words in (["1st", "2nd", "3rd"], ["A 1", "A 2", "A 3"], ["10-20", "20-30", "30-40"]):
        assert "its unit" not in " ".join(read(column(words)).understood)


@pytest.mark.parametrize(
    ("text", "number"), [("5.-", 5.0), ("CHF 2'000.-", 2000.0), ("12,– €", 12.0), ("7-", -7.0), ("1.5e-3", 0.0015)]
)
def test_a_dash_after_a_number(text, number):
    reading = read_number(text)
    assert reading is not None
    assert number in (reading.point, reading.comma)


@pytest.mark.parametrize("text", ["-7-", "(7-)", "(-7)", "7--"])
def test_no_number_has_two_signs(text):
    assert read_number(text) is None


def test_targets_with_several_units_are_refused_as_features_are(read):
    for cells in (["10%", "20", "30%"], ["$10", "€20", "$35.5"]):
        with pytest.raises(UserError, match=r"label column 'x' of t\.csv mixes units"):
            read(column(cells), label="x")


def test_with_two_columns_named_like_a_label_none_is_guessed(read):
    text = column(["1.5", "2.5", "4.5"])
    with pytest.raises(UserError, match=r"say which column of t\.csv is the label, with --label: one of target, y, c"):
        read(text.replace("x;b;label", "target;y;c"))
    assert read(text.replace("x;b;label", "target;b;label")).label == "label"


def test_minus_signs_do_not_make_a_regression_of_two_classes(read):
    assert read(column(["−1", "1"]), label="x").source.classes == ("−1", "1")


def test_remarks_keep_apart_what_differs():
    assert alike(["07", "7", "010", "10"], "groups") == (
        "groups '07', '7'; '010', '10' are the same number, written differently",
    )
    assert alike(["12345678901234567890", "12345678901234567891"], "classes") == ()
    assert "'acme', 'acme?' differ only in" in alike(["acme", "acme\u200b"], "classes")[0]


def test_long_cells_are_cut_where_they_are_shown(read):
    long = ["x" * 5000, "X" * 5000, "y\u202e" * 2000]
    table = read(column(long), label="x")
    assert max(map(len, table.understood + table.remarks)) < 500
    assert table.source.classes == tuple(sorted(long))
    with pytest.raises(UserError) as refused:
        read(column(long), label="x", kind="regression")
    assert len(str(refused.value)) < 500


def test_cells_that_are_masked_are_missing():
    x = np.ma.masked_greater(np.arange(2.0 * N).reshape(N, 2), 2 * N - 3)
    for values in (x, x.astype(int)):
        table = read_arrays(values, LABEL)
        assert "2 missing numbers were imputed" in " ".join(table.understood)
        assert features(table).max() <= 2 * N - 3
    with pytest.raises(UserError, match="1 missing label, in row 3"):
        read_arrays(x, np.ma.masked_array(LABEL, mask=np.arange(N) == 3))


def test_a_negative_class_number_of_a_data_set_is_a_missing_label():
    schema = Features({"x": Value("float64"), "label": ClassLabel(names=["no", "yes"])})
    data = Dataset.from_dict({"x": [i + 0.5 for i in range(N)], "label": [-1, *(i % 2 for i in range(N - 1))]}, schema)
    with pytest.raises(UserError, match="1 missing label, in row 0"):
        read_table(data)


def test_categories_of_views_of_text_are_read():
    """Polars hands on its categories in this form."""
    words = pa.DictionaryArray.from_arrays(pa.array([1, 0, None], pa.uint8()), pa.array(["u", "v"], pa.string_view()))
    assert from_arrow(words).to_pylist() == ["v", "u", None]
