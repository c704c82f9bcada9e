"""A temporary file for rows of numbers that are too many for memory."""

from __future__ import annotations

import tempfile

import torch

from dvbench.errors import UserError


class Spool:
    """Rows of numbers in a temporary file, which is deleted when the context is left.

    Rows are written and then read in the same order, with plain reads and writes. The file is not memory-mapped,
    because mapped pages would count as memory in use.
    """

    def __init__(self) -> None:
        self._buffer: torch.Tensor | None = None

    def __enter__(self) -> Spool:
        try:
            # Unbuffered: after a failed write a buffer would be written, and fail, once more when the file is closed.
            self._file = tempfile.TemporaryFile(buffering=0)
        except OSError as error:
            raise _cannot_write(error) from error
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    @property
    def empty(self) -> bool:
        """Whether no rows were written."""
        return self._buffer is None

    def write(self, rows: torch.Tensor) -> None:
        """Append rows (b, width); b must not be larger than in the first call."""
        rows = rows.cpu().contiguous()
        if self._buffer is None:
            self._buffer = torch.empty_like(rows)
        remaining = _bytes_of(rows)
        try:
            while remaining:
                remaining = remaining[self._file.write(remaining) :]
        except OSError as error:
            raise _cannot_write(error) from error

    def rewind(self) -> None:
        """Go back to the first row, in order to read."""
        self._file.seek(0)

    def read(self, count: int) -> torch.Tensor:
        """The next rows (count, width). The next call overwrites them."""
        assert self._buffer is not None
        rows = self._buffer[:count]
        remaining = _bytes_of(rows)
        while remaining:
            size = self._file.readinto(remaining)
            assert size, "more rows read than written"
            remaining = remaining[size:]
        return rows


def _bytes_of(rows: torch.Tensor) -> memoryview:
    """The bytes of a contiguous tensor, without a copy."""
    return rows.view(torch.uint8).flatten().numpy().data


def _cannot_write(error: OSError) -> UserError:
    return UserError(f"cannot write a temporary file: {error.strerror}; set TMPDIR to a folder with more room")
