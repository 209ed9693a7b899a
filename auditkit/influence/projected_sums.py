"""Sums over training records from which the projected curvature is made, batch by batch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from auditkit.influence.damping import Damping
from auditkit.influence.jacobian import rows_that_fit
from auditkit.influence.likelihood import loss_gradient
from auditkit.influence.problem import Batch, Problem
from auditkit.influence.projected import ProjectedBlock
from auditkit.influence.projection import Projection
from auditkit.influence.sequences import curvature_root, is_large

_NUMBERS = 2**24

GRADIENT = "gradient of the losses"


@dataclass(frozen=True)
class BatchGradients:
    """Of B records, without their weights, float64."""

    loss: Tensor
    """[B]"""
    gradient: Tensor
    """[B, K] projected gradients of the losses."""
    roots: Tensor
    """[B, K', K] projected gradients of the columns of the root of the output Hessian."""
    squares: Mapping[str, Tensor]
    """Block -> [B, K'] squared lengths of the latter before projection."""


def batch_gradients(problem: Problem, projection: Projection, batch: Batch) -> BatchGradients:
    """One forward pass and 1 + K' backward passes over a batch."""
    _, inputs, targets = batch
    seen = projection.trace(problem, inputs)
    loss, gradient = loss_gradient(problem, seen.outputs, targets)
    root = curvature_root(problem, inputs, seen.outputs, targets)
    rows, squares = projection.records(problem, seen, inputs, torch.cat([gradient.unsqueeze(2), root], dim=2))
    return BatchGradients(loss, rows[:, 0], rows[:, 1:], {name: each[:, 1:] for name, each in squares.items()})


def no_sums(projection: Projection, device: torch.device) -> dict[str, Tensor]:
    """Sums over no records: for each block its Gauss–Newton matrix [k, k] and, as `trace NAME` [], its full trace.

    And the projected gradient [K] of all losses.
    """
    zeros = {GRADIENT: torch.zeros(sum(projection.widths.values()), dtype=torch.float64, device=device)}
    for name, width in projection.widths.items():
        zeros[name] = torch.zeros(width, width, dtype=torch.float64, device=device)
        zeros[f"trace {name}"] = torch.zeros((), dtype=torch.float64, device=device)
    return zeros


def add_sums(sums: dict[str, Tensor], spans: Mapping[str, slice], found: BatchGradients, weights: Tensor) -> None:
    """Add sum_n w_n sum_k g_nk g_nkᵀ of a batch to each block, the squared lengths to its trace, and the gradients."""
    sums[GRADIENT] += found.gradient.T @ weights
    scaled = found.roots * weights.sqrt().view(-1, 1, 1)
    for name, span in spans.items():
        flat = scaled[:, :, span].reshape(-1, span.stop - span.start)
        sums[name].addmm_(flat.T, flat)
        sums[f"trace {name}"] += (found.squares[name] * weights.unsqueeze(1)).sum()


def rows_for(problem: Problem, projection: Projection) -> int:
    """Records whose projected gradients, one for each root column and one for the loss, stay near 128 MiB."""
    columns = problem.root.probes if is_large(problem) else problem.classes
    beside = sum(sum(len(piece) for piece in run.pieces) for run in projection.runs.values())
    width = sum(projection.widths.values()) + beside
    return min(problem.batch, rows_that_fit(width * (1 + columns), _NUMBERS))


def invert_sums(
    problem: Problem, projection: Projection, sums: Mapping[str, Tensor], damping: Damping, *, affine: bool
) -> tuple[dict[str, ProjectedBlock], float]:
    """The blocks from their sums over all N records, and the share of the curvature's trace that they hold.

    Raises:
        NumericsError: a block is not positive definite with the damping given.
    """
    sizes, penalties, largest = projection.sizes(), projection.penalties(problem.penalty), _largest(problem, projection)
    blocks, inside, full = {}, 0.0, 0.0
    for name in projection.widths:
        trace = float(sums[f"trace {name}"]) / problem.n
        blocks[name] = ProjectedBlock.invert(
            sums[name] / problem.n,
            penalties[name],
            damping,
            mean=trace / sizes[name],
            own=largest[name],
            affine=affine,
        )
        inside, full = inside + float(blocks[name].ggn.trace()), full + trace
    return blocks, inside / full if full > 0 else 1.0


def _largest(problem: Problem, projection: Projection) -> dict[str, float]:
    """Block -> the largest λ of its parameters."""
    places = problem.layout.spans()
    names = {
        **{site.name: site.names for site in projection.sites},
        **{owner: run.names for owner, run in projection.runs.items()},
    }
    return {block: max(float(problem.penalty[places[n]].max()) for n in own) for block, own in names.items()}
