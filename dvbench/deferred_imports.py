"""Defers what OpenDataVal imports for its text model, its image data sets and its plots, which dvbench does not use.

``import opendataval`` loads transformers and torchvision, and with them torch's compiler, triton and sympy: 40% of the
time that it takes. ``opendataval.experiment`` loads matplotlib too. Here the modules that import them get stand-ins,
which import a name when it is first used. So everything in OpenDataVal works as before, and its files stay as they are.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import MutableSequence, Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType
from typing import Any

PLOTS = (
    "matplotlib",
    "matplotlib.pyplot",
    "matplotlib.axes",
    "matplotlib.figure",
    "mpl_toolkits",
    "mpl_toolkits.axes_grid1",
    "mpl_toolkits.axes_grid1.axes_divider",
)
DEFERRED = {
    "opendataval.model.bert": ("transformers",),
    "opendataval.dataloader.datasets.imagesets": (
        "torchvision",
        "torchvision.transforms",
        "torchvision.transforms.functional",
        "torchvision.datasets",
        "matplotlib",
    ),
    "opendataval.experiment.api": PLOTS,
    "opendataval.experiment.exper_methods": PLOTS,
}


def defer() -> None:
    """Defer the imports of `DEFERRED`, from now on; modules that were imported before stay as they are."""
    if not any(isinstance(finder, _Finder) for finder in sys.meta_path):
        sys.meta_path.insert(0, _Finder())


class _Finder(MetaPathFinder):
    """Finds the modules of `DEFERRED` where they are, and runs them with stand-ins."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname not in DEFERRED:
            return None
        spec = PathFinder.find_spec(fullname, path, target)
        if spec is not None and spec.loader is not None:
            spec.loader = _Loader(spec.loader)
        return spec


class _Loader(Loader):
    def __init__(self, loader: Loader) -> None:
        self._loader = loader

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        return self._loader.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        stand_ins = {name: _Module(name) for name in DEFERRED[module.__name__] if name not in sys.modules}
        for name, stand_in in stand_ins.items():
            parent, _, child = name.rpartition(".")
            if parent in stand_ins:
                setattr(stand_ins[parent], child, stand_in)
        sys.modules.update(stand_ins)
        try:
            self._loader.exec_module(module)
        finally:
            for name, stand_in in stand_ins.items():
                if sys.modules.get(name) is stand_in:
                    del sys.modules[name]

    def __getattr__(self, name: str) -> Any:
        return getattr(self._loader, name)  # such as the source, for tracebacks and `inspect`


class _Module(ModuleType):
    """Stands in for a module whose attributes are stand-ins, too."""

    __path__: MutableSequence[str] = []

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return _Deferred(self.__name__, name)


class _Deferred:
    """Stands in for an attribute of a module, such as a class."""

    def __init__(self, module: str, name: str) -> None:
        self._module, self._name = module, name
        self.__name__ = name  # OpenDataVal names folders of embeddings after the class of the images

    def _import(self) -> Any:
        return getattr(importlib.import_module(self._module), self._name)

    def __call__(self, *arguments: Any, **named: Any) -> Any:
        return self._import()(*arguments, **named)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return getattr(self._import(), name)
