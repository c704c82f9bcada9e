"""Every guide works as it is written, and prints what it shows."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
from running import Guide, matches

GUIDES = sorted((Path(__file__).parents[2] / "docs/guides").glob("*.md"))


@pytest.mark.slow
@pytest.mark.parametrize("page", GUIDES, ids=lambda page: page.stem)
def test_guide(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    Guide(page).run()


@pytest.mark.parametrize(
    ("shown", "printed"),
    [
        ("12 rows", "12  rows\n"),
        ("auroc 0.912", "auroc 0.905"),
        ("took 3 s", "took 14 s"),
        ("took 3.5 s", "took 14 s"),
        ("first ... last", "first second third last"),
        ("first ...", "first"),
        ("value -0.0088", "value -0.0087"),
    ],
)
def test_outputs_that_match(shown, printed):
    assert matches(shown, printed)


@pytest.mark.parametrize(
    ("shown", "printed"),
    [
        ("12 rows", "13 rows"),
        ("auroc 0.912", "auroc 0.85"),
        ("0.5 -0.5", "0.5 0.5"),
        ("value -0.0088", "value -0.0188"),
        ("first ... last", "first second third"),
        ("one", "one two"),
        ("one two", "one"),
        ("rows: 1", "rows: x"),
        ("", "anything"),
    ],
)
def test_outputs_that_differ(shown, printed):
    assert not matches(shown, printed)


def test_an_output_that_changed_fails(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    page = tmp_path / "page.md"
    page.write_text("```python\nprint(1 + 1)\n```\n\n```text\n3\n```\n")
    with pytest.raises(AssertionError, match=r"page.md, line 5 shows\n3\n"):
        Guide(page).run()
    page.write_text("```python\n1 / 0\n```\n")
    with pytest.raises(ZeroDivisionError):
        Guide(page).run()
    page.write_text("```sh\ndvbench describe nothing-of-this-name\n```\n")
    with pytest.raises(AssertionError, match="nothing-of-this-name"):
        Guide(page).run()
