"""References of papers: their links and BibTeX entries, from lines such as those of docstrings.

A reference names authors, title and venue: ``A. Ghorbani, J. Zou. Data Shapley: equitable valuation of data for machine
learning. ICML 2019, arXiv:1904.02868.``
"""

from __future__ import annotations

import re
from collections.abc import Iterable

AUTHOR = re.compile(r"(?:[A-Z]\.[ -]?)+[A-Z][^.,]*")
ARXIV = re.compile(r"arXiv:(\d{4}\.\d{4,5})|https://arxiv\.org/abs/(\d{4}\.\d{4,5})")
DOI = re.compile(r"(?:doi:|https://doi\.org/)(10\.\d{4,9}/[\w.()/:;-]*[\w)])")
_PAPER = r"arXiv:\d{4}\.\d{4,5}|doi:10\.\d{4,9}/[\w.()/:;-]*[\w)]"
PAPER = re.compile(f"({_PAPER})")
ADDRESS = re.compile(rf"({_PAPER}|https://[\w./?=&%~#+-]*[\w/])")


def linked(reference: str, pattern: re.Pattern[str] = ADDRESS) -> list[tuple[str, str]]:
    """Split a text into parts, each with the address that it leads to; an empty one if it is no link.

    Of texts from results, only numbers of arXiv and DOIs are to become links: their pattern is `PAPER`.
    """
    addresses = {"arXiv:": "https://arxiv.org/abs/", "doi:": "https://doi.org/"}
    parts = []
    for number, part in enumerate(pattern.split(reference)):
        prefix = next((known for known in addresses if part.startswith(known)), "")
        address = addresses.get(prefix, "") + part.removeprefix(prefix)
        parts.append((part, address if number % 2 else ""))
    return [part for part in parts if part[0]]


def bibliography(cited: Iterable[tuple[str, str]]) -> str:
    """Write one BibTeX entry for each paper, from pairs of a name and a reference; its key is the first name."""
    papers: dict[str, str] = {}
    counts: dict[str, int] = {}
    for name, reference in cited:
        if (paper := _paper(reference)) not in papers:
            counts[name] = counts.get(name, 0) + 1
            papers[paper] = bibtex(name if counts[name] == 1 else f"{name}-{counts[name]}", reference)
    return "\n".join(papers.values())


def _paper(reference: str) -> str:
    """What tells a paper from others: its number at arXiv, its DOI, or its title."""
    for pattern in (ARXIV, DOI):
        if match := pattern.search(reference):
            return str(next(filter(None, match.groups())))
    parts = _parts(reference.strip().removesuffix("."))
    return reference if parts is None else parts[1].casefold()


def bibtex(key: str, reference: str) -> str:
    """Write a reference as a BibTeX entry: authors, title and venue if they are found in it, or else as a note."""
    parts = _parts(reference.strip().removesuffix("."))
    if parts is None:
        fields = {"note": reference}
    else:
        authors, title, venue = parts
        published = venue.partition(". ")[0]
        for pattern in (ARXIV, DOI, ADDRESS):
            published = pattern.sub("", published)
        published = published.strip(" ,.")
        fields = {"author": " and ".join(authors), "title": f"{{{title}}}", "howpublished": published}
        if years := re.findall(r"\b(?:19|20)\d\d\b", published):
            fields["year"] = years[-1]
        if published in years:
            del fields["howpublished"]
    if match := ARXIV.search(reference):
        fields |= {"eprint": next(filter(None, match.groups())), "archiveprefix": "arXiv"}
    if match := DOI.search(reference):
        fields["doi"] = match[1]
    if addresses := [
        address for _, address in linked(reference) if address and not re.search(r"doi\.org/|arxiv\.org/abs/", address)
    ]:
        fields["url"] = addresses[0]
    lines = (f"  {name} = {{{text if name == 'url' else _tex(text)}}},\n" for name, text in fields.items())
    return f"@misc{{{key},\n{''.join(lines)}}}\n"


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
