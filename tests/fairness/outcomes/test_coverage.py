"""How often intervals of outcomes hold what they ought to: families of three groups, true values known.

The plain form draws few samples and guards against gross error; `make prove` draws enough to state the coverage.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from auditkit.fairness.groups import Standing
from auditkit.fairness.outcomes.answers import Answers
from auditkit.fairness.outcomes.assess import families
from auditkit.fairness.outcomes.families import Family
from auditkit.fairness.outcomes.gates import Scene
from auditkit.policy.schema import FairnessSettings
from auditkit.subject.types import Grouping, Ints

Made = tuple[Answers, Ints]
Maker = Callable[[np.random.Generator, tuple[int, ...]], Made]
SETTINGS = FairnessSettings(replicates=1000, minimum_denominator=1)
SIZES = (120, 60, 60)
LARGE = (60_000, 60_000, 60_000)
Truth = dict[tuple[str, str], list[float]]


def classes(rng: np.random.Generator, sizes: tuple[int, ...], *, weighted: bool = False) -> Made:
    codes = np.repeat(np.arange(3), sizes)
    truth = rng.choice(3, codes.size, p=[0.5, 0.3, 0.2])
    hit = rng.random(codes.size) < np.array([0.8, 0.7, 0.85])[codes]
    said = np.where(hit, truth, (truth + rng.integers(1, 3, codes.size)) % 3)
    w = rng.lognormal(0, 0.7, codes.size) if weighted else np.ones(codes.size)
    return _answers("classes", truth, said, w, np.arange(codes.size), classes=("a", "b", "c")), codes


def numbers(rng: np.random.Generator, sizes: tuple[int, ...], *, persons: bool = False) -> Made:
    codes = np.repeat(np.arange(3), sizes)
    z = rng.normal(size=codes.size)
    who = np.arange(codes.size)
    if persons:
        z = 0.7 * np.repeat(rng.normal(size=codes.size // 2), 2) + np.sqrt(0.51) * z
        who = np.repeat(np.arange(codes.size // 2), 2)
    error = (1 + 0.3 * codes) * (np.exp(0.6 * z) - 1.2)
    return _answers("number", 0 * error, error, np.ones(codes.size), who, quantiles=(0.25, 0.5, 0.75)), codes


def lists(rng: np.random.Generator, sizes: tuple[int, ...]) -> Made:
    """Lists of 20, as many as there are records for; a group's members of one list share some luck."""
    count = sum(sizes) // 6
    own = np.repeat(np.arange(count), 20)
    codes = rng.choice(3, own.size, p=[0.5, 0.3, 0.2])
    score = rng.normal(size=own.size) + 0.3 * codes + 0.5 * rng.normal(size=(count, 3))[own, codes]
    merit = (score + 1.5 * rng.normal(size=own.size) > 0).astype(float)
    return _answers("ranking", merit, score, np.ones(own.size), np.arange(own.size), lists=own, top=(0.2, 5.0)), codes


def _answers(kind: str, truth: object, said: object, w: object, who: object, **more: object) -> Answers:
    return Answers(kind, np.asarray(truth, dtype=float), np.asarray(said, dtype=float), w, who, **more)


def found(made: Made, seed: int) -> list[tuple[str, str, Family]]:
    """Every family, ungated: here the statistics are looked at."""
    grouping = Grouping("g", ("0", "1", "2"), made[1], "0", reference_stated=True)
    free = np.zeros(4, dtype=bool)
    state = Standing(minimum=1, assessed=~free[:3], empty=free[:3], hidden=free, closed=free)
    return list(families(Scene(made[0], grouping, SETTINGS, 1, state), np.random.default_rng(seed)))


def covered(make: Maker, samples: int) -> dict[str, float]:
    """Metric and comparison -> share of samples whose whole family of intervals holds the true values."""
    large = found(make(np.random.default_rng(10**6), LARGE), 0)
    whole = {(name, of): [family.value(g) for g in range(3)] for name, of, family in large}
    held: dict[str, list[bool]] = {}
    for seed in range(samples):
        for name, of, family in found(make(np.random.default_rng(seed), SIZES), seed):
            true = whole[name, of]
            for kind in ("", *family.method.compared):
                made = family.own() if not kind else family.against(kind)  # type: ignore[arg-type]
                ends = [(e.low, e.high, _of(true, g, kind)) for g, e in made.items()]
                if all(low is not None for low, _, _ in ends):
                    inside = all(low - 1e-12 <= value <= high + 1e-12 for low, high, value in ends)
                    held.setdefault(f"{name} {of} {kind}".strip(), []).append(inside)
    assert all(len(hits) > 0.8 * samples for hits in held.values())
    return {name: float(np.mean(hits)) for name, hits in held.items()}


def _of(true: list[float], group: int, kind: str) -> float:
    if not kind:
        return true[group]
    return true[group] - true[0] if kind == "difference" else true[group] / true[0]


WORLDS: dict[str, Maker] = {
    "classes": classes,
    "classes, weighted": lambda rng, sizes: classes(rng, sizes, weighted=True),
    "numbers": numbers,
    "numbers, two records a person": lambda rng, sizes: numbers(rng, sizes, persons=True),
    "lists of 20": lists,
}


@pytest.mark.parametrize("name", ["classes, weighted", "numbers", "lists of 20"])
def test_intervals_cover_in_few_samples(name: str) -> None:
    shares = covered(WORLDS[name], 20)
    assert np.mean(list(shares.values())) >= 0.9
    # Of 20 families at a coverage of 0.9, fewer than 13 hold in less than one of a thousand repeats.
    assert min(shares.values()) >= 13 / 20


@pytest.mark.prove
@pytest.mark.parametrize("name", list(WORLDS))
def test_families_of_intervals_cover(name: str, record_property: Callable[[str, object], None]) -> None:
    shares = covered(WORLDS[name], 1000)
    worst = min(shares, key=lambda key: shares[key])
    record_property("mean coverage", float(np.mean(list(shares.values()))))
    record_property("least coverage", shares[worst])
    record_property("of", worst)
    assert np.mean(list(shares.values())) >= 0.945
    assert shares[worst] >= 0.91
