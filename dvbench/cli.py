"""The ``dvbench`` command. Heavy packages are imported inside commands, so that help and lists answer at once."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from contextlib import closing
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer

from dvbench.errors import UserError, unknown
from dvbench.version import __version__

if TYPE_CHECKING:
    from dvbench.results import Store
    from dvbench.suite import Suite

app = typer.Typer(
    help="Benchmark data valuation methods, reproducibly.",
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
leaderboard_app = typer.Typer(help="Build tables and a static site from results.")
app.add_typer(leaderboard_app, name="leaderboard")

RUNS = Path("runs")


class Device(StrEnum):
    """Where models live."""

    auto = "auto"
    cpu = "cpu"
    cuda = "cuda"


class Parameters(StrEnum):
    """What unlearning moves."""

    all = "all"
    head = "head"
    lora = "lora"


class Digits(StrEnum):
    """How precise products are."""

    float32 = "float32"
    bfloat16 = "bfloat16"


class Listing(StrEnum):
    """What can be listed."""

    evaluators = "evaluators"
    datasets = "datasets"
    models = "models"
    tasks = "tasks"
    unlearning = "unlearning"
    suites = "suites"


Mirror = Annotated[
    Path | None,
    typer.Option(help="Folder laid out like the Hugging Face hub, used first; also DVBENCH_MIRROR.", metavar="DIR"),
]


def _version(asked: bool) -> None:
    if asked:
        typer.echo(f"dvbench {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="Show it.")] = False,
) -> None: ...


@app.command()
def run(
    suite: Annotated[str, typer.Argument(help="A suite's name ('dvbench list suites') or a .toml file.")],
    evaluator: Annotated[
        list[str] | None, typer.Option(help="Only this one; or another, or your own 'module:Class'. Repeatable.")
    ] = None,
    dataset: Annotated[
        list[str] | None, typer.Option(help="Only this one; or another, or 'csv:PATH?label=COLUMN'. Repeatable.")
    ] = None,
    task: Annotated[list[str] | None, typer.Option(help="Only this one. Repeatable.")] = None,
    seeds: Annotated[str | None, typer.Option(help="Instead of the suite's, such as '0-4' or '0,3'.")] = None,
    results: Annotated[Path, typer.Option(help="Folder for results; what is there is not done again.")] = RUNS,
    jobs: Annotated[
        int | None, typer.Option(min=0, help="Cells at a time; by default one a core, or one on a GPU. 0: here.")
    ] = None,
    device: Annotated[Device, typer.Option(help="Where models live.")] = Device.auto,
    mirror: Mirror = None,
    fresh: Annotated[bool, typer.Option("--fresh", help="Do cells again that are done.")] = False,
) -> None:
    """Run a suite: value, score, store results and build a leaderboard.

    Cells that are done are not done again. Ctrl-C keeps what is valued or done. The exit code is 1 if a cell failed.
    """
    from dvbench.execution.environment import check_device, default_jobs
    from dvbench.execution.planning import check, narrow
    from dvbench.execution.workers import start_server
    from dvbench.results import Store
    from dvbench.suite import load_suite

    _use_mirror(mirror)
    chosen = narrow(load_suite(suite), evaluator or (), dataset or (), task or (), _seeds(seeds))
    check_device(device.value)
    jobs = default_jobs(device.value) if jobs is None else jobs
    start_server(jobs)
    check(chosen)
    store = Store(results)
    failed = _run(chosen, store, jobs, device.value, fresh)
    _show(store, chosen.name)
    if failed:
        raise typer.Exit(1)


def _run(suite: Suite, store: Store, jobs: int, device: str, fresh: bool) -> bool:
    """Run what is left of a suite; whether a cell failed."""
    from dvbench import console
    from dvbench.execution.planning import make_plan, merged
    from dvbench.execution.resume import unfinished
    from dvbench.execution.workers import run_here, run_in_workers

    plan = make_plan(suite)
    before = store.plan(suite.name)
    if fresh:
        for cell in plan.cells:
            store.remove(cell.key)
    todo = [cell for cell in plan.cells if unfinished(cell, store)]
    store.write_plan(merged(plan, before))
    done = len(plan.cells) - len(todo)
    where = f"{jobs} at a time" if jobs else "in this process"
    console.out.print(f"{suite.name}: {len(plan.cells)} cells, {done} done before, {len(todo)} to do, {where}")
    with console.reporting(len(todo)) as report:
        show = report.on_valued
        stream = run_in_workers(todo, store, device, jobs, show) if jobs else run_here(todo, store, device, show)
        try:
            with closing(stream):
                for result in stream:
                    report(result)
        except KeyboardInterrupt:
            console.err.print(
                f"interrupted: {done + report.finished} of {len(plan.cells)} cells are done and {report.valued} more "
                f"valued, in {store.root}; the same command goes on from there"
            )
            raise typer.Exit(130) from None
    return bool(report.failed)


def _show(store: Store, suite: str) -> None:
    """Print a suite's summary and build the leaderboard of all suites in the results folder."""
    from dvbench import console
    from leaderboard.build import build
    from leaderboard.index import open_index
    from leaderboard.suite_scores import suite_scores
    from leaderboard.tables import rows_for_console

    with open_index(store, suite) as index:
        headers, rows = rows_for_console(suite_scores(index))
    console.table(headers, rows)
    page = next(path for path in build(store.root, store.root / "leaderboard") if path.suffix == ".html")
    console.out.print(f"leaderboard: {page}", soft_wrap=True)


