"""A table of OpenML."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from dvbench.errors import UserError
from dvbench.problems.encoders import check_flag
from dvbench.problems.open_ml import find_table
from dvbench.problems.source import Source
from dvbench.tables.features import MAX_CHOSEN_INDICATORS
from dvbench.tables.objects import read_cells
from dvbench.tables.reading import check_sizes, read_table

if TYPE_CHECKING:
    import pandas as pd


def openml(id: int | None = None, group: str | None = None, standardise: bool = True) -> Source:  # noqa: A002
    """OpenML: a table of OpenML, named by its id; classification or regression.

    On the command line and in suites it is written ``openml:ID``, such as ``openml:1489``. An id stands for one version
    of a table, which does not change. Source and authors are on its page, https://www.openml.org/d/ID, with a licence
    if the authors state one. In the mirror they are in ``openml/ID/metadata.json``, which also says in what the
    mirror's table differs from OpenML's. The column to predict is OpenML's default target. Columns are read like those
    of a file: categories become indicators, missing numbers the median of their column, and columns that only number
    the rows are left out.

    Parameters
    ----------
    id : int
        Id of the data on OpenML. It is required.
    group : str, optional
        Column that holds the group of each row; it is not used as a feature.
    standardise : bool
        Whether columns are standardised with statistics of the training set.

    References
    ----------
    J. Vanschoren, J. N. van Rijn, B. Bischl and L. Torgo, "OpenML: Networked Science in Machine Learning", SIGKDD
    Explorations 15(2), 2013, https://doi.org/10.1145/2641190.2641198.
    """
    if id is None:
        raise UserError("a table of OpenML needs its id: write it as openml:ID, such as openml:1489")
    found = find_table(id)
    types = {name: "category" for name in _categories(found.frame) if name not in (found.target, group)}
    cells = replace(read_cells(found.frame), name=f"openml:{id}")
    table = read_table(cells, label=found.target, group=group, kind=found.kind, types=types)
    check_sizes(table)
    return replace(table.source, standardise=check_flag(standardise))


def _categories(frame: pd.DataFrame) -> list[str]:
    """Names of the columns of words, without those that name each row or have too many different ones."""
    words = [str(name) for name, dtype in frame.dtypes.items() if dtype.kind not in "iufbM"]
    return [name for name in words if frame[name].nunique() <= min(MAX_CHOSEN_INDICATORS, len(frame) - 1)]
