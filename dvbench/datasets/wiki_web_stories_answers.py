"""Three corpora at the size of a sample, from the Hugging Face hub; what counts are answers."""

from __future__ import annotations

from dvbench.datasets.wiki_web_stories import wiki_web_and_stories
from dvbench.problems.source import Source


def wiki_web_stories_answers() -> Source:
    """The data set wiki_web_stories with a loss on test texts that counts their answers, not their questions.

    The questions are TruthfulQA's (truthfulqa/truthful_qa, config generation, Apache-2.0). Everything else, licences
    too, is as in wiki_web_stories.

    References
    ----------
    S. Lin, J. Hilton and O. Evans, "TruthfulQA: Measuring How Models Mimic Human Falsehoods", ACL 2022,
    https://arxiv.org/abs/2109.07958.
    """
    return wiki_web_and_stories("answers")
