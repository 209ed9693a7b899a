"""Minimising F(θ) = 1/N Σ w_n ℓ_n(θ) + λ/2 ‖θ‖², λ on every parameter, biases included; deterministic.

`logistic` is solved: Newton's method with a halving line search until ‖∇F‖ ≤ 1e-10, times the mean weight where that
exceeds 1 (Boyd & Vandenberghe, Convex Optimization, algorithm 9.5). `mlp` is trained: Nesterov momentum 0.9 over
shuffled minibatches, learning rate falling to 0 along a cosine, λ in the gradient (not decoupled, so that F is what is
minimised). Everything runs on one thread, so that the bits do not depend on how many cores a machine has.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from auditkit.errors import NumericsError
from auditkit.policy.schema import Training
from auditkit.subject.model import Logistic, initialise, loss

TOLERANCE = 1e-10
NEWTON_STEPS = 200
MOMENTUM = 0.9
PATIENCE = 10
HELD_OUT = 0.1


class DivergedError(NumericsError):
    """Training ended above where it began, or nowhere finite."""


@dataclass(frozen=True)
class Batch:
    """Encoded training rows: the module's inputs, targets [N] and weights [N]."""

    inputs: tuple[Tensor, ...]
    targets: Tensor
    weights: Tensor

    def __len__(self) -> int:
        return len(self.targets)

    def take(self, rows: Tensor) -> Batch:
        """Some rows."""
        return Batch(tuple(part[rows] for part in self.inputs), self.targets[rows], self.weights[rows])


@dataclass(frozen=True)
class Fit:
    """How a fit ended."""

    objective: float
    gradient_norm: float
    steps: int
    """Newton steps, or epochs."""


