"""Every coalition is trained, also player 0 alone and the empty one; and players must be in some and out of others."""

from __future__ import annotations

import copy
import re
from itertools import combinations

import numpy as np
import opendataval.dataval as stock
import pytest
import torch
from games import GameModel, additive_game, majority_game, play
from opendataval.metrics import accuracy, neg_l2
from opendataval.model import ClassifierSkLearnWrapper, LogisticRegression, Model
from short_fits import FIT
from sklearn.linear_model import LogisticRegression as SklearnLogisticRegression

from dvbench.errors import UserError
from evaluators import AME, BetaShapley, DataBanzhaf, DataOob, DataShapley, InfluenceSubsample, LeaveOneOut
from evaluators.common.coalitions import coalition_utility, coalitions_of, every_inclusion, models_needed


class FixedDraws(np.random.RandomState):
    """Returns given coalitions or bags in place of random ones."""

    def __init__(self, drawn):
        super().__init__(0)
        self.drawn = np.asarray(drawn)

    def binomial(self, *args, **kwargs):
        return self.drawn

    def randint(self, *args, **kwargs):
        return self.drawn


def size(coalition):
    return float(len(coalition))


def banzhaf_by_definition(game, n):
    values = np.zeros(n)
    for i in range(n):
        others = [j for j in range(n) if j != i]
        for count in range(n):
            for coalition in combinations(others, count):
                values[i] += (game(sorted([*coalition, i])) - game(list(coalition))) / 2 ** (n - 1)
    return values


def test_players_alike_have_equal_banzhaf_values():
    np.testing.assert_allclose(play(DataBanzhaf(models=1000, random_state=0), size, 3), 1, atol=1e-12)
    theirs = play(stock.DataBanzhaf(num_models=1000, random_state=np.random.RandomState(0)), size, 3)
    assert np.ptp(theirs) > 0.4  # the fault: player 0 alone is not trained


@pytest.mark.parametrize("game", [majority_game([4, 3, 2, 1, 1]), additive_game([1, -2, 0, 3, 0.5])])
def test_banzhaf_values_of_few_players_are_exact(game):
    np.testing.assert_allclose(play(DataBanzhaf(models=32), game, 5), banzhaf_by_definition(game, 5), atol=1e-12)


def test_sampled_banzhaf_values_are_means_over_all_coalitions_drawn():
    drawn = np.array([[0, 0, 0, 0], [1, 0, 0, 0], [1, 1, 0, 0], [0, 1, 1, 1], [0, 0, 1, 1]])
    game = additive_game([1, 10, 100, 1000])
    utilities = drawn @ [1, 10, 100, 1000]
    values = play(DataBanzhaf(models=5, random_state=FixedDraws(drawn)), game, 4)
    expected = [utilities[column == 1].mean() - utilities[column == 0].mean() for column in drawn.T]
    np.testing.assert_allclose(values, expected)


def test_a_sampled_banzhaf_value_is_near_the_exact_one():
    game = majority_game(np.arange(1, 13))
    values = np.mean([play(DataBanzhaf(models=2000, random_state=seed), game, 12) for seed in range(3)], axis=0)
    np.testing.assert_allclose(values, banzhaf_by_definition(game, 12), atol=0.04)


def test_influence_of_few_players_is_exact():
    """Three of four players: each is left out once."""
    game = additive_game([1, 10, 100, 1000])
    values = play(InfluenceSubsample(models=4), game, 4)
    expected = [sum(game([j for j in range(4) if j != k]) for k in range(4) if k != i) / 3 for i in range(4)]
    expected -= np.array([game([j for j in range(4) if j != i]) for i in range(4)])
    np.testing.assert_allclose(values, expected)


