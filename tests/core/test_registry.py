"""Names: what is registered, what strangers register, and that looking at it imports nothing."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from dvbench.errors import UserError, unknown
from dvbench.registry import KINDS, _points_in, entries, find

EXPECTED = {
    "evaluators": [
        "adam_trac_in", "ame", "beta_shapley", "bm25", "chg_shapley", "class_wise_shapley", "data_banzhaf", "data_oob",
        "data_shapley", "dvrl", "embedding_similarity", "fw_shapley", "gradient_shapley", "hardness_shapley",
        "hessian_influence", "in_context_probing", "in_run_data_shapley", "influence_function", "influence_subsample",
        "knn_shapley", "lava", "leave_one_out", "logra", "metagradient",
        "partial_unlearning_shapley", "random", "robust_volume_shapley", "threshold_knn_shapley", "trac_in",
        "unlearning_shapley", "warm_start_shapley",
    ],
    "datasets": [
        "bbc_news", "breast_cancer", "cifar10", "cifar100", "csv", "diabetes", "digits", "fashion_mnist", "imdb",
        "opendataval", "openml", "text_corpus", "tiny_imagenet", "tiny_text", "wiki_web_stories", "wine",
    ],
    "models": ["cnn", "gpt2", "gpt2_tiny", "gpt2_xl", "logistic_regression", "mlp", "resnet18", "resnet9"],
    "tasks": [
        "exact_agreement", "group_lds", "knowledge_retention", "lds", "lds_per_point", "noisy_feature_detection",
        "noisy_label_detection", "null_labels", "output_divergence", "partial_agreement", "planted_shortcut",
        "point_addition", "point_removal", "randomised_model", "rank_stability", "replication", "retrained_agreement",
        "selection_accuracy", "symmetry", "unlearning_error", "utility_robustness",
    ],
    "unlearning": [
        "fine_tuning", "gradient_ascent", "neg_grad_plus", "negative_preference", "plain_ascent", "random_labels",
        "scrub",
    ],
    "selection": [
        "adaptive_random", "cgsv", "chg_shapley", "craig", "el2n", "evaluator_values", "full", "glister",
        "grad_match_pb", "gradient_shapley", "hardness_shapley", "info_batch", "k_centre", "random", "trac_in",
    ],
}  # fmt: skip
ALL = [pytest.param(entry, id=f"{kind}-{name}") for kind in KINDS for name, entry in entries(kind).items()]


@pytest.fixture
def stranger(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Install a distribution: its entry points and its files."""

    def install(name: str, points: str, files: dict[str, str]) -> None:
        folder = tmp_path / name
        info = folder / f"{name}-1.2.dist-info"
        info.mkdir(parents=True)
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.2\n")
        (info / "entry_points.txt").write_text(points)
        for file, text in files.items():
            (folder / file).parent.mkdir(parents=True, exist_ok=True)
            (folder / file).write_text(text)
        monkeypatch.syspath_prepend(folder)

    yield install
    for module in [module for module in sys.modules if module.partition(".")[0].startswith("stranger_")]:
        del sys.modules[module]


@pytest.mark.parametrize("kind", KINDS)
def test_what_comes_with_dvbench(kind) -> None:
    assert list(entries(kind)) == EXPECTED[kind]


@pytest.mark.parametrize("entry", ALL)
def test_everything_has_a_summary_that_fits_a_line(entry) -> None:
    assert 20 < len(entry.summary) < 120
    assert entry.summary.endswith((".", "?"))


@pytest.mark.parametrize("entry", ALL)
def test_everything_loads_and_its_source_tells_the_truth(entry) -> None:
    loaded = entry.load()
    assert callable(loaded)
    assert entry.source is not None
    assert entry.source.stem == entry.name
    for key, setting in entry.definition.metadata.items():
        assert getattr(loaded, key) == setting


@pytest.mark.parametrize(("kind", "name"), [(k, name) for k in ("evaluators", "unlearning") for name in EXPECTED[k]])
def test_evaluators_and_unlearning_methods_name_their_source(kind, name: str) -> None:
    docstring = entries(kind)[name].docstring
    assert "Parameters\n----------" in docstring
    assert ("References\n----------" in docstring) == (name != "random")


@pytest.mark.parametrize("name", EXPECTED["selection"])
def test_selection_strategies_of_a_paper_name_it(name: str) -> None:
    own = name in ("full", "random", "adaptive_random", "evaluator_values")
    assert ("References\n----------" in entries("selection")[name].docstring) != own


