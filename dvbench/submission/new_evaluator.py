"""Writes the files of a new evaluator: a working example, its test, and the form for its submission."""

from __future__ import annotations

import keyword
import re
import sys
from importlib.machinery import PathFinder
from pathlib import Path

from dvbench.errors import UserError
from dvbench.files import write_atomically
from dvbench.registry import entries
from dvbench.submission.checks import confusable_form

TEMPLATES = Path(__file__).parent / "skeleton"
NAME = re.compile(r"[a-z][a-z0-9]*(_[a-z0-9]+)*")


def write_skeleton(name: str, out: Path) -> list[str]:
    """Write the folder of a new evaluator.

    Parameters
    ----------
    name : str
        The name of its module, in lower case with underscores; its class has the same name in camel case.
    out : Path
        Folder in which the folder of the evaluator is created.

    Returns
    -------
    list of str
        The written files and the next step, line by line.

    Raises
    ------
    UserError
        If the name cannot be used, or the folder exists.
    """
    _check_name(name)
    folder = out / name
    if folder.exists() or folder.is_symlink():
        raise UserError(f"{folder} exists already; choose another name, or another --out")
    title = "".join(part.capitalize() for part in name.split("_"))
    for template in sorted(TEMPLATES.glob("*.txt")):
        text = template.read_text(encoding="utf-8").replace("NAME", name).replace("CLASS", title)
        write_atomically(folder / template.name.removesuffix(".txt").replace("NAME", name), text.encode())
    files = ", ".join(sorted(path.name for path in folder.iterdir()))
    return [
        f"{folder}: {files}",
        f"next: cd {folder} && python -m pytest && dvbench run quick --evaluator {name}:{title}",
    ]


def _check_name(name: str) -> None:
    if not NAME.fullmatch(name) or keyword.iskeyword(name) or len(name) > 40:
        raise UserError(
            f"'{name}' cannot be the name of a module: write it in lower case with underscores, such as margin_values"
        )
    similar = [other for other in entries("evaluators") if confusable_form(other) == confusable_form(name)]
    if similar:
        raise UserError(f"there is an evaluator {similar[0]}; choose another name")
    if name in sys.stdlib_module_names or PathFinder.find_spec(name) is not None or name.startswith("test_"):
        raise UserError(f"'{name}' is the name of another module; choose another name")
