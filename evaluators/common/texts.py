"""Texts as evaluators read them that look at words and not at a model."""

from __future__ import annotations

import numpy as np
import torch
from scipy import sparse

from dvbench.problems.perplexity import are_tokens


def word_tokens(x: torch.Tensor) -> list[np.ndarray]:
    """Tokens of each text without the begin-of-text token, which all texts have.

    Parameters
    ----------
    x : torch.Tensor of shape (n, length)
        Rows of token numbers and padding.

    Returns
    -------
    list of numpy.ndarray of int64
    """
    kept = are_tokens(x)
    kept[:, 0] = False
    return [row[mask] for row, mask in zip(x.numpy(force=True).astype(np.int64), kept.numpy(force=True), strict=True)]


def word_counts(*parts: torch.Tensor) -> list[sparse.csr_array]:
    """How often each token occurs in each text.

    Parameters
    ----------
    *parts : torch.Tensor of shape (n, length)

    Returns
    -------
    list of scipy.sparse.csr_array of float64, shape (n, tokens)
        One array for each part, with one column for each token that occurs in any of them, in ascending order.
    """
    rows = [word_tokens(x) for x in parts]
    known, columns = np.unique(np.concatenate([row for part in rows for row in part]), return_inverse=True)
    counts, start = [], 0
    for part in rows:
        sizes = np.array([len(row) for row in part])
        chosen = columns[start : start + sizes.sum()]
        texts = np.repeat(np.arange(len(part)), sizes)
        counts.append(sparse.coo_array((np.ones(len(chosen)), (texts, chosen)), (len(part), len(known))).tocsr())
        start += len(chosen)
    return counts
