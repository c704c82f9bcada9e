"""Settings: what a file may say, and that they never change."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from dvbench.settings import EvaluatorSettings, ModelSettings, Noise, Sizes, Training


def complaint(error: ValidationError) -> str:
    return error.errors()[0]["msg"].removeprefix("Value error, ")


@pytest.mark.parametrize(
    ("noise", "name"),
    [
        (Noise(), "clean"),
        (Noise(kind="labels", rate=0.2), "labels0.2"),
        (Noise(kind="features", rate=0.2), "features0.2x1"),
        (Noise(kind="features", rate=0.25, sigma=0.5), "features0.25x0.5"),
    ],
)
def test_noise_has_a_name_for_files(noise: Noise, name: str) -> None:
    assert str(noise) == name


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"kind": "labels", "rate": 0}, "labels noise needs a rate above 0 and below 1"),
        ({"kind": "features"}, "features noise needs a rate above 0 and below 1"),
        ({"kind": "none", "rate": 0.1}, "noise of kind 'none' has rate 0"),
        ({"kind": "labels", "rate": 1}, "Input should be less than 1"),
        ({"kind": "labels", "rate": -0.1}, "Input should be greater than or equal to 0"),
        ({"kind": "labels", "rate": float("nan")}, "Input should be a finite number"),
        ({"kind": "features", "rate": 0.1, "sigma": 0}, "Input should be greater than 0"),
        ({"kind": "label", "rate": 0.1}, "Input should be 'labels', 'features' or 'none'"),
        ({"kind": "labels", "rte": 0.1}, "unknown key 'rte'; allowed are kind, rate, sigma, draw, validation"),
    ],
)
def test_noise_that_makes_no_sense(fields: dict[str, object], message: str) -> None:
    with pytest.raises(ValidationError) as error:
        Noise(**fields)
    assert complaint(error.value) == message


@pytest.mark.parametrize("part", ["train", "validation", "test"])
def test_every_part_has_two_points_at_least(part: str) -> None:
    with pytest.raises(ValidationError, match="greater than 1"):
        Sizes(**{"train": 2, "validation": 2, "test": 2, part: 1})


@pytest.mark.parametrize(("key", "value"), [("epochs", 0), ("batch_size", 0), ("lr", 0), ("weight_decay", -1)])
def test_training_that_trains_nothing(key: str, value: int) -> None:
    with pytest.raises(ValidationError, match=key):
        Training(**{key: value})


def test_settings_do_not_change() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        Training().epochs = 3


def test_an_unknown_key_names_those_that_exist() -> None:
    with pytest.raises(ValidationError) as error:
        ModelSettings(name="mlp", parameters={})
    assert complaint(error.value) == "unknown key 'parameters'; allowed are name, params"


def test_an_evaluator_is_called_by_its_label_or_its_name() -> None:
    assert EvaluatorSettings(name="random").title == "random"
    assert EvaluatorSettings(name="random", label="chance").title == "chance"
    assert EvaluatorSettings(name="my.module:Mine").title == "my.module.Mine"


@pytest.mark.parametrize("label", ["", "../up", "a/b", ".hidden", "a b", "a\n", "x" * 81])
def test_a_label_is_a_file_name(label: str) -> None:
    with pytest.raises(ValidationError, match="label"):
        EvaluatorSettings(name="random", label=label)
