"""New York City's bias audit, 6 RCNY 5-301: selection or scoring rates and impact ratios by category.

The rule asks for a rate of every category and its ratio to the category that is selected most, in three tables: sex,
race or ethnicity, and sex by race or ethnicity. It sets no mark that a ratio is held against, and none is printed.
"""

from __future__ import annotations

from typing import Final, Literal, TypeAlias

from auditkit.fairness.statutory.released import Categories, Category, highest, ratio_to, told
from auditkit.result import CategoryRow, CategoryTable, Estimate

Kind: TypeAlias = Literal["sex", "race", "sex-by-race"]
EXCLUDED: Final = "left out of the impact ratio: below the stated share of the data"
SMALL: Final = (
    "The rule asks for the number and the rate of every category. This file withholds or rounds them where they "
    "would tell of fewer than {cell} persons (report.minimum-cell) and gives no rate below {group} records "
    "(fairness.minimum-group). A summary with all figures is its author's decision: lower these two settings, or "
    "join small categories in the policy."
)


def table(
    found: Categories,
    *,
    kind: Kind,
    exclude_below: float | None,
    minimum_cell: int,
    minimum_group: int,
) -> CategoryTable:
    """One table from published rates.

    Args:
        found: the groups of one attribute or intersection.
        exclude_below: share of all records below which a category has no impact ratio and is never the denominator;
            its number and rate stay. None leaves nothing out.
        minimum_cell, minimum_group: the policy's, for the note on what is withheld.
    """
    left_out = {row.label for row in found.rows if is_small(row, exclude_below)}
    kept = tuple(row for row in found.rows if row.label not in left_out)
    most = highest(kept)
    rows = tuple(_row(row, most, excluded=row.label in left_out, repeats=found.repeats) for row in found.rows)
    withheld = sum(row.rate.value is None for row in rows)
    notes = []
    if withheld or found.unknown is None or any(row.rate.step for row in rows):
        notes.append(SMALL.format(cell=minimum_cell, group=max(minimum_cell, minimum_group)))
    notes += told(kept, most, word="The category that is selected most")
    return CategoryTable(
        kind=kind, on=found.on, rows=rows, unknown=found.unknown, withheld=withheld, notes=tuple(notes)
    )


def is_small(row: Category, exclude_below: float | None) -> bool:
    """Whether a category may be left out of the impact ratio: its published share lies below the stated one."""
    return exclude_below is not None and row.share is not None and row.share < exclude_below


def _row(row: Category, most: Category | None, *, excluded: bool, repeats: bool) -> CategoryRow:
    ratio = Estimate(value=None, level=row.rate.level, withheld=EXCLUDED)
    if not excluded:
        ratio = ratio_to(row, most, repeats=repeats)
    return CategoryRow(
        category=row.label, n=row.n, share=row.share, selected=row.rate.events, rate=row.rate, ratio=ratio,
        excluded=excluded, is_most_selected=row is most,
    )  # fmt: skip
