"""What an audit tells of effects: aggregates of one measure, withheld where they would tell of persons."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from auditkit.influence.columns import Levels
from auditkit.influence.composition import compose
from auditkit.influence.disclosure import Release
from auditkit.influence.problem import Problem
from auditkit.influence.targets import UNITS, Target
from auditkit.result import Quality, SliceInfluence
from auditkit.subject.types import Floats, Ints


def slice_influence(
    target: Target,
    effects: Floats,
    value: float,
    *,
    release: Release,
    columns: Sequence[Levels],
    persons: Ints | None,
    minimum: int,
    level: float,
) -> SliceInfluence:
    """Aggregates of one measure; withheld when its slice, or a difference to another, is below the minimum cell."""
    few = bool(release.withheld)
    # A percentile with fewer than the minimum cell beyond it would come close to single records' values.
    deep = 0.01 * len(effects) >= minimum and not few
    high, low = (float(q) for q in np.quantile(effects, [0.99, 0.01]))
    count = int(np.ceil(0.01 * len(effects)))
    total = float(np.abs(effects).sum())
    top = float(np.sort(np.abs(effects))[-count:].sum())
    return SliceInfluence(
        name=target.name,
        kind=target.kind,
        why=target.why,
        where=target.where,
        n=target.n if release.count else None,
        measure=target.measure,
        unit=UNITS[target.measure],
        value=None if few else value,
        p99_raises=high if deep else None,
        p99_lowers=low if deep else None,
        share_in_top_1pct=top / total if deep and total > 0 else None,
        compositions=() if few else compose(effects, columns, persons=persons, minimum=minimum, level=level),
        withheld=release.withheld,
    )


def stated_penalty(problem: Problem) -> str:
    """The model's own L2 in words."""
    levels = sorted(set(problem.penalty.tolist()))
    if levels == [0.0]:
        return "none"
    if len(levels) == 1:
        return f"{levels[0]:g} on all parameters"
    shares = (f"{level:g} on {int((problem.penalty == level).sum()):,} parameters" for level in levels)
    return ", ".join(shares)


def cases(count: int) -> tuple[Quality, ...]:
    """How many single cases were assessed; nothing of what was found."""
    if not count:
        return ()
    text = f"Single cases assessed: {count}; their results are restricted and not part of this report."
    return (Quality(name="cases", value=None, text=text),)
