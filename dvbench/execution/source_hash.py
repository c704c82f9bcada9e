"""Hashes the source of a plug-in that is in no package: its file, and the files of its own folder that it imports.

Imports are read from the source text, so that nothing is executed. Watched are ``import`` and ``from`` anywhere in a
file, and ``import_module("name")`` with a literal name. Not watched are other files that the code reads, such as saved
weights, modules whose names are computed, and modules elsewhere.
"""

from __future__ import annotations

import ast
import hashlib
import json
from collections.abc import Iterator
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

from dvbench.definitions import source_file

INSTALLED = ("site-packages", "dist-packages")


def source_hash(module: str) -> str | None:
    """Return a hash of a module's source and of what it imports from its own folder, or None if it has no source.

    For a module of a package, the own folder is that of the package. Of a file that imports nothing from there, it is
    the hash of the file.
    """
    files = own_sources(module)
    if not files:
        return None
    hashes = [hashlib.sha256(path.read_bytes()) for path in files.values()]
    if len(hashes) == 1:
        return hashes[0].hexdigest()[:16]
    lines = sorted(f"{name} {digest.hexdigest()}" for name, digest in zip(files, hashes, strict=True))
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()[:16]


def own_sources(module: str) -> dict[str, Path]:
    """Return the source files of a module and of all modules of its own folder that it imports, by module name."""
    start = source_file(module)
    if start is None:
        return {}
    root = start.parents[module.count(".") + (start.name == "__init__.py")]
    top = module.partition(".")[0]
    files, waiting = {module: start}, [*_prefixes(module)[:-1], module]
    while waiting:
        name = waiting.pop()
        path = files.get(name) or _find(root, name)
        if path is None or (root.name in INSTALLED and name.partition(".")[0] != top):
            continue
        files[name] = path
        is_package = path.name == "__init__.py"
        imported = _imports(path, name, is_package, path.stat().st_mtime_ns)
        waiting += [other for other in imported if other not in files]
    return files


def is_local(package: str) -> bool:
    """Whether a package was installed from a folder, whose files may change while its version stays the same."""
    try:
        text = distribution(package).read_text("direct_url.json")
        return text is not None and "dir_info" in json.loads(text)
    except (PackageNotFoundError, ValueError):
        return False


def _find(root: Path, name: str) -> Path | None:
    base = root.joinpath(*name.split("."))
    candidates = (base / "__init__.py", base.with_name(f"{base.name}.py"))
    return next((path for path in candidates if path.is_file()), None)


@lru_cache(maxsize=1024)
def _imports(path: Path, module: str, is_package: bool, modified: int) -> tuple[str, ...]:
    """Return the names of all modules that a file may import; of ``from a import b``, both ``a`` and ``a.b``."""
    try:
        tree = ast.parse(path.read_bytes())
    except (OSError, SyntaxError, ValueError):
        return ()
    package = module if is_package else module.rpartition(".")[0]
    names = dict.fromkeys(name for node in ast.walk(tree) for name in _imported(node, package))
    return tuple(prefix for name in names for prefix in _prefixes(name))


def _imported(node: ast.AST, package: str) -> Iterator[str]:
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
        parts = package.split(".") if package and node.level else []
        above = parts[: len(parts) - node.level + 1] if node.level else []
        base = ".".join([*above, *([node.module] if node.module else [])])
        yield from ([base] if base else [])
        yield from (f"{base}.{alias.name}" if base else alias.name for alias in node.names if alias.name != "*")
    elif isinstance(node, ast.Call) and node.args:
        called = getattr(node.func, "id", getattr(node.func, "attr", ""))
        name = node.args[0]
        if called in ("import_module", "__import__") and isinstance(name, ast.Constant) and isinstance(name.value, str):
            yield f"{package}{name.value}" if name.value.startswith(".") else name.value


def _prefixes(name: str) -> list[str]:
    """Return ``["a", "a.b", "a.b.c"]`` for ``a.b.c``: importing a module executes the packages that it is in."""
    parts = name.split(".")
    return [".".join(parts[: end + 1]) for end in range(len(parts))]
