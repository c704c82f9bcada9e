from __future__ import annotations

import re
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from dvbench.errors import UserError
from dvbench.problems.build import build_problem, load_source
from dvbench.settings import Noise, Sizes
from dvbench.tables.reading import read_table

Write = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Write a header and rows; `{i}` in a row is its number."""

    def write(
        header: str, row: str = "", n: int = 30, special: dict[int, str] | None = None, name: str = "d.csv"
    ) -> Path:
        rows = [(special or {}).get(i, row).replace("{i}", str(i)).replace("{m}", "abc"[i % 3]) for i in range(n)]
        path = tmp_path / name
        path.write_text("".join(line + "\n" for line in [header, *rows]))
        return path

    return write


def test_text_labels_and_text_features(write: Write) -> None:
    table = read_table(write("size,colour,open,kind", "{i}.5,{m},True,{m}", special={4: "4.5,a,False,b"}))
    assert table.source.classes == ("a", "b", "c")
    assert table.source.labels[:5].tolist() == [0, 1, 2, 0, 1]
    # size, then one column for each colour, then one for True
    np.testing.assert_array_equal(table.source.take(np.array([4, 1])), [[4.5, 1, 0, 0, 0], [1.5, 0, 1, 0, 1]])


def test_the_label_may_be_any_column(write: Write) -> None:
    path = write("kind,size,weight", "{m},{i}.5,0.{i}")
    by_argument, by_name = read_table(path, label="kind").source, load_source(f"csv:{path}?label=kind")
    assert by_argument.classes == by_name.classes == ("a", "b", "c")
    np.testing.assert_array_equal(by_name.take(np.array([2])), [[2.5, 0.2]])


@pytest.mark.parametrize(
    ("labels", "kind", "classes"),
    [
        (["True", "False"], "classification", ("False", "True")),
        (["10", "2"], "classification", ("2", "10")),
        (["1.0", "3.0"], "classification", ("1.0", "3.0")),
        (["-1", "1"], "classification", ("-1", "1")),
        (["yes", "no"], "classification", ("no", "yes")),
        (["1", "x"], "classification", ("1", "x")),
        (["07", "7"], "classification", ("07", "7")),
        ([str(i) for i in range(20)], "classification", tuple(map(str, range(20)))),
        ([str(i) for i in range(100)], "classification", tuple(map(str, range(100)))),
        ([str(i) for i in range(101)], "regression", ()),
        ([str(3 * i) for i in range(21)], "regression", ()),
        (["0.5", "1"], "regression", ()),
    ],
)
def test_kind_follows_from_the_label(write: Write, labels: list[str], kind: str, classes: tuple[str, ...]) -> None:
    n = max(12, 4 * len(labels))
    table = read_table(write("x,y", n=n, special={i: f"{i}.5,{labels[i % len(labels)]}" for i in range(n)}))
    assert (table.source.kind, table.source.classes) == (kind, classes)
    assert table.targets[:2].tolist() == labels[:2]
    if kind == "regression":
        assert table.source.labels[:2].tolist() == [float(labels[0]), float(labels[1])]
    else:
        assert [classes[k] for k in table.source.labels[:2]] == labels[:2]


def test_a_problem_of_a_table(write: Write) -> None:
    path = write("size,colour,kind", "{i}.5,{m},{m}", n=60)
    noise = Noise(kind="labels", rate=0.25)
    problem = build_problem(f"csv:{path}", Sizes(train=24, validation=12, test=24), noise, 0)
    assert problem.shape == (4,)
    assert problem.train.y.sum(dim=0).sum() == 24
    assert problem.validation.y.sum(dim=0).tolist() == [4, 4, 4]
    assert problem.corrupted.sum() == 6


def test_tabs_and_spaces_and_a_byte_order_mark(write: Write) -> None:
    tabs = read_table(write("\ufeffx\tz\ty", "{i}.5\t1{i}\t{m}", name="d.tsv"), label="y")
    spaces = read_table(write("\ufeffx, z, y", "{i}.5, 1{i}, {m}"), label="y")
    for table in (tabs, spaces):
        assert table.source.classes == ("a", "b", "c")
        np.testing.assert_array_equal(table.source.take(np.array([7])), [[7.5, 17]])


ERRORS = {
    "no rows": (("x,y", "", 0), "d.csv has no rows"),
    "one column": (("x", "{i}"), "d.csv has one column, 'x'"),
    "same name": (("x,x,y", "{i},{i},{m}"), "d.csv has two columns named 'x'"),
    "no header": (("0.5,1.5,2", "{i},{i},{i}"), "first line of d.csv holds numbers"),
    "long line": (("x,y", "{i},{m}", 30, {4: "1,2,3"}), "d.csv cannot be read as CSV: line 6 has 3 values"),
    "long lines": (
        ("x,y", "{i},{i},{m}"),
        "line 2 has 3 values but the first line names 2 columns (and 29 more lines)",
    ),
    "short line": (("x,z,y", "{i},{i},{m}", 30, {4: "1,2"}), "line 6 has 2 values"),
    "open quote": (("x,y", "{i},{m}", 30, {4: '"1,2'}), "d.csv cannot be read as CSV: line 6: a quote is opened"),
    "missing label": (
        ("x,y", "{i},{m}", 30, {6: "6,", 8: "8, "}),
        "column 'y' of d.csv has 2 missing labels, in lines 8, 10",
    ),
    "missing target": (("x,y", "{i}.5,0.{i}", 30, {6: "6,?"}), "column 'y' of d.csv has 1 missing label, in line 8"),
    "infinite": (
        ("x,y", "{i},{m}", 30, {5: "inf,a", 9: "-inf,b"}),
        "'x' has infinite or too large numbers in lines 7, 11",
    ),
    "too large": (("x,y", "{i},{m}", 30, {5: "1e39,a"}), "column 'x' has infinite or too large numbers in line 7"),
    "infinite target": (
        ("x,y", "{i},0.{i}", 30, {5: "5,inf"}),
        "'y' of d.csv has infinite or too large numbers in line 7",
    ),
    "constant": (("x,y", "7,{m}"), "d.csv has no features besides its label ('x': the same in every row)"),
    "one class": (("x,y", "{i},a"), "say which column of d.csv is the label"),
    "id": (("x,y", "{i},id{i}"), "say which column of d.csv is the label"),
    "mixed": (("x,y", "{i},{m}", 30, {5: "l0,a"}), "column 'x' holds numbers, but 'l0' in line 7: correct it"),
    "all faults": (
        ("x,z,y", "{i},{i},{m}", 30, {5: "a,b,a"}),
        "'a' in line 7: correct it, or use --as 'x=category' or --drop 'x'; column 'z'",
    ),
}


def said(call: Callable[[], object], path: Path) -> str:
    """The one line that is said, with the folder left out."""
    with pytest.raises(UserError) as caught:
        call()
    message = str(caught.value)
    assert "\n" not in message
    return message.replace(str(path.parent) + "/", "")


@pytest.mark.parametrize("case", ERRORS)
def test_what_is_wrong_with_a_table_is_said(write: Write, case: str) -> None:
    content, expected = ERRORS[case]
    path = write(*content)
    assert expected in said(lambda: read_table(path), path)


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"", r"d.csv is empty"),
        (b"\n\n", r"d.csv is empty"),
        (b"\x89PNG\r\n\x1a\n\x00\x00", r"d.csv is not text in UTF-8"),
        (b"a,b\n\x00\x00,1\n", r"d.csv cannot be read: it is a binary file"),
    ],
)
def test_files_that_are_no_tables(tmp_path: Path, content: bytes, expected: str) -> None:
    path = tmp_path / "d.csv"
    path.write_bytes(content)
    assert re.search(expected, said(lambda: read_table(path), path))


def test_a_table_of_many_columns_takes_time_that_grows_with_their_number(tmp_path: Path) -> None:
    names = [f"f{number}" for number in range(40_000)]
    path = tmp_path / "wide.csv"
    path.write_text(",".join([*names, names[-1]]) + "\n")
    started = time.process_time()
    with pytest.raises(UserError, match="has two columns named 'f39999'"):
        read_table(path)
    assert time.process_time() - started < 3  # comparing every name with all names before it takes 25 s


def test_missing_file_and_folder(tmp_path: Path) -> None:
    path = tmp_path / "d.csv"
    assert said(lambda: load_source(f"csv:{path}"), path) == "d.csv does not exist: check the path"
    path.mkdir()
    assert said(lambda: read_table(path), path) == "d.csv is a folder: name a file with a table"


def test_a_wrong_label_is_met_with_the_nearest_column_or_all(write: Write) -> None:
    path = write("size,weight,kind", "{i},1{i},{m}")
    assert (
        said(lambda: read_table(path, label="knd"), path) == "no column of d.csv is named 'knd': did you mean 'kind'?"
    )
    assert "choose one of kind, size, weight" in said(lambda: load_source(f"csv:{path}?label=zzz"), path)
    assert "no column of d.csv is named ''" in said(lambda: load_source(f"csv:{path}?label="), path)
