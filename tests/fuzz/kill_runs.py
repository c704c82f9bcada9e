"""Ends runs in random moments and in random ways, and resumes them, for as long as it is told to.

``uv run python tests/fuzz/kill_runs.py --seconds 600 --seed 0`` sends a random signal to a random process of a run: the
main process, the server, a keeper or a worker. After each, no process may be left once the main process has ended, and
every result on disk must be whole. After a few, the run is resumed to its end, and all arrays and scores must be equal
to the bit to those of a run that nothing disturbed. The exit code is 1 at the first find, which names its seed.
"""

from __future__ import annotations

import argparse
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path

import psutil

sys.path.insert(0, str(Path(__file__).parents[1] / "execution"))

from ending_runs import arrays, processes_of, start_run, write_inputs
from living import wait_until

from dvbench.results import Result, Store

EVALUATORS = ("loose_ending:Quick", "chg_shapley", "knn_shapley")
FILES = 12  # about as many as a run writes before its leaderboard
SIGNALS = (signal.SIGKILL, signal.SIGKILL, signal.SIGTERM, signal.SIGHUP, signal.SIGINT)
ENDINGS = {0, 1, 129, 130, 143, -9}  # exit codes that a signal may cause: 1 if it ended a worker, whose cell has failed
TOO_EARLY = {-1, -2, -15}  # Python ended before the command had begun, or after it had ended


def results_of(folder: Path) -> list[Result]:
    """Read all results, and all their arrays."""
    store = Store(folder)
    results = list(store.results("ending"))
    for result in results:
        for name in result.arrays:
            store.array(result, name)
    return results


def finish(folder: Path, results: Path) -> None:
    """Run to the end, and check that all went well."""
    run = start_run(folder, "--jobs", 2, "--results", results)
    said = run.communicate(timeout=900)
    assert run.returncode == 0, said


def wait_for_moment(run: subprocess.Popen[str], folder: Path, results: Path, rng: random.Random) -> None:
    """Wait until a run has so many processes or has written so many files, and a little longer, or has ended."""
    processes = rng.randint(1, 5) if rng.random() < 0.3 else 0
    files = 0 if processes else len(list(results.rglob("*.*"))) + rng.randint(1, FILES)
    while run.poll() is None:
        if len(processes_of(folder)) >= processes and len(list(results.rglob("*.*"))) >= files:
            break
        time.sleep(0.2)
    time.sleep(rng.uniform(0, 0.5))


def disturb(folder: Path, results: Path, rng: random.Random) -> str:
    """Start a run, send a signal to one of its processes at a random moment, and check what is left."""
    run = start_run(folder, "--jobs", rng.choice((1, 2)), "--results", results)
    wait_for_moment(run, folder, results, rng)
    processes = sorted(processes_of(folder), key=lambda process: process.pid)
    what = "finished before"
    if processes:
        number = rng.choice(SIGNALS)
        target = processes[0] if rng.random() < 0.5 else rng.choice(processes)
        what = f"{signal.Signals(number).name} to {'main' if target.pid == run.pid else 'another'}"
        with suppress(psutil.NoSuchProcess):
            target.send_signal(number)
    _, said = run.communicate(timeout=900)
    if run.returncode not in TOO_EARLY:
        assert run.returncode in ENDINGS, (what, run.returncode, said)
        assert "Traceback" not in said, (what, said)
    wait_until(lambda: not processes_of(folder))
    results_of(results)
    return what


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=120)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    end, counts, rounds = time.monotonic() + options.seconds, Counter[str](), 0
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name).resolve()
        write_inputs(folder, EVALUATORS)
        finish(folder, folder / "whole")
        expected = [(result.cell, result.scores) for result in results_of(folder / "whole")]
        while time.monotonic() < end:
            results = folder / f"round-{rounds}"
            rng = random.Random(f"{options.seed} {rounds}")
            for _ in range(rng.randint(1, 5)):
                counts[disturb(folder, results, rng)] += 1
            finish(folder, results)
            assert arrays(results) == arrays(folder / "whole"), f"other values in round {rounds} of seed {options.seed}"
            assert [(result.cell, result.scores) for result in results_of(results)] == expected, "other scores"
            rounds += 1
            print(f"round {rounds}: {dict(counts)}", flush=True)
    print(f"{sum(counts.values())} disturbed runs, {rounds} resumed rounds equal to the bit, no find")
    return 0


if __name__ == "__main__":
    sys.exit(main())
