"""What dvbench's own evaluators have in common, which derive from none of OpenDataVal's."""

from __future__ import annotations

import numpy as np
from opendataval.dataval import DataEvaluator

from evaluators.common.array_input import ArrayInput


class OwnEvaluator(ArrayInput, DataEvaluator):
    """Base of evaluators whose ``train_data_values`` sets ``values_``; one with a model derives from ModelMixin too."""

    def evaluate_data_values(self) -> np.ndarray:
        """Return the values.

        Returns
        -------
        numpy.ndarray of shape (n,)
        """
        return self.values_
