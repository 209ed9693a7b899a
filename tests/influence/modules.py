"""Small modules of kinds that estimators meet, each with training rows and labels."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from auditkit.influence.problem import Problem
from tests.influence.conftest import posed, random
from tests.worlds import binary_cross_entropy, squared_loss


class Tabular(nn.Module):
    """Numbers beside category codes that share one table."""

    def __init__(self) -> None:
        super().__init__()
        self.table, self.head = nn.Embedding(5, 3, padding_idx=0), nn.Linear(5, 2)

    def forward(self, numbers: Tensor, codes: Tensor) -> Tensor:
        return self.head(torch.cat([numbers, torch.tanh(self.table(codes).sum(1))], 1))


class Norm(nn.Module):
    """LayerNorm and a parameter of its own: no Kronecker structure."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.norm, self.last = nn.Linear(4, 5), nn.LayerNorm(5), nn.Linear(5, 2)
        self.scale = nn.Parameter(torch.tensor(1.3))

    def forward(self, x: Tensor) -> Tensor:
        return self.scale * self.last(torch.tanh(self.norm(self.first(x))))


class Attend(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.attention, self.last = nn.MultiheadAttention(4, 2, batch_first=True), nn.Linear(4, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.last(self.attention(x, x, x, need_weights=False)[0].mean(1))


class Convolve(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.filters, self.last = nn.Conv1d(1, 3, 3), nn.Linear(12, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.last(torch.tanh(self.filters(x.unsqueeze(1))).flatten(1)).squeeze(1)


class _Cube(torch.autograd.Function):
    """Written the old way: reverse mode only, no batching rule."""

    @staticmethod
    def forward(ctx, x: Tensor) -> Tensor:  # type: ignore[no-untyped-def]
        ctx.save_for_backward(x)
        return x**3

    @staticmethod
    @once_differentiable
    def backward(ctx, gradient: Tensor) -> Tensor:  # type: ignore[no-untyped-def]
        (x,) = ctx.saved_tensors
        return 3 * x**2 * gradient


class Custom(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = nn.Linear(4, 3), nn.Linear(3, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.last(_Cube.apply(self.first(x)))


def _tabular(**given: object) -> Problem:
    codes = torch.randint(0, 5, (30, 3), generator=torch.Generator().manual_seed(2))
    return posed(Tabular().double().eval(), (random(30, 2), codes), torch.arange(30) % 2, **given)  # type: ignore[arg-type]


def _on_rows(kind: Callable[[], nn.Module], *shape: int) -> Callable[..., Problem]:
    return lambda **given: posed(kind().double().eval(), random(30, *shape), torch.arange(30) % 2, **given)


def _one_logit(**given: object) -> Problem:
    y = (torch.arange(30) % 2).double()
    return posed(Convolve().double().eval(), random(30, 6), y, loss=binary_cross_entropy, **given)  # type: ignore[arg-type]


def _two_outputs(**given: object) -> Problem:
    module = nn.Sequential(nn.Linear(4, 2)).double().eval()
    return posed(module, random(30, 4), random(30, 2, seed=1), loss=squared_loss, **given)  # type: ignore[arg-type]


MODULES: dict[str, Callable[..., Problem]] = {
    "embedding": _tabular,
    "norm": _on_rows(Norm, 4),
    "attention": _on_rows(Attend, 3, 4),
    "convolution, one logit": _one_logit,
    "no forward rule": _on_rows(Custom, 4),
    "equal eigenvalues": _two_outputs,
}


def module_problem(name: str, **given: object) -> Problem:
    """The problem of this name; weights differ between records."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(5)
        return MODULES[name](weights=random(30, seed=7).abs() + 0.1, **given)
