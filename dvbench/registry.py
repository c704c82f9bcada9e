"""Finds evaluators, datasets, models, tasks and unlearning methods by name, ours and strangers' alike.

Each kind is an entry-point group, ``dvbench.<kind>``. An entry point that names an object, ``package.module:Name``,
adds that one; an entry point that names a package adds every module in it that defines a class or function named like
the file (``chg_shapley.py`` holds ``CHGShapley``). So adding one is adding one file.

Names, summaries and docstrings are read from source text, so that listing them imports nothing.
"""

from __future__ import annotations

import ast
import importlib
import inspect
import re
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property, lru_cache
from importlib.machinery import PathFinder
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Any, Literal, NamedTuple

from dvbench.errors import UserError, unknown

Kind = Literal["evaluators", "datasets", "models", "tasks", "unlearning"]
KINDS: tuple[Kind, ...] = ("evaluators", "datasets", "models", "tasks", "unlearning")


class Definition(NamedTuple):
    """A class or function as its source shows it.

    ``parameters`` is None where the source does not tell; ``metadata`` are the keywords of a function's decorator, as a
    task's.
    """

    docstring: str
    parameters: tuple[str, ...] | None
    metadata: dict[str, Any]


@dataclass(frozen=True)
class Entry:
    """One registered thing.

    Parameters
    ----------
    kind : {"evaluators", "datasets", "models", "tasks", "unlearning"}
    name : str
        What users call it.
    target : str
        Where it lives, ``module:attribute``.
    """

    kind: Kind
    name: str
    target: str

    def load(self) -> Any:
        """Import it.

        Raises
        ------
        UserError
            If the module cannot be imported, or has no such thing, or it cannot be called.
        """
        module, _, attribute = self.target.partition(":")
        what = f"{singular(self.kind)} '{self.name}'"
        what += "" if self.name == self.target else f" from {self.target}"
        try:
            found = getattr(importlib.import_module(module), attribute)
        except Exception as error:  # whatever importing a stranger's module brings about
            raise UserError(f"cannot load {what}: {type(error).__name__}: {' '.join(str(error).split())}") from error
        if not callable(found):
            raise UserError(f"cannot load {what}: it is a {type(found).__name__}, neither a class nor a function")
        return found

    @cached_property
    def definition(self) -> Definition:
        """What its source says about it."""
        module, _, attribute = self.target.partition(":")
        return _definitions(_source(module)).get(attribute, Definition("", None, {}))

    @property
    def docstring(self) -> str:
        """Its docstring; empty if it has none or the source is not at hand."""
        return self.definition.docstring

    def check_parameters(self, names: Iterable[str]) -> None:
        """Raise a `UserError` if a parameter does not exist, as far as the source tells."""
        known = self.definition.parameters
        for name in names:
            if known is not None and name not in known:
                raise unknown(f"parameter of {self.name}", name, known)

    @property
    def source(self) -> Path | None:
        """Source file, or None if there is none."""
        path = _source(self.target.partition(":")[0])
        return path if path.is_file() else None

    @property
    def summary(self) -> str:
        """First line of the docstring."""
        return self.docstring.partition("\n")[0]


def entries(kind: Kind) -> dict[str, Entry]:
    """All that is registered of one kind, by name, in alphabetical order."""
    found: dict[str, Entry] = {}
    for point in _points(f"dvbench.{kind}", tuple(sys.path)):
        targets = {point.name: point.value} if ":" in point.value else _modules(point.value)
        for name, target in targets.items():
            if name in found and found[name].target != target:
                raise UserError(
                    f"two {kind} are named '{name}': {found[name].target} and {target}; uninstall one of them"
                )
            found[name] = Entry(kind, name, target)
    return dict(sorted(found.items()))


@lru_cache(maxsize=16)
def _points(group: str, path: tuple[str, ...]) -> tuple[EntryPoint, ...]:
    """Entry points of a group that this path offers; looking through all distributions takes a while."""
    return tuple(entry_points(group=group))


def find(kind: Kind, name: str) -> Entry:
    """Look one up.

    Parameters
    ----------
    kind : {"evaluators", "datasets", "models", "tasks", "unlearning"}
    name : str
        A registered name, in any case and with or without underscores, or ``module:attribute``.

    Raises
    ------
    UserError
        If there is no such thing; the message names the nearest.
    """
    if ":" in name:
        if not re.fullmatch(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*", name):
            raise UserError(f"'{name}' is not of the form module:Name, such as 'mine:MyEvaluator'")
        # A script beside which the command is run is importable, as it is for `python script.py`.
        if "" not in sys.path:
            sys.path.insert(0, "")
        return Entry(kind, name, name)
    known = entries(kind)
    for entry in known.values():
        if _plain(entry.name) == _plain(name):
            return entry
    raise unknown(singular(kind), name, known, f"See 'dvbench list {kind}'.")


def singular(kind: Kind) -> str:
    """What one thing of a kind is called."""
    return "unlearning method" if kind == "unlearning" else kind.removesuffix("s")


def _plain(name: str) -> str:
    return name.replace("_", "").replace("-", "").lower()


def _modules(package: str) -> dict[str, str]:
    """``{file name: module:attribute}`` for every module of a package that keeps the naming rule."""
    found = {}
    for path in sorted(_source(package).parent.glob("*.py")):
        for attribute in _definitions(path):
            if _plain(attribute) == _plain(path.stem):
                found[path.stem] = f"{package}.{path.stem}:{attribute}"
    return found


def _source(module: str) -> Path:
    """Source file of a module, found without importing it or its parents; one that does not exist if there is none."""
    search: list[str] | None = None
    origin = None
    for part in module.split("."):
        spec = PathFinder.find_spec(part, search)
        if spec is None:
            return Path("no-such-module", "__init__.py")
        origin, search = spec.origin, list(spec.submodule_search_locations or [])
    return Path(origin or "no-source")


def _definitions(path: Path) -> dict[str, Definition]:
    """The public classes and functions a file defines, by name."""
    try:
        return _parse(path, path.stat().st_mtime_ns)
    except OSError:
        return {}


@lru_cache(maxsize=1024)
def _parse(path: Path, modified: int) -> dict[str, Definition]:
    """Definitions of a file as it was when it was last modified; parsing is most of the cost of looking up a name."""
    try:
        tree = ast.parse(path.read_text(encoding="utf-8"))
    except (OSError, SyntaxError, UnicodeDecodeError):
        return {}
    return {
        node.name: Definition(inspect.cleandoc(ast.get_docstring(node) or ""), _parameters(node), _metadata(node))
        for node in tree.body
        if isinstance(node, ast.ClassDef | ast.FunctionDef) and not node.name.startswith("_")
    }


def _parameters(node: ast.ClassDef | ast.FunctionDef) -> tuple[str, ...] | None:
    if isinstance(node, ast.ClassDef):
        constructors = [n for n in node.body if isinstance(n, ast.FunctionDef) and n.name == "__init__"]
        return _parameters(constructors[0]) if constructors else None
    arguments = node.args
    if arguments.kwarg or arguments.vararg:
        return None
    names = [argument.arg for argument in (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs)]
    return tuple(name for name in names if name != "self")


def _metadata(node: ast.ClassDef | ast.FunctionDef) -> dict[str, Any]:
    if isinstance(node, ast.ClassDef):
        return {}
    return {
        keyword.arg: keyword.value.value
        for decorator in node.decorator_list
        if isinstance(decorator, ast.Call)
        for keyword in decorator.keywords
        if keyword.arg and isinstance(keyword.value, ast.Constant)
    }
