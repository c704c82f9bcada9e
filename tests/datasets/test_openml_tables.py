"""Tables of OpenML: in a stand-in mirror, in a real one, and as scikit-learn fetches them."""

from __future__ import annotations

import json
import os
import warnings
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.error import URLError

import numpy as np
import pandas as pd
import pytest
import sklearn.datasets
import torch

from dvbench.errors import UserError
from dvbench.problems.build import build_problem, load_source
from dvbench.settings import DatasetSettings, Groups, Noise, ProblemSettings, Sizes

SIZES = Sizes(train=40, validation=20, test=20)
ROWS = 120
REAL = Path(os.environ.get("DVBENCH_MIRROR") or Path(__file__).parents[3] / "shared/data/hub")


def made_up() -> pd.DataFrame:
    """Rows grouped by class; a column with gaps, one of categories with gaps, and one that is the same in every row."""
    rng = np.random.default_rng(0)
    sizes = rng.normal(size=ROWS).round(3)
    sizes[::10] = np.nan
    return pd.DataFrame(
        {
            "size": sizes,
            "colour": pd.Categorical([None if k % 12 == 0 else ("blue", "green", "red")[k % 3] for k in range(ROWS)]),
            "digit": [str(k % 4) for k in range(ROWS)],
            "same": 1.0,
            "target of this": np.repeat(["b", "a"], [80, 40]),
        }
    )


def write(mirror: Path, frame: pd.DataFrame | None = None, **changes: object) -> Path:
    folder = mirror / "openml/7"
    folder.mkdir(parents=True, exist_ok=True)
    (made_up() if frame is None else frame).to_parquet(folder / "data.parquet")
    metadata = {"target": "target of this", "task": "classification"} | changes
    (folder / "metadata.json").write_text(json.dumps(metadata))
    return folder


