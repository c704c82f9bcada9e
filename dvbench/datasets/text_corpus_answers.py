"""Three corpora of a million texts each, from the Hugging Face hub; what counts are answers."""

from __future__ import annotations

from dvbench.datasets.text_corpus import corpora_of_texts
from dvbench.problems.source import Source


def text_corpus_answers() -> Source:
    """The data set text_corpus with a loss on test texts that counts their answers, not their questions.

    The questions are TruthfulQA's (truthfulqa/truthful_qa, config generation, Apache-2.0). Everything else, licences
    too, is as in text_corpus.

    References
    ----------
    L. Ma, S. Yang, Z. Wang, Y. Wang, L. Wang, T. Wei and K. Zhang, "Losing is for Cherishing: Data Valuation Based on
    Machine Unlearning and Shapley Value", 2025, https://arxiv.org/abs/2505.16147, section 4.1.
    S. Lin, J. Hilton and O. Evans, "TruthfulQA: Measuring How Models Mimic Human Falsehoods", ACL 2022,
    https://arxiv.org/abs/2109.07958.
    """
    return corpora_of_texts("answers")
