"""The site's files: whole, without anything from elsewhere, and nothing from results runs in them."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote

import numpy as np
import pytest
from made_up import a_cell, a_result, a_score, scores_of
from test_index import submitted

from dvbench.results import Score
from leaderboard.bibliography import PAPER, bibliography, bibtex, linked
from leaderboard.build import build
from leaderboard.descriptions import describe
from leaderboard.index import ScoreCurves
from leaderboard.site.assets import assets
from leaderboard.site.catalogue import slug
from leaderboard.site.payloads import SeedCurves, charts, script, suite_data
from leaderboard.site.rounding import short
from leaderboard.statistics import suite_statistics
from leaderboard.tables import COSTS_IN_WORDS, RANKS_IN_WORDS, SCORES_IN_WORDS

EVIL = "</script><script>alert('x')</script><img src=x onerror=y> &\u2028"
CURVES = {"fraction": [0.0, 0.5, 1.0], "recall": [0.0, 0.75, 1.0]}
AXES = {"recall": "fraction"}


def detection(value: float) -> Score:
    return Score(
        version=1, headline="f1", higher_is_better=True, metrics={"f1": value, "other": 1.0}, curves=CURVES, axes=AXES
    )


@pytest.fixture
def site(write, tmp_path) -> Path:
    table = {
        ("digits", name, seed): {"f": detection(0.1 * position + 0.01 * seed), "loss": 1.0 * position}
        for position, name in enumerate(("A", "B", "random"))
        for seed in (0, 1)
    }
    table |= {("wine", name, 0): {"f": 0.5, "loss": a_score(None, error=EVIL)} for name in ("A", "B")}
    store = write(table, ("f", "loss"))
    submitted(store, "Mine", [a_cell("wine", "Mine", 0, ("f", "loss"))])
    build(store.root, tmp_path / "site")
    return tmp_path / "site"


EXAMPLE = "data:image/png;base64,"  # an image of a data set


class Links(HTMLParser):
    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[str] = []
        self.scripts: list[dict[str, str | None]] = []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        reported = dict(attrs)
        self.found += [reported[name] for name in ("href", "src") if name in reported]
        self.scripts += [reported] if tag == "script" else []
        assert not any(name.startswith("on") for name in reported), reported


def test_every_link_leads_to_a_file_of_the_site(site):
    pages = sorted(site.rglob("*.html"))
    assert [str(page.relative_to(site)) for page in pages] == [
        "about/datasets/digits.html", "about/datasets/wine.html", "about/evaluators/A.html", "about/evaluators/B.html",
        "about/evaluators/Mine.html", "about/evaluators/random.html", "about/index.html", "about/tasks/f.html",
        "about/tasks/loss.html", "glossary.html", "index.html", "small/compare.html", "small/datasets/digits.html",
        "small/datasets/wine.html", "small/evaluators/A.html", "small/evaluators/B.html", "small/evaluators/Mine.html",
        "small/evaluators/random.html", "small/index.html", "submissions.html",
    ]  # fmt: skip
    for page in pages:
        for link in Links(page.read_text(encoding="utf-8")).found:
            if link.startswith(("#", "https://", EXAMPLE)):
                continue
            assert (page.parent / unquote(link.partition("#")[0])).is_file(), (page, link)


def test_nothing_comes_from_elsewhere_and_scripts_are_files(site):
    for page in site.rglob("*.html"):
        parsed = Links(page.read_text(encoding="utf-8"))
        assert all(each.get("src") and not each["src"].startswith("http") for each in parsed.scripts)
        outside = [link for link in parsed.found if re.match(r"[a-z]+:|//", link)]
        known = ("https://example.org/x", "https://doi.org/10.24432/", "https://arxiv.org/abs/", EXAMPLE)
        assert all(link.startswith(known) for link in outside)
        assert "default-src 'none'" in page.read_text(encoding="utf-8")


def test_what_results_say_is_escaped_everywhere(site):
    shown = site / "small/index.html"
    assert "&lt;/script&gt;&lt;script&gt;" in shown.read_text(encoding="utf-8")
    for path in [*site.rglob("*.html"), *(site / "small").rglob("*.js")]:
        text = path.read_text(encoding="utf-8")
        assert "<script>alert" not in text
        assert "<img src=x" not in text


def test_scripts_with_data_cannot_be_broken_out_of():
    text = script("receive", {"name": EVIL}, [1.5, None, False]).decode()
    assert not set("<>&\u2028") & set(text)
    assert text.startswith("dvbench.receive({")
    assert json.loads(text.removeprefix("dvbench.receive(").partition("},")[0] + "}") == {"name": EVIL}
    with pytest.raises(ValueError, match="JSON compliant"):
        script("receive", float("nan"))


def test_data_have_every_score_of_every_seed(write):
    store = write({("p", "A", 0): {"f": 1 / 3}, ("p", "A", 1): "broke", ("p", "random", 1): {"f": 2.0}})
    scores = scores_of(store)
    data = suite_data(scores, suite_statistics(scores))
    shown = [(each["name"], each["role"], each["mark"]) for each in data["evaluators"]]
    assert shown == [("A", "", "claimed"), ("random", "random", "claimed")]
    assert data["quantiles"] == {2: pytest.approx(12.7062047)}
    (column,) = data["columns"]
    assert column == {
        "problem": 0, "task": "f", "metric": "f1", "up": True, "range": [None, None],
        "values": [[0.333333333, False], [None, 2.0]],
    }  # fmt: skip
    assert data["problems"][0]["level"] == "points"
    # A's second valuation broke: it has no seconds.
    assert data["problems"][0]["seconds"] == [None, 2.0]


def test_numbers_that_are_none_are_told_as_none():
    assert [short(each) for each in (float("inf"), float("nan"), 1 / 3)] == [None, None, 0.333333333]


SAYS = {
    "index.html": [RANKS_IN_WORDS],
    "small/index.html": [RANKS_IN_WORDS, "neighbouring ranks are separable"],
    "small/evaluators/random.html": [SCORES_IN_WORDS.replace(" (#)", ""), COSTS_IN_WORDS, '<th scope="col">n</th>'],
    "small/datasets/digits.html": [SCORES_IN_WORDS, ", n = "],
}


def of_seed(seed: int, lines: dict[str, np.ndarray], axes: dict[str, str]) -> SeedCurves:
    return SeedCurves("p", seed, ScoreCurves(seed, "f", lines, axes))


def test_charts_are_means_over_seeds():
    def curves(seed, scale):
        lines = {"fraction": np.array([0.0, 1.0]), "recall": scale * np.array([1.0, 2.0])}
        return of_seed(seed, lines, {"recall": "fraction"})

    (chart,) = charts([curves(0, 1.0), curves(1, 3.0)])
    assert chart["lines"] == {"recall": [2.0, 4.0]}
    assert (chart["x"], chart["axis"], chart["seeds"]) == ([0.0, 1.0], "fraction of players", 2)
    assert chart["bands"] == {"recall": [[1.0, 2.0], [3.0, 6.0]]}


def test_seeds_with_another_x_axis_are_not_averaged():
    def density(seed, x):
        return of_seed(seed, {"log10_loss": np.array(x), "full": np.array([x[0], 1.0])}, {"full": "log10_loss"})

    (chart,) = charts([density(0, [0.0, 1.0]), density(1, [5.0, 6.0])])
    assert (chart["x"], chart["lines"], chart["seeds"]) == ([0.0, 1.0], {"full": [0.0, 1.0]}, 1)


@pytest.mark.parametrize("axis", ["player", "coalition"])
def test_points_by_player_are_those_of_one_seed(axis):
    """The first player of another seed is another subset."""
    (chart,) = charts(
        [
            of_seed(seed, {"exact": np.array([scale, 2 * scale])}, {"exact": axis})
            for seed, scale in ((0, 1.0), (1, 3.0))
        ]
    )
    assert (chart["axis"], chart["seeds"], chart["lines"]) == (axis, 1, {"exact": [1.0, 2.0]})


def test_what_is_compared_by_player_is_drawn_over_the_data_values():
    lines = {"value": np.array([3.0, 1.0]), "exact": np.array([0.5, 0.25])}
    (chart,) = charts([of_seed(0, lines, dict.fromkeys(lines, "player"))])
    assert (chart["axis"], chart["x"], chart["lines"]) == ("data value", [3.0, 1.0], {"exact": [0.5, 0.25]})
    assert chart["points"]


def test_every_line_is_drawn_over_its_own_x_axis():
    two = np.array([1.0, 2.0])
    lines = {"step": np.array([0.0, 5.0]), "unlearning_forget": two, "train_loss": two, "retrained_forget": two}
    axes = {"unlearning_forget": "step", "train_loss": "epoch", "retrained_forget": "player"}
    by_axis = {chart["axis"]: (chart["x"], list(chart["lines"])) for chart in charts([of_seed(0, lines, axes)])}
    assert by_axis == {
        "steps of unlearning": ([0.0, 5.0], ["unlearning_forget"]),
        "epoch": ([0, 1], ["train_loss"]),
        "player": ([0, 1], ["retrained_forget"]),
    }


def test_an_axis_that_no_list_names_is_labelled_by_its_name():
    two = np.array([1.0, 2.0])
    (chart,) = charts([of_seed(0, {"noise_rate": np.array([0.1, 0.2]), "accuracy": two}, {"accuracy": "noise_rate"})])
    assert (chart["axis"], chart["x"], chart["lines"]) == ("noise rate", [0.1, 0.2], {"accuracy": [1.0, 2.0]})


def test_the_download_has_every_planned_score(site):
    reported = json.loads((site / "small/scores.json").read_text(encoding="utf-8"))
    assert (reported["suite"], reported["version"]) == ("small", 1)
    assert len(reported["scores"]) == 18
    statuses = {(each["evaluator"], each["status"]) for each in reported["scores"] if each["problem"] == "wine"}
    assert statuses == {("A", "ok"), ("A", "failed"), ("B", "ok"), ("B", "failed"), ("Mine", "missing")}


def test_an_evaluators_page_says_what_it_is_and_what_its_authors_say(site):
    mine = (site / "about/evaluators/Mine.html").read_text(encoding="utf-8")
    assert "A. Author" in mine
    assert '<a href="https://example.org/x" rel="nofollow noopener noreferrer">' in mine
    known = (site / "small/evaluators/random.html").read_text(encoding="utf-8")
    assert describe("evaluators", "random").sentence in known
    assert "All metrics" in known
    assert (site / "small/curves/random.js").read_text(encoding="utf-8").startswith('dvbench.curves("random",[{')


def test_pages_say_what_their_numbers_are(site):
    """One kind of interval with the number of seeds, another one of mean ranks, and no other numbers in a text."""
    pages = {name: (site / name).read_text(encoding="utf-8") for name in SAYS}
    for name, texts in SAYS.items():
        for text in texts:
            assert text in pages[name], (name, text)
        assert "±" not in pages[name]
        for paragraph in re.findall(r"<p\b.*?</p>", pages[name], re.DOTALL):
            assert not re.search(r"[{\[]&#39;|nan\b", paragraph), paragraph


def test_names_that_are_no_plain_ones_still_make_files():
    assert slug("fashion_mnist") == "fashion_mnist"
    made = slug("csv:../../etc/x.csv?label=a b")
    assert re.fullmatch(r"[A-Za-z0-9_.+-]+-[0-9a-f]{8}", made)
    assert "/" not in made
    assert slug("csv:a?label=b") != slug("csv:a?label=c")


def test_datatables_is_a_plain_script():
    text = assets()["datatables.js"].decode()
    assert "window.DataTable=" in text
    assert "export{" not in text


def test_references_become_bibtex():
    entry = bibtex("data_shapley", "A. Ghorbani, J. Zou. Data Shapley: equitable valuation. ICML 2019.")
    assert entry == (
        "@misc{data_shapley,\n  author = {A. Ghorbani and J. Zou},\n"
        "  title = {{Data Shapley: equitable valuation}},\n  howpublished = {ICML 2019},\n  year = {2019},\n}\n"
    )
    other = bibtex("y", "R. D. Cook. Detection. Technometrics 19(1), 1977, doi:10.1080/0.1. Section 2.")
    assert "  howpublished = {Technometrics 19(1), 1977},\n  year = {1977},\n  doi = {10.1080/0.1},\n}" in other
    assert "howpublished" not in bibtex("z", "H. Cai. CHG Shapley. arXiv:2406.11730, 2024.")
    assert bibtex("x", "Some 50% text} \\input{evil}") == "@misc{x,\n  note = {Some 50\\% text inputevil},\n}\n"


def test_a_paper_has_one_entry():
    papers = [("a", "H. Cai. CHG Shapley. arXiv:2406.11730, 2024. Section 1."), ("a", "J. Zou. Second. ICML 2019.")]
    text = bibliography(
        [*papers, ("b", "H. Cai. CHG Shapley. arXiv:2406.11730, 2024."), ("b", "J. Zou. second. X 2020.")]
    )
    assert re.findall(r"@misc{(.*?),", text) == ["a", "a-2"]
    assert "eprint = {2406.11730}" in text


def test_references_link_to_papers_only():
    parts = linked("A. Title. X 2020, arXiv:2406.11730. See doi:10.1/2, javascript:alert(1), http://x.example.")
    assert [address for _, address in parts if address] == ["https://arxiv.org/abs/2406.11730"]
    assert "".join(part for part, _ in parts).endswith("javascript:alert(1), http://x.example.")
    assert linked("https://x.example", PAPER) == [("https://x.example", "")]
    assert linked("doi:10.1561/1500000019.")[0] == ("doi:10.1561/1500000019", "https://doi.org/10.1561/1500000019")


@pytest.mark.parametrize("text", ["A.B" * 100 + "!", "A. " * 100, "A. B, " * 60, "A.-" * 100])
def test_no_reference_takes_long_to_read(text):
    import time

    started = time.perf_counter()
    bibtex("x", text[:300])
    assert time.perf_counter() - started < 1


def test_direction_characters_are_not_shown(write, tmp_path):
    store = write({("p", "A", 0): None})
    result = a_result(a_cell("p", "A", 0, ("f",)), {"f": a_score(0.9)}, evaluator_version="1\u202e2")
    there = result.environment.model_copy(update={"processor": "a\u202eb\nc"})
    store.write(result.model_copy(update={"environment": there}), {"values": np.zeros(20)})
    build(store.root, tmp_path / "out")
    for page in (tmp_path / "out").rglob("*.html"):
        assert "\u202e" not in page.read_text(encoding="utf-8")
    assert "a?b c (4 cores, cpu)" in (tmp_path / "out/small/evaluators/A.html").read_text(encoding="utf-8")


def test_every_evaluator_that_ships_is_described():
    from dvbench.registry import entries

    for kind in ("evaluators", "unlearning", "datasets"):
        for name in entries(kind):
            assert describe(kind, name).summary, name


def test_submitted_text_is_no_tex_and_no_html(write, tmp_path):
    store = write({("p", "A", 0): {"f": 0.5}})
    cell = a_cell("p", "Mine", 0, ("f",))
    store.write(a_result(cell, {"f": a_score(0.9)}), {"values": np.zeros(20)})
    submitted(store, "Mine", [cell])
    submission = store.submissions()[0]
    about = submission.about.model_copy(update={"authors": ("<b>x</b>",), "reference": "}\\write18{rm}"})
    store.write_submission(submission.model_copy(update={"about": about}))
    build(store.root, tmp_path / "out")
    page = (tmp_path / "out/about/evaluators/Mine.html").read_text(encoding="utf-8")
    assert "&lt;b&gt;x&lt;/b&gt;" in page
    assert "<b>x" not in page
    assert "\\write18" not in (tmp_path / "out/small/references.bib").read_text(encoding="utf-8")
