"""Says which of the Pythons that dvbench supports tox finds and tests, and which it skips."""

from __future__ import annotations

import subprocess
import sys


def is_found(version: str) -> bool:
    """Whether the PATH has this Python; tox looks there. A shim of pyenv that cannot start a Python does not count."""
    try:
        return subprocess.run([f"python{version}", "-c", ""], capture_output=True, check=False).returncode == 0
    except OSError:
        return False


def report(versions: list[str]) -> str:
    """One line for the Pythons that are found and, if there are any, one for those that are missing."""
    missing = [version for version in versions if not is_found(version)]
    available = [version for version in versions if version not in missing]
    lines = [f"Pythons found: {', '.join(available) or 'none'}."]
    if missing:
        lines.append(f"WARNING: NOT TESTED on Python {', '.join(missing)}, because the PATH has no such Python.")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.stdout.write(report(sys.argv[1:]) + "\n")
