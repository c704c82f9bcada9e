"""The description of a submission, and the record of verification."""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from dvbench.results.schema import Plan, Sha256
from dvbench.settings import Name, Strict

LINK = re.compile(r"https://[a-z0-9-]+(\.[a-z0-9-]+)+(:[0-9]{1,5})?(/[A-Za-z0-9._~!$&'()*+,;=:@%/?#-]*)?")


def _printable(text: str) -> str:
    if text != text.strip() or not text.isprintable():
        raise ValueError("only printable characters are allowed, and no space at either end")
    return text


def _link(text: str) -> str:
    if not LINK.fullmatch(text):
        raise ValueError("a link is https://, a host name in lower case and a path, in plain ASCII")
    return text


Text = Annotated[str, Field(min_length=1, max_length=300), AfterValidator(_printable)]
Link = Annotated[str, Field(max_length=300), AfterValidator(_link)]


class About(Strict):
    """The description of an evaluator by its authors."""

    name: Text
    version: Text
    authors: tuple[Text, ...] = Field(min_length=1, max_length=100)
    reference: Text
    code: Link
    licence: Text


class Submission(Strict):
    """A submission of all results of one evaluator: ``submissions/<evaluator>.json`` in a results folder.

    ``plans`` lists the planned cells of each suite, which shows missing cells; ``files`` has the SHA-256 of every file
    of the cells, by its path in the results folder.
    """

    schema_version: Literal[1] = 1
    evaluator: Name
    about: About
    plans: tuple[Plan, ...] = Field(min_length=1)
    files: dict[str, Sha256]


class VerifiedCell(Strict):
    """How a ``result.json`` was verified: its scores were recomputed, or its values were re-run too."""

    sha256: Sha256
    how: Literal["recomputed", "re-run"]


class Verified(Strict):
    """The verified cells of one evaluator in one suite: ``verified/<suite>/<evaluator>.json`` in a results folder.

    The keys of ``cells`` are problem and seed, such as ``digits-mlp-clean/seed-0``. A cell whose ``result.json`` has
    another hash now does not count as verified.
    """

    schema_version: Literal[1] = 1
    suite: Name
    evaluator: Name
    dvbench_version: str
    cells: dict[str, VerifiedCell]
