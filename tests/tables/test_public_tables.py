"""Public tables that ship with installed packages, read without editing them; what is right was checked by hand."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from dvbench.tables.encoders import Numbers
from dvbench.tables.reading import read_table

# Package and path, options, kind and classes (or the lowest and highest target), columns by type, columns left out.
TABLES = {
    "iris": (
        "plotly/package_data/datasets/iris.csv.gz",
        {"label": "species", "drop": ["species_id"]},
        3,
        {"number": 4},
    ),
    "tips": ("plotly/package_data/datasets/tips.csv.gz", {"label": "tip"}, None, {"number": 2, "category": 4}),
    "gapminder": (
        "plotly/package_data/datasets/gapminder.csv.gz",
        {"label": "lifeExp", "group": "continent", "drop": ["iso_alpha"]},
        None,
        {"number": 6, "text": 1},
    ),
    "election": (
        "plotly/package_data/datasets/election.csv.gz",
        {"label": "winner"},
        3,
        {"number": 4, "category": 1},
    ),
    "stocks": ("plotly/package_data/datasets/stocks.csv.gz", {"label": "AAPL"}, None, {"number": 5, "date": 1}),
    "anes96": ("statsmodels/datasets/anes96/anes96.csv", {"label": "'vote'"}, 2, {"number": 9}),
    "modechoice": ("statsmodels/datasets/modechoice/modechoice.csv", {"label": "choice"}, 2, {"number": 8}),
    "electrical equipment": ("statsmodels/datasets/elec_equip/elec_equip.csv", {}, None, {"date": 1}),
    "Danish money demand": (
        "statsmodels/datasets/danish_data/data.csv",
        {"label": "lrm"},
        None,
        {"number": 4, "date": 1},
    ),
    "crime in the states": ("statsmodels/datasets/statecrime/statecrime.csv", {"label": "murder"}, None, {"number": 6}),
    "Longley": ("statsmodels/datasets/longley/longley.csv", {"label": "TOTEMP"}, None, {"number": 6}),
    "countries": (
        "itables/samples/countries.csv",
        {"label": "region", "drop": ["name", "capitalCity"]},
        8,
        {"number": 2, "category": 3},
    ),
}
LEFT_OUT = {
    "election": {"district", "district_id"},
    "crime in the states": {"state"},
    "Longley": {"Obs"},
    "countries": {"iso2Code"},
}


def path_of(file: str) -> Path:
    package, _, inside = file.partition("/")
    spec = find_spec(package)
    if spec is None or spec.origin is None or not (path := Path(spec.origin).parent / inside).exists():
        pytest.skip(f"{file} is not installed")
    return path


@pytest.mark.parametrize("name", TABLES)
def test_a_public_table_is_read_as_it_is(name):
    file, options, classes, types = TABLES[name]
    table = read_table(path_of(file), **options)
    assert len(table.source.classes) == (classes or 0)
    assert table.source.kind == ("classification" if classes else "regression")
    said = " ".join(table.understood)
    words = {"number": "numeric", "category": "categorical", "date": "date", "text": "text"}
    for kind, count in types.items():
        assert f"{count} {words[kind]}" in said
    assert sum(types.values()) == len(table.encoders or ())
    for column in LEFT_OUT.get(name, ()):
        assert f"{column}: " in said
    features = table.source.take(np.arange(len(table.rows)))
    assert np.isfinite(features).all()
    start = 0
    reference = pd.read_csv(path_of(file), sep=None, engine="python", quotechar='"')
    for column, encoder in (table.encoders or {}).items():
        if isinstance(encoder, Numbers):
            filled = reference[column].fillna(reference[column].median())
            np.testing.assert_allclose(features[:, start], filled.to_numpy(dtype=float), err_msg=column)
        start += encoder.width
    assert (np.ptp(features, axis=0) > 0).all()
