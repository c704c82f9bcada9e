"""Compares values of corpora with exact retraining: prints the table of ``docs/corpus-values.md``.

A small GPT-2 is trained on the beginnings of `TEXTS` texts of each corpus of the data set ``tiny_text``. Each corpus is
valued by ``dvbench value-corpus`` from its files and that model. Models without the corpus are trained too, which the
command never needs: their loss shows what unlearning should have done.

Run as ``DVBENCH_MIRROR=... python tests/benchmarks/corpus_values.py``.
"""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

import numpy as np
import torch

from dvbench.datasets.tiny_text import CORPORA, tiny_text
from dvbench.execution.corpus_estimates import CorpusValue, Estimate, estimate
from dvbench.execution.forgetting import log_loss
from dvbench.execution.value_corpus import Texts, Unlearning, value_corpus
from dvbench.models.gpt2_tiny import gpt2_tiny
from dvbench.problems.tokenizer import END_OF_TEXT, load_vocabulary
from dvbench.settings import Training
from dvbench.training.language_model import LanguageModel
from dvbench.training.pretrained import Pretrained, Tokens, load_pretrained
from dvbench.unlearning.factory import make_method, make_unlearner

OF_EACH, TEXTS, QUESTIONS, LENGTH, VOCABULARY = 150, 48, 100, 64, 2048
SEEDS = (0, 1, 2)
STRENGTHS = ("weaker", "unlearned", "stronger")
TRAINING = Training(epochs=8, batch_size=16, lr=1e-3)
NAMES = [corpus.title for corpus in CORPORA]


def main() -> None:
    """Print a row for each corpus."""
    with tempfile.TemporaryDirectory() as folder:
        rows = compare(Path(folder))
    print("| corpus | unlearned - full | range | retrained - full | at 2e-5 |", end="")
    print(" value | exact value |\n" + "|---" * 7 + "|")
    for row in rows:
        print("| " + " | ".join(row) + " |", flush=True)


def compare(folder: Path) -> list[list[str]]:
    """Train the models, and value each corpus."""
    files = write_texts(folder)
    loaded = write_model(folder / "model")
    corpora = [loaded.tokenise(read(files[name])) for name in NAMES]
    test = loaded.tokenise(read(files["questions"]))
    full = [fit(corpora, seed) for seed in SEEDS]
    full[0].network.save_pretrained(folder / "model")  # type: ignore[operator]
    full_losses = [log_loss(model.all_outputs, test.x) for model in full]
    rows = []
    for k, name in enumerate(NAMES):
        corpus = value_corpus(
            folder / "model",
            Texts([files[name]]),
            Texts([files["questions"]]),
            length=LENGTH,
            training=TRAINING,
            unlearning=Unlearning(lr=1e-4, steps=60),
            seeds=SEEDS,
            device="cpu",
            out=None,
            say=lambda line: None,
        )
        rest = [log_loss(fit(corpora[:k] + corpora[k + 1 :], seed).all_outputs, test.x) for seed in SEEDS]
        lost = np.subtract(rest, full_losses)
        fixed = at_fixed_rate(full[0], corpora[k], test) - full_losses[0]
        rows.append([name, *cells(corpus, lost, fixed)])
        print(f"{name}: {corpus.refused or 'valued'}", flush=True)
    return rows


def cells(corpus: CorpusValue, lost: np.ndarray, fixed: float) -> list[str]:
    """The numbers of a row; a value that is refused is called so."""
    parts = corpus.estimates("log_loss")
    forgotten = [np.mean([getattr(run, strength) - run.full for run in corpus.runs]) for strength in STRENGTHS]
    exact = [(a + run.untrained - run.alone) / 2 for a, run in zip(lost, corpus.runs, strict=True)]
    value = "no value" if corpus.refused else shown(parts["value"])
    range_ = f"{min(forgotten):.3f} to {max(forgotten):.3f}"
    return [shown(parts["unlearning"]), range_, shown(estimate(lost)), f"{fixed:.3f}", value, shown(estimate(exact))]


def shown(part: Estimate) -> str:
    """Mean and interval."""
    return f"{part.mean:.3f} [{part.low:.3f}, {part.high:.3f}]"


def at_fixed_rate(model: LanguageModel, target: Tokens, test: Tokens) -> float:
    """Log loss of the test texts after 100 steps of unlearning at the rate of the Unlearning Shapley paper."""
    unlearner = make_unlearner(model, target.pair, test.pair, make_method("gradient_ascent", batch_size=8))
    return log_loss(unlearner.unlearn([np.arange(len(target.x))], 0).all_outputs, test.x)


def fit(corpora: list[Tokens], seed: int) -> LanguageModel:
    """Train a model on corpora."""
    from dvbench.training.tensor_model import seeded

    x = torch.cat([corpus.x for corpus in corpora])
    model = LanguageModel(seeded(lambda: gpt2_tiny((LENGTH,), VOCABULARY), seed), seed)
    return model.fit(x, torch.ones(len(x), 1), epochs=TRAINING.epochs, batch_size=TRAINING.batch_size, lr=TRAINING.lr)


def write_texts(folder: Path) -> dict[str, Path]:
    """Write the texts of each corpus, and the questions, to a file each."""
    source, vocabulary = tiny_text(), load_vocabulary(VOCABULARY)
    begins = {name: k * OF_EACH for k, name in enumerate([*NAMES, "questions"])}
    files = {}
    for name, begin in begins.items():
        rows = source.take(np.arange(begin, begin + (QUESTIONS if name == "questions" else TEXTS)))
        texts = [
            vocabulary.decode([int(token) for token in row[1:] if token < vocabulary.begin_of_text]) for row in rows
        ]
        files[name] = folder / f"{name}.jsonl"
        files[name].write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
    return files


def read(path: Path) -> list[str]:
    """Texts of a file."""
    return [json.loads(line)["text"] for line in path.read_text().splitlines()]


def write_model(folder: Path) -> Pretrained:
    """Write an untrained model with the tokenizer, to read its tokens."""
    from transformers import PreTrainedTokenizerFast

    tokenizer = load_vocabulary(VOCABULARY).tokenizer
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token=END_OF_TEXT).save_pretrained(folder)
    gpt2_tiny((LENGTH,), VOCABULARY).save_pretrained(folder)  # type: ignore[operator]
    return load_pretrained(folder, LENGTH, 0.01, "float32", "cpu")


if __name__ == "__main__":
    main()