@pytest.mark.parametrize("name", ["knn_shapley", "KNNShapley", "KNN_Shapley", "knn-shapley", "knnshapley"])
def test_case_and_underscores_do_not_matter(name: str) -> None:
    assert find("evaluators", name).name == "knn_shapley"


def test_an_unknown_name_gets_the_nearest() -> None:
    with pytest.raises(UserError) as error:
        find("evaluators", "knn_shaply")
    assert str(error.value) == (
        "no evaluator is named 'knn_shaply': did you mean 'knn_shapley'? See 'dvbench list evaluators'."
    )


def test_a_name_like_no_other_gets_them_all() -> None:
    names = ", ".join(EXPECTED["models"])
    with pytest.raises(UserError, match=rf"choose one of {names}\. See 'dvbench list models'"):
        find("models", "xyz")


def test_an_unknown_name_where_there_is_nothing() -> None:
    assert str(unknown("suite", "a", [])) == "no suite is named 'a': there are none."


def test_an_unknown_parameter_gets_the_nearest() -> None:
    entry = find("evaluators", "knn_shapley")
    entry.check_parameters(["k_neighbors"])
    with pytest.raises(UserError, match=r"^no parameter of knn_shapley is named 'k_neighbor': did you mean 'k_neighb"):
        entry.check_parameters(["k_neighbor"])


def test_a_strangers_object_is_found_and_runs(stranger) -> None:
    stranger(
        "stranger_one",
        "[dvbench.evaluators]\nmine = stranger_one_code:Mine\n",
        {"stranger_one_code.py": 'class Mine:\n    """Mine: it counts."""\n    def __init__(self, k=1): self.k = k\n'},
    )
    entry = entries("evaluators")["mine"]
    assert entry.summary == "Mine: it counts."
    with pytest.raises(UserError, match="no parameter of mine is named 'q'"):
        entry.check_parameters(["q"])
    assert "stranger_one_code" not in sys.modules
    assert find("evaluators", "Mine").load()(k=4).k == 4


def test_a_strangers_package_is_found_file_by_file(stranger) -> None:
    stranger(
        "stranger_two",
        "[dvbench.models]\nall = stranger_two_pkg.models\n",
        {
            "stranger_two_pkg/__init__.py": "raise RuntimeError('imported')",
            "stranger_two_pkg/models/__init__.py": "raise RuntimeError('imported')",
            "stranger_two_pkg/models/tiny_net.py": 'def TinyNet():\n    """Tiny."""\n    return 5\n',
            "stranger_two_pkg/models/helpers.py": "def other(): ...\n",
            "stranger_two_pkg/models/_hidden.py": "def _hidden(): ...\n",
            "stranger_two_pkg/models/broken.py": "def broken(: ...\n",
        },
    )
    actual = entries("models")
    assert set(actual) - set(EXPECTED["models"]) == {"tiny_net"}
    assert actual["tiny_net"].target == "stranger_two_pkg.models.tiny_net:TinyNet"
    assert actual["tiny_net"].summary == "Tiny."


@pytest.mark.parametrize(("kind", "wanted"), [("evaluators", "class OddGap"), ("models", "function odd_gap")])
def test_a_file_without_what_it_is_named_after_is_named(stranger, kind, wanted: str) -> None:
    files = {"stranger_gaps/__init__.py": "", "stranger_gaps/odd_gap.py": "class OddGaps: ..."}
    stranger("stranger_gaps", f"[dvbench.{kind}]\ngaps = stranger_gaps\n", files)
    with pytest.raises(UserError, match=f"^stranger_gaps/odd_gap.py defines no {wanted}: "):
        find(kind, "Odd-gap")
    with pytest.raises(UserError, match="is named 'init'"):
        find(kind, "init")


def test_a_file_that_changes_or_is_added_is_seen(stranger, tmp_path: Path) -> None:
    points = "[dvbench.models]\nstranger_changing = stranger_changing\n"
    stranger("stranger_dist", points, {"stranger_changing/first.py": "def first(a): pass\n"})
    entry = find("models", "first")
    assert find("models", "first") is entry
    folder = tmp_path / "stranger_dist" / "stranger_changing"
    (folder / "first.py").write_text("def first(other): pass\n")
    os.utime(folder / "first.py", ns=(1, 1))
    (folder / "second.py").write_text("def second(): pass\n")
    (folder / ".#third.py").symlink_to("nowhere")  # as editors leave them
    assert [parameter.name for parameter in find("models", "first").definition.parameters or ()] == ["other"]
    assert find("models", "second").target == "stranger_changing.second:second"


