"""What is done when: valuations first, and the scores of a problem and seed once all its cells are valued."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from changed_cells import with_problem
from loose_scripts import made_up_cell

from dvbench.execution.job_queue import Job, JobQueue

OK, FAILED = SimpleNamespace(status="ok"), SimpleNamespace(status="failed")


def begun(queue: JobQueue) -> Job:
    job = queue.next()
    assert job is not None
    return job


def test_cells_are_scored_as_soon_as_all_of_their_problem_and_seed_are_valued() -> None:
    first = [made_up_cell("random"), made_up_cell("lava", tasks=("point_removal",))]
    second, third = made_up_cell("random", seed=1), made_up_cell("random", seed=2)
    queue = JobQueue([first[0], second, first[1], third])
    jobs = [begun(queue) for _ in range(3)]
    assert [(job.step, job.cells) for job in jobs] == [
        ("value", (first[0],)), ("value", (second,)), ("value", (first[1],)),
    ]  # fmt: skip
    assert not queue.add_result(jobs[2], OK)
    assert not queue.add_result(jobs[0], OK)
    scoring = begun(queue)  # before the third is valued
    assert (scoring.step, {cell.key for cell in scoring.cells}) == ("score", {cell.key for cell in first})
    assert queue.add_result(scoring, OK)
    assert begun(queue) == Job("value", (third,))
    assert queue.next() is None  # the second is still being valued
    assert not queue.add_result(jobs[1], OK)
    assert begun(queue) == Job("score", (second,))
    assert queue.next() is None


def test_a_cell_that_fails_is_finished_and_the_others_are_scored() -> None:
    cells = [made_up_cell("random"), made_up_cell("lava")]
    queue = JobQueue(cells)
    jobs = [begun(queue) for _ in cells]
    assert not queue.add_result(jobs[0], OK)
    assert queue.add_result(jobs[1], FAILED)
    assert begun(queue) == Job("score", (cells[0],))


def test_cells_can_be_scored_alone() -> None:
    cells = [made_up_cell("random"), made_up_cell("lava"), made_up_cell("random", seed=1)]
    queue = JobQueue(cells)
    for _ in range(2):
        queue.add_result(begun(queue), OK)
    assert len(begun(queue).cells) == 2
    queue.score_alone(cells[0])
    queue.score_alone(cells[1])
    jobs = [begun(queue), begun(queue)]
    assert all(Job("score", (cell,)) in jobs for cell in cells[:2])
    assert begun(queue).step == "value"


def test_more_cells_than_a_workers_pipe_can_name_are_scored_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dvbench.execution.job_queue.MAX_CELLS_SCORED_TOGETHER", 2)
    cells = [made_up_cell(name) for name in ("random", "lava", "ame", "data_oob", "dvrl")]
    queue = JobQueue(cells)
    for _ in cells:
        queue.add_result(begun(queue), OK)
    jobs = [begun(queue) for _ in range(3)]
    assert queue.next() is None
    assert [len(job.cells) for job in jobs] == [1, 2, 2]
    assert {cell.key for job in jobs for cell in job.cells} == {cell.key for cell in cells}


def test_cells_that_are_valued_are_scored_only_and_by_problem_and_seed() -> None:
    first, second = [made_up_cell("random"), made_up_cell("lava")], made_up_cell("random", seed=1)
    queue = JobQueue(valued=[first[0], second, first[1]])
    jobs = [begun(queue) for _ in range(2)]
    assert queue.next() is None
    assert all(cells in [job.cells for job in jobs] for cells in (tuple(first), (second,)))
    assert all(job.step == "score" for job in jobs)
    assert all(queue.add_result(job, OK) for job in jobs)


def test_where_all_fail_nothing_is_scored() -> None:
    queue = JobQueue([made_up_cell("random")])
    assert queue.add_result(begun(queue), FAILED)
    assert queue.next() is None


@pytest.mark.parametrize(
    "update",
    [
        {"dataset": "wine"},
        {"sizes": {"train": 31, "validation": 20, "test": 40}},
        {"noise": {"kind": "labels", "rate": 0.3}},
        {"training": {"epochs": 2}},
        {"model": {"name": "mlp"}},
    ],
    ids=lambda update: next(iter(update)),
)
def test_what_other_models_score_is_scored_apart(update: dict[str, object]) -> None:
    one = made_up_cell("random")
    other = with_problem(made_up_cell("lava"), **update)
    queue = JobQueue([one, other])
    jobs = [begun(queue) for _ in range(2)]
    queue.add_result(jobs[0], OK)
    assert begun(queue) == Job("score", (one,))


def test_cells_that_do_not_fit_are_left_out_and_the_others_are_scored() -> None:
    cells = [made_up_cell("random"), made_up_cell("lava"), made_up_cell("random", seed=1)]
    queue = JobQueue(cells, fits=lambda cell: cell.key.evaluator == "random" and cell.key.seed == 0)
    job = begun(queue)
    assert queue.next() is None
    assert not queue.add_result(job, OK)
    assert begun(queue) == Job("score", (cells[0],))
    assert queue.next() is None
