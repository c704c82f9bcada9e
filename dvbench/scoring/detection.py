"""How well low values detect corrupted players."""

from __future__ import annotations

import numpy as np
from sklearn.metrics import average_precision_score, roc_auc_score

from dvbench.scoring.contract import Outcome

FRACTIONS = np.linspace(0, 1, 21)


def detect(values: np.ndarray, corrupted: np.ndarray) -> Outcome:
    """Inspect players from the lowest value up and count the corrupted ones.

    Equal values are inspected in random order, and recall is the expectation over that order; AUPRC treats equal values
    as one block, as scikit-learn does. Constant values have the score of chance.

    Parameters
    ----------
    values : numpy.ndarray of shape (n,)
    corrupted : numpy.ndarray of bool, shape (n,)

    Returns
    -------
    Outcome
        ``auroc``, ``auprc``, ``recall_at_noise_rate`` and ``kmeans_f1`` (OpenDataVal's: the F1 score of the lower of
        two clusters of values; 0 where all values are equal). Curves over the fraction inspected, in steps of 5%:
        ``recall``, ``optimal``, ``random``.

    Raises
    ------
    ValueError
        If no player is corrupted, or all are.
    """
    n, total = len(values), int(corrupted.sum())
    if not 0 < total < n:
        raise ValueError(f"{total} of {n} players are corrupted; there is nothing to detect")
    inspected = FRACTIONS * n
    metrics = {
        "auroc": float(roc_auc_score(corrupted, -values)),
        "auprc": float(average_precision_score(corrupted, -values)),
        "recall_at_noise_rate": float(_expected_hits(values, corrupted, total) / total),
        "kmeans_f1": _kmeans_f1(values, corrupted),
    }
    curves = {
        "fraction": FRACTIONS,
        "recall": _expected_hits(values, corrupted, inspected) / total,
        "optimal": np.minimum(inspected / total, 1.0),
        "random": FRACTIONS,
    }
    return Outcome(metrics, {name: [round(float(v), 6) for v in curve] for name, curve in curves.items()}, x="fraction")


def _expected_hits(values: np.ndarray, corrupted: np.ndarray, inspected: np.ndarray | int) -> np.ndarray:
    """Expected number of corrupted players among those with the lowest values."""
    _, group = np.unique(values, return_inverse=True)
    sizes = np.bincount(group)
    hits = np.bincount(group, weights=corrupted)
    expected: np.ndarray = np.interp(inspected, np.append(0, sizes.cumsum()), np.append(0, hits.cumsum()))
    return expected


def _kmeans_f1(values: np.ndarray, corrupted: np.ndarray) -> float:
    """F1 score of the lower of two clusters of values as a detector of corrupted players."""
    from opendataval.experiment.util import f1_score, oned_twonn_clustering

    if np.ptp(values) == 0:
        return 0.0
    # Centred and scaled: the clustering subtracts squares of sums, which loses digits of small differences.
    low, _ = oned_twonn_clustering((values - values.mean()) / np.ptp(values))
    return float(f1_score(low, np.flatnonzero(corrupted), len(values)))
