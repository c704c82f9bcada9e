"""Words for captions and pages, made from the results: who the players are, what utility is, and what noise is."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from dvbench.registry import Kind
from dvbench.settings import Groups
from leaderboard.exhibit import SuiteResults
from leaderboard.text import clean

METHODS: dict[Kind, str] = {
    "evaluators": "evaluator",
    "unlearning": "unlearning method",
    "selection": "selection strategy",
}
PLURALS = {"evaluators": "Evaluators", "unlearning": "Unlearning methods", "selection": "Selection strategies"}
SECONDS_OF: dict[Kind, str] = {
    "evaluators": "seconds of a valuation",
    "unlearning": "seconds to unlearn each player in turn",
    "selection": "seconds of training with selection",
}
RANDOM: dict[Kind, str] = {
    "evaluators": "random values",
    "unlearning": "random baselines",
    "selection": "random choices",
}
OF_EVALUATORS = re.compile(r"\b(?:an? )?(evaluators?|valuations?|random values)\b", re.IGNORECASE)
NOISE = re.compile(
    r"(?P<kind>labels|features)(?P<rate>[0-9.]+)(x(?P<sigma>[0-9.]+))?(-(?P<draw>any|next|graded))?(?P<validation>-validation)?"
)
DRAWS = {"any": "to any class", "next": "to the next class, in every second class", "graded": "more in some subsets"}
RARE = re.compile(r"(?P<noise>.*?)-?imbalance(?P<classes>[0-9.]+)x(?P<keep>[0-9.]+)")
PLAYERS = re.compile(r"(?P<count>[0-9]+)(?P<sizes>subsets|unequal)|by-(?P<column>.+)")
UTILITIES = {
    "classification": "accuracy",
    "regression": "negative mean squared error",
    "language": "negative perplexity",
}


def said_of(kind: Kind, text: str) -> str:
    """Say of a kind of methods what a text says of evaluators: "an unlearning method" in place of "an evaluator"."""
    if kind == "evaluators":
        return text
    words = {"evaluator": METHODS[kind], "evaluators": PLURALS[kind].lower(), "random values": RANDOM[kind]}
    words |= {"valuation": "run", "valuations": "runs"}

    def said(match: re.Match[str]) -> str:
        word = words[match[1].lower()]
        article = "" if match[0] == match[1] else "an " if word[0] in "aeiou" else "a "
        phrase = article + word
        return phrase[0].upper() + phrase[1:] if match[0][0].isupper() else phrase

    return OF_EVALUATORS.sub(said, text)


def as_in(figure: str) -> str:
    """Say which figure or table of the Unlearning Shapley paper has the same content, in brackets after a title."""
    return f" (as in {figure} of the Unlearning Shapley paper)"


def players(results: SuiteResults, tasks: Sequence[str]) -> str:
    """Name the players of the problems that have these tasks, such as ``"10 random subsets, or corpora"``."""
    planned = [cell.problem.groups for cell, _ in results.cells if {*tasks} & {*cell.tasks}]
    return _alternatives(map(_players, planned))


def utility(results: SuiteResults, tasks: Sequence[str]) -> str:
    """Name the utility of the problems that have these tasks, such as ``"accuracy"``."""
    problems = dict.fromkeys(cell.key.problem for cell, _ in results.cells if {*tasks} & {*cell.tasks})
    kinds = [results.kinds[problem] for problem in problems]
    return _alternatives(UTILITIES[kind] for kind in kinds if kind in UTILITIES) or "utility"


def _players(groups: Groups | None) -> str:
    if groups is None:
        return "training points"
    return {
        "random": f"{groups.count} random subsets",
        "classes": "classes",
        "column": f"groups by the column '{clean(groups.column or '')}'",
        "corpora": "corpora",
    }[groups.by]


def _alternatives(words: Iterable[str]) -> str:
    return ", or ".join(dict.fromkeys(words))


def noise_in_words(noise: str) -> str:
    """Say what a short form of noise means, such as ``labels0.2-next``; one that is not known stays as it is."""
    if rare := RARE.fullmatch(noise):
        classes = f"{float(rare['classes']):.0%} of the classes with {float(rare['keep']):.0%} of their points"
        return f"{noise_in_words(rare['noise'])}, {classes}" if rare["noise"] else classes
    match = NOISE.fullmatch(noise)
    if match is None:
        return "no noise" if noise == "clean" else noise
    said = [f"{float(match['rate']):.0%} {match['kind']} {'flipped' if match['kind'] == 'labels' else 'disturbed'}"]
    said += [f"with {match['sigma']} standard deviations"] if match["sigma"] else []
    said += [DRAWS[match["draw"]]] if match["draw"] else []
    return ", ".join([*said, *(["also for validation"] if match["validation"] else [])])


def players_in_words(players: str) -> str:
    """Say what a short form of players means, such as ``50unequal``; one that is not known stays as it is."""
    match = PLAYERS.fullmatch(players)
    if match is None:
        return players
    if match["column"]:
        return f"groups by the column {match['column']}"
    return f"{match['count']} subsets{' of unequal sizes' if match['sizes'] == 'unequal' else ''}"
