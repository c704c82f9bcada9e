"""Writes overrides.txt, the overrides of [tool.uv] in pyproject.toml as a file for resolvers outside this project.

Run it after every change of ``override-dependencies``: ``python .ci/overrides.py``.
"""

from __future__ import annotations

import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[1]
HEADER = """\
# OpenDataVal 1.3.0 pins the Python stack of 2023. These requirements replace its pins when dvbench is installed outside
# its own project:
#     uvx --overrides overrides.txt --constraints requirements.txt --from dvbench dvbench list evaluators
# Generated from pyproject.toml by: python .ci/overrides.py
"""


def text(pyproject: Path) -> str:
    """Content of overrides.txt."""
    settings = tomllib.loads(pyproject.read_text(encoding="utf-8"))["tool"]["uv"]
    return HEADER + "".join(f"{requirement}\n" for requirement in settings["override-dependencies"])


if __name__ == "__main__":
    (ROOT / "overrides.txt").write_text(text(ROOT / "pyproject.toml"), encoding="utf-8")
