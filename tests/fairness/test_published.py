"""Published figures on real data: ProPublica and Aequitas on COMPAS, label rates on Adult."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from auditkit.policy.schema import FairnessSettings
from auditkit.result import FairnessPart
from auditkit.stats import roc
from auditkit.subject.types import Grouping, Predictions
from tests.fairness.evaluations import estimate, group_row, part, predictions

DATA = Path(__file__).resolve().parents[3] / "shared" / "data"
BLACK, WHITE = "African-American", "Caucasian"


@cache
def table(name: str) -> pd.DataFrame:
    path = DATA / name
    if not path.exists():
        pytest.skip(f"{name} absent beside the repository")
    return pd.read_csv(path, skipinitialspace=True)


def attribute(frame: pd.DataFrame, column: str, reference: str, only: tuple[str, ...] = ()) -> Grouping:
    labels = only or tuple(frame[column].value_counts().index)
    codes = pd.Index(labels).get_indexer(frame[column]).astype(np.int64)
    return Grouping(column, labels, codes, reference, True)


def compas(*, high: bool = True) -> tuple[pd.DataFrame, Predictions]:
    """All 7,214 rows; the decision is `score_text != 'Low'` (or its complement, as the favourable one)."""
    frame = table("compas/compas-scores-two-years.csv.gz")
    flagged, again = (frame["score_text"] != "Low").to_numpy(), (frame["two_year_recid"] == 1).to_numpy()
    if high:
        return frame, predictions(truth=again * 1.0, decision=flagged * 1.0)
    return frame, predictions(truth=~again * 1.0, decision=~flagged * 1.0)


def by_race(reference: str = WHITE, only: tuple[str, ...] = (), *, high: bool = True) -> FairnessPart:
    frame, answers = compas(high=high)
    return part([attribute(frame, "race", reference, only)], answers, replicates=10_000)


@pytest.mark.parametrize(
    ("group", "n", "cells", "percent"),
    [
        ("", 7214, (2681, 1282, 1216, 2035), ["32.35", "37.40", "61.35"]),
        (BLACK, 3696, (990, 805, 532, 1369), ["44.85", "27.99", "62.97"]),
        (WHITE, 2454, (1139, 349, 461, 505), ["23.45", "47.72", "59.13"]),
    ],
)
def test_propublica(group: str, n: int, cells: tuple[int, int, int, int], percent: list[str]) -> None:
    found = by_race()
    on = "race" if group else ""
    by_name = {name: estimate(found, name, group, on=on) for name in ("tnr", "fpr", "fnr", "tpr", "ppv")}
    assert tuple(by_name[name].events for name in ("tnr", "fpr", "fnr", "tpr")) == cells
    assert (by_name["fpr"].n, by_name["fnr"].n) == (cells[0] + cells[1], cells[2] + cells[3])
    assert [f"{100 * (by_name[name].value or 0):.2f}" for name in ("fpr", "fnr", "ppv")] == percent
    assert estimate(found, "selection_rate", group, on=on).n == n


def test_aequitas_disparities() -> None:
    found = by_race()
    assert estimate(found, "fpr_ratio", BLACK, on="race").value == pytest.approx(1.912093, abs=5e-7)
    assert estimate(found, "fnr_ratio", BLACK, on="race").value == pytest.approx(0.586416, abs=5e-7)
    ppv = [estimate(found, "ppv", group, on="race").value for group in (BLACK, WHITE)]
    assert (1 - ppv[0]) / (1 - ppv[1]) == pytest.approx(0.906085, abs=5e-7)
    selected = [estimate(found, "selection_rate", group, on="race").events for group in (BLACK, WHITE)]
    assert selected[0] / selected[1] == pytest.approx(2.545667, abs=5e-7)
    hispanic = estimate(by_race("Hispanic"), "fpr_ratio", BLACK, on="race").value
    assert hispanic == pytest.approx(2.087696, abs=5e-7)
    assert estimate(by_race(BLACK), "fpr_ratio", WHITE, on="race").value == pytest.approx(0.522987, abs=5e-7)
    frame, answers = compas()
    ages = part([attribute(frame, "age_cat", "25 - 45"), attribute(frame, "sex", "Male")], answers)
    assert estimate(ages, "fpr_ratio", "Less than 25", on="age_cat").value == pytest.approx(1.621868, abs=5e-7)
    assert estimate(ages, "fpr_ratio", "Greater than 45", on="age_cat").value == pytest.approx(0.503031, abs=5e-7)
    assert estimate(ages, "fpr_ratio", "Female", on="sex").value == pytest.approx(0.990343, abs=5e-7)


def test_the_groups_and_what_is_said_of_the_small_ones() -> None:
    found = by_race()
    counts = [(g.group, g.n) for g in found.groups if g.status != "unknown"]
    assert sorted(counts) == [
        (BLACK, 3696), ("Asian", 32), (WHITE, 2454), ("Hispanic", 637), ("Native American", 18), ("Other", 377),
    ]  # fmt: skip
    assert group_row(found, "Native American", on="race").status == "insufficient-evidence"
    assert estimate(found, "fpr", "Native American", on="race").value is None
    assert estimate(found, "tpr", "Asian", on="race").value is None, "8 of the 32 reoffended"


def test_computed_fixtures_with_low_risk_as_the_favourable_decision() -> None:
    found = by_race(high=False)
    assert estimate(found, "impact_ratio", BLACK, on="race").value == pytest.approx(0.6316, abs=5e-5)
    best = by_race("Other", high=False)
    assert estimate(best, "selection_rate", "Other", on="race").value == pytest.approx(0.7905, abs=5e-5)
    for group, ratio in ((BLACK, 0.5210), (WHITE, 0.8248), ("Hispanic", 0.8878)):
        assert estimate(best, "impact_ratio", group, on="race").value == pytest.approx(ratio, abs=5e-5)
    frame, answers = compas(high=False)
    sex = part([attribute(frame, "sex", "Female")], answers)
    assert estimate(sex, "impact_ratio", "Male", on="sex").value == pytest.approx(0.9223, abs=5e-5)


def test_gap_and_ratio_intervals_of_the_pair() -> None:
    found = by_race(only=(BLACK, WHITE))
    gap, ratio = (estimate(found, name, BLACK, on="race") for name in ("fpr_difference", "fpr_ratio"))
    assert gap.value == pytest.approx(0.2139, abs=1e-4)
    assert (gap.low, gap.high) == pytest.approx((0.182, 0.245), abs=0.0015)
    assert (ratio.low, ratio.high) == pytest.approx((1.725, 2.133), abs=0.012)
    assert group_row(found, "unknown", on="race", unknown=True).n == 1064


@pytest.mark.parametrize(("race", "area"), [("", 0.702), (BLACK, 0.692), (WHITE, 0.693), ("Hispanic", 0.638)])
def test_auc_of_the_decile_score(race: str, area: float) -> None:
    frame = table("compas/compas-scores-two-years.csv.gz")
    rows = frame[frame["race"] == race] if race else frame
    again = rows["two_year_recid"] == 1
    found = roc.auc(positives=rows["decile_score"][again], negatives=rows["decile_score"][~again], level=0.95)
    assert found.value == pytest.approx(area, abs=5e-4)


def test_the_filtered_variant_gives_the_other_figures() -> None:
    frame = table("compas/compas-scores-two-years.csv.gz")
    days = frame["days_b_screening_arrest"]
    kept = frame[days.between(-30, 30) & (frame["is_recid"] != -1) & (frame["c_charge_degree"] != "O")]
    assert len(kept) == 6172
    answers = predictions(truth=kept["two_year_recid"] * 1.0, decision=(kept["score_text"] != "Low") * 1.0)
    found = part([attribute(kept, "race", WHITE)], answers)
    for group, fpr, fnr in ((BLACK, 0.4234, 0.2848), (WHITE, 0.2201, 0.4964)):
        assert estimate(found, "fpr", group, on="race").value == pytest.approx(fpr, abs=5e-5)
        assert estimate(found, "fnr", group, on="race").value == pytest.approx(fnr, abs=5e-5)


def test_adult_label_rates() -> None:
    frame = table("adult/adult_train.csv.gz")
    label = frame[next(c for c in frame.columns if frame[c].astype(str).str.contains(">50K").any())]
    earns = label.astype(str).str.contains(">50K").to_numpy() * 1.0
    column = next(c for c in frame.columns if set(frame[c].astype(str).unique()) == {"Female", "Male"})
    found = part([attribute(frame, column, "Male")], predictions(truth=earns, decision=earns), replicates=1_000)
    women, men = (group_row(found, sex, on=column).n for sex in ("Female", "Male"))
    assert (women, men) == (10_771, 21_790)
    # Label as decision: no errors, so two cells of each group are empty and every figure is rounded (to 0.001).
    assert estimate(found, "selection_rate", "Female", on=column).value == pytest.approx(0.1095, abs=6e-4)
    assert estimate(found, "selection_rate", "Male", on=column).value == pytest.approx(0.3057, abs=6e-4)
    assert estimate(found, "impact_ratio", "Female", on=column).value == pytest.approx(0.358, abs=0.003)


@pytest.mark.prove
def test_compas_in_well_under_two_seconds(record_property: Callable[[str, object], None]) -> None:
    frame, answers = compas()
    race = attribute(frame, "race", WHITE)
    part([race], answers)
    assert FairnessSettings().replicates == 10_000
    started = time.perf_counter()
    part([race], answers, replicates=10_000)
    seconds = time.perf_counter() - started
    record_property("COMPAS by race, 10,000 replicates, s", seconds)
    assert seconds < 2.0
