"""Messages name options of the command line; for a caller in Python, this names the arguments of `dvbench.value`."""

from __future__ import annotations

import re

_OPTION = re.compile(
    r"--as (?P<quote>'?)(?P<column>[^'=\n]+)=(?P<type>[A-Za-z-]+)(?P=quote)"
    r"|--(?P<named>kind|utility) (?P<value>classification|regression|accuracy|log_loss|mse)"
    r"|--drop '(?P<dropped>[^'\n]+)'"
    r"|--decimal (?P<mark>[.,])"
    r"|--strategy=(?P<strategy>\w+) --evaluator=(?P<evaluator>\w+)"
    r"|--folds (?P<folds>\d+)"
    r"|--parameter 'sampling=\{permutations=(?P<permutations>\d+)\}'"
    r"|--parameter (?P<parameter>\w+)=(?P<setting>\w+)"
    r"|--(?P<other>label|group|evaluator|model|utility|kind|features|drop|as|valid|folds|seed|device|fraction|strategy|goal|budget|results|parameter)\b"
)
_ARGUMENTS = {"group": "groups", "as": "types", "valid": "validation", "parameter": "parameters"}


def in_python(message: str) -> str:
    """Name the arguments of `dvbench.value` where a message names options of ``dvbench value``.

    ``--kind regression`` becomes ``kind='regression'``, and ``--as 'age=number'`` becomes ``types={'age': 'number'}``.
    """
    return _OPTION.sub(_argument, message)


def _argument(option: re.Match[str]) -> str:
    if option["column"]:
        return f"types={{{option['column']!r}: {option['type']!r}}}"
    if option["named"]:
        return f"{option['named']}={option['value']!r}"
    if option["dropped"]:
        return f"drop=[{option['dropped']!r}]"
    if option["mark"]:
        return f"decimal={option['mark']!r}"
    if option["strategy"]:
        return f"strategy={option['strategy']!r}, params={{'evaluator': {option['evaluator']!r}}}"
    if option["permutations"]:
        return f"parameters={{'sampling': {{'permutations': {option['permutations']}}}}}"
    if option["parameter"]:
        return f"parameters={{{option['parameter']!r}: {option['setting']}}}"
    if option["folds"]:
        return f"folds={option['folds']}"
    return f"`{_ARGUMENTS.get(option['other'], option['other'])}`"
