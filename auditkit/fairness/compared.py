"""Differences and ratios of every metric, of every group to the reference or to all records, as they may be shown."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np

from auditkit.fairness.disparity import Rates, comparisons
from auditkit.fairness.metrics import METRICS
from auditkit.fairness.notes import IMPACT_RATIO
from auditkit.fairness.overall import against_all, base_rate, released
from auditkit.fairness.release import Released, release_difference, release_ratio
from auditkit.fairness.setting import Setting
from auditkit.result import Estimate, Measurement


def compared(setting: Setting, every: Mapping[str, Rates], generator: np.random.Generator) -> Iterator[Measurement]:
    """Difference and ratio of every group but the reference, and the impact ratio."""
    grouping, reference = setting.grouping, setting.reference
    for (name, found), child in zip(every.items(), generator.spawn(len(every)), strict=True):
        if setting.whole is not None:
            yield from _overall_pairs(setting, name, found)
            continue
        differences, ratios = comparisons(
            METRICS[name],
            found,
            cells=setting.cells,
            reference=reference,
            settings=setting.settings,
            generator=child,
        )
        for group in range(len(grouping.labels)):
            if group != reference:
                exact = (differences[group], ratios[group])
                yield from _pair(setting, name=name, found=found, group=group, exact=exact)


def _overall_pairs(setting: Setting, name: str, found: Rates) -> Iterator[Measurement]:
    """Difference from all records and ratio to them of every group, and the impact ratio."""
    differences, ratios = against_all(METRICS[name], found, setting=setting)
    for group, (difference, ratio) in enumerate(zip(differences, ratios, strict=True)):
        exact = (
            released(difference, (found,), group, setting=setting, scale="difference"),
            released(ratio, (found,), group, setting=setting, scale="ratio", base=base_rate(METRICS[name], setting)),
        )
        yield from _rows(setting, name=name, group=group, exact=exact)


def _pair(
    setting: Setting, *, name: str, found: Rates, group: int, exact: tuple[Estimate, Estimate]
) -> Iterator[Measurement]:
    """The released difference and ratio of one metric and group."""
    state, m, reference = setting.state, setting.minimum_cell, setting.reference
    difference = release_difference(exact[0], found, group, reference, state=state, m=m)
    ratio = release_ratio(exact[1], found, group, reference, state=state, m=m)
    yield from _rows(setting, name=name, group=group, exact=(difference, ratio))


def _rows(setting: Setting, *, name: str, group: int, exact: tuple[Released, Released]) -> Iterator[Measurement]:
    grouping = setting.grouping
    where = {"on": grouping.name, "group": grouping.labels[group], "reference": grouping.reference}
    difference, parts = exact[0]
    yield Measurement(measure=f"fairness.{name}_difference", unit="points", estimate=difference, parts=parts, **where)
    ratio, parts = exact[1]
    measures = [f"fairness.{name}_ratio", *([IMPACT_RATIO] if name == "selection_rate" else [])]
    for measure in measures:
        yield Measurement(measure=measure, unit="ratio", estimate=ratio, parts=parts, **where)
