"""The tuned track is what its script makes of the declared spaces and of the published trials."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
spec = importlib.util.spec_from_file_location("tune_evaluators", ROOT / "tests/benchmarks/tune_evaluators.py")
tune = importlib.util.module_from_spec(spec)
spec.loader.exec_module(tune)


def test_dimensions():
    assert [tune.log(1, 100)(share) for share in (0, 0.5, 1)] == [1, 10, 100]
    assert [tune.whole(1, 100)(share) for share in (0, 0.25, 1)] == [1, 3, 100]
    assert [tune.real(-1, 1)(share) for share in (0, 0.5, 1)] == [-1, 0, 1]
    assert [tune.one_of("a", "b")(share) for share in (0, 0.49, 0.5, 0.99)] == ["a", "a", "b", "b"]
    assert tune.settings({"method": {"name": "m"}}, {"method.lr": 1, "k": 2}) == {
        "method": {"name": "m", "lr": 1},
        "k": 2,
    }


@pytest.mark.parametrize("name", tune.SPACES)
def test_trials_differ(name):
    drawn = tune.trials(name)
    assert len(drawn) == 5
    assert len({str(params) for params in drawn.values()}) == 5


def test_the_suite_of_trials_has_the_points_of_the_spaces():
    assert (tune.SUITES / f"{tune.TRIALS}.toml").read_text(encoding="utf-8") == tune.trials_suite()


def test_the_tuned_settings_are_those_of_the_best_trials():
    assert (tune.SUITES / f"{tune.TUNED}.toml").read_text(encoding="utf-8") == tune.tuned_suite(
        tune.ranked_trials(ROOT / "results")
    )
