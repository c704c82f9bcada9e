"""OpenDataVal's data sets and networks by name: the arrays are those of its own loaders, and no network is one line."""

from __future__ import annotations

import socket
import sys
import threading
import time

import numpy as np
import pytest
import torch
from opendataval.dataloader import DataFetcher
from opendataval.model import ClassifierMLP, LeNet, LogisticRegression, RegressionMLP
from torch import nn

from dvbench.errors import UserError
from dvbench.problems.build import build_problem, load_source
from dvbench.registry import entries, find
from dvbench.settings import DatasetSettings, ModelSettings, Noise, Sizes
from dvbench.training.build import build_model
from dvbench.training.stacks import LinearStack, stack

CLEAN, SIZES = Noise(), Sizes(train=40, validation=20, test=30)


@pytest.fixture
def offline(monkeypatch, tmp_path):
    """No name resolves, and dvbench's cache is empty."""

    def refuse(*arguments, **named):
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.setenv("DVBENCH_CACHE", str(tmp_path))
    monkeypatch.setenv("SCIKIT_LEARN_DATA", str(tmp_path / "openml"))
    return tmp_path


@pytest.mark.parametrize("name", ["iris", "digits", "breast_cancer", "diabetes"])
def test_arrays_are_those_of_opendatavals_fetcher(name):
    fetcher, source = DataFetcher(name), load_source(f"opendataval:{name}")
    rows = np.arange(len(fetcher.covar))
    np.testing.assert_array_equal(source.take(rows), fetcher.covar)
    np.testing.assert_array_equal(source.take(rows[::-3]), fetcher.covar[::-3])
    if fetcher.one_hot:
        np.testing.assert_array_equal(np.eye(len(source.classes))[source.labels], fetcher.labels)
    else:
        np.testing.assert_array_equal(source.labels, fetcher.labels)
        assert source.kind == "regression"


def test_points_of_a_problem_are_opendatavals_if_nothing_is_standardised():
    problem = build_problem("opendataval:breast_cancer?standardise=false", SIZES, CLEAN, 0)
    fetcher = DataFetcher("breast_cancer")
    np.testing.assert_array_equal(problem.train.x.numpy(), fetcher.covar[problem.rows].astype(np.float32))
    np.testing.assert_array_equal(problem.train.y.numpy(), fetcher.labels[problem.rows])
    scaled = build_problem("opendataval:breast_cancer", SIZES, CLEAN, 0)
    np.testing.assert_allclose(scaled.train.x.mean(dim=0), 0, atol=1e-5)


def test_a_data_set_that_is_drawn_is_the_same_in_every_call():
    np.random.seed(5)  # noqa: NPY002
    before = np.random.get_state()[1].copy()  # noqa: NPY002
    first, second = (load_source("opendataval:gaussian_classifier") for _ in range(2))
    rows = np.arange(100)
    np.testing.assert_array_equal(first.take(rows), second.take(rows))
    np.testing.assert_array_equal(np.random.get_state()[1], before)  # noqa: NPY002


def test_a_data_set_with_its_own_test_set(monkeypatch):
    """Such as challenge-iris: rows are numbered through its training, validation and test set; the last is hidden."""
    x, y = np.arange(60.0).reshape(30, 2), np.eye(3)[np.arange(30) % 3]

    class Fetcher:
        datasets_available = staticmethod(DataFetcher.datasets_available)

        def __init__(self, name, cache_dir):
            self.x_train, self.x_valid, self.x_test = x[:10], x[10:20], x[20:]
            self.y_train, self.y_valid, self.y_test = y[:10], y[10:20], y[20:]

    monkeypatch.setattr(sys.modules["opendataval.dataloader"], "DataFetcher", Fetcher)
    source = load_source("opendataval:challenge-iris")
    np.testing.assert_array_equal(source.take(np.array([25, 3, 11])), x[[25, 3, 11]])
    np.testing.assert_array_equal(source.labels, np.arange(30) % 3)
    np.testing.assert_array_equal(source.test_rows, np.arange(20, 30))


