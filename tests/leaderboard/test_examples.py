"""Examples of data sets: those of the file are the data's own, licensed, and escaped on the page."""

from __future__ import annotations

import base64
import importlib.util
import io
import json
import os
import re
from pathlib import Path

import pytest
from markupsafe import escape
from PIL import Image
from site_checks import PAYLOADS, check_site

from dvbench.errors import UserError
from dvbench.settings import DatasetSettings
from leaderboard.build import build
from leaderboard.descriptions import base_name, describe, plug_in
from leaderboard.site import examples
from leaderboard.site.data_set_titles import address, title, titles
from leaderboard.site.examples import NONE, examples_of
from leaderboard.text import clean

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / ".ci/examples.py"
SAVED = json.loads(examples.FILE.read_bytes())
SHOWN = [base for base, saved in SAVED.items() if "withheld" not in saved]
MIRROR = Path(os.environ.get("DVBENCH_MIRROR") or Path(__file__).parents[3] / "shared/data/hub")
needs_mirror = pytest.mark.skipif(not MIRROR.is_dir(), reason="no mirror of the hub: set DVBENCH_MIRROR")


@pytest.fixture(scope="module")
def script():
    spec = importlib.util.spec_from_file_location("examples_script", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def with_pixels(shown: dict) -> dict:
    """Replace PNG files by their pixels, because other versions of zlib write other bytes."""
    images = [Image.open(io.BytesIO(base64.b64decode(image["png"]))) for image in shown.get("images", ())]
    pictures = [
        {"label": image["label"], "size": picture.size, "pixels": picture.tobytes()}
        for image, picture in zip(shown.get("images", ()), images, strict=True)
    ]
    return shown | ({"images": pictures} if pictures else {})


@needs_mirror
@pytest.mark.slow
@pytest.mark.parametrize("base", SAVED)
def test_the_file_has_what_the_registry_reads(script, monkeypatch, base):
    monkeypatch.setenv("DVBENCH_MIRROR", str(MIRROR))
    try:
        made = script.examples(base)
    except (UserError, FileNotFoundError) as error:
        pytest.skip(f"the mirror lacks {base}: {error}")
    assert with_pixels(SAVED[base]) == with_pixels(made)


def test_every_data_set_of_published_results_has_examples_or_a_reason(script):
    assert list(SAVED) == script.bases()
    for saved in SAVED.values():
        assert any(saved.get(name) for name in ("withheld", "rows", "images", "texts"))
    assert examples.FILE.stat().st_size < 100_000


@pytest.mark.parametrize("base", SHOWN)
def test_what_is_shown_has_a_licence_that_allows_it(base):
    licence = SAVED[base]["licence"]
    assert licence.startswith(("CC BY 4.0", "MIT", "Apache-2.0"))
    description = describe("datasets", plug_in(base))
    assert licence in " ".join(description.paragraphs) or base.startswith("openml:")
    assert len(SAVED[base].get("columns", ())) <= 12


@pytest.mark.parametrize("base", [base for base in SAVED if base not in SHOWN and ":" not in base])
def test_what_is_withheld_has_no_such_licence(base):
    said = " ".join(describe("datasets", base).paragraphs)
    assert not re.search(r"MIT|CC BY|CC0|public domain", said)


@pytest.mark.parametrize(
    ("settings", "base"),
    [
        ({"name": "cifar10", "params": {"encoder": "timm/x.in1k", "encoder_components": 64}}, "cifar10"),
        ({"name": "openml", "params": {"id": 32, "standardise": False}}, "openml:32"),
        ({"name": "csv", "params": {"path": "a/b.csv"}}, "csv"),
    ],
)
def test_a_data_set_is_one_with_any_encoder_and_a_table_of_openml_is_its_own(settings, base):
    assert base_name(json.dumps(settings)) == base


def test_tables_of_openml_have_a_size():
    sizes = [shown["size"] for base, shown in SAVED.items() if base.startswith("openml:")]
    assert all(re.fullmatch(r"[\d,]+ rows, \d+ columns besides the target, .+", size) for size in sizes)
    assert SAVED["openml:40499"]["size"] == "5,500 rows, 40 columns besides the target, 11 classes"


def test_pages_show_examples_or_say_why_there_are_none(write, tmp_path):
    store = write({(name, "A", 0): {"f": 0.5} for name in ("digits", "breast_cancer", "imdb", "tiny_text", "mine")})
    build(store.root, tmp_path / "site")
    pages = {path.stem: path.read_text(encoding="utf-8") for path in (tmp_path / "site/about/datasets").glob("*.html")}
    assert pages["digits"].count("<img") == 4
    assert 'alt="Image 1, of the class 0"' in pages["digits"]
    assert '<th scope="col">mean radius</th>' in pages["breast_cancer"]
    assert "19 more columns are left out" in pages["breast_cancer"]
    assert f"None are shown. {SAVED['imdb']['withheld']}" in pages["imdb"]
    assert f"<li>{SAVED['tiny_text']['texts'][0]}</li>" in pages["tiny_text"]
    assert f"None are shown. {NONE}" in pages["mine"]
    check_site(tmp_path / "site")


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("digits", "Handwritten digits"),
        ("fashion_mnist?encoder=timm/tf_efficientnet_lite0.in1k", "Fashion-MNIST, features of EfficientNet-Lite0"),
        ("cifar10?encoder=timm/other&encoder_size=48", "CIFAR-10, features of other"),
        ("openml:1590", "Adult (OpenML 1590)"),
        ("openml:99999", "OpenML 99999"),
        ("opendataval:iris", "OpenDataVal iris"),
        ("of_others?depth=3", "of_others"),
    ],
)
def test_a_data_set_has_a_short_name_and_keeps_its_address(written, expected):
    settings = DatasetSettings.parse(written).model_dump_json()
    assert title(settings) == expected
    assert address(settings) == written


def test_data_sets_of_one_name_are_told_apart_by_their_parameters():
    both = [DatasetSettings.parse(text).model_dump_json() for text in ("tiny_text", "tiny_text?counted=answers")]
    assert list(titles(both).values()) == ["Beginnings of texts", "Beginnings of texts (counted answers)"]


@pytest.mark.parametrize("name", PAYLOADS)
def test_what_examples_hold_does_nothing(write, tmp_path, monkeypatch, name):
    text = PAYLOADS[name]
    png = SAVED["digits"]["images"][0]["png"]
    common = {"name": text, "licence": text, "remark": text}
    held = {
        "digits": common | {"images": [{"label": text, "png": png}]},
        "wine": common | {"columns": [text] * 2, "rows": [[text] * 2]},
        "imdb": common | {"withheld": text},
        "tiny_text": common | {"texts": [text]},
    }
    file = tmp_path / "examples.json"
    file.write_text(json.dumps(held), encoding="utf-8")
    monkeypatch.setattr(examples, "FILE", file)
    store = write({(base, "A", 0): {"f": 0.5} for base in held})
    build(store.root, tmp_path / "site")
    assert f"<td>{escape(clean(text))}</td>" in (tmp_path / "site/about/datasets/wine.html").read_text(encoding="utf-8")
    check_site(tmp_path / "site")


def test_an_image_is_base64_or_refused(tmp_path, monkeypatch):
    file = tmp_path / "examples.json"
    file.write_text(json.dumps({"digits": {"images": [{"label": "0", "png": '" onerror="alert(1)'}]}}))
    monkeypatch.setattr(examples, "FILE", file)
    with pytest.raises(ValueError, match="pattern"):
        examples_of("digits")
