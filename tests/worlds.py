"""Tiny problems with known answers: what retraining without each record really gives.

Convex worlds are solved by Newton's method to 1e-12 in float64 on dense arrays written here without the engine, so that
the engine is held against something that shares no code with it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.datasets import load_breast_cancer, load_digits
from sklearn.preprocessing import StandardScaler
from torch import Tensor, nn
from torch.nn import functional

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


def cross_entropy(outputs: Tensor, targets: Tensor) -> Tensor:
    return functional.cross_entropy(outputs, targets, reduction="none")


def binary_cross_entropy(outputs: Tensor, targets: Tensor) -> Tensor:
    return functional.binary_cross_entropy_with_logits(outputs.reshape(-1), targets, reduction="none")


def squared_loss(outputs: Tensor, targets: Tensor) -> Tensor:
    return 0.5 * (outputs - targets).reshape(len(outputs), -1).square().sum(1)


@dataclass(frozen=True)
class SoftmaxWorld:
    """Softmax regression with a bias: features without the 1, labels, L2 on everything, and a trained answer."""

    x: Floats
    y: Ints
    x_eval: Floats
    y_eval: Ints
    classes: int
    l2: float
    theta: Floats
    """[C, d + 1], bias last."""

    def module(self) -> nn.Linear:
        module = nn.Linear(self.x.shape[1], self.classes, dtype=torch.float64)
        with torch.no_grad():
            module.weight.copy_(torch.from_numpy(self.theta[:, :-1]))
            module.bias.copy_(torch.from_numpy(self.theta[:, -1]))
        return module.eval()

    def losses(self, theta: Floats, x: Floats, y: Ints) -> Floats:
        z = with_one(x) @ theta.T
        z = z - z.max(1, keepdims=True)
        return np.log(np.exp(z).sum(1)) - z[np.arange(len(y)), y]


def with_one(x: Floats) -> Floats:
    return np.hstack([x, np.ones((len(x), 1))])


def fit_softmax(
    x: Floats, y: Ints, *, classes: int, l2: float, weights: Floats, n: int, start: Floats | None = None
) -> Floats:
    """Newton's method on 1/n sum w_i l_i + l2/2 |theta|², until the gradient norm is below 1e-12."""
    a, onehot = with_one(x), np.eye(classes)[y]
    theta = np.zeros((classes, a.shape[1])) if start is None else start.copy()
    for _ in range(60):
        z = a @ theta.T
        p = np.exp(z - z.max(1, keepdims=True))
        p /= p.sum(1, keepdims=True)
        gradient = ((p - onehot) * weights[:, None]).T @ a / n + l2 * theta
        theta = theta - np.linalg.solve(_hessian(a, p, weights / n, l2), gradient.ravel()).reshape(theta.shape)
        # The step is taken before the test, so that a record whose whole effect is below 1e-12 still gets its sign.
        if np.linalg.norm(gradient) < 1e-12:
            return theta
    raise AssertionError(f"Newton did not converge: gradient norm {np.linalg.norm(gradient):.2e}")


def _hessian(a: Floats, p: Floats, share: Floats, l2: float) -> Floats:
    classes, d = p.shape[1], a.shape[1]
    h = np.empty((classes, d, classes, d))
    for i in range(classes):
        for j in range(i, classes):
            w = share * (p[:, i] * ((i == j) - p[:, j]))
            h[i, :, j, :] = h[j, :, i, :] = (a * w[:, None]).T @ a
    return h.reshape(classes * d, classes * d) + l2 * np.eye(classes * d)


def slices_of(world: SoftmaxWorld) -> Floats:
    """[M, 3] weights of three slices' means: each class, and large radius (the first column above its mean)."""
    masks = np.stack([world.y_eval == 0, world.y_eval == 1, world.x_eval[:, 0] > 0], axis=1).astype(np.float64)
    return masks / masks.sum(0)


