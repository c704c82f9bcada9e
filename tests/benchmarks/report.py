"""Writes what pytest-benchmark measured into docs/performance.md: ``python report.py measured.json``."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from statistics import median

PAGE = Path(__file__).parents[2] / "docs/performance.md"
BLOCK = re.compile(r"(<!-- measured: begin -->\n).*(<!-- measured: end -->)", re.DOTALL)


def shown(value: object) -> str:
    """A number, the median of several, or several that have names."""
    if isinstance(value, dict):
        return ", ".join(f"{name}: {shown(each)}" for name, each in value.items())
    middle = median(value) if isinstance(value, list) else value
    if isinstance(middle, int) or abs(middle) >= 100:
        return f"{middle:,.0f}"
    return f"{middle:.3g}"


def tables(measured: dict) -> str:
    """One table a group of benchmarks: seconds of the fast way, and what else was noted."""
    machine = measured["machine_info"]
    lines = [
        f"Measured on {measured['datetime'][:10]} on {machine['cpu']['brand_raw']} "
        f"({machine['cpu']['count']} cores), Python {machine['python_version']}, torch {measured['torch']}.\n"
    ]
    groups = dict.fromkeys(each["group"] for each in measured["benchmarks"])
    for group in groups:
        members = [each for each in measured["benchmarks"] if each["group"] == group]
        notes = list(dict.fromkeys(key for each in members for key in each["extra_info"]))
        lines += [
            f"### {group[:1].upper()}{group[1:]}\n",
            "| | " + " | ".join(note.replace("_", " ") for note in notes) + " |",
        ]
        lines.append("|---|" + "---:|" * len(notes))
        for each in members:
            name = each["name"].removeprefix("test_").replace("_", " ")
            values = [shown(each["extra_info"][note]) if note in each["extra_info"] else "" for note in notes]
            lines.append(f"| {name} | " + " | ".join(values) + " |")
        lines.append("")
    return "\n".join(lines)


def main(source: str) -> None:
    """Replace the block of tables."""
    import torch

    measured = {**json.loads(Path(source).read_text()), "torch": torch.__version__}
    page = PAGE.read_text()
    PAGE.write_text(BLOCK.sub(lambda match: match[1] + tables(measured) + match[2], page))


if __name__ == "__main__":
    main(sys.argv[1])
