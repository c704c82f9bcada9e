"""Whether a suite that is computed in shards and merged is equal to the bit to the suite that is computed whole.

``python tests/benchmarks/shards.py quick`` computes it whole and in four shards, merges these, and compares every array
of every cell. ``--whole results`` compares with published results instead, if they are from this kind of processor.
Exit code 1 means that something differs.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from dvbench.results import Store


def command(*words: object) -> float:
    """Run a command of dvbench and return its seconds by a clock."""
    started = time.perf_counter()
    subprocess.run([sys.executable, "-m", "dvbench", *map(str, words)], check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - started


def arrays(folder: Path, suite: str) -> dict[tuple[str, str], np.ndarray]:
    """Every array of every cell, by the cell's folder and the array's name."""
    store = Store(folder)
    return {
        (result.cell.key.folder, name): store.array(result, name)
        for result in store.results(suite)
        for name in result.arrays
    }


def same(a: np.ndarray, b: np.ndarray) -> bool:
    """Whether two arrays are equal to the bit."""
    return (a.dtype, a.shape, a.tobytes()) == (b.dtype, b.shape, b.tobytes())


def main() -> int:
    """Compute, merge and compare; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("suite")
    parser.add_argument("--shards", type=int, default=4)
    parser.add_argument("--whole", type=Path, help="folder with results of the whole suite; by default it is computed")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        parts = [Path(folder, f"part{k}") for k in range(1, given.shards + 1)]
        for k, part in enumerate(parts, start=1):
            seconds = command("run", given.suite, "--shard", f"{k}/{given.shards}", "--results", part)
            print(f"shard {k}/{given.shards}: {seconds:.0f} s")
        print(f"merge: {command('merge', *parts, '--into', Path(folder, 'merged')):.0f} s")
        whole = given.whole or Path(folder, "whole")
        if given.whole is None:
            print(f"whole: {command('run', given.suite, '--results', whole):.0f} s")
        merged, expected = arrays(Path(folder, "merged"), given.suite), arrays(whole, given.suite)
    every = sorted(merged.keys() | expected.keys())
    differ = [key for key in every if key not in merged or key not in expected or not same(merged[key], expected[key])]
    print(f"{len(every) - len(differ)} of {len(every)} arrays are equal to the bit")
    for key in differ[:10]:
        print("differs:", *key)
    return int(bool(differ))


if __name__ == "__main__":
    sys.exit(main())
