from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from auditkit.errors import NumericsError
from auditkit.policy.schema import Deployment, PrivacySettings
from auditkit.privacy.assess import Given, assess
from auditkit.privacy.membership import Retrained
from auditkit.privacy.registry import ATTACKS
from auditkit.result import NOT_STATED, PrivacyPart
from auditkit.subject.types import Predictions


def _values(part: PrivacyPart) -> dict[str, float | None]:
    return {row.measure: row.estimate.value for row in part.measurements if not row.on}


def test_one_assessment_says_everything_it_should(make_world: Callable[..., dict[str, Any]]) -> None:
    world = make_world(0)
    part, arrays = assess(Given(**world))
    values = _values(part)
    assert part.status == "assessed"
    assert set(values) == {
        "privacy.train_loss", "privacy.evaluation_loss", "privacy.train_evaluation_gap", "privacy.accuracy_gap",
        "privacy.average_risk", "privacy.exposed_share", "privacy.screen_share", "privacy.baseline_auc",
        "privacy.epsilon_lower_bound", "privacy.recipe_epsilon_lower_bound", "privacy.canary_epsilon_lower_bound",
        "privacy.attack_auc", *(f"privacy.tpr_at_fpr_{rate}" for rate in (0.001, 0.01, 0.1)),
        *(attack.auc for attack in ATTACKS.values()),
        *(f"privacy.{a.measures}tpr_at_fpr_{rate}" for a in ATTACKS.values() for rate in (0.001, 0.01, 0.1)),
    }  # fmt: skip
    assert values["privacy.train_evaluation_gap"] > 0  # type: ignore[operator]
    train, reserve = world["predictions"].loss_train, world["predictions"].loss_reserve
    assert values["privacy.loss_threshold_auc"] == pytest.approx((train[:, None] < reserve[None]).mean())
    assert values["privacy.attack_auc"] == values["privacy.loss_threshold_auc"], "the only attack that could be run"
    # 2,400 non-members resolve 0.01 and 0.1, not 0.001.
    assert values["privacy.tpr_at_fpr_0.001"] is None
    threshold = np.quantile(reserve, 0.1, method="higher")
    assert values["privacy.loss_threshold_tpr_at_fpr_0.1"] == pytest.approx((train < threshold).mean(), abs=0.005)
    assert [row.needed_n for row in part.resolution] == [10_000, None, None]
    assert part.screen is not None and part.screen.status == "assessed"
    assert part.attack == "Loss threshold" and "Yeom" in part.attack_source
    assert part.roc is not None and part.duplicates is not None
    assert set(arrays) == {
        "screen_rank", "screen_flag", "screen_p", "screen_reference", "duplicate_cluster", "attack_setting_half",
    }  # fmt: skip
    assert arrays["screen_flag"].shape == (600,)
    assert arrays["screen_flag"][:30].all()


def test_the_same_generator_gives_the_same_part_and_another_half_otherwise(
    make_world: Callable[..., dict[str, Any]],
) -> None:
    one, arrays = assess(Given(**make_world(1)))
    again, _ = assess(Given(**make_world(1)))
    other, changed = assess(Given(**(make_world(1) | {"generator": np.random.default_rng(99)})))
    assert one == again
    assert (arrays["attack_setting_half"] != changed["attack_setting_half"]).any()
    assert one.measurements[0] == other.measurements[0]


def test_without_a_reserve_every_attack_row_says_why_and_the_rest_stands(
    make_world: Callable[..., dict[str, Any]],
) -> None:
    world = make_world(2)
    p = world["predictions"]
    world["predictions"] = Predictions(p.decision, p.score, p.truth, p.loss, p.loss_train, None)
    del world["features"]["reserve"], world["reference"]
    part, arrays = assess(Given(**world))
    rows = {row.measure: row.estimate for row in part.measurements if not row.on}
    for measure in ("privacy.attack_auc", "privacy.tpr_at_fpr_0.01"):
        assert rows[measure].value is None
        assert "no reserve named" in rows[measure].withheld
    assert part.status == "assessed" and "no reserve named" in part.reason
    assert part.attack == "" and part.resolution == () and part.roc is None
    assert rows["privacy.train_evaluation_gap"].value is not None
    assert rows["privacy.screen_share"].value is None and "did not learn from" in rows["privacy.screen_share"].withheld
    assert "attack_setting_half" not in arrays and "screen_flag" not in arrays and "screen_rank" in arrays


