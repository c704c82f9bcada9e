"""Values what the user gives: says what was understood, and then computes."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from dvbench.own_data.choice import How, choose
from dvbench.own_data.folds import value_table
from dvbench.own_data.given import Given, Report, say_understood

if TYPE_CHECKING:
    from dvbench.own_data.values import Values


def value_data(given: Given, how: How, report: Report) -> Values:
    """Read a table and value its rows, or groups of rows; see `dvbench.value`.

    Parameters
    ----------
    given : Given
    how : How
        See `dvbench.own_data.choice.settings_of`.
    report : Report
        Shows what was understood, and progress.

    Raises
    ------
    UserError
        If data cannot be read or valued.
    """
    table, judges = given.read()
    choice = choose(table, how, validated=judges is not None)
    say_understood(table, report, choice.lines)
    with report.counting("fold") as observe:
        values = value_table(table, choice, how, judges, observe)
    return replace(values, made_with={**given.files(), **values.made_with})