def test_a_sampled_subset_is_trained_in_the_order_of_player_numbers():
    seen = []

    class Seeing(Model):
        def fit(self, x_train, y_train, *args, **kwargs):
            seen.append([int(x_train[i][0]) for i in range(len(x_train))])
            return self

        def predict(self, x):
            return torch.zeros(len(x), 1)

    x, y = torch.arange(20.0).unsqueeze(1), torch.zeros(20, 1)
    evaluator = InfluenceSubsample(models=30, random_state=0).input_data(x, y, x[:1], y[:1])
    evaluator.input_model_metric(Seeing(), lambda target, predicted: 0.0).train_data_values()
    assert len(seen) == 30
    assert all(members == sorted(set(members)) and len(members) == 14 for members in seen)


def test_all_coalitions_are_all_there_are():
    members = [tuple(coalition) for coalition in coalitions_of(every_inclusion(4))]
    assert sorted(members) == sorted(c for count in range(5) for c in combinations(range(4), count))


# The empty coalition


@pytest.mark.parametrize("make", [DataBanzhaf, DataShapley, BetaShapley, LeaveOneOut, AME])
def test_the_empty_coalition_has_the_utility_of_the_untrained_model(make, problem, model, two_blobs):
    ours = make().setup(problem.fetcher(), model, accuracy)
    assert coalition_utility(ours, [], **FIT) == accuracy(problem.validation.y, model.predict(problem.validation.x))
    network = LogisticRegression(4, 2)
    torch.nn.init.zeros_(network.linear.weight)
    torch.nn.init.zeros_(network.linear.bias)
    theirs = make().setup(two_blobs, network, accuracy)
    untrained = accuracy(theirs.y_valid, network.predict(theirs.x_valid))
    assert untrained == coalition_utility(theirs, [], **FIT) == 0.5
    assert coalition_utility(theirs, range(16), epochs=30, lr=0.1) > untrained


def test_values_of_data_shapley_sum_to_the_utility_above_that_of_the_untrained_model(problem, model):
    """So the first of each permutation contributes to the empty coalition, player 0 too."""
    evaluator = DataShapley(permutations=2, random_state=0).train(problem.fetcher(), model, accuracy, **FIT)
    values = evaluator.evaluate_data_values()
    expected = coalition_utility(evaluator, range(len(values)), **FIT) - coalition_utility(evaluator, [], **FIT)
    assert expected != 0
    assert values.sum() == pytest.approx(expected, abs=1e-6)


def test_wrappers_of_scikit_learn_predict_the_first_class_without_points(two_blobs):
    model = ClassifierSkLearnWrapper(SklearnLogisticRegression, 2)
    evaluator = DataBanzhaf().setup(two_blobs, model, accuracy)
    assert coalition_utility(evaluator, []) == float(evaluator.y_valid[:, 0].mean())


def test_leaving_out_the_only_player_leaves_the_untrained_model(two_blobs):
    one_player = copy.copy(two_blobs)
    one_player.x_train, one_player.y_train = two_blobs.x_train[:1], two_blobs.y_train[:1]
    network = LogisticRegression(4, 2)
    evaluator = LeaveOneOut(random_state=0).train(one_player, network, accuracy, epochs=1)
    trained = coalition_utility(evaluator, [0], epochs=1)
    untrained = accuracy(evaluator.y_valid, network.predict(evaluator.x_valid))
    assert evaluator.evaluate_data_values() == pytest.approx([trained - untrained])


# Data-OOB


def test_a_bag_that_lacks_player_0_alone_counts():
    bags = [[0, 0], [1, 1]]
    assert play(DataOob(models=2, random_state=FixedDraws(bags)), additive_game([1, 2]), 2).tolist() == [2, 1]
    theirs = play(stock.DataOob(num_models=2, random_state=FixedDraws(bags)), additive_game([1, 2]), 2)
    assert theirs.tolist() == [0, 1]  # the fault


def test_bags_are_drawn_from_players():
    """The upper limit of the draw is the number of players and not that of models."""
    asked = []

    class Asked(np.random.RandomState):
        def randint(self, *args, **kwargs):
            asked.append((args, kwargs))
            return super().randint(*args, **kwargs)

    play(DataOob(models=40, random_state=Asked(0)), size, 7)
    assert asked == [((0, 7), {"size": (40, 7)})]


