"""Whatever is wrong with the input: exit code 2, one line that says what to do, and nothing lost."""

from __future__ import annotations

import json
import os
from pathlib import Path

import datasets
import huggingface_hub
import numpy as np
import pytest
from small_inputs import FOLDER, SUITE, tree, two_classes

RUN = ("run", "tiny.toml", "--jobs", "0")
VALUE = ("value", "table.csv", "--label", "kind", "--out", "values.csv")


@pytest.fixture(autouse=True)
def _nothing_lost(here: Path):
    """Whatever is refused changes no file, and writes none but an evaluator's plan."""
    (here / "runs").mkdir()
    (here / "runs/notes.txt").write_text("mine")
    before = tree(here)
    yield
    after = tree(here)
    assert {name: after.get(name) for name in before} == before
    assert not (here / "values.csv").exists()


# Arguments


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("run",), "Missing argument 'SUITE'"),
        (("rnu",), "No such command 'rnu'"),
        (("--nope",), "No such option: --nope"),
        (("run", "quick", "--nope"), "No such option: --nope"),
        (("run", "quick", "--jobs", "-1"), "Invalid value for '--jobs': "),
        (("run", "quick", "--jobs", "many"), "Invalid value for '--jobs': "),
        (("run", "quick", "--device", "tpu"), "Invalid value for '--device': "),
        ((*VALUE, "--folds", "1"), "Invalid value for '--folds': "),
        ((*VALUE, "--seed", "-1"), "Invalid value for '--seed': "),
        (("list",), "Missing argument 'KIND'"),
        (("list", "everything"), "Invalid value for 'KIND"),
        (("describe",), "Missing argument 'NAME'"),
        (("leaderboard",), "Missing command"),
        (("leaderboard", "biuld"), "No such command 'biuld'"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_arguments(refused, arguments: tuple[str, ...], message: str) -> None:
    said = refused(*arguments)
    assert said.lower().startswith(message.lower())
    assert said.endswith("--help')")


def test_no_arguments_show_the_help(dvbench) -> None:
    said = dvbench()
    assert said.code in (0, 2)
    assert "Usage: dvbench" in said.out + said.err
    assert "error" not in said.err


# Names


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("run", "qick"), "no suite is named 'qick': did you mean 'quick'?"),
        (("run", "no.toml"), "cannot read suite no.toml: No such file or directory"),
        ((*RUN, "--evaluator", "knn_shaply"), "no evaluator is named 'knn_shaply': did you mean 'knn_shapley'?"),
        ((*RUN, "--dataset", "digit"), "no data set is named 'digit': did you mean 'digits'?"),
        ((*RUN, "--task", "noisy_labels"), "no task is named 'noisy_labels': "),
        ((*VALUE, "--evaluator", "knn_shaply"), "no evaluator is named 'knn_shaply': did you mean 'knn_shapley'?"),
        ((*VALUE, "--model", "mpl"), "no model is named 'mpl': did you mean 'mlp'?"),
        (
            ("describe", "knn_shaply"),
            "no evaluator, data set, model, task, unlearning method, selection strategy or suite is named "
            "'knn_shaply': did you mean 'knn_shapley'?",
        ),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_names(refused, arguments: tuple[str, ...], message: str) -> None:
    assert refused(*arguments).startswith(message)


@pytest.mark.parametrize("seeds", ["", "a", "1-", "-1", "3-1", "1,1", "0-2,1", "1.5"])
def test_seeds(refused, seeds: str) -> None:
    assert refused(*RUN, "--seeds", seeds) == f"seeds are numbers such as '0-4' or '0,3', each once, not '{seeds}'"


