from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from auditkit.errors import NumericsError
from auditkit.policy.schema import Deployment, PrivacySettings
from auditkit.privacy.assess import assess
from auditkit.result import NOT_STATED, PrivacyPart
from auditkit.subject.types import Grouping, Predictions


def _world(
    seed: int, *, n: int = 600, k: int = 2400, m: int = 500, fit: float = 0.7, planted: int = 30
) -> dict[str, Any]:
    """Keyword arguments of assess for a made-up model: training losses are `fit` times those of other records."""
    rng = np.random.default_rng(seed)
    sizes = {"train": n, "reserve": k, "evaluation": m}
    truth = (rng.random(m) < 0.7).astype(float)
    influence = rng.chisquare(2, n)
    influence[:planted] += 200
    sex, age = rng.integers(-1, 2, n), rng.choice(3, n, p=[0.6, 0.35, 0.05])
    both = np.where(sex < 0, -1, sex * 3 + age)
    groupings = {
        "sex": Grouping("sex", ("female", "male"), sex, "male", True),
        "age": Grouping("age", ("18-39", "40-61", "62+"), age, "18-39", True),
        "sex x age": Grouping(
            "sex x age", tuple(f"{a} · {b}" for a in ("f", "m") for b in "abc"), both, "m · a", True, (), ("sex", "age")
        ),
    }
    return {
        "predictions": Predictions(
            decision=np.where(rng.random(m) < 0.8, truth, 1 - truth),
            score=rng.random(m),
            truth=truth,
            loss=rng.gamma(0.8, 0.5, m),
            loss_train=fit * rng.gamma(0.8, 0.5, n),
            loss_reserve=rng.gamma(0.8, 0.5, k),
        ),
        "train_labels": (rng.random(n) < 0.7).astype(float),
        "train_decisions": (rng.random(n) < 0.7).astype(float),
        "features": {
            name: pd.DataFrame({"x": rng.normal(0, 1, size), "c": rng.choice(["a", "b"], size)})
            for name, size in sizes.items()
        },
        "numeric": None,
        "persons": None,
        "groupings": groupings,
        "self_influence": influence,
        "no_self_influence": "",
        "settings": PrivacySettings(),
        "deployment": Deployment(),
        "minimum_cell": 10,
        "generator": np.random.default_rng(seed + 1),
    }


def _values(part: PrivacyPart) -> dict[str, float | None]:
    return {row.measure: row.estimate.value for row in part.measurements if not row.on}


def test_one_assessment_says_everything_it_should() -> None:
    world = _world(0)
    part, arrays = assess(**world)
    values = _values(part)
    assert part.status == "assessed"
    assert set(values) == {
        "privacy.train_loss", "privacy.evaluation_loss", "privacy.train_evaluation_gap", "privacy.accuracy_gap",
        "privacy.attack_auc", "privacy.tpr_at_fpr_0.001", "privacy.tpr_at_fpr_0.01", "privacy.tpr_at_fpr_0.1",
        "privacy.screen_share",
    }  # fmt: skip
    assert values["privacy.train_evaluation_gap"] > 0  # type: ignore[operator]
    train, reserve = world["predictions"].loss_train, world["predictions"].loss_reserve
    assert values["privacy.attack_auc"] == pytest.approx((train[:, None] < reserve[None]).mean())
    # 1,200 measuring non-members resolve 0.01 and 0.1, not 0.001.
    assert values["privacy.tpr_at_fpr_0.001"] is None
    half = arrays["attack_setting_half"]
    threshold = np.quantile(reserve[half], 0.1, method="higher")
    assert values["privacy.tpr_at_fpr_0.1"] == pytest.approx((train < threshold).mean(), abs=0.005)
    assert [row.needed_n for row in part.resolution] == [10_000, None, None]
    assert part.screen is not None and part.screen.status == "assessed"
    assert part.attack == "Loss threshold" and "Yeom" in part.attack_source
    assert part.roc is not None and part.duplicates is not None
    assert set(arrays) == {"screen_rank", "screen_flag", "duplicate_cluster", "attack_setting_half"}
    assert arrays["screen_flag"].shape == (600,)
    assert arrays["screen_flag"][:30].all()


