"""Linear models under every loss, with derivatives in closed form and retraining by Newton's method, in numpy alone.

Written without the engine and without autograd, so that both are held against something that shares no code with them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.special import gammaln
from torch import nn

from auditkit.influence import losses
from auditkit.influence.losses import RecordLoss

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Family:
    """One loss: value [N], gradient [N, C], Hessian [N, C, C] and third derivative [N, C, C, C] in the outputs."""

    loss: RecordLoss
    outputs: int
    value: Callable[[Floats, Floats], Floats]
    gradient: Callable[[Floats, Floats], Floats]
    hessian: Callable[[Floats, Floats], Floats]
    third: Callable[[Floats, Floats], Floats]
    draw: Callable[[Floats, np.random.Generator], Floats]
    """Targets from outputs."""

    def targets(self, y: Floats) -> torch.Tensor:
        return torch.from_numpy(y.astype(np.int64)) if self.loss.name == "softmax" else torch.from_numpy(y)


def _binary(weights: tuple[float, float] | None) -> Family:
    zero, one = weights or (1.0, 1.0)

    def c(y: Floats) -> Floats:
        return np.where(y == 1, one, zero)

    def p(z: Floats) -> Floats:
        return 1 / (1 + np.exp(-z))

    return Family(
        losses.binary(class_weights=weights),
        1,
        lambda z, y: (c(y) * np.logaddexp(0, -(2 * y - 1) * z))[:, 0],
        lambda z, y: c(y) * (p(z) - y),
        lambda z, y: (c(y) * p(z) * (1 - p(z)))[:, :, None],
        lambda z, y: (c(y) * p(z) * (1 - p(z)) * (1 - 2 * p(z)))[:, :, None, None],
        lambda z, rng: (rng.random(z.shape) < p(z)).astype(np.float64),
    )


def _softmax(weights: tuple[float, ...] | None) -> Family:
    classes = 3
    table = np.array(weights or (1.0,) * classes)

    def c(y: Floats) -> Floats:
        return table[y.astype(int)]

    def p(z: Floats) -> Floats:
        e = np.exp(z - z.max(1, keepdims=True))
        return e / e.sum(1, keepdims=True)

    def third(z: Floats, y: Floats) -> Floats:
        q, eye = p(z), np.eye(classes)
        w = np.einsum("na,ab->nab", q, eye) - np.einsum("na,nb->nab", q, q)
        # d/dz_c of p_a (1[a=b] − p_b) with dp_a/dz_c = w_ac.
        found = np.einsum("nac,ab->nabc", w, eye) - np.einsum("nac,nb->nabc", w, q) - np.einsum("na,nbc->nabc", q, w)
        return c(y)[:, None, None, None] * found

    return Family(
        losses.softmax(class_weights=weights),
        classes,
        lambda z, y: c(y) * (np.log(np.exp(z).sum(1)) - z[np.arange(len(z)), y.astype(int)]),
        lambda z, y: c(y)[:, None] * (p(z) - np.eye(classes)[y.astype(int)]),
        lambda z, y: c(y)[:, None, None] * (p(z)[:, :, None] * (np.eye(classes) - p(z)[:, None])),
        third,
        lambda z, rng: (p(z).cumsum(1) < rng.random((len(z), 1))).sum(1).clip(0, classes - 1).astype(np.float64),
    )


def _gaussian(scale: float | tuple[float, ...], outputs: int) -> Family:
    s = np.broadcast_to(np.array(scale), (outputs,)).astype(np.float64)
    return Family(
        losses.gaussian(scale=scale),
        outputs,
        lambda z, y: (((z - y) / s) ** 2 / 2 + np.log(s * np.sqrt(2 * np.pi))).sum(1),
        lambda z, y: (z - y) / s**2,
        lambda z, y: np.broadcast_to(np.diag(1 / s**2), (len(z), outputs, outputs)).copy(),
        lambda z, y: np.zeros((len(z), outputs, outputs, outputs)),
        lambda z, rng: z + s * rng.normal(size=z.shape),
    )


def _poisson(outputs: int) -> Family:
    eye = np.eye(outputs)
    return Family(
        losses.poisson(),
        outputs,
        lambda z, y: (np.exp(z) - y * z + gammaln(y + 1)).sum(1),
        lambda z, y: np.exp(z) - y,
        lambda z, y: np.exp(z)[:, :, None] * eye,
        lambda z, y: np.einsum("na,ab,ac->nabc", np.exp(z), eye, eye),
        lambda z, rng: rng.poisson(np.exp(z)).astype(np.float64),
    )


FAMILIES: dict[str, Family] = {
    "binary": _binary(None),
    "binary, class weights": _binary((0.6, 2.5)),
    "softmax": _softmax(None),
    "softmax, class weights": _softmax((2.0, 0.5, 1.3)),
    "gaussian": _gaussian(1.0, 1),
    "gaussian, known scales": _gaussian((0.5, 2.0), 2),
    "poisson": _poisson(1),
    "poisson, two counts": _poisson(2),
}


@dataclass(frozen=True)
class World:
    """Training rows, sample weights, L2 of the slopes and of the bias, and the minimiser of the objective."""

    family: Family
    x: Floats
    y: Floats
    weights: Floats
    l2: float
    bias_l2: float
    theta: Floats
    """[C, d + 1], bias last."""

    def module(self) -> nn.Linear:
        module = nn.Linear(self.x.shape[1], self.family.outputs, dtype=torch.float64)
        with torch.no_grad():
            module.weight.copy_(torch.from_numpy(self.theta[:, :-1]))
            module.bias.copy_(torch.from_numpy(self.theta[:, -1]))
        return module.eval()

    def outputs(self, theta: Floats, x: Floats) -> Floats:
        return x @ theta[:, :-1].T + theta[:, -1]

    def losses(self, theta: Floats) -> Floats:
        return self.family.value(self.outputs(theta, self.x), self.y)

    def without(self, i: int, *, divisor: float) -> Floats:
        """Minimiser of 1/divisor sum over the others plus the same L2."""
        weights = self.weights.copy()
        weights[i] = 0.0
        return minimise(
            self.family, self.x, self.y, weights / divisor, l2=self.l2, bias_l2=self.bias_l2, start=self.theta
        )


def minimise(
    family: Family, x: Floats, y: Floats, share: Floats, *, l2: float, bias_l2: float, start: Floats | None = None
) -> Floats:
    """Damped Newton on sum share_n l_n + penalty, to a gradient norm of 1e-12 (and one step beyond)."""
    a, c = np.hstack([x, np.ones((len(x), 1))]), family.outputs
    theta = np.zeros((c, a.shape[1])) if start is None else start.copy()
    penalty = np.tile(np.append(np.full(x.shape[1], l2), bias_l2), c)

    def objective(t: Floats) -> float:
        return float(share @ family.value(a @ t.T, y) + 0.5 * penalty @ t.ravel() ** 2)

    for _ in range(100):
        z = a @ theta.T
        gradient = ((family.gradient(z, y) * share[:, None]).T @ a).ravel() + penalty * theta.ravel()
        curved = np.einsum("ncd,n,ni,nj->cidj", family.hessian(z, y), share, a, a, optimize=True)
        # Softmax with an unpenalised bias is flat along one direction, on which nothing depends.
        whole = curved.reshape(len(penalty), -1) + np.diag(penalty)
        step = np.linalg.lstsq(whole, gradient, rcond=1e-12)[0].reshape(theta.shape)
        small, size = np.linalg.norm(gradient) < 1e-12, 1.0
        while not small and objective(theta - size * step) > objective(theta) + 1e-12 and size > 1e-6:
            size /= 2
        theta = theta - size * step
        if small:
            return theta
    raise AssertionError(f"Newton did not converge: gradient norm {np.linalg.norm(gradient):.2e}")


def world(
    name: str, *, n: int = 80, features: int = 3, weighted: bool = True, l2: float = 2e-2, bias_l2: float = 0.0,
    seed: int = 0,
) -> World:  # fmt: skip
    """Features and targets drawn from the family, some of them far out, and the trained answer."""
    family, rng = FAMILIES[name], np.random.default_rng(seed)
    x = rng.normal(size=(n, features))
    x[: n // 10] *= 2
    truth = 0.6 * rng.normal(size=(family.outputs, features + 1))
    y = family.draw(x @ truth[:, :-1].T + truth[:, -1], rng)
    weights = rng.gamma(4.0, 0.25, n) if weighted else np.ones(n)
    return World(family, x, y, weights, l2, bias_l2, minimise(family, x, y, weights / n, l2=l2, bias_l2=bias_l2))
