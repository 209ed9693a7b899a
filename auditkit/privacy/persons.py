"""Persons with several records: one statistic for a person's records together, by model.

An attacker who asks about a person holds all of that person's records. With z_i a record's margin in its own
deviations, d_i its distance and R the correlation of the z of one person's records over models, the best linear
statistic is w'z with w = R^-1 d (Fisher). d is taken from what the records have in common (`risk.distances`), R has one
correlation for all pairs of a person's records, rho_g = (B r_g + PRIOR r) / (B + PRIOR) with r_g the person's own mean
correlation over B models and r that of all persons, cut to [0, MOST_ALIKE]; weights below 0 are cut.

Weights are learned from other models than they are applied to (one model of FOLDS parts at a time is left out), so that
a person with many records does not look exposed for the choice of weights; the audited model's statistic uses weights
of all models. A person with one record keeps that record's own margin up to scale.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from auditkit.privacy import risk
from auditkit.privacy.membership import Retrained
from auditkit.privacy.shrinkage import moments, shrink
from auditkit.subject.types import Floats, Ints, Mask

FOLDS: Final = 8
PRIOR: Final = 16.0
"""Models that all persons' mean correlation counts for beside a person's own."""
MOST_ALIKE: Final = 0.95
LEAST: Final = 0.05
"""Distance below which a record is weighed as if it had this one: records of no effect are then all weighed alike."""


@dataclass(frozen=True)
class Together:
    """One statistic a person; members first, then those of the reserve who have no training record."""

    known: Retrained
    """[B, G] statistic by model, and whether the model learned from the person."""
    target: Floats
    """[G] the audited model's."""
    members: int
    """Persons with training records."""
    of_row: Ints
    """[N] person of each training record, an index below `members`."""


def kept_together(inside: Mask, persons: Ints) -> bool:
    """Whether every model holds all of a person's records [P] or none."""
    order, starts = _blocks(persons)
    held = np.add.reduceat(inside[:, order].astype(np.int64), starts, axis=1)
    sizes = np.diff([*starts, len(persons)])
    return bool(((held == 0) | (held == sizes)).all())


def together(known: Retrained, target: Floats, train: Ints, reserve: Ints) -> Together:
    """Put the records of each person together.

    Args:
        known: margins and membership [B, N + K], training records first. target: [N + K] margins of the audited model.
        train, reserve: [N] and [K] person codes in one numbering. A person with training records is a member by those
            alone: what the reserve holds of the person is left out, for it is no stranger's.

    Every model must hold a person whole (`kept_together`); the caller has looked.
    """
    strangers = ~np.isin(reserve, train)
    columns = np.concatenate([np.arange(len(train)), len(train) + np.flatnonzero(strangers)])
    of_row = np.unique(train, return_inverse=True)[1]
    of_stranger = np.unique(reserve[strangers], return_inverse=True)[1]
    members = int(of_row.max(initial=-1)) + 1
    order, starts = _blocks(np.concatenate([of_row, members + of_stranger]))
    columns = columns[order]
    rows = Retrained(known.margin[:, columns], known.inside[:, columns])
    models = len(rows.margin)
    found = np.empty((models, len(starts)))
    for fold in range(min(FOLDS, models)):
        out = np.arange(models) % FOLDS == fold
        found[out] = _apply(rows.margin[out], Retrained(rows.margin[~out], rows.inside[~out]), starts)
    inside = rows.inside[:, starts]
    audited = _apply(target[None, columns], rows, starts)[0]
    return Together(Retrained(found, inside), audited, members, of_row.astype(np.int64))


def _apply(margin: Floats, learned: Retrained, starts: Ints) -> Floats:
    """Statistic [M, G] of margins [M, P] of other models by weights learned from these, in its own deviations."""
    inside, outside = moments(learned.margin, learned.inside), moments(learned.margin, ~learned.inside)
    spread = shrink(inside.squares + outside.squares, np.maximum(inside.n + outside.n - 2, 0))
    deviation = np.sqrt(spread.variance)
    centre = np.where(outside.n > 0, outside.mean, inside.mean)
    away = np.where(learned.inside, learned.margin - inside.mean, learned.margin - outside.mean) / deviation
    distance = np.maximum(risk.distances(learned), LEAST)
    sizes = np.diff([*starts, learned.margin.shape[1]])
    rho = _correlation(away, starts, sizes)
    wide, many = np.repeat(rho, sizes), np.repeat(sizes, sizes)
    common = np.repeat(np.add.reduceat(distance, starts), sizes)
    weight = np.maximum((distance - wide * common / (1 + (many - 1) * wide)) / (1 - wide), 0.0)
    squared, total = np.add.reduceat(np.square(weight), starts), np.add.reduceat(weight, starts)
    scale = np.sqrt((1 - rho) * squared + rho * np.square(total))
    return np.asarray(np.add.reduceat((margin - centre) / deviation * weight, starts, axis=1) / scale)


def _correlation(away: Floats, starts: Ints, sizes: Ints) -> Floats:
    """Mean correlation [G] over models of the records of each person, drawn to that of all persons."""
    sums = np.square(np.add.reduceat(away, starts, axis=1)).sum(axis=0)
    squares = np.add.reduceat(np.square(away), starts, axis=1).sum(axis=0)
    pairs = np.asarray(squares * (sizes - 1), dtype=np.float64)
    several = pairs > 0
    if not several.any():
        return np.zeros(len(sizes))
    everyone = float((sums - squares)[several].sum() / pairs[several].sum())
    own = np.divide(sums - squares, pairs, out=np.zeros(len(sizes)), where=several)
    models = len(away)
    drawn = (models * own + PRIOR * everyone) / (models + PRIOR)
    return np.where(several, np.clip(drawn, 0.0, MOST_ALIKE), 0.0)


def _blocks(persons: Ints) -> tuple[Ints, Ints]:
    """Order of the records by person, and where each person begins in it."""
    order = np.argsort(persons, kind="stable")
    starts = np.flatnonzero(np.r_[True, np.diff(persons[order]) != 0])
    return order, starts
