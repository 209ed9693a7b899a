"""Does the stated risk hold for models that no bank holds? Networks overfit on digits and on 2,000 records of Adult."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from scipy import stats
from sklearn.datasets import load_digits

from auditkit.policy.schema import PrivacySettings
from auditkit.privacy import risk
from auditkit.privacy.attacks.lira import log_ratio
from auditkit.privacy.attacks.lira_offline import surprise
from auditkit.privacy.exposure import mark
from auditkit.privacy.membership import Retrained
from auditkit.subject.types import Floats, Mask
from tests.privacy.retraining import Recipe, halves

ADULT = Path(__file__).parents[2] / "../shared/data/adult"
BANK, TARGETS, TRUTH = 64, 8, 256
LEVEL, THRESHOLD = 0.10, 0.75
EDGES = (0.5, 0.55, 0.6, 0.7, 0.8, 0.9, 1.01)


@dataclass(frozen=True)
class World:
    """64 models of the bank, 8 models that are attacked, and 256 more that tell the truth."""

    bank: Retrained
    targets: Retrained
    truth: Retrained
    found: risk.Risk

    @property
    def success_at_one_percent(self) -> Floats:
        """[P] true-positive rate at 1 % false positives of an attacker who knows both laws of the record's margin."""
        inside, outside = (_law(self.truth, side) for side in (self.truth.inside, ~self.truth.inside))
        threshold = outside[0] + stats.norm.isf(0.01) * outside[1]
        return np.asarray(stats.norm.sf((threshold - inside[0]) / inside[1]))


def _law(known: Retrained, chosen: Mask) -> tuple[Floats, Floats]:
    held = np.where(chosen, known.margin, np.nan)
    return np.nanmean(held, axis=0), np.nanstd(held, axis=0, ddof=1)


def _world(inputs: torch.Tensor, labels: torch.Tensor, recipe: Recipe) -> World:
    every = [halves(inputs, labels, 41, recipe, seed=seed) for seed in range(8)]
    margin, inside = (np.concatenate([getattr(part, name) for part in every]) for name in ("margin", "inside"))
    parts = np.split(np.arange(len(margin)), [BANK, BANK + TARGETS])
    bank, targets, truth = (Retrained(margin[at], inside[at]) for at in parts)
    assert len(truth.margin) == TRUTH
    return World(bank, targets, truth, risk.measure(bank, level=0.95, generator=np.random.default_rng(0)))


@cache
def digits() -> World:
    images, labels = load_digits(return_X_y=True)
    inputs = torch.tensor(images / 16, dtype=torch.float32)
    return _world(inputs, torch.tensor(labels), Recipe((64, 128, 128, 10), epochs=40))


@cache
def adult() -> World:
    source = ADULT / "adult_train.csv.gz"
    if not source.exists():
        pytest.skip("the Adult data are absent")
    frame = pd.read_csv(source, skipinitialspace=True).sample(4000, random_state=0)
    answer = frame.pop(frame.columns[-1])
    features = pd.get_dummies(frame, dtype=float)
    features = (features - features.mean()) / features.std().replace(0, 1).clip(lower=0.1)
    labels = torch.tensor(answer.str.startswith(">50K").to_numpy(), dtype=torch.long)
    inputs = torch.tensor(features.to_numpy(), dtype=torch.float32)
    return _world(inputs, labels, Recipe((inputs.shape[1], 64, 64, 2), epochs=30, rate=0.03))


@cache
def made() -> World:
    """1,600 records of twenty heavy-tailed inputs, a twentieth with turned labels and half of those stretched."""
    rng = np.random.default_rng(1)
    inputs = rng.standard_t(3, size=(1600, 20))
    labels = inputs @ rng.normal(size=20) / 2 + 2 * np.sin(2 * inputs[:, 0]) + rng.logistic(size=1600) / 2 > 0
    labels[:80] = ~labels[:80]
    inputs[:40] *= 3
    given = torch.tensor(inputs, dtype=torch.float32), torch.tensor(labels, dtype=torch.long)
    return _world(*given, Recipe((20, 64, 2), epochs=30))


WORLDS: dict[str, Callable[[], World]] = {"digits": digits, "Adult-2000": adult}
THREE = WORLDS | {"made with outliers": made}


@pytest.mark.prove
@pytest.mark.slow
@pytest.mark.parametrize("name", THREE)
def test_in_every_bin_of_thirty_records_stated_risk_is_the_success_met(
    name: str, record_property: Callable[[str, Any], None]
) -> None:
    """Bins of 0.05; 128 models outside the bank, so that the success of thirty records is known."""
    world = THREE[name]()
    stated = world.found.value
    outside = zip(world.truth.margin[:128], world.truth.inside[:128], strict=True)
    met = np.mean([(log_ratio(margin, world.bank) > 0) == inside for margin, inside in outside], axis=0)
    edges = np.append(np.arange(0.5, 0.99, 0.05), 1.01)
    bands = [(stated >= low) & (stated < high) for low, high in pairwise(edges)]
    errors = {round(float(stated[b].mean()), 3): round(float(met[b].mean()), 3) for b in bands if b.sum() >= 30}
    record_property(f"{name}: stated risk and success met", str(errors))
    assert max(abs(one - two) for one, two in errors.items()) <= 0.03


