"""Wines of three cultivars, bundled with scikit-learn."""

from __future__ import annotations

from dvbench.problems.source import Source, classification


def wine() -> Source:
    """Wine: its cultivar from its chemical analysis; 178 rows, 13 features, 3 classes.

    Bundled with scikit-learn, CC BY 4.0.

    References
    ----------
    S. Aeberhard and M. Forina, "Wine", UCI Machine Learning Repository, 1992, https://doi.org/10.24432/C5PC7J.
    """
    from sklearn.datasets import load_wine

    data = load_wine()
    return classification(data.data, data.target, tuple(map(str, data.target_names)))
