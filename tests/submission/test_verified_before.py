"""Cells that were verified before, and have not changed, can be left out of a verification."""

from __future__ import annotations

import re
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from made_up_bundles import TITLE

from dvbench.results import FreshRun, FreshScore, Store
from dvbench.submission.verify import Options, verify

LABELS = f"quick/digits-logistic_regression-labels0.2/{TITLE}/seed-0"
EXACTLY = ("--jobs", 0, "--tolerance", 0)


def test_what_was_verified_before_can_be_left_out(dvbench, runs: Path, here: Path) -> None:
    """A cell that changed after it was verified is recomputed, and found."""
    shutil.copytree(runs, here / "mine")
    words = ("mine", "--suite", "quick", "--evaluator", TITLE, *EXACTLY)
    assert "name it with --into" in dvbench("verify", *words, "--only-claimed").err
    again = (*words, "--into", "recorded", "--only-claimed")
    assert "recomputing the scores of 3 cells\n" in dvbench("verify", *again).out
    record = Store(here / "recorded").verified("quick", TITLE)
    said = dvbench("verify", *again)
    assert "recomputing the scores of 0 cells; 3 cells were verified before" in said.out
    assert "3 cells, 0 recomputed, 3 verified before, 0 re-run, 0 failed, 0 left as claimed, 0 mismatches" in said.out
    assert Store(here / "recorded").verified("quick", TITLE) == record
    path = here / "mine" / LABELS / "result.json"
    path.write_text(re.sub(r'("auroc": )[\d.]+', r"\g<1>0.123", path.read_text()))
    said = dvbench("verify", *again)
    assert "recomputing the scores of 1 cell; 2 cells were verified before" in said.out
    assert said.code == 1
    assert "auroc" in said.out


def test_a_mark_of_fresh_seeds_is_lost_with_its_reason(runs: Path, here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A new run on fresh seeds that is much worse than what is claimed counts for cells that are left out too."""
    options = Options(into=here / "recorded", suites=("quick",), evaluators=(TITLE,), only_claimed=True)
    assert verify(runs, options, lambda line: None).ok
    store = Store(here / "recorded")
    record = store.verified("quick", TITLE)
    fresh = {name: cell.model_copy(update={"how": "re-run on fresh seeds"}) for name, cell in record.cells.items()}
    store.write_verified(record.model_copy(update={"cells": fresh}))
    scores = tuple(
        FreshScore(
            problem=name.partition("/")[0], task="t", metric="m", higher_is_better=True, claimed=(0.9,), fresh=new
        )
        for name, new in zip(fresh, ((0.1,), (0.9,), (0.9,)), strict=True)
    )
    run = FreshRun(
        commitment="0" * 64, secret="s" * 32, seeds=1, dvbench_version="1", evaluator_version="1", scores=scores
    )
    monkeypatch.setattr("dvbench.submission.verify.check_evaluators", lambda *_: None)
    monkeypatch.setattr("dvbench.submission.verify.run_fresh", lambda *_: {("quick", TITLE): run})
    assert verify(runs, replace(options, fresh_seeds=1), lambda line: None).ok
    marks = [cell.how for cell in store.verified("quick", TITLE).cells.values()]
    assert marks == ["recomputed", "re-run on fresh seeds", "re-run on fresh seeds"]
