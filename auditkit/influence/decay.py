"""Which weight decay a trained model's own gradient speaks for: an L2 of the objective, or AdamW's decoupled decay.

Where training has settled, the mean data gradient g_j = 1/N sum_n w_n dl_n/dtheta_j is balanced by the decay:

    L2, penalty lambda/2 |theta|²        −g_j = lambda theta_j                                      (stationarity of F)
    AdamW, decoupled decay delta         −g_j = delta sqrt(v_j) theta_j,   v_j ≈ g_j² + s_j² / B    (its fixed point)

with s_j the standard deviation of record n's gradient in parameter j and B the batch size, so that for batches small
against the gradient noise decoupled decay is kappa s_j theta_j with kappa = delta / sqrt(B): an L2 that differs from
parameter to parameter, and of which no objective is known beforehand. Both are one regression through the origin with
one coefficient. A decay of all parameters and one of matrices alone (biases and scales left out, as many trainers do)
are tried for both, and the pattern of the penalty that was stated. What they explain is 1 − |residual|² / |g|²; which
of the two explains better is Vuong's statistic for models that are not nested, its variance summed by unit (the rows
or columns of a weight, whichever are more), because a unit's parameters move together. The implied L2 of each parameter
tensor is its own regression through the origin, with a sandwich interval by unit.

A verdict needs `EXPLAINED` of the squared gradient and `SURE` of confidence; otherwise it cannot be told. Nothing is
concluded from a gradient that is shorter than removing one typical record would make it.

Source: Loshchilov & Hutter 2019 (decoupled decay); Vuong 1989. Cost: one backward pass over the training rows, and
per-record gradients of at most 4,096 evenly spaced rows (fewer for large models).

Wrong when: training stopped early (its remaining gradient is unrelated, or, for networks without decay that still grow
in norm, itself parallel to theta: the implied L2 is then the one whose optimum the model has reached, not one that was
set); all s_j are alike, where both are the same; the batch was so large that v_j is g_j² alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Literal

import torch
from torch import Tensor

from auditkit.influence.measures import objective_gradient
from auditkit.influence.moments import second_moments
from auditkit.influence.problem import Problem
from auditkit.influence.proportional import Fit, fit, share, units_of, vuong
from auditkit.result import Quality

EXPLAINED = 0.85
"""Share of the squared gradient that a decay must explain before it is named."""
SURE = 0.975
"""Confidence with which one form must explain more than the other."""
_APART = 0.25
"""Relative difference between a stated and an implied L2 above which they contradict each other."""
_TOLD = 6

Verdict = Literal["as stated", "another L2", "decoupled", "contradicted", "cannot be told", "not explained"]


@dataclass(frozen=True)
class Group:
    """One parameter tensor."""

    name: str
    stated: float
    implied: float
    """L2 that explains most of its gradient; may be negative."""
    low: float
    high: float
    """95 % interval of `implied`."""
    unexplained: float
    """Share of its squared gradient that the implied L2 leaves."""


@dataclass(frozen=True)
class Decay:
    """What the gradient speaks for."""

    verdict: Verdict
    confidence: float
    """That the better of the two forms explains more than the other: Vuong's statistic under the normal law."""
    removals: float
    """Length of the gradient of F with the stated penalty, in those of removing one typical record."""
    by_stated: float
    """Share of the squared data gradient that the stated penalty explains."""
    by_l2: float
    """The same for one L2."""
    by_decoupled: float
    """The same for decoupled decay."""
    implied: float
    """The one L2."""
    low: float
    high: float
    """95 % interval of `implied`."""
    groups: tuple[Group, ...]

    @property
    def warns(self) -> bool:
        """Whether the stated penalty is not the one that the scores should rest on."""
        return self.verdict in ("another L2", "decoupled", "contradicted")


def recognise(problem: Problem, gradient: Tensor | None = None) -> Decay:
    """Tell an L2 from decoupled decay, by the parameters, the gradients and the penalty stated.

    Args:
        problem: the posed problem, its penalty the one stated.
        gradient: [D] of F at the trained parameters, where it is at hand; None takes a pass for it.
    """
    whole = objective_gradient(problem) if gradient is None else gradient
    pull, moments = problem.penalty * problem.flat() - whole, second_moments(problem)
    # A parameter that no record moves has nothing to say.
    theta = torch.where(moments > 0, problem.flat(), 0.0)
    deviation = (moments - pull.square()).clamp(min=0).sqrt()
    units, patterns = units_of(problem.layout).to(pull.device), tuple(_patterns(problem))
    l2, decoupled = (_best(pull, x, patterns, units) for x in (theta, deviation * theta))
    moved = moments > 0
    z = vuong(l2.left[moved], decoupled.left[moved], units[moved]) if bool(moved.any()) else 0.0
    typical = float(moments.sum()) ** 0.5 / problem.n
    removals = float(whole.norm()) / typical if typical > 0 else 0.0
    stated = share(pull - problem.penalty * theta, pull)
    return Decay(
        verdict=_verdict(l2, decoupled, z, removals=removals, stated=stated, largest=float(problem.penalty.max())),
        confidence=NormalDist().cdf(abs(z)),
        removals=removals,
        by_stated=stated,
        by_l2=l2.share,
        by_decoupled=decoupled.share,
        implied=l2.slope,
        low=l2.slope - l2.error,
        high=l2.slope + l2.error,
        groups=tuple(_groups(problem, pull, theta, units)),
    )


