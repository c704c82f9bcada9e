"""Descriptions of evaluators and data sets, from their docstrings and from submissions."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import groupby

from griffe import (
    Docstring,
    DocstringSectionAdmonition,
    DocstringSectionAttributes,
    DocstringSectionParameters,
    DocstringSectionText,
)

from dvbench.errors import UserError
from dvbench.registry import Kind, find
from dvbench.results import About

AUTHOR = re.compile(r"(?:[A-Z]\.[ -]?)+[A-Z][^.,]*")


@dataclass(frozen=True)
class Description:
    """The description of an evaluator, an unlearning method or a data set.

    Parameters
    ----------
    summary : str
        One line.
    paragraphs : tuple of str
        The paragraphs after it, and those of the notes.
    parameters : tuple of (str, str)
        Names, and what they mean.
    references : tuple of str
    about : About, optional
        The description by its authors, if it was submitted.
    """

    summary: str
    paragraphs: tuple[str, ...] = ()
    parameters: tuple[tuple[str, str], ...] = ()
    references: tuple[str, ...] = ()
    about: About | None = None


def describe(kind: Kind, name: str, about: About | None = None) -> Description:
    """Read the description of a registered plug-in from its docstring, of others from their submission."""
    try:
        docstring = "" if ":" in name else find(kind, name).docstring
    except UserError:
        docstring = ""
    if not docstring:
        references = (about.reference,) if about else ()
        return Description(about.name if about else "", references=references, about=about)
    sections = Docstring(docstring).parse("numpy", warnings=False)
    texts = [section.value for section in sections if isinstance(section, DocstringSectionText)]
    summary, *paragraphs = _paragraphs(texts) or [""]
    notes, cited = (
        [
            section.value.contents
            for section in sections
            if isinstance(section, DocstringSectionAdmonition) and section.value.kind == kind
        ]
        for kind in ("notes", "references")
    )
    documented = [
        (item.name, item.description)
        for section in sections
        if isinstance(section, DocstringSectionParameters | DocstringSectionAttributes)
        for item in section.value
    ]
    # Parameters that are documented together, as in "alpha, beta", share one description.
    parameters = [
        (", ".join(name for name, _ in group), " ".join(_paragraphs([text])))
        for text, group in groupby(documented, key=lambda item: item[1])
    ]
    described = (*paragraphs, *_paragraphs(notes))
    return Description(summary, described, tuple(parameters), tuple(_paragraphs(cited)), about)


def _paragraphs(texts: Iterable[str]) -> list[str]:
    """Split texts into paragraphs of one line each."""
    paragraphs = (" ".join(part.split()) for text in texts for part in text.replace("``", "").split("\n\n"))
    return [paragraph for paragraph in paragraphs if paragraph]


def bibtex(key: str, reference: str) -> str:
    """Write a reference as a BibTeX entry: authors, title and venue if they are found in it, or else as a note."""
    parts = _parts(reference.strip().removesuffix("."))
    if parts is None:
        fields = {"note": reference}
    else:
        authors, title, venue = parts
        fields = {"author": " and ".join(authors), "title": f"{{{title}}}", "howpublished": venue}
        if years := re.findall(r"\b(?:19|20)\d\d\b", venue):
            fields["year"] = years[-1]
    return f"@misc{{{key},\n" + "".join(f"  {name} = {{{_tex(text)}}},\n" for name, text in fields.items()) + "}\n"


def _parts(reference: str) -> tuple[list[str], str, str] | None:
    """Split "A. Ghorbani, J. Zou. Data Shapley: equitable valuation of data. ICML 2019"; None if that fails."""
    sentences = reference.split(". ")
    # A period after a single letter belongs to a name.
    ends = (i for i, sentence in enumerate(sentences) if not re.search(r"(?:^|[ .-])[A-Z]$", sentence))
    end = next(ends, len(sentences))
    if end + 2 >= len(sentences):
        return None
    names = ". ".join(sentences[: end + 1])
    authors = names.removesuffix(" et al").split(", ")
    if not all(AUTHOR.fullmatch(author) for author in authors):
        return None
    others = ["others"] if names.endswith(" et al") else []
    return [*authors, *others], sentences[end + 1], ". ".join(sentences[end + 2 :])


def _tex(text: str) -> str:
    """Escape a text so that it cannot end the braces around it."""
    outer = text.startswith("{") and text.endswith("}")
    inner = re.sub(r"[\\{}]", "", text)
    inner = re.sub(r"([&%$#_])", r"\\\1", inner)
    return f"{{{inner}}}" if outer else inner
