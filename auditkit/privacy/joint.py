"""Records that both widen a gap and are marked as exposed: how many, and how many chance alone would give.

A record widens a gap if the model retrained without it is predicted to have a gap nearer to zero. Taken are the
TOP_SHARE of records (or persons, with their records' effects added) of which that is predicted most. If being marked
had nothing to do with it, the number of marked among them would follow the hypergeometric law.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from scipy import stats

from auditkit.privacy.clustered import person_sums, repeats
from auditkit.privacy.disclosure import published_rate, safe_cell
from auditkit.result import Estimate, GapExposure
from auditkit.subject.types import Floats, Ints, Mask

TOP_SHARE: Final = 0.05
METHOD: Final = "hypergeometric law, if being marked and widening the gap had nothing to do with each other"
NO_GAPS: Final = "the influence of training records on gaps between groups was not computed"
NO_MARKS: Final = "no record could be marked or left unmarked"


@dataclass(frozen=True)
class Gaps:
    """Predicted effects of training records on the gaps, or why there are none."""

    names: tuple[str, ...] = ()
    values: tuple[float, ...] = ()
    """[S] the gaps under the audited model."""
    effects: Floats | None = None
    """[N, S] predicted change of the gap if the record were removed."""
    reason: str = NO_GAPS


NO_EFFECTS: Final = Gaps()


def joint(
    gaps: Gaps, flag: Mask | None, *, persons: Ints | None, level: float, minimum: int
) -> tuple[tuple[GapExposure, ...], str, str]:
    """One row a gap; what they count (`records` or `persons`); and why there is none.

    Args:
        gaps: see above. flag: [N] marked records, whole persons where they have several; None: none could be.
        persons: [N] or None. level: coverage of intervals, each on its own. minimum: minimum cell.
    """
    if gaps.effects is None or not gaps.names:
        return (), "", gaps.reason or NO_GAPS
    if flag is None:
        return (), "", NO_MARKS
    whose = persons if repeats(persons) else None
    marked = np.asarray(person_sums(flag.astype(np.float64), whose) > 0, dtype=np.bool_)
    rows = [
        _row(name, _inward(gaps, k, whose), marked, level=level, minimum=minimum) for k, name in enumerate(gaps.names)
    ]
    return tuple(rows), "records" if whose is None else "persons", ""


def _inward(gaps: Gaps, k: int, persons: Ints | None) -> Floats:
    """By how much the gap is predicted to come nearer to zero without each record or person."""
    if gaps.effects is None:
        message = "gaps with names have effects"
        raise AssertionError(message)
    return person_sums(-gaps.effects[:, k] * np.sign(gaps.values[k]), persons)


def _row(name: str, pull: Floats, marked: Mask, *, level: float, minimum: int) -> GapExposure:
    """Share of the top that is marked, exactly where no few can be told from it, else as a band."""
    count = max(1, round(TOP_SHARE * len(pull)))
    top = np.zeros(len(pull), dtype=np.bool_)
    top[np.argsort(-pull, kind="stable")[:count]] = True
    top &= pull > 0
    size = int(top.sum())
    if size < minimum:
        few = Estimate(value=None, level=level, withheld=f"fewer than {minimum} widen the gap that much")
        return GapExposure(name=name, top_share=TOP_SHARE, both=few, expected=few)
    both = published_rate(marked[top], None, level=level, minimum=minimum)
    open_ = safe_cell(top, marked, None, minimum=minimum) and safe_cell(~top, marked, None, minimum=minimum)
    if both.known and not open_:
        reason = f"withheld: with the share marked of all it would tell of fewer than {minimum} outside"
        both = Estimate(value=None, level=level, n=size, withheld=reason)
    expected = _expected(size, marked, level=level, minimum=minimum)
    return GapExposure(name=name, top_share=TOP_SHARE, both=both, expected=expected)


def _expected(size: int, marked: Mask, *, level: float, minimum: int) -> Estimate:
    """The share of `size` drawn at random that is marked; withheld where the number of the marked is."""
    if not published_rate(marked, None, level=level, minimum=minimum).known:
        reason = f"fewer than {minimum} are marked, or are not, in all"
        return Estimate(value=None, level=level, withheld=reason, method=METHOD)
    all_marked = int(marked.sum())
    law = stats.hypergeom(len(marked), all_marked, size)
    low, high = (float(law.ppf(q)) / size for q in (0.5 - level / 2, 0.5 + level / 2))
    return Estimate(value=all_marked / len(marked), low=low, high=high, level=level, n=size, method=METHOD)
