"""Values a table that was read: by folds, or with a validation set of its own."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

import numpy as np

from dvbench.errors import UserError
from dvbench.own_data.choice import Choice, How, judge_in_words, uses_utility, uses_validation
from dvbench.own_data.defaults import ADDS_UP
from dvbench.own_data.doubts import (
    accuracy_remarks,
    chance_remark,
    differ_by_chance,
    errors_of_means,
    order_remarks,
    rare_remarks,
    sampling_remarks,
    sign_remarks,
    tie_remarks,
)
from dvbench.own_data.values import Values, ranks
from dvbench.progress import listening
from dvbench.version import __version__

if TYPE_CHECKING:
    from dvbench.execution.valuation_output import ValuationOutput
    from dvbench.own_data.given import Observer
    from dvbench.problems.problem import Problem
    from dvbench.problems.source import Source
    from dvbench.tables.reading import Table

RANDOMNESS = "the table"  # one key for all tables, so that equal tables have equal values in every format and name
PACKAGES = ("numpy", "opendataval", "scikit-learn", "torch")  # on which values depend
NOT_JUDGED = "no validation set, because the evaluator uses none"


def value_table(
    table: Table, choice: Choice, how: How, validation: Source | None = None, observe: Observer | None = None
) -> Values:
    """Value every row of a table, or every group of rows.

    Without a validation set of its own the rows are divided into folds. Each fold is the validation set once, while the
    rows of all others are valued; a value is the mean over the folds in which the row, or some row of the group, was
    valued. An evaluator that uses no validation set values all rows once.

    Parameters
    ----------
    table : Table
    choice : Choice
        See `choose`.
    how : How
    validation : Source, optional
        Encoded like the table.
    observe : callable, optional
        Called from the start on with the number of finished folds, of all folds, and the seconds that folds took.

    Returns
    -------
    Values

    Raises
    ------
    UserError
        If the table cannot be valued in this way.
    """
    started = time.perf_counter()
    source = table.source
    items = None if source.groups is None else np.unique(source.groups, return_inverse=True)[1]
    if observe:
        observe(0, 0, 0.0)
    import dvbench.execution.valuation  # noqa: F401  takes seconds, which say nothing about the folds

    judged = uses_validation(choice)
    parts = list(_parts(table, how, validation)) if judged else [(np.arange(len(source.labels)),) * 2]
    if observe:
        observe(0, len(parts), 0.0)
    clock = time.perf_counter()
    found = np.full((len(parts), len(source.labels) if items is None else int(items.max()) + 1), np.nan)
    errors = np.full(found.shape, np.nan)
    for number, (players, judges) in enumerate(parts):
        valued, groups = (players, None) if items is None else np.unique(items[players], return_inverse=True)
        problem = _problem(table, validation if judged else None, players, judges, groups, how.seed)

        def tell(done: float, before: int = number) -> None:
            if observe and done < 1:
                observe(before + done, len(parts), time.perf_counter() - clock)

        with listening(tell):
            output = valuation_of(problem, choice, how, number, len(parts))
        found[number, valued] = output.arrays["values"]
        if "standard_errors" in output.arrays:
            errors[number, valued] = output.arrays["standard_errors"]
        if observe:
            observe(number + 1, len(parts), time.perf_counter() - clock)
    mean = np.nanmean(found, axis=0)
    several = np.isfinite(found).sum(axis=0).min() > 1  # with two folds, each row is valued once
    extra = {"spread": np.nanstd(found, axis=0, ddof=1)} if several else {}
    if len(parts) == 1 and np.isfinite(errors).all():
        extra = {"standard_error": errors[0]}
    how_judged = ("one validation set" if validation is not None else f"{len(parts)} folds") if judged else NOT_JUDGED
    remarks = sampling_remarks(choice.settings, mean, errors_of_means(found, errors), grouped=items is not None)
    chance = differ_by_chance(found, errors[0])
    if source.groups is not None:
        if choice.utility == "accuracy" and judged and uses_utility(choice):
            remarks += accuracy_remarks(mean, len(parts[0][1]))
        if not chance:
            remarks += order_remarks(np.unique(source.groups), found, errors[0])
    made_with = _made_with(table, choice, how, how_judged, len(parts))
    adds_up = items is not None and choice.settings.name == ADDS_UP and bool(np.isfinite(found).all())
    return _result(table, choice, mean, extra, how_judged, chance, adds_up, remarks, made_with, started)


def _parts(table: Table, how: How, validation: Source | None) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Row numbers of the players and of the validation set, for each valuation."""
    from dvbench.problems.splits import fold_rows
    from dvbench.randomness import generator

    n = len(table.source.labels)
    if validation is not None:
        yield np.arange(n), np.arange(n, n + len(validation.labels))
        return
    if n < 2 * how.folds:
        fewer = f"--folds {n // 2}" if n >= 4 else "a table of at least 4 rows"
        raise UserError(f"{n} rows cannot be divided into {how.folds} folds of at least 2: use {fewer}")
    folds = fold_rows(table.source, how.folds, generator(RANDOMNESS, how.seed, "folds"))
    for fold in folds:
        yield np.sort(np.concatenate([part for part in folds if part is not fold])), fold


