"""Shapley values of one training step of a chain of linear layers, from outer products.

The gradient of a linear layer's weights is a sum of outer products d_i a_i^T, of the gradient with respect to its
output and of its input. So the inner product of the gradients of two points is <a_i, a_j> <d_i, d_j>: with few
validation points it takes far fewer operations than the gradients themselves. The product of the Hessian with a vector
is such a sum too. It is computed by Pearlmutter's rules: R of a number is its derivative in the direction of a vector.
"""

from __future__ import annotations

import torch

from dvbench.training.losses import is_classification, predictions
from dvbench.training.stacks import LinearStack


class ChainStep:
    """Shapley values of the expansion of one step, as `evaluators.in_run_data_shapley` defines them.

    Parameters
    ----------
    first : int
        Number of the first layer whose parameters gradients are of; 0 for all layers.
    """

    def __init__(self, first: int) -> None:
        self.first = first

    @torch.no_grad()
    def values(
        self, stack: LinearStack, x_valid: torch.Tensor, y_valid: torch.Tensor, lr: float, order: int
    ) -> torch.Tensor:
        """Values of the points of the minibatch whose gradient a stack has recorded.

        Parameters
        ----------
        stack : LinearStack
            Of one copy.
        x_valid, y_valid : torch.Tensor of shape (m, ...) and (m, outputs)
        lr : float
        order : {1, 2}

        Returns
        -------
        torch.Tensor of shape (points,)
        """
        inputs, logits = self._forward(stack, x_valid)
        predicted = predictions(logits.T, y_valid).T
        downstream = self._backward(stack, inputs, (predicted - y_valid.T) / len(y_valid))
        if order == 2:
            moved_inputs, moved_logits = self._moved_forward(stack, inputs)
            if is_classification(y_valid):  # the derivative of the softmax
                moved_logits = predicted * (moved_logits - (predicted * moved_logits).sum(dim=0))
            moved = self._moved_backward(stack, inputs, downstream, moved_logits / len(y_valid))
        total = torch.zeros((), device=logits.device, dtype=logits.dtype)
        for i in range(self.first, len(inputs)):
            a, d = (part[0].T for part in stack.recorded[i])
            near, alike = (a @ inputs[i]).add_(1), d @ downstream[i]  # one more for the bias
            if order == 2:
                second = torch.addcmul(near * (d @ moved[i]), a @ moved_inputs[i], alike)
                total = total - lr**2 / 2 * second.sum(dim=1)
            total = total + lr * near.mul_(alike).sum(dim=1)
        return total

    def _forward(self, stack: LinearStack, x: torch.Tensor) -> tuple[list[torch.Tensor], torch.Tensor]:
        """Inputs of all layers and the logits, each (width, points)."""
        inputs, outputs = list[torch.Tensor](), x.flatten(1).T
        for weight, bias in zip(stack.parameters[::2], stack.parameters[1::2], strict=True):
            inputs.append(outputs.relu_() if inputs else outputs)
            outputs = torch.addmm(bias[0].unsqueeze(1), weight[0], inputs[-1])
        return inputs, outputs

    def _backward(self, stack: LinearStack, inputs: list[torch.Tensor], last: torch.Tensor) -> list[torch.Tensor]:
        """Gradients with respect to the outputs of the layers from `first` on; others are empty."""
        gradients = [torch.empty(0)] * (len(inputs) - 1) + [last]
        for i in range(len(inputs) - 1, self.first, -1):
            gradients[i - 1] = (stack.parameters[2 * i][0].T @ gradients[i]).mul_(inputs[i].sign())
        return gradients

    def _moved_forward(self, stack: LinearStack, inputs: list[torch.Tensor]) -> tuple[list[torch.Tensor], torch.Tensor]:
        """R of the inputs and of the logits, in the direction of the stack's gradient."""
        moved, outputs = [torch.zeros_like(part) for part in inputs[: self.first + 1]], torch.empty(0)
        for i in range(self.first, len(inputs)):
            weight_gradient, bias_gradient = (part[0] for part in stack.gradients[2 * i : 2 * i + 2])
            if i > self.first:
                moved.append(outputs.mul_(inputs[i].sign()))
            outputs = torch.addmm(bias_gradient.unsqueeze(1), weight_gradient, inputs[i])
            if i > self.first:
                outputs.addmm_(stack.parameters[2 * i][0], moved[i])
        return moved, outputs

    def _moved_backward(
        self, stack: LinearStack, inputs: list[torch.Tensor], downstream: list[torch.Tensor], last: torch.Tensor
    ) -> list[torch.Tensor]:
        """R of the gradients that `_backward` returns."""
        moved = [torch.empty(0)] * (len(inputs) - 1) + [last]
        for i in range(len(inputs) - 1, self.first, -1):
            total = stack.parameters[2 * i][0].T @ moved[i]
            total.addmm_(stack.gradients[2 * i][0].T, downstream[i])
            moved[i - 1] = total.mul_(inputs[i].sign())
        return moved
