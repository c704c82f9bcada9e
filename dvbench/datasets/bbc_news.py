"""BBC News, from the Hugging Face hub."""

from __future__ import annotations

from dvbench.problems.source import Source
from dvbench.problems.text_encoder import read_labelled_texts


def bbc_news(encoder: str | None = None, encoder_tokens: int = 256, standardise: bool = True) -> Source:
    """BBC News: articles on business, entertainment, politics, sport and tech; 1,225 + 1,000 rows, 5 classes.

    Hub id SetFit/bbc-news, column label_text. The BBC owns the articles; the collection is for research, with a
    citation. The hidden test set is drawn from the test split. On the hub texts are in small letters; a mirror may have
    them as they were printed, in another split; results on it have another data hash. 98 of the texts of a mirror are
    repeats of another one, always with the same class, and 46 of its test texts also stand in its train split.

    Parameters
    ----------
    encoder : str
        Hub id of a frozen encoder of transformers, such as ``"sentence-transformers/all-MiniLM-L6-v2"``, whose features
        stand for the texts. It is required.
    encoder_tokens : int
        Number of tokens of each text that the encoder reads, at most.
    standardise : bool
        Whether columns are standardised with statistics of the training set.

    References
    ----------
    D. Greene and P. Cunningham, "Practical Solutions to the Problem of Diagonal Dominance in Kernel Document
    Clustering", ICML 2006, https://doi.org/10.1145/1143844.1143892.
    """
    return read_labelled_texts("SetFit/bbc-news", "text", "label_text", encoder, encoder_tokens, standardise)
