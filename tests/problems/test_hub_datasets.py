from __future__ import annotations

import io
import os
from pathlib import Path

import datasets
import huggingface_hub
import numpy as np
import pyarrow.parquet as pq
import pytest
from datasets.features.image import Image as ImageFeature
from PIL import Image

from dvbench.errors import UserError
from dvbench.problems import hub
from dvbench.problems.build import build_problem, load_source
from dvbench.settings import Noise, Sizes

HUB_ID = "zalando-datasets/fashion_mnist"
REAL = Path(os.environ.get("DVBENCH_MIRROR") or Path(__file__).parents[3] / "shared/data/hub")
needs_mirror = pytest.mark.skipif(
    not (REAL / HUB_ID).is_dir(), reason=f"no mirror of {HUB_ID}: set DVBENCH_MIRROR to a folder that has it"
)


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


def test_progress_bars_and_warnings_are_put_back(mirror: Path) -> None:
    before = datasets.are_progress_bars_disabled(), datasets.logging.get_verbosity(), datasets.config.HF_HUB_OFFLINE
    load_source("fashion_mnist")
    assert (datasets.are_progress_bars_disabled(), datasets.logging.get_verbosity()) == before[:2]
    assert before[2] == datasets.config.HF_HUB_OFFLINE


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Cut the network, and count attempts to use it."""
    attempts: list[str] = []

    def refuse(self: object, repo_id: str, **_: object) -> None:
        attempts.append(repo_id)
        raise ConnectionError("no network\nat all")

    monkeypatch.setattr(huggingface_hub.HfApi, "dataset_info", refuse)
    return attempts


@pytest.mark.parametrize("mirrored", [True, False])
def test_without_network_and_mirror_it_says_what_to_do(
    calls: list[str], mirrored: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
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
    assert calls == ["uoft-cs/cifar10"]  # one attempt, no retries
    assert capfd.readouterr() == ("", "")


def test_with_network_the_hub_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def load_dataset(name: str) -> str:
        asked.append((name, datasets.config.HF_HUB_OFFLINE))
        if datasets.config.HF_HUB_OFFLINE:
            raise ConnectionError("not in the cache")
        return "the data"

    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    monkeypatch.setattr(huggingface_hub.HfApi, "dataset_info", lambda *_, **__: None)
    assert hub.load("some/thing") == "the data"
    assert asked == [("some/thing", True), ("some/thing", False)]


def test_a_mirror_is_used_without_network(mirror: Path, calls: list[str]) -> None:
    load_source("fashion_mnist")
    assert calls == []


def test_a_mirror_that_is_no_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DVBENCH_MIRROR", str(tmp_path / "nowhere"))
    with pytest.raises(UserError, match=r"DVBENCH_MIRROR is .*nowhere, which is not a folder"):
        load_source("fashion_mnist")


def test_a_broken_file_in_the_mirror_is_named(mirror: Path, capfd: pytest.CaptureFixture[str]) -> None:
    for path in (mirror / HUB_ID).iterdir():
        path.write_bytes(b"PAR1 no more")
    with pytest.raises(UserError, match=r"cannot read zalando-datasets/fashion_mnist in the mirror \(.*train-0-of-2"):
        load_source("fashion_mnist")
    assert capfd.readouterr() == ("", "")


@needs_mirror
def test_fashion_mnist(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DVBENCH_MIRROR", str(REAL))
    problem = build_problem("fashion_mnist", Sizes(train=50, validation=20, test=30), Noise(kind="labels", rate=0.2), 0)
    assert [tuple(part.x.shape) for part in (problem.train, problem.validation, problem.test)] == [
        (50, 1, 28, 28),
        (20, 1, 28, 28),
        (30, 1, 28, 28),
    ]
    assert problem.test.y.sum(dim=0).tolist() == [3.0] * 10
    assert problem.corrupted.sum() == 10
    assert problem.rows.max() < 60_000
    assert [name.replace(" ", "") for name in problem.classes[:3]] == ["T-shirt/top", "Trouser", "Pullover"]

    raw = pq.read_table(sorted((REAL / HUB_ID).rglob("train-*.parquet")))
    for row, point in list(zip(problem.rows, problem.train.x, strict=True))[:5]:
        picture = Image.open(io.BytesIO(raw["image"][int(row)].as_py()["bytes"]))
        np.testing.assert_array_equal(point[0], np.asarray(picture, dtype=np.float32) / np.float32(255))
    labels = np.array([raw["label"][int(row)].as_py() for row in problem.rows])
    np.testing.assert_array_equal(problem.train.y.argmax(dim=1).numpy() != labels, problem.corrupted)


@pytest.mark.skipif(not (REAL / "uoft-cs/cifar10").is_dir(), reason="no mirror of uoft-cs/cifar10: set DVBENCH_MIRROR")
def test_cifar10(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DVBENCH_MIRROR", str(REAL))
    source = load_source("cifar10")
    assert source.classes[:2] == ("airplane", "automobile")
    assert (len(source.labels), len(source.test_rows)) == (60_000, 10_000)
    raw = pq.read_table(sorted((REAL / "uoft-cs/cifar10").rglob("test-*.parquet")))
    picture = np.asarray(Image.open(io.BytesIO(raw["img"][4].as_py()["bytes"])), dtype=np.float32)
    np.testing.assert_array_equal(source.take(np.array([50_004]))[0], picture.transpose(2, 0, 1) / np.float32(255))
