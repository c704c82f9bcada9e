"""What is understood of a table is said, with the option that overrides each guess; and the options do."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from made_up_tables import write_csv

from dvbench.errors import UserError
from dvbench.problems.build import load_source
from dvbench.tables.reading import Table, read_table

N = 50
X = [f"{i % 7}.5" for i in range(N)]
LABEL = ["no", "yes"] * 25


@pytest.fixture
def read(tmp_path: Path):
    def read(columns, **options) -> Table:
        return read_table(write_csv(tmp_path / "t.csv", columns), **options)

    return read


def width(table: Table) -> int:
    return table.source.take(np.arange(1)).shape[1]


def said(table: Table) -> str:
    return " | ".join(table.understood)


def test_a_table_of_everything_is_summarised_in_lines(read):
    table = read(
        {
            "id": list(map(str, range(100, 100 + N))),
            "name": [f"person{i}" for i in range(N)],
            "row": list(map(str, range(N))),
            "empty": [""] * N,
            "income": ["", "NA", *X[2:]],
            "colour": ["", "red", "blue", "green", "red"] * 10,
            "seller": [f"seller {i % 45}" for i in range(N)],
            "when": [f"2021-{i % 12 + 1:02}-01" for i in range(N)],
            "provider": ["07", "7"] * 25,
            "label": LABEL,
        },
        group="provider",
    )
    assert table.understood == (
        "the label is column 'label', by its name; --label names another",
        "classification by column 'label' (text): 2 classes (no 25, yes 25); --kind regression is impossible here",
        "50 rows; 1 numeric column (income), 1 categorical (colour) -> 4 indicators, 1 date (when) -> 2 parts, 1 text "
        "(seller) -> 30 components, 4 left out (id: an id, different in every row, name: different in every row, row: "
        "it counts the rows, empty: empty; --as COLUMN=TYPE keeps one); 2 groups by column 'provider'",
        "2 missing cells were imputed by the median of the column: income 2",
        "10 empty cells were taken for one more category: colour 10",
    )
    assert table.remarks == ("groups '07', '7' are the same number, written differently",)
    assert width(table) == 1 + 4 + 2 + 30


def test_the_kind_is_said_with_the_option_for_the_other(read):
    person = [str(i % 25) for i in range(N)]
    table = read({"x": X, "person": person})
    assert table.source.kind == "classification"
    assert len(table.source.classes) == 25
    assert "(whole numbers that repeat): 25 classes (0 2, 1 2, 2 2, 3 2, 4 2, and 20 more)" in said(table)
    assert "--kind regression for the other" in said(table)
    other = read({"x": X, "person": person}, kind="regression")
    assert other.source.labels.tolist() == [i % 25 for i in range(N)]
    assert read({"x": X, "z": X}, kind="classification").source.classes[0] == "0.5"
    with pytest.raises(UserError, match="cannot be a regression: 'no' in lines 2, 3, 4 and 47 more is not a number"):
        read({"x": X, "label": LABEL}, kind="regression")


def test_doubts_about_classes_are_remarks(read):
    labels = ["Yes", "yes", "1", "1.0", "rare", *["None", "Yes"] * 10]
    assert read({"x": X[:25], "label": labels}).remarks == (
        "classes 'Yes', 'yes' differ only in case, blanks or invisible characters",
        "classes '1', '1.0' are the same number, written differently",
        "4 classes have one row ('1', '1.0', 'rare', 'yes')",
        "'None' is taken for a class, and not for a missing label",
    )


def test_a_type_can_be_set(read):
    columns = {"x": X, "code": [f"{i % 7:02}" for i in range(N)], "n": list(map(str, range(N))), "label": LABEL}
    table = read(columns)
    assert width(table) == 1 + 7
    assert "'code' holds codes with leading zeros or many digits, so it is a category; --as 'code=number'" in said(
        table
    )
    assert width(read(columns, types={"code": "number", "n": "number"})) == 3
    assert width(read(columns, types={"n": "category"})) == 1 + 7 + N
    assert width(read(columns, types={"code": "identifier"})) == 1
    assert width(read(columns, features=["x"])) == width(read(columns, drop=["code", "n"])) == 1
    words = {"x": X, "review": [f"text number {i} is good" for i in range(N)], "label": LABEL}
    assert width(read(words)) == 1
    assert width(read(words, types={"review": "text"})) == 1 + 30
    with pytest.raises(UserError, match=r"no type for column 'x' is named 'nunber': did you mean 'number'"):
        read(columns, types={"x": "nunber"})
    with pytest.raises(UserError, match=r"no column of t.csv is named 'z'"):
        read(columns, types={"z": "number"})


def test_encoded_text_is_the_same_every_time(read):
    columns = {"seller": [f"seller {i % 45}" for i in range(N)], "label": LABEL}
    first, second = (read(columns).source.take(np.arange(N)) for _ in range(2))
    np.testing.assert_array_equal(first, second)
    np.testing.assert_array_equal(first[0], first[45])
    assert not np.allclose(first[0], first[1])


def test_what_cannot_be_a_number_is_refused_with_the_options(read):
    for cells, expected in (
        (["€5", "$5"], r"column 'x' mixes units (\$, €)"),
        (["5%", "5"], r"column 'x' mixes units (none, %)"),
        (["1,5", "1.5"], "column 'x' mixes numbers with decimal points and decimal commas"),
        (["05/06/2020", "06/05/2020"], "use --as 'x=day-first' or --as 'x=month-first'"),
        (["2020-01-01", "2020-01-02", "soon"], "column 'x' has dates such as '2020-01-01', but 'soon' is none"),
    ):
        expected = expected.replace("(", r"\(").replace(")", r"\)")
        with pytest.raises(UserError, match=expected):
            read({"x": (cells * N)[:N], "label": LABEL})


def test_a_label_that_cannot_be_guessed_is_asked_for(read):
    for last in ([f"n{i}" for i in range(N)], ["same"] * N, list(map(str, range(N)))):
        with pytest.raises(UserError, match=r"say which column of t.csv is the label, with --label: one of a, z"):
            read({"a": X, "z": last})
    assert read({"outcome": LABEL, "x": X}).label == "outcome"
    assert read({"x": X, "z": LABEL}).label == "z"


def test_a_suite_needs_rows_of_each_class_for_its_three_sets(tmp_path):
    few = write_csv(tmp_path / "few.csv", {"x": X[:9], "label": LABEL[:9]})
    rare = write_csv(tmp_path / "rare.csv", {"x": X[:20], "label": ["rare", *LABEL[:19]]})
    assert len(read_table(few).rows) == 9
    assert read_table(rare).remarks == ("1 class has one row ('rare')",)
    with pytest.raises(UserError, match=r"few.csv has 9 rows of data: at least 10 are needed"):
        load_source(f"csv:{few}")
    with pytest.raises(
        UserError, match=r"class 'rare' in column 'label' of rare.csv has 1 rows, but each of the three sets"
    ):
        load_source(f"csv:{rare}")


def test_a_table_of_many_columns_is_read_in_linear_time(tmp_path):
    """Four times the columns take about four times as long, and not sixteen times."""
    seconds = []
    for columns in (2000, 8000):
        path = write_csv(
            tmp_path / "wide.csv", {**{f"c{k}": ["0.5", "1.5"] * 3 for k in range(columns)}, "label": LABEL[:6]}
        )
        start = time.process_time()
        assert width(read_table(path)) == columns
        seconds.append(time.process_time() - start)
    assert seconds[1] < 9 * seconds[0]


def test_a_file_for_spreadsheets(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("sep=;\n;x;label;\n1;1,5;a;\n2;2,5;b;\n;;;\n3;4,5;a;\n4;1,5;b;\n", encoding="utf-8")
    table = read_table(path)
    assert table.rows.tolist() == [3, 4, 6, 7]
    assert table.source.take(np.arange(4)).tolist() == [[1.5], [2.5], [4.5], [1.5]]
    assert table.source.classes == ("a", "b")


def test_points_in_a_file_with_semicolons_may_be_thousands(tmp_path):
    cells = {"x": [f"{i % 7 + 1}.000" for i in range(12)], "label": LABEL[:12]}
    with pytest.raises(UserError, match=r"'1.000' that can be read in two ways: use --decimal"):
        read_table(write_csv(tmp_path / "t.csv", cells, ";"))
    assert read_table(write_csv(tmp_path / "t.csv", cells)).source.take(np.arange(2)).tolist() == [[1], [2]]
    neighbour = {"other": [f"{i},5" for i in range(12)], **cells}
    table = read_table(write_csv(tmp_path / "t.csv", neighbour, ";"))
    assert table.source.take(np.arange(2)).tolist() == [[0.5, 1000], [1.5, 2000]]


def test_the_label_has_a_kind_and_no_type(read):
    with pytest.raises(UserError, match=r"column 'label' is the label, which has no type: use --kind"):
        read({"x": X, "label": LABEL}, types={"label": "number"})


def test_text_of_few_words_has_no_components_that_are_rounding(read):
    """Nine words span nine dimensions; thirty components of them had 21 that were rounding, scaled up to words."""
    rng = np.random.default_rng(0)
    words = ["fast", "slow", "red", "blue", "cheap", "broken", "new", "old", "heavy"]
    texts = [" ".join(rng.choice(words, 3)) for _ in range(300)]
    table = read({"x": texts, "label": ["a", "b"] * 150})
    features = table.source.take(np.arange(300))
    spreads = features.std(axis=0)
    assert spreads.min() > 1e-3 * spreads.max()
    unseen = table.encoders["x"].encode(pa.array(["broken bicycle", "fast fast fast"]))
    assert ((features.min(axis=0) <= unseen) & (unseen <= features.max(axis=0))).all()
    with pytest.raises(UserError, match="column 'label' is the label, and cannot be dropped"):
        read({"x": texts, "label": ["a", "b"] * 150}, label="label", drop=["label"])


@pytest.mark.parametrize("copies", [1, 40])
def test_copies_of_rows_make_no_feature_of_an_identifier(read, copies: int):
    """A provider that copies rows of another one copies their identifiers too."""
    rows = [*range(60), *range(copies)]
    table = read(
        {
            "code": [f"c{(7 * row) % 60:03}x" for row in rows],
            "id": [str(100 + row) for row in rows],
            "provider": ["first"] * 60 + ["second"] * copies,
            "x": [str(row % 7 + 0.5) for row in rows],
            "label": [str(row % 2) for row in rows],
        },
        group="provider",
    )
    assert list(table.encoders) == ["x"]
    assert "code: different in every row but copies" in " ".join(table.understood)


def test_a_column_that_comes_with_the_label_is_no_identifier(read):
    """Each city has its label and its size: rows are equal where the city is, but the city says more than which row."""
    cities = [f"city {i % 17}" for i in range(N)]
    table = read(
        {
            "city": cities,
            "size": [str(100 + 7 * (i % 17)) for i in range(N)],
            "label": [str(i % 17 % 2) for i in range(N)],
        }
    )
    assert list(table.encoders) == ["city", "size"]
    doses = read({"dose": [str(1 + i // 2) for i in range(N)], "label": [str(i // 2 % 2) for i in range(N)]})
    assert list(doses.encoders) == ["dose"]


def test_text_that_differs_in_no_word_is_kept_as_a_category(read):
    table = read({"t": ["Word", "WORD"] * 25, "x": X, "label": LABEL}, types={"t": "text"})
    assert "t: its words differ in no way that is used; --as 't=category' keeps it" in said(table)


def test_words_that_differ_in_nearly_every_row_may_be_identifiers(read):
    rows = [*range(60), 7, 7]  # two copies of a row, of which one was changed
    columns = {"x": [str(row % 7 + 0.5) for row in rows[:-1]] + ["9.5"], "label": [str(row % 2) for row in rows]}
    codes = read({"code": [f"c{(7 * row) % 60:03}x" for row in rows], **columns})
    assert list(codes.encoders) == ["code", "x"]
    assert "'code' differs in nearly every row: if it only names rows, use --drop 'code'" in said(codes)
    texts = read({"text": [f"word {(7 * row) % 60:03}x" for row in rows], **columns})
    assert "differs in nearly every row" not in said(texts)
