"""A suite file that is wrong: one line that names the file, the key and what is allowed."""

from __future__ import annotations

from pathlib import Path

import pytest

from dvbench.errors import UserError
from dvbench.execution.planning import make_plan, narrow
from dvbench.suite import load_suite

RIGHT = """
version = 1
description = "Two problems."
seeds = [0, 1]

[[problems]]
dataset = "digits"
sizes = { train = 30, validation = 30, test = 40 }
noise = { kind = "labels", rate = 0.2 }
model = "logistic_regression"
tasks = ["noisy_label_detection"]

[[problems]]
dataset = "wine"
sizes = { train = 30, validation = 30, test = 40 }
model = { name = "mlp", params = { hidden = [8] } }
tasks = ["point_removal"]

[[evaluators]]
name = "random"

[[evaluators]]
name = "random"
label = "chance"
"""


@pytest.fixture
def refused(tmp_path: Path):
    """What is said about the suite with a piece of it replaced, without the path it must begin with."""

    def refused(old: str, new: str, file: str = "mine.toml") -> str:
        assert old in RIGHT
        path = tmp_path / file
        path.write_text(RIGHT.replace(old, new, 1))
        with pytest.raises(UserError) as error:
            make_plan(load_suite(str(path)))
        message = str(error.value)
        assert "\n" not in message
        assert message.startswith(str(path))
        return message.removeprefix(f"{path}: ")

    return refused


def test_the_right_one_is_right(tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text(RIGHT)
    suite = load_suite(str(tmp_path / "mine.toml"))
    assert (suite.name, suite.seeds) == ("mine", (0, 1))
    assert [problem.title for problem in suite.problems] == ["digits-logistic_regression-labels0.2", "wine-mlp-clean"]
    assert suite.problems[1].model.params == {"hidden": [8]}
    assert [cell.key.folder for cell in make_plan(suite).cells][:3] == [
        "mine/digits-logistic_regression-labels0.2/random/seed-0",
        "mine/digits-logistic_regression-labels0.2/chance/seed-0",
        "mine/digits-logistic_regression-labels0.2/random/seed-1",
    ]


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (
            "seeds =",
            "sedes = 1\nseeds =",
            "the file: unknown key 'sedes'; allowed are name, version, description, seeds, problems, evaluators, "
            "cell_timeout, roles, trials, unlearning, selection",
        ),
        (
            'dataset = "digits"',
            'dataset = "digits"\nsize = 3',
            "problems.0: unknown key 'size'; allowed are dataset, sizes, noise, imbalance, groups, model, "
            "training, selection, tasks",
        ),
        (
            "rate = 0.2 }",
            "rat = 0.2 }",
            "problems.0.noise: unknown key 'rat'; allowed are kind, rate, sigma",
        ),
        (
            'tasks = ["noisy_label_detection"',
            'tasks = ["mine:task", "noisy_label_detection"',
            "problems.0.tasks: 'mine:task' cannot be a task: a task needs an entry point, see the guide add-a-plug-in",
        ),
        ('"labels"', '"label"', "problems.0.noise.kind: Input should be 'labels', 'features' or 'none'"),
        ("rate = 0.2", "rate = 0", "problems.0.noise: labels noise needs a rate above 0 and below 1"),
        ("rate = 0.2", "rate = 1", "problems.0.noise.rate: Input should be less than 1"),
        ("rate = 0.2", "rate = nan", "problems.0.noise.rate: Input should be a finite number"),
        ("train = 30", "train = 1", "problems.0.sizes.train: Input should be greater than 1"),
        ("train = 30, ", "", "problems.0.sizes.train: Field required"),
        ('tasks = ["noisy_label_detection"]', "tasks = []", "problems.0.tasks: List should have at least 1 item"),
        ("[0, 1]", "[1, 1]", "the file: seed '1' is there twice"),
        ("[0, 1]", "[]", "seeds: List should have at least 1 item"),
        ("[0, 1]", "0", "seeds: Input should be a list"),
        ("[0, 1]", "[0, -1]", "seeds.1: Input should be greater than or equal to 0"),
        ('label = "chance"', "", "the file: evaluator 'random' is there twice; give one a label"),
        ('label = "chance"', 'label = "../up"', "evaluators.1.label: String should match pattern"),
        ("version = 1", "version = 0", "version: Input should be greater than or equal to 1"),
        ("version = 1\n", "", "version: Field required"),
    ],
)
def test_the_message_names_file_key_and_what_is_allowed(refused, old: str, new: str, message: str) -> None:
    assert refused(old, new).startswith(message)


def test_a_problem_that_is_there_twice(refused) -> None:
    same = RIGHT.partition("[[problems]]")[2].partition("[[problems]]")[0]
    message = refused("[[evaluators]]", f"[[problems]]{same}\n[[evaluators]]")
    assert message == "the file: problem 'digits-logistic_regression-labels0.2' is there twice; give one a label"


