"""``dvbench value``: values of a user's own table."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from small_inputs import FLIPPED

from dvbench.execution.resume import evaluator_version
from dvbench.files import file_sha256
from dvbench.settings import EvaluatorSettings
from dvbench.version import __version__

VALUE = ("value", "table.csv", "--label", "kind", "--out", "out/values.csv")


@pytest.fixture
def valued(dvbench, here: Path):
    """The values of the table under an evaluator."""

    def valued(evaluator: str, *more: object) -> pd.DataFrame:
        said = dvbench(*VALUE, "--evaluator", evaluator, *more)
        assert said.code == 0
        assert said.out.endswith("values: out/values.csv\npicture: out/values.png\n")
        return pd.read_csv(here / "out/values.csv")

    return valued


@pytest.mark.parametrize("evaluator", ["chg_shapley", "knn_shapley", "leave_one_out"])
def test_every_row_gets_a_value_and_a_rank(valued, here: Path, evaluator: str) -> None:
    values = valued(evaluator, "--folds", 3)
    spread = [] if evaluator == "chg_shapley" else ["spread"]  # which uses no validation set, so there are no folds
    assert list(values) == ["row", "label", "value", *spread, "rank"]
    assert list(values["row"]) == list(range(2, 62))  # lines of the file
    assert list(values["label"]) == list(pd.read_csv(here / "table.csv")["kind"])
    assert np.isfinite(values[["value", *spread]]).all(axis=None)
    assert list(values["rank"]) == list(values["value"].round(12).rank(ascending=False, method="min").astype(int))
    by_rank = values.sort_values("rank")["value"].to_numpy()
    assert (np.diff(by_rank) <= 0).all()


@pytest.mark.parametrize("evaluator", ["chg_shapley", "knn_shapley"])
def test_planted_mislabelled_rows_have_low_values(valued, evaluator: str) -> None:
    values = valued(evaluator)
    lowest = list(values.nsmallest(10, "value")["row"] - 2)
    assert set(FLIPPED) <= set(lowest)
    assert len(set(FLIPPED) & set(lowest[:4])) >= 3


def test_valuing_shows_no_progress_bars_of_others(dvbench) -> None:
    assert dvbench(*VALUE, "--evaluator", "knn_shapley").err == ""


def test_the_same_table_has_the_same_values_wherever_it_lies(dvbench, valued, here: Path) -> None:
    valued("knn_shapley", "--folds", 2)
    first = (here / "out/values.csv").read_bytes()
    (here / "elsewhere").mkdir()
    (here / "table.csv").rename(here / "elsewhere/table.csv")
    dvbench("value", "elsewhere/table.csv", "--label", "kind", "--out", "again.csv", "--folds", 2)
    assert (here / "again.csv").read_bytes() == first


def test_another_seed_has_other_folds(valued) -> None:
    assert not valued("knn_shapley").equals(valued("knn_shapley", "--seed", 1))


def test_a_file_says_what_values_were_made_with_and_replacing_others_is_said(dvbench, here: Path) -> None:
    command = [*VALUE, "--evaluator", "data_oob"]
    assert "is replaced" not in dvbench(*command).out
    made_with = json.loads((here / "out/values.json").read_text())
    assert (made_with["evaluator"], made_with["seed"], made_with["dvbench_version"]) == ("data_oob", 0, __version__)
    assert made_with["table"] == {"file": "table.csv", "sha256": file_sha256(here / "table.csv")}
    assert any("numeric columns" in line for line in made_with["understood"])
    assert made_with["evaluator_version"] == evaluator_version(EvaluatorSettings(name="data_oob"))
    assert "is replaced" not in dvbench(*command).out  # the same again
    said = " ".join(dvbench(*command, "--seed", 1, "--parameter", "models=20").out.split())
    assert "note: out/values.csv is replaced; its earlier settings: no parameters, seed 0" in said
    assert json.loads((here / "out/values.json").read_text())["parameters"] == {"models": 20}
    (here / "out/values.json").unlink()
    for own in ("out/values.csv", "out/values.png"):  # whose they are is not known any more
        refused = dvbench(*command)
        assert (refused.code, f"{own} exists" in " ".join(refused.err.split())) == (2, True)
        (here / own).unlink()
    (here / "out/values.json").write_text('{"mine": 1}')
    assert "does not say how values were made" in " ".join(dvbench(*command).err.split())
    assert (here / "out/values.json").read_text() == '{"mine": 1}'
    refused = dvbench(*command[:-3], "out/values.json", *command[-2:])
    assert (refused.code, "would hold comma-separated text" in " ".join(refused.err.split())) == (2, True)


def test_only_files_that_are_named_as_written_are_replaced(dvbench, here: Path) -> None:
    """A .json beside them says which: another table, or a picture of the user's, can have the same stem."""
    for name, command in (
        ("a.csv", VALUE[:-1]),
        ("b.csv", ["select", "table.csv", "--label", "kind", "--fraction", ".5", "--out"]),
    ):
        assert dvbench(*command, name).code == 0
        for mine in (Path(name).with_suffix(".txt"), Path(name).with_suffix("")):
            (here / mine).write_text("mine")
            refused = dvbench(*command, mine)
            assert (refused.code, f"{mine} exists" in refused.err, (here / mine).read_text()) == (2, True, "mine")
    (here / "b.png").write_text("mine")
    assert (dvbench(*VALUE[:-1], "b.csv").code, (here / "b.png").read_text()) == (2, "mine")
    (here / "b.png").unlink()
    assert "it held rows kept by grad_match_pb" in " ".join(dvbench(*VALUE[:-1], "b.csv").out.split())


