"""OpenDataVal loads neither torchvision nor transformers until something uses them, and then works as ever."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

HEAVY = "{'torch._dynamo', 'sympy', 'transformers', 'torchvision', 'matplotlib'}"


def run(code: str) -> None:
    subprocess.run([sys.executable, "-c", code], check=True, env={**os.environ, "HF_HUB_OFFLINE": "1"})


def test_workers_are_forked_from_a_server_that_has_loaded_what_all_suites_need() -> None:
    run(
        "import sys, dvbench.execution.preload\n"
        "heavy = HEAVY | {'datasets', 'pyarrow.dataset'}\n"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)\n"
        "assert 'torch' in sys.modules\n".replace("HEAVY", HEAVY)
    )


def test_the_server_loads_the_hub_only_for_suites_that_read_from_it() -> None:
    run(
        "from dvbench.execution.run import _packages\n"
        "from dvbench.suite import load_suite\n"
        "assert _packages(load_suite('quick')) == ()\n"
        "assert _packages(load_suite('point-level-cpu')) == ('datasets',)\n"
        "assert 'transformers.models.gpt2.modeling_gpt2' in _packages(load_suite('text-tiny'))\n"
    )


def test_opendatavals_plots_are_drawn_as_ever() -> None:
    run(
        "import sys, dvbench, inspect\n"
        "from opendataval.experiment import ExperimentMediator, api\n"
        "assert 'matplotlib' not in sys.modules\n"
        "assert 'Axes' in inspect.getsource(api)\n"
        "import matplotlib.pyplot\n"
        "matplotlib.use('agg')\n"
        "assert isinstance(api.plt.figure(), matplotlib.figure.Figure)\n"
    )


def test_valuing_loads_neither_torchvision_nor_transformers() -> None:
    run(
        "import sys, numpy as np, dvbench\n"
        "x = np.random.default_rng(0).normal(size=(40, 2))\n"
        "dvbench.value(x, np.arange(40) % 2, evaluator='data_oob')\n"
        f"assert not {HEAVY} & set(sys.modules), {HEAVY} & set(sys.modules)"
    )


@pytest.mark.slow
def test_no_evaluator_of_quick_loads_any_of_them(tmp_path) -> None:
    """A worker process would load them again for every cell, in the time that is measured."""
    run(
        "import sys\n"
        "from pathlib import Path\n"
        "from dvbench.execution.planning import make_plan\n"
        "from dvbench.execution.run import run_cells\n"
        "from dvbench.results import Store\n"
        "from dvbench.suite import load_suite\n"
        "cells = make_plan(load_suite('quick')).cells\n"
        "cells = [each for each in cells if each.key.problem == cells[0].key.problem and each.key.seed == 0]\n"
        f"results = list(run_cells(cells, Store(Path({str(tmp_path)!r})), 'cpu', 0))\n"
        "assert len(results) > 20\n"
        f"assert not {HEAVY} & set(sys.modules), {HEAVY} & set(sys.modules)"
    )


def test_what_opendataval_defers_it_imports_when_it_is_used() -> None:
    run(
        "import sys, pytest, dvbench, inspect\n"
        "from opendataval.model import BertClassifier\n"
        "from opendataval.model import bert\n"
        "from opendataval.dataloader.datasets import imagesets\n"
        f"assert not {HEAVY} & set(sys.modules)\n"
        "assert 'DistilBertModel' in inspect.getsource(bert)\n"
        "from torchvision.datasets import CIFAR10\n"
        "assert imagesets.CIFAR10.base_folder == CIFAR10.base_folder\n"
        "import torchvision.transforms\n"
        "assert type(imagesets.transforms.Resize((3, 3))) is torchvision.transforms.Resize\n"
        "import transformers\n"
        "with pytest.raises(OSError):\n"
        "    BertClassifier('no-such-model-here', 2)\n"
    )


def test_what_was_imported_before_is_not_replaced() -> None:
    run(
        "import torchvision.datasets, dvbench\n"
        "from opendataval.dataloader.datasets import imagesets\n"
        "assert imagesets.CIFAR10 is torchvision.datasets.CIFAR10"
    )


def test_classes_of_images_have_their_names() -> None:
    """OpenDataVal names the folder of embeddings after the class, which is a stand-in until it is called."""
    run(
        "import sys, dvbench\n"
        "from opendataval.dataloader.datasets import imagesets\n"
        "assert 'torchvision' not in sys.modules\n"
        "assert imagesets.CIFAR10.__name__ == 'CIFAR10'\n"
        "assert 'torchvision' not in sys.modules\n"
    )
