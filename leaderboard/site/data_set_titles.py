"""Names of data sets for people, from their settings."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import replace
from functools import cache

from dvbench.settings import KEYS, DatasetSettings
from leaderboard.descriptions import Description, base_name, describe, plug_in
from leaderboard.site.examples import examples_of
from leaderboard.text import clean

ENCODERS = {
    "timm/tf_efficientnet_lite0.in1k": "EfficientNet-Lite0",
    "sentence-transformers/all-MiniLM-L6-v2": "MiniLM-L6",
}


@cache
def base_title(base: str) -> str:
    """Return the name for people of a data set without parameters, such as ``Adult (OpenML 1590)``."""
    name, _, member = base.partition(":")
    titled = describe("datasets", plug_in(base)).title
    if not member:
        return clean(titled or base)
    own = examples_of(base).name
    return clean(f"{own} ({titled or name} {member})" if own else f"{titled or name} {member}")


@cache
def data_set_description(base: str) -> Description:
    """Describe a data set without parameters; of a table of OpenML, the table in place of what loads it.

    The rows, columns and classes of a table are those that are kept with its examples.
    """
    described, table = describe("datasets", plug_in(base)), examples_of(base)
    if not (table.name and table.size):
        return described
    sizes, _, predicted = table.size.rpartition(", ")
    target = f"the column ‘{table.columns[0]}’" if table.columns else "one more column"
    of_classes = f"one of {predicted}" if predicted.endswith("classes") else "a number"
    rows, _, columns = sizes.removesuffix(" besides the target").partition(", ")
    said = f"A table of {rows} and {columns}, from which {target} is predicted, {of_classes}."
    return replace(described, summary=f"{table.name}: {said}", paragraphs=())


@cache
def title(settings: str) -> str:
    """Return the name for people of a data set, with its encoder if it has one, from its settings in JSON."""
    encoder = DatasetSettings.model_validate_json(settings).params.get("encoder")
    named = base_title(base_name(settings))
    if not isinstance(encoder, str):
        return named
    return clean(f"{named}, features of {ENCODERS.get(encoder) or encoder.rpartition('/')[2]}")


def titles(all_settings: Iterable[str]) -> dict[str, str]:
    """Return the names of several data sets by their settings; those of one name get their other parameters too."""
    named = {settings: title(settings) for settings in all_settings}
    counts = Counter(named.values())
    return {
        settings: clean(f"{name} ({_other(settings)})") if counts[name] > 1 and _other(settings) else name
        for settings, name in named.items()
    }


def address(settings: str) -> str:
    """Return what a user writes for a data set, such as ``cifar10?encoder_size=64``, from its settings in JSON."""
    dataset = DatasetSettings.model_validate_json(settings)
    if dataset.path is not None:
        return clean(str(dataset))
    query = "&".join(f"{name}={value}" for name, value in _parameters(settings).items())
    return clean(base_name(settings) + (f"?{query}" if query else ""))


def _other(settings: str) -> str:
    """Return the parameters of a data set that its title does not have."""
    return ", ".join(f"{name} {value}" for name, value in _parameters(settings).items() if name != "encoder")


def _parameters(settings: str) -> dict[str, str]:
    dataset = DatasetSettings.model_validate_json(settings)
    other = {name: value for name, value in dataset.params.items() if name != KEYS.get(dataset.name)}
    return {name: str(value).lower() if isinstance(value, bool) else str(value) for name, value in other.items()}
