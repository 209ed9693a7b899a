"""Stated risk is the success met on models outside the bank, also where the two sides differ in variance or law."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from scipy import stats

from auditkit.privacy import risk
from auditkit.privacy.attacks.lira import log_ratio
from auditkit.privacy.held_out import NOTHING, correction, expected
from auditkit.privacy.membership import Retrained
from auditkit.subject.types import Floats

EDGES = np.append(np.arange(0.5, 0.99, 0.05), 1.01)


@dataclass(frozen=True)
class Margins:
    """Margins over models: deviations inside and outside, and the law of both."""

    inside: float
    outside: float
    law: str = "normal"
    models: int = 64

    def draw(self, rng: np.random.Generator, centre: Floats, distance: Floats, models: int) -> Retrained:
        held = rng.random((models, len(centre))) < 0.5
        noise = {
            "normal": rng.normal(size=held.shape),
            "heavy": rng.standard_t(4, size=held.shape) / np.sqrt(2),
            "skewed": rng.exponential(size=held.shape) - 1,
        }[self.law]
        margin = centre + distance * held + np.where(held, self.inside, self.outside) * noise
        return Retrained(margin, held)


WORLDS = (
    Margins(1, 1), Margins(0.4, 1), Margins(0.25, 1), Margins(1, 0.5), Margins(0.3, 1, "heavy"),
    Margins(1, 1, "heavy"), Margins(0.5, 1, "skewed"), Margins(0.4, 1, models=32),
)  # fmt: skip


def largest_difference(stated: Floats, met: Floats, least: int = 30) -> float:
    """Over bins of 0.05 that hold so many records."""
    bins = [(stated >= low) & (stated < high) for low, high in pairwise(EDGES)]
    return float(max(abs(stated[b].mean() - met[b].mean()) for b in bins if b.sum() >= least))


def both(world: Margins, records: int) -> tuple[Floats, Floats, Floats]:
    """Risk as stated, by the formula alone, and the success of the bank's likelihood ratio on 200 other models."""
    rng = np.random.default_rng(4)
    centre, distance = rng.normal(size=records), rng.exponential(0.9, records)
    bank, others = (world.draw(rng, centre, distance, models) for models in (world.models, 200))
    met = np.mean([(log_ratio(m, bank) > 0) == held for m, held in zip(others.margin, others.inside, strict=True)], 0)
    value, fitted, grid = risk.every(bank)
    assert value is not None and fitted is not None and grid is not None
    return risk.correct(bank, fitted, grid)(value), value, met


@pytest.mark.parametrize("world", WORLDS, ids=str)
def test_in_every_bin_stated_risk_is_the_success_met(
    world: Margins, record_property: Callable[[str, Any], None]
) -> None:
    stated, plain, met = both(world, 1500)
    largest = largest_difference(stated, met, 50)
    record_property(f"{world}: largest difference in a bin of 50 records", round(largest, 4))
    assert largest <= 0.03
    if world.inside / world.outside <= 0.4 and world.law == "normal":
        assert largest_difference(plain, met, 50) > 0.04


def test_a_correction_within_the_noise_of_the_models_is_left_out() -> None:
    """Equal normal sides: what the formula states is what is met, and nothing much is changed."""
    stated, plain, _ = both(Margins(1, 1), 1500)
    assert np.abs(stated - plain).mean() < 0.01


def test_the_map_is_monotone_and_never_below_one_half() -> None:
    rng = np.random.default_rng(0)
    stated = rng.uniform(0.5, 1, (16, 300))
    for right in (rng.random(stated.shape), rng.random(stated.shape) < stated, np.zeros(stated.shape)):
        met = correction(stated, np.asarray(right, dtype=np.float64) - stated)
        points = met(np.linspace(0.5, 1, 101))
        assert (np.diff(points) >= -1e-12).all() and points.min() >= 0.5 and points.max() <= 1
    np.testing.assert_array_equal(NOTHING(stated[0]), stated[0])


@pytest.mark.parametrize("models", [16, 32, 64, 128])
def test_the_success_expected_of_an_attack_with_few_models_is_met_where_the_formula_holds(models: int) -> None:
    rng = np.random.default_rng(models)
    for distance in (0.0, 0.5, 1.0, 2.0):
        bank, others = (Margins(1, 1).draw(rng, np.zeros(3000), np.full(3000, distance), m) for m in (models, 8))
        found = np.mean([log_ratio(m, bank) > 0 for m in others.margin] == others.inside)
        assert found == pytest.approx(float(expected(np.array([distance]), models / 4)[0]), abs=0.015)


def test_with_too_few_models_the_formula_stands() -> None:
    rng = np.random.default_rng(1)
    known = Margins(0.3, 1).draw(rng, np.zeros(200), rng.exponential(1, 200), 6)
    value, fitted, grid = risk.every(known)
    assert value is not None and fitted is not None and grid is not None
    assert risk.correct(known, fitted, grid) is NOTHING
    exact = stats.norm.cdf(0.0)
    assert (value >= exact).all()
