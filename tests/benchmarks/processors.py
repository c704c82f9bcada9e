"""How far values repeat between processors: prints a table with a row for each evaluator of a suite.

The suite is run with the instruction sets that older processors have, which the numerical libraries choose by
environment variables, and the values are compared with those that this processor computes by default. Finished
cells are kept in ``--folder``. Run ``python tests/benchmarks/processors.py quick`` on an x86 processor. With
``--folders ONE OTHER`` nothing is run, and the results of two machines are compared.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from pathlib import Path

import numpy as np

from dvbench.results import Cell, Store
from dvbench.scoring.correlation import rank_correlation

INSTRUCTIONS = {
    "all": {},
    "without AVX-512": {"ATEN_CPU_CAPABILITY": "avx2", "MKL_ENABLE_INSTRUCTIONS": "AVX2", "ONEDNN_MAX_CPU_ISA": "AVX2"}
    | {"OPENBLAS_CORETYPE": "Haswell"},
    "without AVX": {
        "ATEN_CPU_CAPABILITY": "default",
        "MKL_ENABLE_INSTRUCTIONS": "SSE4_2",
        "ONEDNN_MAX_CPU_ISA": "SSE41",
    }
    | {"OPENBLAS_CORETYPE": "Nehalem"},
}


def run(suite: str, folder: Path, variables: dict[str, str], evaluators: list[str]) -> Store:
    """Run a suite with these environment variables, which libraries read when they are imported."""
    chosen = [word for name in evaluators for word in ("--evaluator", name)]
    command = [sys.executable, "-m", "dvbench", "run", suite, "--results", str(folder), *chosen]
    subprocess.run(command, env=os.environ | variables, check=True, stdout=subprocess.DEVNULL)
    return Store(folder)


def compared(cells: list[Cell], base: Store, other: Store) -> list[str]:
    """Columns of a row: how far the values of an evaluator's cells differ in two stores."""
    equal, deviations, correlations, scores = 0, [0.0], [1.0], [0.0]
    for cell in cells:
        one, two = base.read(cell.key), other.read(cell.key)
        if one is None or two is None or not one.arrays or not two.arrays:
            return ["failed or missing"]
        first, second = base.array(one, "values"), other.array(two, "values")
        equal += int(np.array_equal(first, second))
        if np.ptp(first) > 0:
            deviations.append(float(np.abs(first - second).max() / np.ptp(first)))
            correlations.append(rank_correlation(first, second)[0])
        pairs = [(one.scores[task].value, two.scores[task].value) for task in one.scores if task in two.scores]
        scores += [abs(a - b) for a, b in pairs if a is not None and b is not None]
    return [f"{equal}/{len(cells)}", f"{max(deviations):.0e}", f"{min(correlations):.4f}", f"{max(scores):.3f}"]


def main() -> None:
    """Run the suite with every set of instructions, or compare two folders, and print the table as Markdown."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("suite", nargs="?", default="quick")
    parser.add_argument("--folder", type=Path, default=Path("runs/processors"))
    parser.add_argument("--evaluator", action="append", default=[])
    parser.add_argument("--folders", type=Path, nargs=2, help="results folders of two machines to compare")
    options = parser.parse_args()
    if options.folders:
        stores = dict(zip(("all", "another machine"), map(Store, options.folders), strict=True))
    else:
        stores = {
            name: run(options.suite, options.folder / name, variables, options.evaluator)
            for name, variables in INSTRUCTIONS.items()
        }
    base = stores.pop("all")
    plan = base.plan(options.suite)
    assert plan is not None
    print("| evaluator | instructions | equal to the bit | largest deviation | lowest correlation | score change |")
    print("|---|---|---:|---:|---:|---:|")
    for evaluator in dict.fromkeys(cell.key.evaluator for cell in plan.cells):
        cells = [cell for cell in plan.cells if cell.key.evaluator == evaluator]
        for name, store in stores.items():
            print(f"| {evaluator} | {name} | {' | '.join(compared(cells, base, store))} |")


if __name__ == "__main__":
    main()
