"""Three corpora of 1,000,000 texts each, from the Hugging Face hub."""

from __future__ import annotations

from dvbench.problems.source import Source
from dvbench.problems.text_corpora import Corpus, Counted, text_source

CORPORA = (
    Corpus("Salesforce/wikitext", "wikitext-103-v1"),
    Corpus("HuggingFaceFW/fineweb", "sample-10BT"),
    Corpus("HuggingFaceTB/cosmopedia", "web_samples_v1"),
)


def text_corpus(counted: Counted = "texts") -> Source:
    """WikiText, FineWeb and Cosmopedia: three corpora of 1,000,000 texts each, 768 tokens, GPT-2's vocabulary.

    These are the corpora of the paper on Unlearning Shapley, which used GPT-2 XL. The texts are the first that are not
    empty of Salesforce/wikitext (config wikitext-103-v1, CC BY-SA 3.0 and GFDL), HuggingFaceFW/fineweb (config
    sample-10BT, ODC-By 1.0) and HuggingFaceTB/cosmopedia (config web_samples_v1, Apache-2.0), in tokens of
    openai-community/gpt2 (modified MIT licence). They are streamed, and their tokens take 4.6 GB in the cache folder.
    Validation and test sets are drawn from the 817 questions of TruthfulQA (truthfulqa/truthful_qa, config generation,
    Apache-2.0), each followed by its best answer.

    Parameters
    ----------
    counted : {"texts", "answers"}
        Which tokens of validation and test texts the loss includes: those of questions and answers, or those of answers
        only. With ``"answers"``, questions so long that no token of their answers is left are dropped.

    References
    ----------
    L. Ma, S. Yang, Z. Wang, Y. Wang, L. Wang, T. Wei and K. Zhang, "Losing is for Cherishing: Data Valuation Based on
    Machine Unlearning and Shapley Value", 2025, https://arxiv.org/abs/2505.16147, section 4.1.
    S. Merity, C. Xiong, J. Bradbury and R. Socher, "Pointer Sentinel Mixture Models", ICLR 2017,
    https://arxiv.org/abs/1609.07843.
    G. Penedo et al., "The FineWeb Datasets: Decanting the Web for the Finest Text Data at Scale", NeurIPS 2024,
    https://arxiv.org/abs/2406.17557.
    L. Ben Allal et al., "Cosmopedia", 2024, https://huggingface.co/datasets/HuggingFaceTB/cosmopedia.
    S. Lin, J. Hilton and O. Evans, "TruthfulQA: Measuring How Models Mimic Human Falsehoods", ACL 2022,
    https://arxiv.org/abs/2109.07958.
    """
    return text_source(CORPORA, texts=1_000_000, length=768, counted=counted)
