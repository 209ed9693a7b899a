"""Fidelity on worlds whose answer is known, and the way of a withheld attribution through a whole audit."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from auditkit.bank.fit import make
from auditkit.bank.types import Bank, Plan
from auditkit.errors import DataError
from auditkit.influence.assess import InfluenceArrays, Settings, assess
from auditkit.influence.fidelity import Fidelity, actual_values, correlations, enter, measure, predicted_values
from auditkit.influence.targets import Target, targets_of
from auditkit.pipeline import Audit
from auditkit.preflight import prepare
from auditkit.report.renderers import RENDERERS
from auditkit.result import Estimate, InfluencePart, SliceInfluence
from auditkit.run import audit_prepared
from auditkit.subject.predict import predict
from auditkit.subject.slices import resolve
from auditkit.subject.types import Floats
from tests.bank.lender import write_lender

ROOT = Path(__file__).parents[2]
MLP = "{module: mlp, hidden: [6], epochs: 12, batch: 32, l2: 0.01}"


def synthetic(
    actual: Floats, *, repeats: int = 0, deterministic: bool = False, loss: bool = False
) -> tuple[Bank, tuple[Target, ...]]:
    """A bank whose measures [K, S] are these: each evaluation row is a measure of its own."""
    models, width = actual.shape
    drawn = np.random.default_rng(9).random((models - repeats, 20)) < 0.5
    subset = np.concatenate([np.arange(models - repeats), np.arange(repeats)])
    plan = Plan(
        kind="train-halves", rows=np.arange(100, 120), masks=drawn[subset], subset=subset,
        measuring=np.ones(models, dtype=bool), seeds=np.arange(models),
    )  # fmt: skip
    nothing = np.full_like(actual, np.nan)
    bank = Bank(plan, np.arange(width), actual if loss else nothing, nothing if loss else actual, nothing, nothing,
                None, deterministic, "Made by hand.")  # fmt: skip
    targets = tuple(
        Target(f"t{s}", "gap", "why", "", 30, "gap in mean favourable score", "loss" if loss else "score", weights)
        for s, weights in enumerate(np.eye(width))
    )
    return bank, targets


def effects_of(masks: Floats, values: Floats) -> Floats:
    """Effects [N, S] whose sums over the rows left out are `values` [K, S] (K <= N)."""
    found: Floats = np.linalg.lstsq((~masks.astype(bool)).astype(float), values, rcond=None)[0]
    return found


def test_predicted_is_the_sum_over_records_left_out_in_whatever_order_the_effects_come() -> None:
    rng = np.random.default_rng(0)
    bank, _ = synthetic(rng.normal(size=(6, 2)))
    effects, order = rng.normal(size=(20, 2)), rng.permutation(20)
    found = predicted_values(effects[order], bank.plan.rows[order], bank)
    for k in range(6):
        np.testing.assert_allclose(found[k], effects[~bank.plan.masks[k]].sum(0), atol=1e-12)
    with pytest.raises(DataError, match="lacks training records"):
        predicted_values(effects, np.arange(20), bank)


def test_actual_takes_losses_for_losses_and_leaves_rows_without_a_label_out() -> None:
    values = np.arange(12.0).reshape(4, 3)
    values[:, 2] = np.nan
    bank, targets = synthetic(values, loss=True)
    np.testing.assert_array_equal(actual_values(targets[:2], bank), values[:, :2])
    short = Target("t", "slice", "", "", 2, "mean loss", "loss", np.ones(2))
    with pytest.raises(DataError, match="other evaluation records"):
        actual_values((short,), bank)


def test_correlations_are_spearmans_with_ties() -> None:
    rng = np.random.default_rng(1)
    a, b = rng.integers(0, 6, (30, 4)).astype(float), rng.normal(size=(30, 4))
    expected = [stats.spearmanr(a[:, s], b[:, s]).statistic for s in range(4)]
    np.testing.assert_allclose(correlations(a, b), expected, atol=1e-12)
    assert np.isnan(correlations(np.ones((5, 1)), b[:5, :1])).all()


def test_a_predictor_in_the_right_order_scores_one_and_its_reverse_minus_one() -> None:
    rng = np.random.default_rng(2)
    actual = rng.normal(size=(12, 3))
    bank, targets = synthetic(actual, deterministic=True)
    effects = effects_of(bank.plan.masks, np.exp(actual))
    found = measure(effects, bank.plan.rows, targets, bank, level=0.95)
    assert found.overall.value == pytest.approx(1.0) and found.overall.n == 12 and found.ceiling == 1.0
    assert found.overall.low is not None and found.overall.low > 0.99
    assert measure(-effects, bank.plan.rows, targets, bank, level=0.95).overall.value == pytest.approx(-1.0)


def test_a_measure_that_never_changes_is_left_out_and_said() -> None:
    rng = np.random.default_rng(3)
    actual = rng.normal(size=(12, 3))
    actual[:, 1] = 0.4
    bank, targets = synthetic(actual)
    effects = effects_of(bank.plan.masks, rng.normal(size=(12, 3)))
    found = measure(effects, bank.plan.rows, targets, bank, level=0.95)
    assert found.measures[1].value is None and "tie" in found.measures[1].withheld
    others = [found.measures[s].value for s in (0, 2)]
    assert found.overall.value == pytest.approx(np.mean(np.array(others, dtype=float)))
    still, targets = synthetic(np.full((12, 2), 0.4))
    assert measure(effects[:, :2], still.plan.rows, targets, still, level=0.95).overall.value is None


@pytest.mark.parametrize(("truth", "least"), [(0.0, 0.91), (0.97, 0.87)])
def test_the_interval_covers_the_limit(truth: float, least: float) -> None:
    """24 models, six measures that move together, 300 worlds; uncorrected, 0.97 is covered 0.7 of the time."""
    rng = np.random.default_rng(4)
    limit = 6 / np.pi * np.arcsin(truth / 2)
    covered = 0
    mixing = rng.normal(size=(3, 6))
    mixing /= np.linalg.norm(mixing, axis=0)
    for _ in range(300):
        first, other = (rng.normal(size=(24, 3)) @ mixing for _ in range(2))
        bank, targets = synthetic(truth * first + np.sqrt(1 - truth**2) * other)
        found = _measured(first, bank, targets)
        assert found.overall.low is not None and found.overall.high is not None
        covered += found.overall.low <= limit <= found.overall.high
    assert covered / 300 >= least


def _measured(predicted: Floats, bank: Bank, targets: tuple[Target, ...]) -> Fidelity:
    """Fidelity of given predictions: a pool of one row per model, left out by that model alone."""
    models = len(predicted)
    plan = Plan("train-halves", np.arange(models), ~np.eye(models, dtype=bool), bank.plan.subset, bank.plan.measuring,
                bank.plan.seeds)  # fmt: skip
    alone = Bank(plan, bank.evaluation, bank.loss_evaluation, bank.score_evaluation, bank.loss_pool, bank.score_pool,
                 None, bank.deterministic, bank.recipe)  # fmt: skip
    return measure(predicted, plan.rows, targets, alone, level=0.95)


def test_the_ceiling_is_the_correlation_that_chance_leaves() -> None:
    rng = np.random.default_rng(5)
    subsets, noise = 400, 0.75
    expected = rng.normal(size=(subsets, 5))
    actual = np.concatenate([expected + noise * rng.normal(size=(subsets, 5)) for _ in range(2)])
    bank, targets = synthetic(actual, repeats=subsets)
    found = measure(rng.normal(size=(20, 5)), bank.plan.rows, targets, bank, level=0.95)
    assert found.overall.n == subsets
    assert found.ceiling == pytest.approx(1 / np.sqrt(1 + noise**2), abs=0.02)
    once, targets = synthetic(actual[:subsets])
    assert measure(rng.normal(size=(20, 5)), once.plan.rows, targets, once, level=0.95).ceiling is None


def traced(path: Path, models: int) -> tuple[InfluencePart, InfluenceArrays, tuple[Target, ...], Bank]:
    prepared = prepare(path)
    table, subject = prepared.table, prepared.subject
    slices = resolve(prepared.policy, table, predict(subject, table), locate=prepared.locate)
    bank, why = make(subject, table, wanted=models, generator=np.random.default_rng(0))
    assert bank is not None, why
    part, arrays = assess(subject, table, slices, Settings(), bank=bank)
    assert arrays is not None
    rows = table.rows("evaluation")
    known = np.isfinite(table.label[rows]).astype(float)
    return part, arrays, targets_of(slices, table.groupings, rows, known, minimum=30), bank


def test_a_convex_model_is_predicted_and_shuffled_effects_predict_nothing(tmp_path: Path) -> None:
    part, arrays, targets, bank = traced(write_lender(tmp_path), 32)
    fidelity = part.fidelity
    assert fidelity is not None and fidelity.value is not None and fidelity.low is not None
    assert fidelity.value > 0.9 and fidelity.low > 0.85 and fidelity.n == 32 and part.noise_ceiling == 1.0
    told = [s for s in part.slices if not s.withheld]  # one that isolates few persons shows no fidelity either
    assert len(told) >= 2
    assert all(s.fidelity is not None and s.fidelity.value is not None and s.fidelity.value > 0.7 for s in told)
    rng = np.random.default_rng(1)
    controls = [
        measure(arrays.effects[rng.permutation(len(arrays.rows))], arrays.rows, targets, bank, level=0.95).overall
        for _ in range(12)
    ]
    values = np.array([control.value for control in controls], dtype=float)
    assert abs(values.mean()) < 0.2 and np.abs(values).max() < 0.6
    assert sum(c.low <= 0 <= c.high for c in controls if c.low is not None and c.high is not None) >= 9


def test_chance_of_training_lowers_the_ceiling_of_a_network(tmp_path: Path) -> None:
    part, _, _, bank = traced(write_lender(tmp_path, training=MLP), 40)
    assert bank.plan.first.size == 30 and part.fidelity is not None and part.fidelity.n == 30
    assert part.noise_ceiling is not None and 0 < part.noise_ceiling < 1
    assert part.fidelity.low is not None and part.fidelity.low > 0.2


def audited(path: Path) -> Audit:
    return audit_prepared(prepare(path), as_of=date(2026, 11, 23), command="auditkit run small.yaml")


def limits(audit: Audit) -> dict[str, str]:
    return {fact.name: fact.value for fact in audit.result.limits}


def test_below_the_floor_the_attribution_is_withheld_from_end_to_end(tmp_path: Path) -> None:
    audit = audited(write_lender(tmp_path, influence="{fidelity-floor: 1.0, fidelity-models: 16}"))
    part, whole = audit.result.influence, audit.result
    assert part.status == "withheld" and "below the policy's floor of 1" in part.reason
    assert part.fidelity is not None and part.fidelity.value is not None and 0.8 < part.fidelity.value < 1
    assert len(part.slices) >= 3
    for item in part.slices:
        assert item.withheld and not item.compositions
        assert item.p99_raises is item.p99_lowers is item.share_in_top_1pct is None
    # The arrays stay for whoever may see them; the screen is a ranking and stays, with the fidelity beside it.
    assert "self_influence" in audit.tables["training_records"] and audit.arrays["bank_masks"].shape == (16, 400)
    assert whole.privacy.screen is not None and whole.privacy.screen.status == "assessed"
    said = limits(audit)
    assert "Influence withheld" in said and "n = 16 retrained halves" in said["Self-influence is kept"]
    assert "Fidelity floor not applied" not in said and "Influence is a prediction" not in said
    page = RENDERERS["html"].render(whole)
    assert b"below the policy" in page and b"Times as frequent" not in page


def test_above_the_floor_it_is_not_and_no_limit_speaks_of_it(tmp_path: Path) -> None:
    audit = audited(write_lender(tmp_path, influence="{fidelity-floor: 0.3, fidelity-models: 16}"))
    part = audit.result.influence
    assert part.status == "assessed" and part.fidelity_floor == 0.3 and any(s.compositions for s in part.slices)
    assert not [name for name in limits(audit) if "floor" in name or "withheld" in name]
    rows = {quality.name: quality for quality in part.quality}
    assert part.fidelity is not None and rows["fidelity to retraining"].value == part.fidelity.value
    assert "n = 16 halves" in rows["fidelity to retraining"].text and not rows["fidelity to retraining"].warns


def test_a_policy_without_a_bank_says_that_the_floor_was_not_applied(tmp_path: Path) -> None:
    audit = audited(write_lender(tmp_path, influence="{fidelity-floor: 1.0}", privacy="{bank: none}"))
    part = audit.result.influence
    assert part.status == "assessed" and part.fidelity is not None and part.fidelity.value is None
    assert "privacy.bank: none" in limits(audit)["Fidelity floor not applied"]
    assert not [name for name in audit.arrays if name.startswith("bank")]


@pytest.mark.parametrize(("value", "status"), [(0.31, "assessed"), (0.3, "assessed"), (0.29, "withheld")])
def test_the_point_value_decides_and_the_interval_stands_beside_it(value: float, status: str) -> None:
    overall = Estimate(value=value, low=0.1, high=0.5, n=24, method="made by hand")
    found = Fidelity(overall, (overall,), 0.9, 8, "Made by hand.", overall, (overall,))
    targets = synthetic(np.ones((4, 1)))[1]
    item = SliceInfluence(name="t0", kind="gap", why="", n=30, measure="gap", unit="points", value=0.1, p99_raises=1.0)
    part = enter(InfluencePart(status="assessed", slices=(item,)), found, targets, floor=0.3, absent="")
    assert part.status == status and part.fidelity == overall and part.fidelity_floor == 0.3
    assert (part.slices[0].p99_raises is None) == (status == "withheld") and part.slices[0].value == 0.1
    assert "0.100 to 0.500" in part.quality[0].text and "n = 8 halves trained twice" in part.quality[1].text


def test_few_models_measure_nothing() -> None:
    bank, targets = synthetic(np.random.default_rng(0).normal(size=(3, 2)))
    found = measure(np.ones((20, 2)), bank.plan.rows, targets, bank, level=0.95)
    assert found.overall.value is None and "fewer than 4" in found.overall.withheld
    part = enter(InfluencePart(status="assessed"), found, targets, floor=0.9, absent="")
    assert part.status == "assessed" and part.quality[0].warns and "fewer than 4" in part.quality[0].text


@pytest.mark.prove
def test_fidelity_on_the_sample(record_property: Callable[[str, object], None]) -> None:
    part, _, _, _ = traced(ROOT / "policies" / "loans.yaml", 32)
    assert part.fidelity is not None and part.fidelity.value is not None and part.fidelity.value > 0.95
    record_property("LDS", f"{part.fidelity.value:.3f} ({part.fidelity.low:.3f} to {part.fidelity.high:.3f})")
