"""Language models small enough to check, and what is said, learned and unlearned of texts, done once more.

Everything here goes text by text and token by token, through transformers' own logits and losses from torch.
"""

from __future__ import annotations

import copy

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from dvbench.models.gpt2 import gpt2
from dvbench.problems.perplexity import PADDING
from dvbench.training.language_model import LanguageModel
from dvbench.training.tensor_model import seeded
from dvbench.training.text_training import text_minibatches

VOCABULARY, LENGTH = 29, 9


def tiny_model(seed=3, *, layers=2, vocabulary=VOCABULARY, dtype=torch.float64, **settings) -> LanguageModel:
    """GPT-2 of width 8 in double precision, with weights large enough that its outputs differ."""
    network = seeded(lambda: gpt2((LENGTH,), vocabulary, layers=layers, width=8, heads=2), seed).to(dtype)
    with torch.no_grad():
        for parameter in network.parameters():
            if parameter.ndim > 1:
                parameter.mul_(10)
    return LanguageModel(network, seed, **settings)


def made_texts(n, seed=0, *, vocabulary=VOCABULARY, length=LENGTH, longest=None):
    """Rows of random tokens of several lengths, and where their loss begins: some in the middle."""
    rng = np.random.default_rng(seed)
    rows = np.full((n, length), PADDING, dtype=np.uint16)
    begins = np.ones((n, 1), dtype=np.int64)
    for row in range(n):
        size = int(rng.integers(3, (longest or length) + 1))
        rows[row, 0] = vocabulary - 1
        rows[row, 1:size] = rng.integers(0, vocabulary - 1, size - 1)
        begins[row] = rng.integers(1, size) if row % 2 else 1
    return torch.from_numpy(rows), torch.from_numpy(begins)


def tokens_of(row) -> list[int]:
    return [int(token) for token in row.tolist() if token not in (PADDING, -1)]


def token_logits(network: nn.Module, row) -> tuple[torch.Tensor, torch.Tensor]:
    """Logits (tokens - 1, vocabulary) of one text alone, and the tokens that they are about."""
    tokens = torch.tensor(tokens_of(row))
    return network(input_ids=tokens[None]).logits[0, :-1], tokens[1:]


def counted(network: nn.Module, x, y) -> tuple[torch.Tensor, torch.Tensor]:
    """Logits and targets of all tokens of some texts that count, text by text."""
    actual = [token_logits(network, row) for row in x]
    begins = y[:, 0].tolist()
    pairs = [(said[begin - 1 :], tokens[begin - 1 :]) for (said, tokens), begin in zip(actual, begins, strict=True)]
    said, tokens = zip(*pairs, strict=True)
    return torch.cat(said), torch.cat(tokens)


def log_loss(network: nn.Module, x, y) -> torch.Tensor:
    """Mean loss of the tokens that count."""
    return F.cross_entropy(*counted(network, x, y))


def plain_text_training(network, x, y, *, seed, batch_size, epochs, lr, weight_decay=0.01):
    """Trained copy of a network: AdamW on the mean loss of each minibatch's tokens."""
    network = copy.deepcopy(network)
    optimiser = torch.optim.AdamW(network.parameters(), lr=lr, weight_decay=weight_decay)
    for rows in text_minibatches(len(x), batch_size, epochs, seed):
        optimiser.zero_grad()
        log_loss(network, x[rows], y[rows]).backward()
        optimiser.step()
    return network


def plain_text_unlearning(network, loss, squared, rows, lr, weight_decay=0.01):
    """Unlearn in place by AdamW on ``loss(step, forget, keep) + squared()``, of drawn rows of both sets."""
    moving = [parameter for parameter in network.parameters() if parameter.requires_grad]
    optimiser = torch.optim.AdamW(moving, lr=lr, weight_decay=weight_decay)
    for step, (forget, keep) in enumerate(zip(*rows, strict=True)):
        optimiser.zero_grad()
        (loss(step, forget, keep) + squared()).backward()
        optimiser.step()


def weights(network: nn.Module) -> torch.Tensor:
    """All parameters in one vector."""
    return torch.cat([parameter.detach().flatten() for parameter in network.parameters()])


def weights_that_matter(network: nn.Module) -> torch.Tensor:
    """The same without biases of keys, which change no output: AdamW blows up what rounding makes of their slope."""
    network, d = copy.deepcopy(network), network.config.hidden_size
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            if name.endswith("c_attn.bias"):
                parameter[d : 2 * d] = 0.0
    return weights(network)
