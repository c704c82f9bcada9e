"""Early averages, normalised scores, win rates and marks, on cases that are known."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made_up import scores_of

from leaderboard import statistics
from leaderboard.suite_scores import COSTS

REST = [name for name in COSTS if name != "seconds"]
RANDOM = {"random": "random"}


def sheet(values, task="f", up=True) -> pd.DataFrame:
    """Scores by {problem: {evaluator: [one a seed, None where it failed]}}."""
    return pd.DataFrame(
        [
            {
                "problem": problem,
                "task": task,
                "evaluator": evaluator,
                "seed": seed,
                "value": np.nan if value is None else float(value),
                "metric": "m",
                "higher_is_better": up,
                "lowest": -np.inf,
                "highest": np.inf,
                "status": "failed" if value is None else "ok",
                "error": "",
            }
            for problem, evaluators in values.items()
            for evaluator, seeds in evaluators.items()
            for seed, value in enumerate(seeds)
        ]
    )


def by_name(frame: pd.DataFrame, column: str) -> dict[str, float]:
    return dict(zip(frame["evaluator"], frame[column], strict=True))


def test_ranks_are_taken_before_averages():
    """Steady is better in four of five seeds; one lucky seed makes Lucky's average the better one."""
    scores = sheet({"p": {"Steady": [0.5, 0.5, 0.5, 0.5, 0.5], "Lucky": [0.4, 0.4, 0.4, 0.4, 1.0]}})
    averaged = scores.groupby("evaluator")["value"].mean()
    assert averaged["Lucky"] > averaged["Steady"]
    assert by_name(statistics.summary(scores), "rank") == {"Steady": 1.0, "Lucky": 2.0}
    ranked = statistics.overall(scores)
    assert by_name(ranked, "mean_rank") == pytest.approx({"Steady": 1.2, "Lucky": 1.8})
    assert ranked["evaluator"].tolist() == ["Steady", "Lucky"]


def test_scores_of_tasks_are_not_averaged_with_each_other():
    """A task with large numbers would outweigh all others."""
    small = sheet({"p": {"A": [0.9], "B": [0.1]}, "q": {"A": [0.9], "B": [0.1]}})
    large = sheet({"p": {"A": [100.0], "B": [900.0]}}, task="g")
    assert by_name(statistics.overall(pd.concat([small, large])), "rank") == {"A": 1, "B": 2}


def test_normalised_scores_by_hand():
    # Above random: the best of each seed is 4 and 2 above, 3 on average. A reference row has a score and is no best.
    scores = sheet({"p": {"random": [1.0, 2.0], "A": [5.0, 2.0], "B": [3.0, 4.0], "C": [None, -9.0]}})
    x = statistics.normalise(scores, RANDOM).groupby(scores["evaluator"]).mean()
    assert x.to_dict() == pytest.approx({"random": 0.0, "A": (4 + 0) / 6, "B": (2 + 2) / 6, "C": -1.0})
    overall = statistics.overall(scores, RANDOM)
    assert by_name(overall, "normalised")["B"] == pytest.approx(2 / 3)
    assert np.isnan(by_name(statistics.overall(scores), "normalised")["B"])


def test_lower_is_better_is_normalised_too():
    scores = sheet({"p": {"random": [4.0], "A": [1.0], "B": [5.5]}}, up=False)
    x = statistics.normalise(scores, RANDOM)
    assert dict(zip(scores["evaluator"], x, strict=True)) == pytest.approx({"random": 0.0, "A": 1.0, "B": -0.5})


def test_where_nobody_beats_random_what_is_below_counts_as_minus_one():
    scores = sheet({"p": {"random": [1.0], "A": [0.9], "B": [1.0]}})
    x = statistics.normalise(scores, RANDOM)
    assert dict(zip(scores["evaluator"], x, strict=True)) == {"random": 0.0, "A": -1.0, "B": 0.0}


def test_failing_counts_where_random_failed_too():
    scores = sheet({"p": {"random": [1.0], "A": [2.0]}, "q": {"random": [None], "A": [None]}})
    assert by_name(statistics.overall(scores, RANDOM), "normalised") == {"A": 0.0, "random": -0.5}


def test_a_mean_over_the_seeds_that_are_left_wins_no_rank():
    scores = sheet({"p": {"A": [0.9, None], "B": [0.9, 0.8]}})
    summary = statistics.summary(scores)
    assert by_name(summary, "mean")["A"] > by_name(summary, "mean")["B"]
    assert by_name(summary, "rank") == {"A": 2.0, "B": 1.0}