def test_values_are_means_for_metrics_that_are_no_means(problem, model):
    params = problem.fetcher(), model, neg_l2
    ours = DataOob(models=40, random_state=0).train(*params, **FIT)
    predicted, rows = ours.oob_pred, ours.oob_indices
    expected = [-float((predicted[rows[i]] - problem.train.y[i]).norm(dim=1).mean()) for i in range(60)]
    np.testing.assert_allclose(ours.data_values, expected, rtol=1e-5)


def test_a_value_does_not_grow_with_the_number_of_predictions():
    """OpenDataVal gives all predictions for a point to the metric: a Euclidean distance grows with their number."""

    def values(evaluator):
        x, y = torch.arange(9.0).unsqueeze(1), torch.zeros(9, 1)
        evaluator.input_data(x, y, x, y).input_model_metric(GameModel(lambda _: 1.0), neg_l2)
        return evaluator.train_data_values().evaluate_data_values()

    ours = DataOob(models=30, random_state=np.random.RandomState(0))
    np.testing.assert_allclose(values(ours), -1)
    theirs = values(stock.DataOob(num_models=30, random_state=np.random.RandomState(0)))
    np.testing.assert_allclose(theirs, [-np.sqrt(len(ours.oob_indices[i])) for i in range(9)], rtol=1e-6)  # the fault


# Too few models


@pytest.mark.parametrize("make", [DataBanzhaf, InfluenceSubsample, DataOob, AME])
@pytest.mark.parametrize("players", [11, 60])
def test_too_few_models_are_refused_and_the_number_that_is_named_is_enough(make, players):

    def refusal(models, seed):
        fitted = []
        try:
            play(make(models=models, random_state=seed), lambda c: float(fitted.append(c) or len(c)), players)
        except UserError as error:
            assert not fitted  # nothing was trained in vain
            return str(error)
        return None

    message = next(filter(None, (refusal(2, seed) for seed in range(2000))))
    assert re.fullmatch(
        r"\w+ has no value for \d+ of \d+ players, .* is player \d+\); set models to \d+ or more.*", message
    )
    enough = int(re.search(r"set models to (\d+)", message)[1])
    refused = sum(refusal(enough, seed) is not None for seed in range(100))
    assert refused <= 5  # one is expected, and more than five have a probability of 0.0005


def test_the_number_of_models_is_the_smallest():
    assert models_needed(100, 0.5, 0.5) == 15
    assert 100 * 2 * 0.5**15 <= 0.01 < 100 * 2 * 0.5**14
    assert models_needed(100, 0.7, 0.3) == 26
    assert 100 * (0.7**26 + 0.3**26) <= 0.01 < 100 * (0.7**25 + 0.3**25)
    assert models_needed(1, 0.0) == 1
    assert models_needed(10**6, 1 - 1e-6) > 10**7  # in no time


def test_no_number_of_models_helps_where_a_draw_takes_all_or_nobody():
    with pytest.raises(UserError, match=r"proportion 0\.7 draws 1 of 1 players"):
        play(InfluenceSubsample(), size, 1)
    with pytest.raises(UserError, match=r"proportion 0\.01 draws 0 of 9 players"):
        play(InfluenceSubsample(proportion=0.01), size, 9)
    with pytest.raises(UserError, match="at least 2 players"):
        play(DataOob(), size, 1)


@pytest.mark.parametrize("make", [stock.DataBanzhaf, stock.InfluenceSubsample, stock.DataOob])
def test_opendataval_gives_the_best_value_to_players_that_have_none(make):
    """With a metric below 0, as negative mean squared error is."""
    values = play(make(num_models=2, random_state=np.random.RandomState(1)), lambda _: -1000.0, 11)
    assert values.max() == 0 if make is stock.DataOob else np.abs(values).max() == 1000  # the fault
