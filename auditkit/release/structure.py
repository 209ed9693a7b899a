"""Small cells in a result: counts and shares that tell of fewer persons than the minimum cell, here or by subtraction.

Every record of the result is walked, whatever part it is in, so that a new part is held to the same law as the others.
`n` of an estimate counts records or persons everywhere but in EXPERIMENTS, where it counts retrained models or guesses.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from auditkit.result import (
    AuditResult,
    CompositionRow,
    DataPart,
    Duplicates,
    Estimate,
    FairnessPart,
    Group,
    InfluencePart,
    Measurement,
    Record,
    Series,
    StructuralCheck,
)

EXPERIMENTS: Final = frozenset({"fidelity", "epsilon", "bounds", "canaries", "claim", "remedies"})
"""Fields below which figures count retrained models, guesses and the like, and no records of the data."""
COUNTED: Final = re.compile(
    r"(?<![\w.,%-])(\d{1,2})(?: [a-z-]+){0,2} (?:records?|persons?|pairs?|applicants?|women|men)(?![a-z])"
)
NEVER: Final = re.compile(r"minimum|fewer than|at least|more than|below|one in", re.I)
WHOLE: Final = 1e-6


def complaints(result: AuditResult) -> tuple[str, ...]:
    """Where the result tells of fewer persons than its minimum cell; empty where it does not."""
    minimum = result.minimum_cell
    found = [f"{where}: {what}" for where, what in _walk(result, "", minimum)]
    found += [f"fairness.groups: {what}" for what in _remainders(result, minimum)]
    return tuple(found)


def _walk(record: Record, where: str, minimum: int) -> Iterator[tuple[str, str]]:
    if isinstance(record, StructuralCheck) and record.unit == "count":
        return  # it counts groups
    for what in _of(record, minimum):
        yield where, what
    for name in type(record).model_fields:
        if name not in EXPERIMENTS:
            yield from _inside(getattr(record, name), f"{where}.{name}".lstrip("."), minimum)


def _inside(value: object, where: str, minimum: int) -> Iterator[tuple[str, str]]:
    if isinstance(value, Record):
        yield from _walk(value, where, minimum)
    elif isinstance(value, tuple):
        for k, inner in enumerate(value):
            yield from _inside(inner, f"{where}[{k}]", minimum)


def _of(record: Record, minimum: int) -> Iterator[str]:
    """What is wrong with one record, its parts left out."""
    if isinstance(record, Estimate):
        yield from _of_estimate(record, minimum)
    elif isinstance(record, Series):
        yield from _of_series(record, minimum)
    elif isinstance(record, InfluencePart | FairnessPart | DataPart):
        yield from _of_part(record, minimum)
    elif isinstance(record, Measurement) and record.unit == "count" and record.estimate.value is not None:
        yield from _few(record.estimate.value, "a count", minimum)
    if isinstance(record, Group):
        yield from _of_group(record)
    if isinstance(record, Estimate | Series):
        return
    for name in ("n", "persons", "missing_cells", "exact_in_train", "near_in_train", "exact_across", "near_across"):
        count = getattr(record, name, None)
        if isinstance(count, int) and not (isinstance(record, Duplicates) and count == 0):
            yield from _few(count, name, minimum)


def _of_estimate(found: Estimate, minimum: int) -> Iterator[str]:
    n, events = found.n, found.events
    if n is None:
        if events is not None:
            yield "events without their n"
        return
    yield from _few(n, "n", minimum)
    if found.value is None and found.withheld and events is not None:
        yield "a withheld estimate tells its events"
    if events is not None:
        yield from _few(events, "events", minimum)
        yield from _few(n - events, "records that are no events", minimum)


def _of_series(found: Series, minimum: int) -> Iterator[str]:
    """The tail is a share of records, and so are its steps."""
    if found.n is None:
        return
    yield from _few(found.n, "n", minimum)
    if not found.y_label.startswith("Share of training records"):
        return
    counts = [point.y * found.n for point in found.points]
    for count, after in zip(counts, [*counts[1:], 0.0], strict=True):
        yield from _few(count, "a point", minimum)
        yield from _few(count - after, "a step", minimum)


def _of_part(part: InfluencePart | FairnessPart | DataPart, minimum: int) -> Iterator[str]:
    if isinstance(part, InfluencePart):
        rows = [row for piece in part.slices for top in piece.compositions for row in top.rows]
        for row in rows if part.n_train is not None else ():
            yield from _base(row, part.n_train or 0, minimum)
    texts = part.notes if isinstance(part, FairnessPart) else ()
    texts = tuple(fact.value for fact in part.checks) if isinstance(part, DataPart) else texts
    for text in texts:
        for count in COUNTED.findall(text) if not NEVER.search(text) else ():
            yield from _few(int(count), "a count in words", minimum)


def _base(row: CompositionRow, total: int, minimum: int) -> Iterator[str]:
    count = row.base_share * total
    yield from _few(count, f"the base share of {row.column}", minimum)
    yield from _few(total - count, f"the base share of {row.column}", minimum)


def _of_group(group: Group) -> Iterator[str]:
    if group.n is None and group.share is not None and group.status != "unknown":
        yield "the share of a group whose count is withheld"


def _remainders(result: AuditResult, minimum: int) -> Iterator[str]:
    """What the published groups of an attribute leave of the whole, where a count of it is withheld."""
    sizes = [split.n for split in result.data.splits if split.split == "evaluation" and split.n is not None]
    undecided = any("have no decision" in note for note in result.fairness.notes)
    for on in result.fairness.attributes if sizes and not undecided else ():
        groups = [group for group in result.fairness.groups if group.on == on]
        if any(group.n is None for group in groups):
            rest = sum(sizes) - sum(group.n or 0 for group in groups)
            yield from _few(rest, f"what the published groups of {on} leave of all", minimum)


def _few(count: float, what: str, minimum: int) -> Iterator[str]:
    """A count from 1 to one below the minimum; a share times its n is a count where it is a whole number."""
    nearest = round(count)
    if 0 < nearest < minimum and abs(count - nearest) < WHOLE:
        yield f"{what} is below the minimum cell"
