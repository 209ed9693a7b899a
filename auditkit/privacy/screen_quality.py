"""What the screen is worth on this very model: its marks held against the risks that retrained models show.

Truth here is the twentieth of the training records with the highest measured risk. It is itself estimated from a
limited number of models, which lowers precision and recall of every ranking alike; so the plain loss stands beside,
ranked by the same rule. Judged by precision among the top and never by a correlation over all records, which the many
unexposed ones decide.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import ceil
from typing import Final

import numpy as np

from auditkit.privacy.clustered import rate
from auditkit.privacy.disclosure import published_rate, safe_cell
from auditkit.privacy.rankings import LOSS, SELF
from auditkit.privacy.screen import ranks
from auditkit.result import Estimate, RankingQuality, Screen
from auditkit.subject.types import Floats, Ints, Mask

TRUTH_SHARE: Final = 0.05
TOPS: Final = (0.05, 0.01)
MEASURED: Final = "measured"


def measured(
    public: Screen,
    *,
    rankings: Mapping[str, Floats],
    absent: tuple[tuple[str, str], ...] = (),
    flag: Mask | None,
    risk: Floats | None,
    persons: Ints | None,
    level: float,
    minimum: int,
) -> Screen:
    """The screen with precision, recall and lift of its rankings; as it was where there is no risk to hold it against.

    Args:
        public: the screen. flag: [N] its marks. rankings: by name, [N] of the training records, largest most at risk;
            self-influence and loss among them. absent: rankings that this model does not have, and why.
        risk: [N] from retrained models. persons: [N] or None. level: coverage. minimum: minimum cell.
    """
    if public.status != "assessed" or not {SELF, LOSS} <= set(rankings) or flag is None or risk is None:
        return public
    truth = top(risk, TRUTH_SHARE)
    marked = [("marked by the screen", flag)]
    rows = [
        row
        for name, values in rankings.items()
        for row in _rows(
            name, [*(marked if name == SELF else []), *_tops(values)], truth, persons, level=level, minimum=minimum
        )
    ]
    return public.model_copy(
        update={
            "calibration": MEASURED, "quality": tuple(rows), "truth_share": float(truth.mean()), "not_ranked": absent,
        }
    )  # fmt: skip


def top(values: Floats, share: float) -> Mask:
    """The records whose rank lies within `share` of all; ties at the edge fall out together."""
    place = ranks(values)
    ties = np.sort(values)[::-1]
    count = ceil(share * len(values))
    if len(values) > count and ties[count - 1] == ties[count]:
        return np.asarray(values > ties[count], dtype=np.bool_)
    return np.asarray(place <= count, dtype=np.bool_)


def _tops(values: Floats) -> list[tuple[str, Mask]]:
    return [(f"highest {share:.0%}", top(values, share)) for share in TOPS]


def _rows(
    ranking: str,
    selections: Sequence[tuple[str, Mask]],
    truth: Mask,
    persons: Ints | None,
    *,
    level: float,
    minimum: int,
) -> list[RankingQuality]:
    """One row per selection of one ranking.

    A selection is withheld where its counts, or their difference from those of one shown before, tell of a few persons.
    """
    shown: list[Mask] = []
    rows = []
    for name, chosen in selections:
        parts = [chosen, ~chosen, *(part for other in shown for part in (chosen & ~other, other & ~chosen))]
        safe = all(safe_cell(part, truth, persons, minimum=minimum) for part in parts)
        if safe:
            shown.append(chosen)
        row = _row(chosen, truth, persons, safe=safe, level=level, minimum=minimum)
        rows.append(row.model_copy(update={"ranking": ranking, "selection": name}))
    return rows


def _row(chosen: Mask, truth: Mask, persons: Ints | None, *, safe: bool, level: float, minimum: int) -> RankingQuality:
    """Precision, recall and lift of one selection.

    What is not safe is withheld, except that few records (or all but a few) of the chosen are among the most at risk:
    that is said as a band.
    """
    base = float(truth.mean())
    reason = f"it would tell of fewer than {minimum} persons, here or by subtraction"
    if not chosen.any() or not truth.any():
        safe, reason = False, "no records are picked"
    nothing = Estimate(value=None, level=level, withheld=reason)
    precision = published_rate(
        truth[chosen], None if persons is None else persons[chosen], level=level, minimum=minimum
    )
    if not safe and (precision.known or precision.low is None):
        precision = nothing
    recall = rate(chosen[truth], None if persons is None else persons[truth], level=level) if safe else nothing
    if precision.low is None:
        return RankingQuality(precision=precision, recall=recall, lift=nothing)
    lift = Estimate(
        value=_over(precision.value, base),
        low=_over(precision.low, base),
        high=_over(precision.high, base),
        level=level,
        n=precision.n,
        method=f"precision over the base rate; {precision.method}",
        withheld=precision.withheld,
    )
    return RankingQuality(precision=precision, recall=recall, lift=lift)


def _over(value: float | None, base: float) -> float | None:
    return None if value is None else value / base
