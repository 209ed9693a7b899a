"""The rows of bounds: of every group's rate, and of its difference from what it is compared with."""

from __future__ import annotations

import math
from collections.abc import Iterator

from auditkit.fairness.membership import bounds, released
from auditkit.fairness.membership.bounds import Ends
from auditkit.fairness.membership.contrasts import Pair
from auditkit.fairness.membership.subject import Subject
from auditkit.fairness.membership.sums import Shares
from auditkit.fairness.metrics import METRICS
from auditkit.fairness.notes import IMPACT_RATIO
from auditkit.result import Estimate, MembershipBounds
from auditkit.stats.intervals import critical
from auditkit.stats.multiplicity import sidak
from auditkit.subject.types import Floats

NOTHING = "not estimable: the group may have no record in this denominator"
SAMPLE = "Fréchet bounds in bins of the probability, as the records give them"
MOVED = "Fréchet bounds in bins of the probability, ends moved outwards by their sampling error"


def bounded(subject: Subject, name: str, found: Shares) -> Iterator[MembershipBounds]:
    """Rates of the groups, then differences."""
    metric = METRICS[name]
    columns = sorted({*subject.groups, *(column for pair in subject.pairs for column in pair)})
    why = {column: subject.why_not(name, found, column) for column in columns}
    made: dict[int, Ends | None] = {
        column: None if why[column] else bounds.ends(subject.rows, metric, column) for column in columns
    }
    rates = {column: why[column] or ("" if made[column] else NOTHING) for column in columns}
    z = _critical(subject, sum(not rates[group] for group in subject.groups))
    for group in subject.groups:
        yield _row(subject, name, found, (group,), made, reason=rates[group], z=z)
    gone = {pair: _first(rates, pair, subject) for pair in subject.pairs}
    z = _critical(subject, sum(not reason for reason in gone.values()))
    for pair, reason in gone.items():
        yield _row(subject, name, found, pair, made, reason=reason, z=z)
        if name == "selection_rate":
            yield _impact(subject, found, pair, made, reason=reason, z=z)


def _critical(subject: Subject, family: int) -> float:
    return critical(sidak(level=subject.settings.level, family=max(1, family)))


def _first(rates: dict[int, str], pair: Pair, subject: Subject) -> str:
    if rates[pair[1]] and pair[1] in subject.groups:
        return f"reference: {rates[pair[1]]}"
    return rates[pair[0]] or rates[pair[1]]


def _row(
    subject: Subject, name: str, found: Shares, columns: tuple[int, ...], made: dict[int, Ends | None], *,
    reason: str, z: float,
) -> MembershipBounds:  # fmt: skip
    level, pair = subject.settings.level, len(columns) > 1
    exact = Estimate(value=None, level=level, withheld=reason)
    own, base = made[columns[0]], made[columns[-1]]
    plain, moved = exact, exact
    if not reason and own is not None and base is not None:
        ends = _apart(own, base) if pair else own
        limit = 1.0 if pair else 0.0
        errors = [math.sqrt(float(part @ part)) for part in (ends.low_influence, ends.high_influence)]
        region = max(ends.low - z * errors[0], -limit), min(ends.high + z * errors[1], 1.0)
        plain = Estimate(value=None, low=ends.low, high=ends.high, level=level, method=SAMPLE)
        moved = Estimate(value=None, low=region[0], high=region[1], level=level, method=MOVED)
    closed = any(subject.closed(column) for column in columns)
    shown = [
        (
            released.difference(one, found, (columns[0], columns[-1]), closed=closed, soft=True, m=subject.minimum_cell)
            if pair
            else released.rate(one, found, columns[0], closed=closed, soft=True, m=subject.minimum_cell)
        )[0]
        for one in (plain, moved)
    ]
    return MembershipBounds(
        measure=f"fairness.{name}_difference" if pair else f"fairness.{name}", group=subject.label(columns[0]),
        reference=subject.against if pair else "", unit="points" if pair else "rate", bounds=shown[0], region=shown[1],
    )  # fmt: skip


def _apart(own: Ends, base: Ends) -> Ends:
    """Bounds of a difference: each end of one against the other end of the other.

    Both are reached at once where both columns are binned alike (so for two groups, or a group and everybody outside
    it); else they hold and may be wider than they need be.
    """
    return Ends(
        own.low - base.high,
        own.high - base.low,
        own.low_influence - base.high_influence,
        own.high_influence - base.low_influence,
    )


def _impact(
    subject: Subject, found: Shares, pair: Pair, made: dict[int, Ends | None], *, reason: str, z: float
) -> MembershipBounds:
    """Bounds of the impact ratio: lowest over highest and highest over lowest, sampling error of the logarithms."""
    level = subject.settings.level
    exact = Estimate(value=None, level=level, withheld=reason)
    own, base = made[pair[0]], made[pair[1]]
    plain, moved = exact, exact
    if not reason and own is not None and base is not None:
        low, low_moved = _quotient(own.low, base.high, own.low_influence, base.high_influence, z=-z)
        high, high_moved = _quotient(own.high, base.low, own.high_influence, base.low_influence, z=z)
        plain = Estimate(value=None, low=low or 0.0, high=high, level=level, method=SAMPLE)
        moved = Estimate(value=None, low=low_moved or 0.0, high=high_moved, level=level, method=MOVED)
    closed = any(subject.closed(column) for column in pair)
    shown = [
        released.ratio(one, found, pair, closed=closed, soft=True, m=subject.minimum_cell)[0] for one in (plain, moved)
    ]
    return MembershipBounds(
        measure=IMPACT_RATIO,
        group=subject.label(pair[0]),
        reference=subject.against,
        unit="ratio",
        bounds=shown[0],
        region=shown[1],
    )


def _quotient(own: float, base: float, moves: Floats, base_moves: Floats, *, z: float) -> tuple[float | None, ...]:
    """A / b as it is and with its logarithm moved by z standard errors; 0 where a is 0, None where b alone is."""
    if own <= 0:
        return 0.0, 0.0
    if base <= 0:
        return None, None
    relative = moves / own - base_moves / base
    return own / base, own / base * math.exp(z * math.sqrt(float(relative @ relative)))
