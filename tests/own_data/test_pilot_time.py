"""The pilot of `dvbench advise` ends with its budget, and says what is left of it."""

from __future__ import annotations

import time
from contextlib import contextmanager

import pytest
from made_up_boards import BOARD, FAST, Lines, a_table

from dvbench import console
from dvbench.errors import UserError
from dvbench.own_data import advise, pilot
from dvbench.own_data.advise import Candidate, advise_table
from dvbench.own_data.pilot import run_pilot

SLOW = """
import time
import numpy as np
from opendataval.dataval import DataEvaluator

class Slow(DataEvaluator):
    def train_data_values(self, *args, **kwargs): time.sleep({seconds})
    def evaluate_data_values(self): return np.arange(len(self.x_train), dtype=float)
"""


def test_a_pilot_ends_with_the_budget_and_says_what_is_left(monkeypatch):
    """Each repeat takes longer than those before it."""

    class Slower:
        def __init__(self, table, goal, seed, repeat):
            self.repeat = repeat

        def __call__(self, name):
            time.sleep(0 if name == "random" else 0.2 + 0.1 * self.repeat)
            return 0.1, 0.2

    class Counted(Lines):
        @contextmanager
        def counting(self, _):
            yield lambda *given: self.append(given)

    monkeypatch.setattr("dvbench.own_data.pilot._Measure", Slower)
    said, begun = Counted(), time.monotonic()
    trials = run_pilot(a_table(), "find", FAST, 5.0, 0, said)
    assert time.monotonic() - begun < 5.8
    counts = {len(trial.gains) for trial in trials.values()}
    assert len(counts) == 1
    assert 4 <= counts.pop() < 12
    for _, total, seconds, most in said:
        assert seconds + most == pytest.approx(5.0, abs=0.3)
        assert 4 <= total <= 12


def test_no_more_time_is_said_to_be_left_than_there_is(capsys):
    with console.counting("repeat") as observe:
        observe(1, 12, 30.0, 20.0)
    assert "30 s elapsed, about 20 s left" in capsys.readouterr().out


def test_an_evaluator_that_takes_longer_than_expected_ends_in_time(tmp_path, monkeypatch):
    """It costs a fourth of the budget at most, and the others are tried all the same."""
    (tmp_path / "slow_one.py").write_text(SLOW.format(seconds=600))
    monkeypatch.syspath_prepend(tmp_path)
    said, begun = Lines(), time.monotonic()
    trials = run_pilot(a_table(), "find", ["slow_one:Slow", "knn_shapley"], 8.0, 0, said)
    assert time.monotonic() - begun < 60
    assert list(trials) == ["knn_shapley"]
    assert len(trials["knn_shapley"].gains) >= 4
    assert any(line.startswith("note: slow_one:Slow is left out: it takes longer than 2") for line in said)


def test_a_budget_that_ends_in_the_pilot_says_what_is_needed(monkeypatch):
    monkeypatch.setattr(advise, "candidates", lambda *_: [Candidate("knn_shapley", 0.4, 0.1, 0.1)])
    advise_table(a_table(), "find", 0.001, BOARD, 0, Lines())  # what is quick is tried however little time there is
    monkeypatch.setattr(pilot, "QUICK", 0.0)
    with pytest.raises(UserError, match=r"--budget 0.001 s is too small: .* give .* s or more"):
        advise_table(a_table(), "find", 0.001, BOARD, 0, Lines())


def test_a_time_that_is_asked_for_is_longer_than_the_one_given(tmp_path, monkeypatch):
    (tmp_path / "slow_two.py").write_text(SLOW.format(seconds=600))
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(UserError, match=r"--budget 4 s is too small: .* give 9.6 s or more"):
        run_pilot(a_table(), "find", ["slow_two:Slow"], 4.0, 0, Lines())


def test_repeats_that_end_just_after_the_budget_leave_nobody_out(monkeypatch):
    class Measure:
        def __init__(self, table, goal, seed, repeat):
            self.repeat = repeat

        def __call__(self, name):
            clock.append(0.0 if name == "random" else 0.6 if self.repeat < 3 else 0.75)
            return 0.1, 0.1

    clock = [0.0]
    monkeypatch.setattr("dvbench.own_data.pilot._Measure", Measure)
    monkeypatch.setattr("time.perf_counter", lambda: sum(clock))
    said = Lines()
    trials = run_pilot(a_table(), "find", FAST, 5.0, 0, said)
    assert sum(clock) > 5.0
    assert {name: len(trial.gains) for name, trial in trials.items()} == dict.fromkeys(FAST, 4)
    assert not any("left out" in line for line in said)
