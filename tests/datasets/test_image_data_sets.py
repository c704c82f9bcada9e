"""Images of the Hugging Face hub: in a real mirror, and in stand-in folders."""

from __future__ import annotations

import io
import os
from pathlib import Path

import datasets
import numpy as np
import pyarrow.parquet as pq
import pytest
from made_up_encoders import COLUMNS, IMAGES, write_image_encoder
from PIL import Image

from dvbench.errors import UserError
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


@pytest.mark.skipif(
    not (REAL / "zh-plus/tiny-imagenet").is_dir(), reason="no mirror of zh-plus/tiny-imagenet: set DVBENCH_MIRROR"
)
def test_tiny_imagenet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DVBENCH_MIRROR", str(REAL))
    source = load_source("tiny_imagenet")
    classes = len(source.classes)
    assert source.classes[0] == "n01443537"
    assert (len(source.labels), len(source.test_rows)) == (550 * classes, 50 * classes)
    side = source.take(np.array([0])).shape[-1]
    assert (classes, side) in {(100, 32), (200, 64)}  # a small mirror, or the hub's
    problem = build_problem("tiny_imagenet", Sizes(train=2 * classes, validation=classes, test=classes), Noise(), 0)
    assert problem.shape == (3, side, side)
    assert problem.train.y.sum(dim=0).tolist() == [2.0] * classes
    assert problem.rows.max() < 500 * classes


def write_images(mirror: Path, hub_id: str, label: str, image: str, splits: dict[str, list[Image.Image]]) -> None:
    """Write images of two classes, in turn."""
    features = datasets.Features({image: datasets.Image(), label: datasets.ClassLabel(names=["n1", "n2"])})
    for split, pictures in splits.items():
        path = mirror / hub_id / f"{split}-00000-of-00001.parquet"
        path.parent.mkdir(parents=True, exist_ok=True)
        columns = {image: pictures, label: [k % 2 for k in range(len(pictures))]}
        datasets.Dataset.from_dict(columns, features=features).to_parquet(path)


def pictures(count: int, side: int, seed: int) -> list[Image.Image]:
    pixels = np.random.default_rng(seed).integers(256, size=(count, side, side, 3), dtype=np.uint8)
    return list(map(Image.fromarray, pixels))


def test_cifar100_in_a_stand_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DVBENCH_MIRROR", str(tmp_path))
    train, test = pictures(8, 32, 0), pictures(6, 32, 1)
    write_images(tmp_path, "uoft-cs/cifar100", "fine_label", "img", {"train": train, "test": test})
    source = load_source("cifar100")
    assert source.classes == ("n1", "n2")
    np.testing.assert_array_equal(source.test_rows, np.arange(8, 14))
    expected = np.asarray(test[1], dtype=np.float32).transpose(2, 0, 1) / np.float32(255)
    np.testing.assert_array_equal(source.take(np.array([9]))[0], expected)


def test_tiny_imagenet_has_shades_of_grey_and_colours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DVBENCH_MIRROR", str(tmp_path))
    train = pictures(8, 64, 0)
    train[3] = train[3].convert("L")
    splits = {"train": train, "valid": pictures(6, 64, 1), "test": pictures(2, 64, 2)}
    write_images(tmp_path, "zh-plus/tiny-imagenet", "label", "image", splits)
    source = load_source("tiny_imagenet")
    np.testing.assert_array_equal(source.test_rows, np.arange(8, 14))
    points = source.take(np.array([2, 3]))
    assert points.shape == (2, 3, 64, 64)
    np.testing.assert_array_equal(points[1], np.stack([np.asarray(train[3], dtype=np.float32) / np.float32(255)] * 3))


@pytest.mark.parametrize("name", ["cifar10", "cifar100", "fashion_mnist", "tiny_imagenet"])
def test_each_data_set_of_images_takes_an_encoder(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DVBENCH_MIRROR", str(tmp_path))
    monkeypatch.setenv("DVBENCH_CACHE", str(tmp_path / "cache"))
    write_image_encoder(tmp_path)
    columns = {
        "cifar10": ("uoft-cs/cifar10", "label", "img", "test"),
        "cifar100": ("uoft-cs/cifar100", "fine_label", "img", "test"),
        "fashion_mnist": (HUB_ID, "label", "image", "test"),
        "tiny_imagenet": ("zh-plus/tiny-imagenet", "label", "image", "valid"),
    }
    *location, test = columns[name]
    write_images(tmp_path, *location, {"train": pictures(8, 32, 0), test: pictures(6, 32, 1)})
    encoded = load_source(f"{name}?encoder={IMAGES}&encoder_size=32")
    assert encoded.take(np.array([0, 9])).shape == (2, COLUMNS[IMAGES])
    assert encoded.standardise
    assert load_source(f"{name}?standardise=true").standardise
    assert not load_source(f"{name}?encoder={IMAGES}&standardise=false").standardise
    with pytest.raises(UserError, match="encoder_size = 32 needs an encoder"):
        load_source(f"{name}?encoder_size=32")
