"""All logistic regressions at once reach their optima, also where single precision cannot carry the directions."""

from __future__ import annotations

import pytest
import torch

from auditkit.bank.newton import solve_all


@pytest.mark.parametrize(("l2", "twins"), [(1e-3, 0.0), (1e-7, 0.0), (1e-7, 1e-4), (1e-9, 1e-5)])
def test_every_gradient_is_zero(l2: float, twins: float) -> None:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(600, 6, dtype=torch.float64, generator=generator)
    if twins:  # two columns that are nearly one: condition about 1 / (twins² + l2)
        x[:, 1] = x[:, 0] + twins * x[:, 1]
    y = (torch.rand(600, dtype=torch.float64, generator=generator) < torch.sigmoid(x[:, 0])).double()
    weights, masks = torch.ones(600, dtype=torch.float64), torch.rand(8, 600, generator=generator) < 0.5
    start = torch.zeros(7, dtype=torch.float64)
    theta = solve_all(x, y, weights, masks, l2=l2, start=start)
    one = torch.cat([x, torch.ones(600, 1, dtype=torch.float64)], dim=1)
    shares = masks / masks.sum(1, keepdim=True)
    gradient = (shares * (torch.sigmoid(theta @ one.T) - y)) @ one + l2 * theta
    assert float(gradient.norm(dim=1).max()) <= 1e-10