def test_who_runs_out_of_time_is_not_cheap():
    cells = pd.DataFrame(
        [
            {"problem": p, "evaluator": e, "status": "ok" if s else "failed", "seconds": s, **dict.fromkeys(REST, 0.0)}
            for p, e, s in [("p", "A", 1.0), ("q", "A", None), ("p", "B", 1.0), ("q", "B", 1000.0)]
        ]
    )
    assert statistics.seconds(statistics.cost(cells)).to_dict() == pytest.approx({"A": np.nan, "B": 500.5}, nan_ok=True)


def test_a_seed_on_a_busy_machine_does_not_decide_what_a_valuation_takes():
    cells = pd.DataFrame(
        {"problem": "p", "evaluator": "A", "status": "ok", "seconds": [2.0, 60.0, 3.0], **dict.fromkeys(REST, 0.0)}
    )
    assert statistics.seconds(statistics.cost(cells))["A"] == 3.0


def test_evaluators_with_nothing_in_common_are_ranked_where_most_meet():
    scores = sheet({"p": {"A": [1.0]}, "q": {"B": [1.0]}, "r": {"C": [1.0]}})
    frame = statistics.overall(scores)
    # First in one's own column, and second with another in the columns of both.
    assert by_name(frame, "mean_rank") == pytest.approx(dict.fromkeys("ABC", (1 + 2.5 + 2.5) / 3))
    assert (frame["tier"] == 1).all()
    assert statistics.wins(scores).loc["A", "B"] == 0.5


def test_win_rates_by_hand():
    scores = sheet({"p": {"A": [3, 3], "B": [2, 3], "C": [None, None]}})
    wins = statistics.wins(scores)
    assert wins.loc["A"].tolist() == pytest.approx([np.nan, 0.75, 1.0], nan_ok=True)
    assert wins.loc["C"].tolist() == pytest.approx([0.0, 0.0, np.nan], nan_ok=True)


value = st.integers(-3, 3)
few = settings(deadline=None, max_examples=40)
tables = st.lists(st.lists(value, min_size=8, max_size=8), min_size=4, max_size=4)


@pytest.mark.slow
@few
@given(tables, st.sets(st.integers(0, 7), min_size=1), st.booleans())
def test_failing_never_helps(rows, failing, up):
    """Whatever A scores, failing instead makes none of its numbers better."""
    names = ["A", "B", "C", "random"]

    def told(rows):
        problems = {"p": slice(0, 4), "q": slice(4, 8)}
        scores = sheet(
            {p: {name: row[part] for name, row in zip(names, rows, strict=True)} for p, part in problems.items()}, up=up
        )
        mine = statistics.overall(scores, RANDOM).set_index("evaluator").loc["A"]
        return mine["mean_rank"], mine["normalised"], statistics.wins(scores).loc["A"].drop("A").to_numpy()

    rank, normalised, wins = told(rows)
    failed = [[None if path in failing else v for path, v in enumerate(rows[0])], *rows[1:]]
    rank_failing, normalised_failing, wins_failing = told(failed)
    assert rank_failing >= rank - 1e-12
    assert normalised_failing <= normalised + 1e-12
    assert (wins_failing <= wins + 1e-12).all()


@pytest.mark.slow
@few
@given(tables)
def test_win_rates_of_a_pair_add_up_to_one_and_to_the_mean_rank(rows):
    scores = sheet({"p": dict(zip("ABCD", rows, strict=True))})
    wins = statistics.wins(scores)
    assert np.nansum(np.abs((wins + wins.T - 1).to_numpy())) == pytest.approx(0)
    ranks = statistics.overall(scores).set_index("evaluator")["mean_rank"]
    # Whoever beats a share w of k - 1 others has rank k - w (k - 1).
    assert (4 - wins.mean(axis=1) * 3).to_dict() == pytest.approx(ranks.to_dict())


@pytest.mark.slow
@few
@given(tables, st.permutations(range(4)))
def test_intervals_hold_the_rank_and_do_not_depend_on_order(rows, order):
    table = {name: rows[path] for path, name in enumerate("ABCD")}
    first = statistics.overall(sheet({"p": table, "q": dict(reversed(table.items()))}))
    assert (first["first"] <= first["rank"]).all()
    assert (first["last"] >= first["rank"]).all()
    shuffled = {"ABCD"[path]: rows[path] for path in order}
    again = statistics.overall(sheet({"p": shuffled, "q": shuffled}))
    pd.testing.assert_frame_equal(first, again)


