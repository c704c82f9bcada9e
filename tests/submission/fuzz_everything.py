"""Fuzzes the way of a bundle from its archive to the pages, by its structure; anything but a `UserError` is a find.

``PYTHONPATH=tests python tests/submission/fuzz_everything.py --seconds 600 --seed 0``, or ``tox -e fuzz``. A bundle
that nothing is wrong with is altered in some places: values of its JSON, bytes of its arrays, names and bytes of its
archive. Hashes are put right again. It is read and checked as ``dvbench verify`` does, except that no score is computed
again. What is accepted is copied to a results folder, whose leaderboard is built and checked. Each bundle has limits of
time and memory. A find is written to ``find-SEED-NUMBER.zip``, and belongs into ``make_refused.py``.
"""

from __future__ import annotations

import argparse
import copy
import hashlib
import json
import random
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from made_up_bundles import SUBMISSION, Files, made_up_files
from site_checks import PAYLOADS, check_site

from dvbench.errors import UserError
from dvbench.execution.limits import Limits, enforced
from dvbench.results import Store
from dvbench.submission.bundle import Bundle, read_bundle
from dvbench.submission.checks import check_cells, check_identity, check_plans, remarks
from dvbench.submission.pack import zipped
from dvbench.submission.publish import publish
from leaderboard.build import build

LIMITS = Limits(seconds=600, memory=2**32)
SECONDS = 20  # of the processor, for one bundle
HONEST = made_up_files(3)
TEXTS = [*PAYLOADS.values(), "", "\ud800", "os:system", "../../x", "a" * 300_000, "1e999", "__class__", "NaN"]
NUMBERS = [0, -1, 1, 2**31, 2**53, 2**63, 10**400, -1e308, 1e-320, 0.5, True]
OTHERS: list[Any] = [None, [], {}, [[]], {"a": {}}, [0] * 10_000, {str(number): 0 for number in range(5000)}]
Place = tuple[Any, Any]


def places(node: Any) -> Iterator[Place]:
    """Yield the container and the key of every value of a JSON document."""
    items = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    for key, value in list(items):
        yield node, key
        yield from places(value)


def altered_json(content: bytes, rng: random.Random) -> bytes:
    """Replace, remove, add or move some values."""
    said = json.loads(content)
    for _ in range(rng.choice((1, 1, 1, 2, 5))):
        everything = list(places(said))
        container, key = rng.choice(everything)
        kind = rng.random()
        if kind < 0.55:
            container[key] = copy.deepcopy(rng.choice(rng.choice((TEXTS, TEXTS, NUMBERS, OTHERS))))
        elif kind < 0.7:
            del container[key]
        elif kind < 0.85 and isinstance(container, dict):
            container[rng.choice(TEXTS)[:1000]] = copy.deepcopy(container[key])
        else:
            other, name = rng.choice(everything)
            container[key] = copy.deepcopy(other[name])
        if not said:
            break
    return json.dumps(said).encode("utf-8", "surrogatepass")


def altered_bytes(content: bytes, rng: random.Random) -> bytes:
    """Change, remove or add some bytes."""
    data = bytearray(content)
    for _ in range(rng.choice((1, 1, 2, 8))):
        start = rng.randrange(len(data) + 1)
        data[start : start + rng.choice((0, 1, 1, 4, 64))] = rng.randbytes(rng.choice((0, 1, 1, 4, 64)))
    return bytes(data)


def bundle(rng: random.Random) -> bytes:
    """Make an archive with some faults."""
    files: Files = dict(HONEST)
    for path in rng.sample(sorted(files), rng.choice((0, 1, 1, 2, 4))):
        changed = altered_json if path.endswith(".json") and rng.random() < 0.9 else altered_bytes
        files[path] = changed(files[path], rng)
    if rng.random() < 0.15:
        path = rng.choice(sorted(files))
        files[rng.choice((path.replace("seed-0", "seed-7"), path.upper(), f"{path}x", "quick/x"))] = files.pop(path)
    if rng.random() < 0.9:
        with_hashes(files)
    archive = zipped(files)
    return altered_bytes(archive, rng) if rng.random() < 0.1 else archive


def with_hashes(files: Files) -> None:
    """Put right the hashes of arrays and of files, where what lists them can still be read."""
    for path in [path for path in files if path.endswith("result.json")]:
        try:
            said = json.loads(files[path])
            for name, array in said["arrays"].items():
                array["sha256"] = hashlib.sha256(files[path.replace("result.json", f"{name}.npy")]).hexdigest()
            files[path] = json.dumps(said).encode("utf-8", "surrogatepass")
        except (ValueError, KeyError, TypeError, AttributeError):
            continue
    try:
        said = json.loads(files[SUBMISSION])
        listed = {path: content for path, content in files.items() if path != SUBMISSION}
        said["files"] = {path: hashlib.sha256(content).hexdigest() for path, content in listed.items()}
        files[SUBMISSION] = json.dumps(said).encode("utf-8", "surrogatepass")
    except (ValueError, KeyError, TypeError):
        return


def checked(folder: Path, results: Store) -> tuple[Bundle | None, str]:
    """Read and check a bundle; return it, or why it is refused."""
    try:
        accepted = read_bundle(folder / "bundle.zip", folder / "into", check_plans)
        check_cells(accepted)
        check_identity(accepted, results)
        assert all(line.isprintable() for line in remarks(accepted, results))
    except UserError as error:
        return None, str(error)
    return accepted, ""


def tried(content: bytes) -> str:
    """Take a bundle as far as it comes; return how far."""
    with tempfile.TemporaryDirectory() as scratch, enforced(LIMITS):
        folder = Path(scratch)
        (folder / "bundle.zip").write_bytes(content)
        results = Store(folder / "results")
        accepted, refusal = checked(folder, results)
        assert {each.name for each in folder.iterdir()} <= {"bundle.zip", "into"}, "written elsewhere"
        assert refusal.isprintable(), "a message that is not one printable line"
        assert len(refusal) < 1000, "a long message"
        if accepted is None:
            return "refused"
        publish(accepted, results, {}, {}, {})
        build(results.root, folder / "site")
        check_site(folder / "site")
        size = sum(path.stat().st_size for path in (folder / "site").rglob("*") if "assets" not in path.parts)
        assert size < 2**21 + 20 * sum(map(len, HONEST.values())), f"{size} bytes of pages"
        return "shown"


def main() -> None:
    """Fuzz for some time, print counts, and exit with 1 after a find."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    counts: Counter[str] = Counter()
    slowest, end, number = 0.0, time.monotonic() + options.seconds, 0
    while time.monotonic() < end and counts["found"] < 10:
        content = bundle(random.Random(f"{options.seed}-{number}"))
        started = time.process_time()
        try:
            counts[tried(content)] += 1
            assert time.process_time() - started < SECONDS, "it takes long"
        except Exception:
            counts["found"] += 1
            Path(f"find-{options.seed}-{number}.zip").write_bytes(content)
            print(f"find {options.seed}-{number}", traceback.format_exc(limit=-3)[-1500:], sep="\n", flush=True)
        slowest, number = max(slowest, time.process_time() - started), number + 1
    print(f"seed {options.seed}, {number} bundles: {dict(counts)}; the slowest took {slowest:.1f} s of a processor")
    sys.exit(1 if counts["found"] else 0)


if __name__ == "__main__":
    main()
