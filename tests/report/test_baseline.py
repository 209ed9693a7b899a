"""The report's words on the baseline that never asks the model."""

from __future__ import annotations

import pytest

from auditkit.result import AuditResult, Baseline, Estimate, Measurement
from tests.report.test_privacy_risk import measured, said


def _with(baseline: Baseline) -> AuditResult:
    result = measured()
    row = Measurement(measure="privacy.baseline_auc", unit="score", estimate=baseline.auc)
    update = {"baseline": baseline, "measurements": (*result.privacy.measurements, row)}
    return result.model_copy(update={"privacy": result.privacy.model_copy(update=update)})


@pytest.mark.parametrize("differs", [True, False])
def test_the_baseline_stands_beside_the_attacks_and_a_difference_is_told_at_attacks_and_marks(differs: bool) -> None:
    auc = Estimate(value=0.61, low=0.58, high=0.64, n=8000, method="DeLong; simultaneous over 3 baselines")
    reason = "the two can be told apart without the model" if differs else ""
    text = said(_with(Baseline(
        status="assessed", auc=auc, margin=0.02, differs=differs, reason=reason, strongest="loss of models",
        measures=("privacy.attack_auc",),
    )))  # fmt: skip
    assert "AUC of the baseline that never asks the model 0.610" in text
    assert "the strongest is the loss of models" in text.lower() and "exceeds 0.5 by more than 0.02" in text
    assert ("The reserve differs from the training records: the two can be told apart" in text) is differs
    assert ("marks and p-values, which compare the two, are no evidence about the model here" in text) is differs


def test_why_there_is_no_baseline_is_said() -> None:
    nothing = Estimate(value=None, withheld="no labels")
    text = said(_with(Baseline(status="not-applicable", reason="no labels", auc=nothing, margin=0.02)))
    assert "No baseline that never asks the model: no labels." in text
