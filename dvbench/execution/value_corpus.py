"""Computes the value of a corpus for a language model by partial valuation, from the model and the corpus alone."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dvbench.errors import UserError
from dvbench.execution.environment import current_environment, resolve_device, watch_memory
from dvbench.files import NOT_OURS, file_sha256, read_ours, write_atomically
from dvbench.problems.text_files import require_text_files
from dvbench.randomness import isolated_generators
from dvbench.settings import Training
from dvbench.version import __version__

if TYPE_CHECKING:
    from dvbench.execution.corpus_estimates import CorpusValue
    from dvbench.training.pretrained import Tokens

PACKAGES = ("transformers", "tokenizers", "peft", "safetensors")  # beside those of every result
Say = Callable[[str], None]


@dataclass(frozen=True)
class Texts:
    """Files with texts, and the column of the texts in files that have columns."""

    files: Sequence[Path]
    column: str = "text"


@dataclass(frozen=True)
class Unlearning:
    """How the corpus is unlearned; see `dvbench.unlearning_methods.gradient_ascent.GradientAscent`.

    ``lr`` is the first rate that is tried. ``forgotten_at`` is the mean log loss of the corpus at which it counts as
    forgotten; see `dvbench.execution.corpus_losses` for the default.
    """

    parameters: str = "all"
    steps: int = 100
    batch_size: int = 8
    lr: float = 2e-5
    forgotten_at: float | None = None


def value_corpus(
    folder: Path,
    target: Texts,
    test: Texts,
    held_out: Texts | None = None,
    *,
    length: int | None,
    training: Training,
    unlearning: Unlearning,
    seeds: Sequence[int],
    device: str,
    out: Path | None,
    say: Say,
) -> CorpusValue:
    """Value a corpus for a model that was trained on it and on other data (Unlearning Shapley paper, Algorithm 2).

    Parameters
    ----------
    folder : Path
        Folder of the model, as transformers saves it.
    target, test : Texts
        The corpus, and the test texts; no text may be in both.
    held_out : Texts, optional
        Texts of the kind of the corpus that the model was not trained on.
    length : int, optional
        Largest number of tokens of a piece of text.
    training : Training
        How a model is trained on the corpus alone.
    unlearning : Unlearning
    seeds : sequence of int
    device : str
    out : Path, optional
        JSON file for the result. It is also written if the result is refused as a value.
    say : callable
        Called with a line at each step.

    Returns
    -------
    CorpusValue
        Its ``refused`` says why the numbers are no value, if they are none.

    Raises
    ------
    UserError
        If a file or the model cannot be read, has no text, or is too large.
    """
    files = {"target": target, "test": test} | ({} if held_out is None else {"held-out": held_out})
    _check_paths(folder, files, out)
    from dvbench.execution.corpus_losses import CorpusParts
    from dvbench.problems.text_corpora import read_texts
    from dvbench.training.pretrained import load_pretrained
    from dvbench.unlearning.factory import make_method

    how = dataclasses.asdict(unlearning)
    forgotten_at = how.pop("forgotten_at")
    method = make_method("gradient_ascent", **how, weight_decay=training.weight_decay)
    contents = {name: read_texts(texts.files, texts.column) for name, texts in files.items()}
    # Before they are read: files that change meanwhile are then not said to be the ones that were read.
    origin = {} if out is None else _origin(folder, files)
    device = resolve_device(device)
    loaded = load_pretrained(folder, length, training.weight_decay, training.precision, device)
    tokens = {name: loaded.tokenise(content) for name, content in contents.items()}
    for name, sizes in ((name, part.sizes) for name, part in tokens.items()):
        say(
            f"{name}: {sizes['texts']:,} texts in {sizes['pieces']:,} pieces of at most {loaded.length:,} tokens; "
            f"{sizes['tokens_used']:,} of {sizes['tokens']:,} tokens are used"
        )
        origin.setdefault(name, {}).update(sizes)
    _require_disjoint(tokens)
    try:
        with isolated_generators(seeds[0]), watch_memory(device) as memory:
            corpus = CorpusParts(loaded, tokens, training, method, forgotten_at, say).value(seeds)
    except FloatingPointError as error:
        raise UserError(str(error)) from error
    corpus = dataclasses.replace(corpus, peak_memory=memory.peak_cuda or memory.peak)
    if out is not None:
        settings = {"length": loaded.length, "seeds": list(seeds), "training": training.model_dump()}
        settings["unlearning"] = dataclasses.asdict(unlearning)
        content = {"dvbench_version": __version__, **corpus.as_json(), **origin, "settings": settings}
        content["environment"] = _environment(device)
        write_atomically(out, (json.dumps(_finite(content), indent=1, allow_nan=False) + "\n").encode())
    return corpus


def _check_paths(folder: Path, files: dict[str, Texts], out: Path | None) -> None:
    """Refuse what is not there, before anything is imported or computed."""
    if out is not None and not out.parent.is_dir():
        raise UserError(f"there is no folder {out.parent} to write {out.name} to")
    if out is not None and out.is_dir():
        raise UserError(f"{out} is a folder; name a file to write the result to")
    if not folder.is_dir():
        raise UserError(f"there is no folder {folder} with a model")
    for texts in files.values():
        require_text_files(texts.files)
    if out is not None:
        read = {path.resolve() for texts in files.values() for path in texts.files}
        if out.resolve() in read or folder.resolve() in out.resolve().parents:
            raise UserError(f"{out} would overwrite a file that is read: write the result to another file")
        if out.exists() and read_ours(out) is None:
            raise UserError(f"{out} {NOT_OURS}")


def _require_disjoint(tokens: dict[str, Tokens]) -> None:
    """Refuse texts that are in the target and in another set: a model would forget and keep them at the same time."""
    for name in tokens.keys() - {"target"}:
        common = tokens["target"].common(tokens[name])
        if common:
            raise UserError(f"{common} of the {name} texts are in the target too: remove them from one of the files")


def _origin(folder: Path, files: dict[str, Texts]) -> dict[str, dict[str, Any]]:
    """Files of the model and of the texts, with their hashes."""
    origin = {name: {"files": _hashes(texts.files), "column": texts.column} for name, texts in files.items()}
    return {"model": {"folder": str(folder), "files": _hashes(sorted(folder.iterdir()))}, **origin}


def _hashes(files: Sequence[Path]) -> list[dict[str, str]]:
    """Names and SHA-256 of files."""
    return [{"name": str(path), "sha256": file_sha256(path)} for path in files if path.is_file()]


def _environment(device: str) -> dict[str, Any]:
    environment = current_environment(device).model_dump()
    environment["packages"] |= {package: version(package) for package in PACKAGES}
    return environment


def _finite(content: Any) -> Any:
    """Replace numbers that JSON has not, such as the perplexity of a ruined model, by None."""
    if isinstance(content, dict):
        return {key: _finite(value) for key, value in content.items()}
    if isinstance(content, list | tuple):
        return [_finite(value) for value in content]
    return None if isinstance(content, float) and not math.isfinite(content) else content
