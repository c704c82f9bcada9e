"""Which data each evaluator takes, as the paragraph ``Takes:`` of its docstring says; tests check that this is true."""

from __future__ import annotations

import re

from dvbench.registry import entries


def _that_say(words: str) -> set[str]:
    said = {name: re.search(r"^ *Takes: (.*)$", each.docstring, re.M) for name, each in entries("evaluators").items()}
    return {name for name, paragraph in said.items() if paragraph and words in paragraph[1]}


TEXTS_ONLY = _that_say("texts only")  # cannot value points with features
CLASSES_ONLY = _that_say("neither regressions nor texts")
NO_TEXTS = CLASSES_ONLY | _that_say("no texts")
