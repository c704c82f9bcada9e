"""Images as features of a frozen encoder: a network of timm with random weights in a made-up mirror."""

from __future__ import annotations

import json
import os
import sys
from dataclasses import replace
from pathlib import Path

import huggingface_hub
import numpy as np
import pytest
import timm
import torch
from made_up_encoders import COLUMNS, FIXED, IMAGES, TEXTS, write_image_encoder, write_text_encoder
from PIL import Image
from safetensors.torch import load_file, save_file

from dvbench.errors import UserError
from dvbench.problems.build import assemble, build_problem
from dvbench.problems.image_encoder import encode_images, image_encoder
from dvbench.problems.source import Source
from dvbench.settings import DatasetSettings, Noise, Sizes

PIXELS = np.random.default_rng(0).integers(256, size=(80, 3, 7, 9), dtype=np.uint8)


@pytest.fixture(scope="session")
def encoders(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A mirror; not to be changed."""
    folder = tmp_path_factory.mktemp("encoders")
    write_image_encoder(folder)
    write_image_encoder(folder, FIXED, "test_vit")
    write_text_encoder(folder)
    return folder


@pytest.fixture
def mirror(encoders: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("DVBENCH_MIRROR", str(encoders))
    monkeypatch.setenv("DVBENCH_CACHE", str(tmp_path / "cache"))
    return encoders


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A mirror to be changed, and no network."""

    def refuse(*_: object, **__: object) -> None:
        raise ConnectionError("no network")

    monkeypatch.setenv("DVBENCH_MIRROR", str(tmp_path))
    monkeypatch.setenv("DVBENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(huggingface_hub.HfApi, "model_info", refuse)
    return tmp_path


def images(pixels: np.ndarray = PIXELS) -> Source:
    return Source(
        "classification",
        np.arange(len(pixels)) % 2,
        lambda rows: pixels[rows].astype(np.float32) / np.float32(255),
        ("even", "odd"),
        standardise=False,
    )


def plain_features(folder: Path, pixels: np.ndarray, size: int) -> np.ndarray:
    """Features by timm and Pillow alone."""
    network = timm.create_model("test_efficientnet", pretrained=False, num_classes=5).eval()
    network.load_state_dict(load_file(folder / "model.safetensors"))
    network.reset_classifier(0)
    mean, std = (torch.tensor(network.pretrained_cfg[key])[:, None, None] for key in ("mean", "std"))
    rows = []
    for image in pixels:
        picture = Image.fromarray(image[0] if len(image) == 1 else image.transpose(1, 2, 0))
        resized = np.asarray(picture.convert("RGB").resize((size, size), Image.Resampling.BICUBIC))
        point = (torch.from_numpy(resized.transpose(2, 0, 1).copy()) / 255 - mean) / std
        with torch.inference_mode():
            rows.append(network(point[None])[0].numpy())
    return np.stack(rows)


@pytest.mark.parametrize(("channels", "size"), [(3, 40), (1, 40), (3, 32)])
def test_features_are_those_of_the_network(mirror: Path, channels: int, size: int) -> None:
    pixels = PIXELS[:40, :channels]
    source = encode_images(images(pixels), IMAGES, size)
    rows = np.array([39, 0, 7, 7, 20])
    features = source.take(rows)
    assert features.shape == (5, COLUMNS[IMAGES])
    assert features.dtype == np.float32
    expected = plain_features(mirror / IMAGES, pixels[rows], size)
    np.testing.assert_allclose(features, expected, rtol=0, atol=1e-4 * np.abs(expected).max())
    assert (source.standardise, source.classes) == (True, ("even", "odd"))


def test_features_are_equal_to_the_bit_whatever_is_encoded_with_a_row(
    mirror: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    all_rows = encode_images(images(), IMAGES, 32).take(np.arange(80))
    monkeypatch.setenv("DVBENCH_CACHE", str(tmp_path / "another"))
    source = encode_images(images(), IMAGES, 32)
    for rows in ([5], [79, 3, 41], list(range(60, 20, -1))):
        np.testing.assert_array_equal(source.take(np.array(rows)), all_rows[rows])


def test_components_of_the_training_set_replace_features(mirror: Path) -> None:
    parts = (np.arange(40), np.arange(40, 60), np.arange(60, 80))
    source = encode_images(images(), IMAGES, 32, components=5)
    problem = assemble(source, "made up", parts, Noise(), 0)
    raw = source.take(np.arange(80)).astype(np.float64)
    centred = raw - raw[:40].mean(axis=0)
    values, vectors = np.linalg.eigh(centred[:40].T @ centred[:40])
    expected = centred @ vectors[:, ::-1][:, :5] / np.sqrt(values[::-1][:5] / 40)
    xs = np.concatenate([part.x.numpy() for part in (problem.train, problem.validation, problem.test)])
    signs = np.sign((expected * xs).sum(axis=0))
    np.testing.assert_allclose(xs, expected * signs, atol=1e-3)
    with pytest.raises(UserError, match="'made up' has at most 40 components, because it has 40 training points"):
        assemble(replace(source, components=41), "made up", parts, Noise(), 0)


def test_features_are_read_from_the_cache_without_the_network(mirror: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = encode_images(images(), IMAGES, 32).take(np.arange(20))
    monkeypatch.setitem(sys.modules, "timm", None)  # importing it would fail
    again = encode_images(images(), IMAGES, 32)
    np.testing.assert_array_equal(again.take(np.arange(20)), first)
    with pytest.raises(UserError, match=f"encoder '{IMAGES}' cannot be used: .*timm"):
        again.take(np.arange(21))


def test_changed_images_sizes_and_weights_have_other_features(own: Path) -> None:
    folder = write_image_encoder(own)
    rows = np.arange(3)

    def features(pixels: np.ndarray = PIXELS, size: int = 32) -> list[list[float]]:
        return encode_images(images(pixels), IMAGES, size).take(rows).tolist()

    before = features()
    changed = PIXELS.copy()
    changed[1, 0, 0, 0] ^= 128
    assert [row == old for row, old in zip(features(changed), before, strict=True)] == [True, False, True]
    assert features(size=40) != before
    weights = load_file(folder / "model.safetensors")
    weights["conv_stem.weight"] *= 2
    save_file(weights, folder / "model.safetensors")
    assert features() != before


def problem_revision(size: int = 32, pixels: np.ndarray = PIXELS) -> str:
    from dvbench.problems.build import assemble

    parts = np.arange(20), np.arange(20, 30), np.arange(30, 40)
    return assemble(encode_images(images(pixels), IMAGES, size), "made-up", parts, Noise(), 0).revision


def test_the_hash_of_the_data_is_that_of_images_and_encoder(mirror: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = problem_revision()
    changed = PIXELS.copy()
    changed[35, 0, 0, 0] ^= 1
    assert len({before, problem_revision(size=40), problem_revision(pixels=changed)}) == 3
    # Another processor rounds features in another way, and the data are the same.
    from dvbench.problems import encoders

    read_or_encode = encoders.read_or_encode
    monkeypatch.setattr(encoders, "read_or_encode", lambda *a: read_or_encode(*a) * np.float32(1.000001))
    assert problem_revision() == before


def test_standardising_is_the_choice_of_the_suite(mirror: Path) -> None:
    assert encode_images(images(), IMAGES, standardise=False).standardise is False
    assert encode_images(images(), IMAGES).standardise is True
    assert encode_images(images(), None).standardise is False
    assert encode_images(images(), None, standardise=True).standardise is True
    pixels = encode_images(images(), None)
    np.testing.assert_array_equal(pixels.take(np.arange(5)), images().take(np.arange(5)))
    assert pixels.fingerprint is None


def test_a_network_of_one_size_reads_that_size(mirror: Path) -> None:
    assert encode_images(images(), FIXED).take(np.arange(2)).shape == (2, COLUMNS[FIXED])
    with pytest.raises(UserError, match=rf"'{FIXED}' reads images of 160 × 160 pixels only: use encoder_size = 160"):
        image_encoder(FIXED, 96)


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        (
            {"encoder": TEXTS},
            rf"'{TEXTS}' is no network of timm, so it cannot encode images \(it is a 'bert'\): use one",
        ),
        (
            {"encoder": "resnet50"},
            "encoder 'resnet50' is no id of the Hugging Face hub: write OWNER/NAME, such as timm/",
        ),
        ({"encoder": "../outside"}, "is no id of the Hugging Face hub"),
        ({"encoder": "made-up/.."}, "is no id of the Hugging Face hub"),
        ({"encoder": 3}, "encoder '3' is no id of the Hugging Face hub"),
        ({"encoder": IMAGES, "size": 8}, "encoder_size must be a whole number from 16 to 1024, not 8"),
        ({"encoder": IMAGES, "size": "large"}, "encoder_size must be a whole number from 16 to 1024, not 'large'"),
        ({"encoder": IMAGES, "size": True}, "encoder_size must be a whole number from 16 to 1024, not True"),
        ({"encoder": IMAGES, "components": 0}, "encoder_components must be a whole number from 1, not 0"),
        ({"encoder": None, "components": 8}, "encoder_components = 8 needs an encoder, such as encoder = 'timm/"),
        ({"encoder": None, "size": 96}, "encoder_size = 96 needs an encoder, such as encoder = 'timm/"),
        ({"encoder": None, "standardise": "no"}, "standardise must be true or false, not 'no'"),
    ],
)
def test_parameters_that_do_not_fit(mirror: Path, parameters: dict[str, object], message: str) -> None:
    with pytest.raises(UserError, match=message) as caught:
        encode_images(images(), **parameters)  # type: ignore[arg-type]
    assert "\n" not in str(caught.value)


def test_an_encoder_that_is_not_there(own: Path) -> None:
    with pytest.raises(UserError, match=r"cannot get timm/no_such_net/config.json: no mirror has it, and the Hugging"):
        image_encoder("timm/no_such_net")


def test_weights_that_are_pickled_are_not_read(own: Path) -> None:
    folder = write_image_encoder(own)
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    with pytest.raises(UserError, match=rf"'{IMAGES}' has no model.safetensors, only pytorch_model.bin: reading other"):
        image_encoder(IMAGES)


def test_missing_weights_without_network(own: Path) -> None:
    folder = write_image_encoder(own)
    (folder / "model.safetensors").unlink()
    with pytest.raises(UserError, match=rf"cannot get {IMAGES}/model.safetensors: no mirror has it"):
        image_encoder(IMAGES)


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        ("config.json", b"{", "cannot read .*config.json"),
        ("config.json", b"[]", "cannot read .*config.json: it is no configuration of an encoder"),
        ("config.json", b"{}", "is no network of timm, so it cannot encode images: use one such as timm/"),
        ("config.json", b'{"architecture": "no_net"}', "cannot be used: timm .* has no network 'no_net'"),
        (
            "config.json",
            b'{"architecture": "local-dir:/tmp"}',
            "cannot be used: timm .* has no network 'local-dir:/tmp'",
        ),
        ("config.json", b'{"architecture": "test_resnet"}', "cannot be used: Error.* in loading state_dict for ResNet"),
        ("model.safetensors", b"", f"encoder '{IMAGES}' cannot be used"),
        ("model.safetensors", b"\x80\x04pickle", f"encoder '{IMAGES}' cannot be used"),
    ],
)
def test_files_that_are_wrong(own: Path, file: str, content: bytes, message: str) -> None:
    folder = write_image_encoder(own)
    (folder / file).write_bytes(content)
    with pytest.raises(UserError, match=message) as caught:
        encode_images(images(), IMAGES).take(np.arange(2))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["conv_stem.weight", "classifier.weight"])
