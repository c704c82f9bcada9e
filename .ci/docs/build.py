"""Builds the documentation site strictly: ``python .ci/docs/build.py``. It uses no network.

The pages of docs/ are copied to build/docs/pages, with the files of the repository that they link to; the reference is
written there from the registry and the command line; and Zensical builds the site in build/docs/site.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from html import unescape
from pathlib import Path
from urllib.parse import unquote

import reference

ROOT = Path(__file__).parents[2]
PAGES = ROOT / "build/docs/pages"
SITE = ROOT / "build/docs/site"
LINK = re.compile(r"(\]\()([^)\s#]+)(#[^)\s]*)?(\))")
OUTSIDE = re.compile(r"<(a|img|link|script|iframe)\b[^>]*\b(?:href|src)=\"?((?:https?:)?//[^\" >]+)")
INSIDE = re.compile(r"""\b(?:href|src)=(?:"([^"]*)"|([^\s>"]+))""")
PLACE = re.compile(r"""\bid=(?:"([^"]*)"|([^\s>"]+))""")
KNOWN = {ROOT / "CONTRIBUTING.md": "contributing.md"}  # files outside of docs/ that are pages of the site


def copy_page(source: Path, target: Path) -> None:
    """Copy a Markdown file, and the files of the repository that it links to; links then lead to the copies."""

    def adapt(match: re.Match[str]) -> str:
        before, path, anchor, after = match.groups()
        linked = (source.parent / path).resolve()
        if "://" in path or not linked.exists():
            return match.group()  # the strict build names a file that does not exist
        place = place_of(linked)
        if not place.exists():
            place.parent.mkdir(parents=True, exist_ok=True)
            copy_page(linked, place) if linked.suffix == ".md" else shutil.copy(linked, place)
        return f"{before}{os.path.relpath(place, target.parent)}{anchor or ''}{after}"

    target.parent.mkdir(parents=True, exist_ok=True)
    target.touch()  # pages may link to each other
    target.write_text(LINK.sub(adapt, source.read_text()))


def place_of(path: Path) -> Path:
    """Where a file of the repository is in the pages of the site."""
    if path.is_relative_to(ROOT / "docs"):
        return PAGES / path.relative_to(ROOT / "docs")
    shown = (part.lstrip(".") for part in path.relative_to(ROOT).parts)  # hidden files would be left out
    return PAGES / KNOWN.get(path, Path("repository", *shown))


def stage() -> None:
    """Write all pages of the site."""
    shutil.rmtree(PAGES, ignore_errors=True)
    for source in sorted((ROOT / "docs").rglob("*")):
        if source.suffix == ".md":
            copy_page(source, place_of(source))
        elif source.is_file():
            place_of(source).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(source, place_of(source))
    for source, name in KNOWN.items():
        copy_page(source, PAGES / name)
    for name, text in reference.pages().items():
        (PAGES / "reference").mkdir(parents=True, exist_ok=True)
        (PAGES / "reference" / name).write_text(text)


def outside(site: Path) -> list[str]:
    """Return what pages load from other hosts, and links to other sites that are not in the list."""
    listed = {*(Path(__file__).parent / "outside-links.txt").read_text().splitlines(), "https://zensical.org/"}
    wrong = []
    for page in sorted(site.rglob("*.html")):
        for tag, address in OUTSIDE.findall(page.read_text()):
            if tag != "a" or address not in listed:
                wrong.append(f"{page.relative_to(site)}: <{tag}> of {address}, see .ci/docs/outside-links.txt")
    return wrong


def dead(site: Path) -> list[str]:
    """Return the links of pages to files of the site, or to places in pages, that do not exist."""
    texts = {page: page.read_text() for page in sorted(site.rglob("*.html")) if page.name != "404.html"}
    places = {page: {unquote(name) for found in PLACE.findall(text) for name in found} for page, text in texts.items()}
    wrong = []
    for page, text in texts.items():
        for address in {unescape("".join(found)) for found in INSIDE.findall(text)}:
            path, _, anchor = unquote(address).partition("#")
            if ":" in path or path.startswith("/"):
                continue  # another site, or data
            target = page.parent / path if path else page
            target = (target / "index.html" if target.is_dir() else target).resolve()
            if not target.exists() or (anchor and anchor not in places.get(target, {anchor})):
                wrong.append(f"{page.relative_to(site)}: a link to {address}, which does not exist")
    return wrong


def main() -> int:
    """Build the site, and return the exit code."""
    stage()
    shutil.rmtree(SITE, ignore_errors=True)
    command = [sys.executable, "-m", "zensical", "build", "--strict", "--clean"]
    code = subprocess.run(command, cwd=ROOT, check=False).returncode
    wrong = [] if code else [*outside(SITE), *dead(SITE)]
    print(*wrong, sep="\n", end="\n" * bool(wrong))
    return 1 if wrong else code


if __name__ == "__main__":
    sys.exit(main())
