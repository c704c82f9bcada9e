"""The table against other libraries says what is missing, and that fast and wrong is a failure."""

from __future__ import annotations

import numpy as np
import peers
import pytest
from clock import Arrays
from peers import KNN, TRACIN
from references import knn_shapley, trac_in


def cells(error: float = 1e-7, ratio: float = 20.0, correlation: float = 1.0) -> list[dict]:
    ours = {"auroc": 0.9, "KNN Shapley": correlation, "error": error}
    theirs = {**ours, "KNN Shapley": 1.0, "error": 0.0}
    return [
        {"title": KNN, "library": "pydvl", "note": "", "seconds": ratio, "fits": 0, "ratio": ratio, "quality": theirs},
        {"title": KNN, "library": "dvbench", "note": "", "seconds": 1.0, "fits": 0, "ratio": 1.0, "quality": ours},
        {"title": TRACIN, "library": "dattri", "note": "", "missing": True},
    ]


def test_a_missing_library_is_named_with_the_reason():
    text = peers.table(cells(), {"dattri": "no network"}, {})
    assert "**Missing: dattri**, because no network." in text
    assert "| dattri | missing |" in text
    assert "| pydvl | 20 | 20 | 0 | 1.000 | 0 |  | 0.900 |" in text


@pytest.mark.parametrize(
    ("change", "says"),
    [({}, None), ({"error": 0.1}, "error is 0.1"), ({"ratio": 2.0}, "only 2 times"), ({"correlation": 0.5}, "better")],
)
def test_slow_or_wrong_is_a_failure(change, says):
    lines = peers.failures(cells(**change))
    assert len(lines) == (says is not None)
    assert says is None or says in lines[0]


def test_a_library_that_cannot_be_installed_is_missing(monkeypatch):
    monkeypatch.setattr(peers, "command", lambda library: ["python", "-c", "raise SystemExit('no such version')"])
    assert peers.install("pydvl") == "no such version"
    monkeypatch.setattr(peers, "command", lambda library: ["no-such-uv"])
    assert "not on the PATH" in peers.install("pydvl")


def test_references_are_exact():
    """KNN Shapley values sum to the utility of all; TracIn is what a finite difference says."""
    generator = np.random.default_rng(0)
    x, y = generator.standard_normal((40, 3)), generator.integers(0, 3, 40)
    data = Arrays(x[:30], y[:30], x[30:], y[30:], np.zeros(30, dtype=bool))
    nearest = np.argsort(np.linalg.norm(data.x_valid[:, None] - data.x, axis=2), axis=1)[:, :10]
    assert knn_shapley(data).sum() == pytest.approx((data.y[nearest] == data.y_valid[:, None]).mean())

    weight, bias = generator.standard_normal((3, 3)), generator.standard_normal(3)

    def losses(x, y, weight, bias):
        logits = x @ weight.T + bias
        return np.log(np.exp(logits).sum(axis=1)) - logits[np.arange(len(x)), y]

    player, step = 4, 1e-6
    gradient = np.zeros(12).reshape(3, 4)
    for index in np.ndindex(3, 4):
        moved = np.column_stack([weight, bias])
        moved[index] += step
        changed = losses(data.x[[player]], data.y[[player]], moved[:, :3], moved[:, 3])
        gradient[index] = (changed - losses(data.x[[player]], data.y[[player]], weight, bias))[0] / step
    weights, biases = (np.stack([start + step * part, start - step * part]) for start, part in
                       ((weight, gradient[:, :3]), (bias, gradient[:, 3])))  # fmt: skip
    along = [losses(data.x_valid, data.y_valid, *both) for both in zip(weights, biases, strict=True)]
    expected = 0.01 * (along[0] - along[1]).mean() / (2 * step) / 30
    assert trac_in(data, weight[None], bias[None])[player] == pytest.approx(expected, rel=1e-4)
