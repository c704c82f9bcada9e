"""Computes the value of a corpus for a language model by partial valuation, from the model and the corpus alone."""

from __future__ import annotations

import dataclasses
import itertools
import json
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dvbench.errors import UserError
from dvbench.execution.environment import current_environment, resolve_device, watch_memory
from dvbench.files import write_atomically
from dvbench.problems.text_corpora import read_texts
from dvbench.randomness import isolated_generators
from dvbench.registry import find
from dvbench.settings import Training
from dvbench.version import __version__

if TYPE_CHECKING:
    from dvbench.training.pretrained import Pretrained


@dataclass(frozen=True)
class Unlearning:
    """How the corpus is unlearned; see `dvbench.unlearning_methods.gradient_ascent.GradientAscent`."""

    parameters: str = "all"
    steps: int = 100
    batch_size: int = 8
    lr: float = 2e-5


@dataclass(frozen=True)
class CorpusValue:
    """The value of a corpus for a model, and the perplexities of the test texts from which it is computed.

    Parameters
    ----------
    full, unlearned, alone, untrained : float
        Perplexity of the given model, of the same model after it has unlearned the corpus, of a model of the same
        architecture trained on the corpus alone, and of an untrained one.
    train_seconds, unlearn_seconds : float
        Time to train on the corpus alone, and to unlearn the corpus.
    peak_memory : int
        Bytes of GPU memory if the model is on a GPU, otherwise of this process.
    """

    full: float
    unlearned: float
    alone: float
    untrained: float
    train_seconds: float
    unlearn_seconds: float
    peak_memory: int

    @property
    def value(self) -> float:
        """Partial Unlearning Shapley value with negative perplexity as the utility."""
        return self._half(self.full, self.unlearned, self.alone, self.untrained)

    @property
    def log_value(self) -> float:
        """Partial Unlearning Shapley value with negative mean log loss as the utility, in nats per token."""
        return self._half(*map(math.log, (self.full, self.unlearned, self.alone, self.untrained)))

    @staticmethod
    def _half(full: float, unlearned: float, alone: float, untrained: float) -> float:
        """``1/2 [v(D) + v(all) - v(rest)]``, where the utility is the negative of these costs."""
        return ((unlearned - full) + (untrained - full) - (alone - full)) / 2


def value_corpus(
    folder: Path,
    target: Sequence[Path],
    test: Sequence[Path],
    *,
    column: str,
    length: int,
    training: Training,
    unlearning: Unlearning,
    seed: int,
    device: str,
    out: Path | None,
    say: Callable[[str], None],
) -> CorpusValue:
    """Value a corpus for a model that was trained on it and on other data (Unlearning Shapley paper, Algorithm 2).

    Parameters
    ----------
    folder : Path
        Folder of the model, as transformers saves it.
    target, test : sequence of Path
        Files with the texts of the corpus, and with the test texts; no text may be in both.
    column : str
        Column with the texts, in files that have columns.
    length : int
        Number of tokens of a text that are used.
    training : Training
        How a model is trained on the corpus alone.
    unlearning : Unlearning
    seed : int
    device : str
    out : Path, optional
        JSON file for the result.
    say : callable
        Called with a line at each step.

    Returns
    -------
    CorpusValue

    Raises
    ------
    UserError
        If a file or the model cannot be read, has no text, or is too large; or training or unlearning diverged.
    """
    from dvbench.training.pretrained import load_pretrained

    if out is not None and not out.parent.is_dir():
        raise UserError(f"there is no folder {out.parent} to write {out.name} to")
    files = {"target": read_texts(target, column), "test": read_texts(test, column)}
    device = resolve_device(device)
    loaded = load_pretrained(folder, length, seed, training.weight_decay, training.precision, device)
    texts = {name: loaded.tokenise(content) for name, content in files.items()}
    for name, (x, _) in texts.items():
        say(f"{name}: {len(x):,} texts, {int((x >= 0).sum()):,} tokens, cropped to {loaded.length}")
    try:
        with isolated_generators(seed), watch_memory(device) as memory:
            corpus_value = _value(loaded, texts, training, unlearning, seed, say)
    except FloatingPointError as error:
        raise UserError(str(error)) from error
    corpus_value = dataclasses.replace(corpus_value, peak_memory=memory.peak_cuda or memory.peak)
    if out is not None:
        settings = {"length": loaded.length, "training": training.model_dump(), "seed": seed}
        settings |= {"unlearning": dataclasses.asdict(unlearning)}
        sizes = {name: {"texts": len(x), "tokens": int((x >= 0).sum())} for name, (x, _) in texts.items()}
        content = {
            "dvbench_version": __version__,
            "model": str(folder),
            **sizes,
            **dataclasses.asdict(corpus_value),
            "value": corpus_value.value,
            "log_value": corpus_value.log_value,
            "settings": settings,
            "environment": current_environment(device).model_dump(),
        }
        write_atomically(out, (json.dumps(content, indent=1) + "\n").encode())
    return corpus_value


def _value(
    loaded: Pretrained,
    texts: dict[str, Any],
    training: Training,
    unlearning: Unlearning,
    seed: int,
    say: Callable[[str], None],
) -> CorpusValue:
    make = find("evaluators", "partial_unlearning_shapley").load()
    method = {"name": "gradient_ascent", **dataclasses.asdict(unlearning), "weight_decay": training.weight_decay}
    evaluator = make(method=method, random_state=seed)
    started, epochs = time.perf_counter(), itertools.count(1)

    def on_epoch() -> None:
        say(f"training a model on the target alone: epoch {next(epochs)} of {training.epochs}")

    say("unlearning the target")
    fit = {"epochs": training.epochs, "batch_size": training.batch_size, "lr": training.lr, "on_epoch": on_epoch}
    utilities = evaluator.value(loaded.model, texts["target"], texts["test"], untrained=loaded.untrained, **fit)
    fits = loaded.untrained.fits
    unlearn_seconds = time.perf_counter() - started - (fits.seconds - fits.resumed_seconds)
    lost = (0.0, utilities.lost_by_unlearning, utilities.lost_by_rest, utilities.lost_by_all)
    full, unlearned, alone, untrained = (loss - utilities.full for loss in lost)  # utilities are negative perplexities
    return CorpusValue(full, unlearned, alone, untrained, fits.seconds, unlearn_seconds, 0)