def test_decisions_alone_are_not_applicable(make_world: Callable[..., dict[str, Any]]) -> None:
    world = make_world(3)
    p = world["predictions"]
    world |= {
        "predictions": Predictions(p.decision, None, p.truth, None, None, None), "train_labels": None,
        "train_decisions": None, "features": {}, "groupings": {}, "self_influence": None,
        "no_self_influence": "no model was brought",
    }  # fmt: skip
    part, arrays = assess(Given(**world))
    assert part.status == "not-applicable"
    assert "only decisions" in part.reason
    assert part.screen is not None and part.screen.reason == "no model was brought"
    assert all(row.estimate.value is None for row in part.measurements)
    assert arrays == {}
    assert part.threat_model and part.not_tested


def test_without_self_influence_the_screen_says_why_and_has_no_measurement(
    make_world: Callable[..., dict[str, Any]],
) -> None:
    absent = {"self_influence": None, "no_self_influence": "trees have no gradients"}
    part, arrays = assess(Given(**(make_world(4) | absent)))
    assert part.screen is not None
    assert (part.screen.status, part.screen.reason) == ("not-applicable", "trees have no gradients")
    assert "privacy.screen_share" not in _values(part)
    assert "screen_rank" not in arrays
    assert part.status == "assessed"


def test_the_threat_model_tells_what_is_stated_and_what_is_not(make_world: Callable[..., dict[str, Any]]) -> None:
    rows = dict(assess(Given(**make_world(5)))[0].threat_model)
    assert rows["Attacker"] == rows["Model released"] == NOT_STATED
    stated = make_world(5) | {
        "deployment": Deployment(model_access="probabilities to staff", released=False),
        "settings": PrivacySettings(attacker="A member of staff"),
    }
    rows = dict(assess(Given(**stated))[0].threat_model)
    assert rows["Attacker"] == "A member of staff"
    assert rows["Access to the model, as stated"] == "probabilities to staff"
    assert rows["Model released"] == "No"
    assert "report" in rows["Released by this audit"]


def test_persons_keep_to_one_half_and_the_unit_is_said(make_world: Callable[..., dict[str, Any]]) -> None:
    world = make_world(6)
    world["persons"] = {
        name: np.array([f"{name}-{i // 3}" for i in range(len(frame))], dtype=object)
        for name, frame in world["features"].items()
    }
    part, arrays = assess(Given(**world))
    half = arrays["attack_setting_half"].reshape(-1, 3)
    assert (half == half[:, :1]).all()
    assert "several" in dict(part.threat_model)["Unit of privacy"]
    methods = {row.measure: row.estimate.method for row in part.measurements if not row.on}
    assert "Obuchowski" in methods["privacy.attack_auc"]
    assert "by person" in methods["privacy.tpr_at_fpr_0.1"]


@pytest.mark.parametrize("field", ["loss", "loss_train", "loss_reserve"])
def test_a_loss_that_is_not_finite_is_refused(field: str, make_world: Callable[..., dict[str, Any]]) -> None:
    world = make_world(7)
    getattr(world["predictions"], field)[3] = np.nan
    with pytest.raises(NumericsError, match="not finite for 1 of"):
        assess(Given(**world))


def test_the_room_loads_no_torch() -> None:
    code = "import sys, auditkit.privacy.assess; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def _with_retrained(world: dict[str, Any], *, planted: int) -> dict[str, Any]:
    """Models with and without every person: learning one of the first `planted` records adds to its margin."""
    rng = np.random.default_rng(8)
    p, total = world["predictions"], len(world["predictions"].loss_train) + len(world["predictions"].loss_reserve)
    ids = np.concatenate([world["persons"][name] for name in ("train", "reserve")])
    person = np.unique(ids, return_inverse=True)[1]
    inside = (rng.random((32, person.max() + 1)) < 0.5)[:, person]
    gain = np.where(np.arange(total) < planted, 4.0, 0.0)
    margin = rng.normal(1, 1, total) + gain * inside + 0.5 * rng.normal(size=inside.shape)
    target = margin.mean(axis=0) - gain / 2 + gain * (np.arange(total) < len(p.loss_train))
    target += 0.5 * rng.normal(size=total)
    loss = np.logaddexp(0.0, -target)
    split = len(p.loss_train)
    predictions = Predictions(p.decision, p.score, p.truth, p.loss, loss[:split], loss[split:])
    return world | {"predictions": predictions, "retrained": Retrained(margin, inside)}