def test_several_mistakes_are_counted(refused) -> None:
    assert refused("train = 30, validation = 30", "train = 1, validation = 1").endswith("(and 1 more)")


def test_names_that_cannot_be_folders_are_refused_before_anything_runs(refused) -> None:
    refused("noisy_label_detection", "my_tasks:mine")
    refused('name = "random"', f'name = "{"long" * 25}:Mine"')


@pytest.mark.parametrize("file", ["my suite.toml", "größe.toml", "_mine.toml"])
def test_a_file_name_that_cannot_be_a_folder(refused, file: str) -> None:
    refused("version = 1", "version = 1", file)


@pytest.mark.parametrize(
    "dataset",
    ["csv:données.csv", "csv:two words.csv?label=y", "csv:a/b/_c.csv", f"csv:{'long' * 25}.csv", "my_data:load"],
)
def test_data_sets_with_any_file_name_have_a_folder(dataset: str, tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(RIGHT.replace('"digits"', f'"{dataset}"'))
    titles = {cell.key.problem for cell in make_plan(load_suite(str(path))).cells}
    assert all(title.isascii() and "/" not in title and " " not in title for title in titles)


def test_two_tables_with_the_same_file_name_are_not_one_problem(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    first = RIGHT.partition("[[problems]]")[2].partition("[[problems]]")[0]
    one, other = (first.replace("digits", f"csv:{folder}/table.csv") for folder in ("a", "b"))
    path.write_text(RIGHT.replace(f"[[problems]]{first}", f"[[problems]]{one}[[problems]]{other}"))
    titles = {cell.key.problem for cell in make_plan(load_suite(str(path))).cells}
    assert len([title for title in titles if title.startswith("csv-table-")]) == 2


def test_bad_toml(refused, tmp_path: Path) -> None:
    assert refused("version = 1", "version = = 1").startswith(f"{tmp_path / 'mine.toml'} is not TOML: ")


def test_not_text(tmp_path: Path) -> None:
    (tmp_path / "binary.toml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UserError, match=r"binary\.toml is not TOML"):
        load_suite(str(tmp_path / "binary.toml"))


@pytest.mark.parametrize(("name", "reason"), [("no.toml", "No such file or directory"), ("dir.toml", "Is a directory")])
def test_files_that_cannot_be_read(name: str, reason: str, tmp_path: Path) -> None:
    (tmp_path / "dir.toml").mkdir()
    with pytest.raises(UserError) as error:
        load_suite(str(tmp_path / name))
    assert str(error.value) == f"cannot read suite {tmp_path / name}: {reason}"


def test_an_unknown_suite() -> None:
    with pytest.raises(UserError) as error:
        load_suite("qick")
    assert str(error.value) == (
        "no suite is named 'qick': did you mean 'quick'? A suite of your own is the path of a .toml file."
    )


@pytest.mark.parametrize("name", ["submissions", "verified", "small.csv"])
def test_a_suite_is_not_named_like_another_folder_of_results(tmp_path, name):
    from dvbench.registry import suite_files

    path = tmp_path / f"{name}.toml"
    path.write_text(suite_files()["quick"].read_text())
    with pytest.raises(UserError, match="cannot be named"):
        load_suite(str(path))


def test_a_role_is_one_of_an_evaluator_of_the_suite(refused, tmp_path: Path) -> None:
    told = refused("seeds = [0, 1]", 'seeds = [0, 1]\nroles = { chanc = "random" }')
    assert "no evaluator is named 'chanc': did you mean 'chance'?" in told
    assert "roles.chance" in refused("seeds = [0, 1]", 'seeds = [0, 1]\nroles = { chance = "best" }')
    (tmp_path / "right.toml").write_text(
        RIGHT.replace("seeds = [0, 1]", 'seeds = [0, 1]\nroles = { chance = "oracle" }')
    )
    suite = load_suite(str(tmp_path / "right.toml"))
    assert make_plan(suite).roles == {"chance": "oracle"}
    assert make_plan(narrow(suite, evaluators=["chance"])).roles == {"chance": "oracle"}
    assert make_plan(narrow(suite, evaluators=["random"])).roles == {}


def test_problems_are_those_of_another_suite(tmp_path: Path) -> None:
    head, evaluators = RIGHT[: RIGHT.index("[[problems]]")], RIGHT[RIGHT.index("[[evaluators]]") :]
    path = tmp_path / "mine.toml"
    path.write_text(f'{head}problems = "quick"\ntrials = "quick"\n{evaluators}')
    suite = load_suite(str(path))
    assert suite.problems == load_suite("quick").problems
    assert make_plan(suite).trials == make_plan(narrow(suite, evaluators=["random"])).trials == "quick"
    path.write_text(f'{head}problems = "quik"\n{evaluators}')
    with pytest.raises(UserError, match="did you mean 'quick'"):
        load_suite(str(path))
