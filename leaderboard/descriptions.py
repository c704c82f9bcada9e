"""What evaluators and data sets are, for people: from docstrings, and from what submissions say of themselves."""

from __future__ import annotations

import re
from dataclasses import dataclass

from docstring_parser import DocstringStyle, parse

from dvbench.errors import UserError
from dvbench.registry import Kind, find
from dvbench.results import About

AUTHOR = re.compile(r"(?:[A-Z]\.[ -]?)+[A-Z][^.,]*")


@dataclass(frozen=True)
class Description:
    """What something is.

    Parameters
    ----------
    summary : str
        In one line.
    paragraphs : tuple of str
        At length.
    parameters : tuple of (str, str)
        Name and explanation.
    references : tuple of str
    about : About, optional
        What its authors say of it, if it was handed in.
    """

    summary: str
    paragraphs: tuple[str, ...] = ()
    parameters: tuple[tuple[str, str], ...] = ()
    references: tuple[str, ...] = ()
    about: About | None = None


def describe(kind: Kind, name: str, about: About | None = None) -> Description:
    """Describe something registered by its docstring; what is not registered here by what its authors say of it."""
    try:
        docstring = "" if ":" in name else find(kind, name).docstring
    except UserError:
        docstring = ""
    if not docstring:
        references = (about.reference,) if about else ()
        return Description(about.name if about else "", references=references, about=about)
    parsed = parse(docstring, style=DocstringStyle.NUMPYDOC)
    cited = [meta.description or "" for meta in parsed.meta if meta.args == ["references"]]
    return Description(
        summary=parsed.short_description or "",
        paragraphs=_paragraphs(parsed.long_description),
        parameters=tuple((each.arg_name, " ".join(_paragraphs(each.description))) for each in parsed.params),
        references=tuple(each for text in cited for each in _paragraphs(text)),
        about=about,
    )


def _paragraphs(text: str | None) -> tuple[str, ...]:
    joined = (" ".join(each.split()) for each in (text or "").replace("``", "").split("\n\n"))
    return tuple(filter(None, joined))


def bibtex(key: str, reference: str) -> str:
    """Write a reference as a BibTeX entry: authors, title and venue if it is told in that order, or else as a note."""
    found = _parts(reference.strip().removesuffix("."))
    if found is None:
        fields = {"note": reference}
    else:
        authors, title, venue = found
        fields = {"author": " and ".join(authors), "title": f"{{{title}}}", "howpublished": venue}
        if years := re.findall(r"\b(?:19|20)\d\d\b", venue):
            fields["year"] = years[-1]
    return f"@misc{{{key},\n" + "".join(f"  {name} = {{{_tex(text)}}},\n" for name, text in fields.items()) + "}\n"


def _parts(reference: str) -> tuple[list[str], str, str] | None:
    """Authors, title and venue of "A. Ghorbani, J. Zou. Data Shapley: equitable valuation of data. ICML 2019"."""
    sentences = reference.split(". ")
    # A point after a single letter belongs to a name.
    end = next((i for i, each in enumerate(sentences) if not re.search(r"(?:^|[ .-])[A-Z]$", each)), len(sentences))
    if end + 2 >= len(sentences):
        return None
    names = ". ".join(sentences[: end + 1])
    authors = names.removesuffix(" et al").split(", ")
    if not all(AUTHOR.fullmatch(each) for each in authors):
        return None
    others = ["others"] if names.endswith(" et al") else []
    return [*authors, *others], sentences[end + 1], ". ".join(sentences[end + 2 :])


def _tex(text: str) -> str:
    """Text that cannot leave its braces."""
    outer = text.startswith("{") and text.endswith("}")
    inner = re.sub(r"[\\{}]", "", text)
    inner = re.sub(r"([&%$#_])", r"\\\1", inner)
    return f"{{{inner}}}" if outer else inner