def test_the_same_generator_gives_the_same_part_and_another_half_otherwise() -> None:
    one, arrays = assess(**_world(1))
    again, _ = assess(**_world(1))
    other, changed = assess(**(_world(1) | {"generator": np.random.default_rng(99)}))
    assert one == again
    assert (arrays["attack_setting_half"] != changed["attack_setting_half"]).any()
    assert one.measurements[0] == other.measurements[0]


def test_without_a_reserve_every_attack_row_says_why_and_the_rest_stands() -> None:
    world = _world(2)
    p = world["predictions"]
    world["predictions"] = Predictions(p.decision, p.score, p.truth, p.loss, p.loss_train, None)
    del world["features"]["reserve"]
    part, arrays = assess(**world)
    rows = {row.measure: row.estimate for row in part.measurements if not row.on}
    for measure in ("privacy.attack_auc", "privacy.tpr_at_fpr_0.01"):
        assert rows[measure].value is None
        assert "no reserve named" in rows[measure].withheld
    assert part.status == "assessed" and "no reserve named" in part.reason
    assert part.attack == "" and part.resolution == () and part.roc is None
    assert rows["privacy.train_evaluation_gap"].value is not None
    assert rows["privacy.screen_share"].value is not None
    assert "attack_setting_half" not in arrays


def test_decisions_alone_are_not_applicable() -> None:
    world = _world(3)
    p = world["predictions"]
    world |= {
        "predictions": Predictions(p.decision, None, p.truth, None, None, None), "train_labels": None,
        "train_decisions": None, "features": {}, "groupings": {}, "self_influence": None,
        "no_self_influence": "no model was brought",
    }  # fmt: skip
    part, arrays = assess(**world)
    assert part.status == "not-applicable"
    assert "only decisions" in part.reason
    assert part.screen is not None and part.screen.reason == "no model was brought"
    assert all(row.estimate.value is None for row in part.measurements)
    assert arrays == {}
    assert part.threat_model and part.not_tested


def test_without_self_influence_the_screen_says_why_and_has_no_measurement() -> None:
    part, arrays = assess(**(_world(4) | {"self_influence": None, "no_self_influence": "trees have no gradients"}))
    assert part.screen is not None
    assert (part.screen.status, part.screen.reason) == ("not-applicable", "trees have no gradients")
    assert "privacy.screen_share" not in _values(part)
    assert "screen_rank" not in arrays
    assert part.status == "assessed"


def test_the_threat_model_tells_what_is_stated_and_what_is_not() -> None:
    rows = dict(assess(**_world(5))[0].threat_model)
    assert rows["Attacker"] == rows["Model released"] == NOT_STATED
    stated = _world(5) | {
        "deployment": Deployment(model_access="probabilities to staff", released=False),
        "settings": PrivacySettings(attacker="A member of staff"),
    }
    rows = dict(assess(**stated)[0].threat_model)
    assert rows["Attacker"] == "A member of staff"
    assert rows["Access to the model, as stated"] == "probabilities to staff"
    assert rows["Model released"] == "No"
    assert "report" in rows["Released by this audit"]


def test_persons_keep_to_one_half_and_the_unit_is_said() -> None:
    world = _world(6)
    world["persons"] = {
        name: np.array([f"{name}-{i // 3}" for i in range(len(frame))], dtype=object)
        for name, frame in world["features"].items()
    }
    part, arrays = assess(**world)
    half = arrays["attack_setting_half"].reshape(-1, 3)
    assert (half == half[:, :1]).all()
    assert "several" in dict(part.threat_model)["Unit of privacy"]
    methods = {row.measure: row.estimate.method for row in part.measurements if not row.on}
    assert "Obuchowski" in methods["privacy.attack_auc"]
    assert "Korn–Graubard" in methods["privacy.tpr_at_fpr_0.1"]


