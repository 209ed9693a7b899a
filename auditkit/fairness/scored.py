"""The scores of one grouping's records, and the gates that every statistic of them passes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from auditkit.fairness.groups import closed_note
from auditkit.fairness.setting import Setting
from auditkit.result import Estimate, Measurement
from auditkit.stats.rounding import TOO_FEW, rate_step, rounded
from auditkit.stats.weighted import kish
from auditkit.subject.types import Floats, Ints, Mask

Make = Callable[[int, float], Estimate]
"""(group, level of this one interval) -> the exact estimate."""


@dataclass(frozen=True)
class Scored:
    """One grouping with the scores of its records."""

    setting: Setting
    score: Floats
    """[M]"""
    truth: Floats
    """[M] 1, 0 or NaN."""
    persons: Ints
    """[M] codes from 0; every record its own where none repeats."""
    weights: Floats | None = None
    """[M] sample weights, or None."""

    def weigh(self, part: Mask) -> Floats:
        """[N] weights of some of the records; ones where there are none."""
        return np.ones(int(part.sum())) if self.weights is None else self.weights[part]

    def of(self, group: int) -> Mask:
        """[M] members with a score and a label."""
        known = np.isfinite(self.score) & np.isfinite(self.truth)
        return np.asarray(known & (self.setting.grouping.codes == group), dtype=bool)

    @property
    def groups(self) -> range:
        """Positions of the groups."""
        return range(len(self.setting.grouping.labels))

    def why_not(self, group: int) -> str:
        """Why nothing is said of a group's scores: too few records of the group, or of one of the two labels."""
        reason = self.setting.state.why_not(group, repeats=self.setting.cells.repeats)
        least = max(self.setting.settings.minimum_denominator, self.setting.minimum_cell)
        truth = self.truth[self.of(group)]
        if not reason and min((truth == 1).sum(), (truth == 0).sum()) < least:
            reason = f"not estimable: fewer than {least} records with a score and one of the two labels in this group"
        if not reason and self.weights is not None and self.effective(group) < least:
            reason = f"not estimable: by their weights fewer than {least} effective records of one of the two labels"
        return reason

    def effective(self, group: int) -> float:
        """The smaller effective number of records (Kish) of the two labels."""
        own = self.of(group)
        return min(kish(self.weigh(own & (self.truth == label))) for label in (0, 1))

    def step(self, group: int) -> float | None:
        """Rounding step of a group's figures: 0 when open, None when they cannot be shown."""
        if not self.setting.state.closed[group]:
            return 0.0
        truth = self.truth[self.of(group)]
        return rate_step(trials=int(min((truth == 1).sum(), (truth == 0).sum())), minimum=self.setting.minimum_cell)


def rows(scored: Scored, name: str, make: Make, *, unit: str, bounds: tuple[float, float]) -> Iterator[Measurement]:
    """`fairness.<name>` of every group, intervals together at the level (Šidák: the groups are disjoint)."""
    settings = scored.setting.settings
    why = {group: scored.why_not(group) for group in scored.groups}
    level = settings.level ** (1 / max(1, sum(not reason for reason in why.values())))
    for group, reason in why.items():
        exact = Estimate(value=None, level=settings.level, withheld=reason) if reason else make(group, level)
        yield _released(scored, name, exact, (group,), unit=unit, bounds=bounds)


def compared(scored: Scored, name: str, make: Make, *, unit: str, bounds: tuple[float, float]) -> Iterator[Measurement]:
    """`fairness.<name>` of every group but the reference, together at the level (Šidák's inequality)."""
    setting, reference = scored.setting, scored.setting.reference
    base = setting.no_reference if reference < 0 else scored.why_not(reference)
    if reference >= 0 and base:
        base = f"reference: {base}"
    why = {group: base or scored.why_not(group) for group in setting.compared}
    level = setting.settings.level ** (1 / max(1, sum(not reason for reason in why.values())))
    for group, reason in why.items():
        exact = Estimate(value=None, level=setting.settings.level, withheld=reason) if reason else make(group, level)
        yield _released(scored, name, exact, (group, reference), unit=unit, bounds=bounds)


def _released(
    scored: Scored, name: str, exact: Estimate, groups: tuple[int, ...], *, unit: str, bounds: tuple[float, float]
) -> Measurement:
    """The row as it may be shown: rounded where a group is closed."""
    setting = scored.setting
    shown, parts = exact.model_copy(update={"level": setting.settings.level}), tuple[str, ...]()
    if exact.value is not None and setting.state.closed[list(groups)].any():
        steps = [scored.step(group) for group in groups]
        m = setting.minimum_cell
        if None in steps:
            shown, parts = Estimate(value=None, level=shown.level, withheld=TOO_FEW), (closed_note(m),)
        else:
            step = max(s for s in steps if s is not None)
            shown = rounded(shown, step=step, bounds=bounds).model_copy(update={"n": None})
            parts = (f"rounded to {step:g}, limits outwards", closed_note(m))
    return Measurement.model_validate(
        {
            "measure": f"fairness.{name}", "on": setting.grouping.name, "group": setting.grouping.labels[groups[0]],
            "reference": setting.grouping.reference if len(groups) > 1 else "", "unit": unit, "estimate": shown,
            "parts": parts,
        }
    )  # fmt: skip