def test_packages_are_not_searched_again_for_the_folder_of_a_script(tmp_path: Path, monkeypatch) -> None:
    entries("models")
    searches = _points_in.cache_info().misses
    monkeypatch.syspath_prepend(tmp_path)
    entries("models")
    assert _points_in.cache_info().misses == searches


@pytest.mark.parametrize(("kind", "attribute"), [("evaluators", "TinyNet"), ("models", "tiny_net")])
@pytest.mark.parametrize("last", ["class", "function"])
def test_a_helper_named_like_the_file_is_not_taken_for_the_plug_in(stranger, kind, attribute: str, last: str) -> None:
    """Evaluators are classes and models functions, whichever is last; private and imported names do not count."""
    definitions = ["class TinyNet: ...\n", "def tiny_net(): ...\n"]
    source = "from elsewhere import tinynet\nclass _TinyNet: ...\n"
    source += "".join(definitions[::-1] if last == "class" else definitions)
    stranger("stranger_helper", f"[dvbench.{kind}]\nall = stranger_helper_pkg\n", {
        "stranger_helper_pkg/__init__.py": "",
        "stranger_helper_pkg/tiny_net.py": source,
    })  # fmt: skip
    assert entries(kind)["tiny_net"].target == f"stranger_helper_pkg.tiny_net:{attribute}"


def test_two_with_the_same_name_are_an_error(stranger) -> None:
    stranger("stranger_three", "[dvbench.models]\nmlp = stranger_three_code:mlp\n", {"stranger_three_code.py": ""})
    with pytest.raises(UserError) as error:
        find("models", "mlp")
    assert str(error.value).startswith("two models are named 'mlp': ")
    assert "stranger_three_code:mlp" in str(error.value)
    assert "dvbench.models.mlp:mlp" in str(error.value)


def test_what_is_registered_and_cannot_be_loaded_says_so(stranger) -> None:
    stranger("stranger_four", "[dvbench.models]\nlost = stranger_four_code:lost\n", {"stranger_four_code.py": ""})
    with pytest.raises(UserError, match=r"^cannot load model 'lost' from stranger_four_code:lost: "):
        find("models", "lost").load()


def test_a_class_beside_which_the_command_is_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "beside_the_command.py").write_text('def Mine():\n    """Mine."""\n    return 6\n')
    monkeypatch.syspath_prepend("no-such-folder")  # puts sys.path back afterwards
    monkeypatch.chdir(tmp_path)
    entry = find("evaluators", "beside_the_command:Mine")
    assert entry.load()() == 6
    assert (entry.summary, entry.source) == ("Mine.", tmp_path / "beside_the_command.py")


@pytest.mark.parametrize(
    ("target", "source"),
    [
        ("wrong_one:Mine", "x = = 1\n"),
        ("wrong_two:Mine", "raise RuntimeError('boom')\n"),
        ("wrong_three:Mine", "import no_such_module\n"),
        ("wrong_four:Mine", ""),
        ("wrong_six:Mine", "raise SystemExit(3)\n"),
        (":Mine", ""),
        (".wrong:Mine", ""),
        ("wrong_five:", ""),
    ],
)
def test_what_cannot_be_imported_is_one_line(
    target: str, source: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / f"{target.partition(':')[0] or 'empty'}.py").write_text(source)
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(UserError) as error:
        find("evaluators", target).load()
    message = str(error.value)
    assert message.startswith((f"cannot load evaluator '{target}': ", f"'{target}' is not of the form module:Name"))
    assert "\n" not in str(error.value)


HEAVY = "{'torch', 'opendataval', 'numpy', 'pandas', 'sklearn', 'matplotlib'} & set(sys.modules)"


@pytest.mark.parametrize("arguments", [["--help"], ["list", "evaluators"], ["list", "suites"]])
def test_help_and_lists_answer_at_once_and_import_nothing_heavy(arguments: list[str]) -> None:
    code = f"import sys; from dvbench.cli import main; assert main({arguments}) == 0; assert not {HEAVY}"
    started = time.perf_counter()
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    seconds = time.perf_counter() - started
    assert (run.returncode, run.stderr) == (0, "")
    assert run.stdout
    assert seconds < 2
