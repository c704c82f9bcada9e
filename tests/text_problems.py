"""Problems of made-up texts whose players are corpora of words of their own."""

from __future__ import annotations

import numpy as np
import torch

from dvbench.problems.perplexity import PADDING
from dvbench.problems.problem import Problem, Split
from dvbench.settings import ModelSettings, Noise, Training

VOCABULARY, LENGTH = 30, 8
TINY = ModelSettings(name="gpt2_tiny", params={"layers": 1, "width": 8})
HOW = Training(epochs=4, batch_size=6, lr=0.02)


def a_text_problem(players=4, each=6, test=8, *, groups=True, answers=False) -> Problem:
    """Every corpus has five tokens of its own, and runs through them in turn; questions have those of all corpora.

    ``answers``: the loss of questions begins in their middle. Without ``groups`` texts are players.
    """
    rng = np.random.default_rng(7)

    def split(corpora, begins) -> Split:
        rows = np.full((len(corpora), LENGTH), PADDING, dtype=np.uint16)
        for row, corpus in enumerate(corpora):
            size = int(rng.integers(4, LENGTH + 1))
            rows[row, 0] = VOCABULARY - 1
            rows[row, 1:size] = 5 * corpus + (rng.integers(0, 5) + np.arange(size - 1)) % 5
        return Split(torch.from_numpy(rows), torch.full((len(corpora), 1), float(begins)))

    owners = np.repeat(np.arange(players), each)
    begins = 3 if answers else 1
    return Problem(
        dataset="made",
        kind="language",
        train=split(owners, 1),
        validation=split(rng.integers(0, players, test), begins),
        test=split(rng.integers(0, players, test), begins),
        rows=np.arange(len(owners)),
        corrupted=np.zeros(players if groups else len(owners), dtype=bool),
        noise=Noise(),
        seed=0,
        revision="0",
        groups=owners if groups else None,
        vocabulary=VOCABULARY,
    )