def test_the_figure_is_a_picture(valued, here: Path) -> None:
    valued("knn_shapley")
    content = (here / "out/values.png").read_bytes()
    assert content.startswith(b"\x89PNG\r\n\x1a\n")
    assert int.from_bytes(content[16:20], "big") > 500  # its width


def test_a_regression(dvbench, here: Path) -> None:
    x = np.random.default_rng(0).normal(size=(40, 2)).round(4)
    y = (x[:, 0] - 2 * x[:, 1]).round(4)
    y[7] = 50.5
    lines = ["a,b,price", *(f"{a},{b},{price}" for (a, b), price in zip(x, y, strict=True))]
    (here / "prices.csv").write_text("\n".join(lines))
    said = dvbench("value", "prices.csv", "--label", "price", "--out", "v.csv", "--evaluator", "data_oob", "--folds", 2)
    assert said.code == 0
    values = pd.read_csv(here / "v.csv")
    np.testing.assert_array_equal(values["label"], y)
    assert values["value"].idxmin() == 7


@pytest.mark.parametrize("names", [("$_$", "$^$"), ("<b>&", "[red]"), ("a" * 40, "b" * 40), ("日本", "é")])
def test_any_text_can_name_a_class(dvbench, here: Path, names: tuple[str, str]) -> None:
    text = (here / "table.csv").read_text().replace("good", names[0]).replace("bad", names[1])
    (here / "table.csv").write_text(text, encoding="utf-8")
    said = dvbench(*VALUE, "--evaluator", "knn_shapley", "--folds", 2)
    assert said.code == 0
    assert set(pd.read_csv(here / "out/values.csv")["label"]) == set(names)
    assert (here / "out/values.png").is_file()


@pytest.mark.parametrize("name", ["row", "value", "label", "rank"])
def test_a_label_column_may_be_named_like_a_result(dvbench, here: Path, name: str) -> None:
    text = (here / "table.csv").read_text().replace("kind", name, 1)
    (here / "table.csv").write_text(text)
    said = dvbench("value", "table.csv", "--label", name, "--out", "v.csv", "--evaluator", "knn_shapley", "--folds", 2)
    assert said.code == 0
    assert set(pd.read_csv(here / "v.csv")["label"]) == {"good", "bad"}


def test_without_options_the_label_is_guessed_and_files_lie_beside_the_table(dvbench, here: Path) -> None:
    said = dvbench("value", "table.csv")
    assert said.code == 0
    for line in (
        "the label is column 'kind'",
        "evaluator: knn_shapley, because",
        "fold 1 of 5: ",
        "least valuable:",
        "check the labels of these first, by line: ",
        "values: table-values.csv",
    ):
        assert line in said.out
    assert (here / "table-values.png").is_file()


def test_options_reach_the_reader(dvbench, refused, here: Path) -> None:
    small = ("value", "table.csv", "--evaluator", "knn_shapley", "--folds", 2)
    dropped, name, *_ = pd.read_csv(here / "table.csv").columns
    said = dvbench(
        *small, "--drop", dropped, "--as", f"{name}=category", "--kind", "classification", "--utility", "log_loss"
    )
    assert said.code == 0
    assert "by knn_shapley, no model, classification, 60 rows" in said.out
    assert "COLUMN=TYPE, not 'x'" in refused(*small, "--as", "x")
    assert "none.csv" in refused(*small, "--valid", "none.csv")
    assert "would be overwritten" in refused(*small, "--valid", "v.csv", "--out", "v.csv")


def test_a_long_valuation_says_how_much_is_done(dvbench, monkeypatch) -> None:
    """Evaluators are silenced, and what is said of them is not."""
    monkeypatch.setattr("dvbench.console.EVERY", 0.0)
    said = dvbench(*VALUE, "--evaluator", "data_shapley", "--parameter", "permutations=6")
    assert re.search(r"^fold 1 of 5, \d+%: \d+ s elapsed, about \d+ s left$", said.out, re.MULTILINE)


def test_ctrl_c(dvbench, here: Path) -> None:
    (here / "loose_interrupting.py").write_text(
        "class Mine:\n    def __init__(self, random_state=None): pass\n"
        "    def train(self, *args, **kwargs): raise KeyboardInterrupt\n"
    )
    said = dvbench(*VALUE, "--evaluator", "loose_interrupting:Mine")
    assert (said.code, said.err) == (130, "interrupted\n")
    assert not (here / "out").exists()


def test_groups_of_rows_are_valued(dvbench, here: Path) -> None:
    """Who mislabels everything is worth least; the group is no feature."""
    rng = np.random.default_rng(0)
    lines = ["a,provider,kind"]
    for i in range(120):
        kind, provider = i % 2, ("acme", "bolt", "duff")[i // 2 % 3]
        lines.append(f"{rng.normal(2 * kind - 1, 0.5):.3f},{provider},{1 - kind if provider == 'duff' else kind}")
    (here / "sales.csv").write_text("\n".join(lines))
    asked = ("value", "sales.csv", "--label", "kind", "--group", "provider", "--out", "v.csv")
    for evaluator in ("data_shapley", "knn_shapley"):
        assert dvbench(*asked, "--evaluator", evaluator).code == 0
        values = pd.read_csv(here / "v.csv")
        assert list(values) == ["group", "rows", "value", "spread", "rank"]
        assert list(values["group"]) == ["acme", "bolt", "duff"]
        assert list(values["rows"]) == [40, 40, 40]
        assert values.set_index("group")["rank"]["duff"] == 3
    assert (here / "v.png").read_bytes().startswith(b"\x89PNG")
    for column, message in (("kind", "is the label: group by another"), ("provide", "did you mean 'provider'")):
        said = dvbench("value", "sales.csv", "--label", "kind", "--group", column, "--out", "v.csv")
        assert (said.code, message in said.err) == (2, True)
