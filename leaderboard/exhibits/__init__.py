"""Tables and figures of the papers, made from results: one file each.

They need matplotlib and no torch.
"""

from __future__ import annotations

from dvbench.results import Store
from leaderboard.exhibits.common import Exhibit, found_results
from leaderboard.exhibits.cost_and_quality import cost_and_quality
from leaderboard.exhibits.curves import CURVES, task_curves
from leaderboard.exhibits.efficiency import efficiency
from leaderboard.exhibits.partial_valuation import GAMES, games, partial_valuation
from leaderboard.exhibits.unlearning_quality import JUDGING, loss_curves, loss_densities, unlearning_quality
from leaderboard.suite_scores import SuiteScores

__all__ = ["Exhibit", "exhibits"]


def exhibits(store: Store, stand: SuiteScores) -> list[Exhibit]:
    """Make all that the results of a suite have something for.

    Parameters
    ----------
    store : Store
    stand : SuiteScores
        How the suite stands in it.

    Returns
    -------
    list of Exhibit
        Cost against quality is always there.

    Raises
    ------
    UserError
        If a file cannot be read.
    """
    found = found_results(store, stand)
    tasks = {task for _, result in found if result is not None for task in result.scores}
    made = [task_curves(found, task) for task in CURVES if task in tasks]
    if "partial_agreement" in tasks:
        made.append(partial_valuation(found))
    if tasks.intersection(GAMES):
        made.append(games(found))
    if tasks.intersection(JUDGING):
        made.append(unlearning_quality(found))
    if "output_divergence" in tasks:
        made.append(loss_densities(found))
    if "knowledge_retention" in tasks:
        made.append(loss_curves(found))
    if any(cell.evaluator.kind == "unlearning" and result is not None for cell, result in found):
        made.append(efficiency(found))
    return [*made, cost_and_quality(stand)]