@app.command()
def value(
    data: Annotated[Path, typer.Argument(help="A CSV file with a header; every other column is a feature.")],
    label: Annotated[str, typer.Option(help="Column to predict.", metavar="COLUMN")],
    out: Annotated[Path, typer.Option(help="CSV file to write.")],
    group: Annotated[
        str | None, typer.Option(help="Column that says whose row it is; value its groups.", metavar="COLUMN")
    ] = None,
    evaluator: Annotated[str, typer.Option(help="An evaluator's name, or 'module:Class'.")] = "chg_shapley",
    model: Annotated[str, typer.Option(help="A model's name.")] = "logistic_regression",
    folds: Annotated[int, typer.Option(min=2, help="Parts; each is the validation set once.")] = 5,
    seed: Annotated[int, typer.Option(min=0)] = 0,
    device: Annotated[Device, typer.Option(help="Where the model lives.")] = Device.auto,
) -> None:
    """Value the rows of your own table, or groups of them; also draws the most and the least valuable ones.

    The table is cut into folds; each is the validation set once, while the rows of all others are valued. A row's value
    is the mean over the folds in which it was valued. With --group the values are those of whole groups: what is each
    provider's data worth?
    """
    from dvbench import console
    from dvbench.execution.environment import check_device
    from dvbench.execution.value_table import value_table

    check_device(device.value)
    figure = value_table(data, label, out, evaluator, model, folds, seed, device.value, group)
    console.out.print(f"values: {out}\nfigure: {figure}", soft_wrap=True)


@app.command("value-corpus")
def value_corpus(
    model: Annotated[Path, typer.Option(help="Folder of a causal language model and its tokenizer.", metavar="DIR")],
    target: Annotated[list[Path], typer.Option(help="File of the corpus to value. Repeatable.", metavar="FILE")],
    test: Annotated[list[Path], typer.Option(help="File of texts to judge the model by. Repeatable.", metavar="FILE")],
    column: Annotated[str, typer.Option(help="Column of texts in .jsonl, .csv and .parquet files.")] = "text",
    length: Annotated[int, typer.Option(min=2, help="Tokens that a text is cropped to.")] = 768,
    parameters: Annotated[Parameters, typer.Option(help="What unlearning moves.")] = Parameters.all,
    steps: Annotated[int, typer.Option(min=1, help="Of unlearning.")] = 100,
    unlearning_batch: Annotated[int, typer.Option(min=1, help="Texts in a step of unlearning.")] = 8,
    unlearning_lr: Annotated[float, typer.Option(min=0, help="Learning rate of unlearning.")] = 2e-5,
    epochs: Annotated[int, typer.Option(min=1, help="Of training on the corpus alone.")] = 5,
    batch_size: Annotated[int, typer.Option(min=1, help="Texts in a step of training.")] = 32,
    lr: Annotated[float, typer.Option(min=0, help="Learning rate of training.")] = 3e-4,
    precision: Annotated[Digits, typer.Option(help="Of products.")] = Digits.float32,
    seed: Annotated[int, typer.Option(min=0)] = 0,
    device: Annotated[Device, typer.Option(help="Where models live.")] = Device.auto,
    out: Annotated[Path | None, typer.Option(help="JSON file for the result.", metavar="FILE")] = None,
) -> None:
    """Value a corpus to a language model that was trained on it and on more, which need not be at hand.

    Perplexities of the test texts are compared: by the model as it is, after it has unlearned the corpus, by one of its
    shape trained on the corpus alone, and by one untrained. Files are .txt with paragraphs, .jsonl, .csv or .parquet.
    """
    from pydantic import ValidationError

    from dvbench import console
    from dvbench.errors import describe_error
    from dvbench.execution.environment import check_device
    from dvbench.execution.value_corpus import Unlearning
    from dvbench.execution.value_corpus import value_corpus as value_it
    from dvbench.settings import Training

    check_device(device.value)
    try:
        training = Training(epochs=epochs, batch_size=batch_size, lr=lr, precision=precision.value)
    except ValidationError as error:
        raise UserError(describe_error(error)) from error
    found = value_it(
        model,
        target,
        test,
        column=column,
        length=length,
        training=training,
        unlearning=Unlearning(parameters.value, steps, unlearning_batch, unlearning_lr),
        seed=seed,
        device=device.value,
        out=out,
        say=console.say,
    )
    names = ("as it is", "without the corpus, by unlearning", "trained on the corpus alone", "untrained")
    rows = zip(names, (found.full, found.unlearned, found.alone, found.untrained), strict=True)
    console.table(["model", "perplexity of the test texts"], [[name, f"{each:,.2f}"] for name, each in rows])
    console.say(f"value by perplexity: {found.value:,.4g}; by log loss: {found.log_value:,.4g} nats a token")
    console.say(
        f"unlearning took {found.unlearn_seconds:.1f} s, training on the corpus alone {found.train_seconds:.1f} s, "
        f"at most {found.peak_memory / 1e9:.2f} GB of memory"
    )


