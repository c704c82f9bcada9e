"""Data-OOB."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from opendataval.dataval import DataOob
from torch.utils.data import Subset

from dvbench.randomness import random_state as as_random_state


class BootstrapDataOob(DataOob):
    """OpenDataVal's Data-OOB with bootstrap samples of all points.

    OpenDataVal draws point numbers below the number of models: with fewer models than points the later points are never
    trained on, and with more it fails.
    """

    def train_data_values(self, *args: Any, **kwargs: Any) -> BootstrapDataOob:
        """Fit the models and keep their predictions of the points that each has not seen.

        Parameters
        ----------
        *args, **kwargs
            For the model's ``fit``.
        """
        predictions = [self.oob_pred]
        for _ in range(self.num_models):
            in_bag = self.random_state.randint(0, self.num_points, size=self.max_samples)
            out_bag = np.setdiff1d(np.arange(self.num_points), in_bag)
            if len(out_bag) == 0:
                continue
            model = self.pred_model.clone()
            model.fit(Subset(self.x_train, in_bag), Subset(self.y_train, in_bag), *args, **kwargs)
            predictions.append(model.predict(Subset(self.x_train, out_bag)).detach().cpu())
            self.oob_indices.add_indices(out_bag.tolist())
        self.oob_pred = torch.cat(predictions)
        return self


def data_oob(models: int = 1000, random_state: int | np.random.RandomState | None = None) -> DataOob:
    """Data-OOB: how well models trained on bootstrap samples predict a point that they have not seen.

    Parameters
    ----------
    models : int
        Bootstrap samples, one fit each.
    random_state : int or RandomState, optional

    Returns
    -------
    DataOob
        OpenDataVal's, with its sampling mended.

    References
    ----------
    Y. Kwon, J. Zou. Data-OOB: out-of-bag estimate as a simple and efficient data value. ICML 2023.
    """
    return BootstrapDataOob(models, random_state=as_random_state(random_state))