def weight_decay(problem: Problem, gradient: Tensor | None = None) -> Quality:
    """The quality row: what the gradient speaks for, and a warning where that is not the L2 stated."""
    found = recognise(problem, gradient)
    return Quality(name="weight decay", value=None, text=sentence(found), warns=found.warns)


def sentence(found: Decay) -> str:
    """The finding in words."""
    shares = (
        f"Of the squared data gradient at the trained parameters one L2 explains {found.by_l2:.2f} "
        f"(implied {found.implied:.2g}, 95 % interval {found.low:.2g} to {found.high:.2g}), decoupled decay "
        f"{found.by_decoupled:.2f}, the stated L2 {found.by_stated:.2f}."
    )
    words: dict[Verdict, str] = {
        "as stated": "The gradient agrees with the stated L2.",
        "another L2": (
            "The model is at the optimum of another L2 than the one stated; scores rest on the stated one, so state "
            "the implied one unless training stopped early."
        ),
        "decoupled": (
            f"The gradient speaks for decoupled decay as AdamW's, with confidence {found.confidence:.3f}: that is not "
            "an L2 of the objective, and no single penalty makes these parameters its optimum. The implied L2 by "
            "parameter is the nearest; scores with one stated L2 understate or overstate."
        ),
        "contradicted": (
            "The stated L2 contradicts the gradient, which is longer with it than without. A decay that was given to "
            "AdamW is no L2 of the objective."
        ),
        "cannot be told": "Whether an L2 or decoupled decay balances the gradient cannot be told.",
        "not explained": (
            "Neither form explains the gradient, so training had not settled, or something else balances it; "
            "see the distance to the optimum."
        ),
    }
    if found.removals <= 1:
        shares = (
            "The gradient of the objective with the stated L2 is shorter than removing one typical record makes it."
        )
    return f"{words[found.verdict]} {shares}{_told(found)}"


def _told(found: Decay) -> str:
    if not found.warns:
        return ""
    rows = [f"{g.name} {g.implied:.2g} (unexplained {g.unexplained:.2f})" for g in found.groups[:_TOLD]]
    more = f" and {len(found.groups) - _TOLD} more" if len(found.groups) > _TOLD else ""
    return f" Implied L2 by parameter: {', '.join(rows)}{more}."


def _verdict(l2: Fit, decoupled: Fit, z: float, *, removals: float, stated: float, largest: float) -> Verdict:
    """`stated` is the share that the stated L2 explains, `largest` its largest number."""
    sure = NormalDist().cdf(abs(z)) >= SURE
    if removals <= 1:
        return "as stated"
    if sure and z < 0 and decoupled.share >= EXPLAINED:
        return "decoupled"
    if stated >= EXPLAINED:
        return "as stated"
    if sure and z > 0 and l2.share >= EXPLAINED:
        return "as stated" if abs(l2.slope - largest) <= max(l2.error, _APART * largest) else "another L2"
    if stated < -1:
        return "contradicted"
    return "cannot be told" if max(l2.share, decoupled.share) >= EXPLAINED else "not explained"


def _best(pull: Tensor, regressor: Tensor, patterns: Sequence[Tensor], units: Tensor) -> Fit:
    """The pattern of decay that explains most."""
    return max((fit(pull, regressor * pattern, units) for pattern in patterns), key=lambda found: found.share)


def _patterns(problem: Problem) -> Iterator[Tensor]:
    """[D] which parameters decay: all; matrices alone; in proportion to the penalty stated."""
    ones = torch.ones_like(problem.penalty)
    yield ones
    is_matrix = [float(len(shape) > 1) for shape in problem.layout.shapes]
    if 0 < sum(is_matrix) < len(is_matrix):
        matrices, spans = torch.zeros_like(ones), problem.layout.spans()
        for name, one in zip(problem.layout.names, is_matrix, strict=True):
            matrices[spans[name]] = one
        yield matrices
    if float(problem.penalty.max()) > float(problem.penalty.min()):
        yield problem.penalty / problem.penalty.max()


def _groups(problem: Problem, pull: Tensor, theta: Tensor, units: Tensor) -> Iterator[Group]:
    for name, span in problem.layout.spans().items():
        found = fit(pull[span], theta[span], units[span] - units[span].min())
        stated = float(problem.penalty[span][0])
        low, high = found.slope - found.error, found.slope + found.error
        yield Group(name, stated, found.slope, low, high, 1 - found.share)
