"""Makes the experiment that compares unlearning methods with retraining on a problem."""

from __future__ import annotations

from dvbench.scoring.retraining import Retraining
from dvbench.scoring.unlearned_points import PointUnlearningExperiment
from dvbench.scoring.unlearned_texts import TextUnlearningExperiment
from dvbench.scoring.unlearning_experiment import UnlearningExperiment


def make_unlearning_experiment(retraining: Retraining) -> UnlearningExperiment:
    """Make the experiment for a problem's kind of model.

    Parameters
    ----------
    retraining : Retraining
        Holds the problem, the untrained model and its training.

    Raises
    ------
    UserError
        If there are more players than unlearning is judged by.
    """
    if retraining.problem.kind == "language":
        return TextUnlearningExperiment(retraining)
    return PointUnlearningExperiment(retraining)
