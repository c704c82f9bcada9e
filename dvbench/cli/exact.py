"""The commands of exact tables: ``exact list``, ``compute``, ``check`` and ``export``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from dvbench.cli.options import MirrorOption

app = typer.Typer(help="Utilities of all coalitions of small problems: list, compute, check and export them.")
NamesArgument = Annotated[
    list[str] | None, typer.Argument(help="Names of tables. By default all.", metavar="[TABLE]...")
]
FolderOption = Annotated[Path, typer.Option("--folder", help="Folder of the tables.", metavar="DIR")]
FOLDER = Path("results/exact")


@app.command("list")
def list_tables(folder: FolderOption = FOLDER) -> None:
    """List all tables: whether the folder has them, their players and games, and the processor time that they took."""
    from dvbench import console
    from dvbench.exact.compute import state_of
    from dvbench.exact.tables import chosen_tables, read_manifest

    entries = {table.settings.name: table for table in read_manifest(folder).tables}
    rows = []
    for settings in chosen_tables([]):
        table = entries.get(settings.name)
        players = "" if table is None else str(table.players)
        games = f"{len(settings.seeds)} x {settings.trainings}"
        seconds = "" if table is None else f"{table.seconds:.0f}"
        rows.append([settings.name, state_of(settings, folder), players, games, seconds])
    console.number_table(["table", "state", "players", "seeds x trainings", "processor seconds"], rows)


@app.command("compute")
def compute(
    names: NamesArgument = None,
    folder: FolderOption = FOLDER,
    fresh: Annotated[bool, typer.Option("--fresh", help="Compute finished tables again.")] = False,
    mirror: MirrorOption = None,
) -> None:
    """Train a model on every coalition. Finished tables are kept, and a table that was begun is continued.

    Ctrl-C, SIGTERM or SIGHUP stops the computation; the same command continues from the last complete game.
    """
    from dvbench import console
    from dvbench.exact.compute import compute_table, forget_partial, state_of
    from dvbench.exact.tables import chosen_tables
    from dvbench.execution.environment import current_environment
    from dvbench.execution.run import mirror_variable

    with mirror_variable(mirror):
        for settings in chosen_tables(names or []):
            if fresh:
                forget_partial(settings, folder)
            elif state_of(settings, folder) == "done":
                console.say(f"{settings.name}: done before")
                continue
            with console.counting(f"{settings.name}: game") as count:
                table = compute_table(settings, folder, current_environment("cpu"), count)
            console.say(f"{settings.name}: {table.players} players, {table.seconds:.0f} s of a processor")


@app.command("check")
def check(
    names: NamesArgument = None,
    folder: FolderOption = FOLDER,
    sample: Annotated[int, typer.Option(min=1, help="Number of utilities of each table to compute again.")] = 24,
    draw: Annotated[int, typer.Option(min=0, help="Another number samples other utilities.")] = 0,
    mirror: MirrorOption = None,
) -> None:
    """Check the hashes of tables, and compute a sample of their utilities again.

    The exit code is 1 if a table is missing or not confirmed.
    """
    from dvbench import console
    from dvbench.errors import UserError
    from dvbench.exact.compute import check_table
    from dvbench.exact.tables import chosen_tables, find_table
    from dvbench.execution.run import mirror_variable

    failed = 0
    with mirror_variable(mirror):
        for settings in chosen_tables(names or []):
            try:
                table = find_table(settings.name, folder)
                if table.settings != settings:
                    raise UserError("it has other settings than its definition; compute it again")
                found = check_table(table, folder, sample, draw)
            except UserError as error:
                console.say(f"{settings.name}: not confirmed: {error}")
                failed += 1
                continue
            failed += not found.ok
            console.say(
                f"{settings.name}: {'confirmed' if found.ok else 'NOT CONFIRMED'}: {found.sampled} utilities computed "
                f"again differ by {found.mean:.2g} of the table's range on average, at most {found.largest:.2g}"
            )
    if failed:
        raise typer.Exit(1)


@app.command("export")
def export(
    out: Annotated[Path, typer.Option(help="Folder to write to.", metavar="DIR")],
    names: NamesArgument = None,
    folder: FolderOption = FOLDER,
    seed: Annotated[int | None, typer.Option(min=0, help="Seed of the problem. By default the first.")] = None,
    training: Annotated[
        int | None, typer.Option(min=0, help="Number of the training. By default the mean over all trainings.")
    ] = None,
) -> None:
    """Write games of tables as files of shapiq, which 'shapiq.Game.load' reads."""
    from dvbench.exact.export import export_game
    from dvbench.exact.tables import find_table, read_manifest

    for name in names or [table.settings.name for table in read_manifest(folder).tables]:
        typer.echo(export_game(find_table(name, folder), folder, out, seed, training))
