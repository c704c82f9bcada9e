"""dvbench beside OpenDataVal, pyDVL and dattri, in one table: ``uv run python tests/benchmarks/peers.py [--write]``.

All get the same arrays and one thread. ``uv`` makes an environment for pyDVL and for dattri, and a library that cannot
be installed is shown as missing. ``--write`` puts the table into docs/performance.md. Exit code 1 says that dvbench is
slower or less accurate than `failures` allows.
"""

from __future__ import annotations

import datetime
import json
import os
import subprocess
import sys
import tempfile
import tomllib
from importlib.metadata import version
from pathlib import Path
from typing import NamedTuple

import numpy as np
from scipy.stats import spearmanr
from sklearn.metrics import roc_auc_score

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE / "peer_methods"))
from clock import Arrays, load, save  # noqa: E402

PAGE = HERE.parents[1] / "docs/performance.md"
BEGIN, END = "<!-- peers: begin -->\n", "<!-- peers: end -->"
PEERS = {"pydvl": "0.10.0", "dattri": "0.3.0"}
SHARED = {"pydvl": ["scikit-learn"], "dattri": ["scikit-learn", "torch"]}  # in the versions that dvbench has here
ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")


class Work(NamedTuple):
    """What several libraries do: the problem, and what their values are compared with, first for the error."""

    problem: str
    references: tuple[str, ...] = ()


class Row(NamedTuple):
    """A line of the table: a method of a library."""

    title: str
    library: str
    method: str
    note: str = ""
    reference: str = ""  # in place of the first one of its work


SHAPLEY = "Data Shapley, 10 permutations of breast cancer's 200 players"
ADAM = "Data Shapley, 1 permutation of 200 digits, Adam"
BAGGED = "Data-OOB, 100 models, 200 digits"
KNN = "KNN Shapley, 10,000 rows, 500 validation points"
CLASS_WISE = "Class-wise Shapley, 1 permutation, 200 digits"
DVRL = "DVRL, 30 steps of 200 digits"
TRACIN = "TracIn, 10 checkpoints, 1,000 digits, 500 validation points"
INFLUENCE = "Influence function, 1,000 digits, 500 validation points"
WORK = {
    SHAPLEY: Work("breast_cancer", ("converged Shapley",)),
    ADAM: Work("digits_200", ("Adam Shapley",)),
    BAGGED: Work("digits_200", ("Adam bags",)),
    KNN: Work("table", ("KNN Shapley",)),
    CLASS_WISE: Work("digits_200", ("class-wise Shapley",)),
    DVRL: Work("digits_200"),
    TRACIN: Work("digits_1000", ("TracIn", "left out")),
    INFLUENCE: Work("digits_1000", ("influence", "left out")),
}
ROWS = [
    Row(SHAPLEY, "opendataval", "data_shapley", "truncated"),
    Row(SHAPLEY, "pydvl", "data_shapley", "not truncated"),
    Row(SHAPLEY, "pydvl", "truncated_data_shapley", "truncated"),
    Row(SHAPLEY, "dvbench", "data_shapley", "warm starts"),
    Row(SHAPLEY, "dvbench", "data_shapley_long", "warm starts, 250 permutations"),
    Row(ADAM, "opendataval", "data_shapley_adam", "truncated"),
    Row(ADAM, "dvbench", "data_shapley_adam"),
    Row(BAGGED, "opendataval", "data_oob", "Adam"),
    Row(BAGGED, "pydvl", "data_oob", "scikit-learn's model", "converged bags"),
    Row(BAGGED, "dvbench", "data_oob", "Adam"),
    Row(KNN, "opendataval", "knn_shapley"),
    Row(KNN, "pydvl", "knn_shapley"),
    Row(KNN, "dvbench", "knn_shapley"),
    Row(CLASS_WISE, "opendataval", "class_wise_shapley"),
    Row(CLASS_WISE, "dvbench", "class_wise_shapley"),
    Row(DVRL, "opendataval", "dvrl"),
    Row(DVRL, "dvbench", "dvrl"),
    Row(TRACIN, "dattri", "trac_in", "checkpoints are given"),
    Row(TRACIN, "dvbench", "trac_in", "trains too"),
    Row(INFLUENCE, "dattri", "influence", "explicit Hessian, weights are given"),
    Row(INFLUENCE, "dattri", "influence_cg", "10 steps of conjugate gradients, weights are given"),
    Row(INFLUENCE, "dvbench", "influence", "trains too"),
]
LEAST_RATIOS = {CLASS_WISE: 20, DVRL: 4, KNN: 8, SHAPLEY: 10, BAGGED: 10}
LARGEST_ERROR, LOST_CORRELATION = 1e-5, 0.1


