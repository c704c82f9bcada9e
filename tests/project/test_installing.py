"""The wheel and the source distribution hold what they need, and install into an empty environment of this Python."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
PACKAGES = ("dvbench", "evaluators", "leaderboard")
UV = shutil.which("uv")
needs_uv = pytest.mark.skipif(UV is None, reason="uv is not on the PATH")


def run(*words: str | Path, cwd: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run a command outside of this environment and of the clone."""
    hidden = ("PYTHONPATH", "VIRTUAL_ENV", "UV_PYTHON")
    environment = {key: value for key, value in os.environ.items() if key not in hidden} | variables
    return subprocess.run(
        [str(w) for w in words], cwd=cwd, env=environment, capture_output=True, text=True, check=False
    )


def must_run(*words: str | Path, cwd: Path, **variables: str) -> str:
    done = run(*words, cwd=cwd, **variables)
    assert done.returncode == 0, f"{' '.join(map(str, words))}\n{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.fixture(scope="module")
def built(tmp_path_factory) -> Path:
    """A folder with the source distribution and the wheel that is built from it."""
    folder = tmp_path_factory.mktemp("dist")
    must_run(UV, "build", "--quiet", "--out-dir", folder, ROOT, cwd=folder)
    return folder


@pytest.fixture(scope="module")
def wheel(built) -> Path:
    (path,) = built.glob("*.whl")
    return path


@needs_uv
def test_the_wheel_holds_the_three_packages_and_nothing_else(wheel):
    names = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    wanted = {
        path.relative_to(ROOT).as_posix()
        for package in PACKAGES
        for path in (ROOT / package).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert names == wanted
    assert {f"{package}/py.typed" for package in PACKAGES} <= names
    assert {Path(name).parts[0] for name in names} == set(PACKAGES)
    for needed in ("dvbench/suites/quick.toml", "leaderboard/site/templates/home.html.jinja"):
        assert needed in names
    assert any(name.startswith("dvbench/submission/skeleton/") for name in names)


@needs_uv
def test_the_source_distribution_holds_no_results(built):
    (path,) = built.glob("*.tar.gz")
    with tarfile.open(path) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert {"pyproject.toml", "README.md", "LICENSE", "CITATION.cff", "overrides.txt", "requirements.txt"} <= names
    folders = {name.partition("/")[0] for name in names if "/" in name}
    assert folders == {*PACKAGES, "tests", "docs"}


def test_the_overrides_are_those_of_the_project():
    spec = importlib.util.spec_from_file_location("overrides", ROOT / ".ci" / "overrides.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    wanted = module.text(ROOT / "pyproject.toml")
    assert (ROOT / "overrides.txt").read_text() == wanted, "overrides.txt is old; run: python .ci/overrides.py"


@needs_uv
def test_it_installs_and_runs_in_an_empty_environment(wheel, tmp_path):
    """The commands of docs/installing.md, in a folder that has nothing of this project."""
    environment = tmp_path / "environment"
    must_run(UV, "venv", "--quiet", "--python", sys.executable, environment, cwd=tmp_path)
    scripts = environment / ("Scripts" if os.name == "nt" else "bin")
    frozen = ["--overrides", ROOT / "overrides.txt", "--constraints", ROOT / "requirements.txt"]
    try:
        must_run(UV, "pip", "install", "--quiet", "--python", scripts / "python", *frozen, wheel, cwd=tmp_path)
        dvbench = scripts / "dvbench"
        assert PYPROJECT["project"]["version"] in must_run(dvbench, "--version", cwd=tmp_path)
        assert "knn_shapley" in must_run(dvbench, "list", "evaluators", cwd=tmp_path)
        words = "run quick --evaluator knn_shapley --dataset digits --seeds 0 --jobs 0"
        must_run(dvbench, *words.split(), cwd=tmp_path, DVBENCH_CACHE=str(tmp_path / "cache"))
        results = list((tmp_path / "runs" / "quick").rglob("result.json"))
        assert results
        assert all('"status":"ok"' in path.read_text().replace(" ", "") for path in results)
    finally:
        shutil.rmtree(environment, ignore_errors=True)  # several gigabytes where they cannot be linked


@needs_uv
@pytest.mark.parametrize("overridden", [True, False])
def test_a_project_that_depends_on_dvbench_needs_the_overrides(wheel, tmp_path, overridden):
    """The pyproject.toml of docs/installing.md; without the overrides there is no solution."""
    page = (ROOT / "docs/installing.md").read_text()
    (text,) = re.findall(r"```toml\n(.*?)```", page, re.DOTALL)
    lines = (ROOT / "overrides.txt").read_text().splitlines()
    quoted = "".join(f"    {json.dumps(line)},\n" for line in lines if not line.startswith("#"))
    frozen = f'[tool.uv]\nexclude-newer = "{PYPROJECT["tool"]["uv"]["exclude-newer"]}"\n'
    text = text.replace("[tool.uv]\n", frozen)
    filled = re.sub(r" +# the lines of overrides.*\n", quoted if overridden else "", text)
    assert filled != text
    (tmp_path / "pyproject.toml").write_text(filled)
    shutil.copy(wheel, tmp_path)
    done = run(UV, "lock", cwd=tmp_path)
    assert (done.returncode == 0) == overridden, done.stderr
    assert overridden or "opendataval" in done.stderr