def test_where_persons_have_several_records_marks_are_made_by_person(
    make_world: Callable[..., dict[str, Any]],
) -> None:
    world = make_world(9)
    world["persons"] = {
        name: np.array([f"{name}-{i // 3}" for i in range(len(frame))], dtype=object)
        for name, frame in world["features"].items()
    }
    part, arrays = assess(Given(**_with_retrained(world, planted=90)))
    assert part.exposure is not None and part.exposure.persons is not None and part.exposure.who is not None
    persons = part.exposure.persons
    assert persons.status == "assessed" and persons.persons == 200 and "person's" in part.exposure.rule
    flag = arrays["exposed_flag"].reshape(-1, 3)
    assert (flag == flag[:, :1]).all() and flag[:30].mean() > 0.8
    assert persons.flagged is not None and persons.flagged.events == flag[:, 0].sum()
    assert (np.ptp(arrays["membership_p"].reshape(-1, 3), axis=1) == 0).all()
    assert arrays["person_risk"].shape == (600,)
    assert part.exposure.flagged is not None and part.exposure.flagged.events == flag.sum()
    assert {row.on for row in part.exposure.who.by_group} == {"sex", "age", "sex x age"}
    assert part.exposure.who.no_gaps and part.structure is not None


def test_where_no_person_has_several_records_nothing_is_doubled(make_world: Callable[..., dict[str, Any]]) -> None:
    world = make_world(10)
    world["persons"] = {
        name: np.array([f"{name}-{i}" for i in range(len(frame))], dtype=object)
        for name, frame in world["features"].items()
    }
    part, arrays = assess(Given(**_with_retrained(world, planted=60)))
    assert part.exposure is not None and part.exposure.persons is not None
    assert "no person has several records" in part.exposure.persons.reason and "record's" in part.exposure.rule
    assert "person_risk" not in arrays and arrays["exposed_flag"][:60].mean() > 0.8


def test_records_without_a_person_are_persons_of_their_own(make_world: Callable[..., dict[str, Any]]) -> None:
    world = make_world(11)
    world["persons"] = {name: np.array([None] * len(frame), dtype=object) for name, frame in world["features"].items()}
    part, _ = assess(Given(**world))
    assert part.structure is not None
    means = {check.name: check.estimate.value for check in part.structure.checks}
    assert means["Records per person, on average"] == 1.0


@pytest.mark.parametrize("seed", range(20, 28))
def test_the_measures_without_an_attacks_name_are_the_strongest_attacks(
    seed: int, make_world: Callable[..., dict[str, Any]]
) -> None:
    world = make_world(seed)
    world["persons"] = {
        name: np.array([f"{name}-{i // (1 + seed % 3)}" for i in range(len(frame))], dtype=object)
        for name, frame in world["features"].items()
    }
    part, _ = assess(Given(**_with_retrained(world, planted=30 * (seed % 4))))
    rows = {row.measure: row for row in part.measurements if not row.on}
    ways = [("privacy.attack_auc", [a.auc for a in ATTACKS.values()])]
    ways += [
        (f"privacy.tpr_at_fpr_{rate}", [f"privacy.{a.measures}tpr_at_fpr_{rate}" for a in ATTACKS.values()])
        for rate in (0.01, 0.1)
    ]
    for measure, names in ways:
        strongest = rows[measure]
        measured = {name: rows[name].estimate for name in names if rows[name].estimate.high is not None}
        assert len(measured) >= 5 and strongest.parts
        known = [one.value for one in measured.values() if one.value is not None]
        if strongest.estimate.value is not None:
            assert strongest.estimate.value == max(known)
            titled = {a.title: name for a, name in zip(ATTACKS.values(), names, strict=True)}
            (own,) = [name for title, name in titled.items() if title in strongest.parts[0]]
            assert measured[own].value == max(known)
        assert strongest.estimate.high == max(one.high for one in measured.values())  # type: ignore[type-var]
        # The interval pays for the choice below, and only there.
        assert strongest.estimate.low <= max(one.low for one in measured.values())  # type: ignore[operator,type-var]
