"""The commands that value a user's own data: ``value`` and ``value-corpus``."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dvbench.cli.options import Device, DeviceOption
from dvbench.errors import UserError

if TYPE_CHECKING:
    from dvbench.execution.value_corpus import CorpusValue


class Parameters(StrEnum):
    """Parameters of the model that unlearning changes."""

    all = "all"
    head = "head"
    lora = "lora"


class Precision(StrEnum):
    """Precision of matrix multiplications."""

    float32 = "float32"
    bfloat16 = "bfloat16"


class Kind(StrEnum):
    """Kind of a table's problem."""

    classification = "classification"
    regression = "regression"


class Utility(StrEnum):
    """What a model is judged by."""

    accuracy = "accuracy"
    log_loss = "log_loss"
    mse = "mse"


class Decimal(StrEnum):
    """Decimal mark of numbers."""

    point = "."
    comma = ","


SeedOption = Annotated[int, typer.Option(min=0, help="Seed of all random numbers.")]


def value(
    data: Annotated[Path, typer.Argument(help="Table: .csv, .tsv, .parquet, .xlsx or .jsonl.")],
    label: Annotated[
        str | None, typer.Option(help="Column to predict. By default it is guessed, and said.", metavar="COLUMN")
    ] = None,
    group: Annotated[
        str | None,
        typer.Option(
            help="Column that names the group of each row, such as its provider. Groups are valued instead of rows.",
            metavar="COLUMN",
        ),
    ] = None,
    evaluator: Annotated[
        str | None,
        typer.Option(
            help="Name of an evaluator, or 'module:Class' for your own. By default one that published results "
            "recommend, and the reason is said."
        ),
    ] = None,
    model: Annotated[
        str, typer.Option(help="Name of a model, or 'module:function' for your own.")
    ] = "logistic_regression",
    utility: Annotated[
        Utility | None, typer.Option(help="What a model is judged by, if the evaluator judges models.")
    ] = None,
    kind: Annotated[Kind | None, typer.Option(help="Kind of problem. By default it follows from the label.")] = None,
    features: Annotated[
        list[str] | None,
        typer.Option(help="Use only this column as a feature. Repeatable.", metavar="COLUMN"),
    ] = None,
    drop: Annotated[
        list[str] | None, typer.Option(help="Do not use this column. Repeatable.", metavar="COLUMN")
    ] = None,
    types: Annotated[
        list[str] | None,
        typer.Option(
            "--as",
            help="Type of a column that is not to be guessed: number, category, date, text or identifier. Repeatable.",
            metavar="COLUMN=TYPE",
        ),
    ] = None,
    decimal: Annotated[
        Decimal | None, typer.Option(help="Decimal mark, where numbers can be read in two ways.")
    ] = None,
    valid: Annotated[
        Path | None,
        typer.Option(
            help="Table with the same columns on which models are judged. By default the rows are divided into folds.",
            metavar="FILE",
        ),
    ] = None,
    folds: Annotated[
        int, typer.Option(min=2, help="Number of parts of the table. Each part is the validation set once.")
    ] = 5,
    seed: SeedOption = 0,
    device: DeviceOption = Device.auto,
    out: Annotated[
        Path | None,
        typer.Option(
            help="CSV file to which the values are written; the picture lies beside it. By default DATA-values.csv, "
            "beside the table.",
            metavar="FILE",
        ),
    ] = None,
) -> None:
    """Compute the values of the rows of your own table, or of groups of rows, and draw the highest and lowest ones.

    The table is divided into folds. Each fold is the validation set once, while the rows of the other folds are valued.
    The value of a row is its mean over the folds in which it was valued. With --group, whole groups are valued: what is
    the data of each provider worth?
    """
    import dvbench
    from dvbench import console
    from dvbench.own_data.output import check_output, default_output

    path = check_output(data, default_output(data) if out is None else out, *([valid] if valid else []))
    values = dvbench.value(
        data,
        label=label,
        groups=group,
        evaluator=evaluator,
        model=model,
        validation=valid,
        utility=None if utility is None else utility.value,
        kind=None if kind is None else kind.value,
        features=features,
        drop=drop or (),
        types=dict(_pair(text) for text in types or ()),
        decimal=None if decimal is None else decimal.value,
        folds=folds,
        seed=seed,
        device=device.value,
        progress=True,
    )
    values.to_csv(path)
    values.plot(path.with_suffix(".png"))
    console.say(values.summary(reading=False))
    console.say(f"values: {path}")
    console.say(f"picture: {path.with_suffix('.png')}")


