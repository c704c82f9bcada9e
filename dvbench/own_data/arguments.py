"""Messages name options of the command line; for a caller in Python, this names the arguments of `dvbench.value`."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager

from dvbench.errors import UserError
from dvbench.own_data.given import Observer, Report

_OPTION = re.compile(
    r"--as (?P<quote>'?)(?P<column>[^\n]+?)=(?P<type>[a-z-]+|[A-Z]+)(?P=quote)(?=[ ,;:)\n]|$)"
    r"|'dvbench (?P<command>value|select|advise)[^'\n]*'"
    r"|--(?P<named>kind|utility) (?P<value>classification|regression|accuracy|log_loss|mse)"
    r"|--drop '(?P<dropped>[^\n]+?)'(?=[ ,;:)\n]|$)"
    r"|--decimal (?P<mark>[.,])"
    r"|--strategy=(?P<strategy>\w+) --evaluator=(?P<evaluator>\w+)"
    r"|--folds (?P<folds>\d+)"
    r"|--parameter 'sampling=\{permutations=(?P<permutations>\d+)\}'"
    r"|--parameter (?P<parameter>\w+)=(?P<setting>\w+)"
    r"|--(?P<other>label|group|evaluator|model|utility|kind|features|drop|as|valid|folds|seed|device|fraction|strategy|goal|budget|results|parameter)\b"
)
_WRITTEN = {  # how what one of these groups has matched is written in Python
    "column": "types={{{column!r}: {type!r}}}",
    "named": "{named}={value!r}",
    "command": "dvbench.{command}",
    "dropped": "drop=[{dropped!r}]",
    "mark": "decimal={mark!r}",
    "strategy": "strategy={strategy!r}, params={{'evaluator': {evaluator!r}}}",
    "permutations": "parameters={{'sampling': {{'permutations': {permutations}}}}}",
    "parameter": "parameters={{{parameter!r}: {setting}}}",
    "folds": "folds={folds}",
}
_ARGUMENTS = {"group": "groups", "as": "types", "valid": "validation", "parameter": "parameters"}


def in_python(message: str) -> str:
    """Name the arguments of `dvbench.value` where a message names options of ``dvbench value``.

    ``--kind regression`` becomes ``kind='regression'``, and ``--as 'age=number'`` becomes ``types={'age': 'number'}``.
    """
    return _OPTION.sub(_argument, message)


def _argument(option: re.Match[str]) -> str:
    for group, written in _WRITTEN.items():
        if option[group]:
            return written.format_map(option.groupdict())
    return f"`{_ARGUMENTS.get(option['other'], option['other'])}`"


@contextmanager
def errors_in_python() -> Iterator[None]:
    """Raise the user's errors again, in the words of `in_python`."""
    try:
        yield
    except UserError as error:
        raise UserError(in_python(str(error))) from error


class InPython:
    """Shows lines in the words of `in_python`.

    Parameters
    ----------
    report : Report
    """

    def __init__(self, report: Report) -> None:
        self._report = report

    def say(self, line: str, /) -> None:
        """Print a line."""
        self._report.say(in_python(line))

    def counting(self, what: str, /) -> AbstractContextManager[Observer]:
        """Show how many of some parts are done."""
        return self._report.counting(what)
