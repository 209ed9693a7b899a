"""Several models on the same records: the changes of every rate and gap, their tests, and what may be shown of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import pytest
from fairlearn import metrics as fairlearn
from numpy.typing import NDArray
from scipy import stats

from auditkit.errors import DataError
from auditkit.fairness.comparison.answers import COMPARED
from auditkit.fairness.comparison.assess import Other, assess
from auditkit.fairness.metrics import METRICS
from auditkit.policy.schema import FairnessSettings
from auditkit.result.comparison_of_models import ModelChange, ModelComparison
from auditkit.subject.types import Grouping

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


class World:
    """Truth, a group and scores; a model is a noisy look at the scores."""

    def __init__(self, n: int = 4000, seed: int = 1, groups: int = 2) -> None:
        self.rng = np.random.default_rng(seed)
        self.group = self.rng.integers(0, groups, n)
        self.truth = (self.rng.random(n) < 0.4).astype(np.float64)
        self.score = self.rng.normal(size=n) + self.truth
        labels = tuple("abcdefgh"[:groups])
        self.grouping = Grouping("g", labels, self.group.astype(np.int64), "a", True)

    def model(self, noise: float = 0.0, shift: float = 0.0) -> Floats:
        noisy = self.score + noise * self.rng.normal(size=len(self.score)) + shift * self.group
        return (noisy > 0.5).astype(np.float64)

    def compare(
        self, decision: Floats, others: Mapping[str, Floats], *, persons: Ints | None = None,
        weights: Floats | None = None, settings: FairnessSettings | None = None, minimum_cell: int = 10,
    ) -> ModelComparison:  # fmt: skip
        return assess(
            groupings={"g": self.grouping}, truth=self.truth, decision=decision,
            others={name: Other(own, "recorded decisions") for name, own in others.items()}, persons=persons,
            weights=weights, settings=settings or FairnessSettings(), minimum_cell=minimum_cell,
        )  # fmt: skip


def row(part: ModelComparison, metric: str, group: str, model: str = "b") -> ModelChange:
    return next(r for r in part.changes if (r.measure, r.group, r.model) == (f"fairness.{metric}", group, model))


def test_every_rate_is_fairlearns_under_both_models_with_and_without_weights() -> None:
    world = World()
    first, second = world.model(), world.model(0.7, 0.2)
    for weights in (None, world.rng.uniform(0.3, 3.0, len(first))):
        part = world.compare(first, {"b": second}, weights=weights)
        for metric in COMPARED:
            for code, group in enumerate("ab"):
                own, rows = row(part, metric, group), world.group == code
                given = {} if weights is None else {"sample_weight": weights[rows]}
                both = [METRICS[metric].function(world.truth[rows], m[rows], **given) for m in (first, second)]
                near = 1e-9 if weights is None else 5.1e-5  # weighted figures have four places
                assert [own.before.value, own.after.value] == pytest.approx(both, abs=near)
                assert own.change.value == pytest.approx(both[1] - both[0], abs=near)
                assert own.change.low is not None and own.change.high is not None
                assert own.change.low < own.change.value < own.change.high
    assert fairlearn.selection_rate(world.truth, second) == pytest.approx(
        next(r for r in world.compare(first, {"b": second}).changes if not r.on).after.value
    )


def test_a_gap_changes_by_the_difference_of_two_changes() -> None:
    world = World()
    part = world.compare(world.model(), {"b": world.model(0.7, 0.3)})
    for metric in COMPARED:
        apart = row(part, metric, "b").change.value - row(part, metric, "a").change.value
        gap = row(part, f"{metric}_difference", "b")
        assert gap.change.value == pytest.approx(apart)
        assert gap.reference == "a"
        assert gap.lost is None
    assert not any(r.reference and r.group == "a" for r in part.changes)


def test_mcnemar_counts_the_records_that_change_sides() -> None:
    world = World()
    first, second = world.model(), world.model(0.7)
    own = row(world.compare(first, {"b": second}), "tpr", "a")
    rows = (world.group == 0) & (world.truth == 1)
    lost, gained = ((first[rows] > second[rows]).sum(), (first[rows] < second[rows]).sum())
    assert (own.lost, own.gained) == (lost, gained)
    assert own.p_value == pytest.approx(stats.binomtest(int(gained), int(lost + gained)).pvalue)
    assert own.adjusted_p_value == pytest.approx(1 - (1 - own.p_value) ** 2)
    assert own.test == "McNemar's test, exact"


def test_a_model_beside_itself_shows_nothing_and_hides_nothing() -> None:
    world = World()
    first = world.model()
    part = world.compare(first, {"b": first.copy()})
    assert part.models[0].disagree.value == 0
    for own in part.changes:
        assert own.change.value == 0
        assert own.change.low < 0 < own.change.high
        assert own.p_value == pytest.approx(1.0)
        assert own.change.step == 0


def test_families_hold_all_groups_and_models_of_a_measure() -> None:
    world = World(n=9000, groups=3)
    first = world.model()
    part = world.compare(first, {"b": world.model(0.8), "c": world.model(0.8)})
    assert "simultaneous over 6 comparisons" in row(part, "tpr", "a").change.method
    assert "simultaneous over 4 comparisons" in row(part, "tpr_difference", "b").change.method
    alone = world.compare(first, {"b": world.model(0.8)})
    assert "simultaneous over 3 comparisons" in row(alone, "tpr", "a").change.method


@pytest.mark.parametrize("method", ["holm", "bh"])
def test_the_policys_adjustment_is_taken(method: str) -> None:
    world = World(n=9000, groups=3)
    settings = FairnessSettings.model_validate({"multiplicity": method})
    part = world.compare(world.model(), {"b": world.model(0.8, 0.2)}, settings=settings)
    p = np.array([row(part, "tpr", g).p_value for g in "abc"])
    right = np.array([row(part, "tpr", g).adjusted_p_value for g in "abc"])
    if method == "bh":
        np.testing.assert_allclose(right, stats.false_discovery_control(p))
    else:
        order = np.argsort(p)
        np.testing.assert_allclose(right[order], np.minimum(1, np.maximum.accumulate(p[order] * [3, 2, 1])))


def test_a_few_records_that_change_close_the_group() -> None:
    world = World()
    first = world.model()
    second = first.copy()
    few = np.flatnonzero((world.group == 1) & (world.truth == 1) & (first == 1))[:4]
    second[few] = 0
    part = world.compare(first, {"b": second})
    for own in part.changes:
        # What is left when group b is taken from all records, or from the gap, is a figure of group a.
        assert own.lost is None and own.gained is None and own.p_value is None
        assert own.change.n is None
        if own.change.value is not None:
            assert own.change.step > 0
            assert own.change.value / own.change.step == pytest.approx(round(own.change.value / own.change.step))
    many = np.flatnonzero((world.group == 1) & (world.truth == 1) & (first == 1))[:40]
    second[many] = 0
    assert row(world.compare(first, {"b": second}), "tpr", "b").lost == 40


def test_two_other_models_that_differ_by_few_close_the_group() -> None:
    world = World()
    first, second = world.model(), world.model(0.8)
    third = second.copy()
    third[np.flatnonzero((world.group == 1) & (world.truth == 0) & (second == 0))[:3]] = 1
    assert row(world.compare(first, {"b": second}), "fpr", "b").change.step == 0
    assert row(world.compare(first, {"b": second, "c": third}), "fpr", "b").change.step > 0


def test_small_groups_and_denominators_are_not_compared() -> None:
    world = World(n=2000)
    world.group[:] = 0
    world.group[:20] = 1
    world.grouping.codes[:] = world.group
    part = world.compare(world.model(), {"b": world.model(0.5)})
    own = row(part, "tpr", "b")
    assert own.change.value is None and "fewer than 30 records" in own.change.withheld
    assert row(part, "tpr_difference", "b").change.value is None
    world.group[:] = np.arange(2000) % 2
    world.grouping.codes[:] = world.group
    world.truth[world.group == 1] = 0
    own = row(world.compare(world.model(), {"b": world.model(0.5)}), "tpr", "b")
    assert own.change.value is None and "not estimable" in own.change.withheld


def test_a_one_person_reference_gives_no_gap() -> None:
    world = World(n=2000)
    world.grouping.codes[:] = 1
    world.grouping.codes[0] = 0
    part = world.compare(world.model(), {"b": world.model(0.5)})
    assert row(part, "tpr_difference", "b").change.withheld.startswith("reference: fewer than 30")


def test_records_without_a_decision_of_every_model_are_left_out_and_told() -> None:
    world = World()
    first, second = world.model(), world.model(0.8)
    second[:100] = np.nan
    world.truth[200:400] = np.nan
    part = world.compare(first, {"b": second}, minimum_cell=1)
    assert any(note.startswith("100 evaluation records have no decision of one of the models") for note in part.notes)
    assert part.models[0].disagree.n == 3900
    labelled = sum(row(part, "accuracy", g).change.n or 0 for g in "ab")
    assert labelled == 3700
    assert sum(row(part, "selection_rate", g).change.n or 0 for g in "ab") == 3900


def test_persons_stay_whole() -> None:
    world = World(n=1500)
    first, second = world.model(), world.model(0.8)
    alone = row(world.compare(first, {"b": second}), "selection_rate", "a")
    again = World(n=1500)
    for name in ("group", "truth", "score"):
        setattr(again, name, np.tile(getattr(world, name), 3))
    again.grouping = Grouping("g", ("a", "b"), again.group.astype(np.int64), "a", True)
    part = again.compare(np.tile(first, 3), {"b": np.tile(second, 3)}, persons=np.tile(np.arange(1500), 3))
    thrice = row(part, "selection_rate", "a")
    width = [own.change.high - own.change.low for own in (alone, thrice)]
    assert width[1] == pytest.approx(width[0], rel=0.02)
    assert thrice.before.high - thrice.before.low == pytest.approx(alone.before.high - alone.before.low, rel=0.02)
    assert "over persons" in thrice.test


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda w: w.compare(w.model(), {"b": w.model()[:-1]}), "do not fit"),
        (lambda w: w.compare(w.model(), {"b": w.model() * 2}), "neither favourable"),
        (lambda w: w.compare(w.model(), {"": w.model()}), "needs a name"),
        (lambda w: w.compare(w.model(), {"b": w.model()}, weights=-np.ones(4000)), "none of them negative"),
    ],
)
def test_what_does_not_fit_is_refused(spoil: Callable[[World], object], said: str) -> None:
    with pytest.raises(DataError, match=said):
        spoil(World())


def test_nothing_decided_is_not_applicable() -> None:
    world = World(n=100)
    part = world.compare(np.full(100, np.nan), {"b": world.model()})
    assert part.status == "not-applicable"


def false_alarms(replicates: int, n: int) -> float:
    """Share of data sets in which some change of a family is shown though the two models err alike."""
    alarms = 0
    for seed in range(replicates):
        world = World(n=n, seed=seed, groups=3)
        looks = [world.model(0.8) for _ in range(3)]
        part = world.compare(looks[0], {"b": looks[1], "c": looks[2]}, minimum_cell=1)
        own = [r.change for r in part.changes if r.measure == "fairness.tpr" and r.on]
        alarms += any(e.low is not None and (e.low > 0 or e.high < 0) for e in own)
    return alarms / replicates


def test_false_alarms_small() -> None:
    assert false_alarms(30, 600) <= 0.2


@pytest.mark.prove
def test_false_alarms(record_property: Callable[[str, object], None]) -> None:
    share = false_alarms(1500, 1200)
    record_property("family-wise error of six paired changes under the null", share)
    assert share <= 0.05 + 1.645 * (0.05 * 0.95 / 1500) ** 0.5
