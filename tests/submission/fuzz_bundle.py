"""Fuzzes the reader of bundles by coverage, with atheris: anything but a bundle or a `UserError` is a find.

``uv run --group fuzz python tests/submission/fuzz_bundle.py CORPUS -max_total_time=120`` begins with the refused
bundles and a whole one, which it copies to the folder CORPUS, and with the files of that one, which it puts in their
places again with all hashes right: checksums would give away whatever is altered in an archive. What it finds belongs
into ``make_refused.py``.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["dvbench.submission", "dvbench.results", "zipfile"]):
    from made_up_bundles import SUBMISSION, relisted, result_path, with_values
    from make_refused import FOLDER, small

    from dvbench.errors import UserError
    from dvbench.submission.bundle import read_bundle
    from dvbench.submission.pack import zipped


HONEST = small()
RESULT = result_path(HONEST)
VALUES = RESULT.replace("result.json", "values.npy")


def bundle_of(content: bytes) -> bytes:
    """The archive itself, or one in which a submission, a result or values are replaced by what looks like them."""
    if content.startswith(b"\x93"):
        return zipped(with_values(HONEST, content))
    if not content.startswith(b"{"):
        return content
    return zipped({**HONEST, SUBMISSION: content} if b'"plans"' in content else relisted({**HONEST, RESULT: content}))


def one_input(content: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "bundle.zip")
        path.write_bytes(bundle_of(content))
        try:
            list(read_bundle(path, Path(folder, "into")).results())
        except UserError as error:
            if not str(error).isprintable():
                raise AssertionError("a message that is not one printable line") from error
        if {each.name for each in Path(folder).iterdir()} - {"bundle.zip", "into"}:
            raise AssertionError("something was written elsewhere")


def main() -> None:
    folder = next((Path(word) for word in sys.argv[1:] if not word.startswith("-")), None)
    if folder:
        folder.mkdir(parents=True, exist_ok=True)
        for number, whole in enumerate((zipped(HONEST), *(HONEST[path] for path in (SUBMISSION, RESULT, VALUES)))):
            (folder / f"whole-{number}").write_bytes(whole)
        for path in FOLDER.glob("*.zip"):
            (folder / path.name).write_bytes(path.read_bytes())
    atheris.Setup(sys.argv, one_input)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
