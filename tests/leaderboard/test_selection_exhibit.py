"""A suite of selection strategies from the run to the figures and the verification."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from dvbench.cli import main
from dvbench.results import Store
from leaderboard.exhibits.selection import draw_problems

SUITE = """
version = 1
description = "Small."
seeds = [0, 1]

[[problems]]
label = "few"
dataset = "digits"
sizes = { train = 80, validation = 30, test = 40 }
noise = { kind = "labels", rate = 0.3 }
imbalance = { classes = 0.3, keep = 0.5 }
model = "logistic_regression"
selection = { fractions = [0.2, 0.5], every = 2, epochs = 4, batch_size = 16 }
tasks = ["selection_accuracy"]

[[selection]]
name = "random"

[[selection]]
name = "chg_shapley"
params = { weights = "normalised" }
"""


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("selection")
    (folder / "small.toml").write_text(SUITE)
    assert main(["run", str(folder / "small.toml"), "--jobs", "0", "--results", str(folder / "runs")]) == 0
    return folder / "runs"


def test_the_table_has_means_over_seeds_of_accuracies_and_seconds(results: Path) -> None:
    assert main(["figures", "small", "--results", str(results)]) == 0
    table = pd.read_csv(results / "figures/small/selection_accuracy.csv").set_index("evaluator")
    assert list(table.index) == ["random", "chg_shapley"]
    of_cells = [each for each in Store(results).results("small") if each.cell.key.evaluator == "chg_shapley"]
    assert len(of_cells) == 2
    for column in ("area", "mislabelled", "accuracy_0.2"):
        numbers = [each.scores["selection_accuracy"].metrics[column] for each in of_cells]
        assert table.loc["chg_shapley", column] == pytest.approx(sum(numbers) / 2, abs=1e-5)
    seconds = [each.diagnostics["relative_seconds_0.5"] for each in of_cells]
    assert table.loc["chg_shapley", "relative_seconds_0.5"] == pytest.approx(sum(seconds) / 2, rel=1e-3)
    lines = pd.read_csv(results / "figures/small/selection_accuracy-lines.csv")
    assert set(lines["x"]) == {0.2, 0.5}
    assert (results / "figures/small/selection_accuracy-digits-mislabelled.svg").is_file()


def test_only_the_five_best_strategies_and_references_are_named_in_a_panel() -> None:
    heights = {"random": 0.1, "full": 0.9} | {f"s{number}": number / 10 for number in range(8)}
    rows = [
        {"problem": "p", "evaluator": name, "line": "accuracy", "x": x, "y": y, "lowest": y, "highest": y}
        for name, y in heights.items()
        for x in (0.1, 0.5)
    ]
    (axis,) = draw_problems(pd.DataFrame(rows), ["p"], "accuracy").axes
    labels = [str(line.get_label()) for line in axis.get_lines()]
    assert {label for label in labels if not label.startswith("_")} == {"random", "full", "s3", "s4", "s5", "s6", "s7"}
    assert len(labels) == len(heights)  # the others are drawn too


def test_scores_are_verified_from_the_record(results: Path) -> None:
    assert main(["verify", str(results), "--suite", "small", "--jobs", "0"]) == 0
    record = next(results.glob("small/few/chg_shapley/seed-0/weights.npy"))
    content = record.read_bytes()
    record.write_bytes(content[:-4] + b"\\0\\0\\0\\0")
    assert main(["verify", str(results), "--suite", "small", "--jobs", "0"]) == 2
    record.write_bytes(content)


def test_a_record_that_the_strategy_does_not_make_is_found(results: Path, tmp_path: Path, capsys) -> None:
    """Another choice of as many points, whose scores are right for it, is found when the strategy runs again."""
    forged = Store(tmp_path / "forged")
    plan = Store(results).plan("small")
    forged.write_plan(plan.model_copy(update={"cells": tuple(c for c in plan.cells if c.key.evaluator == "random")}))
    cells = {
        each.cell.key.seed: each for each in Store(results).results("small") if each.cell.key.evaluator == "random"
    }
    for seed, result in cells.items():  # each seed gets what the other one chose
        other = cells[1 - seed]
        forged.write(result, {name: Store(results).array(other, name) for name in other.arrays})
    assert main(["verify", str(tmp_path / "forged"), "--suite", "small", "--sample", "2", "--jobs", "0"]) == 1
    assert "chosen: claimed a record of what was chosen, found another one" in capsys.readouterr().out


def test_the_site_has_the_strategies(results: Path) -> None:
    assert main(["leaderboard", "build", "--results", str(results)]) == 0
    text = "".join(path.read_text() for path in (results / "leaderboard").rglob("*.md"))
    assert "chg_shapley" in text
    assert "selection_accuracy" in text
    page = (results / "leaderboard/index.html").read_text()
    assert "small" in page
