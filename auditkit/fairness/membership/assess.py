"""One membership's share of the fairness part: group rows, rates, comparisons, bounds, and what to know of them."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from auditkit.fairness.cells import cell_of
from auditkit.fairness.disparity import MINIMUM_EVENTS
from auditkit.fairness.membership import released
from auditkit.fairness.membership.bounding import bounded
from auditkit.fairness.membership.contrasts import Pair, critical_value, difference, ratio
from auditkit.fairness.membership.counted import group_rows, notes
from auditkit.fairness.membership.standing import standing
from auditkit.fairness.membership.subject import Subject, rows_of
from auditkit.fairness.membership.sums import Shares, shares
from auditkit.fairness.metrics import METRICS
from auditkit.fairness.notes import IMPACT_RATIO
from auditkit.policy.schema import FairnessSettings
from auditkit.result import Estimate, Measurement, MembershipPart
from auditkit.stats.intervals import critical, wilson_bounds
from auditkit.stats.multiplicity import sidak
from auditkit.subject.memberships import Membership
from auditkit.subject.types import Floats

SEVERAL = "Wilson score interval"
WEIGHTED = "weighted estimator, Wilson score interval with the effective n that the persons' variance gives"


def assess(
    membership: Membership,
    *,
    truth: Floats,
    decision: Floats,
    persons: NDArray[np.object_] | None,
    weights: Floats | None,
    settings: FairnessSettings,
    minimum_cell: int,
    generator: np.random.Generator,
) -> MembershipPart:
    """Every metric of METRICS for every group, compared with the reference, and bounds where shares are probabilities.

    Args:
        membership: over the evaluation rows [M]. truth, decision: [M] 1 favourable, 0 not, NaN unknown.
        persons: [M] or None. weights: [M] or None. generator: of the multiplier bootstrap.
        settings, minimum_cell: as for `fairness.assess`.

    Raises:
        DataError: a label or decision is neither 0, 1 nor missing.
    """
    cell = cell_of(truth=truth, decision=decision)
    rows = rows_of(membership, cell=cell, persons=persons, weights=weights)
    nothing = MembershipPart(on=membership.name, kind=membership.kind, status="not-applicable")
    if not rows.cell.size:
        return nothing.model_copy(update={"reason": "no evaluation record has a decision"})
    state = standing(rows, len(membership.labels), minimum_group=settings.minimum_group, minimum=minimum_cell)
    subject = Subject(membership, rows, state, settings, minimum_cell)
    found = {name: shares(rows, metric) for name, metric in METRICS.items()}
    measurements = [row for name in METRICS for row in _rates(subject, name, found[name])]
    for (name, own), child in zip(found.items(), generator.spawn(len(found)), strict=True):
        measurements += _comparisons(subject, name, own, child)
    return MembershipPart(
        on=membership.name,
        kind=membership.kind,
        reference=membership.reference,
        reference_stated=membership.reference_stated,
        groups=group_rows(subject),
        measurements=tuple(measurements),
        bounds=tuple(row for name in METRICS for row in bounded(subject, name, found[name])) if rows.soft else (),
        notes=notes(subject, undecided=int((cell < 0).sum())),
    )


def _rates(subject: Subject, name: str, found: Shares) -> Iterator[Measurement]:
    """Wilson intervals together at the level; Šidák's inequality holds for normal estimates however correlated."""
    level, why = subject.settings.level, [subject.why_not(name, found, g) for g in subject.groups]
    family = max(1, sum(not reason for reason in why))
    z = critical(sidak(level=level, family=family))
    method = WEIGHTED if subject.varied else SEVERAL
    if subject.rows.repeats and not subject.varied:
        method += ", n divided by the design effect of repeated persons"
    method += f", simultaneous over {family} groups (Šidák)" if family > 1 else ""
    for group, reason in enumerate(why):
        exact, parts = Estimate(value=None, level=level, withheld=reason), tuple[str, ...]()
        if not reason:
            value = float(found.values[group])
            low, high = wilson_bounds(rate=value, n=float(found.effective[group]), z=z)
            exact = Estimate(
                value=value, low=low, high=high, level=level, n=subject.told(found, group), method=method,
                events=None if subject.varied else round(float(found.events[group])),
            )  # fmt: skip
            exact, parts = released.rate(
                exact, found, group, closed=subject.closed(group), soft=subject.varied, m=subject.minimum_cell
            )
        yield Measurement(
            measure=f"fairness.{name}", on=subject.membership.name, group=subject.label(group), estimate=exact,
            parts=parts,
        )  # fmt: skip


