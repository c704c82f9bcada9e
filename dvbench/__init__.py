"""dvbench: a reproducible benchmark for data valuation, built on OpenDataVal.

The functions here do in Python what the command line does::

    import dvbench

    values = dvbench.value("mine.csv", label="kind").values
    kept = dvbench.select("mine.csv", fraction=0.3, label="kind").kept
    evaluator = dvbench.advise("mine.csv", label="kind", goal="find", budget=600).evaluator
    scores = dvbench.run("quick", evaluators=["knn_shapley", "my_module:MyEvaluator"], seeds=[0])
    scores = dvbench.load_results("runs")
    page = dvbench.build_leaderboard("runs")

Importing dvbench imports neither torch nor pandas.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from dvbench.deferred_imports import defer
from dvbench.own_tables import advise, select, value
from dvbench.version import __version__ as __version__

if TYPE_CHECKING:
    import pandas as pd

    from dvbench.submission.verify import Verification
    from dvbench.suite import Suite

defer()

__all__ = ["__version__", "advise", "build_leaderboard", "load_results", "run", "select", "value", "verify"]


def run(
    suite: str | Path | Suite,
    *,
    evaluators: Sequence[str | Mapping[str, Any]] | None = None,
    datasets: Sequence[str] | None = None,
    tasks: Sequence[str] | None = None,
    seeds: Sequence[int] | None = None,
    results: str | Path = "runs",
    jobs: int | None = None,
    device: str = "auto",
    mirror: str | Path | None = None,
    fresh: bool = False,
    cell_timeout: float | None = None,
    budget: float | None = None,
    on: Literal["here", "ray"] = "here",
    address: str | None = None,
    progress: bool | None = None,
) -> pd.DataFrame:
    """Run a suite: compute data values, score them and store the results. Finished cells are not computed again.

    Parameters
    ----------
    suite : str, Path or dvbench.suite.Suite
        Name of a suite, path of a TOML file, or a suite.
    evaluators : sequence of str or mapping, optional
        Evaluators to run, also others than the suite has: names, ``"module:Class"``, or mappings with ``name``, and
        optionally ``label`` and ``params``. By default all of the suite. In one of unlearning methods, such methods.
    datasets : sequence of str, optional
        Names, or ``"csv:PATH?label=COLUMN"``. One that the suite does not have replaces its first one. By default all.
    tasks : sequence of str, optional
        Tasks to score. By default all tasks of the suite.
    seeds : sequence of int, optional
        By default the seeds of the suite.
    results : str or Path
        Results folder.
    jobs : int, optional
        Number of cells that are computed at the same time, each in its own process. By default one for each core, or 1
        on a GPU. 0 computes all cells in this process, for debugging an evaluator; a crash then ends the run.
    device : {"auto", "cpu", "cuda"}
        Device on which models are trained; ``"auto"`` is a GPU if there is one.
    mirror : str or Path, optional
        Folder with the layout of the Hugging Face hub that is searched before the hub.
    fresh : bool
        Whether finished cells are computed again.
    cell_timeout : float, optional
        Seconds after which a valuation or a scoring has failed. By default that of the suite, or a day.
    budget : float, optional
        Time for the run in seconds; cells that do not fit are left out, see ``dvbench run --help``.
    on, address : str, optional
        With ``on="ray"`` cells are tasks of the Ray cluster at the address, by default of one on this machine.
    progress : bool, optional
        Whether progress is printed. By default only if standard output is a terminal.

    Returns
    -------
    pandas.DataFrame
        All scores of the suite in the results folder; see `load_results`. Cells that failed have the status
        ``"failed"``.

    Raises
    ------
    dvbench.errors.UserError
        If something does not exist, does not fit together, or cannot be read or written.
    """
    from dvbench.console import RunDisplay, out
    from dvbench.execution.planning import narrow
    from dvbench.execution.run import RunOptions, run_suite
    from dvbench.suite import Suite, load_suite

    whole = suite if isinstance(suite, Suite) else load_suite(str(suite))
    chosen = narrow(whole, evaluators or (), datasets or (), tasks or (), seeds)
    options = RunOptions(jobs, device, Path(mirror) if mirror else None, fresh, cell_timeout, None, budget, on, address)
    shown = out.is_terminal if progress is None else progress
    with RunDisplay(chosen.name) if shown else nullcontext() as display:
        run_suite(chosen, Path(results), options, display)
    return load_results(results, chosen.name)


def load_results(folder: str | Path, suite: str | None = None) -> pd.DataFrame:
    """Load scores and costs from a results folder.

    Parameters
    ----------
    folder : str or Path
        Results folder.
    suite : str, optional
        Name of a suite. By default all suites with results are loaded.

    Returns
    -------
    pandas.DataFrame
        One row for each planned score, with the columns ``suite``, ``problem``, ``dataset``, ``model``, ``noise``,
        ``players``, ``evaluator``, ``seed``, ``task``, ``metric`` (the headline metric), ``value`` (of that metric, NaN
        without a score), ``higher_is_better``, ``status`` (``"ok"``, ``"failed"``, ``"missing"`` or ``"declined"``),
        ``error``, ``seconds``, ``fits``, ``unlearned`` and ``peak_memory`` (bytes) of the valuation, ``device``,
        ``evaluator_version`` and ``mark`` (``"claimed"``, ``"recomputed"``, ``"re-run"`` or ``"re-run on fresh
        seeds"``).

    Raises
    ------
    dvbench.errors.UserError
        If there is no such folder or suite, or a file cannot be read.
    """
    from leaderboard.score_frame import score_frame

    return score_frame(Path(folder), suite)


def build_leaderboard(results: str | Path = "runs", out: str | Path | None = None) -> Path:
    """Build the leaderboard of all suites in a results folder: Markdown, CSV and a static site.

    Parameters
    ----------
    results : str or Path
        Results folder.
    out : str or Path, optional
        Folder to write to. By default the folder ``leaderboard`` in the results folder.

    Returns
    -------
    Path
        ``index.html``, where the site starts.

    Raises
    ------
    dvbench.errors.UserError
        If there are no results, or a file cannot be read or written.
    """
    from leaderboard.build import build

    return build(Path(results), Path(results, "leaderboard") if out is None else Path(out))[-1]


def verify(
    bundle: str | Path,
    *,
    sample: int = 0,
    into: str | Path | None = None,
    tolerance: float | None = None,
    suites: Sequence[str] = (),
    evaluators: Sequence[str] = (),
    trust: Sequence[str] = (),
    jobs: int | None = None,
    device: str = "auto",
    mirror: str | Path | None = None,
    fresh_seeds: int = 0,
    secret: str | None = None,
    progress: bool | None = None,
) -> Verification:
    """Verify results: the form of the files, the plans, and every score, which is computed again from the values.

    Nothing in a bundle is executed. ``sample`` and ``fresh_seeds`` run evaluators that are installed, or named by
    ``trust``, in processes of their own that are given arrays alone.

    Parameters
    ----------
    bundle : str or Path
        A .zip file, the ``submissions/NAME.json`` of a results folder, or a results folder.
    sample : int
        Number of cells, drawn at random, whose values are computed again.
    into : str or Path, optional
        Results folder to which the bundle is copied if there is no mismatch.
    tolerance : float, optional
        Largest difference of a number that is not a mismatch. It is relative for scores above 1, and for values
        relative to their range. By default 0.01 for results of this kind of processor and of these versions of torch
        and numpy, and 0.05 for others.
    suites, evaluators : sequence of str
        Of a results folder, verify only these.
    trust : sequence of str
        Evaluators ``"module:Class"`` that may be imported and run.
    jobs : int, optional
        Number of worker processes. By default one for each core. With 0, all but evaluators run in this process.
    device : {"auto", "cpu", "cuda"}
        Device on which models are trained.
    mirror : str or Path, optional
        Folder with the layout of the Hugging Face hub that is searched before the hub.
    fresh_seeds : int
        Number of seeds, derived from a secret, on which every problem is valued and scored too.
    secret : str, optional
        One line of at least 32 characters; by default random.
    progress : bool, optional
        Whether steps and remarks are printed. By default only if standard output is a terminal.

    Returns
    -------
    dvbench.submission.verify.Verification
        ``ok``, ``mismatches`` and ``counts``.

    Raises
    ------
    dvbench.errors.UserError
        If the bundle is refused.
    """
    from dvbench.console import out, reporting, say
    from dvbench.submission.verify import Options, no_reporting
    from dvbench.submission.verify import verify as verify_bundle

    options = Options(
        tolerance=tolerance,
        sample=sample,
        into=None if into is None else Path(into),
        suites=tuple(suites),
        evaluators=tuple(evaluators),
        trusted=tuple(trust),
        device=device,
        jobs=jobs,
        mirror=None if mirror is None else Path(mirror),
        fresh_seeds=fresh_seeds,
        secret=secret,
    )
    if out.is_terminal if progress is None else progress:
        return verify_bundle(Path(bundle), options, say, reporting)
    return verify_bundle(Path(bundle), options, lambda _: None, no_reporting)
