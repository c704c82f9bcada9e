from __future__ import annotations

import os
from pathlib import Path

import datasets
import huggingface_hub
import numpy as np
import pytest
from datasets.features.image import Image as ImageFeature
from PIL import Image

from dvbench.errors import UserError
from dvbench.problems import hub
from dvbench.problems.build import build_problem, load_source
from dvbench.settings import Noise, Sizes

HUB_ID = "zalando-datasets/fashion_mnist"
REAL = Path(os.environ.get("DVBENCH_MIRROR") or Path(__file__).parents[3] / "shared/data/hub")


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("huggingface")


@pytest.fixture(autouse=True)
def _private_cache(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", cache)
    monkeypatch.delenv("DVBENCH_MIRROR", raising=False)


@pytest.fixture(scope="session")
def pixels() -> np.ndarray:
    return np.random.default_rng(0).integers(256, size=(50, 28, 28), dtype=np.uint8)


@pytest.fixture
def mirror(pixels: np.ndarray, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Mirror with 30 train and 20 test images of three classes under Fashion-MNIST's name, train in two files."""
    features = datasets.Features(image=datasets.Image(), label=datasets.ClassLabel(names=["coat", "bag", "boot"]))
    folder = tmp_path / HUB_ID
    folder.mkdir(parents=True)
    for name, rows in (("train-0-of-2", range(20)), ("train-1-of-2", range(20, 30)), ("test-0-of-1", range(30, 50))):
        columns = {"image": [Image.fromarray(pixels[i]) for i in rows], "label": [i % 3 for i in rows]}
        datasets.Dataset.from_dict(columns, features=features).to_parquet(folder / f"{name}.parquet")
    monkeypatch.setenv("DVBENCH_MIRROR", str(tmp_path))
    return tmp_path


def test_images_of_a_mirror(mirror: Path, pixels: np.ndarray, capfd: pytest.CaptureFixture[str]) -> None:
    capfd.readouterr()
    source = load_source("fashion_mnist")
    rows = np.array([45, 0, 29, 30])
    points = source.take(rows)
    assert points.dtype == np.float32
    np.testing.assert_array_equal(points, pixels[rows, np.newaxis].astype(np.float32) / np.float32(255))
    assert source.classes == ("coat", "bag", "boot")
    np.testing.assert_array_equal(source.labels, np.arange(50) % 3)
    np.testing.assert_array_equal(source.test_rows, np.arange(30, 50))
    assert not source.standardise
    assert capfd.readouterr() == ("", "")


def test_only_rows_in_use_are_decoded(mirror: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    decoded = []
    decode = ImageFeature.decode_example
    monkeypatch.setattr(ImageFeature, "decode_example", lambda *a, **k: decoded.append(1) or decode(*a, **k))
    problem = build_problem("fashion_mnist", Sizes(train=9, validation=6, test=4), Noise(), 0)
    assert problem.shape == (1, 28, 28)
    assert len(decoded) == 19


def test_progress_bars_and_warnings_are_restored(mirror: Path) -> None:
    before = datasets.are_progress_bars_disabled(), datasets.logging.get_verbosity(), datasets.config.HF_HUB_OFFLINE
    load_source("fashion_mnist")
    assert (datasets.are_progress_bars_disabled(), datasets.logging.get_verbosity()) == before[:2]
    assert before[2] == datasets.config.HF_HUB_OFFLINE


@pytest.mark.parametrize("mirrored", [True, False])
def test_without_network_and_mirror_it_says_what_to_do(
    hub_requests: list[str],
    mirrored: bool,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    if mirrored:  # but without this data set
        monkeypatch.setenv("DVBENCH_MIRROR", str(tmp_path))
    with pytest.raises(UserError) as caught:
        build_problem("cifar10", Sizes(train=10, validation=10, test=10), Noise(), 0)
    message = str(caught.value)
    assert "cannot get uoft-cs/cifar10" in message
    assert "--mirror DIR" in message
    assert "DVBENCH_MIRROR" in message
    assert "\n" not in message
    assert hub_requests == ["uoft-cs/cifar10"]  # one attempt, no retries
    assert capfd.readouterr() == ("", "")


def test_with_network_the_hub_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []

    def load_dataset(name: str) -> dict[str, str]:
        calls.append((name, datasets.config.HF_HUB_OFFLINE))
        if datasets.config.HF_HUB_OFFLINE:
            raise ConnectionError("not in the cache")
        return {"train": "some rows", "test": "other rows", "unsupervised": "more"}

    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    monkeypatch.setattr(huggingface_hub.HfApi, "dataset_info", lambda *_, **__: None)
    assert hub.load("some/thing") == ["some rows", "other rows"]
    assert calls == [("some/thing", True), ("some/thing", False)]


def test_a_mirror_is_used_without_network(mirror: Path, hub_requests: list[str]) -> None:
    load_source("fashion_mnist")
    assert hub_requests == []


def test_a_mirror_that_is_not_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DVBENCH_MIRROR", str(tmp_path / "nowhere"))
    with pytest.raises(UserError, match=r"DVBENCH_MIRROR is .*nowhere, which is not a folder"):
        load_source("fashion_mnist")


def test_a_broken_file_in_the_mirror_is_named(mirror: Path, capfd: pytest.CaptureFixture[str]) -> None:
    for path in (mirror / HUB_ID).iterdir():
        path.write_bytes(b"PAR1 no more")
    with pytest.raises(UserError, match=r"cannot read zalando-datasets/fashion_mnist in the mirror \(.*train-0-of-2"):
        load_source("fashion_mnist")
    assert capfd.readouterr() == ("", "")
