"""What the reader is told beside the numbers: one note per measure, and what was counted and left out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np

from auditkit.fairness.cells import Cells
from auditkit.fairness.composite_metrics import BALANCED, COMPOSITES, TREATMENT
from auditkit.fairness.metrics import DECISIONS, METRICS, MISSING, Metric
from auditkit.result import Group, MetricNote
from auditkit.subject.types import Grouping

IMPACT_RATIO = "fairness.impact_ratio"
CHOSEN: Mapping[str, str] = {
    "largest": "{on}: the reference is the largest group, {reference}.",
    "best": "{on}: the reference is {reference}, by the highest selection rate among the groups large enough to be "
    "assessed. It is chosen by the decisions that it is compared on, which favours finding a gap; intervals do not "
    "allow for that.",
    "overall": "{on}: every group is compared with all records, itself among them.",
}
WEIGHTED = (
    "Records have sample weights: rates, comparisons and tests of groups weigh every record by its own, and their "
    "intervals go by the effective number of records. n counts records, and so do the sizes of groups, what is "
    "withheld as too small, slices, proxies and statutory tables. Weighted figures have four decimals, limits "
    "outwards, because more would tell which records they are made of."
)
_RATIO_MEANING = (
    "1 means that the group's rate equals the reference's, below 1 that it is lower; no interval below 5 events"
)


def _metric_notes(name: str, metric: Metric) -> tuple[MetricNote, ...]:
    measure, title = f"fairness.{name}", metric.title
    return (
        MetricNote(
            measure=measure,
            title=title,
            formula=metric.formula,
            meaning=f"0: {metric.zero}; 1: {metric.one}",
            source=metric.source,
        ),
        MetricNote(
            measure=f"{measure}_difference",
            title=f"{title}, difference",
            formula=f"{title.lower()} of the group − {title.lower()} of the reference",
            meaning="0 means that the two rates are equal, below 0 that the group's is lower",
            source=metric.source,
        ),
        MetricNote(
            measure=f"{measure}_ratio",
            title=f"{title}, ratio",
            formula=f"{title.lower()} of the group / {title.lower()} of the reference",
            meaning=_RATIO_MEANING,
            source=metric.source,
        ),
    )


def _composite_notes() -> tuple[MetricNote, ...]:
    """Notes of COMPOSITES, and of the comparisons that balanced accuracy and treatment equality have."""
    out = []
    for name, own in COMPOSITES.items():
        meaning = f"0: {own.zero}; 1: {own.one}; needs {' and '.join(own.needs)}"
        out.append(
            MetricNote(
                measure=f"fairness.{name}", title=own.title, formula=own.formula, meaning=meaning, source=own.source
            )
        )
    for name, kind, sign in ((BALANCED, "difference", "−"), (TREATMENT, "ratio", "/")):
        own = COMPOSITES[name]
        low = own.title.lower()
        out.append(
            MetricNote(
                measure=f"fairness.{name}_{kind}",
                title=f"{own.title}, {kind}",
                formula=f"{low} of the group {sign} {low} of the reference",
                meaning=f"{'0' if kind == 'difference' else '1'} means that the two are equal",
                source=own.source,
            )
        )
    return tuple(out)


METRIC_NOTES: tuple[MetricNote, ...] = (
    *(note for name, metric in METRICS.items() for note in _metric_notes(name, metric)),
    *_composite_notes(),
    MetricNote(
        measure=IMPACT_RATIO,
        title="Impact ratio",
        formula="selection rate of the group / selection rate of the stated reference",
        meaning=_RATIO_MEANING,
        source="29 CFR 1607.4(D), with the policy's reference in place of the most selected group",
    ),
)


def notes(
    *,
    undecided: int,
    cells: Cells,
    groups: Iterable[Group],
    groupings: Mapping[str, Grouping],
    minimum_cell: int,
) -> tuple[str, ...]:
    """Counts of what was left out or treated specially; small ones only as "fewer than"."""
    out = []
    unlabelled = int(cells.records[:, MISSING * DECISIONS :].sum())
    if undecided:
        out.append(f"{_say(undecided, minimum_cell)} evaluation records have no decision; they are left out.")
    if unlabelled:
        out.append(
            f"{_say(unlabelled, minimum_cell)} evaluation records have no label; only selection rates count them."
        )
    if cells.repeats:
        persons = int(cells.group_persons.sum())
        out.append(
            f"The {int(np.sum(cells.group_records)):,} records are of {persons:,} persons. The intervals allow for "
            "persons with several records: the bootstrap draws persons, and Wilson intervals divide n by the design "
            "effect."
        )
    if cells.weighted is not None:
        out.append(WEIGHTED)
    for group in groups:
        if group.status == "unknown" and group.n != 0:
            share = f"at most {group.share or 0:.1%} of the"
            said = share if group.n is None else f"{group.n:,}"
            out.append(f"{group.on}: {said} evaluation records have unknown membership, and are in no comparison.")
    for grouping in groupings.values():
        if grouping.chosen and (not grouping.of or grouping.chosen == "overall"):
            out.append(CHOSEN[grouping.chosen].format(on=grouping.name, reference=grouping.reference))
        if not grouping.reference_stated:
            out.append(
                f"{grouping.name}: the policy states no reference; the largest group, {grouping.reference}, stands in."
            )
    return tuple(out)


def _say(count: int, minimum: int) -> str:
    return f"{count:,}" if count >= minimum else f"Fewer than {minimum}"
