"""The command that values a user's own corpus of texts: ``value-corpus``."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dvbench.cli.options import Device, DeviceOption, parse_seeds
from dvbench.errors import UserError, validation_message

if TYPE_CHECKING:
    from dvbench.execution.corpus_estimates import CorpusValue, Estimate
    from dvbench.settings import Training

MODELS = {
    "full": "as it is",
    "unlearned": "after it has unlearned the corpus",
    "alone": "trained on the corpus alone",
    "untrained": "with random weights",
}
PARTS = {
    "unlearning": "[unlearned - full]: what the model loses without the corpus",
    "alone": "[untrained - alone]: what the corpus teaches on its own",
    "value": "value: half of the sum",
}


class Parameters(StrEnum):
    """Parameters of the model that unlearning changes."""

    all = "all"
    head = "head"
    lora = "lora"


class Precision(StrEnum):
    """Precision of matrix multiplications."""

    float32 = "float32"
    bfloat16 = "bfloat16"


def value_corpus(
    model: Annotated[Path, typer.Option(help="Folder with a causal language model and its tokenizer.", metavar="DIR")],
    target: Annotated[
        list[Path], typer.Option(help="File with texts of the corpus to value. Repeatable.", metavar="FILE")
    ],
    test: Annotated[
        list[Path],
        typer.Option(help="File with test texts, on which the loss is measured. Repeatable.", metavar="FILE"),
    ],
    held_out: Annotated[
        list[Path] | None,
        typer.Option(
            help="File with texts of the kind of the corpus that the model was not trained on. The corpus is unlearned "
            "until the model knows it no better than these texts; without them, no better than models that are trained "
            "on one half of the corpus know the other. Repeatable.",
            metavar="FILE",
        ),
    ] = None,
    forgotten_at: Annotated[
        float | None,
        typer.Option(
            help="Log loss of the corpus, in nats per token, at which it counts as forgotten; in place of --held-out."
        ),
    ] = None,
    column: Annotated[
        str, typer.Option(help="Column with the texts in .jsonl, .json, .csv and .parquet files.")
    ] = "text",
    target_column: Annotated[
        str | None, typer.Option(help="The column in --target and --held-out files, if it has another name.")
    ] = None,
    test_column: Annotated[str | None, typer.Option(help="The column in --test files, if it has another name.")] = None,
    length: Annotated[
        int | None,
        typer.Option(
            min=2,
            help="Number of tokens that the model reads at a time; longer texts are cut into pieces. By default 768, "
            "or as many as the model takes if these are fewer.",
        ),
    ] = None,
    parameters: Annotated[
        Parameters,
        typer.Option(
            help="Parameters that unlearning changes: all, those of the output layer (head), or low-rank adapters."
        ),
    ] = Parameters.all,
    steps: Annotated[int, typer.Option(min=1, help="Largest number of optimiser steps of unlearning.")] = 100,
    unlearning_batch: Annotated[int, typer.Option(min=1, help="Number of texts in a step of unlearning.")] = 8,
    unlearning_lr: Annotated[
        float,
        typer.Option(min=0, help="First learning rate of unlearning; it is raised until the corpus is forgotten."),
    ] = 2e-5,
    epochs: Annotated[int, typer.Option(min=1, help="Number of epochs of training a model on the corpus alone.")] = 5,
    batch_size: Annotated[int, typer.Option(min=1, help="Number of texts in a step of training.")] = 32,
    lr: Annotated[float, typer.Option(min=0, help="Learning rate of training.")] = 3e-4,
    precision: Annotated[Precision, typer.Option(help="Precision of matrix multiplications.")] = Precision.float32,
    seeds: Annotated[
        str, typer.Option(help="Seeds such as '0-4' or '0,3'. All is repeated with each; one seed has no interval.")
    ] = "0-4",
    device: DeviceOption = Device.auto,
    out: Annotated[
        Path | None,
        typer.Option(help="JSON file to which the result is written. By default it is only printed.", metavar="FILE"),
    ] = None,
) -> None:
    """Compute the value of a corpus for a language model that was trained on this corpus and on other data.

    The other data is not needed. The log loss of the test texts is compared between four models: the given one (full),
    the same after it has unlearned the corpus (unlearned), one of its architecture that is trained on the corpus alone
    (alone), and one with random weights (untrained). The value is 1/2 ([unlearned - full] + [untrained - alone]). How
    far the corpus is unlearned is chosen, see --held-out. Numbers that cannot be a value are refused.

    Files are .txt with texts separated by blank lines, .jsonl, .json, .csv or .parquet.
    """
    from dvbench import console
    from dvbench.execution.environment import check_device
    from dvbench.execution.value_corpus import Texts, Unlearning
    from dvbench.execution.value_corpus import value_corpus as compute_value

    numbers = parse_seeds(seeds) or []
    check_device(device.value)
    corpus = compute_value(
        model,
        Texts(target, target_column or column),
        Texts(test, test_column or column),
        Texts(held_out, target_column or column) if held_out else None,
        length=length,
        training=_training(epochs, batch_size, lr, precision),
        unlearning=Unlearning(parameters.value, steps, unlearning_batch, unlearning_lr, forgotten_at),
        seeds=numbers,
        device=device.value,
        out=out,
        say=console.say,
    )
    if corpus.runs:
        _show(corpus)
    if out is not None:
        console.say(f"result: {out}")
    if corpus.refused is not None:
        raise UserError(f"this is no value: {corpus.refused}")


def _training(epochs: int, batch_size: int, lr: float, precision: Precision) -> Training:
    from pydantic import ValidationError

    from dvbench.settings import Training

    try:
        return Training(epochs=epochs, batch_size=batch_size, lr=lr, precision=precision.value)
    except ValidationError as error:
        raise UserError(validation_message(error)) from error


def _show(corpus: CorpusValue) -> None:
    from dvbench import console
    from dvbench.execution.corpus_estimates import FORMULA, UNITS, WEAKER
    from dvbench.problems.perplexity import perplexity

    losses = corpus.losses()
    models = [[name, MODELS[name], f"{loss:,.4f}", f"{perplexity(loss):,.2f}"] for name, loss in losses.items()]
    console.table(["model", "", "log loss of the test texts", "perplexity"], models)
    console.say(FORMULA)
    estimates = {unit: corpus.estimates(unit) for unit in UNITS}
    parts = [name for name in PARTS if name != "value" or corpus.refused is None]
    console.table(
        ["", "by log loss, in nats per token", "by perplexity"],
        [[PARTS[part], *(_with_interval(estimates[unit][part]) for unit in UNITS)] for part in parts],
    )
    seeds = len(corpus.runs)
    intervals = "One seed has no interval" if seeds == 1 else f"Means of {seeds} seeds with 95% intervals"
    console.say(f"{intervals}. How far unlearning is from retraining is not in it: docs/corpus-values.md.")
    if corpus.refused is None:
        (low, high), (low_p, high_p) = (corpus.range_of_strengths(unit) for unit in UNITS)
        console.say(
            f"If {WEAKER:g} to {corpus.reach:.2g} times as much is forgotten, the value is {low:,.4g} to {high:,.4g} "
            f"nats per token, {low_p:,.4g} to {high_p:,.4g} by perplexity."
        )
    console.say(
        f"Unlearning took {corpus.unlearn_seconds:.1f} s, training on the corpus alone {corpus.train_seconds:.1f} s, "
        f"with at most {corpus.peak_memory / 1e9:.2f} GB of memory."
    )


def _with_interval(estimate: Estimate) -> str:
    mean = f"{estimate.mean:,.4g}"
    return mean if estimate.low is None else f"{mean} [{estimate.low:,.4g}, {estimate.high:,.4g}]"