def _comparisons(subject: Subject, name: str, found: Shares, generator: np.random.Generator) -> Iterator[Measurement]:
    why = {pair: subject.why_no_pair(name, found, pair) for pair in subject.pairs}
    usable = tuple(pair for pair, reason in why.items() if not reason)
    enough = tuple(pair for pair in usable if _eventful(found, pair))
    draws = generator.spawn(2)
    z = [_critical(subject, found, pairs, logs=logs, generator=child) for pairs, logs, child in
         ((usable, False, draws[0]), (enough, True, draws[1]))]  # fmt: skip
    for pair, reason in why.items():
        where = {"on": subject.membership.name, "group": subject.label(pair[0]), "reference": subject.against}
        closed = subject.closed(pair[0]) or subject.closed(pair[1])
        exact = _difference(subject, found, pair, reason=reason, z=z[0], family=len(usable))
        shown, parts = released.difference(
            exact, found, pair, closed=closed, soft=subject.varied, m=subject.minimum_cell
        )
        yield Measurement(measure=f"fairness.{name}_difference", unit="points", estimate=shown, parts=parts, **where)
        exact = _ratio(subject, found, pair, reason=reason, z=z[1], family=len(enough), enough=pair in enough)
        shown, parts = released.ratio(exact, found, pair, closed=closed, soft=subject.varied, m=subject.minimum_cell)
        for measure in (f"fairness.{name}_ratio", *([IMPACT_RATIO] if name == "selection_rate" else [])):
            yield Measurement(measure=measure, unit="ratio", estimate=shown, parts=parts, **where)


def _eventful(found: Shares, pair: Pair) -> bool:
    """Whether both sides have the events that a ratio's interval needs; with weights they may all weigh nothing."""
    # Expected events fall short of a whole number by rounding alone.
    enough = min(found.events[list(pair)]) >= MINIMUM_EVENTS - 1e-9
    return bool(enough and min(found.values[list(pair)]) > 0)


def _critical(
    subject: Subject, found: Shares, pairs: tuple[Pair, ...], *, logs: bool, generator: np.random.Generator
) -> float:
    if not pairs:
        return 0.0
    own = subject.settings
    return critical_value(found, pairs, logs=logs, level=own.level, replicates=own.replicates, generator=generator)


def _method(subject: Subject, family: int) -> str:
    what = "persons" if subject.rows.repeats else "records"
    if family < 2:
        return "correlated MOVER from the two Wilson intervals; n is both denominators"
    return (
        f"correlated MOVER from the Wilson intervals, multiplier bootstrap over {what}, "
        f"{subject.settings.replicates:,} replicates, simultaneous over {family} groups (max-t); n is both denominators"
    )


def _difference(subject: Subject, found: Shares, pair: Pair, *, reason: str, z: float, family: int) -> Estimate:
    level = subject.settings.level
    if reason:
        return Estimate(value=None, level=level, withheld=reason)
    own = difference(found, pair, z=z)
    return Estimate(
        value=own.value, low=own.low, high=own.high, level=level, n=subject.told_of(found, pair),
        method=_method(subject, family),
    )  # fmt: skip


def _ratio(
    subject: Subject, found: Shares, pair: Pair, *, reason: str, z: float, family: int, enough: bool
) -> Estimate:
    """A quotient without an interval below five events on either side; without a value where the reference has none."""
    level = subject.settings.level
    if reason:
        return Estimate(value=None, level=level, withheld=reason)
    own, base = (float(found.values[column]) for column in pair)
    if not enough:
        events = "events" if subject.rows.weights is None else "events with a weight"
        refused = f"interval refused: fewer than {MINIMUM_EVENTS} {events} in the group or in what it is compared with"
        return Estimate(
            value=own / base if base > 0 else None, level=level,
            n=subject.told_of(found, pair) if base > 0 else None, withheld=refused,
        )  # fmt: skip
    made = ratio(found, pair, z=z)
    return Estimate(
        value=made.value, low=made.low, high=made.high, level=level, n=subject.told_of(found, pair),
        method=_method(subject, family),
    )  # fmt: skip
