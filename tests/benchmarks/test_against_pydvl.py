"""KNN Shapley against pyDVL's, which runs in an environment that ``uv`` makes, on the same points and one thread."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from evaluators.baselines.knn_shapley import knn_shapley_values

PLAYERS, NEIGHBOURS = 10_000, 10
PYDVL = """
import sys, time
import numpy as np
from pydvl.valuation.dataset import Dataset
from pydvl.valuation.methods.knn_shapley import KNNShapleyValuation
from sklearn.neighbors import KNeighborsClassifier

x, y = np.load(sys.argv[1]), np.load(sys.argv[2])
players, neighbours = int(sys.argv[3]), int(sys.argv[4])
valuation = KNNShapleyValuation(
    KNeighborsClassifier(n_neighbors=neighbours), Dataset(x[players:], y[players:]), progress=False
)
started = time.process_time()
valuation.fit(Dataset(x[:players], y[:players]))
seconds = time.process_time() - started
result = valuation.values() if callable(getattr(valuation, "values", None)) else valuation.result
values = np.empty(players)
values[np.asarray(result.indices)] = np.asarray(result.values)
np.save(sys.argv[5], values)
print(seconds)
"""


def pydvl(folder: Path, x: np.ndarray, y: np.ndarray) -> tuple[float, np.ndarray]:
    """Processor time and values of pyDVL."""
    files = [str(folder / name) for name in ("x.npy", "y.npy", "values.npy")]
    for file, array in zip(files, (x, y), strict=False):
        np.save(file, array)
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    command = [
        "uv",
        "run",
        "--no-project",
        "--isolated",
        "--python",
        version,
        "--with",
        "pydvl==0.10.0",
        "python",
        "-c",
    ]
    arguments = [PYDVL, *files[:2], str(PLAYERS), str(NEIGHBOURS), files[2]]
    one_thread = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    done = subprocess.run([*command, *arguments], env={**os.environ, **one_thread}, capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"pyDVL cannot be installed or run: {done.stderr.strip().splitlines()[-1]}")
    return float(done.stdout.split()[-1]), np.load(files[2])


@pytest.mark.skipif(shutil.which("uv") is None, reason="uv makes the environment of pyDVL")
@pytest.mark.benchmark(group="KNN Shapley against pyDVL 0.10.0: 10,000 players, 500 validation points, 20 features")
def test_knn_shapley(benchmark, tmp_path) -> None:
    generator = np.random.default_rng(0)
    x = generator.standard_normal((PLAYERS + 500, 20))
    y = (x @ generator.standard_normal((20, 3))).argmax(axis=1)
    theirs, expected = pydvl(tmp_path, x, y)
    ours = []

    def value() -> np.ndarray:
        started = time.process_time()
        values = knn_shapley_values(x[:PLAYERS], y[:PLAYERS], x[PLAYERS:], y[PLAYERS:], NEIGHBOURS)
        ours.append(time.process_time() - started)
        return values

    values = benchmark.pedantic(value, rounds=3)
    np.testing.assert_allclose(values, expected, atol=1e-4 * np.ptp(expected))
    benchmark.extra_info.update(pydvl_s=theirs, dvbench_s=min(ours), ratio=theirs / min(ours))
    assert theirs / min(ours) > 8
