"""An evaluator is computed again when something changes that it imports from its own folder."""

from __future__ import annotations

import hashlib
import json
import sys
from pathlib import Path

import pytest
from loose_scripts import made_up_cell, run_cell

from dvbench.execution.resume import evaluator_version, unfinished
from dvbench.execution.source_hash import own_sources, source_hash
from dvbench.settings import EvaluatorSettings

FILES = {
    "loose_main.py": "def late():\n    import loose_late\nfrom loose_helper import scale\nimport numpy",
    "loose_helper.py": "import importlib\nimportlib.import_module('loose_literal')\nscale = 1",
    "loose_literal.py": "",
    "loose_late.py": "import loose_main",  # a circle
    "loose_other.py": "",
    "guests/__init__.py": "",
    "guests/near/__init__.py": "from ..far import thing",
    "guests/near/value.py": "from . import beside\nfrom .. import far as elsewhere\nimport loose_helper",
    "guests/near/beside.py": "import importlib\nimportlib.import_module('.below', __package__)",
    "guests/near/below.py": "",
    "guests/near/unused.py": "",
    "guests/far.py": "thing = 1\nthis is no Python",
}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name, text in FILES.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("module", "imported"),
    [
        ("loose_main", {"loose_helper", "loose_literal", "loose_late"}),
        (
            "guests.near.value",
            {"guests", "guests.near", "guests.near.beside", "guests.near.below", "guests.far"}
            | {"loose_helper", "loose_literal"},
        ),
        ("loose_other", set()),
        ("no_such_module_here", None),
    ],
)
def test_what_is_imported_from_the_own_folder(folder: Path, module: str, imported: set[str] | None) -> None:
    assert own_sources(module).keys() == (set() if imported is None else {module, *imported})


@pytest.mark.parametrize("changed", [*FILES, "numpy.pyc"])
def test_a_change_of_any_of_them_changes_the_hash(folder: Path, changed: str) -> None:
    before = {module: source_hash(module) for module in ("loose_main", "guests.near.value")}
    (folder / changed).write_text("changed = True")
    used = {
        "loose_main": ("loose_main.py", "loose_helper.py", "loose_literal.py", "loose_late.py"),
        "guests.near.value": tuple(
            name
            for name in FILES
            if "helper" in name or "literal" in name or ("guests" in name and "unused" not in name)
        ),
    }
    for module, files in used.items():
        assert (source_hash(module) != before[module]) == (changed in files), module


def test_of_one_file_it_is_the_hash_of_the_file(folder: Path) -> None:
    """Results of one file stay done, whatever is in its folder."""
    content = (folder / "loose_other.py").read_bytes()
    assert source_hash("loose_other") == hashlib.sha256(content).hexdigest()[:16]


def test_only_the_own_package_of_installed_ones(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not torch, which lies in the same folder."""
    installed = tmp_path / "site-packages"
    for name, text in {"mine/__init__.py": "", "mine/value.py": "import mine.b, large", "mine/b.py": ""}.items():
        (installed / name).parent.mkdir(parents=True, exist_ok=True)
        (installed / name).write_text(text)
    (installed / "large.py").write_text("")
    monkeypatch.syspath_prepend(installed)
    assert own_sources("mine.value").keys() == {"mine", "mine.value", "mine.b"}


def test_a_changed_helper_values_again(script, store, tmp_path: Path) -> None:
    helper = tmp_path / "scripts/loose_helper.py"
    helper.write_text("factor = 1.0")
    script(
        "loose_scaled",
        "import loose_helper\nclass Scaled(Base):\n  def answer(self, n): return loose_helper.factor * np.arange(n)\n",
    )
    cell = made_up_cell("loose_scaled:Scaled")
    first = run_cell(cell, store)
    assert not unfinished(cell, store)
    helper.write_text("factor = 20.0")  # Python takes bytecode for new whose source has the size and second of before
    for name in ("loose_helper", "loose_scaled"):
        sys.modules.pop(name)
    assert unfinished(cell, store)
    second = run_cell(cell, store)
    assert second.error is None
    assert first.evaluator_version != second.evaluator_version
    assert store.array(second, "values")[1] == 20.0
    sys.modules.pop("loose_helper")


def test_a_package_of_a_folder_is_hashed_and_one_of_an_index_is_not(folder: Path) -> None:
    """A version is typed by hand, and stays the same while one edits files."""
    info = folder / "guests-1.2.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: guests\nVersion: 1.2\n")
    settings = EvaluatorSettings(name="guests.near.value:Value")
    assert evaluator_version(settings) == "1.2"
    url = {"url": folder.as_uri(), "dir_info": {"editable": True}}
    (info / "direct_url.json").write_text(json.dumps(url))
    before = evaluator_version(settings)
    assert before.startswith("1.2 sha256:")
    (folder / "guests/near/below.py").write_text("changed = True")
    assert evaluator_version(settings) not in (before, "1.2")


def test_a_changed_unlearning_method_of_an_evaluator_of_dvbench(folder: Path) -> None:
    params = {"method": {"name": "loose_other:Method", "steps": 5}, "remark": "no: module", "and": ["a:b"]}
    settings = EvaluatorSettings(name="unlearning_shapley", params=params)
    alone = evaluator_version(EvaluatorSettings(name="unlearning_shapley"))
    before = evaluator_version(settings)
    assert before.startswith(f"{alone}, loose_other:Method sha256:")
    assert before.count(":") == 2
    (folder / "loose_other.py").write_text("changed = True")
    assert evaluator_version(settings) != before


def test_the_version_is_that_of_the_code_that_ran(script, store, trace: Path) -> None:
    """Not that of what an editor saved while it ran."""
    edit = f"open({str(trace.parent / 'scripts/loose_edited.py')!r}, 'a').write('# edited')"
    script(
        "loose_edited", f"class Edited(Base):\n    def answer(self, n):\n        {edit}\n        return np.arange(n)\n"
    )
    cell = made_up_cell("loose_edited:Edited")
    before = evaluator_version(cell.evaluator)
    assert run_cell(cell, store).evaluator_version == before
    assert unfinished(cell, store)
