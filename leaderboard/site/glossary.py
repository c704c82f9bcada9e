"""The glossary page, made from docs/glossary.md so that each term is defined once."""

from __future__ import annotations

import re
from pathlib import Path

from markupsafe import Markup, escape

SOURCE = Path(__file__).parents[2] / "docs/glossary.md"  # not there where dvbench is installed from a wheel
TAGS = {"code": Markup("<code>{}</code>"), "strong": Markup("<strong>{}</strong>"), "em": Markup("<em>{}</em>")}
INLINE = re.compile(r"`(?P<code>[^`]+)`|\*\*(?P<strong>[^*]+)\*\*|\*(?P<em>[^*]+)\*")


def read_glossary() -> str:
    """Read the text of the glossary; empty if it is not there."""
    try:
        return SOURCE.read_text(encoding="utf-8")
    except OSError:
        return ""


def glossary(text: str) -> list[tuple[str, list[tuple[str, Markup, Markup]]]]:
    """Split a glossary into its sections.

    Parameters
    ----------
    text : str
        Markdown, with a heading for each section and an item for each term: ``- **Term**: what it means.``

    Returns
    -------
    list of (str, list of (str, Markup, Markup))
        The heading of each section with its terms: an anchor, the term or terms, and the definition.
    """
    sections = []
    for section in text.split("\n## ")[1:]:
        heading, _, body = section.partition("\n")
        items = re.findall(r"^- (.+(?:\n  .+)*)", body, flags=re.MULTILINE)
        sections.append((heading.strip(), [_term(" ".join(item.split())) for item in items]))
    return sections


def _term(item: str) -> tuple[str, Markup, Markup]:
    term, _, definition = item.partition(": ")
    anchor = re.sub(r"[^a-z0-9]+", "-", re.sub(r"\(.*?\)", "", term).lower()).strip("-")
    return anchor, _inline(term.replace("**", "")), _inline(definition[:1].upper() + definition[1:])


def _inline(text: str) -> Markup:
    """Turn code, bold and emphasis into HTML; all else is escaped."""
    parts, end = [], 0
    for match in INLINE.finditer(text):
        kind = str(match.lastgroup)
        parts += [escape(text[end : match.start()]), TAGS[kind].format(match[kind])]
        end = match.end()
    return Markup("").join([*parts, escape(text[end:])])
