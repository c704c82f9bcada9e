"""The commands that pack and verify results, and the one that starts a new evaluator."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from dvbench.cli.options import Device, DeviceOption, MirrorOption
from dvbench.errors import UserError


def submit(
    results: Annotated[Path, typer.Argument(help="Results folder.")],
    evaluator: Annotated[
        str, typer.Option(help="Name of the evaluator in the results, or 'module:Class'.", metavar="NAME")
    ],
    about: Annotated[
        Path, typer.Option(help="TOML file that describes the evaluator and its authors.", metavar="FILE")
    ] = Path("submission.toml"),
    out: Annotated[Path | None, typer.Option(help="File to write. By default NAME.zip.", metavar="FILE.zip")] = None,
) -> None:
    """Pack all results of an evaluator into one file, so that others can verify them."""
    from dvbench import console
    from dvbench.submission.pack import pack, summary

    for line in summary(pack(results, evaluator, about, out)):
        console.say(line)


def verify(
    bundle: Annotated[
        Path,
        typer.Argument(help="A .zip file, the submissions/NAME.json of a results folder, or a results folder."),
    ],
    sample: Annotated[
        int,
        typer.Option(
            min=0,
            help="Number of cells whose values are computed again, which runs the evaluator. They are drawn at random.",
        ),
    ] = 0,
    into: Annotated[
        Path | None,
        typer.Option(
            help="Results folder to which the bundle is copied, with the recomputed scores, if there is no mismatch.",
            metavar="RESULTS",
        ),
    ] = None,
    tolerance: Annotated[
        float | None,
        typer.Option(
            min=0,
            help="A score may differ by this much: 0.01 is 1% of a score above 1, and 0.01 of a smaller one. Values "
            "that are computed again may differ by this fraction of their range, or more if they come from another "
            "processor and their ranks and scores agree. By default 0.01 for results of this kind of processor and of "
            "these versions of torch and numpy, and 0.05 for others.",
        ),
    ] = None,
    suite: Annotated[
        list[str] | None,
        typer.Option(help="Verify only this suite of a results folder. Repeatable. By default all suites."),
    ] = None,
    evaluator: Annotated[
        list[str] | None,
        typer.Option(help="Verify only this evaluator of a results folder. Repeatable. By default all evaluators."),
    ] = None,
    trust: Annotated[
        list[str] | None,
        typer.Option(help="A 'module:Class' that may be imported and run. Repeatable.", metavar="NAME"),
    ] = None,
    jobs: Annotated[
        int | None,
        typer.Option(
            min=0,
            help="Number of worker processes. By default one for each core. 0 computes all but evaluators in this "
            "process.",
        ),
    ] = None,
    cell_timeout: Annotated[
        float,
        typer.Option(
            min=1,
            help="Seconds in which a cell must be scored, and valued if that is done. The scores of a bundle have "
            "four times as long. What takes longer remains claimed.",
        ),
    ] = 1800,
    device: DeviceOption = Device.auto,
    mirror: MirrorOption = None,
    fresh_seeds: Annotated[
        int,
        typer.Option(
            min=0,
            max=1000,
            help="Number of seeds that nobody could know before, on which every problem is valued and scored too. They "
            "derive from a secret. Its SHA-256 is printed first, and the secret is recorded afterwards.",
        ),
    ] = 0,
    all_remarks: Annotated[
        bool, typer.Option("--all-remarks", help="List all remarks of one kind, and not the first three.")
    ] = False,
    only_claimed: Annotated[
        bool,
        typer.Option(
            "--only-claimed",
            help="Leave out the scores of cells that --into records as verified and that have not changed since.",
        ),
    ] = False,
    secret: Annotated[
        typer.FileText | None,
        typer.Option(
            help="File with the secret, one line of at least 32 characters, or '-' for standard input, which the "
            "evaluator cannot read. By default it is drawn at random.",
            metavar="FILE",
        ),
    ] = None,
) -> None:
    """Verify results: the form of the files, the plans, and every score, which is computed again from the values.

    Nothing in a bundle is executed. --sample and --fresh-seeds run evaluators that are installed, or named by --trust,
    in processes of their own that are given arrays alone. The exit code is 1 if there is a mismatch, and 2 if the
    bundle is refused.
    """
    from dvbench import console
    from dvbench.submission.verify import Options
    from dvbench.submission.verify import verify as verify_bundle

    options = Options(
        tolerance=tolerance,
        sample=sample,
        into=into,
        suites=tuple(suite or ()),
        evaluators=tuple(evaluator or ()),
        trusted=tuple(trust or ()),
        device=device.value,
        jobs=jobs,
        mirror=mirror,
        cell_timeout=cell_timeout,
        fresh_seeds=fresh_seeds,
        secret=_read_secret(secret),
        all_remarks=all_remarks,
        only_claimed=only_claimed,
    )
    try:
        verification = verify_bundle(bundle, options, console.say, console.reporting)
    except KeyboardInterrupt:
        console.err.print("interrupted: nothing was copied or recorded")
        raise
    if not verification.ok:
        raise typer.Exit(1)


def _read_secret(file: typer.FileText | None) -> str | None:
    try:
        return None if file is None else file.read(10_000)
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"cannot read the secret: {error}") from error


def new_evaluator(
    name: Annotated[str, typer.Argument(help="Name in lower case with underscores, such as 'margin_values'.")],
    out: Annotated[
        Path,
        typer.Option(
            help="Folder in which the folder of the evaluator is made. By default the current folder.", metavar="DIR"
        ),
    ] = Path(),
) -> None:
    """Start a new evaluator: write a folder with a working example, its test, and a form for submitting it."""
    from dvbench import console
    from dvbench.submission.new_evaluator import write_skeleton

    for line in write_skeleton(name, out):
        console.say(line)