def test_one_at_a_time_downloads(monkeypatch, tmp_path):
    """Others would read files that are half written."""
    inside, most = [], []

    class Fetcher:
        datasets_available = staticmethod(DataFetcher.datasets_available)

        def __init__(self, name, cache_dir):
            inside.append(name)
            most.append(len(inside))
            time.sleep(0.2)
            inside.pop()
            self.covar, self.labels = np.zeros((4, 2)), np.eye(2)[[0, 1, 0, 1]]

    monkeypatch.setattr(sys.modules["opendataval.dataloader"], "DataFetcher", Fetcher)
    monkeypatch.setenv("DVBENCH_CACHE", str(tmp_path))
    threads = [threading.Thread(target=find("datasets", "opendataval").load(), args=("iris",)) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == [1, 1, 1]


def test_images_and_embeddings_are_read_point_by_point(monkeypatch):
    class Points(torch.utils.data.Dataset):
        def __init__(self, points):
            self.points = points

        def __getitem__(self, index):
            return self.points[index]

        def __len__(self):
            return len(self.points)

    images, texts = torch.rand(9, 1, 4, 4), ["a text"] * 9

    class Fetcher:
        datasets_available = staticmethod(DataFetcher.datasets_available)

        def __init__(self, name, cache_dir):
            self.covar = Points({"mnist": images, "bbc": texts, "bbc-embeddings": images.flatten(1)}[name])
            self.labels = np.eye(3)[np.arange(9) % 3]

    monkeypatch.setattr(sys.modules["opendataval.dataloader"], "DataFetcher", Fetcher)
    source = load_source("opendataval:mnist")
    np.testing.assert_array_equal(source.take(np.array([7, 2])), images[[7, 2]])
    assert not source.standardise
    assert load_source("opendataval:bbc-embeddings").standardise
    with pytest.raises(UserError, match=r"^OpenDataVal's 'bbc' holds texts: use opendataval:bbc-embeddings$"):
        load_source("opendataval:bbc")


def test_every_data_set_of_opendataval_is_named_in_the_description():
    described = set(
        entries("datasets")["opendataval"].docstring.replace(",", " ").replace(".", " ").replace(";", " ").split()
    )
    assert DataFetcher.datasets_available() <= described


@pytest.mark.parametrize(
    "name", ["adult", "election", "imdb", "cifar10", "mnist", "challenge-iris", "cifar10-embeddings"]
)
def test_without_a_network_one_line_and_nothing_is_left(offline, name):
    for _ in range(2):  # a file that a failed download left would be read the second time
        with pytest.raises(UserError) as error:
            load_source(f"opendataval:{name}")
        assert "\n" not in str(error.value)
        assert str(error.value).startswith(f"OpenDataVal cannot load '{name}' (")
        assert str(error.value).endswith("it is downloaded where it is used first, so use it once with a network")
        assert not (offline / "opendataval" / name).exists()


def test_the_command_says_so_with_exit_code_2(offline, capsys, monkeypatch):
    from dvbench.cli import main

    monkeypatch.chdir(offline)
    assert main(["run", "quick", "--dataset", "opendataval:adult", "--evaluator", "random", "--seeds", "0"]) == 2
    said = capsys.readouterr().err
    assert said.startswith("error: OpenDataVal cannot load 'adult' (ConnectionError: ")
    assert said.count("\n") == 1
    assert not (offline / "runs").exists()


def test_what_was_downloaded_before_is_kept_when_reading_fails(offline):
    folder = offline / "opendataval" / "election"
    folder.mkdir(parents=True)
    (folder / "1976-2020-president.tab").write_text("")
    with pytest.raises(UserError, match=f"and remove {folder} if it is incomplete$"):
        load_source("opendataval:election")
    assert (folder / "1976-2020-president.tab").exists()


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("breastcancer", r"no data set of OpenDataVal is named 'breastcancer': did you mean 'breast_cancer'\?"),
        ("7", "no data set of OpenDataVal is named '7'"),
        ("linnerud", "'linnerud' has 3 targets, but one is needed"),
        ("", "no data set of OpenDataVal is named ''"),
    ],
)
def test_other_names_are_refused(name, said):
    with pytest.raises(UserError, match=said):
        load_source(f"opendataval:{name}")
    with pytest.raises(UserError, match="needs its name"):
        load_source("opendataval")


