"""The table of a suite: scores by task, reference rows, and the models that unlearning methods are compared with."""

from __future__ import annotations

import re

import pytest
from made_up import scores_of

from dvbench.results import Score
from leaderboard.build import build
from leaderboard.reference_models import FULL, RETRAINED, model_scores
from leaderboard.site.payloads import suite_data
from leaderboard.site.suite_table import suite_table
from leaderboard.statistics import suite_statistics

UNLEARNING = ("output_divergence", "knowledge_retention", "retrained_agreement")


def table_of(store):
    suite = scores_of(store)
    return suite_table(suite, suite_statistics(suite))


def texts(row):
    return [text for _, text in row["scores"]]


def test_scores_are_means_over_seeds_then_problems(write):
    """A has 1 and 3 in p, and 10 in q: a mean of 6, and not one over all seeds."""
    values = {("p", 0): 1.0, ("p", 1): 3.0, ("q", 0): 10.0}
    made = table_of(write({(p, name, seed): {"f": v} for (p, seed), v in values.items() for name in "AB"}))
    assert [(each["title"], each["metric"], each["up"]) for each in made["columns"]] == [("f", "f1 ↑", True)]
    assert [texts(row) for row in made["rows"]] == [["6.000"]] * 2
    assert made["reference_rows"] == []


def test_an_evaluator_that_failed_in_a_problem_has_no_mean(write):
    table = {("p", "A", 0): {"f": 1.0}, ("q", "A", 0): {"f": 2.0}, ("p", "B", 0): {"f": 1.0}, ("q", "B", 0): "broke"}
    made = table_of(write(table))
    assert {row["evaluator"]: (texts(row), row["lacking"]) for row in made["rows"]} == {
        "A": (["1.500"], 0),
        "B": ([""], 1),
    }


def test_reference_rows_are_last_and_have_no_rank(write, tmp_path):
    store = write({("p", name, 0): {"f": v} for name, v in (("A", 0.5), ("B", 0.4), ("random", 0.9))})
    made = table_of(store)
    assert [(row["evaluator"], row["role"], texts(row)) for row in made["reference_rows"]] == [
        ("random", "random", ["0.900"])
    ]
    build(store.root, tmp_path / "out")
    page = (tmp_path / "out/small/index.html").read_text(encoding="utf-8")
    ranked, _, apart = page.partition("<tfoot")
    assert "evaluators/A.html" in ranked
    assert "evaluators/random.html" not in ranked
    assert re.search(r'<small>reference</small></td><th scope="row"><a href="evaluators/random.html">', apart)


def unlearned(headline: str, up: bool, **metrics: float) -> Score:
    return Score(version=1, headline=headline, higher_is_better=up, metrics=metrics)


@pytest.fixture
def unlearning(write):
    def of(full: float) -> dict[str, Score]:
        return {
            "output_divergence": unlearned("lkd", False, lkd=0.5, lkd_full=full),
            "knowledge_retention": unlearned("kr_error", False, kr_error=0.1, kr_forget_retrained=-full),
            "retrained_agreement": unlearned("spc", True, spc=0.2),
        }

    return write({("p", name, seed): of(0.1 + 0.2 * seed) for name in "AB" for seed in (0, 1)}, UNLEARNING)


def test_unlearning_is_compared_with_the_retrained_and_the_full_model(unlearning, tmp_path):
    made = table_of(unlearning)
    rows = {row["evaluator"]: texts(row) for row in made["reference_rows"]}
    # The full model has knowledge 1, and the retrained one -0.1 and -0.3: errors of 1.1 and 1.3.
    assert rows == {RETRAINED: ["0.000", "0.000", "1.000"], FULL: ["0.200", "1.200", ""]}
    # Both methods have 0.5 in the first task, and 0.1 in the second: the full model is better in the first one only.
    assert made["doing_nothing"] == [
        "By output divergence, the full model, which has unlearned nothing, is nearer to the retrained models than "
        "2 of 2 methods."
    ]
    suite = scores_of(unlearning)
    columns = suite_data(suite, suite_statistics(suite))["columns"]
    assert columns[0]["models"] == {RETRAINED: [0, 0], FULL: pytest.approx([0.1, 0.3])}
    assert FULL not in columns[2]["models"]
    build(unlearning.root, tmp_path / "out")
    apart = (tmp_path / "out/small/index.html").read_text(encoding="utf-8").partition("<tfoot")[2]
    assert "full model <small>nothing unlearned</small>" in apart
    assert "evaluators/full" not in apart


def test_a_retrained_model_reaches_its_ceiling(unlearning):
    scores = scores_of(unlearning).scores.assign(ceiling=lambda frame: 0.7)
    known = model_scores(scores)
    assert set(known.loc[known["model"] == RETRAINED, "value"]) == {0.7}


def test_other_tasks_have_no_such_models(write):
    assert model_scores(scores_of(write({("p", "A", 0): {"f": 1.0}})).scores).empty
