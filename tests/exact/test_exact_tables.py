"""Exact tables: what they hold, how they are resumed, checked, damaged and exported."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from dvbench.cli import main
from dvbench.errors import UserError
from dvbench.exact import compute, tables
from dvbench.exact.compute import check_table, compute_table, state_of
from dvbench.exact.export import export_game
from dvbench.exact.tables import (
    Table,
    TableSettings,
    chosen_tables,
    defined_tables,
    find_table,
    known_games,
    load_table,
    read_manifest,
)
from dvbench.execution.environment import current_environment
from dvbench.games import all_coalitions, exact_shapley_values, tabulated_shapley_values
from dvbench.problems.build import build_from_settings
from dvbench.scoring.retraining import Retraining

SMALL = """
[[tables]]
name = "wine-5"
seeds = [4, 0]
trainings = 2
problem.dataset = "wine"
problem.sizes = { train = 5, validation = 10, test = 32 }
problem.model = "logistic_regression"
problem.training = { epochs = 2, batch_size = 2, lr = 0.05 }
"""


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> TableSettings:
    """Of a table of 5 players, which the commands know as the only one."""
    path = tmp_path / "tables.toml"
    path.write_text(SMALL)
    known = defined_tables(path)
    monkeypatch.setattr(tables, "defined_tables", lambda path=None: known)
    return known["wine-5"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "exact"


@pytest.fixture
def table(settings: TableSettings, folder: Path) -> Table:
    return compute_table(settings, folder, current_environment("cpu"))


def run(*words: str | Path) -> int:
    return main(["exact", *map(str, words)])


def test_a_table_has_the_utilities_of_all_coalitions(table: Table, settings: TableSettings, folder: Path) -> None:
    utilities = load_table("wine-5", folder)
    assert utilities.shape == table.shape == (2, 2, 32)
    problem = build_from_settings(settings.problem, 0)  # the second seed
    retrain = Retraining(problem, settings.problem.model, settings.problem.training)
    np.testing.assert_array_equal(utilities[1, 0], retrain(all_coalitions(5)))
    assert utilities[1, 0, 0b01101] == retrain([np.array([0, 2, 3])])[0]
    assert len({game.tobytes() for seed in utilities for game in seed}) == 4
    assert table.dtype == "float16"  # of 32 points accuracies are exact in half precision
    for game in utilities.reshape(4, -1):
        assert tabulated_shapley_values(game).sum() == pytest.approx(game[-1] - game[0])


def test_other_utilities_keep_single_precision(settings: TableSettings, folder: Path) -> None:
    problem = settings.problem.model_copy(update={"sizes": settings.problem.sizes.model_copy(update={"test": 30})})
    thirds = settings.model_copy(update={"problem": problem})
    assert compute_table(thirds, folder, current_environment("cpu")).dtype == "float32"
    assert set(np.unique(load_table("wine-5", folder) * 30).round(4) % 1) == {0}


def test_what_was_begun_is_continued(settings: TableSettings, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = []

    class Ended(Retraining):
        def __init__(self, *arguments: object, **more: object) -> None:
            if len(made) == 3:
                raise KeyboardInterrupt
            made.append(more["training_seed"])
            super().__init__(*arguments, **more)

    monkeypatch.setattr(compute, "Retraining", Ended)
    assert run("compute", "--folder", folder) == 130
    assert state_of(settings, folder) == "3 of 4 games"
    assert not read_manifest(folder).tables
    made.clear()
    assert run("compute", "--folder", folder) == 0
    assert made == [1]  # the fourth game
    assert state_of(settings, folder) == "done"
    monkeypatch.setattr(compute, "Retraining", Retraining)
    again = compute_table(settings, folder / "again", current_environment("cpu"))
    assert again.sha256 == find_table("wine-5", folder).sha256
    assert sorted(path.name for path in folder.iterdir() if path.is_file()) == ["manifest.json", "wine-5.npy"]


def test_finished_tables_are_kept(table: Table, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compute, "Retraining", None)
    assert run("compute", "--folder", folder) == 0
    monkeypatch.undo()


def test_a_table_without_its_file_is_missing(table: Table, settings: TableSettings, folder: Path, capsys) -> None:
    (folder / "wine-5.npy").unlink()
    assert state_of(settings, folder) == "missing"
    assert run("list", "--folder", folder) == 0
    assert run("compute", "--folder", folder) == 0
    assert state_of(settings, folder) == "done"


def test_a_check_confirms_a_table(table: Table, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = check_table(table, folder, sample=32)
    assert (found.sampled, found.largest, found.ok) == (32, 0, True)
    assert run("check", "--folder", folder) == 0
    assert "wine-5: confirmed: 24 utilities computed again differ by 0" in capsys.readouterr().out


def forged(table: Table, folder: Path, change) -> None:
    """Write another array with its right hash."""
    utilities = load_table("wine-5", folder).astype(table.dtype)
    content = tables.npy(change(utilities))
    entry = {**table.model_dump(mode="json"), "sha256": tables.hashlib.sha256(content).hexdigest()}
    tables.write_table(folder, Table.model_validate(entry), content)


def test_a_check_finds_other_numbers(table: Table, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    forged(table, folder, lambda utilities: utilities[:, :, ::-1])
    assert run("check", "--folder", folder) == 1
    assert "wine-5: NOT CONFIRMED" in capsys.readouterr().out


def test_a_check_finds_other_data(table: Table, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    other = table.model_copy(update={"revisions": ("0" * 64,) * 2})
    tables.write_table(folder, other, (folder / "wine-5.npy").read_bytes())
    assert run("check", "--folder", folder) == 1
    assert "other rows than when the table was computed" in capsys.readouterr().out


def test_missing_tables_are_not_confirmed(settings: TableSettings, folder: Path, capsys) -> None:
    assert run("check", "--folder", folder) == 1
    assert "wine-5: not confirmed: no exact table in" in capsys.readouterr().out


def test_altered_files_are_refused(table: Table, folder: Path) -> None:
    path = folder / "wine-5.npy"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with pytest.raises(UserError, match="does not match its hash in manifest"):
        load_table("wine-5", folder)
    path.unlink()
    with pytest.raises(UserError, match=r"cannot read .*wine-5\.npy: No such file"):
        load_table("wine-5", folder)


@pytest.mark.parametrize(
    "change",
    [
        lambda utilities: utilities[:, :1],
        lambda utilities: utilities.astype(np.float64),
        lambda utilities: np.where(utilities > 0.5, np.nan, utilities),
    ],
)
def test_arrays_of_another_kind_are_refused(table: Table, folder: Path, change) -> None:
    forged(table, folder, change)
    with pytest.raises(UserError, match=r"does not hold finite numbers of shape \(2, 2, 32\) in float16"):
        load_table("wine-5", folder)


def test_nothing_in_a_file_is_executed(table: Table, folder: Path) -> None:
    objects = tables.io.BytesIO()
    np.save(objects, np.array([print], dtype=object), allow_pickle=True)
    content = objects.getvalue()
    (folder / "wine-5.npy").write_bytes(content)
    entry = table.model_copy(update={"sha256": tables.hashlib.sha256(content).hexdigest()})
    with pytest.raises(UserError, match="is not a plain array"):
        tables.read_utilities(folder, entry)


@pytest.mark.parametrize("text", ["", "[]", '{"schema_version": 1, "tables": [{"settings": {}}]}', '{"more": 1}'])
def test_a_file_that_is_no_manifest_is_refused_in_one_line(settings, folder: Path, text: str, capsys) -> None:
    folder.mkdir()
    (folder / "manifest.json").write_text(text)
    assert run("list", "--folder", folder) == 2
    message = capsys.readouterr().err
    assert "is no manifest of exact tables" in message
    assert message.count("\n") == 1


def test_a_damaged_beginning_is_refused(settings: TableSettings, folder: Path, capsys) -> None:
    folder.mkdir()
    (folder / f".wine-5-{settings.digest[:12]}.npy").write_bytes(tables.npy(np.full((2, 33), np.nan)))
    assert run("compute", "--folder", folder) == 2
    assert "is not part of a table; move it away" in capsys.readouterr().err
    assert run("compute", "--folder", folder, "--fresh") == 0
    assert state_of(settings, folder) == "done"


def test_other_settings_are_computed_again(table: Table, settings: TableSettings, folder: Path) -> None:
    fewer = settings.model_copy(update={"trainings": 1})
    assert state_of(fewer, folder) == "other settings"
    compute_table(fewer, folder, current_environment("cpu"))
    assert state_of(fewer, folder) == "done"
    assert load_table("wine-5", folder).shape == (2, 1, 32)


def test_a_game_is_known_by_its_problem_seed_and_data(table: Table, settings: TableSettings, folder: Path) -> None:
    games = known_games(folder, settings.problem, 0, table.revisions[1])
    np.testing.assert_array_equal(games, load_table("wine-5", folder)[1])
    assert known_games(folder, settings.problem, 1, table.revisions[1]) is None
    assert known_games(folder, settings.problem, 0, table.revisions[0]) is None
    other = settings.problem.model_copy(update={"training": settings.problem.training.model_copy(update={"epochs": 3})})
    assert known_games(folder, other, 0, table.revisions[1]) is None
    assert known_games(folder / "none", settings.problem, 0, table.revisions[1]) is None


def test_an_exported_game_has_every_coalition(table: Table, folder: Path, tmp_path: Path) -> None:
    utilities = load_table("wine-5", folder)
    content = json.loads(export_game(table, folder, tmp_path / "out").read_text())
    assert content["metadata"]["n_players"] == 5
    assert content["metadata"]["normalization_value"] == pytest.approx(utilities[0].mean(axis=0)[0])
    assert len(content["data"]) == 32
    assert content["data"]["Empty"] == pytest.approx(utilities[0].mean(axis=0)[0])
    assert content["data"]["0,2,3"] == pytest.approx(utilities[0].mean(axis=0)[0b01101])
    assert run("export", "--out", tmp_path / "out", "--folder", folder, "--seed", "0", "--training", "1") == 0
    one = json.loads((tmp_path / "out" / "wine-5-seed-0-training-1.json").read_text())
    assert one["data"]["0,1,2,3,4"] == pytest.approx(utilities[1, 1, -1])


def test_games_that_there_are_not_cannot_be_exported(table: Table, folder: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="wine-5 has no seed 1: its seeds are 4, 0"):
        export_game(table, folder, tmp_path, seed=1)
    with pytest.raises(UserError, match="wine-5 has no training 2: it has 2, from 0 on"):
        export_game(table, folder, tmp_path, training=2)


@pytest.mark.slow
def test_shapiq_reads_an_exported_game(table: Table, folder: Path, tmp_path: Path) -> None:
    shapiq = pytest.importorskip("shapiq")
    game = shapiq.Game.load(export_game(table, folder, tmp_path))
    mean = load_table("wine-5", folder)[0].mean(axis=0)
    values = game.exact_values(index="SV", order=1)
    theirs = [values[(player,)] for player in range(5)]
    np.testing.assert_allclose(theirs, tabulated_shapley_values(mean), atol=1e-6)


def test_tables_that_come_with_dvbench() -> None:
    known = chosen_tables([])
    assert len(known) == 20
    with pytest.raises(UserError, match="no exact table is named 'digits-point-10': did you mean 'digits-points-10'"):
        chosen_tables(["digits-point-10"])
    assert [settings.name for settings in chosen_tables(["digits-points-12", "digits-points-12"])] == [
        "digits-points-12"
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("tables = 3", r"is not a TOML file with \[\[tables\]\]"),
        ("[[other]]", r"is not a TOML file with \[\[tables\]\]"),
        ("[[tables", "is not a TOML file"),
        (SMALL.replace("[4, 0]", "[0, 0]"), "seeds must differ"),
        (SMALL.replace("trainings = 2", "trainings = 0"), "trainings: Input should be greater than 0"),
        (SMALL * 2, "two tables have the same name"),
    ],
)
def test_wrong_definitions_are_refused(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "tables.toml"
    path.write_text(text)
    with pytest.raises(UserError, match=message):
        defined_tables(path)


def test_too_many_players_are_refused_before_anything_is_trained(settings: TableSettings, folder: Path) -> None:
    sizes = settings.problem.sizes.model_copy(update={"train": 21})
    many = settings.model_copy(update={"problem": settings.problem.model_copy(update={"sizes": sizes})})
    with pytest.raises(UserError, match="wine-5: 21 players are too many for a table: at most 20"):
        compute_table(many, folder, current_environment("cpu"))


def test_exact_values_of_a_table_are_those_of_the_game(table: Table, folder: Path) -> None:
    """The table's enumeration and the enumeration of a game agree."""
    game = load_table("wine-5", folder)[0, 1]
    values = exact_shapley_values(lambda asked: np.array([game[np.sum(2**members)] for members in asked]), 5)
    np.testing.assert_allclose(values, tabulated_shapley_values(game), atol=1e-12)
