"""Cells that were verified before, and have not changed, can be left out of a verification."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

from made_up_bundles import TITLE

from dvbench.results import Store

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