@pytest.fixture
def mirror(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("DVBENCH_MIRROR", str(tmp_path))
    return tmp_path


def test_columns_are_encoded_like_those_of_a_file(mirror: Path) -> None:
    write(mirror)
    source = load_source("openml:7")
    assert (source.kind, source.classes, source.standardise) == ("classification", ("a", "b"), True)
    np.testing.assert_array_equal(source.labels, np.repeat([1, 0], [80, 40]))
    features, frame = source.take(np.arange(ROWS)), made_up()
    assert features.shape == (ROWS, 1 + 4 + 4)  # a number, three colours and none, four digits
    np.testing.assert_array_equal(features[:, 0], frame["size"].fillna(frame["size"].median()))
    indicators = features[:, 1:5].argmax(axis=1)
    assert {(str(colour), k) for colour, k in zip(frame["colour"], indicators, strict=True)} == {
        ("blue", 0), ("green", 1), ("red", 2), ("nan", 3),
    }  # fmt: skip
    assert (features[:, 1:5].sum(axis=1) == 1).all()
    np.testing.assert_array_equal(features[:, 5:].argmax(axis=1), np.arange(ROWS) % 4)


def test_rows_that_are_grouped_by_class_are_shuffled_and_classes_keep_their_shares(mirror: Path) -> None:
    write(mirror)
    problem = build_problem("openml:7", Sizes(train=60, validation=30, test=30), Noise(), 0)
    parts = [part.y.sum(dim=0).tolist() for part in (problem.train, problem.validation, problem.test)]
    assert parts == [[20.0, 40.0], [10.0, 20.0], [10.0, 20.0]]
    changes = (problem.train.y[1:, 0] != problem.train.y[:-1, 0]).sum()
    assert changes > 10  # a table in its own order has one
    again = build_problem("openml:7", Sizes(train=60, validation=30, test=30), Noise(), 0)
    assert again.revision == problem.revision
    assert torch.equal(again.train.x, problem.train.x)


def test_all_spellings_are_one_data_set(mirror: Path) -> None:
    write(mirror)
    spellings: list[Any] = ["openml:7", "openml?id=7", {"name": "openml", "params": {"id": 7, "standardise": True}}]
    problems = [build_problem(DatasetSettings.model_validate(text), SIZES, Noise(), 0) for text in spellings]
    assert {problem.revision for problem in problems} == {problems[0].revision}
    assert {problem.dataset for problem in problems} == {"openml:7"}
    assert str(DatasetSettings.parse("openml:7?standardise=false")) == "openml:7_standardiseFalse"
    settings = ProblemSettings.model_validate({"dataset": "openml:7", "sizes": SIZES, "model": "logistic_regression"})
    assert settings.title == "openml_7-logistic_regression-clean"


def test_standardising_is_the_choice_of_the_suite(mirror: Path) -> None:
    write(mirror)
    plain = build_problem("openml:7?standardise=false", SIZES, Noise(), 0)
    assert set(plain.train.x[:, 1:].unique().tolist()) == {0.0, 1.0}
    scaled = build_problem("openml:7", SIZES, Noise(), 0)
    torch.testing.assert_close(scaled.train.x.mean(dim=0), torch.zeros(9), rtol=0, atol=1e-5)


def test_a_column_groups_the_rows(mirror: Path) -> None:
    write(mirror)
    problem = build_problem("openml:7", SIZES, Noise(), 0, Groups(by="column", column="digit"))
    assert (problem.players, problem.shape) == (4, (5,))
    np.testing.assert_array_equal(problem.groups, problem.rows % 4)


def test_regression_of_whole_numbers(mirror: Path) -> None:
    frame = made_up().assign(**{"target of this": np.arange(ROWS) % 5})
    write(mirror, frame, task="regression")
    assert load_source("openml:7").kind == "regression"
    write(mirror, frame)
    assert load_source("openml:7").classes == ("0", "1", "2", "3", "4")


@pytest.mark.parametrize(
    ("dataset", "message"),
    [
        ("openml", "a table of OpenML needs its id: write it as openml:ID, such as openml:1489"),
        ("openml:phoneme", "a table of OpenML is named by its id, a whole number such as openml:1489, not 'phoneme'"),
        ("openml:-7", "named by its id, a whole number .*, not -7"),
        ("openml:../7", r"named by its id, a whole number .*, not '\.\./7'"),
        ({"name": "openml", "params": {"id": True}}, "not True"),
        ("openml:7?standardise=yes", "standardise must be true or false, not 'yes'"),
        ("openml:7?group=nothing", "no column of openml:7 is named 'nothing'"),
        ("openml:7?version=2", "no parameter of openml is named 'version'"),
    ],
)
def test_parameters_that_do_not_fit(mirror: Path, dataset: Any, message: str) -> None:
    write(mirror)
    with pytest.raises(UserError, match=message) as caught:
        load_source(DatasetSettings.model_validate(dataset))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        ("metadata.json", "{", "cannot read .*data.parquet and metadata.json"),
        (
            "metadata.json",
            "[]",
            "metadata.json must name a column of data.parquet as target, and classification or regr",
        ),
        ("metadata.json", '{"target": "target of this", "task": "clustering"}', "metadata.json must name a column"),
        ("metadata.json", '{"target": ["size"], "task": "regression"}', "metadata.json must name a column"),
        ("metadata.json", '{"target": "nothing", "task": "regression"}', "metadata.json must name a column"),
        (
            "metadata.json",
            '{"target": "colour", "task": "classification"}',
            "label column 'colour' of openml:7 has 10 mis",
        ),
        ("data.parquet", "PAR1 no more", "cannot read .*data.parquet and metadata.json"),
        ("data.parquet", None, "cannot read .*data.parquet and metadata.json"),
    ],
)
def test_a_mirror_that_is_wrong(mirror: Path, file: str, content: str | None, message: str) -> None:
    path = write(mirror) / file
    path.unlink()
    if content is not None:
        path.write_text(content)
    with pytest.raises(UserError, match=message) as caught:
        load_source("openml:7")
    assert "\n" not in str(caught.value)


