"""What is done when: valuations first, and the scores of a problem and seed once all its cells are valued."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from changed_cells import with_problem
from loose_scripts import made_up_cell

from dvbench.execution.job_queue import Job, JobQueue

OK, FAILED = SimpleNamespace(status="ok"), SimpleNamespace(status="failed")


def begun(agenda: JobQueue) -> Job:
    job = agenda.next()
    assert job is not None
    return job


def test_cells_are_scored_as_soon_as_all_of_their_problem_and_seed_are_valued() -> None:
    first = [made_up_cell("random"), made_up_cell("lava", tasks=("point_removal",))]
    second, third = made_up_cell("random", seed=1), made_up_cell("random", seed=2)
    agenda = JobQueue([first[0], second, first[1], third])
    jobs = [begun(agenda) for _ in range(3)]
    assert [(job.step, job.cells) for job in jobs] == [
        ("value", (first[0],)), ("value", (second,)), ("value", (first[1],)),
    ]  # fmt: skip
    assert not agenda.take(jobs[2], OK)
    assert not agenda.take(jobs[0], OK)
    scoring = begun(agenda)  # before the third is valued
    assert (scoring.step, {cell.key for cell in scoring.cells}) == ("score", {cell.key for cell in first})
    assert agenda.take(scoring, OK)
    assert begun(agenda) == Job("value", (third,))
    assert agenda.next() is None  # the second is still being valued
    assert not agenda.take(jobs[1], OK)
    assert begun(agenda) == Job("score", (second,))
    assert agenda.next() is None


def test_a_cell_that_fails_is_finished_and_the_others_are_scored() -> None:
    cells = [made_up_cell("random"), made_up_cell("lava")]
    agenda = JobQueue(cells)
    jobs = [begun(agenda) for _ in cells]
    assert not agenda.take(jobs[0], OK)
    assert agenda.take(jobs[1], FAILED)
    assert begun(agenda) == Job("score", (cells[0],))


def test_cells_can_be_scored_alone() -> None:
    cells = [made_up_cell("random"), made_up_cell("lava"), made_up_cell("random", seed=1)]
    agenda = JobQueue(cells)
    for _ in range(2):
        agenda.take(begun(agenda), OK)
    assert len(begun(agenda).cells) == 2
    agenda.score_alone(cells[0])
    agenda.score_alone(cells[1])
    jobs = [begun(agenda), begun(agenda)]
    assert all(Job("score", (cell,)) in jobs for cell in cells[:2])
    assert begun(agenda).step == "value"


def test_more_cells_than_a_workers_pipe_can_name_are_scored_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dvbench.execution.job_queue.TOGETHER", 2)
    cells = [made_up_cell(name) for name in ("random", "lava", "ame", "data_oob", "dvrl")]
    agenda = JobQueue(cells)
    for _ in cells:
        agenda.take(begun(agenda), OK)
    jobs = [begun(agenda) for _ in range(3)]
    assert agenda.next() is None
    assert [len(job.cells) for job in jobs] == [1, 2, 2]
    assert {cell.key for job in jobs for cell in job.cells} == {cell.key for cell in cells}


def test_cells_that_are_valued_are_scored_only_and_by_problem_and_seed() -> None:
    first, second = [made_up_cell("random"), made_up_cell("lava")], made_up_cell("random", seed=1)
    agenda = JobQueue(valued=[first[0], second, first[1]])
    jobs = [begun(agenda) for _ in range(2)]
    assert agenda.next() is None
    assert all(cells in [job.cells for job in jobs] for cells in (tuple(first), (second,)))
    assert all(job.step == "score" for job in jobs)
    assert all(agenda.take(job, OK) for job in jobs)


def test_where_all_fail_nothing_is_scored() -> None:
    agenda = JobQueue([made_up_cell("random")])
    assert agenda.take(begun(agenda), FAILED)
    assert agenda.next() is None


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
    agenda = JobQueue([one, other])
    jobs = [begun(agenda) for _ in range(2)]
    agenda.take(jobs[0], OK)
    assert begun(agenda) == Job("score", (one,))
