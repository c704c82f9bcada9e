"""The option ``--parameter`` of ``dvbench value``."""

from __future__ import annotations

import pytest

from dvbench.cli.options import parse_parameters
from dvbench.errors import UserError


def test_values_are_written_as_in_toml() -> None:
    given = ["a=5", "b=0.5", "c=true", "d=metric", 'e="two words"', "f={permutations = 3}", "g=[1, 2]", "h=1e-3"]
    assert parse_parameters(given) == {
        "a": 5, "b": 0.5, "c": True, "d": "metric", "e": "two words", "f": {"permutations": 3}, "g": [1, 2], "h": 1e-3,
    }  # fmt: skip
    assert parse_parameters(None) == {}


@pytest.mark.parametrize("text", ["a", "a=", "=5", "a b=5", "a=5 6", "a=1\nb=2", "a={", "a=two words"])
def test_what_is_no_parameter_is_refused(text: str) -> None:
    with pytest.raises(UserError, match="--parameter"):
        parse_parameters([text])


def test_a_parameter_is_given_once() -> None:
    with pytest.raises(UserError, match="twice"):
        parse_parameters(["a=1", "a=2"])
