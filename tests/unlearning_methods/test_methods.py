"""Unlearning methods against plain loops of their losses, with gradients from autograd, and what they promise."""

from __future__ import annotations

import copy
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from plain_loops import divergence, drawn_rows, point_loss
from torch.nn.functional import logsigmoid

from dvbench.randomness import integer_seed
from dvbench.registry import entries
from dvbench.suite import load_suite
from dvbench.unlearning.contract import UnlearningMethod
from dvbench.unlearning.factory import make_method
from dvbench.unlearning.stacked_engine import StackedUnlearner
from dvbench.unlearning_methods.fine_tuning import FineTuning
from dvbench.unlearning_methods.gradient_ascent import GradientAscent
from dvbench.unlearning_methods.neg_grad_plus import NegGradPlus
from dvbench.unlearning_methods.negative_preference import NegativePreference
from dvbench.unlearning_methods.plain_ascent import PlainAscent
from dvbench.unlearning_methods.random_labels import RandomLabels
from dvbench.unlearning_methods.scrub import Scrub

ROOT = Path(__file__).parents[2]
COALITIONS = [np.array([6, 1, 8]), np.array([0, 2, 3, 4, 9])]
FEW = {"steps": 4, "batch_size": 5, "lr": 0.01, "weight_decay": 0.3}


def forgetting(logits, y):
    return -point_loss(logits, y).mean()


def preference(beta):
    """As the paper writes it: -2/beta log sigmoid(-beta log(p / p_full))."""

    def loss(logits, y, full):
        return -2 / beta * logsigmoid(-beta * (point_loss(full, y) - point_loss(logits, y))).mean()

    return loss


def distillation(teacher, student, temperature):
    """As the authors distil: the divergence of softened predictions, times the squared temperature."""
    if teacher.shape[1] == 1:
        return divergence(teacher, student)
    return temperature**2 * divergence(teacher / temperature, student / temperature)


# What each minimises, of the step and (logits, y, full model's logits) on the forget set and on the validation set.
LOSSES = {
    PlainAscent: ({}, lambda step, f, r: forgetting(*f[:2])),
    FineTuning: ({}, lambda step, f, r: point_loss(*r[:2]).mean()),
    RandomLabels: ({}, lambda step, f, r: point_loss(*f[:2]).mean() + point_loss(*r[:2]).mean()),
    NegGradPlus: ({"alpha": 0.7}, lambda step, f, r: 0.3 * forgetting(*f[:2]) + 0.7 * point_loss(*r[:2]).mean()),
    NegativePreference: (
        {"beta": 0.5, "retain": 0.8},
        lambda step, f, r: preference(0.5)(*f) + 0.8 * point_loss(*r[:2]).mean(),
    ),
    Scrub: (
        {"alpha": 0.6, "gamma": 0.9, "forgetting": 0.6, "temperature": 3.0},
        lambda step, f, r: (
            -distillation(f[2], f[0], 3.0)
            if step == 1
            else 0.6 * distillation(r[2], r[0], 3.0) + 0.9 * point_loss(*r[:2]).mean()
        ),
    ),
}


@pytest.fixture
def setting(make_model, make_points):
    def make(kind):
        model, points, validation = (
            make_model("mlp", kind),
            make_points("mlp", 10, kind),
            make_points("mlp", 7, kind, 1),
        )
        model.fit(*points, batch_size=5, epochs=5, lr=0.05)
        return model.network, points, validation

    return make


def plain(network, points, validation, coalition, method, loss, seed):
    """A textbook's loop."""
    network, full = copy.deepcopy(network).eval(), network
    labels = method.labels(points[1], torch.Generator().manual_seed(integer_seed(seed, "labels")))
    optimiser = torch.optim.AdamW(network.parameters(), lr=method.lr, weight_decay=method.weight_decay)
    rows = drawn_rows(coalition, len(points[0]), len(validation[0]), method.steps, method.batch_size, seed)
    for step, (forget, keep) in enumerate(zip(*rows, strict=True)):
        seen = [
            (network(x[batch]), y[batch], full(x[batch]).detach())
            for x, y, batch in ((points[0], labels, forget), (*validation, keep))
        ]
        optimiser.zero_grad()
        loss(step, *seen).backward()
        optimiser.step()
    return torch.cat([parameter.detach().flatten() for parameter in network.parameters()])


