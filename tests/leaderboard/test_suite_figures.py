"""Figures that are in the results are shown on the page of their suite."""

from __future__ import annotations

from leaderboard.build import build
from leaderboard.site.suite_figures import shown_exhibits

PAGE = """# small: tables and figures

## Removal &#60;1&#62;

Means over
seeds.

**adult**

![Removal &#60;1&#62;: adult](removal.svg)

![Removal](missing.svg)

| a |
| --- |

## A table alone

| a |
"""


def test_figures_stand_with_their_captions(write, tmp_path):
    store = write({("p", "A", 0): {"f": 0.5}})
    folder = store.root / "figures/small"
    assert shown_exhibits(folder, "small") == []
    folder.mkdir(parents=True)
    (folder / "small.md").write_text(PAGE)
    (folder / "removal.svg").write_text("<svg/>")
    (exhibit,) = shown_exhibits(folder, "small")
    assert (exhibit.title, exhibit.caption, exhibit.figures) == (
        "Removal <1>",
        "Means over seeds.",
        {"removal.svg": "Removal <1>: adult"},
    )
    build(store.root, tmp_path / "site")
    page = (tmp_path / "site/small/index.html").read_text(encoding="utf-8")
    assert "Removal &lt;1&gt;" in page
    assert 'src="figures/removal.svg"' in page
    assert (tmp_path / "site/small/figures/removal.svg").read_text() == "<svg/>"