def breast_cancer(*, split_seed: int = 0, l2: float = 1e-3) -> SoftmaxWorld:
    x, y = load_breast_cancer(return_X_y=True)
    return _world(x, y, split_seed=split_seed, l2=l2, classes=2, scale=True)


def digits(n: int = 300, *, l2: float = 1e-3, split_seed: int = 0) -> SoftmaxWorld:
    x, y = load_digits(return_X_y=True)
    return _world(x / 16.0, y, split_seed=split_seed, l2=l2, classes=10, scale=False, n=n)


def _world(
    x: Floats, y: Ints, *, split_seed: int, l2: float, classes: int, scale: bool, n: int | None = None
) -> SoftmaxWorld:
    # The reference figures name no split. On this one plain influence functions come closest to them.
    order = np.random.RandomState(split_seed).permutation(len(x))
    cut = int(0.8 * len(x))
    a, b, ya, yb = x[order[:cut]], x[order[cut:]], y[order[:cut]], y[order[cut:]]
    if scale:
        scaler = StandardScaler().fit(a)
        a, b = scaler.transform(a), scaler.transform(b)
    a, ya = a[:n], ya[:n].astype(np.int64)
    theta = fit_softmax(a, ya, classes=classes, l2=l2, weights=np.ones(len(a)), n=len(a))
    return SoftmaxWorld(a, ya, b, yb.astype(np.int64), classes, l2, theta)


def leave_one_out(world: SoftmaxWorld, slices: Floats, rows: Ints) -> tuple[Floats, Floats]:
    """Changes of the slices' mean losses [rows, S] and of each record's own loss [rows] after real retraining.

    `slices` [M, S] are the weights of the evaluation rows; the other records keep weight 1/N.
    """
    n = len(world.x)
    base = world.losses(world.theta, world.x_eval, world.y_eval) @ slices
    own_base = world.losses(world.theta, world.x, world.y)
    effects, own = np.empty((len(rows), slices.shape[1])), np.empty(len(rows))
    for k, i in enumerate(rows):
        weights = np.ones(n)
        weights[i] = 0.0
        theta = fit_softmax(
            world.x, world.y, classes=world.classes, l2=world.l2, weights=weights, n=n, start=world.theta
        )
        effects[k] = world.losses(theta, world.x_eval, world.y_eval) @ slices - base
        own[k] = world.losses(theta, world.x[i : i + 1], world.y[i : i + 1])[0] - own_base[i]
    return effects, own


def trained_mlp(
    *, n: int = 120, features: int = 4, hidden: int = 6, classes: int = 3, l2: float = 1e-2, seed: int = 0
) -> tuple[nn.Sequential, Tensor, Tensor]:
    """A small tanh network at the optimum of its penalised mean cross-entropy, with its training rows."""
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(n, features, generator=generator, dtype=torch.float64)
    direction = torch.randn(features, classes, generator=generator, dtype=torch.float64)
    noise = torch.randn(n, classes, generator=generator, dtype=torch.float64)
    y = (x @ direction + noise).argmax(1)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        module = nn.Sequential(nn.Linear(features, hidden), nn.Tanh(), nn.Linear(hidden, classes)).double()
    minimise(module, cross_entropy, x, y, l2=l2)
    return module.eval(), x, y


def minimise(module: nn.Module, loss: Callable[[Tensor, Tensor], Tensor], x: Tensor, y: Tensor, *, l2: float) -> None:
    """L-BFGS to a small gradient of the mean loss plus l2/2 of the squared norm of everything."""
    optimiser = torch.optim.LBFGS(
        module.parameters(), max_iter=2000, max_eval=4000, tolerance_grad=1e-10, tolerance_change=0.0,
        line_search_fn="strong_wolfe",
    )  # fmt: skip

    def objective() -> Tensor:
        optimiser.zero_grad()
        value = loss(module(x), y).mean() + l2 / 2 * sum(p.square().sum() for p in module.parameters())
        value.backward()
        return value

    optimiser.step(objective)
