"""Any role of a column with any style of its cells: what is written is read, or refused by name, and never guessed."""

from __future__ import annotations

import tempfile
import unicodedata
from datetime import datetime
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made_up_tables import DATES, MISSING, NUMBERS, PERCENT, write_csv, write_dates

from dvbench.errors import UserError
from dvbench.tables.reading import Table, read_table

settings.register_profile("tables", deadline=None, max_examples=25)
settings.load_profile("tables")

CLASSES = ["a", "b"]
# Not whole in every list, so that no column counts rows; large ones have thousands.
AMOUNT = st.integers(-5_000_000, 5_000_000).map(lambda cents: cents / 100)
AMOUNTS = st.lists(AMOUNT, min_size=12, max_size=30, unique=True).map(lambda values: [1234.56, -0.07, *values])
CELL = st.text(st.characters(codec="utf-8", exclude_categories=("Cc", "Cs", "Cn")), min_size=1, max_size=6)
TRICKY = [
    "07",
    "7",
    "007",
    "1e1",
    "10",
    "1.0",
    "1",
    "None",
    "NA",
    "nan",
    "?",
    "-",
    "True",
    "acme",
    " acme",
    "acme ",
    "Acme",
]


def classes_of(n: int) -> list[str]:
    return [CLASSES[i % 2] for i in range(n)]


def read(columns: dict[str, list[str]], separator: str = ",", **options: object) -> Table:
    with tempfile.TemporaryDirectory() as folder:
        return read_table(write_csv(Path(folder) / "t.csv", columns, separator), **options)  # type: ignore[arg-type]


def features(table: Table) -> np.ndarray:
    return table.source.take(np.arange(len(table.rows)))


def cleaned(text: str) -> str:
    return unicodedata.normalize("NFC", text.strip())


@given(AMOUNTS, st.sampled_from(sorted(NUMBERS)), st.sampled_from(",;\t"))
def test_a_number_is_read_as_one_column_in_any_style(values, style, separator):
    table = read({"amount": list(map(NUMBERS[style], values)), "label": classes_of(len(values))}, separator)
    np.testing.assert_allclose(features(table), np.array(values)[:, np.newaxis], rtol=1e-9)


@given(AMOUNTS, st.sampled_from(sorted(PERCENT)))
def test_percentages_are_numbers(values, style):
    table = read({"rate": list(map(PERCENT[style], values)), "label": classes_of(len(values))})
    np.testing.assert_allclose(features(table)[:, 0], np.array(values) / 100, rtol=1e-9)


@given(AMOUNTS, st.sampled_from(sorted(NUMBERS)), st.lists(st.sampled_from(MISSING), min_size=1, max_size=6), st.data())
def test_missing_numbers_are_imputed_and_counted_in_any_style(values, style, tokens, data):
    cells = list(map(NUMBERS[style], values))
    rows = data.draw(st.lists(st.integers(0, len(cells) - 1), min_size=len(tokens), max_size=len(tokens), unique=True))
    for row, token in zip(rows, tokens, strict=True):
        cells[row] = token
    kept = np.delete(np.array(values), rows)
    if not _tells_its_decimals(np.array(cells)[np.setdiff1d(np.arange(len(cells)), rows)]):
        return
    table = read({"amount": cells, "label": classes_of(len(values))})
    expected = np.array(values)
    expected[rows] = np.median(kept)
    np.testing.assert_allclose(features(table), expected[:, np.newaxis], rtol=1e-9)
    count = f"{len(rows)} missing cell{'s were' if len(rows) > 1 else ' was'} imputed"
    assert any(line.startswith(count) and f"amount {len(rows)}" in line for line in table.understood)


def _tells_its_decimals(cells: np.ndarray) -> bool:
    """Whether some number that is left is not whole; the column may be ambiguous otherwise."""
    return any("." in cell[-4:] or "," in cell[-6:] for cell in cells)


@given(AMOUNTS, st.sampled_from(sorted(NUMBERS)))
def test_targets_are_numbers_and_stay_as_they_are_written(values, style):
    cells = list(map(NUMBERS[style], values))
    table = read({"x": [f"{i}.5" for i in range(len(values))], "price": cells}, label="price")
    assert table.source.kind == "regression"
    np.testing.assert_allclose(table.source.labels, values, rtol=1e-9)
    assert table.targets.tolist() == list(map(cleaned, cells))


@given(st.lists(st.sampled_from(TRICKY) | CELL, min_size=2, max_size=12), st.integers(2, 3), st.randoms())
def test_classes_and_groups_are_the_text_of_the_file(cells, times, random):
    cells = cells * times
    random.shuffle(cells)
    texts = list(map(cleaned, cells))
    columns = {"x": [f"{i}.5" for i in range(len(cells))], "label": cells, "by": [*cells[1:], cells[0]]}
    if len(set(texts)) < 2 or "" in texts:
        with pytest.raises(UserError, match=r"in every row|missing label|without a group"):
            read(columns, label="label", group="by", kind="classification")
        return
    table = read(columns, label="label", group="by", kind="classification")
    assert set(table.source.classes) == set(texts)
    assert [table.source.classes[k] for k in table.source.labels] == table.targets.tolist() == texts
    assert table.source.groups is not None
    assert table.source.groups.tolist() == [*texts[1:], texts[0]]
    features_only = features(table)
    np.testing.assert_array_equal(features_only[:, 0], np.arange(len(cells)) + 0.5)


