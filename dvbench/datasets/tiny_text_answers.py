"""A little of five corpora, from the Hugging Face hub; what counts are answers."""

from __future__ import annotations

from dvbench.datasets.tiny_text import tiny_texts
from dvbench.problems.source import Source


def tiny_text_answers() -> Source:
    """The data set tiny_text with a loss on test texts that counts their answers, not their questions.

    TruthfulQA's questions (truthfulqa/truthful_qa, config generation, Apache-2.0) that leave no room for an answer in
    64 tokens are left out. Everything else, licences too, is as in tiny_text.

    References
    ----------
    S. Lin, J. Hilton and O. Evans, "TruthfulQA: Measuring How Models Mimic Human Falsehoods", ACL 2022,
    https://arxiv.org/abs/2109.07958.
    """
    return tiny_texts("answers")
