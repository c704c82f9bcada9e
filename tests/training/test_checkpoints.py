"""Training that is kept, interrupted and taken up again: the bits of one run, whatever happened on the way."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import safetensors.torch
import torch
from plain_texts import made_texts, tiny_model, weights

from dvbench.errors import UserError
from dvbench.models.gpt2_xl import gpt2_xl
from dvbench.training import checkpoints, language_model, text_training
from dvbench.training.checkpoints import Checkpoints, TrainingProgress, fingerprints, run_key, seconds_between
from dvbench.training.language_model import LanguageModel
from dvbench.training.text_training import train_texts

HOW = {"batch_size": 4, "epochs": 4, "lr": 1e-2, "weight_decay": 0.01, "seed": 3}  # three minibatches an epoch
X, Y = made_texts(10)


class StoppedError(Exception):
    pass


def stops(model, at: int | None = None):
    """Notes a number at the start of every epoch, and stops at one of them."""
    epochs = iter(range(100))

    def look():
        epoch = next(epochs)
        if epoch == at:
            raise StoppedError
        return round(model.predict(X[:2]).sum().item(), 3)

    return look


@pytest.fixture
def model():
    """A model in single precision, as those that train long are."""
    return tiny_model(dtype=torch.float32)


@pytest.fixture
def kept(tmp_path: Path) -> Checkpoints:
    """Checkpoints after every step."""
    return Checkpoints("run", tmp_path, every=0)


def train(model, kept=None, *, stop=None, **how):
    on_epoch = stops(model, stop)
    return train_texts(model.network, X, Y, **{**HOW, **how}, checkpoints=kept, on_epoch=on_epoch)


def interrupted(model, kept, at=2):
    with pytest.raises(StoppedError):
        train(model, kept, stop=at)


def steps_taken(monkeypatch, stop=None):
    """Count optimiser steps, and stop before one of them."""
    taken, genuine = [], torch.optim.AdamW.step

    def step(optimiser):
        taken.append(1)
        if len(taken) == stop:
            raise StoppedError
        return genuine(optimiser)

    monkeypatch.setattr(torch.optim.AdamW, "step", step)
    return taken


@pytest.mark.parametrize("at", [1, 2, 3])
def test_a_run_that_was_interrupted_ends_in_the_same_bits(at, model, kept, monkeypatch):
    expected = model.clone()
    reached, spared = train(expected)
    assert (reached.step, spared, len(reached.epoch_results)) == (12, 0.0, 4)
    interrupted(model.clone(), kept, at)
    (position,) = kept.folder.iterdir()
    assert position.name == str(3 * at)
    taken = steps_taken(monkeypatch)
    again, spared = train(model, kept)
    assert torch.equal(weights(model.network), weights(expected.network))
    assert len(taken) == 12 - 3 * at
    assert again.epoch_results[:at] == reached.epoch_results[:at]
    assert len(again.epoch_results) == 4
    assert again.epoch_results == reached.epoch_results
    assert 0 < spared < again.seconds


def test_interrupted_in_the_middle_of_an_epoch(model, kept, monkeypatch):
    expected = model.clone()
    reached, _ = train(expected)
    taken = steps_taken(monkeypatch, stop=8)
    with pytest.raises(StoppedError):
        train(model.clone(), kept)
    again, _ = train(model, kept)
    assert len(taken) == 8 + 5
    assert torch.equal(weights(model.network), weights(expected.network))
    assert again.epoch_results == reached.epoch_results


def test_interrupted_twice(model, kept):
    expected = model.clone()
    train(expected)
    interrupted(model.clone(), kept, 1)
    second = model.clone()
    interrupted(second, kept, 2)  # the third epoch's start, counted from the second's
    train(model, kept)
    assert torch.equal(weights(model.network), weights(expected.network))


def test_training_that_came_to_its_end_is_not_done_again(model, kept, monkeypatch):
    first = model.clone()
    reached, _ = train(first, kept)
    (position,) = kept.folder.iterdir()
    assert sorted(path.name for path in position.iterdir()) == ["state.json", "weights.safetensors"]
    before = (position / "state.json").stat().st_mtime_ns
    taken = steps_taken(monkeypatch)
    again, spared = train(model, kept)
    assert taken == []
    assert torch.equal(weights(model.network), weights(first.network))
    assert (again, spared) == (reached, reached.seconds)
    assert (position / "state.json").stat().st_mtime_ns == before


def test_checkpoints_are_made_of_numbers_and_text_only(model, kept, tmp_path):
    interrupted(model, kept)
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert sorted(path.name for path in files) == ["moments.safetensors", "state.json", "weights.safetensors"]
    for path in files:
        if path.suffix == ".json":
            assert set(json.loads(path.read_text())) == {"step", "seconds", "epoch_results", "sha256"}
        else:
            assert safetensors.torch.load_file(path)


def test_one_checkpoint_is_kept_and_its_moments_with_it(model, kept):
    interrupted(model, kept, 3)
    (position,) = kept.folder.iterdir()
    moments = safetensors.torch.load_file(position / "moments.safetensors")
    names = {name for name, _ in model.network.named_parameters()}
    assert set(moments) == {f"{part} {name}" for part in ("step", "exp_avg", "exp_avg_sq") for name in names}
    assert {int(moments[f"step {name}"]) for name in names} == {9}


def test_tied_weights_are_tied_when_they_come_back(model, kept):
    interrupted(model.clone(), kept)
    loaded = model.clone()
    optimiser = text_training.adamw(loaded.network, 1e-2, 0.01)
    kept.load(loaded.network, optimiser)
    assert loaded.network.lm_head.weight is loaded.network.transformer.wte.weight
    assert not torch.equal(loaded.network.lm_head.weight, model.network.lm_head.weight)
    train(model, kept)
    assert model.network.lm_head.weight is model.network.transformer.wte.weight


@pytest.mark.parametrize("damage", ["altered", "cut", "gone"])
@pytest.mark.parametrize("name", ["weights", "moments"])
def test_what_is_not_what_was_saved_is_refused(name, damage, model, kept):
    interrupted(model.clone(), kept)
    (position,) = kept.folder.iterdir()
    path = position / f"{name}.safetensors"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    if damage == "gone":
        path.unlink()
    else:
        path.write_bytes(content if damage == "altered" else content[:-100])
    before = weights(model.network)
    with pytest.raises(UserError) as error:
        train(model, kept)
    assert str(error.value) == f"{path} is damaged: delete {kept.folder} to train from the start"
    assert torch.equal(weights(model.network), before)


@pytest.mark.parametrize(
    "text", ["", "{", "[]", '{"step": 3}', '{"step": 3, "seconds": 1, "epoch_results": [], "sha256": {}}']
)
def test_a_state_that_cannot_be_read_is_refused(text, model, kept):
    interrupted(model.clone(), kept)
    (position,) = kept.folder.iterdir()
    (position / "state.json").write_text(text)
    with pytest.raises(UserError, match=r"is damaged: delete .* to train from the start") as error:
        train(model, kept)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("change", [{"step": 2}, {"epoch_results": [0.1]}, {"seconds": 0.0}, {"sha256": "weights"}, {}])
def test_a_state_that_was_altered_is_refused(change, model, kept):
    interrupted(model.clone(), kept)
    (position,) = kept.folder.iterdir()
    state = json.loads((position / "state.json").read_text())
    if not change:  # training that has come to its end has no moments
        del state["sha256"]["moments"]
    (position / "state.json").write_text(json.dumps(state | change))
    with pytest.raises(UserError, match=r"state.json is damaged: delete .* to train from the start"):
        train(model, kept)


def test_killed_while_saving_leaves_nothing_that_is_taken_up(model, kept, monkeypatch):
    expected = model.clone()
    train(expected)

    def killed(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    for part in ("file_sha256", "json"):  # between tensors and the state
        with monkeypatch.context() as patch:
            patch.setattr(checkpoints, part, type("", (), {"dumps": killed}) if part == "json" else killed)
            with pytest.raises(KeyboardInterrupt):
                train(model.clone(), kept)
        assert not list(kept.folder.glob("[0-9]*"))
        assert kept.load(model.network, text_training.adamw(model.network, 1e-2, 0.01)) is None
    train(model, kept)
    assert torch.equal(weights(model.network), weights(expected.network))


def test_a_full_disk_is_one_line_and_leaves_the_checkpoint_before(model, kept, monkeypatch):
    interrupted(model.clone(), kept, 1)
    before = {path: path.read_bytes() for path in kept.folder.rglob("*") if path.is_file()}

    def full(*_: object) -> None:
        raise safetensors.SafetensorError("Error while serializing:\nNo space left on device (os error 28)")

    monkeypatch.setattr(safetensors.torch, "save_file", full)
    with pytest.raises(UserError) as error:
        train(model, kept)
    assert str(error.value) == (
        f"cannot write a checkpoint in {kept.folder}: Error while serializing: No space left on device (os error 28); "
        "set DVBENCH_CACHE to a folder on a disk with more space"
    )
    assert {path: path.read_bytes() for path in kept.folder.rglob("*") if path.is_file()} == before


def test_a_folder_that_cannot_be_made_is_one_line(model, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=r"cannot write a checkpoint in .*file/run: .*; set DVBENCH_CACHE"):
        train(model, Checkpoints("run", tmp_path / "file", every=0))


def test_what_trains_faster_than_checkpoints_come_leaves_none(model, tmp_path):
    train(model, Checkpoints("run", tmp_path, every=600))
    assert list(tmp_path.iterdir()) == []


# Which run is the same


@pytest.fixture
def long(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """All training counts as long, and is kept after every step."""
    monkeypatch.setattr(language_model, "LONG_TRAINING", 0)
    monkeypatch.setattr(language_model, "seconds_between", lambda network: 0.0)
    monkeypatch.setenv("DVBENCH_CACHE", str(tmp_path))
    return tmp_path / "checkpoints"


FIT = {"batch_size": 4, "epochs": 2, "lr": 1e-2}


def test_a_fit_is_done_once_and_its_seconds_are_told(model, long, monkeypatch):
    first = model.clone().fit(X, Y, **FIT)
    assert first.fits.resumed_seconds == 0
    assert len(list(long.iterdir())) == 1
    taken = steps_taken(monkeypatch)
    second = model.clone().fit(X, Y, **FIT)
    assert taken == []
    assert torch.equal(weights(second.network), weights(first.network))
    assert second.seconds == first.seconds > 0
    assert model.fits.resumed_seconds == first.seconds
    assert model.fits.count == 2


@pytest.mark.parametrize(
    "change",
    [
        lambda model: (model, X, Y, {"lr": 2e-2}),
        lambda model: (model, X, Y, {"epochs": 3}),
        lambda model: (model, X, Y, {"batch_size": 5}),
        lambda model: (model, X, Y.clamp(max=1), {}),
        lambda model: (model, X.flip(0), Y, {}),
        lambda model: (model, X[:9], Y[:9], {}),
        lambda model: (tiny_model(4, dtype=torch.float32), X, Y, {}),  # of other weights and another seed
        lambda model: (LanguageModel(model.network, 4), X, Y, {}),  # of another seed alone
        lambda model: (LanguageModel(model.network, 3, weight_decay=0.1), X, Y, {}),
        lambda model: (LanguageModel(model.network, 3, precision="bfloat16"), X, Y, {}),
        lambda model: (tiny_model(dtype=torch.float64), X, Y, {}),
        lambda model: (model, X, Y, {"on_epoch": list}),
    ],
)
def test_another_run_is_not_taken_for_it(change, model, long, monkeypatch):
    model.clone().fit(X, Y, **FIT)
    other, x, y, how = change(model.clone())
    taken = steps_taken(monkeypatch)
    other.fit(x, y, **{**FIT, **how})
    assert len(taken) == -(-len(x) // {**FIT, **how}["batch_size"]) * {**FIT, **how}["epochs"]
    assert len(list(long.iterdir())) == 2


def test_short_training_is_not_kept(model, tmp_path, monkeypatch):
    monkeypatch.setenv("DVBENCH_CACHE", str(tmp_path))
    model.fit(X, Y, **FIT)
    assert list(tmp_path.iterdir()) == []


def test_keys_tell_weights_and_everything_else_apart(model):
    key = run_key(model.network, X, "a", 1)
    assert key == run_key(model.clone().network, X.clone(), "a", 1)
    others = [run_key(model.network, X, "a", "1"), run_key(model.network, X, "a1"), run_key(model.network, Y, "a", 1)]
    with torch.no_grad():
        model.network.transformer.ln_f.bias[0] += 1e-7
    assert len({key, *others, run_key(model.network, X, "a", 1)}) == 5


def test_fingerprints_depend_on_every_element_and_its_place():
    tensor = torch.randn(7, 5, generator=torch.Generator().manual_seed(0))
    (number,) = fingerprints([tensor])
    assert fingerprints([tensor.clone(), tensor.T.contiguous().T]) == [number, number]
    changed = []
    for i in range(35):
        for change in (lambda x: -x, lambda x: torch.nextafter(x, x + 1)):
            other = tensor.clone().flatten()
            other[i] = change(other[i])
            changed.append(other)
    swapped = tensor.clone()
    swapped[0], swapped[1] = tensor[1], tensor[0]
    others = fingerprints([*changed, swapped, tensor[:6], torch.zeros(3), torch.zeros(4)])
    assert len({number, *others}) == len(others) + 1


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16, torch.int8])
def test_fingerprints_do_not_depend_on_the_pieces_that_are_mixed_together(dtype, monkeypatch):
    tensor = torch.arange(-20, 20).to(dtype)
    expected = fingerprints([tensor])
    monkeypatch.setattr(checkpoints, "ELEMENTS_AT_ONCE", {"cpu": 7})
    assert fingerprints([tensor]) == expected
    assert fingerprints([]) == []


def test_a_fingerprint_is_the_sum_of_splitmix64():
    """Computed once more with Python's whole numbers."""

    def mixed(position: int, word: int) -> int:
        z = position * 0x9E3779B97F4A7C15 + word
        for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB), (31, 1)):
            z = (z + 2**63) % 2**64 - 2**63  # shifted with its sign
            z = (z ^ (z >> shift)) * factor
        return z

    words = [3, -1, 2**31 - 1, 0]
    expected = (sum(mixed(i, word) for i, word in enumerate(words, 1)) + 2**63) % 2**64 - 2**63
    assert fingerprints([torch.tensor(words, dtype=torch.int32)]) == [expected]


