"""The example of a data set plug-in in the documentation of `dvbench.problems.source`."""

from __future__ import annotations

import sys
import textwrap
from types import ModuleType

import numpy as np
import pytest

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
