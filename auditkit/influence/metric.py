"""Inner products of a record's gradients under a diagonal metric: factored for layers that allow it.

For a Linear layer with one position the gradient of pᵀz is d aᵀ (d the output gradient of probe p, a the inputs), so
sum_jk d_j d'_j a_k² / L_jk is two small matrix products and no gradient is formed. Everything else goes through
per-record Jacobians.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from auditkit.influence.capture import Site, trace
from auditkit.influence.factored import gram
from auditkit.influence.jacobian import output_jacobian, rows_that_fit
from auditkit.influence.kronecker import Basis, Block
from auditkit.influence.layers import names_beside
from auditkit.influence.problem import Inputs, Problem


def diagonal_gram(
    problem: Problem, sites: Sequence[Site], inputs: Inputs, probes: Tensor | None, metric: Tensor
) -> Tensor:
    """[B, P, P] probesᵀ J diag(1 / metric) Jᵀ probes for B records, float64.

    Args:
        problem: the posed problem. sites: verified. inputs: B records.
        probes: [B, C, P] in the output space; None: all C outputs.
        metric: [D] positive, one value for each parameter tensor (L2 and damping are).
    """
    seen = trace(problem, sites, inputs)
    rows = len(seen.outputs)
    eye = torch.eye(problem.classes, dtype=torch.float64, device=metric.device)
    wanted = eye.expand(rows, -1, -1) if probes is None else probes
    total = torch.zeros(rows, wanted.shape[2], wanted.shape[2], dtype=torch.float64, device=metric.device)
    gradients = seen.gradients(sites, wanted)
    for site in sites:
        total += gram(site, _penalty_block(problem, site, metric), seen.inputs(site), gradients[site.name])
    names = names_beside(problem, sites)
    if names:
        total += _from_jacobians(problem, names, inputs, wanted, metric)
    return total


def _from_jacobians(problem: Problem, names: tuple[str, ...], inputs: Inputs, wanted: Tensor, metric: Tensor) -> Tensor:
    spans = problem.layout.spans()
    inverse = 1 / torch.cat([metric[spans[name]] for name in names])
    size = rows_that_fit(problem.classes * len(inverse))
    parts = []
    for start in range(0, len(wanted), size):
        jacobian = output_jacobian(problem, tuple(t[start : start + size] for t in inputs), names=names)
        jacobian = wanted[start : start + size].transpose(1, 2) @ jacobian
        parts.append((jacobian * inverse) @ jacobian.transpose(1, 2))
    return torch.cat(parts)


def _penalty_block(problem: Problem, site: Site, metric: Tensor) -> Block:
    """The metric of one layer as a block without curvature."""
    spans = problem.layout.spans()
    weight = float(metric[spans[site.weight]][0])
    bias = weight if site.bias is None else float(metric[spans[site.bias]][0])
    zeros = torch.zeros(site.shape, dtype=torch.float64, device=metric.device)
    axes = Basis(torch.eye(len(zeros), dtype=torch.float64, device=metric.device), None)
    return Block(axes, zeros, weight, bias - weight, 0.0)
