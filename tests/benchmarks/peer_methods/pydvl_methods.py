"""pyDVL's methods: ``python pydvl_methods.py FOLDER``, in pyDVL's environment."""

from __future__ import annotations

import numpy as np
from clock import BAGS, NEIGHBOURS, PERMUTATIONS, Arrays, Converged, run
from pydvl.valuation import (
    DataOOBValuation,
    Dataset,
    KNNShapleyValuation,
    MaxUpdates,
    ModelUtility,
    PermutationSampler,
    RelativeTruncation,
    ShapleyValuation,
    SupervisedScorer,
)
from sklearn.ensemble import BaggingClassifier
from sklearn.neighbors import KNeighborsClassifier


def fitted(valuation, data: Arrays) -> np.ndarray:
    result = valuation.fit(Dataset(data.x, data.y)).result
    values = np.zeros(len(data.x))
    values[result.indices] = result.values
    return values


def accuracy(model: Converged, x: np.ndarray, y: np.ndarray) -> float:
    return float((model.predict(x) == y).mean())


def data_shapley(truncation):
    """The empty coalition has the utility of predicting class 0, as in dvbench."""

    def value(data: Arrays):
        before = Converged.fits
        test = Dataset(data.x_valid, data.y_valid)
        scorer = SupervisedScorer(accuracy, test, default=float((data.y_valid == 0).mean()), range=(0, 1))
        sampler = PermutationSampler(truncation, seed=0)
        utility = ModelUtility(Converged(), scorer, catch_errors=False)
        valuation = ShapleyValuation(utility, sampler, MaxUpdates(PERMUTATIONS["converged"]), progress=False)
        return fitted(valuation, data), Converged.fits - before

    return value


def knn_shapley(data: Arrays):
    model = KNeighborsClassifier(n_neighbors=NEIGHBOURS)
    return fitted(KNNShapleyValuation(model, Dataset(data.x_valid, data.y_valid), progress=False), data), 0


def data_oob(data: Arrays):
    before = Converged.fits
    bagging = BaggingClassifier(Converged(), n_estimators=BAGS, random_state=0).fit(data.x, data.y)
    return fitted(DataOOBValuation(bagging), data), Converged.fits - before


run(
    "pydvl",
    {
        "data_shapley": ("breast_cancer", data_shapley(None)),
        "truncated_data_shapley": ("breast_cancer", data_shapley(RelativeTruncation(0.01, burn_in_fraction=0.4))),
        "knn_shapley": ("table", knn_shapley),
        "data_oob": ("digits_200", data_oob),
    },
)