def problems() -> dict[str, Arrays]:
    """The same features and labels for all libraries; a fifth of the labels is wrong."""
    from dvbench.problems.build import build_problem
    from dvbench.settings import Noise, Sizes

    def from_dataset(name: str, train: int, validation: int, test: int) -> Arrays:
        sizes = Sizes(train=train, validation=validation, test=test)
        problem = build_problem(name, sizes, Noise(kind="labels", rate=0.2), 0)
        parts = problem.train, problem.validation
        x, x_valid = (part.x.flatten(1).float().numpy() for part in parts)
        y, y_valid = (part.y.argmax(dim=1).numpy() for part in parts)
        return Arrays(x, y, x_valid, y_valid, problem.corrupted)

    generator = np.random.default_rng(0)
    x = generator.standard_normal((10_500, 20)).astype(np.float32)
    y = (x @ generator.standard_normal((20, 3))).argmax(axis=1)
    wrong = generator.random(10_000) < 0.2
    noisy = np.where(wrong, (y[:10_000] + generator.integers(1, 3, 10_000)) % 3, y[:10_000])
    return {
        "breast_cancer": from_dataset("breast_cancer", 200, 200, 100),
        "digits_200": from_dataset("digits", 200, 200, 400),
        "digits_1000": from_dataset("digits", 1000, 500, 200),
        "table": Arrays(x[:10_000], noisy, x[10_000:], y[10_000:], wrong),
    }


def command(library: str) -> list[str]:
    """Python in the environment of a library. Packages that it needs are those of the day that pyproject.toml names."""
    if library not in PEERS:
        return [sys.executable]
    until = tomllib.loads((HERE.parents[1] / "pyproject.toml").read_text())["tool"]["uv"]["exclude-newer"]
    wanted = [f"{library}=={PEERS[library]}"]
    wanted += [f"{name}=={version(name).partition('+')[0]}" for name in SHARED[library]]
    packages = [argument for package in wanted for argument in ("--with", package)]
    python = f"{sys.version_info.major}.{sys.version_info.minor}"
    return [
        "uv",
        "run",
        "--no-project",
        "--isolated",
        "--exclude-newer",
        until,
        "--python",
        python,
        *packages,
        "python",
    ]


def install(library: str) -> str:
    """Make the environment of a library and import it; returns why it is missing, or nothing."""
    try:
        done = subprocess.run([*command(library), "-c", f"import {library}"], capture_output=True, text=True)
    except FileNotFoundError:
        return "uv, which makes its environment, is not on the PATH"
    return (done.stderr.strip().splitlines() or ["no message"])[-1] if done.returncode else ""


