"""Runs the guides of the documentation, and compares what their blocks print with what the guides show.

In a guide, blocks of ``python`` and ``sh`` are run one after the other, in one empty folder and one Python. A block
whose first line is ``# name.py`` or ``# name.toml`` is written to that file instead. A block of ``text`` is what the
block before it prints; ``...`` in it stands for anything. ``<!-- skip: next -->`` before a block leaves it out.

``python tests/guides/running.py docs/guides/PAGE.md`` writes what is printed into the page, except into blocks that
have ``...`` and still match.
"""

from __future__ import annotations

import io
import os
import re
import shlex
import subprocess
import sys
import tempfile
from contextlib import chdir, redirect_stderr, redirect_stdout
from pathlib import Path
from unittest.mock import patch

from sybil import Example, Sybil
from sybil.parsers.markdown import CodeBlockParser, SkipParser

NUMBER = re.compile(r"[-+]?\d[\d,]*\.\d+(?:[eE][-+]?\d+)?|[-+]?\d+[eE][-+]?\d+")
FILE = re.compile(r"# (\S+\.(?:py|toml))\n")
TIMES = ("s", "s.", "s,", "s)", "seconds", "seconds.", "min", "minutes")
RELATIVE, ABSOLUTE = 0.05, 0.02  # how far decimals may differ between platforms


def matches(shown: str, printed: str) -> bool:
    """Whether a guide shows what was printed: the same words, decimals that are close, and any times in seconds."""
    return _match(_words(shown), _words(printed))


def _words(text: str) -> list[str]:
    """Words, without the lines of tables, whose length depends on numbers."""
    return [word for word in text.split() if not set(word) <= set("-─━│|+")]


def _match(shown: list[str], printed: list[str]) -> bool:
    for place, word in enumerate(shown):
        if word == "...":
            rest = shown[place + 1 :]
            return any(_match(rest, printed[start:]) for start in range(place, len(printed) + 1))
        following = shown[place + 1] if place + 1 < len(shown) else ""
        if place >= len(printed) or not _alike(word, printed[place], following):
            return False
    return len(shown) == len(printed)


def _alike(shown: str, printed: str, following: str) -> bool:
    if shown == printed:
        return True
    if NUMBER.sub("#", shown) != NUMBER.sub("#", printed):
        return following in TIMES and {shown[-1:], printed[-1:]} <= set("0123456789")
    pairs = zip(NUMBER.findall(shown), NUMBER.findall(printed), strict=True)
    numbers = [(float(a.replace(",", "")), float(b.replace(",", ""))) for a, b in pairs]
    return following in TIMES or all(
        abs(a - b) <= max(ABSOLUTE * (abs(a) > 0.1), RELATIVE * abs(a)) for a, b in numbers
    )


class Guide:
    """One guide that is run in the current folder."""

    def __init__(self, page: Path) -> None:
        self.page = page
        self.printed: str | None = None
        self.outputs: list[tuple[Example, str]] = []

    def run(self, compare: bool = True) -> None:
        """Run all blocks; an output that differs from the one that is shown is an ``AssertionError``."""
        parsers = [CodeBlockParser(language, self._evaluate) for language in ("python", "sh", "toml", "text")]
        self.compare = compare
        for example in Sybil([*parsers, SkipParser()]).parse(self.page).examples():
            example.evaluate()

    def _evaluate(self, example: Example) -> None:
        language, source = example.region.lexemes["arguments"], str(example.parsed)
        if language == "text":
            self._compare(example, source)
        elif named := FILE.match(source):
            Path(named.group(1)).parent.mkdir(parents=True, exist_ok=True)
            Path(named.group(1)).write_text(source)
        else:
            self.printed = python(source, example) if language == "python" else shell(source)

    def _compare(self, example: Example, shown: str) -> None:
        assert self.printed is not None, f"{self.page.name}, line {example.line}: nothing was run before this output"
        self.outputs.append((example, self.printed))
        if self.compare:
            where = f"{self.page.name}, line {example.line}"
            assert matches(shown, self.printed), f"{where} shows\n{shown}\nbut this was printed\n{self.printed}"


def python(source: str, example: Example) -> str:
    """Run a block of Python in the names of the guide, and return what it prints."""
    code = compile("\n" * example.line + source, example.path, "exec")
    with redirect_stdout(io.StringIO()) as out:
        exec(code, example.namespace)  # our own guide
    return out.getvalue()


def shell(source: str) -> str:
    """Run the commands of a block, and return what they print. `dvbench` runs in this process."""
    lines = re.sub(r"\\\n\s*", "", source).splitlines()
    return "".join(command(shlex.split(line, comments=True)) for line in lines)


def command(words: list[str]) -> str:
    """Run one command."""
    if not words:
        return ""
    if words[0] == "cd":
        os.chdir(words[1])
        return ""
    if words[0] != "dvbench":
        path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
        done = subprocess.run(words, capture_output=True, text=True, check=False, env={**os.environ, "PATH": path})
        assert done.returncode == 0, f"{shlex.join(words)}\n{done.stdout}\n{done.stderr}"
        return done.stdout
    from dvbench.cli import main

    with redirect_stdout(io.StringIO()) as out, redirect_stderr(out), patch.dict(os.environ, COLUMNS="100"):
        code = main(words[1:])
    assert code == 0, f"{shlex.join(words)}\n{out.getvalue()}"
    return out.getvalue()


def write(page: Path) -> None:
    """Write what the blocks of a page print into the page."""
    guide, before = Guide(page.resolve()), page.read_text()
    with tempfile.TemporaryDirectory() as folder, chdir(folder):
        guide.run(compare=False)
    text = page.read_text()
    assert text == before, f"{page} was changed while its blocks were run: run it again"
    for example, printed in reversed(guide.outputs):
        shown = str(example.parsed)
        if not ("..." in shown and matches(shown, printed)):
            lines = "".join(f"{line.rstrip()}\n" for line in printed.strip("\n").splitlines())
            text = text[: example.start] + f"```text\n{lines}```" + text[example.end :]
    page.write_text(text)


if __name__ == "__main__":
    for name in sys.argv[1:]:
        write(Path(name))
