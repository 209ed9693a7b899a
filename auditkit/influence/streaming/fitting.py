"""A stated subsample for the curvature: read once, and judged by how far scores differ between its halves."""

from __future__ import annotations

import math
from dataclasses import fields, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from auditkit.influence.curvature import Curvature, Estimator
from auditkit.influence.damping import Damping
from auditkit.influence.measures import Evaluation
from auditkit.influence.problem import Problem
from auditkit.influence.settling import settle
from auditkit.influence.streaming.encoding import Reader, Records
from auditkit.influence.streaming.sampling import gather
from auditkit.influence.streaming.scorer import Scorer
from auditkit.pieces import Keep, Nothing
from auditkit.processes import ALONE, Processes
from auditkit.result import Quality

SETTLED = 0.05
"""Relative error of a column, as estimated from halves of the subsample, above which the result warns."""
_PROBED = 512


def taken(reader: Reader, positions: Tensor, processes: Processes, keep: Keep) -> Records:
    """This process's share of the records at these positions; read once, then kept."""
    name = f"sample-{processes.rank}-of-{processes.size}"
    kept = keep.get(name)
    if kept is not None:
        inputs = [torch.from_numpy(kept[f"input {k}"]) for k in range(len(kept)) if f"input {k}" in kept]
        weights = torch.from_numpy(kept["weights"]) if "weights" in kept else None
        return Records(tuple(inputs), torch.from_numpy(kept["targets"]), weights)
    found = gather(reader, positions[processes.share(len(positions))])
    arrays = {f"input {k}": tensor.numpy() for k, tensor in enumerate(found.inputs)} | {
        "targets": found.targets.numpy()
    }
    if found.weights is not None:
        arrays["weights"] = found.weights.numpy()
    keep.put(name, arrays)
    return found


def on_all(estimator: Estimator, n: int) -> Estimator:
    """The estimator, told to take all n records that it is given: they are chosen already."""
    given: Any = estimator
    return replace(given, records=n) if any(field.name == "records" for field in fields(given)) else estimator


def settled(
    problem: Problem,
    estimator: Estimator,
    curvature: Curvature,
    evaluation: Evaluation,
    damping: Damping,
    *,
    n: int,
    keep: Keep,
) -> Quality:
    """How far scores rest on which records the curvature was fitted on: half the difference between its two halves.

    With m records in the subsample, scores from either half err by about sqrt(2) times those of the whole, and each on
    its own, so that their difference is twice the error of the whole; times sqrt(1 − m/N), because the table is finite.
    The figure is the largest over columns of ‖s_1 − s_2‖ / (2 ‖s‖), self-influence among them; each
    half has its damping chosen from it alone.

    Args:
        problem: of the subsample. estimator: what was fitted. curvature: on all of the subsample. n: N of the table.
        damping: as the caller stated it. keep: where the figure is left.
    """
    m = problem.n
    if m == n:
        text = f"The curvature is fitted on all {n:,} records."
        return Quality(name="curvature subsample", value=0.0, text=text)
    kept = keep.get("halves")
    error = (
        float(kept["error"][0])
        if kept
        else _half_difference(problem, estimator, curvature, evaluation, damping=damping, n=n)
    )
    if kept is None and problem.processes.first:
        keep.put("halves", {"error": np.array([error])})
    text = (
        f"The curvature is fitted on {m:,} of {n:,} records, drawn at random; by the difference between its two halves "
        f"the scores of the most sensitive column err by {error:.1%} because of that."
    )
    return Quality(name="curvature subsample", value=error, text=text, warns=error > SETTLED)


def _half_difference(
    problem: Problem, estimator: Estimator, curvature: Curvature, evaluation: Evaluation, *, damping: Damping, n: int
) -> float:
    m, rows = problem.n, min(_PROBED, len(problem.targets))
    probed = replace(
        problem,
        inputs=tuple(t[:rows] for t in problem.inputs),
        targets=problem.targets[:rows],
        weights=problem.weights[:rows],
        total=n,
        processes=ALONE,
        keep=Nothing(),
    )
    halves = [_fitted(estimator, _half(problem, k), damping) for k in (0, 1)]
    whole, one, two = (
        Scorer.of(probed, fitted, evaluation, pull=None, tolerance=0.0, top=0).of_chunk(probed).columns
        for fitted in (curvature, *halves)
    )
    sums = torch.stack([(one - two).square().sum(0), whole.square().sum(0)])
    apart, size = problem.processes.sum(sums)
    worst = math.sqrt(float((apart / size.clamp(min=torch.finfo(torch.float64).tiny)).max()))
    return worst / 2 * math.sqrt(1 - m / n)


def _half(problem: Problem, first: int) -> Problem:
    """Every second record of the subsample."""
    targets = problem.targets[first::2]
    count = problem.processes.sum(torch.tensor([len(targets)], device=targets.device))
    return replace(
        problem,
        inputs=tuple(t[first::2] for t in problem.inputs),
        targets=targets,
        weights=problem.weights[first::2],
        total=int(count),
        keep=Nothing(),
    )


def _fitted(estimator: Estimator, half: Problem, damping: Damping) -> Curvature:
    """The curvature of a half, its damping chosen from that half alone."""
    return settle(half, estimator.fit(half), damping, drawn=True)[0]
