"""``dvbench list``, ``describe``, ``leaderboard build`` and ``--version``."""

from __future__ import annotations

import inspect
import json
from pathlib import Path

import pytest

from dvbench import registry
from dvbench.errors import UserError
from dvbench.registry import KINDS, Kind, entries, library_entries, singular, suite_files


def first_words(text: str) -> list[str]:
    return [line.split()[0] for line in text.splitlines() if line.strip() and not line.startswith(" ")]


@pytest.mark.parametrize("kind", KINDS)
def test_list_names_everything_once_with_its_summary(dvbench, kind) -> None:
    said = dvbench("list", kind)
    assert (said.code, said.err) == (0, "")
    installed = {name: entry for name, entry in library_entries(kind).items() if entry.available}
    listed = first_words(said.out)
    assert listed[: 1 + len(entries(kind)) + len(installed)] == ["name", *entries(kind), *installed]
    for entry in (*entries(kind).values(), *installed.values()):
        assert entry.summary in said.out


def test_list_says_what_can_be_installed(dvbench, monkeypatch) -> None:
    monkeypatch.setattr(registry, "find_spec", lambda name: None)
    said = dvbench("list", "evaluators")
    assert first_words(said.out.partition(" more with ")[0])[:-1] == ["name", *entries("evaluators")]
    assert "\n6 more with pydvl: install 'dvbench[pydvl]'; names begin with pydvl:\n" in said.out
    assert "pydvl:shapley" not in said.out


@pytest.mark.parametrize("name", library_entries("evaluators"))
def test_evaluators_of_other_libraries_are_described_also_where_these_are_missing(dvbench, monkeypatch, name) -> None:
    monkeypatch.setattr(registry, "find_spec", lambda name: None)
    entry = library_entries("evaluators")[name]
    said = dvbench("describe", name)
    assert (said.code, said.err) == (0, "")
    assert said.out.startswith(f"{name} (evaluator, {entry.target})\n\n{entry.docstring}\n")
    assert "random_state: int | " in said.out


@pytest.mark.parametrize(
    "command", ["run tiny.toml --evaluator pydvl:shapley", "value table.csv --evaluator pydvl:shapley"]
)
def test_an_evaluator_of_a_missing_library_is_refused_in_one_line(refused, here, monkeypatch, command) -> None:
    monkeypatch.setattr(registry, "find_spec", lambda name: None)
    assert "evaluator 'pydvl:shapley' needs pydvl, which is not installed: install " in refused(*command.split())
    assert not (here / "runs").exists()


def test_list_suites(dvbench) -> None:
    said = dvbench("list", "suites")
    assert first_words(said.out) == ["name", *suite_files()]


@pytest.mark.parametrize(("kind", "name"), [(kind, name) for kind in KINDS for name in entries(kind)])
def test_everything_can_be_described(dvbench, kind: Kind, name: str) -> None:
    said = dvbench("describe", name, "--kind", kind)
    entry = entries(kind)[name]
    assert (said.code, said.err) == (0, "")
    assert said.out.startswith(f"{name} ({singular(entry.kind)}, {entry.target})\n\n{entry.docstring}\n")


def test_a_task_shows_its_version_headline_direction_and_goal(dvbench) -> None:
    assert dvbench("describe", "rank_stability").out.endswith(
        "\nversion: 2\nheadline: spearman\nhigher is better: True\ngoal: check\n"
        "ranges: {'spearman': (-1, 1), 'top_overlap': (0, 1), 'bottom_overlap': (0, 1)}\nrepeats: True\n"
    )


@pytest.mark.parametrize("name", suite_files())
def test_a_suite_shows_its_file(dvbench, name: str) -> None:
    assert dvbench("describe", name).out.endswith(suite_files()[name].read_text().rstrip("\n") + "\n\n")


def test_an_evaluator_of_ones_own_is_described(dvbench, here: Path) -> None:
    (here / "loose_described.py").write_text('class Mine:\n    """Mine, [b]all[/b] mine."""\n')
    said = dvbench("describe", "loose_described:Mine")
    assert said.out == ("loose_described:Mine (evaluator, loose_described:Mine)\n\nMine, [b]all[/b] mine.\n")


