"""In-context probing: what a text adds to the log-probability of the answers when it stands before them."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from opendataval.dataval import ModelMixin

from dvbench.errors import UserError
from dvbench.number_checks import whole_number
from dvbench.problems.perplexity import are_tokens
from dvbench.randomness import random_state as as_random_state
from dvbench.training.language_model import LanguageModel
from dvbench.training.output_chunks import full_precision, logits_of
from dvbench.training.tensors import as_tensor
from dvbench.training.text_batches import lengths, output_layer
from evaluators.common.own_evaluator import OwnEvaluator
from evaluators.common.requirements import require_texts

CHUNK = 512  # tokens that have logits at a time


class InContextProbing(OwnEvaluator, ModelMixin):
    """In-context probing: rise of the mean log-probability of validation texts if a text stands before them.

        phi_i = mean over tokens t of questions q that count of  log p(t | text i, q before t) - log p(t | q before t)

    under the model trained on all texts. The question follows the text with its own begin-of-text token. No gradient is
    needed. Positive values are of texts that make the answers more likely; the unit is nats per token, and there are no
    bounds. A subset is worth the sum over its texts.

    It costs one fit, and one forward pass over every text with each of ``questions`` questions. It takes texts and a
    language model of dvbench. Where a text and a question together have more tokens than the model has positions, the
    end of the text is cut.

    Parameters
    ----------
    questions : int
        Texts of the validation set that are asked, drawn without replacement; all if there are not more.
    random_state : int or RandomState, optional
        Source of the questions.

    Notes
    -----
    Variant: the paper's score for one demonstration, without its prompts around text and question, and with the
    difference to no demonstration in place of a ratio. A model that was not trained on demonstrations, such as the
    small ones of dvbench, may use them little. Tested against the logits of transformers for each pair of a text and a
    question alone.

    Values: rise of the log-probability of validation texts, in nats per token, without bounds; positive values are
    useful.

    Takes: texts only, as points and subsets.

    Between processors: equal up to rounding.

    References
    ----------
    C. Jiao, W. Gao, C. Xiong. In-context probing approximates influence function for data valuation. arXiv:2407.12259,
    2024. Section 3.
    """

    def __init__(self, questions: int = 32, random_state: int | np.random.RandomState | None = None) -> None:
        self.questions = whole_number("questions", questions)
        self.random_state = as_random_state(random_state)

    def train_data_values(self, *args: Any, **training: Any) -> InContextProbing:
        """Train the model and compute the values.

        Parameters
        ----------
        *args, **training
            Arguments of the model's ``fit``.

        Raises
        ------
        UserError
            If points are no texts, or the loss includes no token of the questions.
        """
        self.__dict__.pop("data_values", None)  # OpenDataVal caches it; it belongs to earlier data
        x, y, x_valid, y_valid = (as_tensor(part) for part in (self.x_train, self.y_train, self.x_valid, self.y_valid))
        require_texts("in_context_probing", x)
        drawn = np.sort(self.random_state.permutation(len(x_valid))[: self.questions])
        model: LanguageModel = self.pred_model.clone().fit(x, y, *args, **training)
        asked, begins = _as_numbers(x_valid[drawn]), y_valid[drawn].long()
        loss, tokens = summed_loss(model, asked, begins)
        if tokens == 0:
            raise UserError("in_context_probing asks questions of which the loss includes no token")
        texts, sizes = _as_numbers(x), lengths(x).tolist()
        losses = [
            summed_loss(model, *with_demonstration(model, text[:size], asked, begins))[0]
            for text, size in zip(texts, sizes, strict=True)
        ]
        self.values_: np.ndarray = (loss - np.array(losses)) / tokens
        return self


def with_demonstration(
    model: LanguageModel, text: torch.Tensor, asked: torch.Tensor, begins: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Questions with a text before them, and where their loss begins.

    Parameters
    ----------
    model : LanguageModel
    text : torch.Tensor of int64, shape (tokens,)
    asked : torch.Tensor of int64, shape (m, length)
        Questions; padding is negative.
    begins : torch.Tensor of int64, shape (m, 1)
    """
    config: Any = model.network.config
    positions: int = config.max_position_embeddings
    text = text[: max(0, positions + 1 - int(lengths(asked).max()))]  # the last token is predicted, and not read
    return torch.cat([text.expand(len(asked), -1), asked], dim=1), begins + len(text)


@torch.no_grad()
def summed_loss(model: LanguageModel, x: torch.Tensor, y: torch.Tensor) -> tuple[float, int]:
    """Negative log-probability of the tokens of texts that count, summed, and their number."""
    entering, sizes = model.features(x, y)
    targets = x[are_tokens(x) & (torch.arange(x.shape[1]) >= y.clamp(min=1))].to(entering.device)
    layer, total = output_layer(model.network), 0.0
    for features, tokens in zip(entering.split(CHUNK), targets.split(CHUNK), strict=True):
        with model.autocast():
            logits = logits_of(layer, features)
        total += float(F.cross_entropy(full_precision(logits), tokens, reduction="sum"))
    return total, sum(sizes)


def _as_numbers(x: torch.Tensor) -> torch.Tensor:
    """Rows of tokens as int64, with negative padding."""
    return torch.where(are_tokens(x), x.long(), -1)
