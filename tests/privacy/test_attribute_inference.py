"""Attribute inference: nothing from a model that learned nothing of its records, and what a memorising model gives."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from auditkit.privacy.attribute_inference import Material, infer, material
from auditkit.privacy.contrasts import beside
from auditkit.privacy.describing import describe, numbers
from auditkit.result import AttributeInference
from auditkit.subject.substitution import Guessed
from auditkit.subject.types import UNKNOWN, Floats

N, K = 600, 800
LEVEL = 0.95


def world(
    rng: np.random.Generator, *, memory: float = 0.0, feature: bool = True, levels: int = 3
) -> tuple[Guessed, Material]:
    """An attribute that goes with one feature; `memory` is what a member's true level takes off its loss."""
    total = N + K
    x, codes = rng.normal(size=total), rng.integers(0, levels, total)
    x += 0.5 * codes
    label = (rng.random(total) < 0.5).astype(np.float64)
    member = np.arange(total) < N
    base = rng.gamma(2.0, 0.3, total)
    # The model knows a member's own level by heart, and everybody's as little as a coin.
    losses = base + rng.normal(0, 0.2, (levels, total)) ** 2
    losses[codes[member], np.flatnonzero(member)] -= memory * base[member]
    own = losses[codes, np.arange(total)]
    if not feature:
        own = np.where(member, np.exp(-2.0 * codes * (memory > 0)) * base, base)
    frame = pd.DataFrame({"x": x, "city": rng.choice(["a", "b", "c"], total), "level": codes})
    frames = {"train": frame[:N], "reserve": frame[N:]}
    kept = {name: one if feature else one.drop(columns="level") for name, one in frames.items()}
    found = material(
        kept, (label[:N], label[N:]), (own[:N], own[N:]), numeric=None, setting=np.arange(K) % 2 == 0,
        persons=(None, None),
    )  # fmt: skip
    assert found is not None
    labels = tuple(f"v{v}" for v in range(levels))
    return Guessed("level", labels, codes, "level" if feature else "", losses if feature else None), found


def one(asked: Guessed, found: Material, *, minimum: int = 10) -> AttributeInference:
    (row,) = infer([asked], found, level=LEVEL, minimum=minimum).public.attributes
    return row


@pytest.mark.parametrize("feature", [True, False], ids=["read", "not read"])
def test_an_exchangeable_world_gives_a_difference_that_covers_zero(feature: bool) -> None:
    rng = np.random.default_rng(20261123)
    repeats, covered, values = 24, 0, []
    for _ in range(repeats):
        row = one(*world(rng, feature=feature))
        assert row.difference is not None and row.difference.low is not None and row.difference.high is not None
        covered += row.difference.low <= 0 <= row.difference.high
        values.append(row.difference.value)
    assert covered >= 20
    assert np.mean(values) == pytest.approx(0, abs=4 * 0.03 / np.sqrt(repeats))


def test_a_memorising_model_is_found_with_its_interval_off_zero() -> None:
    row = one(*world(np.random.default_rng(1), memory=0.95))
    assert row.status == "assessed" and row.feature and row.levels == 3
    for found in (row.difference, row.gain):
        assert found is not None and found.low is not None and found.low > 0.05
    # Those it never saw are guessed no better than without it.
    assert row.members is not None and row.control is not None and row.baseline is not None
    assert row.members.value is not None and row.control.value is not None and row.baseline.value is not None
    assert row.members.value > row.control.value + 0.1
    assert abs(row.control.value - row.baseline.value) < 0.08


def test_the_figures_are_those_counted_by_hand_from_the_guesses() -> None:
    asked, found = world(np.random.default_rng(2), memory=0.8)
    done = infer([asked], found, level=LEVEL, minimum=10)
    (row,) = done.public.attributes
    attack, baseline = done.arrays["infer_0_attack"], done.arrays["infer_0_baseline"]
    hit, plain = attack == asked.codes, baseline == asked.codes
    control = N + np.flatnonzero(~found.setting)
    assert row.members is not None and row.control is not None and row.baseline is not None and row.gain is not None
    assert row.members.value == pytest.approx(hit[:N].mean()) and row.members.n == N
    assert row.control.value == pytest.approx(hit[control].mean()) and row.control.n == K // 2
    assert row.baseline.value == pytest.approx(plain[:N].mean())
    assert row.gain.value == pytest.approx(hit[:N].mean() - plain[:N].mean())
    assert row.gain.low is not None and row.gain.high is not None
    assert row.gain.low < hit[:N].mean() - plain[:N].mean() < row.gain.high


def test_nothing_is_learned_from_members_or_from_the_control() -> None:
    asked, found = world(np.random.default_rng(3), memory=0.8)
    first = infer([asked], found, level=LEVEL, minimum=10).arrays
    outside = np.append(np.ones(N, dtype=bool), ~found.setting)
    codes = np.where(outside, (asked.codes + 1) % 3, asked.codes)
    again = infer([replace(asked, codes=codes)], found, level=LEVEL, minimum=10).arrays
    for name, guess in first.items():
        np.testing.assert_array_equal(again[name], guess)


def test_a_baseline_that_differs_by_a_few_is_not_shown_and_few_left_out_are_not_told() -> None:
    asked, found = world(np.random.default_rng(4))
    # A model that answers alike under every value tells nothing; its attacker lacks only the label.
    flat = replace(asked, losses=np.zeros_like(asked.losses))
    codes = flat.codes.copy()
    codes[:7] = UNKNOWN
    row = one(replace(flat, codes=codes), found)
    assert row.members is not None and row.members.n == N
    assert row.notes and "Fewer than 10" in row.notes[0]
    assert row.gain is not None and row.gain.low is not None and row.gain.high is not None
    codes[:40] = UNKNOWN
    row = one(replace(flat, codes=codes), found)
    assert row.members is not None and row.members.n == N - 40 and row.notes == ()