def test_marks_are_the_weakest_of_the_cells(write):
    from dvbench.results import Verified, VerifiedCell
    from leaderboard.tables import marks

    store = write({("p", name, seed): {"f": 0.5} for name in "AB" for seed in (0, 1)})
    assert marks(scores_of(store).cells) == {"A": "claimed", "B": "claimed"}
    import hashlib

    def sha(name, seed):
        return hashlib.sha256((store.root / f"small/p/{name}/seed-{seed}/result.json").read_bytes()).hexdigest()

    for name, hows in (("A", ("re-run", "recomputed")), ("B", ("re-run", "re-run"))):
        cells = {f"p/seed-{seed}": VerifiedCell(sha256=sha(name, seed), how=how) for seed, how in enumerate(hows)}
        store.write_verified(Verified(suite="small", evaluator=name, dvbench_version="0", cells=cells))
    assert marks(scores_of(store).cells) == {"A": "recomputed", "B": "re-run"}
    # Another result, another hash: what was verified is not this.
    result = next(store.results("small"))
    store.write(result.model_copy(update={"diagnostics": {"x": 1.0}}))
    assert marks(scores_of(store).cells) == {"A": "claimed", "B": "re-run"}


def test_the_board_shows_what_fresh_seeds_have_shown(write, tmp_path):
    from dvbench.results import FreshRun, FreshScore, Verified, VerifiedCell
    from leaderboard.build import build
    from leaderboard.index import open_index
    from leaderboard.site.pages import _mean_of_seeds
    from leaderboard.tables import Entry, gaps, marks

    store = write({("p", name, 0): {"f": 0.9} for name in "ABC"})
    with open_index(store, "small") as index:
        hashes = index.read().results.set_index("evaluator")["sha256"]

    def record(name: str, how: str, fresh: float, sha256: str) -> None:
        score = FreshScore(problem="p", task="f", metric="m", higher_is_better=True, claimed=(0.9,), fresh=(fresh,))
        run = FreshRun(
            commitment="0" * 64,
            secret="<b>secret",
            seeds=1,
            dvbench_version="0",
            evaluator_version="0",
            scores=(score,),
            failed={"p/seed-5": "<i>boom"} if name == "B" else {},
        )
        cells = {"p/seed-0": VerifiedCell.model_validate({"sha256": sha256, "how": how})}
        store.write_verified(Verified(suite="small", evaluator=name, dvbench_version="0", cells=cells, fresh=run))

    assert _mean_of_seeds([-2e-8]) == "0.000, n = 1"  # as other scores: without an exponent
    record("A", "re-run on fresh seeds", 0.85, hashes["A"])
    record("B", "re-run", 0.4, hashes["B"])  # it got no mark, but its gap is shown
    record("C", "re-run on fresh seeds", 0.9, "0" * 64)  # of other results
    suite = scores_of(store)
    assert marks(suite.cells) == {"A": "re-run on fresh seeds", "B": "re-run", "C": "claimed"}
    assert gaps(suite) == {
        "A": Entry("", note="gap 0.050, at most 0.050 in f on p"),
        "B": Entry("", alarm="gap 0.500, at most 0.500 in f on p"),
    }
    build(store.root, tmp_path / "site")
    page = (tmp_path / "site/small/index.html").read_text()
    assert '<span class="mark re-run on fresh seeds">re-run on fresh seeds</span> <small>gap 0.050</small>' in page
    assert '<span class="alarm">gap 0.500</span>' in page
    assert "It is red (⚠ in Markdown) if" in page
    assert "(gap 0.050, at most 0.050 in f on p)" in (tmp_path / "site/small.md").read_text()
    about = (tmp_path / "site/small/evaluators/B.html").read_text()
    assert "<h2>Fresh seeds</h2>" in about
    assert "&lt;b&gt;secret" in about
    assert "&lt;i&gt;boom" in about
    assert '<td>0.900, n = 1</td><td>0.400, n = 1</td><td><span class="alarm">0.500</span></td>' in about
    assert "gave 1 fresh seed." in about
    assert "Fresh seeds" not in (tmp_path / "site/small/evaluators/C.html").read_text()
