"""Texts of results and submissions that would run, link, or break out of their field, in every field of theirs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from made_up import a_cell, a_result, a_score
from site_checks import PAYLOADS, check_site
from test_index import submitted

from dvbench.errors import UserError
from dvbench.results import Store
from leaderboard.build import build

VALUES = {"values": np.zeros(20)}


def injected(store: Store, text: str) -> None:
    """Put a text into every text of a result, of a plan and of a submission."""
    for path in (*store.root.rglob("result.json"), *store.root.rglob("plan.json")):
        said: Any = json.loads(path.read_bytes())
        if "cells" in said:
            said["description"] = text
        for cell in said.get("cells", [said.get("cell")]):
            cell["evaluator"]["name"] = cell["problem"]["dataset"]["name"] = cell["problem"]["model"]["name"] = text
            cell["evaluator"]["params"] = {text[:200]: [text, {text[:200]: text}]}
            cell["problem"]["model"]["params"] = {text[:200]: text}
        if "cell" in said:
            said |= {"evaluator_object": text, "evaluator_version": text, "dvbench_version": text}
            said["diagnostics"] = {text[:200]: 1.0}
            said["environment"] |= dict.fromkeys(("platform", "processor", "device", "python"), text)
            said["environment"]["packages"] = {text: text}
            for score in said["scores"].values():
                if score["error"] is None:
                    score["metrics"][text] = 1.0
                    score["curves"] = {text: [0.0, 1.0], f"{text[:150]}2": [1.0, 2.0]}
                    score["axes"] = {text: f"{text[:150]}2"}
                else:
                    score["error"] = text
            if said["error"] is not None:
                said["error"] = text
        path.write_text(json.dumps(said))


@pytest.mark.parametrize("name", PAYLOADS)
def test_what_results_say_does_nothing(write, tmp_path: Path, name: str) -> None:
    store = write({("p", "A", 0): {"f": 0.5, "loss": 0.1}, ("p", "B", 0): {"f": 0.4, "loss": 0.2}}, ("f", "loss"))
    store.write(a_result(a_cell("p", "A", 0, ("f", "loss")), error="boom"))
    store.write(
        a_result(a_cell("p", "B", 0, ("f", "loss")), {"f": a_score(0.5), "loss": a_score(None, error="boom")}), VALUES
    )
    cell = a_cell("p", "Mine", 0, ("f", "loss"))
    submitted(store, "Mine", [cell])
    injected(store, PAYLOADS[name])
    build(store.root, tmp_path / "site")
    check_site(tmp_path / "site")


@pytest.mark.parametrize("name", PAYLOADS)
@pytest.mark.parametrize("field", ["name", "version", "authors", "reference", "licence", "code"])
def test_what_authors_say_does_nothing(write, tmp_path: Path, name: str, field: str) -> None:
    """It is refused, or shown as it is."""
    text = PAYLOADS[name][:300]
    store = write({("p", "A", 0): {"f": 0.5}})
    submitted(store, "Mine", [a_cell("p", "Mine", 0, ("f",))])
    path = store.root / "submissions/Mine.json"
    said = json.loads(path.read_bytes())
    said["about"][field] = [text] if field == "authors" else text
    path.write_text(json.dumps(said))
    try:
        build(store.root, tmp_path / "site")
        message = ""
    except UserError as error:
        message = str(error)
    assert message.isprintable()
    assert message or field != "code"
    if not message:
        check_site(tmp_path / "site")