@given(st.lists(CELL.filter(lambda cell: cleaned(cell) != ""), min_size=3, max_size=30))
def test_words_become_indicators_or_are_left_out(words):
    """Words that are no numbers and no dates: a bar before each makes sure of it."""
    cells = [f"|{word}" for word in words]
    texts = list(map(cleaned, cells))
    distinct = sorted(set(texts))
    columns = {"x": [f"{i}.5" for i in range(len(cells))], "word": cells, "label": classes_of(len(cells))}
    table = read(columns)
    encoded = features(table)[:, 1:]
    if len(distinct) == 1 or len(distinct) == len(cells):
        assert encoded.shape[1] == 0
        assert any("1 left out (word: " in line for line in table.understood)
    else:
        expected = np.array([[text == word for word in distinct[len(distinct) == 2 :]] for text in texts])
        np.testing.assert_array_equal(encoded, expected)


DAY = st.datetimes(datetime(1990, 1, 1), datetime(2029, 12, 31)).map(lambda date: date.replace(second=0, microsecond=0))


@given(st.lists(DAY, min_size=6, max_size=20, unique_by=lambda date: date.date()), st.sampled_from(sorted(DATES)))
def test_dates_are_read_or_refused_but_are_no_categories(dates, style):
    columns = {"when": write_dates(dates, style), "label": classes_of(len(dates))}
    exchangeable = "slashes" in style and "year" not in style and all(date.day <= 12 for date in dates)
    if exchangeable and any(date.day != date.month for date in dates):
        with pytest.raises(UserError, match=r"column 'when' has dates such as .* day and month can be exchanged"):
            read(columns)
        columns = {**columns}
        table = read(columns, types={"when": "day-first" if "day" in style else "month-first"})
    else:
        table = read(columns)
    parts = {"year": [d.year for d in dates], "month": [d.month for d in dates], "day": [d.day for d in dates]}
    encoded = features(table)
    for values in parts.values():
        if len(set(values)) > 1:
            assert any(np.array_equal(column, values) for column in encoded.T)
    assert encoded.shape[1] <= 5


@given(st.sampled_from(["1,234", "12,345", "$9,876", "1,000,000"]), st.booleans())
def test_numbers_with_two_readings_need_the_other_columns_or_an_option(cell, comma):
    cells = [cell if i else cell.replace("9", "8").replace("1", "2") for i in range(12)]
    columns = {"amount": cells, "label": classes_of(12)}
    if cell.count(",") == 1:
        with pytest.raises(UserError, match=r"column 'amount' has numbers such as .* two ways: use --decimal"):
            read(columns)
    plain = float(cells[1].replace(",", "").lstrip("$"))
    decimal = plain / 1000 if comma and cell.count(",") == 1 else plain
    neighbour = [f"{i},5" if comma else f"{i}.5" for i in range(12)]
    if cell.count(",") == 1:
        assert features(read(columns, decimal="," if comma else "."))[1, 0] == decimal
        assert features(read({"other": neighbour, **columns}))[1, 1] == decimal
    else:
        assert features(read(columns))[1, 0] == plain


@given(st.integers(1, 5), st.integers(0, 20), st.sampled_from(["oops", "12kg", "1.2.3", "O.5", "1 2", "12-13"]))
def test_a_column_of_numbers_with_other_text_is_refused_by_cell_and_line(count, first, wrong):
    cells = [f"{i}.25" for i in range(30)]
    rows = range(first, first + count)
    for row in rows:
        cells[row] = wrong
    with pytest.raises(UserError, match=rf"column 'x' holds numbers, but '{wrong}' in lines? {first + 2}") as caught:
        read({"x": cells, "y": cells, "label": classes_of(30)}, label="label")
    assert "column 'y' holds numbers" in str(caught.value)
    assert "\n" not in str(caught.value)


@given(st.permutations(["size", "colour", "when", "label", "by"]))
def test_the_order_of_columns_does_not_matter(order):
    columns = {
        "size": [f"{i}.5" for i in range(12)],
        "colour": ["red", "blue", "green"] * 4,
        "when": [f"2020-01-{i + 1:02}" for i in range(12)],
        "label": classes_of(12),
        "by": ["07", "7", "010", "10"] * 3,
    }
    table = read({name: columns[name] for name in order}, group="by")
    reference = read(columns, group="by")
    assert table.label == "label"
    np.testing.assert_array_equal(table.source.labels, reference.source.labels)
    assert sorted(map(tuple, features(table).T.tolist())) == sorted(map(tuple, features(reference).T.tolist()))
