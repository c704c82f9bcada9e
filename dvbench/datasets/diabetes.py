"""Progression of diabetes, bundled with scikit-learn."""

from __future__ import annotations

from dvbench.problems.source import Source, regression


def diabetes() -> Source:
    """Diabetes: its progression one year after baseline; 442 rows, 10 features, regression.

    Bundled with scikit-learn; its authors state no licence. Features are the raw measurements, because scikit-learn's
    scaled copy was scaled with statistics of all rows, including test rows.

    References
    ----------
    B. Efron, T. Hastie, I. Johnstone and R. Tibshirani, "Least Angle Regression", Annals of Statistics 32(2), 2004,
    https://doi.org/10.1214/009053604000000067.
    """
    from sklearn.datasets import load_diabetes

    data = load_diabetes(scaled=False)
    return regression(data.data, data.target)
