"""Users of fairlearn's MetricFrame: the same values, held against the data, and what it shows without grounds."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from fairlearn import metrics as fairlearn
from sklearn.metrics import accuracy_score, f1_score, precision_score

from auditkit import fairness
from auditkit.errors import DataError
from auditkit.fairness import from_metric_frame
from auditkit.fairness.importers.metric_frame import FromMetricFrame
from auditkit.policy.bins import group_label
from auditkit.policy.schema import FairnessSettings

METRICS = {
    "how often": fairlearn.selection_rate,
    "hits": fairlearn.true_positive_rate,
    "precision": precision_score,
    "right": accuracy_score,
}


@pytest.fixture
def data() -> dict[str, Any]:
    rng = np.random.default_rng(4)
    n = 1200
    truth = (rng.random(n) < 0.5).astype(int)
    return {
        "y_true": truth,
        "y_pred": np.where(rng.random(n) < 0.75, truth, 1 - truth),
        "sensitive_features": pd.DataFrame({"sex": rng.choice(["f", "m"], n), "old": rng.random(n) < 0.4}),
    }


def converted(shown: fairlearn.MetricFrame, **more: Any) -> FromMetricFrame:
    return from_metric_frame(shown, **more, settings=FairnessSettings(replicates=1000))


def frame(data: dict[str, Any], **more: Any) -> fairlearn.MetricFrame:
    return fairlearn.MetricFrame(metrics=METRICS, **data, **more)


def test_every_value_of_the_frame_is_in_the_measurement(data: dict[str, Any]) -> None:
    shown = frame(data)
    found = converted(shown, metrics=METRICS, **data)
    assert dict(found.measures) == {
        "how often": "fairness.selection_rate", "hits": "fairness.tpr", "precision": "fairness.ppv",
        "right": "fairness.accuracy",
    }  # fmt: skip
    assert found.on == "sex x old"
    rows = {(r.measure, r.group): r.estimate for r in found.part.measurements if r.on == found.on}
    for index, line in shown.by_group.iterrows():
        for column, measure in found.measures.items():
            own = rows[measure, " · ".join(map(group_label, index))]
            assert own.value == pytest.approx(line[column])
            assert own.low < own.value < own.high


def test_weights_and_a_single_metric(data: dict[str, Any]) -> None:
    weight = np.random.default_rng(1).uniform(0.5, 2.0, 1200)
    one = {**data, "sensitive_features": data["sensitive_features"]["sex"]}
    shown = fairlearn.MetricFrame(
        metrics=fairlearn.selection_rate, **one, sample_params={"sample_weight": weight}
    )
    found = converted(shown, metrics=fairlearn.selection_rate, **one, sample_weight=weight)
    rows = [r for r in found.part.measurements if r.measure == "fairness.selection_rate" and r.on]
    own = {r.group: r.estimate.value for r in rows}
    # Weighted figures are published to four places: see `fairness.fine`.
    assert own == pytest.approx(shown.by_group.to_dict(), abs=5.1e-5)
    with pytest.raises(DataError, match="pass what the frame was made from"):
        converted(shown, metrics=fairlearn.selection_rate, **one)


def test_other_data_than_the_frames_are_noticed(data: dict[str, Any]) -> None:
    shown = frame(data)
    data["y_pred"] = 1 - data["y_pred"]
    with pytest.raises(DataError, match="in the frame and"):
        converted(shown, metrics=METRICS, **data)


def test_what_has_no_counterpart_is_told(data: dict[str, Any]) -> None:
    more = {**METRICS, "f": f1_score, "n": fairlearn.count}
    found = converted(fairlearn.MetricFrame(metrics=more, **data), metrics=more, **data)
    assert "f: f1_score has no counterpart here and was not measured" in found.told
    assert any(said.startswith("n: sizes") for said in found.told)
    with pytest.raises(DataError, match="none of the metrics"):
        converted(fairlearn.MetricFrame(metrics={"f": f1_score}, **data), metrics={"f": f1_score}, **data)


def test_a_zero_that_stands_for_nothing_is_told_and_not_measured(data: dict[str, Any]) -> None:
    sex = data["sensitive_features"]["sex"]
    data["y_true"] = np.where(sex == "f", 0, data["y_true"])
    data["sensitive_features"] = sex
    shown = frame(data)
    assert shown.by_group.loc["f", "hits"] == 0.0
    found = converted(shown, metrics=METRICS, **data)
    assert "hits: f has no records with a favourable label; fairlearn shows 0; not estimable here" in found.told
    own = next(r.estimate for r in found.part.measurements if (r.measure, r.group) == ("fairness.tpr", "f"))
    assert own.value is None


def test_control_features_are_crossed(data: dict[str, Any]) -> None:
    control = pd.Series(np.arange(1200) % 2, name="branch")
    shown = fairlearn.MetricFrame(metrics=METRICS, **data, control_features=control)
    found = converted(shown, metrics=METRICS, **data, control_features=control)
    assert found.on == "branch x sex x old"
    assert found.part.attributes == ("branch", "sex", "old", "branch x sex x old")


def test_the_door_is_public() -> None:
    assert fairness.from_metric_frame is from_metric_frame
