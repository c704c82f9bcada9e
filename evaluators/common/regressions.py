"""Trains logistic regressions on growing prefixes of many permutations, all permutations together."""

from __future__ import annotations

import torch

# Settings chosen on digits. More STEPS take more time and bring models closer to converged models.
STEPS, MOMENTUM = 4, 0.5  # of gradient descent in a sweep
MIN_CURVATURE = 0.04  # points that fit well have a tiny curvature, with which steps overshoot
MAX_FLOOR = 0.25  # half of the largest curvature that a point can have
ROUNDING = 1e-6  # rounding error of a preconditioner, relative to its largest entry
MIN_SHARE = 0.1  # of a class in the preconditioner
ABSENT = -1e30  # intercept of a class without points, whose limit is minus infinity
CACHE = 2**20  # bytes of points that a sweep processes at a time, because it reads them twice in each step
TINY = 1e-30  # instead of a division by zero


class Regressions:
    """Logistic regressions on prefixes of one size, one for each permutation.

    The preconditioner of a model is one matrix for all classes: l2 plus the sum over points of c x x', where c bounds
    the eigenvalues of the Hessian of the point's loss with respect to its logits. Its inverse is stored, and used while
    the prefix grows and the model changes. Meanwhile curvatures may grow, mostly those of points with wrong labels.
    Two rules keep models stable all the same:

    - c has a floor, which is the mean of 1 - p(label) over the model's points, between 0.04 and 0.25. With 0.25 the
      preconditioner is at least half of every Hessian, whatever the weights. Where labels fit, 0.04 lets models learn
      faster.
    - A step in a sweep is as long as `_step_lengths` allows, at most 1, so that it cannot raise the objective.

    Both are continuous functions of the weights. A comparison of losses would sometimes be decided by rounding, and
    lengths above 1, from an exact line search, would amplify rounding from sweep to sweep.

    Parameters
    ----------
    x : torch.Tensor of shape (k, n, d)
        Points in the order of each permutation; the last feature is 1.
    y : torch.Tensor of shape (k, n, classes)
        One-hot labels.
    l2 : float

    Attributes
    ----------
    weights : torch.Tensor of shape (k, classes, d)
    """

    def __init__(self, x: torch.Tensor, y: torch.Tensor, l2: float) -> None:
        self.x, self.y = x, y
        (k, _, d), classes = x.shape, y.shape[2]
        self.penalty = torch.full((d,), l2)
        self.penalty[-1] = 0
        self.ridge = torch.full((d,), l2)
        self.ridge[-1] *= 1e-3  # not zero, so that an inverse exists
        self.inverse = torch.diag(1 / self.ridge).repeat(k, 1, 1)
        self.floor = torch.full((k, 1), MAX_FLOOR)
        self.shares = torch.ones(k, classes)
        self.weights = torch.zeros(k, classes, d)
        self.weights[:, :, -1] = ABSENT
        self.sums = torch.zeros_like(self.weights)  # of the points of each class
        self.first_points = torch.where(y.amax(dim=1) > 0, y.argmax(dim=1), -1)  # of each class

    def add(self, index: int) -> None:
        """Add a point: minimise the quadratic bound of its loss plus the quadratic model of the other points' losses.

        For a class that few points are uncertain about, the preconditioner is too large; a factor for each class
        corrects this. Without it a point would change its model too little, and the next sweep would credit the
        rest of its contribution to another point.
        """
        x, y = self.x[:, index], self.y[:, index]
        self.weights[:, :, -1].masked_fill_(self.first_points == index, 0)
        self.sums += y.unsqueeze(2) * x.unsqueeze(1)
        p = (self.weights * x.unsqueeze(1)).sum(dim=2).softmax(dim=1)
        curvature = torch.maximum(_curvatures(p.unsqueeze(2), y.unsqueeze(2)).amax(dim=1), self.floor)
        u = torch.bmm(x.unsqueeze(1), self.inverse)
        point_curvature = curvature * (u.squeeze(1) * x).sum(dim=1, keepdim=True)
        self.weights -= ((p - y) / (self.shares + point_curvature)).unsqueeze(2) * u
        self.inverse.baddbmm_((curvature / (1 + point_curvature)).unsqueeze(2) * u.mT, u, alpha=-1)  # Sherman-Morrison

    def precondition(self, size: int) -> None:
        """Compute the preconditioner again, because curvatures change as models learn."""
        x, y = self.x[:, :size], self.y[:, :size].mT
        p = torch.bmm(self.weights, x.mT).softmax(dim=1)
        self.floor = (1 - (p * y).sum(dim=1)).mean(dim=1, keepdim=True).clamp(MIN_CURVATURE, MAX_FLOOR)
        curvatures = _curvatures(p, y)
        curvature = torch.maximum(curvatures.amax(dim=1), self.floor)
        self.shares = (curvatures.sum(dim=2) / curvature.sum(dim=1, keepdim=True)).clamp(min=MIN_SHARE)
        bound = (x * curvature.unsqueeze(2)).mT @ x + torch.diag(self.ridge)
        diagonal = bound.diagonal(dim1=1, dim2=2)
        diagonal += ROUNDING * diagonal.amax(dim=1, keepdim=True)
        factor, failed = torch.linalg.cholesky_ex(bound)
        factor[failed > 0] = torch.diag(torch.full_like(self.ridge, torch.nan))  # raises an error later
        self.inverse = torch.cholesky_inverse(factor)

    def sweep(self, size: int) -> None:
        """Take a few steps with momentum on whole prefixes; more on small ones, which change most and cost least."""
        steps = min(16, max(STEPS, 512 // size))
        whole = (self.x[:, :size], self.sums, self.inverse, self.weights)
        chunk = max(1, CACHE // (4 * size * self.x.shape[2]))
        for x, sums, inverse, weights in zip(*(torch.split(part, chunk) for part in whole), strict=True):
            logits, move = torch.bmm(weights, x.mT), torch.zeros_like(weights)
            for _ in range(steps):
                p = logits.softmax(dim=1)
                gradient = torch.bmm(p, x).sub_(sums).addcmul_(self.penalty.expand_as(weights), weights)
                direction = MOMENTUM * move - torch.bmm(gradient, inverse)
                changes = torch.bmm(direction, x.mT)
                slope = -(gradient * direction).sum(dim=(1, 2)).clamp(max=0)  # uphill, by momentum: no step
                penalty = (self.penalty * direction.square()).sum(dim=(1, 2))
                length = _step_lengths(p, changes, slope, penalty)
                move = length * direction
                weights += move
                logits.addcmul_(length, changes)


def _step_lengths(p: torch.Tensor, changes: torch.Tensor, slope: torch.Tensor, penalty: torch.Tensor) -> torch.Tensor:
    """Lengths of steps, at most 1, on whose whole way the objective falls.

    On the way, the second derivative of a point's loss is the variance of its logits' changes, v at the start. It grows
    at most by a factor exp(length * range of the changes), and never exceeds range^2 / 4. So up to length 1 the first
    derivative grows at most by v (exp(range) - 1) / range, or range^2 / 4, times the length.

    Parameters
    ----------
    p, changes : torch.Tensor of shape (k, classes, points)
        Probabilities at the start, and changes of logits in a step of length 1.
    slope : torch.Tensor of shape (k,)
        How fast the objective falls at the start; 0 or more.
    penalty : torch.Tensor of shape (k,)
        Second derivative of the penalty.

    Returns
    -------
    torch.Tensor of shape (k, 1, 1)
    """
    span = changes.amax(dim=1) - changes.amin(dim=1)
    weighted = p * changes
    mean = weighted.sum(dim=1)
    variance = torch.linalg.vecdot(weighted, changes, dim=1).addcmul_(mean, mean, value=-1).clamp_(min=0)
    exponent = span.clamp(1e-4, 30)  # 0 / 0 below, infinity above, where range^2 / 4 is smaller
    growth = torch.minimum(variance * exponent.expm1() / exponent, span.square() / 4)
    return (slope / (growth.sum(dim=1) + penalty).clamp(min=TINY)).clamp(max=1)[:, None, None]


def _curvatures(p: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """Bounds on the curvature of points' losses with respect to their logits; a point's bound is its largest class's.

    The bound is 2 p (1 - p). If p is wrong by more than 0.5, it is the bound of Jaakkola and Jordan, which holds on the
    whole way to the right label: there p (1 - p) is almost zero, and a step would overshoot. All arrays have shape (k,
    classes, points).
    """
    return torch.where((p - y).abs() > 0.5, (2 * p - 1) / p.logit(eps=1e-6), 2 * p * (1 - p))