# Suites


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("rate = 0.2", "rate = 0", "wrong.toml: problems.0.noise: labels noise needs a rate above 0 and below 1"),
        ("rate = 0.2", "rate = 1", "wrong.toml: problems.0.noise.rate: Input should be less than 1"),
        ("seeds", "sedes", "wrong.toml: the file: unknown key 'sedes'; allowed are "),
        ("[0, 1]", "[-1]", "wrong.toml: seeds"),
        ("version = 1", "version", "wrong.toml is not TOML: "),
        ("k_neighbors", "neighbors", "no parameter of knn_shapley is named 'neighbors': did you mean 'k_neighbors'?"),
        ('"logistic_regression"', '"logistic"', "no model is named 'logistic': "),
        ('"noisy_label_detection"', '"noisy_label"', "no task is named 'noisy_label': "),
        (
            '"noisy_label_detection"',
            '"noisy_feature_detection"',
            "suite 'wrong': noisy_feature_detection needs features",
        ),
        ('"noisy_label_detection"', '"my_tasks:mine"', ""),
    ],
)
def test_suites(refused, here: Path, old: str, new: str, message: str) -> None:
    (here / "wrong.toml").write_text(SUITE.replace(old, new))
    try:
        assert refused("run", "wrong.toml", "--jobs", 0).startswith(message)
    finally:
        (here / "wrong.toml").unlink()


# Tables


def rows(**changes: str) -> str:
    """The table with some of its lines changed: ``row3="..."``."""
    lines = two_classes()
    for key, line in changes.items():
        lines[int(key.removeprefix("row"))] = line
    return "\n".join(lines)


def every(label: str) -> str:
    header, *lines = two_classes()
    cells = [line.split(",") for line in lines]
    return "\n".join([header, *(f"{a},{b},{label}" for a, b, _ in cells)])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "bad.csv is empty: it must have a line with the names of the columns, and rows of data"),
        (rows(row3="inf,1,good"), "bad.csv: column 'a' has infinite or too large numbers in line 4: "),
        (rows(row3="1,2,"), "label column 'kind' of bad.csv has 1 missing label, in line 4: "),
        (rows(row3="1,2,good,4"), "bad.csv cannot be read as CSV: line 4 has 4 values"),
        (
            every(label="good"),
            "label column 'kind' of bad.csv is 'good' in every row, so there is nothing to predict: ",
        ),
        (rows(row0="a,b,other"), "no column of bad.csv is named 'kind': choose one of a, b, other."),
        ("\0" * 40, "bad.csv cannot be read: it is a binary file"),
    ],
    ids=["empty", "infinite", "no label", "long row", "one class", "no column", "binary"],
)
def test_tables(refused, here: Path, text: str, message: str) -> None:
    (here / "bad.csv").write_text(text)
    assert refused("value", "bad.csv", "--label", "kind", "--out", "values.csv").startswith(message)
    assert refused(*RUN, "--dataset", "csv:bad.csv?label=kind").startswith(message)


def test_tables_that_are_too_small(refused, here: Path) -> None:
    (here / "bad.csv").write_text("\n".join(two_classes()[:5]))
    assert refused("value", "bad.csv").startswith("4 rows cannot be divided into 5 folds of at least 2: use --folds 2")
    asked = refused(*RUN, "--dataset", "csv:bad.csv?label=kind")
    assert asked.startswith("bad.csv has 4 rows of data: at least 10 are needed")


def test_tables_that_are_not_there(refused, here: Path) -> None:
    for arguments in (
        ("value", "no.csv", "--label", "kind", "--out", "values.csv"),
        (*RUN, "--dataset", "csv:no.csv?label=kind"),
    ):
        assert refused(*arguments) == "no.csv does not exist: check the path"


@pytest.mark.parametrize("name", ["données.csv", "_table.csv", f"{'long' * 25}.csv"])
def test_any_name_of_a_table_is_run_or_refused(dvbench, here: Path, name: str) -> None:
    (here / name).write_text((here / "table.csv").read_text())
    said = dvbench(*RUN, "--dataset", f"csv:{name}?label=kind", "--evaluator", "random", "--seeds", "0")
    assert said.code in (0, 2)
    assert said.err.count("\n") == (said.code == 2)