def test_names_are_read_and_written():
    settings = DatasetSettings.parse("opendataval:2dplanes?standardise=false")
    assert (settings.name, settings.params) == ("opendataval", {"name": "2dplanes", "standardise": False})
    assert str(DatasetSettings.parse("opendataval:adult")) == "opendataval:adult"
    assert DatasetSettings.parse("opendataval:adult").title == "opendataval_adult"
    assert str(DatasetSettings.parse("openml:1489")) == "openml:1489"


MODELS = [
    ("logistic_regression", (6,), lambda: LogisticRegression(6, 3)),
    ("classifier_mlp", (6,), lambda: ClassifierMLP(6, 3)),
    ("regression_mlp", (6,), lambda: RegressionMLP(6, 3)),
    ("lenet", (3, 28, 28), lambda: LeNet(3, gray_scale=False)),
]


@pytest.mark.parametrize(("name", "shape", "make"), MODELS, ids=[model[0] for model in MODELS])
def test_networks_are_opendatavals_up_to_the_softmax(name, shape, make):
    settings = ModelSettings(name=f"opendataval:{name}")
    ours = build_model(settings, shape, 3, "classification", seed=0).network.eval()
    theirs, x = make().eval(), torch.rand(5, *shape)
    theirs(x)  # LeNet has no weights before
    state = dict(zip(theirs.state_dict(), ours.state_dict().values(), strict=True))
    theirs.load_state_dict(state)
    end = {"logistic_regression": nn.Sigmoid(), "regression_mlp": nn.Identity()}.get(name, nn.Softmax(-1))
    torch.testing.assert_close(end(ours(x)), theirs(x))
    assert isinstance(stack(ours, 2), LinearStack) == (name != "lenet")


def test_what_the_networks_refuse():
    for name, params, said in (
        ("classifier_mlp", {"layers": 2}, "at least 3 layers, not 2"),
        ("regression_mlp", {"layers": 1}, "at least 2 layers, not 1"),
        ("lenet", {}, r"needs images of 1 or 3 channels, not points of shape \(6,\)"),
    ):
        with pytest.raises(UserError, match=said):
            build_model(ModelSettings(name=f"opendataval:{name}", params=params), (6,), 3, "classification", seed=0)
    with pytest.raises(UserError, match=r"no model is named 'opendataval:lenett': did you mean 'opendataval:lenet'\?"):
        find("models", "opendataval:lenett")


def test_a_run_with_both(tmp_path, monkeypatch):
    from dvbench.cli import main
    from dvbench.results import Store

    monkeypatch.chdir(tmp_path)
    (tmp_path / "both.toml").write_text(
        'version = 1\ndescription = "Both."\nseeds = [0]\n[[problems]]\ndataset = "opendataval:iris"\n'
        'sizes = { train = 40, validation = 20, test = 30 }\nnoise = { kind = "labels", rate = 0.2 }\n'
        'model = "opendataval:classifier_mlp"\ntraining = { epochs = 2 }\n'
        'tasks = ["noisy_label_detection", "point_removal"]\n[[evaluators]]\nname = "leave_one_out"\n'
    )
    assert main(["run", "both.toml", "--jobs", "0"]) == 0
    (result,) = Store(tmp_path / "runs").results("both")
    assert result.status == "ok"
    assert set(result.scores) == {"noisy_label_detection", "point_removal"}
    assert result.cell.key.problem == "opendataval_iris-opendataval_classifier_mlp-labels0.2"
