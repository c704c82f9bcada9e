"""A shard of a suite: the cells that one of several runs computes, so that any scheduler can share a suite out."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass

from dvbench.errors import UserError
from dvbench.results import CellKey


@dataclass(frozen=True)
class Shard:
    """One of ``count`` parts of a suite's cells.

    The hash of a cell's key decides to which part it belongs. So parts neither overlap nor change when a suite gets
    more cells, and their sizes are about equal.

    Parameters
    ----------
    number : int
        From 1 to ``count``.
    count : int
    """

    number: int
    count: int

    @classmethod
    def parse(cls, text: str) -> Shard:
        """Read ``NUMBER/COUNT``, such as ``3/16``.

        Raises
        ------
        UserError
            If it is something else.
        """
        match = re.fullmatch(r"([0-9]{1,6})/([0-9]{1,6})", text)
        if match is None or not 1 <= int(match[1]) <= int(match[2]):
            raise UserError(f"a shard is NUMBER/COUNT with a number from 1 to the count, such as 3/16, not '{text}'")
        return cls(int(match[1]), int(match[2]))

    def __contains__(self, key: CellKey) -> bool:
        digest = hashlib.sha256(key.folder.encode()).digest()
        return int.from_bytes(digest[:8], "big") % self.count == self.number - 1
