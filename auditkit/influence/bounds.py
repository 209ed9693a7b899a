"""Self-influence held for every record: bounds that cost nothing, and the records that are recomputed in float64.

The squared length L_n of record n's step is computed as L̂_n by a pass that may leave something out. What every record
keeps, whatever it is:

    0 <= L_n <= b_n                                       b_n = sum over layers of mu |d_n|² |a_n|² (`lengths`)
    |L̂_n − L_n| <= e_n L_n,   e_n = e + 2 t_n + t_n²      e of the form (`lengths`), t_n = 2 rho sqrt(b_n / L̂_n)

with rho the rounding of a row's rotation into an eigenbasis, relative to the row (Cauchy–Schwarz in the norm of the
inverse block). Records with e_n above what is allowed, and all that may be among the largest (their upper end reaches
the lower end of the last of these), are recomputed in float64 with nothing left out.

Wrong when: rounding adds up to more than `_ROUNDING` units of the last place, relative to a row's norm.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import Tensor

from auditkit.influence.samples import products_of
from auditkit.influence.sweep import Sweep, Swept
from auditkit.influence.widening import widened_curvature, widened_rows
from auditkit.pieces import Nothing
from auditkit.processes import ALONE
from auditkit.result import Quality

TOP = 1000
"""Largest self-influences whose order and values are exact; a tenth of the records where that is fewer."""
_ROUNDING = 8
"""Units of the last place by which a rotated row may be off, relative to its norm."""
_ROUNDED = 1e-3
"""Largest error by rounding that a record may have where nothing is left out."""
_SLACK = 1e-5
"""By how much a length in float64 may lie above a bound in float32."""
_LEAST = 1e-15
"""Below this a number is rounding of 0."""
_MOST = 0.1
"""Share of the records beyond which they are not recomputed one by one."""

Kind = Literal["bounded", "positive", "own loss", "unbounded"]


@dataclass(frozen=True)
class OwnCheck:
    """What is known of every record's self-influence."""

    kind: Kind
    """`bounded` on both sides; `positive`: a sum of squares; `own loss`: at least the squared length, for a convex
    loss; `unbounded`: may have either sign."""
    error: float
    """Largest relative error of a record by what was left out and rounded."""
    outside: int
    """Records that do not keep the bound of this kind."""
    recomputed: int
    """Records recomputed in float64."""
    left: int = 0
    """Records whose error may be above what is allowed, too many to be recomputed."""

    def joined(self, other: OwnCheck | None) -> OwnCheck:
        """Of two sets of records."""
        if other is None:
            return self
        return OwnCheck(
            self.kind,
            max(self.error, other.error),
            self.outside + other.outside,
            self.recomputed + other.recomputed,
            self.left + other.left,
        )

    def quality(self, n: int, *, minimum: int = 1) -> Quality:
        """The row of the quality, for n records; a count below `minimum` is told as a band."""
        words = {
            "bounded": "Every record's self-influence is held between 0 and its squared gradient over the smallest "
            "penalty of its layers",
            "positive": "Every record's self-influence is a sum of squares and not below 0; it has no upper bound here",
            "own loss": "Self-influence is the change of the own loss at the moved outputs, not a squared length; "
            "it has no upper bound and is checked not to be below 0, nor below the squared length of the plain step "
            "where the step is a Newton step",
            "unbounded": "Self-influence may have either sign in this removal form and has no bound to be held against",
        }
        text = f"{words[self.kind]}."
        if self.error:
            text += f" Largest relative error of any record by what is left out and rounded: {self.error:.1e}."
        if self.recomputed:
            text += f" {self.recomputed:,} records, the largest among them, were recomputed in float64."
        if self.left:
            text += f" For {self.left:,} records rounding may be more than is allowed."
        if self.outside:
            count = f"fewer than {minimum}" if self.outside < minimum else f"{self.outside:,}"
            text += f" Of {n:,} records {count} do not keep this bound."
        warns = bool(self.outside or self.left)
        return Quality(name="self-influence of every record", value=self.error, text=text, warns=warns)


