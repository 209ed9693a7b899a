"""Disclosure control: no published figure shows fewer than the minimum cell, and none lets one be derived.

Three rules, applied to the groups of one attribute or intersection (m is the minimum cell, counted in persons):

1. A group's count below m is not published (zero is: it concerns nobody).
2. A group is *closed* when one of its cells (truth x decision) holds fewer than m, zero included: 0 % or 100 %
   of a class tells of everyone in it. Nothing of a closed group is published exactly: events and denominators
   are withheld, rates, differences and ratios are rounded to a step at least m/2 records wide, interval limits
   outwards (so that rounding never decides a rule that the exact interval leaves open; a rule with `proof: point`
   judges the rounded value). Where no step up to 0.2 is that wide, the value is withheld. Groups below the
   minimum group publish no figures at all.
3. What is withheld could be derived by subtracting the published groups from a published whole (all records, or
   an attribute's group that an intersection divides). So wherever the other withheld members of such a line hold
   fewer than m persons together, its smallest published member is withheld or closed as well.

Limits, for the reader of the code: several rounded figures of one group narrow its cells further than one does.
The cells of unknown membership, which no table shows, can be derived from the whole where every group is open.
What two attributes tell together is only protected where the policy declares their intersection.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from auditkit.stats.rounding import STEPS
from auditkit.subject.types import Grouping, Ints, Mask


def lines(name: str, groupings: Mapping[str, Grouping]) -> tuple[Ints, ...]:
    """Sets of groups of one grouping whose sum is published: all of it, and each group that it divides further.

    Positions index labels; the last position, len(labels), is unknown membership and belongs to the whole
    only.
    """
    own = groupings[name]
    out = [np.arange(len(own.labels) + 1)]
    for other in groupings.values():
        parts = set(other.of or (other.name,))
        if not own.of or other.name == name or not parts < set(own.of):
            continue
        both = (own.codes >= 0) & (other.codes >= 0)
        parent, part = np.divmod(np.unique(other.codes[both] * len(own.labels) + own.codes[both]), len(own.labels))
        out += [part[parent == one] for one in np.unique(parent)]
    return tuple(out)


def complete(*, withheld: Mask, sensitive: Mask, sizes: Ints, along: tuple[Ints, ...], minimum: int) -> Mask:
    """Rule 3: withhold more members, smallest first, until no sensitive one can be derived along any line.

    Args:
        withheld: [G + 1] members already withheld.
        sensitive: [G + 1] those among them that must not be derived.
        sizes: [G + 1] persons.
        along: lines from `lines`.
        minimum: m.
    """
    out = withheld & (sizes > 0)
    changed = True
    while changed:
        changed = False
        for line in along:
            inside, guarded = line[out[line]], line[(out & sensitive)[line]]
            open_ = line[~out[line] & (sizes[line] > 0)]
            if guarded.size and open_.size and sizes[inside].sum() - sizes[guarded].max() < minimum:
                out[open_[np.argmin(sizes[open_])]] = True
                changed = True
    return out


def ratio_step(*, ratio: float, reference_rate: float, group_step: float, reference_step: float) -> float | None:
    """Step of a ratio that is no finer than the steps of the two rates, by first-order propagation."""
    if reference_rate <= 0:
        return None
    width = max(group_step, ratio * reference_step) / reference_rate
    return next((step for step in STEPS if step >= width - 1e-12), None)


def share_at_most(*, count: int, total: int, minimum: int) -> float:
    """A withheld count as a share, rounded up to whole minimum cells: an upper limit for rules on unknowns."""
    return min(1.0, math.ceil(count / minimum) * minimum / total)