@app.command()
def submit(
    results: Annotated[Path, typer.Argument(help="Folder of results.")],
    evaluator: Annotated[str, typer.Option(help="Its name in the results, or 'module:Class'.", metavar="NAME")],
    about: Annotated[Path, typer.Option(help="TOML file that says what it is and whose.")] = Path("submission.toml"),
    out: Annotated[Path | None, typer.Option(help="By default NAME.zip.", metavar="FILE.zip")] = None,
) -> None:
    """Pack all results of an evaluator, so that others can verify them."""
    from dvbench import console
    from dvbench.submission.pack import pack, summary

    for line in summary(pack(results, evaluator, about, out)):
        console.say(line)


@app.command()
def verify(
    bundle: Annotated[Path, typer.Argument(help="A .zip, a landed submissions/NAME.json, or a folder of results.")],
    sample: Annotated[int, typer.Option(min=0, help="So many cells are valued again; runs the evaluator.")] = 0,
    into: Annotated[
        Path | None, typer.Option(help="Folder of results to copy it to if all is well.", metavar="RESULTS")
    ] = None,
    tolerance: Annotated[float, typer.Option(min=0, help="By how much a number may deviate.")] = 0.01,
    suite: Annotated[list[str] | None, typer.Option(help="Of a folder of results, only this one. Repeatable.")] = None,
    evaluator: Annotated[
        list[str] | None, typer.Option(help="Of a folder of results, only this one. Repeatable.")
    ] = None,
    trust: Annotated[
        list[str] | None, typer.Option(help="A 'module:Class' that may be imported. Repeatable.", metavar="NAME")
    ] = None,
    jobs: Annotated[
        int | None, typer.Option(min=0, help="Processes; by default one a core. 0: in this process.")
    ] = None,
    device: Annotated[Device, typer.Option(help="Where models live.")] = Device.auto,
    mirror: Mirror = None,
) -> None:
    """Verify results: their form, their plans, and every score, which is computed again from the values.

    Nothing in a bundle is executed; --sample runs evaluators that are installed, or named by --trust. The exit code is
    1 if something is not as claimed, and 2 if the bundle is refused.
    """
    from dvbench import console
    from dvbench.execution.environment import check_device
    from dvbench.execution.workers import start_server
    from dvbench.submission.verify import Options
    from dvbench.submission.verify import verify as verify_bundle

    _use_mirror(mirror)
    check_device(device.value)
    jobs = os.cpu_count() or 1 if jobs is None else jobs
    start_server(jobs)
    only = {"suites": tuple(suite or ()), "evaluators": tuple(evaluator or ()), "trusted": tuple(trust or ())}
    options = Options(tolerance=tolerance, sample=sample, into=into, device=device.value, jobs=jobs, **only)
    if not verify_bundle(bundle, options, console.say):
        raise typer.Exit(1)


@app.command("new-evaluator")
def new_evaluator(
    name: Annotated[str, typer.Argument(help="In lower case with underscores, such as 'margin_values'.")],
    out: Annotated[Path, typer.Option(help="Folder in which its folder is made.", metavar="DIR")] = Path(),
) -> None:
    """Begin an evaluator: a folder with one that works, its test, and what to fill in to submit it."""
    from dvbench import console
    from dvbench.submission.new_evaluator import write_skeleton

    for line in write_skeleton(name, out):
        console.say(line)


