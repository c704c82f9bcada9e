"""Breast cancer diagnoses, bundled with scikit-learn."""

from __future__ import annotations

from dvbench.problems.source import Source, classification


def breast_cancer() -> Source:
    """Breast cancer: diagnoses from measured cell nuclei; 569 rows, 30 features, 2 classes.

    Bundled with scikit-learn, CC BY 4.0.

    References
    ----------
    W. Wolberg, O. Mangasarian, N. Street and W. Street, "Breast Cancer Wisconsin (Diagnostic)", UCI Machine Learning
    Repository, 1993, https://doi.org/10.24432/C5DW2B.
    """
    from sklearn.datasets import load_breast_cancer

    data = load_breast_cancer()
    return classification(data.data, data.target, tuple(map(str, data.target_names)))
