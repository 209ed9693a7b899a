"""Damping `auto` once the curvature is fitted: every block gets the penalty under which its parameters are settled.

The criterion, what it was measured on and when it is wrong stand in `damping`. A model that is affine in its
parameters, a damping that the user states, and an estimator that cannot say its blocks' spectra keep what they have,
and say so.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from auditkit.influence.arithmetic import fast_float32
from auditkit.influence.curvature import Curvature, Redampable
from auditkit.influence.damping import Damping, nearest_optimum
from auditkit.influence.jacobian import is_affine
from auditkit.influence.measures import Evaluation, Measure, measure_gradients
from auditkit.influence.problem import Problem
from auditkit.influence.sampling import smallest
from auditkit.result import Quality

RECORDS = 20_000
"""Records from which the gradient of F is taken; of more, two halves of so many."""
_NAMED = 6
NEAREST = "with L2 it is, block by block, the penalty whose minimum the trained parameters are nearest to"


def settle(
    problem: Problem, curvature: Curvature, damping: Damping, *, drawn: bool = False
) -> tuple[Curvature, Quality]:
    """The curvature with its damping chosen, and what is said of it.

    Args:
        problem: the posed problem. curvature: fitted with this damping.
        drawn: whether its records are a sample of the training records, whose noise must then not count.

    Raises:
        NumericsError: the curvature is not positive definite with the damping found.
    """
    return settle_between(problem, curvature, damping, shares=(1.0,), drawn=drawn)[0]


def settle_between(
    problem: Problem, curvature: Curvature, damping: Damping, *, shares: Sequence[float], drawn: bool = False
) -> list[tuple[Curvature, Quality]]:
    """The same for penalties from the floor (share 0) to the nearest optimum (share 1) and beyond, in equal factors.

    One alone where there is nothing to choose (see above); of several the retrained models decide.
    """
    if damping != "auto":
        return [(curvature, said(curvature, "as stated"))]
    if is_affine(problem):
        why = "a model that is affine in its parameters needs none beyond rounding, its L2 being part of the objective"
        return [(curvature, said(curvature, why))]
    if not isinstance(curvature, Redampable):
        why = "a share of the mean curvature, because this estimator does not give the spectra of its blocks"
        return [(curvature, said(curvature, why))]
    near, own = _nearest(problem, curvature, drawn=drawn), {}
    found: list[tuple[Curvature, Quality]] = []
    for name, (penalty, least, most) in near.items():
        own[name] = [(penalty + least) ** (1 - t) * (penalty + most) ** t - penalty for t in shares]
    for k in range(len(shares)):
        tried = curvature.damped({name: values[k] for name, values in own.items()})
        found.append((tried, said(tried, _between(shares[k]))))
    return found


def _between(share: float) -> str:
    if share == 1:
        return NEAREST
    if share == 0:
        return "with L2 it is a share of the block's mean curvature, or the L2 alone where that is more"
    return (
        f"with L2 it lies {share:g} of the way from the floor to the penalty of the nearest optimum, in equal factors"
    )


def _nearest(problem: Problem, curvature: Redampable, *, drawn: bool) -> dict[str, tuple[float, float, float]]:
    """Block -> its own L2, its damping as fitted, and the one of the nearest optimum."""
    vectors = torch.cat([gradients(problem, drawn=drawn), problem.flat().unsqueeze(1)], dim=1)
    found = {}
    for name, block in curvature.spectra(vectors).items():
        least = curvature.damping[name]
        residual, parameters = block.turned[:, :-1], block.turned[:, -1]
        most = nearest_optimum(block.eigenvalues, residual, parameters, own=block.own, least=least)
        found[name] = (block.own, least, most)
    return found


def gradients(problem: Problem, *, drawn: bool = False) -> Tensor:
    """[D, P] gradient of F: from all records (P = 1), or from each half of `RECORDS` of them (P = 2).

    Which ones, and which half each is in, is told by their content (`sampling`), not by their order. Records that are a
    sample already (`drawn`) give two halves in any case.
    """
    numbers, picked = smallest(problem, RECORDS)
    parts = [picked]
    if problem.n > RECORDS or drawn:
        parts = [picked & (numbers % 2 == half) for half in (0, 1)]
    rows = torch.cat([part.nonzero()[:, 0] for part in parts])
    measures, counts = [], []
    for part in parts:
        counts.append(float(problem.processes.sum(part.sum().double())))
        measures.append(Measure("objective", "loss", (part * problem.weights)[rows] / counts[-1]))
    sample = Evaluation(tuple(t[rows] for t in problem.inputs), problem.targets[rows], tuple(measures))
    with fast_float32(rows.device):
        found = problem.processes.sum(measure_gradients(problem, sample))
    return found + (problem.penalty * problem.flat()).unsqueeze(1)


def said(curvature: Curvature, why: str) -> Quality:
    """The row of the quality: the largest damping, why it is so, and what the blocks have."""
    added = curvature.damping
    largest = max(added.values(), default=0.0)
    text = f"Largest number added to the curvature's diagonal beyond the model's own L2: {why}."
    if len(added) > 1:
        named = [f"{name} {value:.3g}" for name, value in list(added.items())[:_NAMED]]
        more = f" and {len(added) - _NAMED} more" if len(added) > _NAMED else ""
        text += f" By block: {', '.join(named)}{more}."
    return Quality(name="damping", value=largest, text=text)
