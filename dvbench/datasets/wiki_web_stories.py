"""Three corpora of 2,300 texts each, from the Hugging Face hub."""

from __future__ import annotations

from dvbench.problems.source import Source
from dvbench.problems.text_corpora import Corpus, Counted, text_source

CORPORA = (
    Corpus("Salesforce/wikitext", "wikitext-2-v1"),
    Corpus("HuggingFaceFW/fineweb", "sample-10BT"),
    Corpus("roneneldan/TinyStories"),
)


def wiki_web_stories(counted: Counted = "texts") -> Source:
    """WikiText, FineWeb and TinyStories: three corpora of 2,300 texts each, 768 tokens, GPT-2's vocabulary.

    The first texts that are not empty of Salesforce/wikitext (config wikitext-2-v1, CC BY-SA 3.0 and GFDL),
    HuggingFaceFW/fineweb (config sample-10BT, ODC-By 1.0) and roneneldan/TinyStories (CDLA-Sharing-1.0), in tokens of
    openai-community/gpt2 (modified MIT licence). Validation and test sets are drawn from the 817 questions of
    TruthfulQA (truthfulqa/truthful_qa, config generation, Apache-2.0), each followed by its best answer.

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
    R. Eldan and Y. Li, "TinyStories: How Small Can Language Models Be and Still Speak Coherent English?", 2023,
    https://arxiv.org/abs/2305.07759.
    S. Lin, J. Hilton and O. Evans, "TruthfulQA: Measuring How Models Mimic Human Falsehoods", ACL 2022,
    https://arxiv.org/abs/2109.07958.
    """
    return text_source(CORPORA, texts=2300, length=768, counted=counted)
