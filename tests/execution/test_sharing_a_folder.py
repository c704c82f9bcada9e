"""Several runs work on one results folder at once; some of them are killed."""

from __future__ import annotations

from pathlib import Path

import pytest
from ending_runs import arrays, start_run, write_inputs
from living import pids_in, wait_until

from dvbench.results import Store

# Read by Python when it starts, so that a killed run is noticed within seconds.
SHORT = "import dvbench.execution.claims as claims\nclaims.BEAT_SECONDS, claims.EXPIRY_SECONDS = 0.2, 4.0\n"
COUNTED = '''
class Counted(Quick):
    """Writes a line for each valuation."""
    def train_data_values(self, *args, **kwargs):
        with open("valuations", "a") as file: file.write(f"{os.getpid()}\\n")
        time.sleep(0.3)
        return self
'''


def write_all(folder: Path, seeds: int) -> None:
    write_inputs(folder, ("loose_ending:Counted", "loose_ending:Quick"), seeds)
    with (folder / "loose_ending.py").open("a") as file:
        file.write(COUNTED)
    (folder / "sitecustomize.py").write_text(SHORT)


@pytest.mark.slow
def test_runs_share_the_cells_of_a_folder_and_compute_each_once(tmp_path: Path) -> None:
    write_all(tmp_path, seeds=12)
    runs = [start_run(tmp_path, "--jobs", 1) for _ in range(3)]
    for run in runs:
        out, err = run.communicate(timeout=500)
        assert run.returncode == 0, err
        assert "24 cells" in out
    store = Store(tmp_path / "runs")
    assert sum(result.status == "ok" and bool(result.scores) for result in store.results("ending")) == 24
    assert len(pids_in(tmp_path / "valuations")) == 12
    assert not (store.root / ".claims").exists()


@pytest.mark.slow
def test_the_cells_of_a_run_that_is_killed_are_taken_up_and_are_the_same_to_the_bit(tmp_path: Path) -> None:
    write_all(tmp_path, seeds=12)
    killed = start_run(tmp_path, "--jobs", 2)
    wait_until(lambda: pids_in(tmp_path / "valuations") or killed.poll() is not None, 300)
    late = start_run(tmp_path, "--jobs", 1)
    killed.kill()
    killed.communicate(timeout=120)
    _, err = late.communicate(timeout=500)
    assert late.returncode == 0, err
    whole = start_run(tmp_path, "--jobs", 2, "--results", "whole")
    assert whole.wait(timeout=500) == 0
    assert arrays(tmp_path / "runs") == arrays(tmp_path / "whole")
    assert len(arrays(tmp_path / "runs")) == 24