def test_few_whom_only_one_guesses_rightly_are_a_band_and_few_altogether_are_withheld() -> None:
    rng = np.random.default_rng(8)
    plain = rng.random(500) < 0.5
    hit = plain.copy()
    hit[np.flatnonzero(~plain)[:60]] = True
    known = []
    for lost in (1, 9):
        other = hit.copy()
        other[np.flatnonzero(plain)[:lost]] = False
        other[np.flatnonzero(~plain)[60 : 60 + lost]] = True
        without, gain = beside(other, plain, None, level=LEVEL, minimum=10)
        _, mirrored = beside(plain, other, None, level=LEVEL, minimum=10)
        assert without.known and gain.value == pytest.approx(60 / 500)
        assert mirrored.low is not None and gain.high is not None and mirrored.low == pytest.approx(-gain.high)
        known.append(gain)
    # Neither value nor interval tells how few were lost: 61 and 1 look like 69 and 9.
    assert known[0] == known[1]
    assert known[0].low is not None and known[0].high is not None and known[0].low < 60 / 500 < known[0].high
    few = plain.copy()
    few[np.flatnonzero(~plain)[:6]] = True
    without, gain = beside(few, plain, None, level=LEVEL, minimum=10)
    assert not without.known and not gain.known and "10" in gain.withheld
    _, same = beside(plain, plain, None, level=LEVEL, minimum=10)
    assert same.value == 0 and same.low is not None and same.low < 0


def test_persons_with_several_records_widen_the_interval() -> None:
    asked, found = world(np.random.default_rng(5))
    alone = one(asked, found)
    ten = replace(found, persons=(np.arange(N) // 10, np.arange(K) // 10))
    sums = one(replace(asked, codes=np.repeat(asked.codes[::10], 10)), ten)
    assert alone.members is not None and sums.members is not None and alone.members.low is not None
    assert "Korn" in sums.members.method and "Korn" not in alone.members.method


@pytest.mark.parametrize("levels", [1, 2])
def test_too_little_to_learn_from_is_said(levels: int) -> None:
    asked, found = world(np.random.default_rng(6), levels=2)
    codes = np.where(np.arange(N + K) < N + 150, asked.codes, UNKNOWN)
    if levels == 1:
        codes = np.zeros(N + K, dtype=np.int64)
    row = one(replace(asked, codes=codes), found)
    assert row.status == "not-applicable" and "100" in row.reason and row.members is None
    nothing = infer([asked], None, level=LEVEL, minimum=10)
    assert nothing.public.status == "not-applicable" and not nothing.arrays
    labels: Floats = np.ones(N)
    assert material({}, (labels, None), (labels, labels), numeric=None, setting=None, persons=(None, None)) is None


def test_features_become_numbers_and_levels_codes_by_frequency() -> None:
    frame = pd.DataFrame({"a": [1.0, np.nan, 3.0], "b": ["y", "x", "y"], "c": [True, False, None]})
    found, levels = numbers(frame, None)
    np.testing.assert_array_equal(levels, [False, True, True])
    np.testing.assert_array_equal(found[:, 1], [0.0, 1.0, 0.0])
    assert np.isnan(found[1, 0]) and np.isnan(found[2, 2])
    setting = np.ones(200, dtype=bool)
    wide = pd.DataFrame({"x": np.arange(200.0)})
    told, why = describe(
        {"train": wide, "reserve": wide}, (np.ones(200), np.zeros(200)), numeric=None, setting=setting, persons=None
    )
    assert told is not None and why == "" and told.columns.shape == (400, 2)
    assert describe({"train": wide}, (np.ones(200), None), numeric=None, setting=setting, persons=None)[0] is None
    few, why = describe(
        {"train": wide, "reserve": wide}, (np.ones(200), np.zeros(200)), numeric=None,
        setting=np.arange(200) < 50, persons=None,
    )  # fmt: skip
    assert few is None and "100" in why


@pytest.mark.parametrize("seed", range(30))
def test_no_count_of_few_is_published(seed: int) -> None:
    rng = np.random.default_rng(seed)
    asked, found = world(rng, memory=float(rng.choice([0.0, 0.5, 0.99])), feature=bool(seed % 2), levels=2)
    kept = np.arange(N + K) % N < int(rng.choice([5, 12, 40, N]))
    kept[N:] = True
    codes = np.where(kept, asked.codes, UNKNOWN)
    codes[N:][rng.random(K) < rng.choice([0.0, 0.01, 0.3])] = UNKNOWN
    row = one(replace(asked, codes=codes), found)
    everybody = {"members": N, "control": K // 2, "baseline": N, "gain": N}
    for name, total in everybody.items():
        estimate = getattr(row, name)
        if estimate is None or estimate.n is None:
            continue
        counts = [estimate.n, total - estimate.n]
        counts += [] if estimate.events is None else [estimate.events, estimate.n - estimate.events]
        assert all(count == 0 or count >= 10 for count in counts), (name, counts)
    if row.members is not None and row.baseline is not None and row.baseline.events is not None:
        # A gain beside a baseline would give the count behind a rate that is told as a band.
        assert row.gain is not None and row.gain.known == (row.members.events is not None)
