"""Training and unlearning once more, as a textbook has them: losses from torch, gradients from autograd."""

from __future__ import annotations

import copy

import torch
import torch.nn.functional as F
from torch import nn


def by_number(groups):
    """Results that were yielded in groups, by the number of the coalition: a stack of one copy, or its logits."""
    pieces = {}
    for numbers, results in groups:
        for position, number in enumerate(numbers):
            assert number not in pieces
            pieces[int(number)] = results[position : position + 1]
    return pieces


def weights_of(network: nn.Module) -> torch.Tensor:
    """All parameters and buffers in one vector."""
    return torch.cat([tensor.detach().double().flatten() for tensor in network.state_dict().values()])


def point_loss(output: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    if y.shape[1] > 1:
        return F.cross_entropy(output, y.argmax(dim=1), reduction="none")
    return 0.5 * F.mse_loss(output, y, reduction="none")[:, 0]


def divergence(output: torch.Tensor, reference: torch.Tensor) -> torch.Tensor:
    if output.shape[1] > 1:
        log_p, log_q = output.log_softmax(dim=1), reference.log_softmax(dim=1)
        return F.kl_div(log_q, log_p, reduction="batchmean", log_target=True)
    return 0.5 * F.mse_loss(output, reference)


def plain_training(network, x, y, *, seed, batch_size, epochs, lr, weight_decay, weight=None):
    """Trained copy of a network: AdamW on the mean of weighted losses over shuffled minibatches."""
    network = copy.deepcopy(network).train()
    optimiser = torch.optim.AdamW(network.parameters(), lr=lr, weight_decay=weight_decay)
    shuffles = torch.Generator().manual_seed(seed)
    weight = torch.ones(len(x)) if weight is None else weight
    for _ in range(epochs):
        for batch in torch.randperm(len(x), generator=shuffles).split(batch_size):
            loss = (point_loss(network(x[batch]), y[batch]) * weight[batch]).mean()
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
    return network


def drawn_rows(coalition, n, n_validation, steps, batch_size, seed):
    """Rows of the forget set and of the validation set for every step, (steps, batch_size) each.

    A place in a minibatch goes to the first of 32 random rows that is in the coalition, or else to a random member.
    """
    draws, members = torch.Generator().manual_seed(seed), torch.as_tensor(sorted(map(int, coalition)))
    uniform = torch.rand(steps, 2, batch_size, generator=draws)
    candidates = torch.randint(n, (steps * batch_size, 32), generator=draws)
    ours = torch.isin(candidates, members)
    first = candidates[torch.arange(len(candidates)), ours.int().argmax(dim=1)].reshape(steps, batch_size)
    other = members[(uniform[:, 0] * len(members)).long()]
    forget = torch.where(ours.any(dim=1).reshape(steps, batch_size), first, other)
    return forget, (uniform[:, 1] * n_validation).long()


def plain_unlearning(network, x, y, x_validation, coalition, seed, ascent):
    """Copy of a network that has unlearned a coalition: L = -CE(S) + l1 |t - t0|^2 + l2 KL(f || f0)(T) with AdamW."""
    network = copy.deepcopy(network).eval()
    parameters, original = list(network.parameters()), network(x_validation).detach()
    start = [parameter.detach().clone() for parameter in parameters]
    optimiser = torch.optim.AdamW(parameters, lr=ascent.lr, weight_decay=ascent.weight_decay, fused=True)
    rows = drawn_rows(coalition, len(x), len(x_validation), ascent.steps, ascent.batch_size, seed)
    for forget, keep in zip(*rows, strict=True):
        distance = torch.stack([(new - old).square().sum() for new, old in zip(parameters, start, strict=True)]).sum()
        loss = (
            -point_loss(network(x[forget]), y[forget]).mean()
            + ascent.lambda1 * distance
            + ascent.lambda2 * divergence(network(x_validation[keep]), original[keep])
        )
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    return network
