"""The figures of a suite that `dvbench figures` has written into the results, for its page."""

from __future__ import annotations

import html
import re
from dataclasses import dataclass
from pathlib import Path

from leaderboard.text import clean

FIGURE = re.compile(r"!\[([^\]]*)\]\(([A-Za-z0-9_.+-]+\.svg)\)")


@dataclass(frozen=True)
class ShownExhibit:
    """One exhibit: its title and caption, and the names of the files of its figures with what they show."""

    title: str
    caption: str
    figures: dict[str, str]


def shown_exhibits(folder: Path, suite: str) -> list[ShownExhibit]:
    """Read the exhibits of a suite from the page that `dvbench figures` wrote; none if there is no page."""
    try:
        text = (folder / f"{suite}.md").read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return []
    exhibits = []
    for section in text.split("\n## ")[1:]:
        title, _, rest = section.partition("\n\n")
        shown = {name: clean(html.unescape(words)) for words, name in FIGURE.findall(rest) if (folder / name).is_file()}
        caption = "" if rest.startswith(("![", "|")) else html.unescape(rest.partition("\n\n")[0])
        exhibits.append(ShownExhibit(clean(html.unescape(title)), " ".join(caption.split()), shown))
    return [exhibit for exhibit in exhibits if exhibit.figures]
