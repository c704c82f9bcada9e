"""Checks that a pull request from outside changes only the results of one submission.

Reads ``git diff --raw -z --no-renames`` from standard input. Prints the submission that must be verified, or the
error with exit code 1.
"""

import re
import sys

NAME = r"[A-Za-z0-9][A-Za-z0-9_.+-]{0,79}"
SUBMISSION = re.compile(rf"results/submissions/({NAME})\.json")
CELL = re.compile(
    rf"results/(?!submissions/|verified/|leaderboard/|figures/)({NAME})/{NAME}/({NAME})/seed-(?:0|[1-9][0-9]{{0,8}})/"
    r"(?:result\.json|values\.npy|standard_errors\.npy|repeat\.npy)"
)


def check(raw: str) -> str:
    """Return the path of the one submission that a raw diff adds or changes.

    Raises
    ------
    ValueError
        If the diff changes anything else: other files, other evaluators' cells, links, or records of verification.
    """
    fields = raw.split("\0")[:-1]
    changes = [(fields[i].split(), fields[i + 1]) for i in range(0, len(fields), 2)]
    named = [match for _, path in changes if (match := SUBMISSION.fullmatch(path))]
    if len(named) != 1:
        raise ValueError(f"it changes {len(named)} files results/submissions/NAME.json, and must add or change one")
    for (_, mode, _, _, status), path in changes:
        cell = CELL.fullmatch(path)
        removed = status == "D" and cell is not None
        if not SUBMISSION.fullmatch(path) and (cell is None or cell[2] != named[0][1]):
            raise ValueError(f"{path!r} is no file of the submission {named[0][1]}; propose other changes on their own")
        if not removed and (mode != "100644" or status not in ("A", "M")):
            raise ValueError(f"{path!r} is not a plain file that is added or changed")
    return named[0][0]


if __name__ == "__main__":
    try:
        sys.stdout.write(check(sys.stdin.buffer.read().decode()) + "\n")
    except (ValueError, IndexError) as error:
        sys.exit(f"::error::{error}")
