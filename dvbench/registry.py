"""Finds evaluators, data sets, models, tasks, unlearning methods, selection strategies and suites by name.

Each kind is an entry-point group, ``dvbench.<kind>``, so that any installed package can add to it. An entry point that
names an object, ``package.module:Name``, adds that object. One that names a package adds every module of the package
that defines a class or function named like its file (``chg_shapley.py`` defines ``CHGShapley``); in the group
``dvbench.suites`` it adds every TOML file. So a new plug-in is a new file.

Methods of another library are plug-ins too, named ``library:name``, such as ``pydvl:shapley``. An entry point of a
group ``dvbench.libraries.<kind>`` has the name of the library and names the module whose public classes or functions
these are. They are listed where the library is installed.

Names, summaries and docstrings are read from source text, so that listing them imports nothing.
"""

from __future__ import annotations

import dataclasses
import importlib
import os
import re
import sys
import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache
from importlib.metadata import EntryPoint, entry_points
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

from dvbench.definitions import Definition, docstrings, package_folders, read_definition, source_file
from dvbench.errors import UserError, one_line, type_name, unknown

Kind = Literal["evaluators", "datasets", "models", "tasks", "unlearning", "selection"]
KINDS: tuple[Kind, ...] = ("evaluators", "datasets", "models", "tasks", "unlearning", "selection")
CLASS_KINDS = ("evaluators", "unlearning", "selection")  # plug-ins of the other kinds are functions
SINGULAR = {"datasets": "data set", "unlearning": "unlearning method", "selection": "selection strategy"}
PLURAL = {"unlearning": "unlearning methods", "selection": "selection strategies"}


@dataclass(frozen=True)
class Entry:
    """A registered plug-in.

    Parameters
    ----------
    kind : {"evaluators", "datasets", "models", "tasks", "unlearning", "selection"}
    name : str
        The name that users write.
    target : str
        Its class or function, as ``module:attribute``.
    library : str, optional
        Name of the package whose method it is, which is also that of dvbench's extra; empty for other plug-ins.
    """

    kind: Kind
    name: str
    target: str
    library: str = ""

    @property
    def available(self) -> bool:
        """Whether the package whose method it is can be imported."""
        return not self.library or find_spec(self.library) is not None

    def load(self) -> Any:
        """Import the class or function.

        Raises
        ------
        UserError
            If the module cannot be imported, or lacks the attribute, or the attribute is not callable; or if the
            library is not installed whose method it is.
        """
        module, _, attribute = self.target.partition(":")
        title = f"{singular(self.kind)} '{self.name}'"
        if not self.available:
            raise UserError(
                f"{title} needs {self.library}, which is not installed: install 'dvbench[{self.library}]', or in a "
                f"clone of dvbench run 'uv sync --extra {self.library}'"
            )
        title += "" if self.name == self.target else f" from {self.target}"
        try:
            loaded = getattr(importlib.import_module(module), attribute)
        except (Exception, SystemExit) as error:  # code of other authors may raise anything when it is imported
            raise UserError(f"cannot load {title}: {type_name(error)}: {one_line(error)}") from error
        if not callable(loaded):
            raise UserError(f"cannot load {title}: it is a {type(loaded).__name__}, neither a class nor a function")
        return loaded

    @cached_property
    def definition(self) -> Definition:
        """Its parameters and metadata, read from the source."""
        module, _, attribute = self.target.partition(":")
        return read_definition(module, attribute)

    @property
    def docstring(self) -> str:
        """Its docstring; empty if it has none or there is no source file."""
        return self._docstring or ""

    @property
    def lacks_docstring(self) -> bool:
        """Whether its source file defines it, and gives it no docstring."""
        return self._docstring == ""

    @property
    def _docstring(self) -> str | None:
        path = self.source
        return None if path is None else docstrings(path).get(self.target.partition(":")[2])

    @property
    def summary(self) -> str:
        """First line of the docstring."""
        return self.docstring.partition("\n")[0]

    @property
    def source(self) -> Path | None:
        """Source file, or None if there is none."""
        return source_file(self.target.partition(":")[0])

    def check_parameters(self, names: Iterable[str]) -> None:
        """Raise a `UserError` if a parameter does not exist. Nothing is raised where the source does not show it."""
        for name in names:  # the source is read only if there is a name to check
            parameters = self.definition.parameters
            known = [parameter.name for parameter in parameters or ()]
            if parameters is not None and name not in known:
                raise unknown(f"parameter of {self.name}", name, known)