def _pair(text: str) -> tuple[str, str]:
    """Column and type of an option ``--as``."""
    column, equals, kind = text.rpartition("=")
    if not equals or not column or not kind:
        raise UserError(f"--as is COLUMN=TYPE, not '{text}'")
    return column, kind


def value_corpus(
    model: Annotated[Path, typer.Option(help="Folder with a causal language model and its tokenizer.", metavar="DIR")],
    target: Annotated[
        list[Path], typer.Option(help="File with texts of the corpus to value. Repeatable.", metavar="FILE")
    ],
    test: Annotated[
        list[Path],
        typer.Option(help="File with test texts, on which perplexity is measured. Repeatable.", metavar="FILE"),
    ],
    column: Annotated[str, typer.Option(help="Column with the texts in .jsonl, .csv and .parquet files.")] = "text",
    length: Annotated[
        int, typer.Option(min=2, help="Number of tokens of a text that are used; the rest is cut off.")
    ] = 768,
    parameters: Annotated[
        Parameters,
        typer.Option(
            help="Parameters that unlearning changes: all, those of the output layer (head), or low-rank adapters."
        ),
    ] = Parameters.all,
    steps: Annotated[int, typer.Option(min=1, help="Number of optimiser steps of unlearning.")] = 100,
    unlearning_batch: Annotated[int, typer.Option(min=1, help="Number of texts in a step of unlearning.")] = 8,
    unlearning_lr: Annotated[float, typer.Option(min=0, help="Learning rate of unlearning.")] = 2e-5,
    epochs: Annotated[int, typer.Option(min=1, help="Number of epochs of training a model on the corpus alone.")] = 5,
    batch_size: Annotated[int, typer.Option(min=1, help="Number of texts in a step of training.")] = 32,
    lr: Annotated[float, typer.Option(min=0, help="Learning rate of training.")] = 3e-4,
    precision: Annotated[Precision, typer.Option(help="Precision of matrix multiplications.")] = Precision.float32,
    seed: SeedOption = 0,
    device: DeviceOption = Device.auto,
    out: Annotated[
        Path | None,
        typer.Option(help="JSON file to which the result is written. By default it is only printed.", metavar="FILE"),
    ] = None,
) -> None:
    """Compute the value of a corpus for a language model that was trained on this corpus and on other data.

    The other data is not needed. The perplexity of the test texts is compared between four models: the given one, the
    given one after it has unlearned the corpus, one of the same architecture that is trained on the corpus alone, and
    an untrained one. Files are .txt with texts separated by blank lines, .jsonl, .csv or .parquet.
    """
    from pydantic import ValidationError

    from dvbench import console
    from dvbench.errors import validation_message
    from dvbench.execution.environment import check_device
    from dvbench.execution.value_corpus import Unlearning
    from dvbench.execution.value_corpus import value_corpus as compute_value
    from dvbench.settings import Training

    check_device(device.value)
    try:
        training = Training(epochs=epochs, batch_size=batch_size, lr=lr, precision=precision.value)
    except ValidationError as error:
        raise UserError(validation_message(error)) from error
    corpus_value = compute_value(
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
    _show_corpus_value(corpus_value)


def _show_corpus_value(corpus: CorpusValue) -> None:
    from dvbench import console

    perplexities = {
        "as it is": corpus.full,
        "without the corpus, by unlearning": corpus.unlearned,
        "trained on the corpus alone": corpus.alone,
        "untrained": corpus.untrained,
    }
    rows = [[model, f"{perplexity:,.2f}"] for model, perplexity in perplexities.items()]
    console.table(["model", "perplexity of the test texts"], rows)
    console.say(f"value by perplexity: {corpus.value:,.4g}; by log loss: {corpus.log_value:,.4g} nats per token")
    console.say(
        f"unlearning took {corpus.unlearn_seconds:.1f} s, training on the corpus alone {corpus.train_seconds:.1f} s, "
        f"with at most {corpus.peak_memory / 1e9:.2f} GB of memory"
    )
