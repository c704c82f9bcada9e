"""Say what was understood of the features and groups of a table, in a few lines."""

from __future__ import annotations

import numpy as np

from dvbench.errors import LONGEST_SHOWN, plain
from dvbench.tables.features import ALIKE, DIFFERENT, DIFFERENT_BUT_COPIES, SAY_NOTHING, Fit

SHOWN = 5
KEPT_AS = {DIFFERENT: "text", DIFFERENT_BUT_COPIES: "text", ALIKE: "category"}
WORDS = {
    "number": ("numeric", ""),
    "category": ("categorical", "indicator"),
    "date": ("date", "part"),
    "text": ("text", "component"),
}


def listed(items: list[str]) -> str:
    """Join items; of a long list the first ones and how many more there are."""
    more = f", and {len(items) - SHOWN:,} more" if len(items) > SHOWN else ""
    return ", ".join(items[:SHOWN]) + more


def plural(count: int, noun: str) -> str:
    """A number and a noun, such as "1 row" or "2 rows"."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


def summarise(features: np.ndarray, fit: Fit | None, groups: np.ndarray | None, group: str | None) -> list[str]:
    """Lines about the features and groups; ``fit`` is None for an array of numbers."""
    parts = [plural(len(features), "row")]
    if fit is not None:
        parts.append(_types(fit))
    elif features.ndim > 2:
        parts.append(f"features of shape {features.shape[1:]}")
    else:
        parts.append(plural(features.shape[1], "numeric column"))
    if groups is not None:
        parts.append(f"{plural(len(np.unique(groups)), 'group')} by column '{group}'")
    return ["; ".join(parts), *(_details(fit) if fit is not None else ())]


def _types(fit: Fit) -> str:
    parts: list[str] = []
    for kind, (word, made) in WORDS.items():
        names = [name for name in fit.encoders if fit.types[name] == kind]
        if names:
            count = f"{len(names):,} {word}" if parts else plural(len(names), f"{word} column")
            width = sum(fit.encoders[name].width for name in names)
            if kind != "number" or len(names) <= SHOWN:  # many numbers are rarely anything else
                count += f" ({listed([plain(name, LONGEST_SHOWN) for name in names])})"
            parts.append(f"{count} -> {plural(width, made)}" if made else count)
    if fit.left_out:
        names = [f"{name}: {reason}" for name, reason in fit.left_out.items()]
        telling = [name for name, reason in fit.left_out.items() if reason not in SAY_NOTHING]
        keep = ""
        if len(telling) == 1:
            keep = f"; --as '{telling[0]}={KEPT_AS.get(fit.left_out[telling[0]], 'number')}' keeps it"
        elif telling:
            keep = "; --as COLUMN=TYPE keeps one"
        parts.append(f"{len(names):,} left out ({listed(names)}{keep})")
    return ", ".join(parts)


def _details(fit: Fit) -> list[str]:
    lines = fit.notes[:SHOWN]
    if len(fit.notes) > SHOWN:
        lines.append(f"and {len(fit.notes) - SHOWN:,} more of this kind")
    for missing, replaced, counts in (
        ("missing", "imputed by the median of the column", fit.imputed),
        ("empty", "taken for one more category", fit.empty),
    ):
        if counts:
            total = sum(counts.values())
            names = [f"{name} {count:,}" for name, count in sorted(counts.items(), key=lambda item: -item[1])]
            verb = "was" if total == 1 else "were"
            lines.append(f"{plural(total, f'{missing} cell')} {verb} {replaced}: {listed(names)}")
    return lines
