"""Reads classes and functions from source files, without importing them.

Names and docstrings are read with `ast`, which takes milliseconds, so that lists are printed at once. Parameters are
read with griffe, which is imported only when they are needed.
"""

from __future__ import annotations

import ast
import inspect
from contextlib import suppress
from dataclasses import dataclass, field
from functools import lru_cache
from importlib.machinery import PathFinder
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    import griffe

NO_FIELDS = ("ClassVar", "KW_ONLY")  # annotations in a dataclass that are not parameters


@dataclass(frozen=True)
class Parameter:
    """A parameter of a function, or of a class's constructor.

    Parameters
    ----------
    name : str
    type : str
        Its annotation; empty if there is none.
    default : str or None
        The default as it is written in the source, or None if a value is required.
    """

    name: str
    type: str
    default: str | None

    def __str__(self) -> str:
        """Return the parameter as it is written in a signature."""
        annotated = f"{self.name}: {self.type}" if self.type else self.name
        return annotated if self.default is None else f"{annotated} = {self.default}"


@dataclass(frozen=True)
class Definition:
    """A class or a function as its source shows it.

    Parameters
    ----------
    parameters : tuple of Parameter, or None
        None if the source does not show them, as for ``**kwargs`` or an unknown base class.
    metadata : dict
        Keyword arguments of a function's decorators, as far as they are literals: a task's version and headline. Of a
        class, its class variables (``ClassVar``) that are literals: an evaluator's ``version``.
    """

    parameters: tuple[Parameter, ...] | None = None
    metadata: dict[str, Any] = field(default_factory=dict)


def package_folders(package: str) -> list[Path]:
    """Folders of a package, found without importing it or its parents; none if there is no such package."""
    return [Path(folder) for folder in _locate(package)[1]]


def source_file(module: str) -> Path | None:
    """Source file of a module or package, found without importing it or its parents; None if there is none."""
    origin = _locate(module)[0]
    path = Path(origin) if origin else None
    return path if path is not None and path.is_file() else None


def docstrings(path: Path) -> dict[str, str]:
    """Return the docstring of every public class and function of a file, by name; empty ones included.

    A file that cannot be read or parsed has none.
    """
    try:
        return _docstrings(path, path.stat().st_mtime_ns)
    except OSError:
        return {}


def read_definition(module: str, name: str) -> Definition:
    """Read a class or a function of a module; an empty definition if the source does not have it."""
    definition = _find(f"{module}.{name}")
    if definition is None:
        return Definition()
    if definition.is_class:
        return Definition(_constructor(definition), _class_variables(definition))
    if definition.is_function:
        return Definition(_signature(definition), _metadata(definition))
    return Definition()


def literal_keys(path: Path, function: str, call: str) -> list[set[str]]:
    """Keys of the dict that each call of ``call`` in a function has as its first argument.

    Calls whose first argument is not a dict with constant keys are left out.
    """
    try:
        body = ast.parse(path.read_text(encoding="utf-8")).body
    except (OSError, SyntaxError, ValueError):
        return []
    definition = [node for node in body if isinstance(node, ast.FunctionDef) and node.name == function]
    calls = [node for each in definition for node in ast.walk(each) if isinstance(node, ast.Call) and node.args]
    keys = []
    for node in calls:
        name, first = getattr(node.func, "id", getattr(node.func, "attr", "")), node.args[0]
        if name == call and isinstance(first, ast.Dict) and all(isinstance(key, ast.Constant) for key in first.keys):
            keys.append({str(cast("ast.Constant", key).value) for key in first.keys})
    return keys


def _locate(module: str) -> tuple[str | None, list[str]]:
    """Origin of a module, and the folders in which its submodules are searched."""
    search: list[str] | None = None
    origin = None
    for part in module.split("."):
        spec = PathFinder.find_spec(part, search)
        if spec is None:
            return None, []
        origin, search = spec.origin, list(spec.submodule_search_locations or [])
    return origin, search or []


@lru_cache(maxsize=1024)
def _docstrings(path: Path, modified: int) -> dict[str, str]:
    """Docstrings of a file as it was when it was last modified; parsing takes most of the time of a look-up."""
    try:
        tree = ast.parse(path.read_text(encoding="utf-8"))
    except (OSError, SyntaxError, ValueError):
        return {}
    return {
        node.name: inspect.cleandoc(ast.get_docstring(node) or "")
        for node in tree.body
        if isinstance(node, ast.ClassDef | ast.FunctionDef) and not node.name.startswith("_")
    }


