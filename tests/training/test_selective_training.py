"""Training on chosen points: the steps of torch's own optimiser and schedule, weights, crops, and who chooses when."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import nn

from dvbench.randomness import integer_seed, torch_generator
from dvbench.settings import SelectionSettings
from dvbench.training.images import cropped_and_flipped
from dvbench.training.selective import Chosen, train_on_chosen
from dvbench.training.tensor_model import seeded

HOW = SelectionSettings(fractions=(0.5,), every=2, epochs=5, batch_size=8, lr=0.05)


def data(n: int = 30) -> tuple[torch.Tensor, torch.Tensor]:
    rng = np.random.default_rng(0)
    labels = torch.arange(n) % 3
    return torch.from_numpy(rng.normal(size=(n, 4))).float() + labels[:, None], torch.eye(3)[labels]


def mlp() -> nn.Module:
    return seeded(lambda: nn.Sequential(nn.Flatten(), nn.Linear(4, 6), nn.ReLU(), nn.Linear(6, 3)), 1)


def with_batch_norm() -> nn.Module:
    return seeded(lambda: nn.Sequential(nn.Linear(4, 6), nn.BatchNorm1d(6), nn.ReLU(), nn.Linear(6, 3)), 1)


def chosen(*rows: int, weights: list[float] | None = None) -> Chosen:
    return Chosen(np.array(rows), np.array(weights or np.ones(len(rows)), dtype=np.float32))


@pytest.mark.parametrize("build", [mlp, with_batch_norm])
def test_it_is_a_plain_loop_with_torchs_optimiser_and_schedule(build) -> None:
    x, y = data()
    choices = [chosen(*range(0, 30, 2)), chosen(*range(10), weights=[float(k) for k in range(10)]), chosen(1, 4, 7, 9)]
    network, plain = build(), build()
    train_on_chosen(network, x, y, lambda _, number: choices[number], HOW, seed=7)
    optimiser = torch.optim.SGD(plain.parameters(), lr=0.05, momentum=0.9, nesterov=True, weight_decay=5e-4)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, T_max=5)
    for epoch in range(5):
        choice = choices[epoch // 2]
        generator = torch_generator(integer_seed("epoch", 7, epoch))
        order = torch.randperm(len(choice.indices), generator=generator)
        for batch in order.split(8):
            rows, weights = torch.from_numpy(choice.indices)[batch], torch.from_numpy(choice.weights)[batch]
            losses = nn.functional.cross_entropy(plain(x[rows]), y[rows], reduction="none")
            optimiser.zero_grad()
            ((weights * losses).sum() / weights.sum()).backward()
            optimiser.step()
        schedule.step()
    for one, other in zip(network.state_dict().values(), plain.state_dict().values(), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-6)


def test_points_are_chosen_by_the_model_of_that_moment_and_tested_after() -> None:
    x, y = data()
    seen, tested = [], []

    def choose(network: nn.Module, number: int) -> Chosen:
        seen.append((number, network[1].weight.clone()))
        return chosen(1, 5, 9)

    network = mlp()
    before = network[1].weight.clone()
    train_on_chosen(network, x, y, choose, HOW, 0, lambda trained: tested.append(trained[1].weight.clone()))
    assert [number for number, _ in seen] == [0, 1, 2]
    assert torch.equal(seen[0][1], before)
    assert torch.equal(seen[1][1], tested[0])
    assert not torch.equal(seen[1][1], before)
    assert torch.equal(tested[2], network[1].weight)


def test_the_same_points_give_the_same_bits_whatever_else_is_drawn() -> None:
    x, y = data()

    def trained(disturb: bool) -> nn.Module:
        def choose(network: nn.Module, number: int) -> Chosen:
            if disturb:
                torch.rand(number + 1)
            return chosen(*range(20))

        network = seeded(lambda: nn.Sequential(nn.Linear(4, 6), nn.Dropout(0.5), nn.Linear(6, 3)), 1)
        train_on_chosen(network, x, y, choose, HOW, 3)
        return network

    state = torch.random.get_rng_state()
    one, other = trained(False), trained(True)
    assert torch.equal(one[2].weight, other[2].weight)
    torch.random.set_rng_state(state)
    trained(False)
    assert torch.equal(torch.random.get_rng_state(), state)


def test_points_of_weight_0_do_not_train() -> None:
    x, y = data()
    far = x.clone()
    far[4] = 1e3
    networks = [mlp(), mlp()]
    for network, features in zip(networks, (x, far), strict=True):
        train_on_chosen(network, features, y, lambda *_: chosen(2, 3, 4, weights=[1.0, 1.0, 0.0]), HOW, 0)
    assert torch.equal(networks[0][1].weight, networks[1][1].weight)
    train_on_chosen(networks[0], x, y, lambda *_: chosen(2, 3, weights=[0.0, 0.0]), HOW, 0)
    assert networks[0][1].weight.isfinite().all()


def test_divergence_is_said() -> None:
    x, y = data()
    wild = HOW.model_copy(update={"lr": 1e30})
    with pytest.raises(FloatingPointError, match=r"training on 3 chosen points diverged; lower the rate 1e\+30"):
        train_on_chosen(mlp(), x, y, lambda *_: chosen(1, 2, 3), wild, 0)


def test_crops_are_parts_of_the_padded_image() -> None:
    image = torch.arange(1.0, 129.0).reshape(2, 8, 8)
    images = image.expand(200, 2, 8, 8)
    padded = nn.functional.pad(image, (1, 1, 1, 1))
    windows = [padded[:, top : top + 8, left : left + 8] for top in range(3) for left in range(3)]
    allowed = {w.numpy().tobytes() for window in windows for w in (window, window.flip(2))}
    cropped = cropped_and_flipped(images, torch_generator(0))
    drawn = {crop.numpy().tobytes() for crop in cropped}
    assert drawn == allowed  # 18 windows, 200 draws: all of them, and nothing else
    assert torch.equal(cropped, cropped_and_flipped(images, torch_generator(0)))
    assert torch.equal(cropped_and_flipped(images[None], torch_generator(0))[0], cropped)


def test_crops_of_an_epoch_depend_on_nothing_but_seed_and_epoch() -> None:
    rng = np.random.default_rng(0)
    x = torch.from_numpy(rng.random((12, 1, 8, 8))).float()
    y = torch.eye(3)[torch.arange(12) % 3]
    how = HOW.model_copy(update={"augmentation": "crop_and_flip"})

    def trained(how: SelectionSettings) -> torch.Tensor:
        network = seeded(lambda: nn.Sequential(nn.Flatten(), nn.Linear(64, 3)), 1)
        train_on_chosen(network, x, y, lambda *_: chosen(*range(12)), how, 3)
        return network[1].weight

    assert torch.equal(trained(how), trained(how))
    assert not torch.equal(trained(how), trained(HOW))


def test_the_schedule_falls_from_the_rate_to_nearly_0() -> None:
    rates = [0.5 * 0.05 * (1 + math.cos(math.pi * epoch / 5)) for epoch in range(5)]
    assert rates[0] == 0.05
    assert rates == sorted(rates, reverse=True)
