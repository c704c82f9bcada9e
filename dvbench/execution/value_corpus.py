"""The value of one's own corpus to a language model: partial valuation, from the model and that corpus alone."""

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
from dvbench.execution.environment import describe_environment, resolve_device, watch_memory
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
    """What a corpus is worth to a model, and the perplexities of the test texts that say so.

    Parameters
    ----------
    full, unlearned, alone, untrained : float
        Perplexity by the model as it is, after it has unlearned the corpus, of one of its shape trained on the corpus
        alone, and of one untrained.
    train_seconds, unlearn_seconds : float
        To train on the corpus alone, and to unlearn it.
    peak_memory : int
        Bytes: of the GPU if that is where the model lives.
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
        """Partial Unlearning Shapley value with negative perplexity for Perf."""
        return self._half(self.full, self.unlearned, self.alone, self.untrained)

    @property
    def log_value(self) -> float:
        """The same with negative mean log loss for Perf, in nats a token."""
        return self._half(*map(math.log, (self.full, self.unlearned, self.alone, self.untrained)))

    @staticmethod
    def _half(full: float, unlearned: float, alone: float, untrained: float) -> float:
        """``1/2 [v(D) + v(all) - v(rest)]`` of costs, of which Perf is the negative."""
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
    """Value a corpus by a model that was trained on it and on more (Algorithm 2 of the Unlearning Shapley paper).

    Parameters
    ----------
    folder : Path
        The model, as transformers saves it.
    target, test : sequence of Path
        Files of the corpus, and of the texts by which the model is judged; no text may be in both.
    column : str
        Of texts in files that have columns.
    length : int
        Tokens that texts are cropped to.
    training : Training
        How a model is trained on the corpus alone.
    unlearning : Unlearning
    seed : int
    device : str
    out : Path, optional
        JSON file for the result.
    say : callable
        Told what is being done.

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
    texts = {name: loaded.tokenise(found) for name, found in files.items()}
    for name, (x, _) in texts.items():
        say(f"{name}: {len(x):,} texts, {int((x >= 0).sum()):,} tokens, cropped to {loaded.length}")
    try:
        with isolated_generators(seed), watch_memory(device) as memory:
            found = _value(loaded, texts, training, unlearning, seed, say)
    except FloatingPointError as error:
        raise UserError(str(error)) from error
    found = dataclasses.replace(found, peak_memory=memory.peak_cuda or memory.peak)
    if out is not None:
        settings = {"length": loaded.length, "training": training.model_dump(), "seed": seed}
        settings |= {"unlearning": dataclasses.asdict(unlearning)}
        sizes = {name: {"texts": len(x), "tokens": int((x >= 0).sum())} for name, (x, _) in texts.items()}
        content = {
            "dvbench_version": __version__,
            "model": str(folder),
            **sizes,
            **dataclasses.asdict(found),
            "value": found.value,
            "log_value": found.log_value,
            "settings": settings,
            "environment": describe_environment(device).model_dump(),
        }
        write_atomically(out, (json.dumps(content, indent=1) + "\n").encode())
    return found


def _value(
    loaded: Pretrained,
    texts: dict[str, Any],
    training: Training,
    unlearning: Unlearning,
    seed: int,
    say: Callable[[str], None],
) -> CorpusValue:
    make = find("evaluators", "partial_unlearning_shapley").load()
    evaluator = make(**dataclasses.asdict(unlearning), weight_decay=training.weight_decay, random_state=seed)
    started, epochs = time.perf_counter(), itertools.count(1)

    def on_epoch() -> None:
        say(f"training a model on the target alone: epoch {next(epochs)} of {training.epochs}")

    say("unlearning the target")
    fit = {"epochs": training.epochs, "batch_size": training.batch_size, "lr": training.lr, "on_epoch": on_epoch}
    found = evaluator.value(loaded.model, texts["target"], texts["test"], untrained=loaded.untrained, **fit)
    fits = loaded.untrained.fits
    unlearn_seconds = time.perf_counter() - started - (fits.seconds - fits.resumed_seconds)
    lost = (0.0, found.lost_by_unlearning, found.lost_by_rest, found.lost_by_all)
    full, unlearned, alone, untrained = (each - found.full for each in lost)  # Perf is a perplexity's negative
    return CorpusValue(full, unlearned, alone, untrained, fits.seconds, unlearn_seconds, 0)
