"""`ensemble`: any estimator, averaged over models retrained on parts of the training records.

A non-convex model's scores vary with the seed and the batches of its training; what they have in common predicts other
retrainings better than any one of them. Member k has its parameters theta_k and the N_k records it was trained on;
every record is scored on the members that contain it, and on those only (for the others it is no training record):

    score[n, s] = 1/K_n sum_{k contains n} N_k/N · score_k[n, s],        K_n the number of members that contain n

score_k is the estimator's answer for the member's own objective, a mean over its N_k records. Removing a record from
the audited model, a mean over N, is to first order N_k/N of that; with all masks full the factor is 1. The measures are
those of the members, so what is predicted is the mean change over retrainings. Self-influence is averaged alike.

What is chosen by retrained models is chosen on the members alone, never on those that measure fidelity: the damping
(`held_out`) and a ridge fit of what the scores leave over (`calibration`).

Measured by slice on 60 further halves (EK-FAC, Spearman with retraining): digits, one model 0.55; full-set members 0.60
from 16 on; half-set members 0.57 (32), 0.62 (64), 0.64 (96 and more); both together 0.65. COMPAS, one model 0.92;
half-set members 0.94 from 32 on, full-set members 0.93, 0.95 with `calibration`. Members trained on parts like those
whose retraining is predicted help most; many of them, or full-set refits beside them, are needed where seeds matter.

Source: Park et al. 2023 (TRAK), section 3.2, for averaging over models trained on random subsets. Cost: that of the
estimator for each member.

Wrong when: members were not trained like the audited model (recipe, L2, weights), or are so small that their curvature
is not that of the whole (the factor N_k/N corrects the share of a record, not the curvature).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial

import numpy as np
import torch
from torch import Tensor

from auditkit.errors import Complaint, DataError, PolicyError
from auditkit.influence.calibration import calibrate
from auditkit.influence.damping import listed_shares
from auditkit.influence.fidelity import correlations
from auditkit.influence.measures import Evaluation, measure_values
from auditkit.influence.models import Combined, State, at_state, refuse_shared
from auditkit.influence.pooled import kept_ways
from auditkit.influence.problem import Problem
from auditkit.influence.sizes import BY_MEMBERS, size_row, slope_estimates
from auditkit.result import Quality

SOURCE = "Park et al. 2023"
FEWEST = 16
"""Members that lack records, below which they do not decide on the damping."""
AGREEMENT = 0.5
"""Correlation of the two halves of the ensemble below which the report warns."""

_LEVEL = 0.95
"""Coverage of the interval of the members' slope."""

Member = tuple[State, Tensor]
"""A state dict and the boolean mask [N] of the records that the member was trained on."""


def average(
    problem: Problem,
    evaluation: Evaluation,
    members: Sequence[Member],
    one: Callable[[Problem, Evaluation], Sequence[Combined]],
) -> Combined:
    """Effects [N, S] and self-influence [N], averaged over the members that contain each record.

    Args:
        problem: the posed problem with all N records; its own parameters take no part. evaluation: rows and measures.
        members: (state dict, boolean mask [N]).
        one: scores a single posed problem, once or in several ways (as many for each member), of which `held_out`
            chooses one; the first where it cannot tell.

    Raises:
        PolicyError: no member. ModelError: a state that does not fit the module, or two that share their memory.
        DataError: a mask that is not boolean [N], has fewer than two records, or records that no member contains.
        NumericsError: values that are not finite.
    """
    masks = _masks(problem, members)
    sums: list[Tensor] = []
    said: list[list[tuple[Quality, ...]]] = []
    values = []
    for k, (state, _) in enumerate(members):
        moved = at_state(problem, state, what=f"member {k + 1}")
        values.append(measure_values(moved, evaluation))
        part = _part(moved, masks[k])
        ways = kept_ways(problem.keep, f"member {k + 1} of {len(members)}", partial(one, part, evaluation))
        share = float(masks[k].sum()) / problem.n
        if not sums:
            shape = (2, problem.n, len(evaluation.measures) + 1)
            sums = [torch.zeros(shape, dtype=torch.float64, device=masks.device) for _ in ways]
            said = [[] for _ in ways]
        for total, told, found in zip(sums, said, ways, strict=True):
            total[k % 2, masks[k]] += share * torch.cat([found.effects, found.self_influence.unsqueeze(1)], dim=1)
            told.append(found.quality)
    means = [total.sum(0) / masks.sum(0).unsqueeze(1) for total in sums]
    answers = torch.stack(values)
    way, chosen = held_out(torch.stack([mean[:, :-1] for mean in means]), masks, answers)
    effects, fitted = calibrate(means[way][:, :-1], masks, answers)
    sized = _slope(means[way][:, :-1], masks, answers)
    counts = torch.stack([masks[0::2].sum(0), masks[1::2].sum(0)])
    quality = (_size(masks), *chosen, *fitted, *sized, _agreement(sums[way][..., :-1], counts), *_worst(said[way]))
    return Combined(effects, means[way][:, -1], quality)