@contextmanager
def one_thread() -> Iterator[None]:
    """Run torch on one thread within, because the order of a parallel sum changes its last bits."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def objective(module: nn.Module, batch: Batch, l2: float) -> Tensor:
    """F(θ) of the rows of `batch`, as a scalar with gradient."""
    losses = loss(module(*batch.inputs), batch.targets)
    penalty = sum((p.square().sum() for p in module.parameters()), torch.zeros((), dtype=torch.float64))
    return (batch.weights * losses).mean() + 0.5 * l2 * penalty


def _unwatched(epoch: int) -> None:
    """Nobody looks on."""


def fit(
    module: nn.Module,
    batch: Batch,
    training: Training,
    generator: torch.Generator,
    *,
    watch: Callable[[int], None] = _unwatched,
) -> Fit:
    """Set the module's parameters in place and leave it in eval mode; `watch` is told of every epoch that ends.

    Raises:
        NumericsError: the solver did not reach the optimum. DivergedError: training diverged.
    """
    with one_thread():
        if isinstance(module, Logistic):
            start = math.inf
            steps = _newton(module, batch, training.l2)
        else:
            initialise(module, generator)
            with torch.no_grad():
                start = float(objective(module, batch, training.l2))
            steps = _minibatches(module, batch, training, generator, watch)
        value, norm = _end(module, batch, training.l2, start=start)
    module.eval()
    return Fit(value, norm, steps)


def _end(module: nn.Module, batch: Batch, l2: float, *, start: float) -> tuple[float, float]:
    """F and ‖∇F‖ where the fit ended; refused where F is not finite or above its value at the start."""
    found = objective(module, batch, l2)
    gradient = torch.autograd.grad(found, list(module.parameters()))
    value, norm = float(found.detach()), math.sqrt(sum(float(part.square().sum()) for part in gradient))
    if not math.isfinite(value) or not math.isfinite(norm) or value > start:
        text = f"the objective ended at {value:.3g} after a start at {start:.3g}"
        raise DivergedError(f"training diverged: {text}; lower model.training.learning-rate")
    return value, norm


def _newton(module: Logistic, batch: Batch, l2: float) -> int:
    """Solve logistic regression from θ = 0; the bias is the last coordinate and is penalised like the rest."""
    x = torch.cat([batch.inputs[0], torch.ones(len(batch), 1, dtype=torch.float64)], dim=1)
    y, w = batch.targets, batch.weights / len(batch)
    theta = torch.zeros(x.shape[1], dtype=torch.float64)

    def value_at(point: Tensor) -> Tensor:
        return (w * loss(x @ point, y)).sum() + 0.5 * l2 * point.square().sum()

    tolerance = TOLERANCE * max(1.0, float(w.sum()))
    value, steps = value_at(theta), 0
    for steps in range(NEWTON_STEPS):  # noqa: B007 - the count is the result
        p = torch.sigmoid(x @ theta)
        gradient = x.T @ (w * (p - y)) + l2 * theta
        if float(gradient.norm()) <= tolerance:
            break
        step = _solve((x * (w * p * (1 - p)).unsqueeze(1)).T @ x, gradient, l2)
        decrease, size = float(gradient @ step), 1.0
        # Close to the optimum F no longer changes in its last digits, so the full Newton step is taken.
        while decrease > 1e-12 and float(value_at(theta - size * step)) > float(value) - 1e-4 * size * decrease:
            size /= 2
        theta = theta - size * step
        value = value_at(theta)
    else:
        hint = "raise model.training.l2" if l2 < 1e-6 else "look for columns of very different size"
        raise NumericsError(f"logistic regression did not converge in {NEWTON_STEPS} Newton steps; {hint}")
    with torch.no_grad():
        module.linear.weight.copy_(theta[:-1].unsqueeze(0))
        module.linear.bias.copy_(theta[-1:])
    return steps


def _solve(curvature: Tensor, gradient: Tensor, l2: float) -> Tensor:
    """(H + λI)⁻¹ g; the least-norm solution where l2 = 0 leaves H singular (one-hot columns beside a bias)."""
    hessian = curvature + l2 * torch.eye(len(gradient), dtype=torch.float64)
    factor, failed = torch.linalg.cholesky_ex(hessian)
    if not int(failed) and l2 > 0:
        solved: Tensor = torch.cholesky_solve(gradient.unsqueeze(1), factor).squeeze(1)
        return solved
    inverse: Tensor = torch.linalg.pinv(hessian, rtol=1e-12, hermitian=True)
    return inverse @ gradient


def _minibatches(
    module: nn.Module, batch: Batch, training: Training, generator: torch.Generator, watch: Callable[[int], None]
) -> int:
    """Train by Nesterov SGD; with early stopping, keep the epoch whose loss on a held-out tenth is lowest."""
    order = torch.randperm(len(batch), generator=generator)
    held = max(1, int(HELD_OUT * len(batch))) if training.early_stopping else 0
    checked, learned = batch.take(order[:held]), batch.take(order[held:])
    parameters = list(module.parameters())
    momentum = Momentum.of(module, training.l2)
    best, best_epoch, kept = math.inf, 0, [p.detach().clone() for p in parameters]
    for epoch in range(training.epochs):
        _epoch(module, learned, training, momentum=momentum, epoch=epoch, generator=generator)
        watch(epoch)
        if not held:
            continue
        with torch.no_grad():
            current = float((checked.weights * loss(module(*checked.inputs), checked.targets)).mean())
            if current < best:
                best, best_epoch, kept = current, epoch, [p.detach().clone() for p in parameters]
        if epoch - best_epoch >= PATIENCE:
            break
    if not held:
        return training.epochs
    with torch.no_grad():
        for parameter, value in zip(parameters, kept, strict=True):
            parameter.copy_(value)
    return best_epoch + 1


@dataclass(frozen=True)
class Momentum:
    """Nesterov momentum as torch.optim.SGD has it, without importing torch.optim (two seconds, for its compiler).

    g = ∇loss + λθ, v ← μ v + g, θ ← θ - rate (g + μ v); the penalty of F is in the gradient of every step.
    """

    parameters: tuple[Tensor, ...]
    velocity: tuple[Tensor, ...]
    l2: float

    @classmethod
    def of(cls, module: nn.Module, l2: float) -> Momentum:
        """Momentum at rest."""
        parameters = tuple(module.parameters())
        return cls(parameters, tuple(torch.zeros_like(p) for p in parameters), l2)

    def step(self, value: Tensor, rate: float) -> None:
        """One step down the gradient of `value`."""
        gradients = torch.autograd.grad(value, self.parameters)
        with torch.no_grad():
            for parameter, velocity, gradient in zip(self.parameters, self.velocity, gradients, strict=True):
                whole = gradient.add(parameter, alpha=self.l2)
                velocity.mul_(MOMENTUM).add_(whole)
                parameter.sub_(whole.add_(velocity, alpha=MOMENTUM), alpha=rate)


def _epoch(
    module: nn.Module,
    batch: Batch,
    training: Training,
    *,
    momentum: Momentum,
    epoch: int,
    generator: torch.Generator,
) -> None:
    """One pass over shuffled rows; the rate falls with every step along a half cosine over all epochs."""
    order = torch.randperm(len(batch), generator=generator)
    starts = range(0, len(batch), training.batch)
    total = len(starts) * training.epochs
    for step, start in enumerate(starts, start=epoch * len(starts)):
        part = batch.take(order[start : start + training.batch])
        rate = 0.5 * training.learning_rate * (1 + math.cos(math.pi * step / total))
        momentum.step((part.weights * loss(module(*part.inputs), part.targets)).mean(), rate)
