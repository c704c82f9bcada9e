"""The ``dvbench`` command: it reads arguments, calls the Python functions and prints what they return.

Heavy packages are imported inside commands, so that help texts and lists are printed at once.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from contextlib import suppress
from typing import Annotated, cast

import typer

from dvbench.cli import advice, cache, corpus_valuation, exact, results, selection, submission, valuation
from dvbench.cli.plugins import describe_command, list_command
from dvbench.cli.signals import ending_by_signals
from dvbench.errors import UserError
from dvbench.version import __version__

app = typer.Typer(
    help="Benchmark data valuation methods reproducibly.",
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
leaderboard_app = typer.Typer(help="Build tables and a static site from results.")


def _version(show: bool) -> None:
    if show:
        typer.echo(f"dvbench {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None: ...


app.command("run")(results.run)
app.command("value")(valuation.value)
app.command("select")(selection.select)
app.command("advise")(advice.advise)
app.command("value-corpus")(corpus_valuation.value_corpus)
app.command("submit")(submission.submit)
app.command("verify")(submission.verify)
app.command("new-evaluator")(submission.new_evaluator)
app.command("list")(list_command)
app.command("describe")(describe_command)
leaderboard_app.command("build")(results.build)
leaderboard_app.command("publish")(results.publish)
app.command("merge")(results.merge)
app.command("figures")(results.figures)
app.add_typer(leaderboard_app, name="leaderboard")
app.add_typer(exact.app, name="exact")
app.add_typer(cache.app, name="cache")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line.

    Parameters
    ----------
    arguments : sequence of str, optional
        By default those of the process.

    Returns
    -------
    int
        Exit code: 0 if all went well, 1 if a cell failed or a claim was not confirmed, 2 for an error that the user can
        correct, 128 and the number of the signal if one ended the command: 130 after Ctrl-C, 143 after SIGTERM.
    """
    with ending_by_signals() as received:
        code = _run(sys.argv[1:] if arguments is None else list(arguments))
    return 128 + received[0] if received else code


def _run(words: Sequence[str]) -> int:
    """Run the command line, print an error in one line, and return the exit code."""
    # click's UsageError: typer brings its own click along and does not name it.
    usage_error = cast("type[typer.BadParameter]", typer.BadParameter.__bases__[0])
    try:
        code = app(args=list(words) or ["--help"], prog_name="dvbench", standalone_mode=False)
        return code if isinstance(code, int) else 0
    except UserError as error:
        message = str(error)
    except usage_error as error:
        command = error.ctx.command_path if error.ctx else "dvbench"
        text = " ".join(error.format_message().split()).replace("Value error, ", "")
        message = f"{text} (see '{command} --help')"
    except (KeyboardInterrupt, typer.Abort):
        return 130
    except OSError as error:
        message = f"{error.filename or 'a file'}: {error.strerror or error}; choose a path that you can read and write"
    from dvbench.console import error as show_error

    with suppress(OSError):  # the terminal may be gone
        show_error(message)
    return 2
