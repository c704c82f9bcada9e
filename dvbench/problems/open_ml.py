"""Tables of OpenML: from a local mirror, else from the cache, else from the network.

A mirror, the folder that ``DVBENCH_MIRROR`` names, has ``openml/ID/data.parquet`` and ``openml/ID/metadata.json``,
whose ``target`` is the name of the column to predict and whose ``task`` is ``"classification"`` or ``"regression"``.
"""

from __future__ import annotations

import json
import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from dvbench.errors import UserError, one_line
from dvbench.files import cache_folder, one_process_at_a_time
from dvbench.problems.hub import MIRROR, mirror_folder

if TYPE_CHECKING:
    from pathlib import Path

    import pandas as pd

KINDS = ("classification", "regression")
UNAVAILABLE = (
    "cannot get table {number} of OpenML: no mirror has it, and OpenML gave no answer ({reason}); "
    f"check the id, pass --mirror DIR or set {MIRROR} to a folder that has openml/{{number}}/data.parquet"
)


@dataclass(frozen=True, eq=False)
class OpenTable:
    """A table before anything is understood of it.

    Parameters
    ----------
    frame : pandas.DataFrame
        With the target among its columns.
    target : str
        Name of the column to predict.
    kind : {"classification", "regression"}
    """

    frame: pd.DataFrame
    target: str
    kind: Literal["classification", "regression"]


def find_table(number: int) -> OpenTable:
    """Find a table by its id.

    Parameters
    ----------
    number : int
        Id of the data on OpenML, which stands for one version of it.

    Returns
    -------
    OpenTable

    Raises
    ------
    UserError
        If the id is none, or the table is neither in the mirror nor in the cache and OpenML cannot be reached, or it
        has no single target.
    """
    if isinstance(number, bool) or not isinstance(number, int) or number < 1:
        raise UserError(f"a table of OpenML is named by its id, a whole number such as openml:1489, not {number!r}")
    mirror = mirror_folder()
    folder = None if mirror is None else mirror / "openml" / str(number)
    if folder is not None and folder.is_dir():
        return _mirrored(folder)
    return _fetched(number)


def _mirrored(folder: Path) -> OpenTable:
    import pandas as pd

    metadata_file, file = folder / "metadata.json", folder / "data.parquet"
    try:
        metadata, frame = json.loads(metadata_file.read_bytes()), pd.read_parquet(file)
    except (OSError, ValueError) as error:  # pyarrow's errors are of these families
        raise UserError(f"cannot read {file} and {metadata_file.name}: {one_line(error)}") from error
    target, kind = (metadata.get(key) if isinstance(metadata, dict) else None for key in ("target", "task"))
    if kind not in KINDS or not isinstance(target, str) or target not in frame.columns:
        raise UserError(
            f"{metadata_file} must name a column of {file.name} as target, and {' or '.join(KINDS)} as task"
        )
    return OpenTable(frame, target, kind)


def _fetched(number: int) -> OpenTable:
    from sklearn.datasets import fetch_openml

    try:
        with one_process_at_a_time(f"openml {number}"), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # such as that the table has a newer version
            bunch = fetch_openml(
                data_id=number,
                data_home=cache_folder() / "openml",
                as_frame=True,
                parser="auto",
                n_retries=1,
                delay=0.1,
            )
    # Failures of the network, of the server's answers and of the parser are of many families.
    except Exception as error:
        raise UserError(UNAVAILABLE.format(number=number, reason=one_line(error))) from error
    targets = list(bunch.target_names or ())
    if len(targets) != 1:
        raise UserError(
            f"table {number} of OpenML has {len(targets)} columns to predict, but one is needed: use another"
        )
    numeric = bunch.frame[targets[0]].dtype.kind in "iuf"  # OpenML's classes are categories or text
    return OpenTable(bunch.frame, targets[0], "regression" if numeric else "classification")
