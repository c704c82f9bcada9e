"""Images of the Hugging Face hub: Fashion-MNIST and CIFAR-10 in a real mirror."""

from __future__ import annotations

import io
import os
from pathlib import Path

import datasets
import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

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
