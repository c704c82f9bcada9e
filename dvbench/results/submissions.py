"""What a submission says of itself, and what verification found out about results."""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from dvbench.results.schema import Plan, Sha256
from dvbench.settings import Name, Strict

LINK = re.compile(r"https://[a-z0-9-]+(\.[a-z0-9-]+)+(:\d{1,5})?(/[A-Za-z0-9._~!$&'()*+,;=:@%/?#-]*)?")


def _printable(text: str) -> str:
    if text != text.strip() or not text.isprintable():
        raise ValueError("only printable characters, and no space at either end")
    return text


def _link(text: str) -> str:
    if not LINK.fullmatch(text):
        raise ValueError("a link is https://, a host name in lower case and a path, in plain ASCII")
    return text


Text = Annotated[str, Field(min_length=1, max_length=300), AfterValidator(_printable)]
Link = Annotated[str, Field(max_length=300), AfterValidator(_link)]


class About(Strict):
    """What the authors of an evaluator say of it."""

    name: Text
    version: Text
    authors: tuple[Text, ...] = Field(min_length=1, max_length=100)
    reference: Text
    code: Link
    licence: Text


class Submission(Strict):
    """All results of one evaluator that somebody hands in: ``submissions/<evaluator>.json`` in a results folder.

    ``plans`` has what was to be computed in each suite, so that what is missing is seen; ``files`` the SHA-256 of every
    file of the cells, by its path in the results folder.
    """

    schema_version: Literal[1] = 1
    evaluator: Name
    about: About
    plans: tuple[Plan, ...] = Field(min_length=1)
    files: dict[str, Sha256]


class VerifiedCell(Strict):
    """That the scores of a ``result.json`` were recomputed from its values, or that it was run again."""

    sha256: Sha256
    how: Literal["recomputed", "re-run"]


class Verified(Strict):
    """What was verified of one evaluator in one suite: ``verified/<suite>/<evaluator>.json`` in a results folder.

    ``cells`` are by problem and seed, ``digits-mlp-clean/seed-0``. A cell whose ``result.json`` has another hash now is
    not verified.
    """

    schema_version: Literal[1] = 1
    suite: Name
    evaluator: Name
    dvbench_version: str
    cells: dict[str, VerifiedCell]