def test_checkpoints_of_large_networks_are_rarer():
    assert seconds_between(tiny_model().network) == 60
    with torch.device("meta"):
        assert 300 < seconds_between(gpt2_xl((768,), 50257)) < 600


def test_checkpoints_can_be_carried_to_another_folder(model, long, tmp_path, monkeypatch):
    """Training is interrupted; another machine, which has a copy of the cache, goes on."""
    expected = model.clone().fit(X, Y, **FIT)
    shutil.rmtree(long)
    first = model.clone()
    with monkeypatch.context() as patch:
        steps_taken(patch, stop=4)
        with pytest.raises(StoppedError):
            first.fit(X, Y, **FIT)
    shutil.copytree(long, tmp_path / "elsewhere" / "checkpoints")
    shutil.rmtree(long)
    monkeypatch.setenv("DVBENCH_CACHE", str(tmp_path / "elsewhere"))
    taken = steps_taken(monkeypatch)
    again = model.clone().fit(X, Y, **FIT)
    assert len(taken) == 6 - 3
    assert torch.equal(weights(again.network), weights(expected.network))


def test_what_was_noted_comes_back_as_it_was(model, kept):
    kept.save(TrainingProgress(3, 1.5, [[0.1, None], {"a": [1]}]), model.network, None)
    assert kept.load(model.network, text_training.adamw(model.network, 1e-2, 0.01)) == TrainingProgress(
        3, 1.5, [[0.1, None], {"a": [1]}]
    )
