"""A Ray cluster computes what one machine computes, to the bit, also when a node is killed in mid-run."""

from __future__ import annotations

import io
import threading
from collections import Counter
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import pytest
from ending_runs import EVALUATORS, SUITE, arrays, processes_of, start_run, write_inputs
from living import alive, pids_in, wait_until
from loose_scripts import made_up_cell, run_cell
from ray_clusters import start_cluster

from dvbench.errors import UserError
from dvbench.execution.job_queue import Job
from dvbench.execution.ray_cluster import UNKNOWN_MEMORY, connected, memory_of_jobs, packed, unpack
from dvbench.execution.run import RunOptions, SilentObserver, run_suite
from dvbench.results import Result, Store
from dvbench.suite import load_suite

MORE = """
FOLDER = os.path.dirname(__file__)
class Waiting(Quick):
    def train_data_values(self, *args, **kwargs):
        with open(FOLDER + "/started", "a") as file: file.write(f"{os.getpid()}\\n")
        while not os.path.exists(FOLDER + "/go"): time.sleep(0.1)
        return self

class Large(Quick):
    def train_data_values(self, *args, **kwargs):
        with open(FOLDER + "/large", "a") as file: file.write(f"{os.getpid()}\\n")
        try: open(FOLDER + "/first", "x")
        except FileExistsError: return self
        os.kill(os.getpid(), 9)
"""


class Counting(SilentObserver):
    def __init__(self) -> None:
        self.finished: list[Result] = []

    def on_finished(self, result: Result) -> None:
        self.finished.append(result)


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A head without cores, and two nodes with one core each, all on this machine."""
    nodes = start_cluster(monkeypatch, cores=(0, 1, 1))
    yield nodes
    nodes.shutdown()


@pytest.fixture
def suite(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    named = "".join(f'[[evaluators]]\nname = "loose_ray:{name}"\n' for name in ("Waiting", "Large"))
    (tmp_path / "ending.toml").write_text(SUITE.format(seeds=[0, 1]) + named + '[[evaluators]]\nname = "knn_shapley"\n')
    (tmp_path / "loose_ray.py").write_text(EVALUATORS + MORE)
    monkeypatch.syspath_prepend(tmp_path)
    return load_suite(str(tmp_path / "ending.toml"))


@pytest.mark.slow
def test_a_node_is_killed_and_nothing_is_lost_and_nothing_is_there_twice(cluster, suite, tmp_path: Path) -> None:
    def kill_a_node() -> None:
        wait_until(lambda: len(pids_in(tmp_path / "started")) == 2, 900)
        cluster.remove_node(cluster.others[0], allow_graceful=False)
        # A worker outlives its node for a moment, and would return its values if it went on in that moment.
        wait_until(lambda: not all(map(alive, pids_in(tmp_path / "started"))), 300)
        (tmp_path / "go").touch()

    killer = threading.Thread(target=kill_a_node, daemon=True)
    killer.start()
    observer = Counting()
    options = RunOptions(device="cpu", on="ray", address=cluster.address)
    assert run_suite(suite, tmp_path / "there", options, observer) == 0
    killer.join()
    assert len(pids_in(tmp_path / "started")) == 3  # one was started again, elsewhere
    assert len(pids_in(tmp_path / "large")) == 3  # one was killed, as if for its memory, and done again
    assert Counter(Counter(result.cell.key for result in observer.finished).values()) == {1: 6}
    assert run_suite(suite, tmp_path / "here", RunOptions(jobs=1, device="cpu")) == 0
    assert len(arrays(tmp_path / "here")) >= 6
    assert arrays(tmp_path / "there") == arrays(tmp_path / "here")
    there, here = (
        {result.cell.key: result.scores for result in Store(tmp_path / name).results("ending")}
        for name in ("there", "here")
    )
    assert there == here


@pytest.mark.slow
def test_a_signal_ends_a_run_and_its_cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("ray", reason="ray (dvbench[ray]) is not installed")
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    write_inputs(tmp_path, ("loose_ending:Hanging",), seeds=1)
    run = start_run(tmp_path, "--on", "ray", "--jobs", 1, "--device", "cpu")
    wait_until(lambda: pids_in(tmp_path / "hanging") or run.poll() is not None, 900)
    assert run.poll() is None, run.communicate()
    run.terminate()
    _, said = run.communicate(timeout=300)
    assert run.returncode == 143
    assert said.startswith("interrupted: 0 of 1 cells are done")
    wait_until(lambda: not processes_of(tmp_path), 120)


@pytest.mark.slow
def test_a_cluster_that_does_not_exist_is_one_line() -> None:
    pytest.importorskip("ray", reason="ray (dvbench[ray]) is not installed")
    with pytest.raises(UserError, match="cannot use the Ray cluster 127"), connected("127.0.0.1:9"):
        pass


@pytest.mark.slow
def test_a_server_that_is_no_cluster_is_one_line() -> None:
    pytest.importorskip("ray", reason="ray (dvbench[ray]) is not installed")
    with ThreadingHTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler) as server:  # such as a dashboard
        threading.Thread(target=server.serve_forever, daemon=True).start()
        address = f"127.0.0.1:{server.server_port}"
        with pytest.raises(UserError, match=f"{address}: what listens there is no head"), connected(address):
            pass
        server.shutdown()


def test_memory_is_estimated() -> None:
    job = Job("value", (made_up_cell("random"),))
    assert memory_of_jobs([], False)(job) > UNKNOWN_MEMORY


def test_only_files_of_the_cells_are_taken_from_an_archive(store: Store, tmp_path: Path) -> None:
    cell, other = made_up_cell("random"), made_up_cell("random", seed=1)
    for each in (cell, other):
        run_cell(each, store)
    content = io.BytesIO(packed(store, [cell, other]))
    with ZipFile(content, "a") as archive:
        for name in ("../outside", f"{cell.key.folder}/more.py", f"{cell.key.folder}/../x.npy", "/abs.npy"):
            archive.writestr(name, b"")
    copy = Store(tmp_path / "copy" / "in")
    unpack(content.getvalue(), copy, [cell])
    written = {path.relative_to(copy.root).as_posix() for path in (tmp_path / "copy").rglob("*") if path.is_file()}
    assert written == {f"{cell.key.folder}/{name}" for name in ("result.json", "values.npy")}
    assert copy.read(cell.key) == store.read(cell.key)