def test_what_has_no_docstring_or_another_name_than_its_file_says_so(dvbench, refused, here: Path, monkeypatch) -> None:
    (here / "loose_silent.py").write_text("class Mine:\n    pass\n")
    said = dvbench("describe", "loose_silent:Mine")
    assert (said.code, said.err) == (0, "")
    assert said.out == "loose_silent:Mine (evaluator, loose_silent:Mine)\n\nloose_silent:Mine has no docstring.\n"
    assert "is named 'loose_silent:Other'" in refused("describe", "loose_silent:Other")
    monkeypatch.setattr("dvbench.cli.plugins.misnamed", lambda kind, name: UserError(f"{name} of {kind}"))
    assert "near_mean of evaluators" in refused("describe", "near_mean")


@pytest.mark.parametrize("kind", [*KINDS, "suites"])
def test_lists_are_json_too(dvbench, kind: str) -> None:
    listed = json.loads(dvbench("list", kind, "--json").out)
    names = list(suite_files() if kind == "suites" else entries(kind))
    if kind != "suites":
        names += [name for name, entry in library_entries(kind).items() if entry.available]
    assert [plugin["name"] for plugin in listed] == names
    assert all(plugin["summary"] for plugin in listed)


def test_parameters_have_types_and_defaults(dvbench) -> None:
    out = dvbench("describe", "mlp").out
    assert out.endswith("shape: tuple[int, ...]\noutputs: int\nhidden: Sequence[int] = (512,)\n")


def test_a_name_of_several_types_is_replaced_by_them(dvbench) -> None:
    shown = dvbench("describe", "unlearning_shapley").out
    assert "\nmethod: str | Mapping[str, Any] | UnlearningMethod = 'gradient_ascent'\n" in shown


def test_an_unlearning_method_has_the_parameters_of_its_base_class(dvbench) -> None:
    described = json.loads(dvbench("describe", "scrub", "--json").out)
    assert (described["kind"], described["name"]) == ("unlearning method", "scrub")
    parameters = {parameter["name"]: parameter for parameter in described["parameters"]}
    assert list(parameters) == [
        "steps", "batch_size", "lr", "weight_decay", "parameters", "alpha", "gamma", "forgetting", "temperature",
    ]  # fmt: skip
    assert parameters["alpha"] == {"name": "alpha", "type": "float", "default": "0.5"}
    assert parameters["parameters"]["type"] == "Literal['all', 'head', 'lora']"


def test_the_metadata_of_a_task_are_json_too(dvbench) -> None:
    described = json.loads(dvbench("describe", "rank_stability", "--json").out)
    expected = {"version": 2, "headline": "spearman", "higher_is_better": True, "repeats": True}
    assert expected.items() <= described["metadata"].items()


@pytest.mark.parametrize("name", entries("evaluators"))
def test_the_parameters_of_every_evaluator_are_known(name: str) -> None:
    parameters = entries("evaluators")[name].definition.parameters
    assert parameters is not None
    loaded = inspect.signature(entries("evaluators")[name].load().__init__).parameters
    assert [parameter.name for parameter in parameters] == [each for each in loaded if each != "self"]


def test_the_shell_completes_commands(
    dvbench, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert "--install-completion" in dvbench("--help").out
    monkeypatch.setenv("_DVBENCH_COMPLETE", "complete_bash")
    monkeypatch.setenv("COMP_WORDS", "dvbench ver")
    monkeypatch.setenv("COMP_CWORD", "1")
    with pytest.raises(SystemExit):
        dvbench("ver")
    assert capsys.readouterr().out.split() == ["verify"]


def test_version(dvbench) -> None:
    assert dvbench("--version") == (0, "dvbench 0.2.0\n", "")


@pytest.mark.parametrize("command", [(), ("run",), ("value",), ("list",), ("describe",), ("leaderboard", "build")])
def test_every_command_has_help(dvbench, command: tuple[str, ...]) -> None:
    said = dvbench(*command, "--help")
    assert (said.code, said.err) == (0, "")
    assert said.out.startswith(f"Usage: {' '.join(('dvbench', *command))} ")


def test_a_leaderboard_is_built_of_what_is_there(dvbench, here: Path) -> None:
    dvbench("run", "tiny.toml", "--jobs", 0, "--seeds", "0")
    said = dvbench("leaderboard", "build", "--results", "runs", "--out", "pages")
    assert said == (0, "pages/tiny.md\npages/tiny.csv\npages/index.html\n", "")
    for name in ("tiny.md", "tiny.csv", "index.html"):
        assert (here / "pages" / name).read_bytes() == (here / "runs/leaderboard" / name).read_bytes()
    assert "knn_shapley" in (here / "pages/tiny.md").read_text()
