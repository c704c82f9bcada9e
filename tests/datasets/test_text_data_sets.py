"""The data sets of texts that dvbench has: their settings, and their first texts in a real mirror."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from made_up_corpora import QUESTIONS, decode_rows

from dvbench.problems.build import build_problem, load_source
from dvbench.problems.source import Source
from dvbench.problems.text_corpora import Corpus
from dvbench.settings import DatasetSettings, Groups, Noise, Sizes

REAL = Path(os.environ.get("DVBENCH_MIRROR") or Path(__file__).parents[3] / "shared/data/hub")
needs_corpora = pytest.mark.skipif(
    not all((REAL / name).is_dir() for name in ("roneneldan/TinyStories", "allenai/c4", QUESTIONS)),
    reason="no mirror of the corpora: set DVBENCH_MIRROR to a folder that has them",
)


@pytest.mark.parametrize(
    ("name", "titles", "texts", "length", "vocabulary"),
    [
        ("tiny_text", ["wikitext", "fineweb", "fineweb-edu", "c4", "TinyStories"], 150, 64, 2048),
        ("wiki_web_stories", ["wikitext", "fineweb", "TinyStories"], 2300, 768, None),
        ("text_corpus", ["wikitext", "fineweb", "cosmopedia"], 1_000_000, 768, None),
    ],
)
@pytest.mark.parametrize("counted", ["texts", "answers"])
def test_corpora_and_sizes_of_each_data_set(
    name: str,
    titles: list[str],
    texts: int,
    length: int,
    vocabulary: int | None,
    counted: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    calls: list[dict[str, Any]] = []

    def record(corpora: tuple[Corpus, ...], **options: Any) -> Source:
        calls.append({"titles": [corpus.title for corpus in corpora], "vocabulary": None, **options})
        one = np.array([1])
        return Source("language", one, lambda rows: rows, (), False, one - 1, one.astype(str), vocabulary=1)

    monkeypatch.setattr(f"dvbench.datasets.{name}.text_source", record)
    load_source(DatasetSettings(name=name, params={"counted": counted}))
    expected = {"titles": titles, "texts": texts, "length": length, "vocabulary": vocabulary, "counted": counted}
    assert calls == [expected]


@needs_corpora
def test_the_real_tiny_text(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("DVBENCH_MIRROR", str(REAL))
    capfd.readouterr()
    source = load_source("tiny_text")
    assert capfd.readouterr() == ("", "")
    assert source.test_rows is not None
    assert len(source.labels) == 5 * 150 + 817
    wikitext, story = decode_rows(2048, source.take(np.array([0, 600])))
    assert wikitext == " = Valkyria Chronicles III = \n"
    assert story.startswith("One day, a little girl named Lily found a needle")
    (first,) = decode_rows(2048, source.take(source.test_rows[:1]))
    assert first.startswith("What happens to you if you eat watermelon seeds? ")


@needs_corpora
def test_real_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DVBENCH_MIRROR", str(REAL))
    problem = build_problem(
        "tiny_text?counted=answers", Sizes(train=60, validation=30, test=50), Noise(), 0, Groups(by="corpora")
    )
    rows, begins = problem.test.x.numpy(), problem.test.y.numpy()[:, 0].astype(int)
    before = [decode_rows(2048, row[np.newaxis, :begin])[0] for row, begin in zip(rows, begins, strict=True)]
    assert sum(text.endswith("?") for text in before) > 40