def entries(kind: Kind) -> dict[str, Entry]:
    """Return all registered plug-ins of a kind by name, in alphabetical order."""
    registered: dict[str, Entry] = {}
    for point in _points(f"dvbench.{kind}"):
        one = ":" in point.value
        found = {point.name: Entry(kind, point.name, point.value)} if one else _of_package(kind, point.value)
        for name, entry in found.items():
            if name in registered and registered[name].target != entry.target:
                raise _named_twice(kind, name, registered[name].target, entry.target)
            registered[name] = entry
    return dict(sorted(registered.items()))


def library_entries(kind: Kind) -> dict[str, Entry]:
    """Return the plug-ins that are methods of other libraries by name, in alphabetical order.

    They are returned whether or not the libraries are installed: see `Entry.available`.
    """
    methods = {}
    for point in _points(f"dvbench.libraries.{kind}"):
        path = source_file(point.value)
        for attribute in () if path is None else docstrings(path):
            name = f"{point.name}:{_snake_case(attribute)}"
            methods[name] = Entry(kind, name, f"{point.value}:{attribute}", point.name)
    return dict(sorted(methods.items()))


def suite_files() -> dict[str, Path]:
    """Return the TOML files of all registered suites by name, in alphabetical order."""
    files: dict[str, Path] = {}
    for point in _points("dvbench.suites"):
        for path in (path for folder in package_folders(point.value) for path in folder.glob("*.toml")):
            if files.get(path.stem, path) != path:
                raise _named_twice("suites", path.stem, files[path.stem], path)
            files[path.stem] = path
    if not files:
        raise UserError("no suite is registered: install dvbench again, for example with 'uv sync'")
    return dict(sorted(files.items()))


def find(kind: Kind, name: str) -> Entry:
    """Find a plug-in by name.

    Parameters
    ----------
    kind : {"evaluators", "datasets", "models", "tasks", "unlearning", "selection"}
    name : str
        A registered name, in any case and with or without underscores, or ``library:name``, or ``module:attribute``.

    Raises
    ------
    UserError
        If there is no such plug-in; the message suggests the nearest name.
    """
    known = entries(kind)
    if ":" in name:
        library = name.partition(":")[0]
        known = {known: entry for known, entry in library_entries(kind).items() if entry.library == library}
        if not known:
            return Entry(kind, name, _importable(name))
    for entry in known.values():
        if _simplified(entry.name) == _simplified(name):
            return entry
    raise misnamed(kind, name) or unknown(singular(kind), name, known, f"See 'dvbench list {kind}'.")


def misnamed(kind: Kind, name: str) -> UserError | None:
    """Return the error for a file of this name in a plug-in package that does not define what it is named after.

    It is None if there is no such file.
    """
    packages = [point.value for point in _points(f"dvbench.{kind}") if ":" not in point.value]
    for package, folder in [(each, folder) for each in packages for folder in package_folders(each)]:
        for path in folder.glob("*.py"):
            if _simplified(path.stem) == _simplified(name) and path.stem not in ("__init__", *entries(kind)):
                camel_case = "".join(word.capitalize() for word in path.stem.split("_"))
                wanted = f"class {camel_case}" if kind in CLASS_KINDS else f"function {path.stem}"
                file = f"{package.replace('.', '/')}/{path.name}"
                return UserError(f"{file} defines no {wanted}: a plug-in has the name of its file")
    return None


def make(kind: Kind, name: str, base: type, settings: Mapping[str, Any]) -> Any:
    """Make an object of a plug-in class from the parameters of its constructor.

    Parameters
    ----------
    kind : {"unlearning", "selection"}
    name : str
        A registered name, or ``module:Class``.
    base : type
        What all plug-ins of the kind derive from.
    settings : mapping
        Parameters of the constructor.

    Raises
    ------
    UserError
        If there is no such plug-in, it does not take these parameters, or it is of another kind.
    """
    entry = find(kind, name)
    plug_in = entry.load()
    if dataclasses.is_dataclass(plug_in):
        known = [field.name for field in dataclasses.fields(plug_in)]
        for setting in settings:
            if setting not in known:
                raise unknown(f"parameter of {entry.name}", setting, known)
    try:
        made = plug_in(**settings)
    except UserError:
        raise
    except Exception as error:  # another package's constructor may raise anything
        raise UserError(f"cannot make {singular(kind)} {name}: {one_line(error)}") from error
    if not isinstance(made, base):
        raise UserError(f"{name} is not {with_article(kind)}: derive it from {base.__module__}.{base.__qualname__}")
    return made


