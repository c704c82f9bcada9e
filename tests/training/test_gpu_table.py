"""The script that measures on a GPU, on sizes that a CPU measures in seconds."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch

SCRIPT = Path(__file__).parents[1] / "benchmarks" / "gpu.py"


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, SCRIPT, *arguments], capture_output=True, text=True, check=False)


@pytest.mark.slow
def test_the_table_of_a_gpu_has_its_rows_of_texts() -> None:
    table = run("--tiny")
    assert table.returncode == 0, table.stderr
    rows = [line.split(" | ") for line in table.stdout.splitlines() if line.startswith("| ")][1:]
    work = [row[0].removeprefix("| ") for row in rows]
    assert work[-5:] == [
        "train gpt2_tiny, 16 tokens, batch 4",
        "one short fit of gpt2_tiny, 8 texts",
        "unlearning step of gpt2_tiny, 2 + 2 texts",
        "train gpt2_tiny, recomputed, 16 tokens, batch 4",
        "unlearning step of gpt2_tiny, recomputed, 2 + 2 texts",
    ]
    assert all(len(row) == 3 for row in rows)
    assert [row[1].split(" ")[1] for row in rows[-5:]] == ["tokens/s", "tokens/s", "ms", "tokens/s", "ms"]


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_without_a_gpu_only_small_sizes_are_measured() -> None:
    refused = run()
    assert refused.returncode == 2
    assert refused.stderr.splitlines()[-1].endswith("there is no GPU; --tiny measures small sizes on a CPU")