def held_out(effects: Tensor, masks: Tensor, values: Tensor) -> tuple[int, tuple[Quality, ...]]:
    """Which of several ways of scoring predicts best what the members themselves answer.

    Member k was trained without the records outside its mask, and they are scored on other members only, so that the
    sum of their effects predicts its measures without having seen it: Spearman over the members that lack records,
    mean over the measures (the linear datamodelling score of `fidelity`).

    Args:
        effects: [W, N, S] by way. masks: [K, N]. values: [K, S] measures under each member.
    """
    partial = ~masks.all(1)
    if len(effects) == 1 or int(partial.sum()) < FEWEST:
        return 0, ()
    left_out = (~masks[partial]).to(torch.float64)
    actual = values[partial].cpu().numpy()
    each = [correlations((left_out @ way).cpu().numpy(), actual) for way in effects]
    varies = np.isfinite(each).all(axis=0)
    if not varies.any():
        return 0, ()
    found = [float(one[varies].mean()) for one in each]
    best = int(np.argmax(found))
    listed = ", ".join(f"{value:.3f}" for value in found)
    text = (
        f"Rank correlation of predicted with actual measures over the n = {int(partial.sum())} members that lack "
        f"records, each predicted from the other members; the largest of those tried, at "
        f"{listed_shares()} of the way from the damping's floor to its nearest optimum: {listed}. It was chosen here, "
        f"so it speaks for the choice and not for fidelity."
    )
    return best, (Quality(name="members predicted by the others", value=found[best], text=text),)


def _slope(effects: Tensor, masks: Tensor, values: Tensor) -> tuple[Quality, ...]:
    """How large the changes of the members that lack records are beside those that the other members predict."""
    partial = ~masks.all(1)
    if int(partial.sum()) < FEWEST:
        return ()
    share = masks[partial].to(torch.float64).mean(1, keepdim=True)
    predicted = (~masks[partial]).to(torch.float64) @ effects / share
    size, _ = slope_estimates(predicted.cpu().numpy(), values[partial].cpu().numpy(), level=_LEVEL)
    applied = "Scores are given as predicted, not times this slope."
    return (size_row(size, applied=applied, name=BY_MEMBERS),)


def _masks(problem: Problem, members: Sequence[Member]) -> Tensor:
    """[K, N] who was trained on what."""
    if not members:
        raise PolicyError("ensemble needs at least one member")
    refuse_shared(problem, [state for state, _ in members], what="members")
    wrong = []
    for k, (_, mask) in enumerate(members):
        given: object = mask
        if not isinstance(given, Tensor) or given.dtype != torch.bool or given.shape != (problem.n,):
            wrong.append(Complaint(f"the mask of member {k + 1} must be a boolean tensor of shape ({problem.n},)"))
        elif int(given.sum()) < 2:
            wrong.append(Complaint(f"member {k + 1} contains fewer than 2 records"))
    if wrong:
        raise DataError(wrong)
    masks = torch.stack([mask.to(problem.targets.device) for _, mask in members])
    absent = int((~masks.any(0)).sum())
    if absent:
        raise DataError(
            Complaint(
                f"{absent} of {problem.n} training records are in no member, so nothing is known of their effect",
                hint="add members until each record is in some of them",
            )
        )
    return masks


def _part(problem: Problem, mask: Tensor) -> Problem:
    """The member's own problem: a mean over the records that it was trained on."""
    inputs = tuple(t[mask] for t in problem.inputs)
    return replace(problem, inputs=inputs, targets=problem.targets[mask], weights=problem.weights[mask])


def _size(masks: Tensor) -> Quality:
    counts = masks.sum(0)
    text = (
        f"Average over {len(masks)} members, each scored on its own training records; a record is in "
        f"{int(counts.min())} to {int(counts.max())} of them. Source: {SOURCE}."
    )
    return Quality(name="members", value=float(len(masks)), text=text)


def _agreement(halves: Tensor, counts: Tensor) -> Quality:
    """Least correlation over the slices between the means over every other member, on records that both halves hold."""
    shared = (counts > 0).all(0)
    if int(shared.sum()) < 3:
        text = "Too few records lie in both halves of the ensemble to say how far its members agree."
        return Quality(name="agreement of halves", value=None, text=text, warns=True)
    a, b = (halves[h][shared] / counts[h][shared].unsqueeze(1) for h in (0, 1))
    a, b = a - a.mean(0), b - b.mean(0)
    norms = a.norm(dim=0) * b.norm(dim=0)
    each = torch.where(norms > 0, (a * b).sum(0) / norms.clamp(min=torch.finfo(norms.dtype).tiny), 0.0)
    worst = float(each.min())
    text = (
        "Correlation between the scores from every other member and from the rest, for the slice where it is least; "
        "the average of all agrees better with itself than either half."
    )
    return Quality(name="agreement of halves", value=worst, text=text, warns=worst < AGREEMENT)


def _worst(qualities: Sequence[Sequence[Quality]]) -> tuple[Quality, ...]:
    """One of each figure: the first member that warns speaks for all, else the first member."""
    chosen: dict[str, tuple[int, Quality]] = {}
    for k, quality in enumerate(qualities):
        for figure in quality:
            if figure.name not in chosen or (figure.warns and not chosen[figure.name][1].warns):
                chosen[figure.name] = (k, figure)
    return tuple(q.model_copy(update={"text": f"Member {k + 1}: {q.text}"}) for k, q in chosen.values())