def singular(kind: str) -> str:
    """Return what one plug-in of a kind is called, such as ``data set``."""
    return SINGULAR.get(kind, kind.removesuffix("s"))


def with_article(kind: str) -> str:
    """Return what one plug-in of a kind is called, such as ``an unlearning method``."""
    name = singular(kind)
    return f"an {name}" if name[0] in "aeiou" else f"a {name}"


def plural(kind: str) -> str:
    """Return what the plug-ins of a kind are called, such as ``unlearning methods``."""
    return PLURAL.get(kind, f"{singular(kind)}s")


def _importable(name: str) -> str:
    """Check a ``module:attribute``, and make modules in the working folder importable, as for ``python script.py``."""
    target = unicodedata.normalize("NFKC", name)  # as Python itself does with names
    module, _, attribute = target.partition(":")
    if not all(part.isidentifier() for part in (*module.split("."), attribute)):
        raise UserError(f"'{name}' is not of the form module:Name, such as 'mine:MyEvaluator'")
    if "" not in sys.path:
        sys.path.insert(0, "")
    return target


def _points(group: str) -> tuple[EntryPoint, ...]:
    """Return the entry points of a group.

    Searching all distributions takes a while, so they are kept for the folders of the search path that have some. These
    are the same in the server of worker processes and in the workers; the folder of the script that is run differs.
    """
    return _points_in(group, tuple(folder for folder in map(os.path.abspath, sys.path) if _has_distributions(folder)))


@lru_cache(maxsize=64)
def _points_in(group: str, folders: tuple[str, ...]) -> tuple[EntryPoint, ...]:
    return tuple(entry_points(group=group))


@lru_cache(maxsize=256)
def _has_distributions(folder: str) -> bool:
    """Whether a folder of the search path, or an archive, may have the metadata of installed packages."""
    try:
        return any(name.endswith((".dist-info", ".egg-info")) for name in map(str, Path(folder).iterdir()))
    except NotADirectoryError:
        return True
    except OSError:
        return False


def _of_package(kind: Kind, package: str) -> dict[str, Entry]:
    """Return the entry of every module of a package that defines what it is named after."""
    entries: dict[str, Entry] = {}
    for folder in package_folders(package):
        with os.scandir(folder) as files:
            sources = [file for file in files if file.name.endswith(".py") and file.is_file()]
            modified = tuple(sorted((file.name, file.stat().st_mtime_ns) for file in sources))
        entries |= _of_folder(kind, package, folder, modified)
    return entries


@lru_cache(maxsize=64)
def _of_folder(kind: Kind, package: str, folder: Path, modified: tuple[tuple[str, int], ...]) -> dict[str, Entry]:
    """Return the entries of a folder with these files, which are kept until one of them changes.

    A file may define both a class and a function of its name, such as a network ``TinyNet`` and the model ``tiny_net``.
    Plug-ins of some kinds are classes; of the other kinds, the function is the plug-in.
    """
    choose = min if kind in CLASS_KINDS else max  # capital letters sort before small letters
    entries = {}
    for path in (folder / name for name, _ in modified):
        names = [name for name in docstrings(path) if _simplified(name) == _simplified(path.stem)]
        if names:
            entries[path.stem] = Entry(kind, path.stem, f"{package}.{path.stem}:{choose(names)}")
    return entries


def _simplified(name: str) -> str:
    return unicodedata.normalize("NFKC", name).replace("_", "").replace("-", "").casefold()


def _snake_case(attribute: str) -> str:
    """Name of a class in small letters: ``KernelSHAP`` is ``kernel_shap``."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", attribute).lower()


def _named_twice(kind: str, name: str, first: object, second: object) -> UserError:
    return UserError(f"two {kind} are named '{name}': {first} and {second}; uninstall one of them")
