"""What may be said of each group of a membership: its size, and what would follow from the published groups together.

Groups of an exclusive attribute add up to the whole; overlapping groups do not, but other sets follow from them. With
two groups, those in both follow from the two sizes and the size of their union; with any number, so do all records
outside a group, and the memberships beyond each record's first. So every set that may be derived is looked for: a set
(who has exactly these groups, both of two, one without the other, none of one, several) follows from the published
counts exactly if its indicator over the patterns of membership is a linear combination of theirs. Where a set that may
not be told follows, the smallest published group of the combination is closed, until none follows. Limits: unions of
such sets are not searched, and what a membership and a protected attribute tell together is not protected.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations

import numpy as np

from auditkit.fairness.cells import CELLS
from auditkit.fairness.disclosure import complete
from auditkit.fairness.groups import LABELLED
from auditkit.fairness.membership.sums import Rows
from auditkit.subject.types import Floats, Ints, Mask

EXACT = 1e-8
Told = tuple[str, int, Floats]
"""What is published: `group` and its position, or another kind and -1; the indicator [P] over patterns."""
PATTERNS = 512
"""Patterns of membership, the most frequent, that are looked for one by one."""


@dataclass(frozen=True)
class Standing:
    """What may be said of each group [G]."""

    minimum: int
    """(Effective) persons a group needs to be assessed."""
    assessed: Mask
    empty: Mask
    hidden: Mask
    """The count is not published."""
    closed: Mask
    """No exact figure is published."""
    several: bool
    """Whether the number of records in several groups may be told."""
    none: bool
    """Whether the number of known records in no group may be told."""

    def why_not(self, group: int, *, soft: bool) -> str:
        """Why a group is not assessed; empty when it is."""
        if self.assessed[group]:
            return ""
        if self.empty[group]:
            return "no records of this group in the evaluation data"
        what = "effective records or persons" if soft else "records or persons"
        return f"fewer than {self.minimum} {what} in this group"


def standing(rows: Rows, groups: int, *, minimum_group: int, minimum: int) -> Standing:
    """Judge the groups' sizes, and withhold what would follow from them.

    Args:
        rows: all records, unknown ones included; the first `groups` columns are the groups.
        minimum_group: (effective) records and persons a group needs. minimum: the minimum cell, in persons.
    """
    least = max(minimum_group, minimum)
    heads = rows.heads(rows.known)[:groups]
    effective = np.minimum(rows.effective_persons[:groups], rows.records[:groups].sum(axis=1))
    # A sum of probabilities falls short of a whole number by rounding alone.
    assessed, few = effective >= least - EXACT, (heads > 0) & (heads < minimum - EXACT)
    exposed = small_cell(rows.headcount[:groups], minimum) | ~assessed
    if rows.soft:
        hidden, closed = _soft(rows, heads, few=few, exposed=exposed, minimum=minimum)
        several = none = False
    else:
        hidden, closed, several, none = _overlapping(rows, heads, few=few, exposed=exposed, minimum=minimum)
    return Standing(least, assessed, heads == 0, hidden, closed | hidden, several, none)


def small_cell(sizes: Floats, minimum: int) -> Mask:
    """[K] whether a cell of [K, 6] holds too few persons; cells without labels count where there are such records."""
    out = np.zeros(len(sizes), dtype=np.bool_)
    for block in (sizes[:, :LABELLED], sizes[:, LABELLED:]):
        out |= (block.sum(axis=1) > 0) & (block.min(axis=1) < minimum - EXACT)
    return out


def _soft(rows: Rows, heads: Floats, *, few: Mask, exposed: Mask, minimum: int) -> tuple[Mask, Mask]:
    """Hidden and closed [G]: groups, what no group claims, and unknown records add up to the whole."""
    groups = len(heads)
    rest = float(np.unique(rows.persons[rows.known]).size) - float(heads.sum())
    unknown = int(np.unique(rows.persons[~rows.known]).size)
    sizes = np.floor(np.array([*heads, rest if rest >= 0.5 else 0.0, unknown]) + EXACT).astype(np.int64)
    line = (np.arange(groups + 2),)
    outside = np.array([0 < size < minimum for size in sizes[groups:]], dtype=np.bool_)
    withheld = np.concatenate([few, outside])
    hidden = complete(withheld=withheld, sensitive=withheld, sizes=sizes, along=line, minimum=minimum)
    exposed = np.concatenate([exposed, outside]) | hidden
    sensitive = exposed & np.concatenate([np.ones(groups, dtype=np.bool_), outside])
    closed = complete(withheld=exposed, sensitive=sensitive, sizes=sizes, along=line, minimum=minimum)
    return hidden[:groups], closed[:groups]


def _overlapping(rows: Rows, heads: Floats, *, few: Mask, exposed: Mask, minimum: int) -> tuple[Mask, Mask, bool, bool]:
    """Hidden and closed [G], and whether the numbers of those in several groups and in none may be told."""
    groups = len(heads)
    signs = np.column_stack([rows.share[:, :groups], ~rows.known]).astype(np.int64)
    patterns, code = np.unique(signs, axis=0, return_inverse=True)
    code = code.ravel()
    member, unknown = patterns[:, :groups], patterns[:, groups] > 0
    guarded = _guarded(member, unknown, np.bincount(code, minlength=len(patterns)))
    total, cells = _heads(rows, guarded, code), _cells(rows, guarded, code)
    small = (total > 0) & (total < minimum)
    outside = {"several": member.sum(axis=1) > 1, "none": (member.sum(axis=1) == 0) & ~unknown, "unknown": unknown}
    extra = [(kind, -1, where.astype(np.float64)) for kind, where in outside.items()]
    counts = [("group", int(g), member[:, g].astype(np.float64)) for g in np.flatnonzero(~few & (heads > 0))]
    told = {(kind, g) for kind, g, _ in _withhold([*counts, *extra], guarded[small], heads)}
    hidden = np.array([heads[g] > 0 and ("group", g) not in told for g in range(groups)], dtype=np.bool_)
    figures = [("group", int(g), member[:, g].astype(np.float64)) for g in np.flatnonzero(~(exposed | hidden))]
    # Nothing is published of what becomes of records whose groups are not known: they are guarded by number alone.
    sensitive = small | (small_cell(cells, minimum) & ~_only(guarded, unknown))
    kept = {g for _, g, _ in _withhold(figures, guarded[sensitive], heads)}
    closed = np.array([g not in kept for g in range(groups)], dtype=np.bool_)
    return hidden, closed, ("several", -1) in told, ("none", -1) in told


def _only(guarded: Floats, where: Mask) -> Mask:
    """[Q] whether a set lies within the patterns `where`."""
    return np.asarray(~(guarded[:, ~where] > 0).any(axis=1), dtype=np.bool_)


def _guarded(patterns: Ints, unknown: Mask, counts: Ints) -> Floats:
    """[Q, P] indicators over patterns of the sets that are looked for; the last counts memberships beyond the first."""
    often = np.argsort(-counts, kind="stable")[:PATTERNS]
    member = patterns.astype(np.bool_)
    sets = [np.eye(len(patterns), dtype=np.bool_)[k] for k in often]
    for g in range(member.shape[1]):
        sets += [~member[:, g], ~member[:, g] & ~unknown]
    for a, b in combinations(range(member.shape[1]), 2):
        sets += [member[:, a] & member[:, b], member[:, a] & ~member[:, b], member[:, b] & ~member[:, a]]
    sets += [patterns.sum(axis=1) > 1, (patterns.sum(axis=1) == 0) & ~unknown, unknown]
    beyond = np.maximum(patterns.sum(axis=1) - 1, 0)
    found = np.array([*sets, beyond]).astype(np.float64)
    return np.unique(found[found.any(axis=1)], axis=0)


def _cells(rows: Rows, guarded: Floats, code: Ints) -> Floats:
    """[Q, 6] persons of each set in each cell."""
    return np.column_stack([_heads(rows, guarded, code, rows.cell == cell) for cell in range(CELLS)])


def _heads(rows: Rows, guarded: Floats, code: Ints, inside: Mask | None = None) -> Floats:
    """[Q] persons of each set, those among the rows `inside`."""
    kept = np.ones(code.size, dtype=np.bool_) if inside is None else inside
    member = guarded > 0
    if not rows.repeats:
        return np.asarray(member @ np.bincount(code[kept], minlength=guarded.shape[1]), dtype=np.float64)
    pairs = np.unique(np.stack([rows.persons[kept], code[kept]]), axis=1)
    return np.array([np.unique(pairs[0][own[pairs[1]]]).size for own in member], dtype=np.float64)


def _withhold(told: list[Told], sensitive: Floats, heads: Floats) -> list[Told]:
    """What of the published sets stays, so that no sensitive one [S, P] follows from them and from the whole."""
    told, everybody = list(told), np.ones(sensitive.shape[1])
    while told and len(sensitive):
        base = np.column_stack([everybody, *(vector for _, _, vector in told)]).astype(np.float64)
        parts, *_ = np.linalg.lstsq(base, sensitive.T, rcond=None)
        follows = np.abs(base @ parts - sensitive.T).max(axis=0) < EXACT
        used = np.abs(parts[1:, follows]).max(axis=1, initial=0.0) > EXACT
        if not used.any():
            return told
        # What is no group goes first, then the smallest group.
        order = [(kind == "group", heads[g] if kind == "group" else 0.0, k) for k, (kind, g, _) in enumerate(told)]
        del told[min(order[k] for k in np.flatnonzero(used))[2]]
    return told
