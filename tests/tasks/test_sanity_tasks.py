"""The sanity tasks, by hand and on planted cases that an oracle solves."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from small_problems import a_problem

from dvbench.problems.variants import VARIANTS, planted
from dvbench.scoring.contract import Valuation
from dvbench.tasks.null_labels import null_labels
from dvbench.tasks.planted_shortcut import planted_shortcut
from dvbench.tasks.randomised_model import randomised_model

VALUES = np.random.default_rng(0).permutation(40).astype(float)
OTHER = np.random.default_rng(1).permutation(40).astype(float)


def metrics(task, problem=None, values=VALUES, **variants):
    problem = a_problem(len(values)) if problem is None else problem
    return task(problem, Valuation(values, variants=variants), np.empty(0)).metrics


def knn_agreement(train, validation):
    """How often the label of a training point is that of the validation points whose features are near."""
    near = np.exp(-np.square(train.x[:, None].numpy() - validation.x.numpy()).sum(axis=2))
    same = (train.y @ validation.y.T).numpy()
    return (near * (same - same.mean())).sum(axis=1)


@pytest.mark.parametrize("untrained", [VALUES, -VALUES])
def test_values_that_need_no_training_have_an_agreement_of_1(untrained):
    found = metrics(randomised_model, untrained=untrained)
    assert found["agreement"] == pytest.approx(1)
    assert found["spearman"] == pytest.approx(1 if untrained is VALUES else -1)


def test_detection_with_and_without_training():
    corrupted = VALUES < 8
    found = metrics(randomised_model, a_problem(40, corrupted=corrupted), untrained=np.zeros(40))
    assert found == {"agreement": 0.0, "spearman": 0.0, "auroc": 1.0, "auroc_untrained": 0.5}
    clean = metrics(randomised_model, a_problem(40, corrupted=np.zeros(40)), untrained=OTHER)
    assert set(clean) == {"agreement", "spearman"}


def test_an_oracle_finds_the_planted_players_and_chance_does_not():
    problem = a_problem(200)
    mask = planted(problem)
    assert metrics(planted_shortcut, problem, np.zeros(200), shortcut=mask.astype(float)) == {"auroc": 1, "auprc": 1}
    constant = metrics(planted_shortcut, problem, np.zeros(200), shortcut=np.zeros(200))
    assert constant == pytest.approx({"auroc": 0.5, "auprc": 0.2})
    assert metrics(planted_shortcut, problem, np.zeros(200), shortcut=-1.0 * mask)["auroc"] == 0


def test_values_from_neighbours_find_the_planted_players():
    problem = a_problem(200)
    variant = VARIANTS["shortcut"].change(problem)
    found = metrics(planted_shortcut, problem, np.zeros(200), shortcut=knn_agreement(variant.train, variant.validation))
    assert found["auroc"] > 0.95


def test_null_labels_by_hand():
    found = metrics(null_labels, null=VALUES, other_null=-VALUES)
    assert found == pytest.approx({"agreement": 1.0, "spearman": -1.0, "agreement_with_values": 1.0})
    assert metrics(null_labels, null=np.zeros(40), other_null=OTHER)["agreement"] == 0


def test_values_from_labels_find_no_structure_in_null_labels_and_values_from_features_do():
    agreements = []
    for seed in range(10):
        problem = replace(a_problem(200), seed=seed)
        variants = {name: VARIANTS[name].change(problem) for name in ("null", "other_null")}
        by_labels = {name: knn_agreement(each.train, each.validation) for name, each in variants.items()}
        agreements.append(metrics(null_labels, problem, np.zeros(200), **by_labels)["spearman"])
        by_features = {name: each.train.x.norm(dim=1).numpy() for name, each in variants.items()}
        assert metrics(null_labels, problem, np.zeros(200), **by_features)["agreement"] == pytest.approx(1)
    assert np.mean(agreements) == pytest.approx(0, abs=0.1)
