"""What a run says of unusual values, before anybody submits them."""

from __future__ import annotations

import pytest
from loose_scripts import made_up_cell, run_cell

from dvbench.execution.value_remarks import remarks_of
from dvbench.results import Store

SCRIPT = """
class Constant(Base):
    def answer(self, n): return np.zeros(n)

class Tied(Base):
    def answer(self, n): return np.arange(n) // 10

class Fine(Base):
    def answer(self, n): return np.arange(n) // 9

class OwnSeed(DataEvaluator):
    def __init__(self): pass
    def train_data_values(self, *args, **kwargs): return self
    def evaluate_data_values(self): return np.random.RandomState(0).normal(size=len(self.x_train))

class Global(OwnSeed):
    def evaluate_data_values(self): return np.random.normal(size=len(self.x_train))

class Deterministic(OwnSeed):
    def __init__(self, random_state=None): pass
"""
TIES = "all values are the same"
EQUAL = "the second values equal the first, and the evaluator takes no random_state"


@pytest.mark.parametrize(
    ("evaluator", "beginnings"),
    [
        ("Constant", [TIES]),
        ("Tied", ["only 3 distinct values for 30 players"]),
        ("Fine", []),
        ("OwnSeed", [EQUAL]),
        ("Global", []),
        ("Deterministic", []),
        ("Broken", []),
    ],
)
def test_remarks(script, store: Store, evaluator: str, beginnings: list[str]) -> None:
    script("loose_remarkable", f"{SCRIPT}\nclass Broken(Base):\n    def answer(self, n): return None\n")
    cell = made_up_cell(f"loose_remarkable:{evaluator}", tasks=("noisy_label_detection", "rank_stability"))
    lines = remarks_of(run_cell(cell, store))
    assert len(lines) == len(beginnings)
    assert all(line.startswith(beginning) for line, beginning in zip(lines, beginnings, strict=True))


def test_a_cpu_says_that_it_has_no_tf32(store: Store) -> None:
    cell = made_up_cell("random")
    training = cell.problem.training.model_copy(update={"precision": "tf32"})
    cell = cell.model_copy(update={"problem": cell.problem.model_copy(update={"training": training})})
    result = run_cell(cell, store)
    assert remarks_of(result) == ["a CPU has no TF32: this was computed in float32"]
    environment = result.environment.model_copy(update={"device": "NVIDIA H200"})
    assert remarks_of(result.model_copy(update={"environment": environment})) == []


def test_minibatches_of_an_unlearning_method_are_drawn_for_it(store: Store) -> None:
    """Those of full batches are equal, and that is nobody's omission."""
    result = run_cell(made_up_cell("random", tasks=("rank_stability",)), store)
    settings = result.cell.evaluator.model_copy(update={"kind": "unlearning", "name": "scrub"})
    same = dict.fromkeys(("values", "repeat"), result.arrays["values"])
    changes = {"cell": result.cell.model_copy(update={"evaluator": settings}), "arrays": same}
    assert remarks_of(result.model_copy(update=changes)) == []