@pytest.mark.parametrize("field", ["loss", "loss_train", "loss_reserve"])
def test_a_loss_that_is_not_finite_is_refused(field: str) -> None:
    world = _world(7)
    getattr(world["predictions"], field)[3] = np.nan
    with pytest.raises(NumericsError, match="not finite for 1 of"):
        assess(**world)


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    n=st.sampled_from([3, 9, 10, 25, 60, 250, 400]),
    k=st.sampled_from([1, 7, 15, 24, 300, 2500]),
    m=st.sampled_from([5, 10, 80]),
    planted=st.sampled_from([0, 4, 12, 60, 120]),
    fit=st.sampled_from([0.01, 0.6, 1.0, 3.0]),
    rows=st.sampled_from([0, 1, 3]),
)
def test_no_count_below_the_minimum_cell_is_ever_published(  # noqa: PLR0917
    seed: int, n: int, k: int, m: int, planted: int, fit: float, rows: int
) -> None:
    world = _world(seed, n=n, k=k, m=m, fit=fit, planted=min(planted, n // 3))
    if rows:
        world["persons"] = {
            name: np.array([f"{name}{i // rows}" for i in range(len(frame))], dtype=object)
            for name, frame in world["features"].items()
        }
    part, _ = assess(**world)
    document = part.model_dump(mode="json")
    for path, value in _leaves(document):
        if isinstance(value, int) and not isinstance(value, bool):
            assert not 1 <= value <= 9, (path, value)
    for estimate in _estimates(document):
        if estimate["events"] is not None:
            _large(estimate["value"] * estimate["n"])
            _large((1 - estimate["value"]) * estimate["n"])
    for row in part.resolution:
        assert row.expected_false_positives / row.false_positive_rate >= 10 - 1e-6
    assert part.screen is not None
    for row in part.screen.by:
        _large(row.base_share * n)
    tail = part.screen.tail.points if part.screen.tail else ()
    for one, other in pairwise([n, *(point.y * n for point in tail), 0.0] if tail else []):
        _large(one - other)
    _no_subtraction(part, n)
    _no_margin_subtraction(part)


def _no_subtraction(part: PrivacyPart, n: int) -> None:
    """What the groups shown leave of the total flagged is nobody or at least ten."""
    assert part.screen is not None
    if part.screen.flagged is None or part.screen.flagged.events is None:
        assert all(row.estimate.value is None for row in part.screen.by_group)
        return
    for attribute in ("sex", "age", "sex x age"):
        shown = [row.estimate for row in part.screen.by_group if row.on == attribute and row.estimate.known]
        if shown:
            _large(n - sum(one.n or 0 for one in shown))
            _large(part.screen.flagged.events - sum(one.events or 0 for one in shown))


def _no_margin_subtraction(part: PrivacyPart) -> None:
    """What the intersection's groups shown leave of a margin shown is nobody or at least ten."""
    assert part.screen is not None
    shown = {(row.on, row.group): row.estimate for row in part.screen.by_group if row.estimate.known}
    for attribute, labels in (("sex", ["female", "male"]), ("age", ["18-39", "40-61", "62+"])):
        for code, label in enumerate(labels):
            part_label = ("fm" if attribute == "sex" else "abc")[code]
            inside = [
                one for (on, group), one in shown.items() if on == "sex x age" and part_label in group.split(" · ")
            ]
            if inside and (attribute, label) in shown:
                margin = shown[attribute, label]
                _large((margin.n or 0) - sum(one.n or 0 for one in inside))
                _large((margin.events or 0) - sum(one.events or 0 for one in inside))


def _large(count: float) -> None:
    assert abs(count) < 1e-6 or count >= 10 - 1e-6, count


def _leaves(node: object, path: str = "") -> Iterator[tuple[str, object]]:
    if isinstance(node, dict):
        for key, value in node.items():
            yield from _leaves(value, f"{path}.{key}")
    elif isinstance(node, list):
        for at, value in enumerate(node):
            yield from _leaves(value, f"{path}[{at}]")
    else:
        yield path, node


def _estimates(node: object) -> Iterator[dict[str, Any]]:
    if isinstance(node, dict):
        if "withheld" in node and "events" in node:
            yield node
        for value in node.values():
            yield from _estimates(value)
    elif isinstance(node, list):
        for value in node:
            yield from _estimates(value)


def test_the_room_loads_no_torch() -> None:
    code = "import sys, auditkit.privacy.assess; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
