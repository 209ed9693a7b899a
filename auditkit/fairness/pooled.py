"""One group against the reference within strata: from the strata's counts, or from persons where they repeat."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from auditkit.stats import clustered_strata, stratified
from auditkit.stats.intervals import design_effect, effective_n
from auditkit.stats.mover import Bounded, difference, rate
from auditkit.subject.types import Floats, Ints

BY_PERSON = "errors by leaving out one person at a time"
RECORDS = (
    "Newcombe's hybrid score interval",
    "Mantel–Haenszel weights, Sato's variance",
    "Mantel–Haenszel, variance of Robins et al.",
)
PERSONS = (
    "Newcombe's hybrid score interval, n divided by the design effects of repeated persons",
    f"Mantel–Haenszel weights, {BY_PERSON}",
    f"Mantel–Haenszel, {BY_PERSON}",
)


@dataclass(frozen=True)
class Pooled:
    """What one group and the reference show over all strata and within them."""

    crude: Bounded
    adjusted: Bounded
    odds_ratio: Bounded | None
    cmh_p: float | None
    heterogeneity_p: float | None
    """None where persons repeat or records are weighted: Breslow and Day's test takes records as independent."""
    methods: tuple[str, str, str]
    """Of the three estimates."""


WEIGHTED = (
    "Newcombe's hybrid score interval, n divided by the design effects of the weights",
    f"Mantel–Haenszel of weighted records, {BY_PERSON}",
    f"Mantel–Haenszel of weighted records, {BY_PERSON}",
)


@dataclass(frozen=True)
class Rows:
    """The decided records of one group and the reference; weights have mean 1."""

    side: Ints
    """[N] 0 the group, 1 the reference; below, the stratum, and the person from 0."""
    stratum: Ints
    person: Ints
    event: Floats
    """[N] 1.0 where selected."""
    weight: Floats

    def by_person(self, values: Floats, *, strata: int) -> Floats:
        """[T, 2, K] sums of values [N] by person."""
        shape = (int(self.person.max(initial=-1)) + 1, 2, strata)
        at = np.ravel_multi_index((self.person, self.side, self.stratum), shape)
        sums = np.bincount(at, weights=values, minlength=int(np.prod(shape)))
        return np.asarray(sums.reshape(shape), dtype=np.float64)

    def rate(self, side: int, *, z: float) -> Bounded:
        """The weighted rate of one side, with Wilson's limits by the effective n."""
        own = self.side == side
        w, e, who = self.weight[own], self.event[own], np.unique(self.person[own], return_inverse=True)[1]
        total, persons = float(w.sum()), int(who.max()) + 1
        value = float(w @ e) / total
        moved, summed = np.bincount(who, weights=w * (e - value)), np.bincount(who, weights=w)
        factor = persons / max(persons - 1, 1) if persons < len(w) else 1.0
        n = effective_n(
            rate=value, total=total, squares=float(w @ w), person_squares=float(summed @ summed),
            spread=float(moved @ moved) * factor,
        )  # fmt: skip
        return rate(events=0, n=n, z=z, value=value)


def of_weights(rows: Rows, *, strata: int, z: float) -> Pooled:
    """By person, of weighted records; every record is its own person's where none repeats."""
    axes = (0, 2, 1)
    events, trials = (
        rows.by_person(values, strata=strata).transpose(axes) for values in (rows.weight * rows.event, rows.weight)
    )
    found = clustered_strata.Persons(events, trials, np.ones(len(events), dtype=np.int64)).compared()
    return Pooled(
        crude=difference(rows.rate(0, z=z), rows.rate(1, z=z)),
        adjusted=clustered_strata.risk_difference(found, z=z),
        odds_ratio=clustered_strata.odds_ratio(found, z=z),
        cmh_p=clustered_strata.cmh(found),
        heterogeneity_p=None,
        methods=WEIGHTED,
    )


def of_records(found: stratified.Strata, *, events: Ints, trials: Ints, z: float) -> Pooled:
    """By the formulas for independent records; events and trials [2, K] of the group and the reference."""
    hits, n = events.sum(axis=1), trials.sum(axis=1)
    crude = difference(*(rate(events=int(x), n=int(m), z=z) for x, m in zip(hits, n, strict=True)))
    ratio = stratified.odds_ratio(found, z=z)
    return Pooled(
        crude=crude,
        adjusted=stratified.risk_difference(found, z=z),
        odds_ratio=ratio,
        cmh_p=stratified.cmh(found),
        heterogeneity_p=stratified.heterogeneity(found, ratio=ratio.value) if ratio else None,
        methods=RECORDS,
    )


def of_persons(events: Ints, trials: Ints, counts: Ints, *, z: float) -> Pooled:
    """By person; events and trials [T, 2, K] of one person of each kind, and [T] persons of it."""
    sides = []
    for own in (0, 1):
        x, n = events[:, own].sum(axis=1), trials[:, own].sum(axis=1)
        hits, records = int(counts @ x), int(counts @ n)
        effect = design_effect(events=x, trials=n, counts=counts)
        sides.append(rate(events=hits, n=records / effect, z=z, value=hits / records))
    axes = (0, 2, 1)
    found = clustered_strata.Persons(events.transpose(axes), trials.transpose(axes), counts).compared()
    return Pooled(
        crude=difference(*sides),
        adjusted=clustered_strata.risk_difference(found, z=z),
        odds_ratio=clustered_strata.odds_ratio(found, z=z),
        cmh_p=clustered_strata.cmh(found),
        heterogeneity_p=None,
        methods=PERSONS,
    )
