"""The folders hold what the house says: plug-ins in plug-in folders, short files everywhere."""

from __future__ import annotations

import ast
import configparser
import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = ("dvbench", "evaluators", "leaderboard")
PLUGIN_FOLDERS = (
    "dvbench/models",
    "dvbench/datasets",
    "dvbench/tasks",
    "dvbench/unlearning_methods",
    "dvbench/selection",
    "evaluators",
    "evaluators/baselines",
)
PLUGINS = [path for folder in PLUGIN_FOLDERS for path in sorted((ROOT / folder).glob("*.py"))]


def plain(name: str) -> str:
    return name.replace("_", "").lower()


def relative(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


@pytest.mark.parametrize("path", [path for path in PLUGINS if path.stem != "__init__"], ids=relative)
def test_every_file_in_a_plugin_folder_is_a_plugin(path):
    """It defines one public class or function that is named like the file."""
    body = ast.parse(path.read_text()).body
    defined = [node.name for node in body if isinstance(node, ast.ClassDef | ast.FunctionDef)]
    assert [plain(name) for name in defined].count(plain(path.stem)) == 1, f"defines {defined}"


@pytest.mark.parametrize("path", [path for path in PLUGINS if path.stem == "__init__"], ids=relative)
def test_the_init_of_a_plugin_folder_defines_nothing(path):
    """It may hold a docstring and a lookup of names that imports nothing (PEP 562)."""
    body = ast.parse(path.read_text()).body
    functions = {node.name for node in body if isinstance(node, ast.FunctionDef)}
    assert all(name.startswith("_") for name in functions)
    assert not any(isinstance(node, ast.ClassDef) for node in body)


@pytest.mark.parametrize("folder", PLUGIN_FOLDERS)
def test_plugin_folders_have_no_other_folders(folder):
    children = {path.name for path in (ROOT / folder).iterdir() if path.is_dir() and path.name != "__pycache__"}
    expected = {"evaluators": {"baselines", "common", "libraries"}, "dvbench/models": {"libraries"}}
    assert children == expected.get(folder, set())


@pytest.mark.parametrize("folder", ["evaluators", "dvbench/models"])
def test_files_of_other_libraries_are_registered_by_their_names(folder):
    points = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["entry-points"]
    files = {path.stem for path in (ROOT / folder / "libraries").glob("*.py")} - {"__init__"}
    module = folder.replace("/", ".") + ".libraries"
    assert points[f"dvbench.libraries.{Path(folder).name}"] == {name: f"{module}.{name}" for name in files}


def test_suites_are_toml_files():
    names = {path.name for path in (ROOT / "dvbench/suites").iterdir() if path.name != "__pycache__"}
    assert all(name.endswith(".toml") for name in names - {"__init__.py"})


@pytest.mark.parametrize("package", [*PACKAGES, "tests"])
def test_no_file_is_longer_than_400_lines(package):
    lengths = {relative(path): len(path.read_text().splitlines()) for path in (ROOT / package).rglob("*.py")}
    assert not {path: length for path, length in lengths.items() if length > 400}


def test_contracts_cover_every_module():
    """The lists of .importlinter name all modules of dvbench, so that a new one cannot be forgotten."""
    contracts = configparser.ConfigParser()
    contracts.read(ROOT / ".importlinter")
    top = {
        path.stem for path in (ROOT / "dvbench").iterdir() if path.suffix == ".py" or (path / "__init__.py").exists()
    }
    top -= {"__init__"}
    assert set(re.findall(r"\w+", contracts["importlinter:contract:arrows"]["layers"])) == top
    plugins = {Path(folder).name for folder in PLUGIN_FOLDERS if folder.startswith("dvbench/")}
    law = contracts["importlinter:contract:law"]
    assert set(law["source_modules"].split()) == {f"dvbench.{name}" for name in top - plugins} | {"leaderboard"}
    assert set(law["forbidden_modules"].split()) == {f"dvbench.{name}" for name in plugins} | {"evaluators"}
    allowed = {
        "evaluators-use": "unlearning training problems games sampling registry definitions randomness settings errors "
        "number_checks progress",
        "leaderboard-uses": "results registry ranges definitions errors files settings",
    }
    for contract, names in allowed.items():
        forbidden = set(contracts[f"importlinter:contract:{contract}"]["forbidden_modules"].split())
        assert {f"dvbench.{name}" for name in top - set(names.split())} <= forbidden
        assert not {f"dvbench.{name}" for name in names.split()} & forbidden