def test_missing_weights_are_not_replaced_by_random_ones(own: Path, name: str) -> None:
    path = write_image_encoder(own) / "model.safetensors"
    weights = load_file(path)
    del weights[name]
    save_file(weights, path)
    with pytest.raises(UserError, match=f"encoder '{IMAGES}' cannot be used: .*{name}"):
        encode_images(images(), IMAGES).take(np.arange(2))


def test_the_global_generators_are_not_drawn_from(mirror: Path) -> None:
    before = torch.get_rng_state()
    encode_images(images(), IMAGES, 32).take(np.arange(2))
    assert torch.equal(torch.get_rng_state(), before)


def test_a_configuration_cannot_name_other_weights(own: Path) -> None:
    folder = write_image_encoder(own)
    expected = encode_images(images(), IMAGES, 32).take(np.arange(2))
    config = json.loads((folder / "config.json").read_text())
    outside = own / "outside.pth"
    outside.write_bytes(b"\x80\x04pickle")
    config["pretrained_cfg"] |= {
        "file": str(outside),
        "url": f"file://{outside}",
        "custom_load": True,
        "source": "file",
    }
    (folder / "config.json").write_text(json.dumps(config))
    np.testing.assert_array_equal(encode_images(images(), IMAGES, 32).take(np.arange(2)), expected)