def test_every_method_is_tested():
    assert {entry.load() for entry in entries("unlearning").values()} == {*LOSSES, GradientAscent}


@pytest.mark.parametrize("kind", ["classification", "regression"])
@pytest.mark.parametrize("make", LOSSES)
def test_a_method_descends_its_loss(make, kind, setting):
    parameters, loss = LOSSES[make]
    network, points, validation = setting(kind)
    method = make(**FEW, **parameters)
    copies = StackedUnlearner(network, *points, *validation, method).unlearn(COALITIONS, 11)
    for number, coalition in enumerate(COALITIONS):
        actual = torch.cat([parameter[number].flatten() for parameter in copies.parameters])
        torch.testing.assert_close(
            actual, plain(network, points, validation, coalition, method, loss, 11), rtol=1e-6, atol=1e-8
        )


def trained(make, setting, **parameters):
    network, points, validation = setting("classification")
    method = make(**{**FEW, "weight_decay": 0.0, **parameters})
    return torch.cat(
        [p.flatten() for p in StackedUnlearner(network, *points, *validation, method).unlearn(COALITIONS, 3).parameters]
    )


def test_gradient_ascent_without_regularisers_is_plain(setting):
    assert torch.equal(trained(GradientAscent, setting, lambda1=0.0, lambda2=0.0), trained(PlainAscent, setting))


def test_neg_grad_plus_has_ascent_and_fine_tuning_at_its_ends(setting):
    torch.testing.assert_close(trained(NegGradPlus, setting, alpha=0.0), trained(PlainAscent, setting))
    torch.testing.assert_close(trained(NegGradPlus, setting, alpha=1.0), trained(FineTuning, setting))


def test_negative_preference_becomes_ascent_as_beta_falls(setting):
    actual = trained(NegativePreference, setting, beta=1e-9, retain=0.0)
    torch.testing.assert_close(actual, trained(PlainAscent, setting), rtol=1e-6, atol=1e-7)


def test_scrub_without_forgetting_and_divergence_is_fine_tuning(setting):
    torch.testing.assert_close(trained(Scrub, setting, forgetting=0.0, alpha=0.0), trained(FineTuning, setting))


@pytest.mark.parametrize("classes", [2, 3, 10])
def test_random_labels_are_wrong_and_of_every_other_class(classes):
    y = torch.eye(classes)[torch.arange(classes).repeat(200)]
    actual = RandomLabels().labels(y, torch.Generator().manual_seed(0))
    assert torch.equal(actual.sum(dim=1), torch.ones(len(y)))
    confusion = y.T @ actual
    assert (confusion.diagonal() == 0).all()
    assert (confusion + 200 * torch.eye(classes) > 0).all()


def test_random_targets_of_a_regression_are_those_of_others():
    y = torch.arange(9.0).unsqueeze(1)
    actual = RandomLabels().labels(y, torch.Generator().manual_seed(0))
    assert sorted(actual.flatten().tolist()) == y.flatten().tolist()
    assert (actual != y).all()


def tuned_rates(heading: str) -> dict[str, float]:
    """The column "best" of the table that begins with this heading: the lowest rate that was tried."""
    page = (ROOT / "docs" / "unlearning-rates.md").read_text()
    table = re.search(rf"\n\| method \| {heading} \|(.*?)\n\n", page, re.DOTALL).group(0).strip().splitlines()
    column = [cell.strip() for cell in table[0].split("|")].index("best")
    cells = [[cell.strip() for cell in row.split("|")] for row in table[2:]]
    return {row[1].strip("`"): float(row[column]) for row in cells}


