"""References that the data choose: the largest group, the best, or all records."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from fairlearn.metrics import MetricFrame, selection_rate, true_positive_rate
from scipy import stats

from auditkit.errors import DataError
from auditkit.fairness import measure
from auditkit.fairness.overall import Sides
from auditkit.policy.schema import FairnessSettings
from auditkit.result import FairnessPart, Measurement

SETTINGS = FairnessSettings(replicates=1000)
ALL = "all records"


@pytest.fixture(scope="module")
def people() -> pd.DataFrame:
    generator = np.random.default_rng(4)
    rows = 3000
    frame = pd.DataFrame({
        "region": generator.choice(["east", "north", "west"], rows, p=(0.5, 0.3, 0.2)),
        "repaid": generator.integers(0, 2, rows).astype(float),
        "person": generator.integers(0, 2000, rows),
        "w": generator.lognormal(0, 0.5, rows),
    })  # fmt: skip
    chance = frame["region"].map({"east": 0.4, "north": 0.5, "west": 0.7})
    frame["granted"] = (generator.random(rows) < chance).astype(float)
    frame.loc[generator.random(rows) < 0.05, "region"] = None
    return frame


def part(frame: pd.DataFrame, reference: object, **more: object) -> FairnessPart:
    return measure(
        frame["repaid"], frame["granted"], groups={"region": frame["region"]}, reference=reference, settings=SETTINGS,
        **more,
    )  # type: ignore[arg-type]  # fmt: skip


def row(found: FairnessPart, measure_: str, group: str) -> Measurement:
    name = f"fairness.{measure_}"
    return next(m for m in found.measurements if (m.measure, m.on, m.group) == (name, "region", group))


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("persons", [False, True])
def test_against_all_records_is_fairlearn_to_overall(people: pd.DataFrame, weighted: bool, persons: bool) -> None:
    found = part(
        people, "overall", weights=people["w"] if weighted else None, persons=people["person"] if persons else None
    )
    weights = people["w"] if weighted else pd.Series(1.0, index=people.index)
    params = {"sample_weight": weights}
    frame = MetricFrame(
        metrics={"selection_rate": selection_rate, "tpr": true_positive_rate}, y_true=people["repaid"],
        y_pred=people["granted"], sensitive_features=people["region"].fillna("?"),
        sample_params={"selection_rate": params, "tpr": params},
    )  # fmt: skip
    for name in ("selection_rate", "tpr"):
        whole = frame.overall[name]
        for group in ("east", "north", "west"):
            own = frame.by_group[name][group]
            apart, times = row(found, f"{name}_difference", group), row(found, f"{name}_ratio", group)
            assert apart.reference == times.reference == ALL
            assert apart.estimate.value == pytest.approx(own - whole, abs=5.01e-5 if weighted else 1e-12)
            assert times.estimate.value == pytest.approx(own / whole, abs=5.01e-5 if weighted else 1e-9)
            for estimate in (apart.estimate, times.estimate):
                assert estimate.low < estimate.value < estimate.high
            assert apart.estimate.n == (len(people) if name == "selection_rate" else int(people["repaid"].sum()))
    assert not any(group.is_reference for group in found.groups)
    assert "every group is compared with all records" in " ".join(found.notes)
    gap = row(found, "equalised_odds_difference", "west").estimate
    parts = [abs(row(found, f"{name}_difference", "west").estimate.value) for name in ("tpr", "fpr")]
    assert gap.value == pytest.approx(max(parts), abs=1e-9)
    balanced = row(found, "balanced_accuracy_difference", "west").estimate
    assert balanced.withheld == "not computed against all records"


def test_pairs_with_all_records_are_tests_against_the_others(people: pd.DataFrame) -> None:
    tests = part(people, "overall").tests[0]
    assert tests.reference == ALL
    own = people["region"] == "west"
    a, n = people["granted"][own].sum(), own.sum()
    b, m = people["granted"][~own].sum(), (~own).sum()
    found = next(p for p in tests.pairs if (p.measure, p.group) == ("fairness.selection_rate", "west"))
    assert found.fisher_p == pytest.approx(stats.fisher_exact([[a, n - a], [b, m - b]]).pvalue)
    assert (found.n, found.reference_n) == (n, n + m)
    assert found.adjusted_p == pytest.approx(1 - (1 - found.fisher_p) ** 3)
    assert found.difference.value == pytest.approx(a / n - (a + b) / (n + m))
    assert 0 < found.detectable < 0.1


@pytest.mark.parametrize("level", [0.95])
def test_differences_from_all_records_are_covered(level: float) -> None:
    generator, z = np.random.default_rng(6), stats.norm.ppf(0.5 + level / 2)
    for share, p, q in ((0.3, 0.2, 0.9), (0.2, 0.5, 0.4), (0.5, 0.3, 0.35)):
        true = (1 - share) * (p - q), p / (share * p + (1 - share) * q)
        hits, repeats = np.zeros(2), 0
        while repeats < 800:
            n = generator.binomial(200, share)
            x, y = generator.binomial(n, p), generator.binomial(200 - n, q)
            if min(x, y) < 5:
                continue
            repeats += 1
            sides = Sides(x / n, y / (200 - n), (n, 200 - n), (x, y), ((x, n), (y, 200 - n)), n / 200)
            for at, found in enumerate((sides.difference(z), sides.ratio(z))):
                hits[at] += found.low <= true[at] <= found.high
        assert (hits / repeats >= 0.925).all(), (share, p, q, hits / repeats)
        assert (hits / repeats <= 0.985).all()


def test_the_best_group_is_that_of_the_highest_rate_among_the_large(people: pd.DataFrame) -> None:
    few = people.copy()
    few.loc[:19, ["region", "granted"]] = ["tiny", 1.0]
    found = part(few, "best")
    assert {g.group for g in found.groups if g.is_reference} == {"west"}
    assert "by the highest selection rate" in " ".join(found.notes)
    heavy = np.where((people["region"] == "east") & (people["granted"] == 1), 50.0, 1.0)
    by_weight = part(people, {"region": "best"}, weights=heavy)
    assert {g.group for g in by_weight.groups if g.is_reference} == {"east"}


def test_a_group_of_that_name_is_meant_before_the_word(people: pd.DataFrame) -> None:
    named = people.assign(region=people["region"].replace({"north": "best", "east": "overall"}))
    for name in ("best", "overall"):
        found = part(named, {"region": name})
        assert {g.group for g in found.groups if g.is_reference} == {name}
    assert {g.group for g in part(named, "best").groups if g.is_reference} == {"west"}, "one word for all is the word"


def test_what_is_no_reference_is_refused(people: pd.DataFrame) -> None:
    for reference in ({"region": "south"}, "smallest"):
        with pytest.raises(DataError, match="no group of 'region'"):
            part(people, reference)


def test_intersections_follow_their_attributes(people: pd.DataFrame) -> None:
    generator = np.random.default_rng(8)
    sex = generator.choice(["f", "m"], len(people))
    groups = {"region": people["region"], "sex": sex}
    for reference, expected in (("overall", ALL), ({"region": "best", "sex": "f"}, "west · f")):
        found = measure(
            people["repaid"], people["granted"], groups=groups, intersections=[("region", "sex")],
            reference=reference, settings=SETTINGS,
        )  # type: ignore[arg-type]  # fmt: skip
        assert {m.reference for m in found.measurements if m.on == "region x sex" and m.reference} == {expected}


def test_figures_of_a_closed_group_are_rounded(people: pd.DataFrame) -> None:
    bent = people.copy()
    west = np.flatnonzero((bent["region"] == "west") & (bent["repaid"] == 1) & (bent["granted"] == 0))
    bent.loc[west[4:], "granted"] = 1.0
    found = part(bent, "overall")
    closed = row(found, "selection_rate_difference", "west").estimate
    assert closed.step > 0
    assert closed.n is None
    test = next(p for p in found.tests[0].pairs if (p.measure, p.group) == ("fairness.tpr", "west"))
    assert (test.fisher_p, test.n, test.detectable) == (None, None, None)