@pytest.mark.prove
@pytest.mark.slow
@pytest.mark.parametrize("name", WORLDS)
def test_stated_risk_is_the_success_met_on_models_outside_the_bank(
    name: str, record_property: Callable[[str, Any], None]
) -> None:
    world = WORLDS[name]()
    stated = world.found.value
    right = np.array([
        (log_ratio(margin, world.bank) > 0) == inside
        for margin, inside in zip(world.targets.margin, world.targets.inside, strict=True)
    ])  # fmt: skip
    met = right.mean(axis=0)
    bands = [(stated >= low) & (stated < high) for low, high in pairwise(EDGES)]
    error = _error(stated, met)
    # Log score over all records and targets, against one probability for all; records are the sample.
    score = (right * np.log(stated) + ~right * np.log1p(-np.minimum(stated, 1 - 1e-9))).mean(axis=0)
    base = right.mean()
    gain = score - (right * np.log(base) + ~right * np.log1p(-base)).mean(axis=0)
    low = gain.mean() - stats.norm.isf(0.025) * gain.std(ddof=1) / np.sqrt(len(gain))
    record_property(f"{name}: calibration error of the stated risk", round(float(error), 4))
    record_property(f"{name}: gain in log score over the constant, lower 95 % limit", round(float(low), 5))
    record_property(f"{name}: largest difference in a band of at least 30 records", max(
        round(float(abs(stated[b].mean() - met[b].mean())), 3) for b in bands if b.sum() >= 30
    ))  # fmt: skip
    assert error <= 0.05
    assert low > 0


@pytest.mark.prove
@pytest.mark.slow
@pytest.mark.parametrize("models", [16, 32])
@pytest.mark.parametrize("name", WORLDS)
def test_with_fewer_models_the_stated_risk_is_still_the_success_met(
    name: str, models: int, record_property: Callable[[str, Any], None]
) -> None:
    """Without another correction: Student's law and shrinkage already speak of few models. 24 others are targets."""
    world, errors = WORLDS[name](), []
    for at in np.split(np.arange(BANK), BANK // models):
        bank = Retrained(world.bank.margin[at], world.bank.inside[at])
        stated = risk.measure(bank, level=0.95, generator=np.random.default_rng(0)).value
        ratios = np.stack([log_ratio(margin, bank) for margin in world.truth.margin[:24]])
        errors.append(_error(stated, ((ratios > 0) == world.truth.inside[:24]).mean(axis=0)))
    record_property(f"{name}: calibration error of the stated risk with {models} models", round(max(errors), 4))
    assert max(errors) <= 0.05


def _error(stated: Floats, met: Floats) -> float:
    """Mean over bands of the difference between stated and met, weighted by records."""
    bands = [(stated >= low) & (stated < high) for low, high in pairwise(EDGES)]
    return float(sum(band.mean() * abs(stated[band].mean() - met[band].mean()) for band in bands if band.any()))


@pytest.mark.prove
@pytest.mark.slow
@pytest.mark.parametrize("name", WORLDS)
def test_few_of_those_marked_were_not_learned_and_the_exposed_are_found(
    name: str, record_property: Callable[[str, Any], None]
) -> None:
    """Members and half of the others are offered alike; the other half of the others is the reserve."""
    world = WORLDS[name]()
    rng, strong = np.random.default_rng(1), world.success_at_one_percent > 0.5
    wrong, found, number = [], [], 0
    for margin, inside in zip(world.targets.margin, world.targets.inside, strict=True):
        z = surprise(margin, world.bank)
        others = rng.permutation(np.flatnonzero(~inside))
        reserve, rest = np.split(others, [len(others) // 2])
        offered = np.sort(np.concatenate([np.flatnonzero(inside), rest]))
        at = np.concatenate([offered, reserve])
        settings = PrivacySettings(level=LEVEL, risk_threshold=THRESHOLD)
        got = mark(world.found.low[at], z[at], members=len(offered), settings=settings, level=0.95, unit="record")
        flagged = offered[got.flag]
        wrong.append(float((~inside[flagged]).mean()) if len(flagged) else 0.0)
        number += len(flagged)
        exposed = np.flatnonzero(strong & inside)
        if len(exposed):
            found.append(np.isin(exposed, flagged).mean())
    record_property(f"{name}: mean false-discovery proportion", round(float(np.mean(wrong)), 4))
    record_property(f"{name}: records marked per model", number / TARGETS)
    record_property(f"{name}: strongly exposed records (true TPR at 1 % FPR over 0.5)", int(strong.sum()))
    assert np.mean(wrong) <= LEVEL
    if found:
        record_property(f"{name}: share of the strongly exposed that is marked", round(float(np.mean(found)), 3))
        assert np.mean(found) >= 0.5
    else:
        assert not strong.any()


@pytest.mark.prove
@pytest.mark.slow
def test_the_highest_risks_are_the_highest_of_256_other_models(record_property: Callable[[str, Any], None]) -> None:
    world = digits()
    inside, outside = (_law(world.truth, side) for side in (world.truth.inside, ~world.truth.inside))
    distance = np.abs(inside[0] - outside[0]) / np.sqrt((inside[1] ** 2 + outside[1] ** 2) / 2)
    precision = []
    for members in world.targets.inside:
        own = np.flatnonzero(members)
        count = round(0.05 * len(own))
        top = set(np.argsort(-world.found.value[own])[:count])
        precision.append(len(top & set(np.argsort(-distance[own])[:count])) / count)
    record_property("digits: precision of the top 5 % of members by risk", round(float(np.mean(precision)), 3))
    assert np.mean(precision) >= 0.80


def test_many_networks_at_once_learn_their_own_half() -> None:
    images, labels = load_digits(return_X_y=True)
    inputs, targets = torch.tensor(images[:300] / 16, dtype=torch.float32), torch.tensor(labels[:300])
    known = halves(inputs, targets, 12, Recipe((64, 32, 10), epochs=40), seed=1)
    assert (known.inside.sum(1) == 150).all()
    gain = known.margin[known.inside].mean() - known.margin[~known.inside].mean()
    assert gain > 0.2
