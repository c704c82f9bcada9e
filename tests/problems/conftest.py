"""Tables whose first column is twice the row number, so that tests can read rows from features; a hub that refuses."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import huggingface_hub
import numpy as np
import pytest

from dvbench.problems.problem import Problem

N = 200


def row_numbers(problem: Problem) -> dict[str, np.ndarray]:
    """Rows of each part of a problem without feature noise, read off its first column.

    A column that counts the rows would be left out as their number, one of even numbers is not.
    """
    mean, deviation = problem.rows.mean(), problem.rows.std()
    parts = {"train": problem.train, "validation": problem.validation, "test": problem.test}
    return {name: np.rint(part.x[:, 0].numpy() * deviation + mean).astype(int) for name, part in parts.items()}


@pytest.fixture
def table(tmp_path: Path) -> Callable[..., str]:
    """Write 200 rows: 120 of class a, 60 of b, 20 of c, or real targets; gives the name of the data set."""

    def write(*, targets: bool = False, changed: int | None = None, name: str = "table.csv") -> str:
        shown = np.random.default_rng(7).normal(size=N).round(6)
        if changed is not None:
            shown[changed] += 1
        labels = np.sin(np.arange(N)).round(6) if targets else np.repeat(["a", "b", "c"], [120, 60, 20])
        lines = [f"{2 * row},{value},{label}" for row, (value, label) in enumerate(zip(shown, labels, strict=True))]
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text("\n".join(["place,value,label", *lines]))
        return f"csv:{path}"

    return write


@pytest.fixture
def rows_of() -> Callable[[Problem], dict[str, np.ndarray]]:
    return row_numbers


@pytest.fixture
def hub_requests(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Make the hub unreachable; gives the list of the data sets that are requested from it."""
    requests: list[str] = []

    def refuse(self: object, repo_id: str, **_: object) -> None:
        requests.append(repo_id)
        raise ConnectionError("no network\nat all")

    monkeypatch.setattr(huggingface_hub.HfApi, "dataset_info", refuse)
    return requests
