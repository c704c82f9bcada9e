"""``dvbench list``, ``describe``, ``leaderboard build`` and ``--version``."""

from __future__ import annotations

from pathlib import Path

import pytest

from dvbench.registry import KINDS, entries, singular, suite_files


def first_words(text: str) -> list[str]:
    return [line.split()[0] for line in text.splitlines() if line.strip() and not line.startswith(" ")]


@pytest.mark.parametrize("kind", KINDS)
def test_list_names_everything_once_with_its_summary(dvbench, kind) -> None:
    said = dvbench("list", kind)
    assert (said.code, said.err) == (0, "")
    assert first_words(said.out) == ["name", *entries(kind)]
    for entry in entries(kind).values():
        assert entry.summary in said.out


def test_list_suites(dvbench) -> None:
    said = dvbench("list", "suites")
    assert first_words(said.out) == ["name", *suite_files()]


@pytest.mark.parametrize("name", [name for kind in KINDS for name in entries(kind)])
def test_everything_can_be_described(dvbench, name: str) -> None:
    said = dvbench("describe", name)
    (entry,) = [entries(kind)[name] for kind in KINDS if name in entries(kind)]
    assert (said.code, said.err) == (0, "")
    assert said.out.startswith(f"{name} ({singular(entry.kind)}, {entry.target})\n\n{entry.docstring}\n")


def test_a_task_shows_its_version_headline_and_direction(dvbench) -> None:
    assert dvbench("describe", "rank_stability").out.endswith(
        "\nversion: 1\nheadline: spearman\nhigher is better: True\nrepeats: True\n"
    )


@pytest.mark.parametrize("name", suite_files())
def test_a_suite_shows_its_file(dvbench, name: str) -> None:
    assert dvbench("describe", name).out.endswith(suite_files()[name].read_text().rstrip("\n") + "\n\n")


def test_an_evaluator_of_ones_own_is_described(dvbench, here: Path) -> None:
    (here / "loose_described.py").write_text('class Mine:\n    """Mine, [b]all[/b] mine."""\n')
    said = dvbench("describe", "loose_described:Mine")
    assert said.out == ("loose_described:Mine (evaluator, loose_described:Mine)\n\nMine, [b]all[/b] mine.\n")


def test_version(dvbench) -> None:
    assert dvbench("--version") == (0, "dvbench 0.1.0\n", "")


@pytest.mark.parametrize("command", [(), ("run",), ("value",), ("list",), ("describe",), ("leaderboard", "build")])
def test_every_command_has_help(dvbench, command: tuple[str, ...]) -> None:
    said = dvbench(*command, "--help")
    assert (said.code, said.err) == (0, "")
    assert said.out.startswith(f"Usage: {' '.join(('dvbench', *command))} ")


def test_a_leaderboard_is_built_of_what_is_there(dvbench, here: Path) -> None:
    dvbench("run", "tiny.toml", "--jobs", 0, "--seeds", "0")
    said = dvbench("leaderboard", "build", "--results", "runs", "--out", "pages")
    assert said == (0, "pages/tiny.md\npages/tiny.csv\npages/index.html\n", "")
    for name in ("tiny.md", "tiny.csv", "index.html"):
        assert (here / "pages" / name).read_bytes() == (here / "runs/leaderboard" / name).read_bytes()
    assert "knn_shapley" in (here / "pages/tiny.md").read_text()
