"""Sample weights: fairlearn's points, intervals that hold, and the same figures from arrays, frames and Parquet."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from fairlearn.metrics import MetricFrame

from auditkit.errors import DataError
from auditkit.fairness import measure, measure_table
from auditkit.fairness.assess import assess
from auditkit.fairness.cells import Cells, cell_of, count
from auditkit.fairness.metrics import METRICS, mask, values
from auditkit.fairness.weights import widest_alike
from auditkit.policy.schema import FairnessSettings
from auditkit.result import Estimate, FairnessPart
from auditkit.stats.intervals import effective_n, wilson_bounds
from auditkit.subject.types import Grouping, Predictions

SETTINGS = FairnessSettings(replicates=1000)
LABELS = ("a", "b", "c")
HALF = 5.01e-5
"""Half of the last decimal that weighted figures are shown to."""


@pytest.fixture(scope="module")
def people() -> pd.DataFrame:
    generator = np.random.default_rng(0)
    rows = 2400
    frame = pd.DataFrame({
        "region": generator.choice(list("abc"), rows, p=(0.5, 0.3, 0.2)),
        "repaid": generator.integers(0, 2, rows).astype(float),
        "granted": generator.integers(0, 2, rows).astype(float),
        "person": generator.integers(0, 1500, rows),
        "w": generator.lognormal(0, 0.7, rows),
    })  # fmt: skip
    frame.loc[generator.random(rows) < 0.12, "repaid"] = np.nan
    frame.loc[generator.random(rows) < 0.02, "granted"] = np.nan
    frame.loc[generator.random(rows) < 0.02, "w"] = 0.0
    return frame


def grouping(frame: pd.DataFrame) -> Grouping:
    codes = pd.Index(LABELS).get_indexer(pd.Index(frame["region"])).astype(np.int64)
    return Grouping("region", LABELS, codes, reference="a", reference_stated=True, columns=("region",))


def audited(frame: pd.DataFrame, *, person: bool = False, weights: np.ndarray | None, seed: int = 0) -> FairnessPart:
    return assess(
        groupings={"region": grouping(frame)},
        predictions=Predictions(
            decision=frame["granted"].to_numpy(), score=None, truth=frame["repaid"].to_numpy(), loss=None,
            loss_train=None, loss_reserve=None,
        ),
        persons=frame["person"].to_numpy().astype(object) if person else None,
        weights=weights, settings=SETTINGS, minimum_cell=10, generator=np.random.default_rng(seed),
    )  # fmt: skip


def found(part: FairnessPart) -> dict[tuple[str, str, str], Estimate]:
    return {(row.measure, row.on, row.group): row.estimate for row in part.measurements}


def cells_of(frame: pd.DataFrame, *, person: bool) -> Cells:
    own = grouping(frame)
    return count(
        codes=own.codes, groups=3, cell=cell_of(truth=frame["repaid"].to_numpy(), decision=frame["granted"].to_numpy()),
        persons=frame["person"].to_numpy().astype(object) if person else None, weights=frame["w"].to_numpy(),
    )  # fmt: skip


@pytest.fixture(scope="module")
def weighted(people: pd.DataFrame) -> FairnessPart:
    return audited(people, weights=people["w"].to_numpy())


@pytest.mark.parametrize("metric", METRICS)
def test_points_are_those_of_fairlearn_with_sample_weight(
    people: pd.DataFrame, weighted: FairnessPart, metric: str
) -> None:
    rows = found(weighted)
    known = people[people["granted"].notna()]
    if METRICS[metric].needs_truth:
        known = known[known["repaid"].notna()]
    frame = MetricFrame(
        metrics={metric: METRICS[metric].function}, y_true=known["repaid"].fillna(0), y_pred=known["granted"],
        sensitive_features=known["region"], sample_params={metric: {"sample_weight": known["w"]}},
    )  # fmt: skip
    expected = frame.by_group[metric]
    for group in LABELS:
        assert rows[f"fairness.{metric}", "region", group].value == pytest.approx(expected[group], abs=HALF)
        assert rows[f"fairness.{metric}", "region", group].events is None
    apart = rows[f"fairness.{metric}_difference", "region", "b"].value
    assert apart == pytest.approx(expected["b"] - expected["a"], abs=HALF)
    assert rows[f"fairness.{metric}_ratio", "region", "c"].value == pytest.approx(
        expected["c"] / expected["a"], abs=HALF
    )
    assert rows[f"fairness.{metric}", "", ""].value == pytest.approx(frame.overall[metric], abs=HALF)
    exact = values(cells_of(people, person=False).mass[:-1])[metric]
    assert exact.tolist() == pytest.approx(expected.tolist(), rel=1e-12), "and to the last digit before they are shown"


@pytest.mark.parametrize("person", [False, True])
def test_equal_weights_are_no_weights(people: pd.DataFrame, person: bool) -> None:
    plain = found(audited(people, person=person, weights=None))
    equal = found(audited(people, person=person, weights=np.full(len(people), 2.5)))
    assert plain.keys() == equal.keys()
    for key, one in plain.items():
        other = equal[key]
        drawn = "bootstrap" in one.method
        assert (one.value is None) == (other.value is None)
        if one.value is not None:
            assert other.value == pytest.approx(one.value, abs=HALF)
            assert (other.low, other.high) == pytest.approx((one.low, one.high), abs=0.02 if drawn else 2 * HALF)


def test_only_ratios_of_weights_matter(people: pd.DataFrame, weighted: FairnessPart) -> None:
    parts = [found(weighted), found(audited(people, weights=1e-6 * people["w"].to_numpy()))]
    for key, one in parts[0].items():
        for name in ("value", "low", "high"):
            assert getattr(one, name) is not None, key
            assert getattr(parts[1][key], name) == pytest.approx(getattr(one, name), abs=2 * HALF)


@pytest.mark.parametrize("person", [False, True])
def test_effective_n_is_that_of_the_records_themselves(people: pd.DataFrame, person: bool) -> None:
    cells = cells_of(people, person=person)
    for metric in METRICS.values():
        known = people[people["granted"].notna()]
        state = cell_of(truth=known["repaid"].to_numpy(), decision=known["granted"].to_numpy())
        e, t = mask(metric.events)[state], mask(metric.trials)[state]
        effective = cells.effective(metric)
        assert effective is not None
        for group, label in enumerate(LABELS):
            own = (known["region"] == label).to_numpy()
            w = known["w"].to_numpy() * own * t
            rate = (w * e).sum() / w.sum()
            kish = w.sum() ** 2 / (w**2).sum()
            residual, who = w * (e - rate), known["person"].to_numpy() if person else np.arange(len(known))
            spread = (pd.Series(residual).groupby(who).sum() ** 2).sum()
            persons = len(set(who[own & (t > 0)]))
            spread *= persons / (persons - 1) if person else 1.0
            assert effective[group] == pytest.approx(min(kish, rate * (1 - rate) * w.sum() ** 2 / spread), rel=1e-9)


@pytest.mark.parametrize("person", [None, "person"])
def test_a_table_gives_what_the_audit_gives(people: pd.DataFrame, person: str | None, tmp_path: Path) -> None:
    expected = audited(people, person=person is not None, weights=people["w"].to_numpy(), seed=3)
    file = tmp_path / "people.parquet"
    people.sample(frac=1.0, random_state=1).to_parquet(file)
    parts = [
        measure_table(
            source, groups={"region": "region"}, truth="repaid", decision="granted", person=person, weight="w",
            settings=SETTINGS, seed=3,
        )
        for source in (people, file)
    ]  # fmt: skip
    assert parts[0] == parts[1], "the order of the rows shows in no bit"
    wanted, given = found(expected), found(parts[0])
    assert wanted.keys() == given.keys()
    for key, one in wanted.items():
        assert (given[key].n, given[key].withheld) == (one.n, one.withheld)
        assert given[key].value == pytest.approx(one.value, abs=2 * HALF)
        # Probabilities that differ in their last bits may send the bootstrap another way.
        near = {"abs": 2 * HALF} if "bootstrap" not in one.method else {"abs": 0.02}
        assert (given[key].low, given[key].high) == pytest.approx((one.low, one.high), **near)


def test_shown_figures_tell_no_record_by_its_weight(people: pd.DataFrame, weighted: FairnessPart) -> None:
    part = weighted
    shown = [x for row in part.measurements for x in (row.estimate.value, row.estimate.low, row.estimate.high)]
    tests = part.tests[0]
    shown += [x for pair in tests.pairs for x in (pair.z_p, pair.adjusted_p, pair.detectable, pair.difference.low)]
    shown += [x for gap in tests.gaps for x in (gap.p, gap.gap.value, gap.gap.high)]
    assert len(shown) > 300
    assert all(x == round(x, 4) for x in shown if x is not None)
    row = found(part)["fairness.tpr", "region", "b"]
    exact = cells_of(people, person=False).weighted
    assert exact is not None
    assert row.value != exact.rates(METRICS["tpr"])[1]
    assert row.low < row.value < row.high


def test_a_group_that_rests_on_a_few_heavy_records_says_so(people: pd.DataFrame) -> None:
    heavy = np.where(people["region"] == "c", 1e-6, 1.0)
    heavy[np.flatnonzero(people["region"] == "c")[:4]] = 1.0
    row = found(audited(people, weights=heavy))["fairness.selection_rate", "region", "c"]
    assert row.value is None
    assert "by their weights fewer than 10 effective records" in row.withheld


def test_a_group_without_any_weight_is_not_estimable(people: pd.DataFrame) -> None:
    rows = found(audited(people, weights=np.where(people["region"] == "b", 0.0, 1.0)))
    assert rows["fairness.tpr", "region", "b"].value is None
    assert rows["fairness.tpr_difference", "region", "b"].value is None
    assert rows["fairness.tpr_difference", "region", "c"].value is not None


@pytest.mark.parametrize(
    ("weights", "says"),
    [
        ([1.0, -1.0, 1.0, 1.0], "1 weights are missing, infinite or negative"),
        ([1.0, np.nan, np.inf, 1.0], "2 weights are missing"),
        ([0.0] * 4, "every weight is 0"),
        ([1.0] * 3, "arrays of one length"),
    ],
)
def test_what_is_no_weight_is_refused(weights: list[float], says: str) -> None:
    with pytest.raises(DataError, match=says):
        measure([0, 1, 0, 1], [1, 1, 0, 0], groups={"sex": list("fmfm")}, weights=weights)


@pytest.mark.parametrize("weights", [[1.0, -1.0], [1.0, np.nan], [0.0, 0.0], [1.0]])
def test_an_audit_refuses_them_too(people: pd.DataFrame, weights: list[float]) -> None:
    with pytest.raises(DataError, match="weight"):
        audited(people.iloc[:2], weights=np.array(weights))


def drawn(p: float, *, n: int, spread: float, tilt: float, repeats: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Weights and events [repeats, n] of a population with weighted rate p, heavy records `tilt` logits higher."""
    generator = np.random.default_rng(seed)
    x = generator.standard_normal((repeats, n))
    grid = np.linspace(-8, 8, 4001)
    density = np.exp(-((grid - spread) ** 2) / 2)
    shift = np.linspace(-12, 12, 4801)
    rates = [float((density / (1 + np.exp(-(s + tilt * grid)))).sum() / density.sum()) for s in shift]
    own = float(np.interp(p, rates, shift))
    return np.exp(spread * x), generator.random((repeats, n)) < 1 / (1 + np.exp(-(own + tilt * x)))


