"""Every evaluator says what it computes, in which unit, for which data, whose variant it is, and how far it repeats."""

from __future__ import annotations

import inspect
import re

import pytest

from dvbench.registry import entries

EVALUATORS = entries("evaluators")


@pytest.mark.parametrize("name", EVALUATORS)
def test_notes_state_unit_data_variant_and_how_far_values_repeat(name: str) -> None:
    _, _, notes = EVALUATORS[name].docstring.partition("\nNotes\n-----\n")
    paragraphs = [paragraph.split() for paragraph in notes.split("\n\n")]
    said = {" ".join(words[: 2 if words[0] == "Between" else 1]): len(words) for words in paragraphs if words}
    labels = {"Values:", "Takes:", "Variant:", "Between processors:"}
    assert labels <= said.keys()
    assert min(said[label] for label in labels) >= (2 if name == "random" else 4)


@pytest.mark.parametrize("name", [name for name, entry in EVALUATORS.items() if ".baselines." in entry.target])
def test_a_variant_of_opendataval_is_a_parameter_that_notes_explain(name: str) -> None:
    entry = EVALUATORS[name]
    parameters = {parameter.name: parameter for parameter in entry.definition.parameters or ()}
    named = re.search(r'variant="opendataval"', entry.docstring) is not None
    assert named == ("variant" in parameters)
    if named:
        assert parameters["variant"].default in ("'paper'", '"paper"')
        with pytest.raises(ValueError, match="'paper' or 'opendataval', not 'no'"):
            entry.load()(variant="no")
        assert inspect.signature(entry.load()).parameters["variant"].default == "paper"
