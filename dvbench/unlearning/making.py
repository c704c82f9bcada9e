"""Makes an unlearning method of its name."""

from __future__ import annotations

import dataclasses
from typing import Any

from dvbench.errors import UserError, unknown
from dvbench.registry import find
from dvbench.unlearning.contract import Method


def make_method(name: str, /, **settings: Any) -> Method:
    """Make an unlearning method.

    Parameters
    ----------
    name : str
        A registered name, or ``module:Class``.
    **settings
        Of its constructor.

    Raises
    ------
    UserError
        If there is none of that name, or it does not take these settings.
    """
    entry = find("unlearning", name)
    make = entry.load()
    if dataclasses.is_dataclass(make):
        known = [field.name for field in dataclasses.fields(make)]
        for setting in settings:
            if setting not in known:
                raise unknown(f"parameter of {entry.name}", setting, known)
    try:
        method = make(**settings)
    except UserError:
        raise
    except Exception as error:  # whatever a stranger's constructor brings about
        reason = " ".join(str(error).split()) or type(error).__name__
        raise UserError(f"cannot make unlearning method {name}: {reason}") from error
    if not isinstance(method, Method):
        raise UserError(f"{name} is no unlearning method: derive it from dvbench.unlearning.contract.Method")
    return method
