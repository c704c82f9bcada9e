"""Rows, images and texts of data sets, for their pages; ``.ci/examples.py`` makes the file."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Annotated

from pydantic import Field, TypeAdapter

from dvbench.settings import Strict
from leaderboard.text import clean

FILE = Path(__file__).with_suffix(".json")
NONE = "Examples are kept of the data sets of published results only."


class Picture(Strict):
    """An image in its original size, and its class."""

    label: str
    png: Annotated[str, Field(pattern=r"^[A-Za-z0-9+/]+=*$")]


class Examples(Strict):
    """What is shown of a data set: the first rows of a table, its first images or texts, or why there are none.

    Parameters
    ----------
    name : str
        Of a table of OpenML.
    size : str
        Of a table of OpenML: its rows, columns and classes.
    licence : str
        That allows to show them.
    withheld : str
        Why nothing is shown.
    remark : str
    columns : list of str
        The column to predict comes first.
    rows : list of list of str
    more_columns : int
        Number of columns that are left out.
    images : list of Picture
    texts : list of str
    """

    name: str = ""
    size: str = ""
    licence: str = ""
    withheld: str = ""
    remark: str = ""
    columns: list[str] = []
    rows: list[list[str]] = []
    more_columns: int = 0
    images: list[Picture] = []
    texts: list[str] = []


def examples_of(base: str) -> Examples:
    """Return the examples of a data set, from its name without parameters; all texts are printable."""
    return _read(FILE).get(base, Examples(withheld=NONE))


@cache
def _read(file: Path) -> dict[str, Examples]:
    known = TypeAdapter(dict[str, Examples]).validate_json(file.read_bytes())
    return {base: _printable(examples) for base, examples in known.items()}


def _printable(examples: Examples) -> Examples:
    texts = {name: clean(getattr(examples, name)) for name in ("name", "size", "licence", "withheld", "remark")}
    lists = {name: list(map(clean, getattr(examples, name))) for name in ("columns", "texts")}
    rows = [list(map(clean, row)) for row in examples.rows]
    images = [Picture(label=clean(image.label), png=image.png) for image in examples.images]
    return examples.model_copy(update=texts | lists | {"rows": rows, "images": images})
