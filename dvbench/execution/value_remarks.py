"""Says what is unusual about the values of a cell: it is no fault, but should be looked at."""

from __future__ import annotations

from dvbench.registry import find
from dvbench.results import Result
from dvbench.settings import EvaluatorSettings

PLAYERS_PER_DISTINCT_VALUE = 10  # from this number of players per distinct value on, there is a remark


def remarks_of(result: Result) -> list[str]:
    """Return the remarks on a cell that was computed here.

    They are about constant or tied values, equal second values, and a precision that the device does not have.
    """
    if result.status != "ok":
        return []
    lines = ["a CPU has no TF32: this was computed in float32"] if _misses_tf32(result) else []
    if result.cell.evaluator.kind == "selection":  # often chosen: tied by nature
        return lines
    distinct = result.diagnostics.get("distinct_values")
    lines += [] if distinct is None else tied_values(int(distinct), result.arrays["values"].length)
    if second_values_equal(result) and not _takes_random_state(result.cell.evaluator):
        lines.append(
            "the second values equal the first, and the evaluator takes no random_state: if it draws random numbers, "
            "let its constructor take random_state and draw them from it"
        )
    return lines


def tied_values(distinct: int, players: int) -> list[str]:
    """Return a remark if values are constant or mostly tied."""
    if distinct == 1:
        return ["all values are the same"]
    if distinct * PLAYERS_PER_DISTINCT_VALUE <= players:
        return [f"only {distinct} distinct values for {players} players"]
    return []


def second_values_equal(result: Result) -> bool:
    """Whether there is a second valuation, with the same values as the first."""
    repeat = result.arrays.get("repeat")
    return repeat is not None and repeat.sha256 == result.arrays["values"].sha256


def _misses_tf32(result: Result) -> bool:
    problem = result.cell.problem
    precisions = {problem.training.precision, problem.selection.precision if problem.selection else ""}
    return "tf32" in precisions and result.environment.device == "cpu"


def _takes_random_state(settings: EvaluatorSettings) -> bool:
    """Whether an evaluator's constructor takes ``random_state``, or its source does not show what it takes.

    The minibatches of an unlearning method are drawn for it.
    """
    if settings.kind == "unlearning":
        return True
    parameters = find(settings.kind, settings.name).definition.parameters
    return parameters is None or any(parameter.name == "random_state" for parameter in parameters)
