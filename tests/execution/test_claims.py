"""Runs on one results folder share its cells: nothing is computed twice, and a dead run's cells are taken up."""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path

import pytest
from loose_scripts import made_up_cell

from dvbench.errors import UserError
from dvbench.execution.claims import Claims, SharedCells
from dvbench.results import Store


def test_a_claim_has_one_holder(tmp_path: Path) -> None:
    with Claims(tmp_path / "c") as mine, Claims(tmp_path / "c") as theirs:
        assert mine.take("a")
        assert mine.take("a")
        assert not theirs.take("a")
        assert theirs.take("b")
        mine.release("a")
        assert theirs.take("a")
        mine.release("a")  # it is not this run's to give up
        assert not mine.take("a")
    assert not (tmp_path / "c").exists()


def test_many_runs_at_once_take_each_name_once(tmp_path: Path) -> None:
    names, taken = [str(number) for number in range(200)], []

    def work() -> None:
        with Claims(tmp_path / "c") as claims:
            taken.extend(name for name in names if claims.take(name))
            barrier.wait()

    barrier = threading.Barrier(8)
    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(taken) == sorted(names)


def test_a_run_that_lives_keeps_its_claim_and_a_dead_one_loses_it(tmp_path: Path) -> None:
    dead = Claims(tmp_path / "c")  # nothing touches its files
    assert dead.take("a")
    with Claims(tmp_path / "c", beat=0.05) as living, Claims(tmp_path / "c", expiry=0.5) as late:
        assert living.take("b")
        end = time.monotonic() + 10
        while not late.take("a"):
            assert not late.take("b")
            assert time.monotonic() < end
            time.sleep(0.02)
        assert not late.take("b")
        assert not living.take("a")


@pytest.mark.parametrize("hours", [-1, 1])
def test_another_clock_does_not_matter(tmp_path: Path, hours: int) -> None:
    holder = Claims(tmp_path / "c")
    assert holder.take("a")
    (file,) = (tmp_path / "c").iterdir()
    with Claims(tmp_path / "c", expiry=0.3) as late:
        for second in range(5):  # touched by a machine whose clock is wrong
            os.utime(file, (time.time() + 3600 * hours + second,) * 2)
            assert not late.take("a")
            time.sleep(0.15)


def test_a_claim_is_waited_for(tmp_path: Path) -> None:
    with Claims(tmp_path / "c") as mine, Claims(tmp_path / "c") as theirs:
        assert theirs.take("plan")
        timer = threading.Timer(0.3, theirs.release, ["plan"])
        timer.start()
        start = time.monotonic()
        with mine.held("plan"):
            assert time.monotonic() - start > 0.2
            assert not theirs.take("plan")
        assert theirs.take("plan")


def test_a_folder_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with Claims(tmp_path / "file" / "c") as claims, pytest.raises(UserError, match="choose a folder you can write to"):
        claims.take("a")


def test_on_a_full_disk_no_claim_is_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its file can be created there, but not filled; others would wait for it."""
    full = "/dev/full"
    if not Path(full).exists():
        pytest.skip("there is no /dev/full")
    with Claims(tmp_path / "c") as claims:
        create = Path.open

        def open_full(path: Path, mode: str, **options: str):
            create(path, mode).close()
            return create(Path(full), "w", **options)

        with monkeypatch.context() as patch:
            patch.setattr(Path, "open", open_full)
            with pytest.raises(UserError, match="No space left on device"):
                claims.take("a")
        assert not list((tmp_path / "c").iterdir())
        assert claims.take("a")


def test_cells_are_shared(tmp_path: Path) -> None:
    cells = [made_up_cell("random", seed=seed) for seed in range(4)]
    store = Store(tmp_path)
    with Claims(tmp_path / "c") as one, Claims(tmp_path / "c") as other:
        ours = SharedCells(store, one, lambda cell: cell.key.seed != 3)
        theirs = SharedCells(store, other, lambda _: True)
        assert theirs(cells[0])
        assert [ours(cell) for cell in cells] == [False, True, True, False]
        assert ours.late == cells[3:]
        assert ours.computed_elsewhere() == cells[:1]
        assert ours.computed_elsewhere() == []
        theirs.release(cells[0])
        assert ours(cells[0])
        assert not list(ours.finished_elsewhere())