def _problem(
    table: Table,
    validation: Source | None,
    players: np.ndarray,
    judges: np.ndarray,
    groups: np.ndarray | None,
    seed: int,
) -> Problem:
    from dvbench.problems.build import assemble
    from dvbench.settings import Noise

    source = table.source if validation is None else joined(table.source, validation)
    return assemble(source, f"table:{table.name}", (players, judges, judges), Noise(), seed, groups)


def _made_with(table: Table, choice: Choice, how: How, judged: str, valuations: int) -> dict[str, Any]:
    """What the values of a table were made with, as far as it can be written to a file."""
    from dvbench.execution.resume import evaluator_version

    return {
        "label": table.label,
        "groups": table.group,
        "evaluator": choice.settings.name,
        "evaluator_version": evaluator_version(choice.settings),
        "parameters": {k: v for k, v in choice.settings.params.items() if not (choice.exact and k == "permutations")},
        **({"coalitions": "all"} if choice.exact else {}),
        "model": judge_in_words(choice),
        "utility": choice.utility,
        "training": how.training.model_dump(mode="json"),
        "valued_on": judged,
        "folds": valuations if valuations > 1 else None,
        "seed": how.seed,
        "dvbench_version": __version__,
        "packages": {name: version(name) for name in PACKAGES},
        "understood": [*table.understood, *choice.lines],
        "remarks": list(table.remarks),
    }


def joined(source: Source, validation: Source) -> Source:
    """The rows of both, first those of the table; a row of the validation set has no group."""
    features = np.concatenate([each.take(np.arange(len(each.labels))) for each in (source, validation)])
    labels = np.concatenate([source.labels, validation.labels])
    return replace(source, labels=labels, take=lambda rows: features[rows], groups=None)


def valuation_of(problem: Problem, choice: Choice, how: How, number: int, count: int) -> ValuationOutput:
    """Value a problem; a `UserError` says what failed, and in which of the folds."""
    from dvbench.execution.environment import resolve_device
    from dvbench.execution.failures import error_line
    from dvbench.execution.valuation import value_with_model
    from dvbench.own_data.models import model_for
    from dvbench.own_data.utilities import metric_of
    from dvbench.randomness import integer_seed

    device = resolve_device(how.device)
    key = (RANDOMNESS, choice.settings.name, how.seed * count + number)
    try:
        model, fit = model_for(choice.model, problem, how.training, integer_seed(*key, "model"), device)
        metric = metric_of(choice.utility, problem)
        return value_with_model(
            problem, choice.settings, model, fit, seed=integer_seed(*key, "evaluator"), device=device, metric=metric
        )
    except (Exception, SystemExit) as error:
        where = f" (fold {number + 1} of {count}: {len(problem.train)} rows are valued, " if count > 1 else " ("
        where = f"{where}{len(problem.validation)} rows are the validation set)" if uses_validation(choice) else ""
        reason = str(error) if isinstance(error, UserError) else f"{choice.settings.name} failed: {error_line(error)}"
        raise UserError(reason + where) from error


def _result(
    table: Table,
    choice: Choice,
    mean: np.ndarray,
    extra: dict[str, np.ndarray],
    judged: str,
    by_chance: bool,
    adds_up: bool,
    sampling: Sequence[str],
    made_with: Mapping[str, Any],
    started: float,
) -> Values:
    import pandas as pd

    ranked = ranks(mean)
    if table.source.groups is not None:
        names, counts = np.unique(table.source.groups, return_counts=True)
        columns: dict[str, Any] = {"group": names, "rows": counts}
    else:
        columns = {"row": table.rows, "label": table.targets}
    what = "rows" if table.source.groups is None else "groups"
    ties = tie_remarks(ranked, what, choice.utility if uses_utility(choice) else None, folds="spread" in extra)
    remarks = [*(ties or ([chance_remark(what)] if by_chance else [])), *sign_remarks(mean, what == "groups")]
    if what == "rows" and table.source.kind == "classification" and not by_chance:
        remarks += rare_remarks(ranked, table.targets)
    return Values(
        values=pd.DataFrame({**columns, "value": mean, **extra, "rank": ranked}),
        kind=table.source.kind,
        evaluator=choice.settings.name,
        model=judge_in_words(choice),
        utility=choice.utility,
        judged=judged,
        numbering=table.numbering,
        understood=(*table.understood, *choice.lines),
        remarks=(*table.remarks, *remarks, *sampling),
        seconds=time.perf_counter() - started,
        reading_remarks=len(table.remarks),
        adds_up=adds_up,
        separable=not by_chance,
        made_with=made_with,
    )
