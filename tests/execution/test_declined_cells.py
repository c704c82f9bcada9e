"""An evaluator that does not apply to a problem declines it: that is recorded, no failure, and not tried again."""

from __future__ import annotations

from pathlib import Path

import pytest
from loose_scripts import made_up_cell, run_cell

from dvbench.console import ProgressReport
from dvbench.execution.failures import failure_reasons
from dvbench.execution.isolation import value_isolated
from dvbench.execution.resume import unfinished
from dvbench.results import Result, Store
from dvbench.settings import DatasetSettings, Noise
from dvbench.submission.fresh import _fresh_run

PICKY = """from dvbench.errors import DeclinedError
class Picky(Base):
    def input_data(self, *data):
        with open(TRACE, "a") as file:
            file.write("asked\\n")
        raise DeclinedError("Picky compares\\nclasses")
"""


@pytest.fixture
def picky(script, trace: Path):
    """A cell whose evaluator declines every problem, and how often it was asked."""
    script("loose_picky", PICKY)
    return made_up_cell("loose_picky:Picky", tasks=("noisy_label_detection", "rank_stability"))


def test_a_declined_cell_is_recorded_with_the_reason_and_not_tried_again(picky, store: Store, trace: Path) -> None:
    result = run_cell(picky, store)
    assert (result.status, result.error, result.scores, result.arrays) == ("declined", "Picky compares classes", {}, {})
    assert result.dataset is not None
    assert failure_reasons(result) == []
    assert store.read(picky.key) == result
    assert not unfinished(picky, store)
    assert run_cell(picky, store) == result
    assert trace.read_text() == "asked\n"


def test_what_changes_the_values_is_asked_again(picky, script, store: Store, trace: Path) -> None:
    run_cell(picky, store)
    script("loose_picky", PICKY + "\n# changed\n")
    assert unfinished(picky, store)


def test_an_evaluator_of_classes_declines_a_regression(store: Store) -> None:
    cell = made_up_cell("knn_shapley", tasks=("point_removal",))
    problem = cell.problem.model_copy(update={"dataset": DatasetSettings(name="diabetes"), "noise": Noise()})
    result = run_cell(cell.model_copy(update={"problem": problem}), store)
    assert result.status == "declined"
    assert "cannot value regression data" in result.error


def test_who_values_and_then_declines_the_second_valuation_has_failed(script, store: Store) -> None:
    late = """from dvbench.errors import DeclinedError
class Late(Base):
    def input_data(self, *data):
        if open(TRACE).read():
            raise DeclinedError("Picky compares classes")
        return super().input_data(*data)
"""
    script("loose_late", late)
    result = run_cell(made_up_cell("loose_late:Late", tasks=("rank_stability",)), store)
    assert result.status == "ok"
    assert result.scores["rank_stability"].error == "second valuation: Picky compares classes"


def test_a_verifier_is_declined_too_and_a_fresh_seed_that_is_declined_is_in_doubt(picky, store: Store) -> None:
    (result,) = value_isolated([picky], store, "cpu", 1)
    assert (result.status, result.error, result.dataset.train) == ("declined", "Picky compares classes", 30)

    class Nothing:
        keys = ()

    run = _fresh_run(Nothing(), [result], "secret")
    assert run.failed == {"digits/seed-0": "Picky compares classes"}


def test_progress_says_it(picky, store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    report = ProgressReport(1, None)
    report.on_finished(run_cell(picky, store))
    assert "declined: Picky compares classes" in " ".join(capsys.readouterr().out.split())


def test_a_declined_result_has_a_reason_and_no_values(picky, store: Store) -> None:
    fields = run_cell(picky, store).model_dump()
    with pytest.raises(ValueError, match="a declined result has an error"):
        Result.model_validate(fields | {"error": None})
