"""Writes the rows, images and texts that the site shows of data sets, leaderboard/site/examples.json.

Run it with a mirror when a suite with published results has a new data set: ``DVBENCH_MIRROR=DIR uv run python
.ci/examples.py``. Only data are shown whose licence allows it and asks for no more than naming the authors.
"""

from __future__ import annotations

import base64
import io
import json
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from sklearn.datasets import load_breast_cancer

from dvbench.problems.hub import mirror_folder, stream
from dvbench.problems.open_ml import find_table
from dvbench.problems.text_corpora import TRUTHFUL_QA
from dvbench.registry import find
from dvbench.results import Store
from leaderboard.descriptions import base_name
from leaderboard.plans import suite_names

ROOT = Path(__file__).parents[1]
FILE = ROOT / "leaderboard/site/examples.json"
ROWS, COLUMNS, IMAGES, TEXTS, CHARACTERS = 3, 12, 4, 3, 200
WITHHELD = {
    "bbc_news": "The BBC owns the articles, and no licence allows to publish them.",
    "cifar10": "Its authors state no licence.",
    "imdb": "Its authors state no licence.",
    "tiny_imagenet": "ImageNet's terms allow research and education only.",
}
TRAINING_TEXTS = (
    "Three of the questions with answers that models are validated and tested on. Training texts are not shown: their "
    "licences ask for more than naming the authors, or do not cover the texts of web pages."
)


def bases() -> list[str]:
    """Name the data sets of all published results, without their parameters."""
    store = Store(ROOT / "results")
    plans = map(store.plan, suite_names(store))
    return sorted({base_name(cell.problem.dataset.model_dump_json()) for plan in plans for cell in plan.cells})


def examples(base: str) -> dict[str, Any]:
    """Make what is shown of a data set."""
    if base in WITHHELD:
        return {"withheld": WITHHELD[base]}
    if base.startswith("openml:"):
        return _open_table(int(base.partition(":")[2]))
    makers = {
        "breast_cancer": _breast_cancer,
        "digits": lambda: _images("digits", "CC BY 4.0", 16, (8, 8)),
        "fashion_mnist": lambda: _images("fashion_mnist", "MIT", 1),
        "tiny_text": _questions,
        "wiki_web_stories": _questions,
    }
    if base not in makers:
        raise SystemExit(
            f"no examples of {base}: say how they are made in {Path(__file__).name}, or why there are none"
        )
    return makers[base]()


def _open_table(number: int) -> dict[str, Any]:
    metadata = json.loads((mirror_folder() / "openml" / str(number) / "metadata.json").read_bytes())
    name = metadata["name"].replace("_", " ")
    named = {"name": name[:1].upper() + name[1:], "size": _size(metadata)}
    who, _, licence = metadata["licence"].partition(": ")
    if licence != "CC BY 4.0":
        return named | {"withheld": "Its authors state no licence."}
    table = find_table(number)
    columns = [table.target, *(name for name in table.frame.columns if name != table.target)]
    rows = table.frame[columns[:COLUMNS]].iloc[:ROWS].to_numpy(dtype=object)
    return named | {"licence": f"{licence}, as {who} says"} | _table(columns, rows)


def _size(metadata: dict[str, Any]) -> str:
    """Say what the mirror's table holds, which is the one that results are computed with."""
    classes = len(metadata.get("classes") or ())
    predicted = f"{classes} classes" if metadata["task"] == "classification" else "a number to predict"
    return f"{metadata['rows']:,} rows, {metadata['features']} columns besides the target, {predicted}"


def _breast_cancer() -> dict[str, Any]:
    source = find("datasets", "breast_cancer").load()()
    rows = np.arange(ROWS)
    features = source.take(rows).astype(object)
    labels = [[source.classes[label]] for label in source.labels[rows]]
    columns = ["diagnosis", *load_breast_cancer().feature_names]
    return {"licence": "CC BY 4.0"} | _table(columns, np.hstack([labels, features[:, : COLUMNS - 1]]))


def _table(columns: list[str], rows: np.ndarray) -> dict[str, Any]:
    shown = [[f"{cell:.6g}" if isinstance(cell, float) else str(cell) for cell in row] for row in rows]
    return {"columns": columns[:COLUMNS], "rows": shown, "more_columns": max(len(columns) - COLUMNS, 0)}


def _images(name: str, licence: str, white: int, shape: tuple[int, int] | None = None) -> dict[str, Any]:
    """Take the first images; of a source of tables, ``shape`` is that of the image in a row."""
    source = find("datasets", name).load()()
    pixels = source.take(np.arange(IMAGES))
    pixels = pixels[:, 0] if shape is None else pixels.reshape(-1, *shape)
    shown = [
        {"label": source.classes[label], "png": _png(np.round(image * (255 / white)).astype(np.uint8))}
        for image, label in zip(pixels, source.labels[:IMAGES], strict=True)
    ]
    return {"licence": licence, "images": shown}


def _png(pixels: np.ndarray) -> str:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG", optimize=True)
    return base64.b64encode(file.getvalue()).decode()


def _questions() -> dict[str, Any]:
    names = TRUTHFUL_QA.question, TRUTHFUL_QA.answer
    rows = islice(stream(TRUTHFUL_QA.hub_id, names, TRUTHFUL_QA.split, TRUTHFUL_QA.config), TEXTS)
    texts = [" ".join(row[name] for name in names)[:CHARACTERS] for row in rows]
    return {"licence": "Apache-2.0", "texts": texts, "remark": TRAINING_TEXTS}


if __name__ == "__main__":
    made = {base: examples(base) for base in bases()}
    FILE.write_text(json.dumps(made, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