def test_output_that_is_not_finite(own: Path) -> None:
    folder = write_image_encoder(own)
    weights = load_file(folder / "model.safetensors")
    weights["conv_stem.weight"][:] = np.inf
    save_file(weights, folder / "model.safetensors")
    with pytest.raises(UserError, match=r"cannot be used: its output of shape \(32, 256\) is no row of finite numbers"):
        encode_images(images(), IMAGES, 32).take(np.arange(2))


def test_the_two_spellings_are_one_data_set() -> None:
    written = DatasetSettings.parse(f"cifar10?encoder={IMAGES}&encoder_size=64&standardise=false")
    assert written.params == {"encoder": IMAGES, "encoder_size": 64, "standardise": False}
    assert DatasetSettings.parse("tiny_text?counted=answers").params == {"counted": "answers"}
    assert DatasetSettings.parse("a?b=007&c=-3&d=1.5").params == {"b": "007", "c": -3, "d": "1.5"}


REAL = Path(os.environ.get("DVBENCH_MIRROR") or Path(__file__).parents[3] / "shared/data/hub")
ENCODER = "timm/tf_efficientnet_lite0.in1k"
needs_mirror = pytest.mark.skipif(
    not all((REAL / name).is_dir() for name in (ENCODER, "zalando-datasets/fashion_mnist")),
    reason=f"no mirror of {ENCODER} and Fashion-MNIST: set DVBENCH_MIRROR to a folder that has them",
)


@needs_mirror
def test_features_of_fashion_mnist(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from sklearn.linear_model import LogisticRegression

    monkeypatch.setenv("DVBENCH_MIRROR", str(REAL))
    monkeypatch.setenv("DVBENCH_CACHE", str(tmp_path))
    dataset = DatasetSettings(name="fashion_mnist", params={"encoder": ENCODER, "encoder_size": 48})
    sizes = Sizes(train=200, validation=10, test=100)
    problem = build_problem(dataset, sizes, Noise(), 0)
    assert problem.shape == (1280,)
    assert problem.test.y.sum(dim=0).tolist() == [10.0] * 10
    model = LogisticRegression(C=0.01, max_iter=300).fit(problem.train.x, problem.train.y.argmax(dim=1))
    assert model.score(problem.test.x, problem.test.y.argmax(dim=1)) > 0.6
    monkeypatch.setitem(sys.modules, "timm", None)
    assert torch.equal(build_problem(dataset, sizes, Noise(), 0).train.x, problem.train.x)