def coverage(p: float, *, n: int, spread: float, tilt: float, repeats: int, seed: int) -> float:
    w, e = drawn(p, n=n, spread=spread, tilt=tilt, repeats=repeats, seed=seed)
    total, squares = w.sum(axis=1), (w**2).sum(axis=1)
    rate = (w * e).sum(axis=1) / total
    moved = (w**2 * (e - rate[:, None]) ** 2).sum(axis=1)
    hit = 0
    for i in range(repeats):
        own = effective_n(
            rate=float(rate[i]), total=float(total[i]), squares=float(squares[i]), person_squares=float(squares[i]),
            spread=float(moved[i]),
        )  # fmt: skip
        low, high = wilson_bounds(rate=float(rate[i]), n=own, z=1.959964)
        hit += low <= p <= high
    return hit / repeats


def test_weighted_rates_are_covered() -> None:
    covered = [
        coverage(p, n=n, spread=0.7, tilt=tilt, repeats=400, seed=7)
        for n in (30, 300) for p in (0.05, 0.3) for tilt in (-0.7, 0.0, 0.7)
    ]  # fmt: skip
    assert np.mean(covered) >= 0.945
    assert min(covered) >= 0.91


@pytest.mark.prove
def test_weighted_rates_are_covered_over_the_whole_grid(record_property: object) -> None:
    covered = [
        coverage(p, n=n, spread=spread, tilt=tilt, repeats=4000, seed=1)
        for spread in (0.3, 0.7, 1.0) for tilt in (-0.7, 0.0, 0.7) for n in (30, 100, 1000)
        for p in (0.02, 0.05, 0.1, 0.2, 0.35, 0.5, 0.8, 0.95)
    ]  # fmt: skip
    record_property("mean", float(np.mean(covered)))  # type: ignore[operator]
    record_property("minimum", float(min(covered)))  # type: ignore[operator]
    assert np.mean(covered) >= 0.945
    assert min(covered) >= 0.91


def test_groups_of_one_common_rate_are_rarely_called_apart() -> None:
    generator = np.random.default_rng(5)
    effective = np.array([35.4, 120.2, 260.9])
    alarms = 0
    for _ in range(300):
        rates = generator.binomial(effective.astype(int), 0.3) / effective.astype(int)
        alarms += widest_alike(rates, effective, replicates=500, generator=generator).p <= 0.05
    assert alarms / 300 <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / 300)
    far = widest_alike(np.array([0.1, 0.5, 0.5]), effective, replicates=500, generator=generator)
    assert far.p < 0.01
    assert (far.highest, far.lowest) == (1, 0)
