"""What is fitted once all shards are there: the curvature's inverse, self-influence, what the store says of itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from auditkit.influence.damping import Damping, nearest_optimum
from auditkit.influence.jacobian import is_affine, rows_that_fit
from auditkit.influence.problem import Problem
from auditkit.influence.projected import Inverse, ProjectedBlock, kept_share
from auditkit.influence.projected_sums import GRADIENT, invert_sums
from auditkit.influence.projection import Projection
from auditkit.influence.quality import distance_to_optimum
from auditkit.influence.refusals import require_finite
from auditkit.influence.sequences import root_quality
from auditkit.influence.storage.shards import Shard
from auditkit.result import Quality


@dataclass(frozen=True)
class Fitted:
    """Of all records of a store."""

    inverse: Inverse
    self_influence: Tensor
    """[N]"""
    damping: Mapping[str, float]
    quality: tuple[Quality, ...]


def fit(
    problem: Problem, projection: Projection, sums: Mapping[str, Tensor], shards: Sequence[Shard], damping: Damping
) -> Fitted:
    """Invert the blocks, and take every record's self-influence from its gradients as they are kept.

    Args:
        problem: gives the L2; its rows may be a part of the records. projection: of the store.
        sums: over all records of the shards. shards: all of them. damping: a number, or `auto`.

    Raises:
        NumericsError: a block is not positive definite with the damping given; values that are not finite.
    """
    total = sum(len(shard.loss) for shard in shards)
    whole = replace(problem, total=total)
    affine = is_affine(problem)
    blocks, share = invert_sums(whole, projection, sums, damping, affine=affine)
    at = projection.down(torch.stack([problem.penalty * problem.flat(), problem.flat()], dim=1))
    gradient = sums[GRADIENT] / total + at[:, 0]
    if damping == "auto" and not affine:
        blocks = _settled(blocks, projection.spans(), gradient, at[:, 1])
    inverse = Inverse(projection.spans(), {name: block.factor.cpu() for name, block in blocks.items()})
    own = torch.cat([_self_influence(shard, inverse, total) for shard in shards])
    require_finite(own, "self-influence")
    weights = torch.cat([torch.from_numpy(shard.weight.copy()) for shard in shards])
    quality = (
        kept_share(share, sum(projection.widths.values()), projection.layout.size),
        *root_quality(problem),
        _distance(gradient.cpu(), inverse, typical=float((own * weights / total).mean())),
        _rounding(shards),
    )
    return Fitted(inverse, own, {name: block.damping for name, block in blocks.items()}, quality)


def _settled(
    blocks: Mapping[str, ProjectedBlock], spans: Mapping[str, slice], gradient: Tensor, parameters: Tensor
) -> dict[str, ProjectedBlock]:
    """As `settling.settle`, from the gradient of F over all records and the parameters, both projected [K]."""
    settled = {}
    for name, block in blocks.items():
        both = torch.stack([gradient[spans[name]], parameters[spans[name]]], dim=1)
        found = block.spectrum(both)
        residual, own = found.turned[:, :1], found.turned[:, 1]
        chosen = nearest_optimum(found.eigenvalues, residual, own, own=found.own, least=block.damping)
        settled[name] = block.damped(chosen)
    return settled


def _self_influence(shard: Shard, inverse: Inverse, total: int) -> Tensor:
    """[R] w_n/N gᵀ H⁻¹ g."""
    width = max((span.stop for span in inverse.spans.values()), default=1)
    lengths = [inverse.gram(rows.unsqueeze(1))[:, 0, 0] for rows in shard.rows(inverse.spans, rows_that_fit(width))]
    return torch.cat(lengths) * torch.from_numpy(shard.weight.copy()) / total


def _distance(gradient: Tensor, inverse: Inverse, *, typical: float) -> Quality:
    """As `quality.convergence`, along the projected coordinates; `typical` is a mean squared length."""
    what = (
        "Distance of the model from the optimum of its training objective along the projected coordinates, in "
        "multiples of the step that removing one typical record takes"
    )
    return distance_to_optimum(float(gradient @ inverse.solve(gradient.unsqueeze(1))[:, 0]), typical, what)


def _rounding(shards: Sequence[Shard]) -> Quality:
    lost, whole = (sum(float(shard.rounding[k]) for shard in shards) for k in (0, 1))
    error = (lost / whole) ** 0.5 if whole > 0 else 0.0
    precision = shards[0].gradients.dtype.name
    text = f"Relative error of the gradients as they are kept, in {precision}: root of summed squares over all records."
    return Quality(name="rounding of the store", value=error, text=text)
