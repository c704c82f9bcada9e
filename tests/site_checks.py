"""Checks every file of a built site: nothing that results say runs, links elsewhere, or breaks out of its field."""

from __future__ import annotations

import csv
import json
import re
from html.parser import HTMLParser
from pathlib import Path

from markdown_it import MarkdownIt

PAYLOADS = {
    "script": "</script><script>alert(1)</script>",
    "image": "\"'><img src=x onerror=alert(1)>",
    "svg": "<svg/onload=alert(1)><animate onbegin=alert(1)>",
    "link": "[a](javascript:alert(1)) <a href='javascript:alert(1)'>b</a> javascript:alert(1)",
    "image link": "![a](https://evil.example/x.png) <https://evil.example> www.evil.example x@evil.example",
    "table": "a | b\n\n| c | d |\n|---|---|\n# heading\n- item\n```\ncode",
    "formula": '=HYPERLINK("http://evil.example","a")',
    "other formulas": "@SUM(1+1)*cmd|' /C calc'!A0",
    "sign": "+1+cmd|' /C calc'!A0",
    "columns": 'a","b\n"c',
    "tex": "}\\write18{rm -rf /}\\input{/etc/passwd}{",
    "bib entry": "},\n}\n@misc{evil,\n  title = {x}\n}",
    "template": "{{ 7 * 7 }}{% raw %}{{ self.__init__.__globals__ }}",
    "directions": "a\u202eb\u2066c\u200fd\u061c",
    "controls": "\x1b]0;title\x07\x1b[2J\x00\x08\x7f\x9b",
    "line ends": "a\u2028b\u2029c\x85d\x0be",
    "entities": "&lt;script&gt;&#60;img src=x&#62;&quot; onload=x",
    "comment": "--><!--<![CDATA[<script>alert(1)</script>]]>",
    "very long": "<b>" * 20_000,
}
URLS = {"href", "src", "action", "formaction", "data", "srcset", "poster", "style", "srcdoc", "background"}
FORBIDDEN = {"iframe", "object", "embed", "base", "foreignobject", "animate", "template"}
PNG = re.compile(r"data:image/png;base64,[A-Za-z0-9+/]+=*")  # an example of a data set
NUMBER = re.compile(r"[-+]?[0-9.]+(e[-+]?[0-9]+)?")


class _Page(HTMLParser):
    """Fails at an element or an attribute that dvbench does not write."""

    def __init__(self, text: str, links: tuple[str, ...]) -> None:
        super().__init__()
        self._links = links
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert tag not in FORBIDDEN, tag
        for name, value in attrs:
            assert not name.startswith("on"), (tag, name, value)
            if name in URLS - {"style"}:
                text = (value or "").strip().lower()
                outside = re.match(r"[a-z][a-z0-9+.-]*:|//|\\", text)
                image = tag == "img" and PNG.fullmatch(value or "")
                assert not outside or image or text.startswith(self._links), (tag, name, value)
        assert tag != "img" or PNG.fullmatch(dict(attrs).get("src") or "")
        if tag == "script":
            assert dict(attrs).get("src"), "a script that is no file"


# What dvbench's own plug-ins refer to, and example.org for made-up ones.
LINKS = (
    "http://cs231n.stanford.edu/", "https://aclanthology.org/", "https://arxiv.org/abs/", "https://doi.org/",
    "https://example.org/", "https://huggingface.co/", "https://openreview.net/", "https://www.cs.toronto.edu/",
    "https://www.openml.org/",
)  # fmt: skip


def check_site(folder: Path, links: tuple[str, ...] = LINKS) -> None:
    """Raise an AssertionError if a file of a site is not safe to show; ``links`` may lead elsewhere."""
    for path in sorted(folder.rglob("*")):
        if path.is_file() and "assets" not in path.parts:
            text = path.read_bytes().decode()
            lines = text.replace("\n", "").replace("\t", "")
            odd = next((character for character in lines if not character.isprintable()), None)
            assert odd is None, f"{path}: {odd!r}"
            CHECKS.get(path.suffix, lambda _, __: None)(text, links)


def _html(text: str, links: tuple[str, ...]) -> None:
    _Page(text, links)


def _markdown(text: str, links: tuple[str, ...]) -> None:
    html = MarkdownIt("gfm-like", {"html": True, "linkify": False}).render(text)
    assert not re.search(r"://|www\.|\w@\w", text)  # which GitHub would make links of
    for tag in re.findall(r"<\s*([a-zA-Z][a-zA-Z0-9]*)", html):
        assert tag.lower() in {
            "h1",
            "h2",
            "h3",
            "p",
            "ul",
            "li",
            "strong",
            "em",
            "table",
            "thead",
            "tbody",
            "tr",
            "th",
            "td",
        }, tag


def _table(text: str, links: tuple[str, ...]) -> None:
    rows = list(csv.reader(text.splitlines()))
    assert len({len(row) for row in rows}) <= 1
    for cell in (cell for row in rows for cell in row):
        assert not cell or cell[0] not in "=+-@\t\r" or NUMBER.fullmatch(cell), cell


def _script(text: str, links: tuple[str, ...]) -> None:
    assert re.fullmatch(r"dvbench\.(receive|curves|front)\(.*\);\n", text)
    assert not set("<>&\u2028\u2029") & set(text)
    arguments = text.partition("(")[2].removesuffix(");\n")
    json.loads(f"[{arguments}]")


def _bibliography(text: str, links: tuple[str, ...]) -> None:
    plain = re.sub(r"\\[&%$#_]", "", text)
    assert "\\" not in plain
    depth = 0
    for character in plain:
        depth += (character == "{") - (character == "}")
        assert depth >= 0
    assert depth == 0
    assert all(line.startswith(("@misc{", "  ", "}")) or not line for line in text.split("\n"))


def _json(text: str, links: tuple[str, ...]) -> None:
    json.loads(text)


CHECKS = {
    **dict.fromkeys((".html", ".svg"), _html),
    ".md": _markdown,
    ".csv": _table,
    ".js": _script,
    ".bib": _bibliography,
    ".json": _json,
}
