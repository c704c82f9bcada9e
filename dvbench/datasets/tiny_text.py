"""The beginnings of 150 texts of each of five corpora, from the Hugging Face hub."""

from __future__ import annotations

from dvbench.problems.source import Source
from dvbench.problems.text_corpora import Corpus, Counted, text_source

CORPORA = (
    Corpus("Salesforce/wikitext", "wikitext-2-v1"),
    Corpus("HuggingFaceFW/fineweb", "sample-10BT"),
    Corpus("HuggingFaceFW/fineweb-edu", "sample-10BT"),
    Corpus("allenai/c4", "en"),
    Corpus("roneneldan/TinyStories"),
)


def tiny_text(counted: Counted = "texts") -> Source:
    """Beginnings of texts: five corpora of 150 texts each, of 64 tokens, 2,048 different ones; models train fast.

    The texts are the first that are not empty: encyclopedia articles (Salesforce/wikitext, config wikitext-2-v1,
    CC BY-SA 3.0 and GFDL), web pages (HuggingFaceFW/fineweb and fineweb-edu, config sample-10BT, ODC-By 1.0;
    allenai/c4, config en, ODC-By) and stories by language models (roneneldan/TinyStories, CDLA-Sharing-1.0). The
    vocabulary is the first tokens of GPT-2's (openai-community/gpt2, modified MIT licence). Validation and test sets
    are drawn from the 817 questions of TruthfulQA (truthfulqa/truthful_qa, config generation, Apache-2.0), each
    followed by its best answer.

    Parameters
    ----------
    counted : {"texts", "answers"}
        Which tokens of validation and test texts the loss includes: those of questions and answers, or those of answers
        only. With ``"answers"``, questions so long that no token of their answers is left are dropped.

    References
    ----------
    S. Merity, C. Xiong, J. Bradbury and R. Socher, "Pointer Sentinel Mixture Models", ICLR 2017,
    https://arxiv.org/abs/1609.07843.
    G. Penedo et al., "The FineWeb Datasets: Decanting the Web for the Finest Text Data at Scale", NeurIPS 2024,
    https://arxiv.org/abs/2406.17557.
    C. Raffel et al., "Exploring the Limits of Transfer Learning with a Unified Text-to-Text Transformer", JMLR 21,
    2020, https://arxiv.org/abs/1910.10683.
    R. Eldan and Y. Li, "TinyStories: How Small Can Language Models Be and Still Speak Coherent English?", 2023,
    https://arxiv.org/abs/2305.07759.
    S. Lin, J. Hilton and O. Evans, "TruthfulQA: Measuring How Models Mimic Human Falsehoods", ACL 2022,
    https://arxiv.org/abs/2109.07958.
    """
    return text_source(CORPORA, texts=150, length=64, vocabulary=2048, counted=counted)