@app.command("list")
def list_(what: Annotated[Listing, typer.Argument(help="What to list.")]) -> None:
    """List what can be named; 'unlearning' are the unlearning methods."""
    from dvbench.console import table
    from dvbench.registry import KINDS, entries

    rows = [[name, _suite_summary(path)] for name, path in _suite_files().items() if what is Listing.suites]
    for kind in KINDS:
        if kind == what.value:
            rows = [[name, entry.summary] for name, entry in entries(kind).items()]
    table([what.value.removesuffix("s"), "what it is"], rows)


@app.command()
def describe(
    name: Annotated[str, typer.Argument(help="An evaluator, data set, model, task, unlearning method or suite.")],
) -> None:
    """Say what something is, its parameters and its reference."""
    from dvbench import console
    from dvbench.registry import KINDS, entries, find, singular

    if name in _suite_files():
        path = _suite_files()[name]
        console.out.print(f"{name} (suite, {path})\n", soft_wrap=True)
        console.out.print(path.read_text(encoding="utf-8"), markup=False, soft_wrap=True)
        return
    for kind in KINDS:
        try:
            entry = find(kind, name)
        except UserError:
            continue
        if not entry.docstring:
            continue
        console.out.print(f"{entry.name} ({singular(kind)}, {entry.target})\n", soft_wrap=True)
        console.out.print(entry.docstring, markup=False, soft_wrap=True)
        for key, setting in entry.definition.metadata.items():
            console.out.print(f"\n{key.replace('_', ' ')}: {setting}", markup=False, end="")
        console.out.print()
        return
    names = {*_suite_files(), *(known for kind in KINDS for known in entries(kind))}
    raise unknown("evaluator, data set, model, task, unlearning method or suite", name, names)


@leaderboard_app.command()
def build(
    results: Annotated[Path, typer.Option(help="Folder of results.")] = RUNS,
    out: Annotated[Path | None, typer.Option(help="Folder to write; by default 'leaderboard' in the results.")] = None,
) -> None:
    """Write Markdown, CSV and a static site from results; open its index.html."""
    from leaderboard.build import build as build_pages

    for path in build_pages(results, out or results / "leaderboard"):
        typer.echo(path)


@app.command()
def figures(
    suite: Annotated[str, typer.Argument(help="A suite with results.")],
    results: Annotated[Path, typer.Option(help="Folder of results.")] = RUNS,
    out: Annotated[
        Path | None, typer.Option(help="Folder to write; by default 'figures/SUITE' in the results.")
    ] = None,
) -> None:
    """Write the papers' tables and figures from results, beside the numbers published."""
    from leaderboard.figures import write_figures

    for path in write_figures(results, suite, out or results / "figures" / suite):
        typer.echo(path)


def _suite_files() -> dict[str, Path]:
    # As dvbench.suites has it, without importing pydantic.
    return {path.stem: path for path in sorted((Path(__file__).parent / "suites").glob("*.toml"))}


def _suite_summary(path: Path) -> str:
    import tomllib

    return str(tomllib.loads(path.read_text(encoding="utf-8"))["description"])


def _seeds(text: str | None) -> list[int] | None:
    """Parse ``0-4`` or ``0,3``."""
    if text is None:
        return None
    try:
        seeds: list[int] = []
        for part in text.split(","):
            first, dash, last = part.partition("-")
            seeds += range(int(first), int(last) + 1) if dash else [int(first)]
    except ValueError:
        seeds = []
    if not seeds or len(set(seeds)) != len(seeds):
        raise UserError(f"seeds are numbers such as '0-4' or '0,3', each once, not '{text}'")
    return seeds


def _use_mirror(mirror: Path | None) -> None:
    """Name the mirror to this process and its workers."""
    if mirror is not None:
        os.environ["DVBENCH_MIRROR"] = str(mirror.resolve())


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line.

    Parameters
    ----------
    arguments : sequence of str, optional
        By default those of the process.

    Returns
    -------
    int
        Exit code: 0, 1 if a cell failed, 2 for an error the user can mend, 130 after Ctrl-C.
    """
    # click's UsageError: typer brings its own click along and does not name it.
    usage_error = cast("type[typer.BadParameter]", typer.BadParameter.__bases__[0])
    words = sys.argv[1:] if arguments is None else list(arguments)
    try:
        code = app(args=words or ["--help"], prog_name="dvbench", standalone_mode=False)
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

    show_error(message)
    return 2


if __name__ == "__main__":
    sys.exit(main())
