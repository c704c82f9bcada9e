"""Descriptions of plug-ins, from their docstrings and from submissions.

The first line of a docstring is the name for people, a colon and one sentence. Paragraphs that begin with a word of
`LABELS` and a colon are facts, such as ``Values: gain of utility, ...``.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cache
from itertools import groupby

from griffe import (
    Docstring,
    DocstringSectionAdmonition,
    DocstringSectionAttributes,
    DocstringSectionParameters,
    DocstringSectionText,
)

from dvbench.errors import UserError
from dvbench.registry import Entry, Kind, find
from dvbench.results import About
from dvbench.settings import KEYS, DatasetSettings
from leaderboard.text import clean

LABELS = ("Values", "Takes", "Variant", "Between processors")
OWN_PACKAGES = ("dvbench", "evaluators")  # of the repository of dvbench


@dataclass(frozen=True)
class Description:
    """The description of a plug-in.

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
    facts : dict of str to str
        The labelled paragraphs, without their labels.
    code : str
        Path of its file in the repository of dvbench; empty if it is not a plug-in of dvbench.
    """

    summary: str
    paragraphs: tuple[str, ...] = ()
    parameters: tuple[tuple[str, str], ...] = ()
    references: tuple[str, ...] = ()
    about: About | None = None
    facts: dict[str, str] = field(default_factory=dict)
    code: str = ""

    @property
    def title(self) -> str:
        """The name for people; empty if the docstring has none."""
        title, colon, _ = self.summary.partition(": ")
        return title if colon or self.about else ""

    @property
    def sentence(self) -> str:
        """What follows the name, as a sentence."""
        title, _, sentence = self.summary.partition(": ")
        return sentence[:1].upper() + sentence[1:] if sentence else "" if self.about else title


def describe(kind: Kind, name: str, about: About | None = None) -> Description:
    """Read the description of a registered plug-in from its docstring, of others from their submission."""
    try:
        entry = None if ":" in name else find(kind, name)
    except UserError:
        entry = None
    docstring = "" if entry is None else entry.docstring
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
            if isinstance(section, DocstringSectionAdmonition) and section.value.kind in kinds
        ]
        for kinds in (("note", "notes"), ("references",))
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
    facts = dict[str, str]()
    described = list[str]()
    for paragraph in (*paragraphs, *_paragraphs(notes)):
        label, colon, text = paragraph.partition(": ")
        if colon and label in LABELS:
            facts[label] = text[:1].upper() + text[1:]
        else:
            described.append(paragraph)
    code = _file_in_the_repository(entry)
    return Description(summary, tuple(described), tuple(parameters), tuple(_paragraphs(cited)), about, facts, code)


@cache
def base_name(settings: str) -> str:
    """Name a data set without its parameters, such as ``cifar10`` or ``openml:1489``, from its settings in JSON."""
    dataset = DatasetSettings.model_validate_json(settings)
    member = KEYS.get(dataset.name)
    if member is None or member not in dataset.params:
        return clean(dataset.name)
    return clean(f"{dataset.name}:{dataset.params[member]}")


def plug_in(base: str) -> str:
    """Return the name of the plug-in of a data set, from its name without parameters."""
    return base.partition(":")[0]


def _file_in_the_repository(entry: Entry | None) -> str:
    module = "" if entry is None else entry.target.partition(":")[0]
    return f"{module.replace('.', '/')}.py" if module.partition(".")[0] in OWN_PACKAGES else ""


def _paragraphs(texts: Iterable[str]) -> list[str]:
    """Split texts into paragraphs of one line each."""
    paragraphs = (" ".join(part.split()) for text in texts for part in text.replace("``", "").split("\n\n"))
    return [paragraph for paragraph in paragraphs if paragraph]