def test_more_folds_than_rows(refused) -> None:
    assert refused(*VALUE, "--folds", "31") == "60 rows cannot be divided into 31 folds of at least 2: use --folds 30"


def test_values_are_not_written_onto_their_table(refused, here: Path) -> None:
    """The table would be lost, and its figure beside it would take the place of another file."""
    for out in ("table.csv", "./table.csv", here / "table.csv"):
        said = refused("value", "table.csv", "--label", "kind", "--out", out, "--evaluator", "knn_shapley")
        assert "table.csv" in said


@pytest.mark.parametrize("out", ["values.png", ".", "runs", "table.csv/values.csv"])
def test_places_where_values_cannot_be(refused, out: str) -> None:
    assert out in refused("value", "table.csv", "--label", "kind", "--out", out, "--evaluator", "knn_shapley")


# Results


@pytest.fixture
def done(dvbench, here: Path):
    """The path of the result of a finished cell, kept from the check that nothing changes."""
    dvbench(*RUN, "--evaluator", "random", "--seeds", "0", "--results", "done")
    return here / "done/tiny" / FOLDER / "random/seed-0/result.json"


@pytest.mark.parametrize("content", [b"", b"{", b'{"my": "file"}', b"\x93NUMPY\xff", b'{"schema_version": 2}'])
def test_foreign_results(refused, done: Path, here: Path, content: bytes) -> None:
    done.write_bytes(content)
    before = tree(here / "done")
    start = f"done/tiny/{FOLDER}/random/seed-0/result.json is not a result of this version of dvbench: "
    assert refused(*RUN, "--results", "done").startswith(start)
    assert refused("leaderboard", "build", "--results", "done").startswith(
        f"the pages of suite 'tiny' were not written: {start}"
    )
    assert tree(here / "done") == before


def test_foreign_plans(refused, done: Path, here: Path) -> None:
    (here / "done/tiny/plan.json").write_text("[]")
    start = "done/tiny/plan.json is not a plan of dvbench: "
    assert refused(*RUN, "--results", "done").startswith(start)
    assert refused("leaderboard", "build", "--results", "done").startswith(
        f"the pages of suite 'tiny' were not written: {start}"
    )


def test_a_result_in_the_folder_of_another(refused, done: Path) -> None:
    whole = json.loads(done.read_text())
    whole["cell"]["key"]["seed"] = 1
    done.write_text(json.dumps(whole))
    assert "is the result of another cell" in refused(*RUN, "--results", "done", "--seeds", "0")
    assert "is the result of another cell" in refused("leaderboard", "build", "--results", "done")


def test_altered_values_are_noticed_when_they_are_scored(dvbench, done: Path, here: Path) -> None:
    values = done.with_name("values.npy")
    np.save(values, np.zeros(30))
    (here / "tiny2.toml").write_text(
        SUITE.replace('"noisy_label_detection"]', '"noisy_label_detection", "rank_stability"]').replace(
            "version = 1", 'version = 1\nname = "tiny"'
        )
    )
    said = dvbench("run", "tiny2.toml", "--jobs", 0, "--results", "done", "--evaluator", "random", "--seeds", "0")
    assert said.code in (1, 2)
    assert "values.npy does not match the hash in result.json; run the cell again with --fresh" in said.out + said.err


def test_results_below_a_file(refused) -> None:
    said = refused(*RUN, "--results", "table.csv/runs")
    assert said.startswith("cannot write table.csv/runs/")
    assert said.endswith("choose a folder you can write to")


def test_leaderboards_of_nothing(refused) -> None:
    assert refused("leaderboard", "build", "--results", "no").startswith("there is no results folder no: ")
    assert refused("leaderboard", "build", "--results", "runs").startswith("runs has no suite ")


def test_a_leaderboard_below_a_file(refused, done: Path) -> None:
    said = refused("leaderboard", "build", "--results", "done", "--out", "table.csv/pages")
    assert said.startswith("cannot write table.csv/pages/")


# Data that cannot be had


