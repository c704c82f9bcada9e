"""What the pages share: our own styles and scripts, and DataTables and plotly as Python packages bring them."""

from __future__ import annotations

import re
from importlib.resources import files
from pathlib import Path

OWN = ("site.css", "rankings.js", "charts.js", "site.js")


def assets() -> dict[str, bytes]:
    """Files by name.

    Raises
    ------
    RuntimeError
        If itables packages DataTables in another way than the versions that are known.
    """
    found = {name: files("leaderboard.site").joinpath("static", name).read_bytes() for name in OWN}
    packaged = Path(str(files("itables"))) / "html" / "dt_bundle.js"
    found["datatables.js"] = _as_script(packaged.read_text(encoding="utf-8")).encode()
    found["datatables.css"] = packaged.with_suffix(".css").read_bytes()
    found["plotly.js"] = files("plotly").joinpath("package_data", "plotly.min.js").read_bytes()
    return found


def _as_script(module: str) -> str:
    """A module as a plain script: browsers load no modules from a disk."""
    export = r"export\s*\{[^}]*?([\w$]+) as default[^}]*\}"
    body, count = re.subn(export, r"window.DataTable=\1", module)
    if count != 1:
        raise RuntimeError("itables packages DataTables in a new way: mend leaderboard/site/assets.py, or pin itables")
    return f"(()=>{{{body}\n}})();\n"
