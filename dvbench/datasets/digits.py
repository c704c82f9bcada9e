"""Handwritten digits, bundled with scikit-learn."""

from __future__ import annotations

from dvbench.problems.source import Source, classification


def digits() -> Source:
    """Handwritten digits: images of 8 × 8 pixels; 1,797 rows, 64 features, 10 classes.

    Bundled with scikit-learn, CC BY 4.0. Pixels are counts from 0 to 16; each is standardised like a column of a table.

    References
    ----------
    E. Alpaydin and C. Kaynak, "Optical Recognition of Handwritten Digits", UCI Machine Learning Repository, 1998,
    https://doi.org/10.24432/C50P49.
    """
    from sklearn.datasets import load_digits

    data = load_digits()
    return classification(data.data, data.target, tuple(map(str, data.target_names)))
