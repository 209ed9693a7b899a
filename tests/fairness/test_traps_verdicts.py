"""The five traps of fairlearn, vanishing groups, missing values, a one-person reference: none yields a green verdict.

What the audit measures of each is in `test_traps`; here a policy judges it, by intervals and by stepwise tests.
"""

from __future__ import annotations

from datetime import date

import numpy as np
import pytest

from auditkit.findings import judge
from auditkit.policy.schema import Rule
from auditkit.result import Finding
from auditkit.result.comparisons import adjusted_by_threshold
from auditkit.subject.types import Grouping, Predictions
from tests.fairness.evaluations import Counts, grouping, part, predictions, rows

MEASURES: dict[str, tuple[str, float]] = {
    "fairness.selection_rate": (">=", 0.0), "fairness.impact_ratio": (">=", 0.0001), "fairness.tpr": (">=", 0.0),
    "fairness.tpr_difference": (">=", -1.0), "fairness.fnr_difference": ("<=", 1.0), "fairness.fpr_ratio": (">=", 0.0),
    "fairness.equalised_odds_difference": ("<=", 1.0), "fairness.balanced_accuracy": (">=", 0.0),
    "fairness.treatment_equality_ratio": (">=", 0.0), "fairness.base_rate": (">=", 0.0),
}  # fmt: skip
"""Rules that anything measured would meet: what is not measured must not."""
METHODS = ("simultaneous", "holm", "bh")


def findings(
    own: Grouping, answers: Predictions, method: str, *, minimum_cell: int = 10, proof: str = "interval"
) -> dict[str, Finding]:
    given = {"on": own.name, "severity": "high", "because": "a test", "proof": proof}
    rules = [
        Rule.model_validate({"id": name, "measure": name, "op": op, "threshold": at, **given})
        for name, (op, at) in MEASURES.items()
    ]
    found = part([own], answers, rules=rules, minimum_cell=minimum_cell, multiplicity=method)  # type: ignore[arg-type]
    judged, conclusion = judge(
        rules, measurements=found.measurements, groups=found.groups, not_assessed={}, maximum_unknown=0.2,
        as_of=date(2026, 11, 24), adjusted=adjusted_by_threshold(found.tests),
    )  # fmt: skip
    assert conclusion.exit_code != 0
    return {finding.measure.removeprefix("fairness."): finding for finding in judged}


def of(counts: dict[str, Counts], reference: str, labels: list[str] | None = None) -> tuple[Grouping, Predictions]:
    values, answers = rows(counts)
    return grouping("sex", values, labels=labels or list(counts), reference=reference), answers


@pytest.mark.parametrize("proof", ["interval", "point"])
@pytest.mark.parametrize("method", METHODS)
def test_1_no_positives_no_verdict(method: str, proof: str) -> None:
    own, answers = of({"a": (100, 100, 60, 140), "b": (30, 30, 0, 0)}, "a")
    found = findings(own, answers, method, minimum_cell=2, proof=proof)
    for name in ("tpr", "tpr_difference", "fnr_difference", "equalised_odds_difference", "balanced_accuracy"):
        assert found[name].verdict == "insufficient-evidence", name
        assert "b: not estimable: fewer than 10 records with a favourable label" in found[name].reason


@pytest.mark.parametrize("method", METHODS)
def test_2_much_unknown_membership_no_verdict(method: str) -> None:
    values, answers = rows({"a": (40, 40, 40, 40), "b": (40, 40, 40, 40), "?": (25, 25, 25, 25)})
    hidden = [np.nan if value == "?" else value for value in values]
    found = findings(grouping("sex", hidden, labels=["a", "b"], reference="a"), answers, method)
    for finding in found.values():
        assert finding.verdict == "insufficient-evidence"
        assert "membership is unknown for 23.8% of the records" in finding.reason


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("reference", ["a", "lone", "absent", "nobody"])
def test_3_vanishing_groups_and_one_person_no_verdict(method: str, reference: str) -> None:
    counts = {"a": (180, 70, 180, 70), "b": (175, 75, 175, 75), "lone": (0, 0, 0, 1)}
    own, answers = of(counts, reference, ["a", "b", "lone", "absent"])
    for finding in findings(own, answers, method).values():
        assert finding.verdict != "meets"


@pytest.mark.parametrize("method", METHODS)
def test_4_equal_groups_are_neither_shown_to_be_equal_nor_apart(method: str) -> None:
    """A rule that no gap at all may meet: under the null it stays open, where a max-min interval calls it breached."""
    generator = np.random.default_rng(11)
    groups = np.repeat(list("abcde"), 200)
    decision, truth = (generator.binomial(1, rate, groups.size).astype(float) for rate in (0.4, 0.5))
    own = grouping("sex", groups.tolist(), labels=list("abcde"), reference="a")
    answers = predictions(truth=truth.tolist(), decision=decision.tolist())
    rule = Rule.model_validate(
        {"id": "F", "measure": "fairness.impact_ratio", "on": "sex", "op": ">=", "threshold": 1.0, "severity": "high",
         "because": "a test"}
    )  # fmt: skip
    found = part([own], answers, rules=[rule], multiplicity=method)  # type: ignore[arg-type]
    (finding,), _ = judge(
        [rule], measurements=found.measurements, groups=found.groups, not_assessed={}, maximum_unknown=0.2,
        as_of=date(2026, 11, 24), adjusted=adjusted_by_threshold(found.tests),
    )  # fmt: skip
    assert finding.verdict == "insufficient-evidence"


@pytest.mark.parametrize("method", METHODS)
def test_5_nothing_measured_no_verdict(method: str) -> None:
    """Where fairlearn takes hours the audit takes its counts; without any, or without labels, nothing is met."""
    values, answers = rows({"a": (40, 40, 40, 40), "b": (40, 40, 40, 40)})
    blank = predictions(truth=[np.nan] * len(values), decision=answers.decision.tolist())
    own = grouping("sex", values, labels=["a", "b"], reference="a")
    found = findings(own, blank, method)
    for name in ("tpr", "tpr_difference", "equalised_odds_difference", "balanced_accuracy", "base_rate"):
        assert found[name].verdict == "insufficient-evidence", name
    none = predictions(truth=answers.truth.tolist(), decision=[np.nan] * len(values))
    for finding in findings(own, none, method).values():
        assert finding.verdict != "meets"
