"""Files that all pages use: our styles and scripts, and DataTables and plotly from Python packages."""

from __future__ import annotations

import re
from importlib.resources import files
from pathlib import Path

OWN = ("site.css", "rankings.js", "charts.js", "site.js", "compare.js", "front.js", "favicon.svg")


def assets() -> dict[str, bytes]:
    """Read the files, by name.

    Raises
    ------
    RuntimeError
        If the installed version of itables contains DataTables in an unknown form.
    """
    contents = {name: files("leaderboard.site").joinpath("static", name).read_bytes() for name in OWN}
    packaged = Path(str(files("itables"))) / "html" / "dt_bundle.js"
    contents["datatables.js"] = _as_script(packaged.read_text(encoding="utf-8")).encode()
    contents["datatables.css"] = packaged.with_suffix(".css").read_bytes()
    # The whole of plotly: its Python package has no smaller bundle. It is loaded only when a chart comes into sight.
    contents["plotly.js"] = files("plotly").joinpath("package_data", "plotly.min.js").read_bytes()
    return contents


def _as_script(module: str) -> str:
    """Turn a JavaScript module into a plain script, because browsers do not load modules from a disk."""
    export = r"export\s*\{[^}]*?([\w$]+) as default[^}]*\}"
    body, count = re.subn(export, r"window.DataTable=\1", module)
    if count != 1:
        raise RuntimeError(
            "this version of itables has another form of DataTables: adapt leaderboard/site/assets.py, or pin itables"
        )
    return f"(()=>{{{body}\n}})();\n"
