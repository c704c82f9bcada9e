"""The example of a data set plug-in in the documentation of `dvbench.problems.source`."""

from __future__ import annotations

import sys
import textwrap
from dataclasses import replace
from types import ModuleType

import numpy as np
import pytest

from dvbench.errors import UserError
from dvbench.problems import source
from dvbench.problems.build import load_source


def test_the_documented_plug_in_is_a_data_set(monkeypatch: pytest.MonkeyPatch) -> None:
    assert source.__doc__ is not None
    example = source.__doc__.partition("::\n")[2].partition("\n`regression`")[0]
    module = ModuleType("two_moons")
    exec(textwrap.dedent(example), vars(module))
    monkeypatch.setitem(sys.modules, "two_moons", module)
    moons = load_source("two_moons:two_moons")
    assert moons.take(np.array([499, 0])).shape == (2, 2)
    assert np.bincount(moons.labels).tolist() == [250, 250]
    assert f"{len(moons.labels)} rows, 2 features, {len(moons.classes)} classes" in module.two_moons.__doc__


def test_classes_that_are_kept_keep_their_rows_and_their_split() -> None:
    labels = np.array([2, 0, 1, 2, 0, 1, 2])
    features = np.arange(7.0)[:, None]
    whole = replace(
        source.classification(features, labels, ("bird", "cat", "dog")),
        test_rows=np.array([4, 5, 6]),
        fingerprint=lambda rows: rows[:, None].astype(np.uint8),
    )
    kept = source.keep_classes(whole, ["dog", "bird"])
    assert kept.classes == ("dog", "bird")
    assert kept.labels.tolist() == [0, 1, 0, 1, 0]  # dog, bird, dog, bird, dog
    assert kept.take(np.array([4, 1])).ravel().tolist() == [6, 1]
    assert kept.test_rows is not None
    assert kept.take(kept.test_rows).ravel().tolist() == [4, 6]
    assert kept.fingerprint is not None
    assert kept.fingerprint(np.array([2])).tolist() == [[3]]
    with pytest.raises(UserError, match="no class is named 'dgo': did you mean 'dog'"):
        source.keep_classes(whole, ["dgo"])
