"""Errors of evaluators that could abort the run that records them: each is recorded, cut and cleaned."""

from __future__ import annotations

import json
import re

import pytest
from loose_scripts import made_up_cell, run_cell

from dvbench.errors import LONGEST_ERROR
from dvbench.execution.failures import error_line
from dvbench.results import Store

HOSTILE = """
class Base(DataEvaluator):
    def train_data_values(self, *args, **kwargs): self.fail()
    def evaluate_data_values(self): return np.zeros(len(self.x_train))

class Surrogate(Base):
    def fail(self): raise ValueError("half a character: \\ud800")

class Escape(Base):
    def fail(self): raise ValueError("\\x1b[2J\\x1b]0;title\\x07 red")

class Direction(Base):
    def fail(self): raise ValueError("abc\\u202edef\\u2066")

class Long(Base):
    def fail(self): raise ValueError("x" * 20_000_000)

class Lines(Base):
    def fail(self): raise ValueError("a\\nb\\r\\x00c\\u2028d")

class Text(str):
    def split(self, *args): raise RuntimeError("split")
    def __getitem__(self, part): raise RuntimeError("part")
    def __str__(self): return self
    def __len__(self): return 2**60

class OwnText(Base):
    def fail(self):
        class Wrong(Exception):
            def __str__(self): return Text("mine")
        raise Wrong

class NoText(Base):
    def fail(self):
        class Wrong(Exception):
            def __str__(self): raise SystemExit(3)
        raise Wrong

class TypeName(Base):
    def fail(self): raise type("A\\x1b\\u202e" + "b" * 10_000, (Exception,), {})("boom")

class NoTrace(Base):
    def fail(self):
        class Wrong(Exception):
            __traceback__ = property(lambda self: 1 / 0, lambda self, value: None)
        raise Wrong("boom")

class EndlessFile(Base):
    def fail(self): exec(compile("raise ValueError('boom')", "/dev/zero", "exec"))

class FileName(Base):
    def fail(self): exec(compile("raise ValueError('boom')", "a\\x1b\\udc80" * 1000, "exec"))

class Deep(Base):
    def fail(self): self.fail()
"""
SAID = {
    "Surrogate": "ValueError: half a character: ?",
    "Escape": "ValueError: ?[2J?]0;title? red",
    "Direction": "ValueError: abc?def?",
    "Long": "ValueError: xxx",
    "Lines": "ValueError: a b ?c d",
    "OwnText": "Wrong: mine",
    "NoText": "Wrong: no message",
    "TypeName": "A??bbb",
    "NoTrace": "Wrong: boom",
    "EndlessFile": "ValueError: boom (dev/zero:1)",
    "FileName": "ValueError: boom (a??a??",
    "Deep": "RecursionError: ",
}


@pytest.mark.parametrize("name", SAID)
def test_an_error_is_recorded_in_one_printable_line(script, store: Store, name: str) -> None:
    script("loose_hostile", HOSTILE)
    result = run_cell(made_up_cell(f"loose_hostile:{name}"), store)
    assert result.status == "failed"
    assert result.error is not None
    assert result.error.startswith(SAID[name])
    assert result.error.isprintable()
    assert len(result.error) <= LONGEST_ERROR
    assert store.read(result.cell.key) == result


def test_the_place_of_a_long_error_is_not_cut_away() -> None:
    try:
        raise ValueError("x" * 5000)
    except ValueError as error:
        line = error_line(error)
    assert re.search(r"test_hostile_errors\.py:\d+\)$", line)
    assert len(line) <= LONGEST_ERROR


def test_diagnostics_that_no_file_could_hold_are_left_out(script, store: Store) -> None:
    script(
        "loose_hostile",
        "class Chatty(DataEvaluator):\n"
        "    def train_data_values(self, *args, **kwargs):\n"
        "        self.diagnostics_ = {f'{n}\\ud800\\x1b' + 'x' * 1000: 1.0 for n in range(100_000)}\n"
        "        return self\n"
        "    def evaluate_data_values(self): return np.arange(len(self.x_train))\n",
    )
    result = run_cell(made_up_cell("loose_hostile:Chatty"), store)
    assert result.status == "ok"
    assert len(result.diagnostics) == 1000
    assert all(len(name) <= 200 and name.isprintable() for name in result.diagnostics)
    assert result.diagnostics["distinct_values"] > 1


def test_a_recorded_error_is_clean_json(script, store: Store) -> None:
    script("loose_hostile", HOSTILE)
    cell = made_up_cell("loose_hostile:Escape")
    run_cell(cell, store)
    content = (store.folder(cell.key) / "result.json").read_text()
    assert "\x1b" not in content
    assert "\\u001b" not in content
    assert json.loads(content)["error"].isprintable()
