"""The description of a submission, and the record of verification."""

from __future__ import annotations

import re
from statistics import fmean
from typing import Annotated, Literal, get_args

from pydantic import AfterValidator, Field

from dvbench.results.schema import ErrorText, Number, Plan, Sha256
from dvbench.settings import Name, Strict

How = Literal["recomputed", "re-run", "re-run on fresh seeds"]
MARKS: tuple[str, ...] = ("claimed", *get_args(How))  # from the weakest to the strongest
CLEAR_GAP = 0.2  # between mean scores, where all claimed scores are better than all fresh ones
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
    """How a ``result.json`` was verified.

    Its scores were recomputed, or its values were re-run too, or the evaluator was also run on problems of fresh seeds,
    which no submitter could know.
    """

    sha256: Sha256
    how: How


class FreshScore(Strict):
    """Headline scores of a task on a problem, by seeds: those claimed, and those of fresh seeds."""

    problem: Name
    task: Name
    metric: Name
    higher_is_better: bool
    claimed: tuple[Number, ...]
    fresh: tuple[Number, ...]

    @property
    def gap(self) -> float | None:
        """By how much the mean claimed score is better than the fresh one; relative for claimed means above 1.

        None if a score of either kind is missing.
        """
        if not self.claimed or not self.fresh:
            return None
        claimed, fresh = fmean(self.claimed), fmean(self.fresh)
        return (claimed - fresh if self.higher_is_better else fresh - claimed) / max(1.0, abs(claimed))

    @property
    def doubt(self) -> str | None:
        """Why the fresh scores do not support the claimed ones; None if they do, or cannot tell."""
        gap, sign = self.gap, 1 if self.higher_is_better else -1
        if gap is None or gap <= CLEAR_GAP:
            return None
        if max(sign * score for score in self.fresh) >= min(sign * score for score in self.claimed):
            return None
        return f"{self.task} is {fmean(self.fresh):.3g} on fresh seeds, and {fmean(self.claimed):.3g} is claimed"


class FreshRun(Strict):
    """A run on fresh seeds. They derive from ``secret``, whose SHA-256 was shown before anything was computed.

    ``seeds`` is their number, and ``failed`` lists the cells that have no scores, with their errors. With the secret,
    ``dvbench verify --fresh-seeds --secret`` computes the same scores again.
    """

    commitment: Sha256
    secret: str = Field(min_length=1, max_length=1000)
    seeds: int = Field(ge=1, le=10_000)
    dvbench_version: str
    evaluator_version: str
    scores: tuple[FreshScore, ...]
    failed: dict[str, ErrorText] = {}

    @property
    def gaps(self) -> dict[str, float]:
        """The gap of every task that has one, by problem and task."""
        return {f"{score.task} on {score.problem}": gap for score in self.scores if (gap := score.gap) is not None}

    @property
    def doubts(self) -> dict[str, str]:
        """The problems whose claimed scores are not supported, and why: a clear gap, or a failure."""
        gaps = {score.problem: doubt for score in self.scores if (doubt := score.doubt) is not None}
        failed = {name.partition("/")[0]: f"it fails on a fresh seed: {error}" for name, error in self.failed.items()}
        return gaps | failed


class Verified(Strict):
    """The verified cells of one evaluator in one suite: ``verified/<suite>/<evaluator>.json`` in a results folder.

    The keys of ``cells`` are problem and seed, such as ``digits-mlp-clean/seed-0``. A cell whose ``result.json`` has
    another hash now does not count as verified. ``fresh`` is the run on fresh seeds, if there was one.
    """

    schema_version: Literal[1] = 1
    suite: Name
    evaluator: Name
    dvbench_version: str
    cells: dict[str, VerifiedCell]
    fresh: FreshRun | None = None

    @staticmethod
    def name(problem: str, seed: int) -> str:
        """Return the name of a cell in ``cells``."""
        return f"{problem}/seed-{seed}"

    def cell(self, problem: str, seed: int, sha256: str | None) -> VerifiedCell | None:
        """Return how a cell was verified; None if it was not, or its ``result.json`` has another hash now."""
        cell = self.cells.get(self.name(problem, seed))
        return cell if cell is not None and cell.sha256 == sha256 else None
