"""Methods of other libraries: their names, what their docstrings say, and what is said where a library is missing."""

from __future__ import annotations

import ast
import importlib.util
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version

import pytest

from dvbench import registry
from dvbench.errors import UserError
from dvbench.execution.resume import evaluator_version
from dvbench.registry import KINDS, entries, find, library_entries
from dvbench.settings import EvaluatorSettings

ALL = [pytest.param(entry, id=name) for kind in KINDS for name, entry in library_entries(kind).items()]
EVALUATORS = {
    "dattri": ["data_inf", "influence_cg", "influence_explicit", "trac_in"],
    "pydvl": ["banzhaf", "beta_shapley", "delta_shapley", "least_core", "leave_one_out", "shapley"],
    "shapiq": [
        "banzhaf", "k_add_shap", "kernel_shap", "owen_sampling", "permutation_sampling", "stratified_sampling", "svarm",
        "unbiased_kernel_shap",
    ],
}  # fmt: skip


@pytest.fixture
def without(monkeypatch):
    """A machine on which no other library is installed."""
    monkeypatch.setattr(registry, "find_spec", lambda name: None)


def test_what_comes_with_dvbench():
    assert list(library_entries("evaluators")) == [f"{lib}:{name}" for lib in EVALUATORS for name in EVALUATORS[lib]]
    assert not {*library_entries("evaluators")} & {*entries("evaluators")}


@pytest.mark.parametrize("name", ["shapiq:kernel_shap", "shapiq:KernelSHAP", "shapiq:kernelshap", "shapiq:Kernel-Shap"])
def test_case_and_underscores_do_not_matter(name):
    assert find("evaluators", name).target == "evaluators.libraries.shapiq:KernelSHAP"


@pytest.mark.parametrize("entry", ALL)
def test_each_says_what_it_is_in_one_line_and_how_it_was_tested(entry):
    assert 20 < len(entry.summary) < 120
    assert entry.summary.endswith(".")
    if entry.kind == "evaluators":
        docstring = " ".join(entry.docstring.split())
        for words in ("high", "fit", "It takes", "Variant:", "Tested", "Between processors:", "References"):
            assert words in docstring, words


@pytest.mark.parametrize("entry", ALL)
def test_each_is_an_extra_of_dvbench(entry):
    from importlib.metadata import metadata

    assert entry.library in metadata("dvbench").get_all("Provides-Extra") or entry.library == "opendataval"


def test_a_name_that_a_library_lacks_gets_the_nearest():
    with pytest.raises(UserError) as error:
        find("evaluators", "pydvl:shaply")
    assert str(error.value) == (
        "no evaluator is named 'pydvl:shaply': did you mean 'pydvl:shapley'? See 'dvbench list evaluators'."
    )


def test_a_missing_library_is_one_line_that_says_what_to_install(without):
    entry = find("evaluators", "pydvl:shapley")
    assert not entry.available
    with pytest.raises(UserError) as error:
        entry.load()
    assert str(error.value) == (
        "evaluator 'pydvl:shapley' needs pydvl, which is not installed: install 'dvbench[pydvl]', or in a clone of "
        "dvbench run 'uv sync --extra pydvl'"
    )


def test_a_version_has_that_of_the_library(monkeypatch):
    settings = EvaluatorSettings(name="pydvl:shapley")
    try:
        assert evaluator_version(settings) == f"0.1.0, pydvl {version('pydvl')}"
    except PackageNotFoundError:
        assert evaluator_version(settings) == "0.1.0, pydvl "


def test_looking_at_them_imports_none():
    code = (
        "import sys; from dvbench.cli import main; assert main(['list', 'evaluators']) == 0;"
        "assert main(['describe', 'pydvl:shapley']) == 0;"
        "assert not {'pydvl', 'shapiq', 'joblib', 'numpy', 'torch'} & set(sys.modules)"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (run.returncode, run.stderr) == (0, "")


@pytest.mark.parametrize("library", EVALUATORS)
def test_files_of_libraries_import_no_library_but_their_own(library):
    source = registry.source_file(f"evaluators.libraries.{library}")
    tree = ast.parse(source.read_text())
    modules = {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    others = {name.partition(".")[0] for name in modules} - {
        "dvbench",
        "evaluators",
        "__future__",
        "typing",
        "joblib",
        "torch",
    }
    assert others == {library}
    assert importlib.util.find_spec("evaluators.libraries") is not None
