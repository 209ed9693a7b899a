"""How many records have a loss that is straight where the model stands: with a slope, and no curvature along it.

A record's step answers to the curvature of all. Where the losses of most records are linear or piecewise linear in the
outputs (absolute, hinge and quantile losses; a likelihood read in outputs in which it is linear), the Gauss-Newton
matrix speaks for the few others, or is 0 and all that is inverted is the L2: scores then have no size that retraining
would confirm. With W the Hessian in the outputs and r the slope, a record is straight when the part of r that lies in
directions in which W vanishes is longer than the rest:

    |r - P r| > |P r|,    P the projection on the eigenvectors of W whose eigenvalue is above 1e-12 of its largest

so that W = 0 has no such eigenvector. A likelihood in logits or log-rates is curved everywhere, whatever rounding
leaves of it far out on its wrong side (`links.is_likelihood`), so none of its records is straight. Records without a
slope (beyond the margin of a squared hinge) have no influence and do not count.

Measured on Huber losses of many widths against retraining (60 linear regressions of 60 to 100 records): up to 0.3 of
the records straight sizes are within 6 %, up to 0.7 mostly within 15 % (at worst 34 %) at correlations of 0.98 and
more, and above 0.8 off by factors; hence the two limits below.

Wrong when: the loss has kinks that the trained model sits on (autograd takes one side); and with more outputs than the
root has columns, where a record counts as straight only if its Hessian vanishes along the slope altogether.
"""

from __future__ import annotations

import torch
from torch import Tensor

from auditkit.errors import Complaint, ModelError
from auditkit.influence.likelihood import loss_gradient, output_hessian, slope_curvature
from auditkit.influence.links import is_likelihood
from auditkit.influence.problem import Problem
from auditkit.result import Quality

MOST = 0.7
"""Share of straight records above which a loss is refused."""
SOME = 0.3
"""Share above which the quality warns."""
_LOOKED_AT = 512
_FEWEST = 32
_OPERATIONS = 2**31
_TOLD = 0.05
_TRIED = 8
_VANISHING = 1e-9
_FLAT = 1e-12


def check_curved(problem: Problem) -> tuple[Quality, ...]:
    """Refuse a loss that is straight for most records; says where it is for some, and which outputs are used.

    Looks at up to 512 records here (fewer where each has many outputs), spread over all; in several processes the
    counts are added up.

    Raises:
        ModelError: the loss has no slope for any record, or is straight for most of them.
        NumericsError: values are not finite.
    """
    sloped, straight = _counts(problem)
    total = problem.processes.sum(torch.stack([sloped.sum(), straight.sum()]).to(torch.int64))
    with_slope, without_curvature = int(total[0]), int(total[1])
    if not with_slope:
        raise ModelError(
            Complaint(
                "the slope of the loss in the outputs is 0 for every record looked at, so no record moves a parameter",
                hint="a constant loss, or one that is rounded, has no influence to be measured",
            )
        )
    share = without_curvature / with_slope
    if share > MOST:
        raise ModelError(
            Complaint(
                f"the loss has a slope and no curvature in the outputs for {without_curvature:,} of {with_slope:,} "
                "records looked at: it is linear or piecewise linear there, as absolute, hinge and quantile losses are",
                hint="give logits with losses.softmax() or losses.binary() for a likelihood, and a squared, squared "
                "hinge or wider Huber loss for the others; or checkpoints for tracin, which needs no curvature",
            )
        )
    return (*_outputs(problem), *_straight(share, with_slope))


def _outputs(problem: Problem) -> tuple[Quality, ...]:
    """Which outputs the curvature is taken in, where these are not the module's own."""
    return (Quality(name="outputs", value=None, text=problem.link.text),) if problem.link.text else ()


def _straight(share: float, looked_at: int) -> tuple[Quality, ...]:
    if share < _TOLD:
        return ()
    text = (
        f"The loss is straight (it has a slope and no curvature in the outputs) for {share:.0%} of n = {looked_at:,} "
        "records looked at; the curvature is that of the others, and scores are the less sure the more records are "
        "straight."
    )
    return (Quality(name="straight losses", value=round(share, 2), text=text, warns=share > SOME),)


def _counts(problem: Problem) -> tuple[Tensor, Tensor]:
    """[R] whether each of the records looked at has a slope, and whether its loss is straight."""
    n, size = len(problem.targets), max(1, problem.batch)
    # Eigenvectors of the Hessians of many outputs cost their cube.
    count = min(n, _LOOKED_AT, max(_FEWEST, _OPERATIONS // problem.classes**3))
    rows = torch.linspace(0, n - 1, count, device=problem.targets.device).round().to(torch.int64)
    rows = rows[problem.weights[rows] > 0]
    with torch.no_grad():
        parts = [problem.outputs(tuple(t[at] for t in problem.inputs)) for at in torch.split(rows, size)]
    outputs = torch.cat(parts).to(torch.float64)
    slopes, flags = [], []
    for at, z in zip(torch.split(rows, size), torch.split(outputs, size), strict=True):
        _, gradient = loss_gradient(problem, z, problem.targets[at])
        slopes.append(gradient.norm(dim=1))
        flags.append(_bare(problem, z, problem.targets[at], gradient))
    length = torch.cat(slopes)
    if problem.link.text or is_likelihood(problem.loss, problem.raw(outputs[:_TRIED]), problem.targets[rows[:_TRIED]]):
        return length > 0, torch.zeros_like(length, dtype=torch.bool)
    sloped: Tensor = length > _VANISHING * length.max()
    return sloped, sloped & torch.cat(flags)


def _bare(problem: Problem, outputs: Tensor, targets: Tensor, gradient: Tensor) -> Tensor:
    """[B] whether most of the slope lies where the Hessian vanishes."""
    if problem.classes > problem.root.limit:
        curved = slope_curvature(problem, outputs, targets, gradient)
        straight: Tensor = curved.norm(dim=1) == 0
        return straight
    values, vectors = torch.linalg.eigh(output_hessian(problem, outputs, targets))
    along = (vectors.transpose(1, 2) @ gradient.unsqueeze(2)).squeeze(2).square()
    bent = values.abs() > _FLAT * values.abs().amax(dim=1, keepdim=True)
    bare: Tensor = (along * ~bent).sum(1) > (along * bent).sum(1)
    return bare