def hold(sweep: Sweep, swept: Swept, pulls: Tensor, *, allowed: float, top: int) -> tuple[Swept, OwnCheck]:
    """The lengths of a pass with their bounds held, and what was recomputed.

    Args:
        sweep: as it was run, on the rows of this pass. swept: what it gave.
        pulls: [D, P] directions whose products are recomputed too; the last P columns of the sweep.
        allowed: largest relative error of a record that is not recomputed; 0 where nothing was left out.
        top: largest records that are recomputed.
    """
    form = max((one.error for one in sweep.own.values()), default=0.0)
    errors = form + _rotated(sweep, swept)
    dtype = sweep.problem.dtype
    exact = dtype == torch.float64 and all(one.inverse is None for one in sweep.own.values())
    doubtful = ~(errors <= (allowed or _ROUNDED)) | ~(swept.length >= 0)
    many = int(doubtful.sum()) > max(TOP, _MOST * len(errors))
    chosen = torch.zeros_like(doubtful) if many else doubtful.clone()
    if not exact:
        chosen |= _largest(swept.length * sweep.problem.weights, errors, top)
    rows = torch.nonzero(chosen)[:, 0]
    if len(rows):
        swept, rest = _recomputed(sweep, swept, pulls, rows), errors.masked_fill(chosen, 0.0)
    else:
        rest = errors
    outside = ~((swept.length >= 0) & (swept.length <= swept.bound * (1 + _SLACK)))
    kind: Kind = "unbounded" if pulls.shape[1] else "bounded" if sweep.bounded else "positive"
    worst = float(rest.max()) if len(rest) else 0.0
    left = int(doubtful.sum()) if many else 0
    return replace(swept, length=swept.length.clamp(min=0)), OwnCheck(kind, worst, int(outside.sum()), len(rows), left)


def own_check(form: str, own: Tensor, plain: Tensor, *, pulled: bool) -> OwnCheck:
    """What holds for self-influence [N] that was computed in float64 with nothing left out.

    With a convex loss, moving the outputs along G q raises a record's own loss by at least the squared length of its
    plain step: l(z + G q / N) − l(z) >= rᵀ G q / N >= w/N rᵀ G r, G = J H⁻¹ Jᵀ and q as in `newton`. That holds for
    `newton`; `stepped` with its second-order term is only known not to lower the loss.

    Args:
        form: of the scores. own: [N]. plain: [N] squared lengths of the plain steps. pulled: the form `renormalised`.
    """
    if pulled:
        return OwnCheck("unbounded", 0.0, int((plain < 0).sum()), 0)
    least = {"first-order": torch.zeros_like(plain), "newton": plain, "stepped": torch.zeros_like(plain)}[form]
    kind: Kind = "positive" if form == "first-order" else "own loss"
    slack = _SLACK * (plain.abs() + own.abs())
    outside = ~((own >= least - slack - _LEAST) & (plain >= -_LEAST))
    return OwnCheck(kind, 0.0, int(outside.sum()), 0)


def _rotated(sweep: Sweep, swept: Swept) -> Tensor:
    """[N] relative error of each length by rounding of the rotated rows; 0 where there is no bound to tell it."""
    if not sweep.bounded:
        return torch.zeros_like(swept.length)
    rounding = _ROUNDING * torch.finfo(sweep.problem.dtype).eps
    # A record without a gradient has length 0 and bound 0: nothing is off.
    share = torch.where(swept.bound > 0, swept.bound / swept.length.clamp(min=torch.finfo(torch.float64).tiny), 0.0)
    t = 2 * rounding * share.sqrt()
    return 2 * t + t.square()


def _largest(values: Tensor, errors: Tensor, top: int) -> Tensor:
    """[N] which records may be among the `top` largest, by their errors; at most four times as many."""
    count = min(top, -(-len(values) // 10))
    if not count:
        return torch.zeros_like(values, dtype=torch.bool)
    low, high = values * (1 - errors).clamp(min=0), values * (1 + errors)
    least = low.topk(count).values[-1]
    order = high.topk(min(len(values), 4 * count)).indices
    chosen = torch.zeros_like(values, dtype=torch.bool)
    chosen[order] = high[order] >= least
    return chosen


def _recomputed(sweep: Sweep, swept: Swept, pulls: Tensor, rows: Tensor) -> Swept:
    problem = sweep.problem
    part = replace(
        problem,
        inputs=tuple(t[rows] for t in problem.inputs),
        targets=problem.targets[rows],
        weights=problem.weights[rows],
        total=problem.n,
        start=0,
        processes=ALONE,
        keep=Nothing(),
    )
    wide = widened_rows(part)
    blank = torch.zeros(problem.layout.size, 1, dtype=torch.float64, device=rows.device)
    exact = Sweep.of(wide, widened_curvature(sweep.curvature, wide), pulls if pulls.shape[1] else blank)
    cross, length = products_of(exact, wide)
    lengths, crosses = swept.length.clone(), swept.cross
    lengths[rows] = length
    if pulls.shape[1]:
        crosses = crosses.clone()
        crosses[rows, crosses.shape[1] - pulls.shape[1] :] = cross
    return replace(swept, length=lengths, cross=crosses)