@pytest.mark.parametrize("name", entries("unlearning"))
def test_defaults_are_tuned_and_wrong_settings_are_refused(name):
    """The rate is that of the page, but gradient ascent's is that of the paper of Unlearning Shapley."""
    make = entries("unlearning")[name].load()
    assert issubclass(make, UnlearningMethod)
    method = make()
    rates = tuned_rates("2e-05") | {"gradient_ascent": 2e-5}
    assert (method.steps, method.batch_size, method.lr, method.weight_decay) == (100, 32, rates[name], 0.01)
    for wrong in (
        {"steps": 0},
        {"batch_size": 0},
        {"lr": 0.0},
        {"lr": float("nan")},
        {"lr": "1"},
        {"lr": float("inf")},
        {"steps": True},
        {"steps": 1.0},
        {"weight_decay": -0.1},
        {"weight_decay": float("nan")},
        {"parameters": "tail"},
    ):
        (field,) = wrong
        with pytest.raises(ValueError, match=rf"^{field} is"):
            make(**wrong)


@pytest.mark.parametrize(("suite", "heading"), [("unlearning-cpu", "2e-05"), ("text-tiny-unlearning", "3e-05")])
def test_suites_run_methods_at_their_tuned_rates(suite, heading):
    rates = tuned_rates(heading)
    for method in load_suite(suite).evaluators:
        if "-common-" not in method.title:
            assert make_method(method.name, **method.params).lr == rates[method.title]


@pytest.mark.parametrize(
    ("make", "wrong", "message"),
    [
        (NegGradPlus, {"alpha": 1.5}, "alpha is a weight from 0 to 1"),
        (NegativePreference, {"beta": 0.0}, "beta must be above 0"),
        (Scrub, {"forgetting": -0.1}, "forgetting is a fraction from 0 to 1"),
        (Scrub, {"temperature": 0.0}, "temperature must be above 0"),
        (Scrub, {"steps": 2}, "of 2 steps none would look at the forget set"),
    ],
)
def test_settings_out_of_range_are_refused(make, wrong, message):
    with pytest.raises(ValueError, match=message):
        make(**wrong)


def test_a_step_that_looks_at_nothing_is_an_error(setting):
    class Idle(UnlearningMethod):
        def rules(self, step):
            return None, None

    network, points, validation = setting("classification")
    with pytest.raises(ValueError, match="Idle uses neither minibatch at step 0"):
        StackedUnlearner(network, *points, *validation, Idle()).unlearn(COALITIONS, 0)


@pytest.mark.parametrize(
    ("rule", "shown"),
    [(lambda logits, batch: logits.sum(), r"\[\]"), (lambda logits, batch: 0.0, "float")],
)
def test_a_rule_that_returns_no_gradient_is_an_error(rule, shown, setting):
    class Wrong(UnlearningMethod):
        def rules(self, step):
            return rule, None

    network, points, validation = setting("classification")
    with pytest.raises(ValueError, match=rf"a rule must return a tensor of the shape \[2, 3, 32\] .*, not {shown}"):
        StackedUnlearner(network, *points, *validation, Wrong()).unlearn(COALITIONS, 0)


def test_a_rule_may_use_autograd(setting):
    class Autograd(UnlearningMethod):
        def rules(self, step):
            return self.rule, None

        def rule(self, logits, batch):
            leaf = logits.detach().requires_grad_()
            loss = torch.nn.functional.cross_entropy(leaf, batch.y, reduction="sum")
            return -torch.autograd.grad(loss, leaf)[0]

    network, points, validation = setting("classification")
    actual, expected = (
        StackedUnlearner(network, *points, *validation, method(**FEW)).unlearn(COALITIONS, 0).parameters[0]
        for method in (Autograd, PlainAscent)
    )
    torch.testing.assert_close(actual, expected)


def test_watching_changes_nothing_and_sees_every_step(setting):
    network, points, validation = setting("classification")
    unlearner = StackedUnlearner(network, *points, *validation, PlainAscent(**FEW))
    seen = []
    watched = unlearner.unlearn(COALITIONS, 3, lambda step, logits: seen.append((step, logits(points[0]))))
    alone = unlearner.unlearn(COALITIONS, 3)
    assert all(torch.equal(a, b) for a, b in zip(watched.parameters, alone.parameters, strict=True))
    assert [step for step, _ in seen] == [0, 1, 2, 3, 4]
    torch.testing.assert_close(seen[0][1][0].T, network(points[0]).detach())
    assert torch.equal(seen[-1][1], watched.all_outputs(points[0]))
