"""The leaderboard at scale: made-up results by the thousand, built in another process, and opened in a browser."""

from __future__ import annotations

import json
import sys
import time
from contextlib import suppress
from pathlib import Path

import numpy as np
import psutil
import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "leaderboard"))
sys.path.insert(0, str(Path(__file__).parents[1] / "browser"))
from browsing import HINT, open_browser
from made_up import a_cell, a_result

from dvbench.results import Plan, Score, Store

TASKS = ("noisy_label_detection", "point_removal", "rank_stability")
BUILD = """
import sys
from pathlib import Path
from leaderboard.build import build
build(Path(sys.argv[1]), Path(sys.argv[2]))
"""


def scores(value: float, curve: np.ndarray) -> dict[str, Score]:
    """Three tasks, two of them with three curves of 21 points, as real ones have."""
    lines = {"fraction": np.linspace(0, 1, 21), "high": curve, "low": 1 - curve, "random": np.linspace(0, 1, 21)}
    curves = {name: line.tolist() for name, line in lines.items()}
    return {
        task: Score(
            version=1, headline="f", higher_is_better=True, metrics={"f": value, "g": -value},
            curves=curves if task != "rank_stability" else {},
        )
        for task in TASKS
    }  # fmt: skip


def write(root: Path, suites: int, problems: int, evaluators: int, seeds: int) -> None:
    """Results as `Store` writes them; one is made by the schema, all others are that with other names and numbers."""
    rng, store = np.random.default_rng(0), Store(root)
    cell = a_cell("PROBLEM", "EVALUATOR", 0, TASKS, "SUITE")
    result = json.loads(a_result(cell, scores(0.5, np.linspace(0, 1, 21))).model_dump_json())
    result["arrays"] = {"values": {"sha256": "0" * 64, "length": 20}}
    for suite in (f"suite{i:02}" for i in range(suites)):
        cells = []
        for problem in (f"problem{i:02}" for i in range(problems)):
            for i in range(evaluators):
                name = "random" if i == 0 else f"evaluator{i:02}"
                for seed in range(seeds):
                    cells.append(a_cell(problem, name, seed, TASKS, suite))
                    shown = json.loads(cells[-1].model_dump_json())
                    value = float(rng.normal(i / evaluators, 0.3))
                    for score in result["scores"].values():
                        score["metrics"] = {"f": value, "g": -value}
                        if score["curves"]:
                            score["curves"]["high"] = rng.random(21).tolist()
                    folder = root / cells[-1].key.folder
                    folder.mkdir(parents=True)
                    (folder / "result.json").write_text(json.dumps(result | {"cell": shown}, indent=1))
        store.write_plan(Plan(suite=suite, suite_version=1, description="Made up.", cells=tuple(cells)))


def timed_build(results: Path, out: Path) -> tuple[float, float]:
    """Seconds of a build in processes of its own, and the most memory that they had together, in GB."""
    started, most = time.perf_counter(), 0
    building = psutil.Popen([sys.executable, "-c", BUILD, str(results), str(out)])
    while building.poll() is None:
        with suppress(psutil.Error):  # one that has just ended
            most = max(most, sum(each.memory_info().rss for each in (building, *building.children(recursive=True))))
        time.sleep(0.1)
    assert building.returncode == 0
    return time.perf_counter() - started, most / 1e9


def test_100000_cells(benchmark, tmp_path):
    """Ten suites of 20 problems, 50 evaluators, ten seeds: within two minutes and 2 GB, and faster the second time."""
    write(tmp_path / "results", 10, 20, 50, 10)
    took = benchmark.pedantic(timed_build, (tmp_path / "results", tmp_path / "site"), rounds=1)
    again = timed_build(tmp_path / "results", tmp_path / "site")
    shown = {"first, s": took[0], "again, s": again[0], "memory, GB": max(took[1], again[1])}
    benchmark.extra_info.update({name: round(value, 2) for name, value in shown.items()})
    print(shown)
    assert took[0] < 120
    assert again[0] < took[0]
    assert max(took[1], again[1]) < 2


def test_a_page_with_10000_cells(benchmark, tmp_path):
    """One suite of 20 problems, 50 evaluators and ten seeds."""
    write(tmp_path / "results", 1, 20, 50, 10)
    timed_build(tmp_path / "results", tmp_path / "site")
    with open_browser() as browser:
        if browser is None:
            pytest.skip(HINT)
        page = browser.new_page(viewport={"width": 1200, "height": 900})
        sizes: dict[str, int] = {}
        page.on("response", lambda response: sizes.update({Path(response.url).name: len(response.body())}))

        def load() -> None:
            page.goto("about:blank")
            page.goto((tmp_path / "site/suite00/index.html").as_uri())
            page.get_by_text("All 50 evaluators").wait_for()

        def choose() -> None:
            page.locator("select[name=dataset]").select_option("problem03")
            page.get_by_text("50 evaluators ranked").wait_for()

        benchmark.pedantic(load, rounds=5, warmup_rounds=1)
        started = time.perf_counter()
        choose()
        shown = {
            "bytes": sum(sizes.values()),
            "data": sizes["data.js"],
            "filter, s": round(time.perf_counter() - started, 2),
        }
        benchmark.extra_info.update(shown)
        print(shown, sizes)
        assert benchmark.stats.stats.median < 3