def test_no_network_and_no_mirror(refused, here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def unreachable(*_: object, **__: object) -> None:
        raise ConnectionError("the network is unreachable\nat all")

    monkeypatch.setattr(huggingface_hub.HfApi, "dataset_info", unreachable)
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", here / "cache")
    said = refused(*RUN, "--dataset", "fashion_mnist")
    assert said == (
        "cannot get zalando-datasets/fashion_mnist: no mirror has it, and the Hugging Face hub gave no answer (the "
        "network is unreachable); pass --mirror DIR or set DVBENCH_MIRROR to a folder that has it"
    )


def test_a_mirror_that_is_not_there(refused, monkeypatch: pytest.MonkeyPatch) -> None:
    assert refused(*RUN, "--mirror", "no-mirror") == "the mirror no-mirror is not a folder"
    monkeypatch.setenv("DVBENCH_MIRROR", "no-mirror")
    said = refused(*RUN, "--dataset", "fashion_mnist")
    assert said.startswith("DVBENCH_MIRROR is ")
    assert "no-mirror, which is not a folder" in said


# Modules


SCRIPT = """
number = 3
class Any:
    def __init__(self, *args, **kwargs): pass
"""
MODULES = {
    "loose_syntax:Mine": "def (:\n",
    "loose_raising:Mine": "raise RuntimeError('boom')\n",
    "loose_empty:Mine": "",
    "loose_no_such_module:Mine": None,
    "loose_number:number": SCRIPT,
    "loose_any:Any": SCRIPT,
    "loose_any:": SCRIPT,
    ":Mine": None,
    ".loose_any:Any": None,
}


@pytest.fixture(params=MODULES)
def target(request: pytest.FixtureRequest, here: Path) -> str:
    if (code := MODULES[request.param]) is not None:
        (here / f"{request.param.partition(':')[0]}.py").write_text(code)
    return request.param


def test_evaluators_that_are_none_are_refused_before_a_run(refused, target: str, here: Path) -> None:
    assert target in refused(*RUN, "--evaluator", target, "--seeds", "0")
    assert not (here / "runs/tiny").exists()


def test_evaluators_that_are_none_value_no_table(refused, target: str) -> None:
    assert target in refused(*VALUE, "--evaluator", target)


def test_models_that_are_none_value_no_table(refused, target: str) -> None:
    assert target in refused(*VALUE, "--evaluator", "leave_one_out", "--model", target)


def test_data_sets_that_are_none(refused, target: str) -> None:
    assert target in refused(*RUN, "--dataset", target)


def test_an_evaluator_that_fails_on_a_table(refused, here: Path) -> None:
    (here / "loose_failing.py").write_text(
        "class Mine:\n    def __init__(self, random_state=None): pass\n"
        "    def train(self, *args, **kwargs): raise ZeroDivisionError('by design')\n"
    )
    assert "ZeroDivisionError: by design" in refused(*VALUE, "--evaluator", "loose_failing:Mine")


def test_a_table_whose_name_is_no_text(dvbench, refused, here: Path) -> None:
    """A name in another encoding than UTF-8 could not be written to a result; values do not hold it."""
    name = os.fsdecode(b"caf\xe9.csv")
    (here / name).write_bytes((here / "table.csv").read_bytes())
    assert "no UTF-8 text: rename the file" in refused(*RUN, "--dataset", f"csv:{name}")
    assert dvbench("value", name, "--label", "kind", "--evaluator", "random", "--out", "out.csv").code == 0


def test_a_results_folder_whose_name_is_no_text(dvbench) -> None:
    said = dvbench("run", "tiny.toml", "--jobs", 0, "--seeds", "0", "--results", os.fsdecode(b"r\xe9sults"))
    assert (said.code, said.err) == (0, "")
    assert said.out.endswith("leaderboard: r?sults/leaderboard/index.html\n")


def test_an_error_does_not_move_the_cursor(refused) -> None:
    assert "?[2Jno?" in refused("run", "\x1b[2Jno\u202e.toml")