def _visit(module: str) -> griffe.Module | None:
    path = source_file(module)
    return None if path is None else _visit_file(module, path, path.stat().st_mtime_ns)


@lru_cache(maxsize=256)
def _visit_file(module: str, path: Path, modified: int) -> griffe.Module | None:
    import griffe

    try:
        return griffe.visit(module, filepath=path, code=path.read_text(encoding="utf-8"))
    except (OSError, SyntaxError, ValueError):
        return None


def _find(path: str, depth: int = 0) -> Any:
    """Find an object by its full path, through the imports of other modules; None if there is no source."""
    module, _, name = path.rpartition(".")
    visited = _visit(module) if module and depth < 10 else None
    if visited is None or name not in visited.members:
        return None
    member = visited.members[name]
    return _find(cast("griffe.Alias", member).target_path, depth + 1) if member.is_alias else member


def _constructor(definition: griffe.Class) -> tuple[Parameter, ...] | None:
    """Parameters of a class, which may be inherited; None if a base class has no source."""
    constructor = definition.members.get("__init__")
    if constructor is not None and constructor.is_function:
        return _signature(cast("griffe.Function", constructor))
    bases = [_find(base if isinstance(base, str) else base.canonical_path) for base in definition.bases]
    inherited = [_constructor(base) if base is not None and base.is_class else None for base in bases]
    known = [parameters for parameters in inherited if parameters is not None]
    if len(known) < len(inherited):
        return None
    if "dataclass" not in definition.labels:
        return next((parameters for parameters in known if parameters), ())
    fields = {parameter.name: parameter for parameters in reversed(known) for parameter in parameters}
    for member in definition.members.values():
        if (own := _field(member)) is not None:
            fields[own.name] = own
    return tuple(fields.values())


def _field(member: Any) -> Parameter | None:
    """Field of a dataclass; None for a member that is not one."""
    if not member.is_attribute or "property" in member.labels or member.annotation is None:
        return None
    # griffe leaves out ClassVar from an annotation with an argument, but not the other one.
    if "instance-attribute" not in member.labels or str(member.annotation).startswith(NO_FIELDS):
        return None
    return Parameter(member.name, _type(member.annotation), None if member.value is None else str(member.value))


def _signature(function: griffe.Function) -> tuple[Parameter, ...] | None:
    """Parameters of a function; None if it takes any, as by ``**kwargs``."""
    if any("variadic" in str(parameter.kind.value) for parameter in function.parameters if parameter.kind):
        return None
    return tuple(
        Parameter(parameter.name, _type(parameter.annotation), _text(parameter.default))
        for parameter in function.parameters
        if parameter.name != "self"
    )


def _text(expression: object) -> str | None:
    return None if expression is None else str(expression)


def _type(annotation: Any) -> str:
    """An annotation as text; a name that stands for other types, such as a ``Literal``, is replaced by them."""
    if annotation is None:
        return ""
    path = "" if isinstance(annotation, str) else getattr(annotation, "canonical_path", "")
    alias = _find(path) if "." in path else None
    return str(alias.value) if alias is not None and alias.is_attribute and alias.value else str(annotation)


def _class_variables(definition: griffe.Class) -> dict[str, Any]:
    """Class variables of a class, not of its bases, that are literals."""
    variables = {}
    for name, member in definition.members.items():
        if member.is_attribute and "class-attribute" in member.labels and "instance-attribute" not in member.labels:
            with suppress(ValueError, SyntaxError, TypeError):
                variables[name] = ast.literal_eval(str(cast("griffe.Attribute", member).value))
    return variables


def _metadata(function: griffe.Function) -> dict[str, Any]:
    """Keyword arguments of a function's decorators that are literals."""
    metadata = {}
    for decorator in function.decorators:
        for argument in getattr(decorator.value, "arguments", ()):
            with suppress(ValueError, SyntaxError, AttributeError):
                metadata[argument.name] = ast.literal_eval(str(argument.value))
    return metadata