def run_methods(library: str, folder: Path) -> None:
    """Value with all methods of a library that is installed, on one thread."""
    script = HERE / "peer_methods" / f"{library}_methods.py"
    line = [*command(library), "-W", "ignore", str(script), str(folder)]
    done = subprocess.run(line, env={**os.environ, **ONE_THREAD}, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(done.stderr)


def measure(folder: Path) -> dict[str, str]:
    """Run all methods of all libraries, which write to the folder; returns the missing libraries with the reason."""
    for name, arrays in problems().items():
        save(folder, name, arrays)
    missing = {library: reason for library in PEERS if (reason := install(library))}
    for library in ("dvbench", "opendataval", *PEERS):  # dvbench writes checkpoints for dattri
        if library not in missing:
            run_methods(library, folder)
    return missing


def judge(folder: Path, missing: dict[str, str]) -> tuple[list[dict], dict[str, float]]:
    """Lines of the table, and rank correlations of the two halves of the sampled references."""
    from references import exact, sampled

    data = {name: load(folder, name) for name in problems()}
    runs = {**exact(folder, data), **sampled(data)}
    halves = {name: float(spearmanr(*parts)[0]) for name, parts in runs.items() if len(parts) == 2}
    means = {name: np.mean(parts, axis=0) for name, parts in runs.items()}
    cells = [cell(row, folder, means, missing) for row in ROWS]
    seconds = {each["title"]: each["seconds"] for each in reversed(cells) if each["library"] == "dvbench"}
    for each in cells:
        each["ratio"] = each.get("seconds", np.nan) / seconds[each["title"]]
    return cells, halves


def cell(row: Row, folder: Path, means: dict[str, np.ndarray], missing: dict[str, str]) -> dict:
    """Seconds, fits and quality of one method of one library."""
    known = {"title": row.title, "library": row.library, "note": row.note}
    if row.library in missing:
        return {**known, "missing": True}
    measured = json.loads((folder / row.library / "measured.json").read_text())[row.method]
    values = np.load(folder / row.library / f"{row.method}.npy")
    work = WORK[row.title]
    names = [row.reference] if row.reference else list(work.references)
    quality = {name: float(spearmanr(values, means[name])[0]) for name in names}
    quality["auroc"] = float(roc_auc_score(load(folder, work.problem).wrong, -values))
    if names:
        quality["error"] = float(np.linalg.norm(values - means[names[0]]) / np.linalg.norm(means[names[0]]))
    return {**known, **measured, "quality": quality}


def shown(each: dict) -> str:
    """A line of the table."""
    start = "| " + ", ".join(filter(None, (each["library"], each["note"]))) + " | "
    if "missing" in each:
        return start + "missing | | | | | | |"
    quality = dict(each["quality"])
    auroc, error, left_out = (quality.pop(name, None) for name in ("auroc", "error", "left out"))
    correlation = next(iter(quality.values()), None)
    numbers = [f"{number:.3f}" if number is not None else "" for number in (correlation, left_out, auroc)]
    errors = "" if error is None else f"{error:.2g}"
    return (
        start
        + f"{each['seconds']:.3g} | {each['ratio']:.3g} | {each['fits']:,} | {numbers[0]} | {errors} | "
        + (" | ".join(numbers[1:]) + " |")
    )


def table(cells: list[dict], missing: dict[str, str], halves: dict[str, float]) -> str:
    """The table in Markdown, with what one has to know to read it."""
    names = ["torch", "scikit-learn", "numpy", "opendataval"]
    versions = ", ".join(f"{name} {version(name)}" for name in names)
    lines = [
        f"Measured on {datetime.datetime.now(datetime.UTC):%Y-%m-%d}, {cpu()}, one thread: {versions}, "
        + ", ".join(f"{name} {number}" for name, number in PEERS.items())
        + ".",
        *(f"\n**Missing: {library}**, because {reason}." for library, reason in missing.items()),
        "",
        "| method, library | seconds | ratio | fits | correlation | error | left out | wrong labels |",
        "|---|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for title in dict.fromkeys(each["title"] for each in cells):
        lines += [f"| **{title}** | | | | | | | |", *(shown(each) for each in cells if each["title"] == title)]
    agreement = ", ".join(f"{value:.3f} ({name})" for name, value in halves.items())
    return "\n".join([*lines, "", f"Rank correlation of the two halves of a sampled reference: {agreement}.", ""])


def failures(cells: list[dict]) -> list[str]:
    """Where dvbench is not as much faster than each library as it should be, or not as good."""
    lines = []
    for each in (each for each in cells if each["library"] == "dvbench"):
        exact = {"KNN Shapley", "TracIn", "influence"} & set(each["quality"])
        if exact and each["quality"]["error"] > LARGEST_ERROR:
            lines.append(f"{each['title']}: the relative error is {each['quality']['error']:.2g}")
        for other in cells:
            if other["title"] != each["title"] or other["library"] == "dvbench" or "missing" in other:
                continue
            if other["ratio"] < LEAST_RATIOS.get(each["title"], 0):
                lines.append(f"{each['title']}: {other['library']} takes only {other['ratio']:.3g} times as long")
            for name in set(other["quality"]) & set(each["quality"]) - {"error", "auroc"}:
                if each["quality"][name] < other["quality"][name] - LOST_CORRELATION:
                    lines.append(f"{each['title']}: {other['library']} agrees better with {name}")
    return lines


def cpu() -> str:
    """Name of the processor."""
    lines = [line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")]
    return lines[0].partition(": ")[2] if lines else "unknown processor"


def main(arguments: list[str]) -> None:
    """Measure, print, and write on request."""
    if set(arguments) - {"--write"}:
        raise SystemExit(f"usage: {Path(__file__).name} [--write]")
    with tempfile.TemporaryDirectory() as folder:
        missing = measure(Path(folder))
        cells, halves = judge(Path(folder), missing)
    text, failed = table(cells, missing, halves), failures(cells)
    print(text)
    if arguments:
        before, _, rest = PAGE.read_text().partition(BEGIN)
        PAGE.write_text(before + BEGIN + text + END + rest.partition(END)[2])
    if failed:
        raise SystemExit("\n".join(failed))


if __name__ == "__main__":
    main(sys.argv[1:])
