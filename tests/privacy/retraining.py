"""Many small networks trained at once on random halves of a pool, for proofs: overfit on purpose."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from math import cos, pi

import numpy as np
import torch
from torch import Tensor

from auditkit.privacy.membership import Retrained


@dataclass(frozen=True)
class Recipe:
    """Minibatch descent with momentum, a cosine from `rate` to 0, and L2."""

    widths: tuple[int, ...]
    epochs: int
    rate: float = 0.05
    l2: float = 1e-4
    batch: int = 64


def halves(inputs: Tensor, labels: Tensor, models: int, recipe: Recipe, *, seed: int) -> Retrained:
    """Margin logits [models, P] of every record under networks trained on random halves of the pool."""
    draw = torch.Generator().manual_seed(seed)
    total, size = len(labels), len(labels) // 2
    rows = torch.stack([torch.randperm(total, generator=draw)[:size] for _ in range(models)])
    inside = torch.zeros(models, total, dtype=torch.bool).scatter_(1, rows, True)
    return Retrained(trained(inputs, labels, rows, recipe, draw), inside.numpy())


def trained(inputs: Tensor, labels: Tensor, rows: Tensor, recipe: Recipe, draw: torch.Generator) -> np.ndarray:
    """Margin logits [K, P] of every record under networks trained on `rows` [K, S], each on its own."""
    models, size = rows.shape
    layers = _start(models, recipe.widths, draw)
    speed = [torch.zeros_like(p) for p in layers]
    steps = -(-size // recipe.batch)
    for step in range(recipe.epochs * steps):
        if step % steps == 0:
            order = torch.stack([own[torch.randperm(size, generator=draw)] for own in rows])
        at = order[:, step % steps * recipe.batch : (step % steps + 1) * recipe.batch]
        given = [p.requires_grad_() for p in layers]
        logits = _outputs(given, inputs[at])
        loss = torch.nn.functional.cross_entropy(logits.flatten(0, 1), labels[at].flatten(), reduction="none")
        gradients = torch.autograd.grad(loss.view(models, -1).mean(1).sum(), given)
        rate = recipe.rate * 0.5 * (1 + cos(pi * step / (recipe.epochs * steps)))
        with torch.no_grad():
            for p, v, g in zip(layers, speed, gradients, strict=True):
                v.mul_(0.9).add_(g + recipe.l2 * p)
                p.requires_grad_(False).sub_(rate * v)
    return _margins(layers, inputs, labels)


def _start(models: int, widths: tuple[int, ...], draw: torch.Generator) -> list[Tensor]:
    """Weights, then biases, of every layer: uniform within one over the root of the fan-in."""
    found = []
    for shape in ((a, b) for a, b in itertools.pairwise(widths)):
        bound = shape[0] ** -0.5
        found += [(torch.rand(models, *shape, generator=draw) * 2 - 1) * bound]
        found += [(torch.rand(models, 1, shape[1], generator=draw) * 2 - 1) * bound]
    return found


def _outputs(layers: list[Tensor], inputs: Tensor) -> Tensor:
    for at in range(0, len(layers), 2):
        inputs = torch.baddbmm(layers[at + 1], inputs if at == 0 else torch.relu(inputs), layers[at])
    return inputs


def _margins(layers: list[Tensor], inputs: Tensor, labels: Tensor) -> np.ndarray:
    """Log p / (1 - p) of the true label, without leaving the logarithms."""
    found = []
    for part in range(len(layers[0])):
        logits = _outputs([p[part : part + 1] for p in layers], inputs.unsqueeze(0))[0].double()
        own = logits.gather(1, labels.unsqueeze(1)).squeeze(1)
        others = logits.scatter(1, labels.unsqueeze(1), -torch.inf)
        found.append(own - torch.logsumexp(others, dim=1))
    return torch.stack(found).numpy()