def test_a_class_of_one_row(mirror: Path) -> None:
    write(mirror, made_up().assign(**{"target of this": [*["a", "b"] * 59, "a", "c"]}))
    with pytest.raises(UserError, match="class 'c' in column 'target of this' of openml:7 has 1 rows, but each of the"):
        load_source("openml:7")


def fetch(monkeypatch: pytest.MonkeyPatch, frame: pd.DataFrame, targets: list[str]) -> list[dict[str, Any]]:
    """Let scikit-learn fetch this table; gives the calls."""
    calls: list[dict[str, Any]] = []

    def fetch_openml(**parameters: Any) -> SimpleNamespace:
        calls.append(parameters)
        warnings.warn("there is a newer version", UserWarning, stacklevel=2)
        return SimpleNamespace(frame=frame, target_names=targets)

    monkeypatch.setattr(sklearn.datasets, "fetch_openml", fetch_openml)
    return calls


def test_what_no_mirror_has_is_fetched(mirror: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    frame = made_up()
    frame["target of this"] = frame["target of this"].astype("category")
    write(mirror)
    expected = load_source("openml:7")
    calls = fetch(monkeypatch, frame, ["target of this"])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fetched = load_source("openml:8")
    assert [call["data_id"] for call in calls] == [8]
    assert fetched.classes == expected.classes
    np.testing.assert_array_equal(fetched.take(np.arange(ROWS)), expected.take(np.arange(ROWS)))
    fetch(monkeypatch, frame, ["size"])
    with pytest.raises(UserError, match="label column 'size' of openml:8 has 12 missing labels"):
        load_source("openml:8")
    fetch(monkeypatch, frame.dropna(), ["size"])
    assert load_source("openml:8").kind == "regression"


@pytest.mark.parametrize("targets", [[], ["size", "digit"]])
def test_a_table_without_a_single_target(mirror: Path, monkeypatch: pytest.MonkeyPatch, targets: list[str]) -> None:
    fetch(monkeypatch, made_up(), targets)
    with pytest.raises(UserError, match=rf"table 8 of OpenML has {len(targets)} columns to predict, but one is needed"):
        load_source("openml:8")


def test_without_mirror_and_network_it_says_what_to_do(mirror: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import sklearn.datasets._openml

    requests: list[str] = []

    def refuse(request: Any, *_: object, **__: object) -> None:
        requests.append(request.full_url)
        raise URLError("no network\nat all")

    monkeypatch.setenv("DVBENCH_CACHE", str(mirror / "cache"))
    monkeypatch.setattr(sklearn.datasets._openml, "urlopen", refuse)
    with pytest.raises(
        UserError, match=r"cannot get table 8 of OpenML: no mirror has it, and OpenML gave no"
    ) as caught:
        load_source("openml:8")
    assert "DVBENCH_MIRROR to a folder that has openml/8/data.parquet" in str(caught.value)
    assert "\n" not in str(caught.value)
    assert set(requests) == {"https://www.openml.org/api/v1/json/data/8"}


@pytest.mark.skipif(not (REAL / "openml").is_dir(), reason="no mirror of OpenML: set DVBENCH_MIRROR to one")
@pytest.mark.parametrize(
    ("number", "rows", "columns", "classes"),
    [(1590, 48842, 107, 2), (40499, 5500, 40, 11), (46, 3190, 287, 3), (42726, 4177, 10, 0), (537, 20640, 8, 0)],
)
def test_real_tables(monkeypatch: pytest.MonkeyPatch, number: int, rows: int, columns: int, classes: int) -> None:
    monkeypatch.setenv("DVBENCH_MIRROR", str(REAL))
    source = load_source(f"openml:{number}")
    assert source.labels.shape == (rows,)
    assert source.take(np.array([3, 1])).shape == (2, columns)
    assert len(source.classes) == classes
    problem = build_problem(f"openml:{number}", Sizes(train=200, validation=50, test=100), Noise(), 0)
    if classes:  # by class, also where the table's rows are grouped by class
        shares = np.bincount(source.labels) / rows
        np.testing.assert_allclose(problem.train.y.mean(dim=0), shares, atol=0.02)
