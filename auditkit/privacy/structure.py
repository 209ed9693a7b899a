"""Structural checks: what the shape of data and model allows, whatever attack is run. Counts of records, never names.

Rows per person, classes of records that all have one label (class disclosure), small cells, records per label, and
records beside the model's degrees of freedom. Terms after the UK guide on statistical disclosure control of trained
models (GRAIMATTER, 2022) and Machanavajjhala et al., l-diversity, ICDE 2006, for class disclosure.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Final

import numpy as np
import pandas as pd

from auditkit.privacy.composition import splits
from auditkit.privacy.disclosure import isolates, published_rate, small
from auditkit.privacy.distance import is_number
from auditkit.result import Estimate, StructuralCheck, Structure
from auditkit.subject.persons import support
from auditkit.subject.types import Floats, Grouping, Ints, Mask

AT_LEAST: Final = (2, 6, 11)
"""Records of one person from which persons are counted."""
LARGEST: Final = (1, 2, 6, 11, 21, 51, 101)
"""Where the bands of the largest number of records of one person begin."""
FEW_PER_PARAMETER: Final = 10.0
"""Records per parameter below which the check warns: a rule of thumb of regression (Harrell 2015, section 4.4)."""
COUNTED: Final = "count"


def checks(
    labels: Floats | None,
    decisions: Floats | None,
    features: pd.DataFrame | None,
    *,
    numeric: Collection[str] | None,
    groupings: Mapping[str, Grouping],
    persons: Ints | None,
    size: tuple[int | None, Floats | None],
    level: float,
    minimum: int,
) -> Structure | None:
    """All checks that these data allow; None without training records, or of fewer persons than the minimum cell.

    Args:
        labels: [N] 1.0 favourable. decisions: [N] of the audited model on training records, or None.
        features: [N] the columns that the model reads, or None. numeric: those measured as numbers; None: by type.
        groupings: codes [N]. persons: [N] or None.
        size: parameters of the model, and the leverage [N] of each record, whose sum is the trace of the hat matrix
            (of one output; else a lower limit of it); None where not known.
        level: coverage of intervals. minimum: minimum cell.
    """
    if labels is None or support(np.ones(len(labels), dtype=np.bool_), persons) < minimum:
        return None
    names = [] if features is None else [c for c in features if not is_number(features[c], numeric)]
    categories = None if features is None or not names else features[names]
    parameters, leverage = size
    freedom = None if leverage is None else float(leverage.sum())
    favourable = np.asarray(labels == 1.0, dtype=np.bool_)
    found = [*_rows_per_person(persons, level=level, minimum=minimum)] if persons is not None else []
    found += _one_label(favourable, decisions, groupings, categories, persons, minimum=minimum)
    found += _classes(favourable, groupings, persons, level=level, minimum=minimum)
    found += [_small_cells(favourable, groupings, persons, minimum=minimum)] if groupings else []
    found += [_fewer(favourable, persons, level=level, minimum=minimum)]
    found += _freedom(len(labels), parameters, freedom)
    return Structure(checks=tuple(found))


def _rows_per_person(persons: Ints, *, level: float, minimum: int) -> Iterator[StructuralCheck]:
    sizes = np.unique(persons, return_counts=True)[1]
    each = Estimate(value=len(persons) / len(sizes), n=len(sizes))
    if small(int((sizes > 1).sum()), minimum):
        each = Estimate(value=None, withheld=f"fewer than {minimum} persons have several records")
    yield StructuralCheck(
        name="Records per person, on average", unit="ratio", of="training records per person", estimate=each,
        meaning="Where persons have several records, the risk of persons is not that of single records.",
    )  # fmt: skip
    kept: list[Mask] = []
    for least in AT_LEAST:
        many = np.asarray(sizes >= least, dtype=np.bool_)
        if many.any() and not any(isolates(many, other, None, minimum) for other in kept):
            kept.append(many)
            yield StructuralCheck(
                name=f"Persons with at least {least} records", unit="share", of="persons with training records",
                estimate=published_rate(many, None, level=level, minimum=minimum),
                meaning="Their records are learned or left out together; the retrained models keep them together.",
            )  # fmt: skip
    begins = max(edge for edge in LARGEST if edge <= sizes.max())
    after = next((edge for edge in LARGEST if edge > begins), None)
    yield StructuralCheck(
        name="Largest number of records of one person", unit=COUNTED, of="training records",
        estimate=Estimate(
            value=None, low=float(begins), high=None if after is None else float(after - 1), withheld="a band only"
        ),
        meaning="A person with many records weighs more in the model, and is easier to tell in it.",
        warns=begins > LARGEST[2],
    )  # fmt: skip


def _one_label(
    favourable: Mask,
    decisions: Floats | None,
    groupings: Mapping[str, Grouping],
    categories: pd.DataFrame | None,
    persons: Ints | None,
    *,
    minimum: int,
) -> Iterator[StructuralCheck]:
    """Groups and levels of at least the minimum of persons in which every record has one label or one decision."""
    whole = np.ones(len(favourable), dtype=np.bool_)
    groups = [cell for split in splits(groupings, favourable, whole) if split.is_protected for cell in split.cells]
    levels = [] if categories is None else list(_levels(categories))
    answers = {"label": favourable}
    if decisions is not None:
        answers["decision"] = np.asarray(decisions == 1.0, dtype=np.bool_)
    for where, cells in (("protected groups and intersections", groups), ("levels of categorical features", levels)):
        large = [cell for cell in cells if support(cell, persons) >= minimum]
        if not large:
            continue
        for what, answer in answers.items():
            count = sum(bool(answer[cell].all() or not answer[cell].any()) for cell in large)
            yield StructuralCheck(
                name=f"Of the {where}, those with one {what} only", unit=COUNTED,
                of=f"{len(large)} {where} with at least {minimum} persons in training",
                estimate=Estimate(value=float(count)),
                meaning=f"Who knows that a person belongs to such a group knows the {what} (class disclosure).",
                warns=count > 0,
            )  # fmt: skip


def _levels(categories: pd.DataFrame) -> Iterator[Mask]:
    for column in categories:
        codes = pd.factorize(categories[column].astype("object"), use_na_sentinel=False)[0]
        for code in range(int(codes.max(initial=-1)) + 1):
            yield np.asarray(codes == code, dtype=np.bool_)


def _classes(
    favourable: Mask, groupings: Mapping[str, Grouping], persons: Ints | None, *, level: float, minimum: int
) -> Iterator[StructuralCheck]:
    """Classes of records alike in all protected attributes: too small ones, and those with one label."""
    plain = [grouping.codes for grouping in groupings.values() if not grouping.of]
    if not plain:
        return
    code = np.unique(np.stack(plain, axis=1), axis=0, return_inverse=True)[1].ravel()
    unit = np.arange(len(code)) if persons is None else persons
    held = np.bincount(np.unique(np.stack([code, unit], axis=1), axis=0)[:, 0])
    rows, good = np.bincount(code), np.bincount(code, weights=favourable)
    one_label = ((good == 0) | (good == rows)) & (held > 1)
    yield StructuralCheck(
        name=f"Records in classes of fewer than {minimum} persons", unit="share", of="training records",
        estimate=published_rate((held < minimum)[code], persons, level=level, minimum=minimum),
        meaning="A class is all records alike in every protected attribute; a small one is nearly a description of "
        "a person.",
        warns=bool((held < minimum).any()),
    )  # fmt: skip
    yield StructuralCheck(
        name="Records in classes with one label only", unit="share", of="training records",
        estimate=published_rate(one_label[code], persons, level=level, minimum=minimum),
        meaning="Who knows a person's protected attributes, and that the person is in the data, knows the label "
        "(class disclosure). Classes of one person are not counted.",
        warns=bool(one_label.any()),
    )  # fmt: skip


def _small_cells(
    favourable: Mask, groupings: Mapping[str, Grouping], persons: Ints | None, *, minimum: int
) -> StructuralCheck:
    whole = np.ones(len(favourable), dtype=np.bool_)
    cells = [cell for split in splits(groupings, favourable, whole) if split.is_protected for cell in split.cells]
    there = [support(cell, persons) for cell in cells if cell.any()]
    count = sum(small(held, minimum) for held in there)
    return StructuralCheck(
        name="Groups and intersections below the minimum cell", unit=COUNTED,
        of=f"{len(there)} protected groups and intersections with training records",
        estimate=Estimate(value=float(count)),
        meaning=f"They hold fewer than {minimum} persons; nothing is published about them.",
        warns=count > 0,
    )  # fmt: skip


def _fewer(favourable: Mask, persons: Ints | None, *, level: float, minimum: int) -> StructuralCheck:
    rarer = favourable if 2 * int(favourable.sum()) <= len(favourable) else ~favourable
    found = published_rate(rarer, persons, level=level, minimum=minimum)
    return StructuralCheck(
        name="Records of the rarer label", unit="share", of="training records", estimate=found,
        meaning="The fewer records share a label, the more the model owes to each of them.",
        warns=not found.known,
    )  # fmt: skip


def _freedom(records: int, parameters: int | None, freedom: float | None) -> Iterator[StructuralCheck]:
    """Records beside parameters, and beside effective degrees of freedom where leverage gives them."""
    sizes = {"parameter": parameters, "effective degree of freedom": freedom}
    for name, size in sizes.items():
        if not size:
            continue
        each = records / size
        room = (
            "on average little room is left for single records, though a rare one may still be kept"
            if each >= FEW_PER_PARAMETER
            else "the model has room to keep single records" if each >= 1 else "the model could keep every record"
        )
        plural = "parameters" if name == "parameter" else "effective degrees of freedom"
        yield StructuralCheck(
            name=f"Training records per {name}", unit="ratio", of=f"training records to {plural}",
            estimate=Estimate(value=each, n=records), warns=each < FEW_PER_PARAMETER,
            meaning=f"{size:,.4g} {plural} stand beside {records:,} records: {room}. Room is no proof that it is used; "
            "L2, early stopping and noise leave less of it than the count says.",
        )  # fmt: skip
