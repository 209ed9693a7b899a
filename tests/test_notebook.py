"""The Python doors, as a notebook's author uses them."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LogisticRegression

import auditkit
from auditkit.errors import DataError, ModelError, PolicyError

AS_OF = date(2026, 11, 23)
RULE = {
    "id": "F1", "measure": "fairness.impact_ratio", "on": "sex", "op": ">=", "threshold": 0.8, "severity": "high",
    "because": "a test",
}  # fmt: skip


def world(n: int, seed: int) -> pd.DataFrame:
    generator = np.random.default_rng(seed)
    sex = generator.choice(["female", "male"], n)
    income = generator.normal(size=n) + 0.9 * (sex == "male")
    repaid = (generator.random(n) < 1 / (1 + np.exp(-1.5 * income))).astype(int)
    return pd.DataFrame({"sex": sex, "income": income, "amount": generator.normal(size=n), "repaid": repaid})


TRAIN, EVALUATION, RESERVE = world(2000, 1), world(3000, 2), world(2000, 3)
FEATURES = ["income", "amount"]


def fitted() -> LogisticRegression:
    return LogisticRegression().fit(TRAIN[FEATURES], TRAIN["repaid"])


def audit(model: object, **more: object) -> auditkit.AuditResult:
    arguments = {
        "train": TRAIN, "evaluation": EVALUATION, "reserve": RESERVE, "label": "repaid", "protected": {"sex": "male"},
        "numeric": FEATURES, "rules": [RULE], "as_of": AS_OF, **more,
    }  # fmt: skip
    return auditkit.audit(model, **arguments)  # type: ignore[arg-type]


def test_a_fitted_estimator_is_audited_and_nothing_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    result = audit(fitted())
    decided = fitted().predict_proba(EVALUATION[FEATURES])[:, 1] >= 0.5
    rates = {sex: decided[EVALUATION["sex"] == sex].mean() for sex in ("female", "male")}
    (ratio,) = [
        m.estimate.value for m in result.fairness.measurements
        if m.measure == "fairness.impact_ratio" and m.group == "female"
    ]  # fmt: skip
    assert ratio == pytest.approx(rates["female"] / rates["male"], abs=1e-9)
    assert result.conclusion.verdict == "breaches"
    assert result.influence.status == "not-applicable"
    assert not list(tmp_path.iterdir())


def test_the_result_shows_its_verdict_in_a_notebook_and_escapes_what_it_shows() -> None:
    shown = audit(fitted(), name="<script>alert(1)</script>")._repr_html_()
    assert "F1" in shown
    assert "breaches" in shown
    assert "<script>" not in shown


def test_without_rules_nothing_is_judged_and_nothing_is_met() -> None:
    result = audit(fitted(), rules=[])
    assert result.conclusion.exit_code == 3
    assert "state `rules`" in result._repr_html_() and "<table>" not in result._repr_html_()
    assert "state `rules`" in str(result)


def test_print_shows_the_verdict_and_one_line_per_rule() -> None:
    first, second = str(audit(fitted())).splitlines()
    assert first.startswith("Audit from Python: ")
    assert second.startswith("F1: breaches. ")


def test_protected_columns_may_be_a_plain_list() -> None:
    result = audit(fitted(), protected=["sex"], rules=[])
    groups = {group.group: group.status for group in result.fairness.groups}
    assert groups == {"female": "assessed", "male": "assessed", "unknown": "unknown"}


def test_two_calls_give_the_same_result() -> None:
    assert audit(fitted()) == audit(fitted())


def test_a_wrong_rule_is_a_complaint_with_its_place() -> None:
    with pytest.raises(PolicyError, match=r"rules\.0.*did you mean"):
        audit(fitted(), rules=[{**RULE, "measure": "fairness.impact_ration"}])


def test_a_missing_column_is_a_complaint_about_the_frame() -> None:
    with pytest.raises(DataError, match="no column 'repaid' in evaluation frame"):
        audit(fitted(), evaluation=EVALUATION.drop(columns="repaid"))


def test_what_is_no_model_is_refused() -> None:
    with pytest.raises(ModelError, match="a dict is no model"):
        audit({})


def test_audit_file_returns_the_result_and_writes_only_when_asked(tmp_path: Path) -> None:
    EVALUATION.assign(approved=(EVALUATION["income"] > 0).astype(int)).to_csv(tmp_path / "rows.csv", index=False)
    policy = tmp_path / "policy.yaml"
    policy.write_text(
        "auditkit: 1\nname: From a file\n"
        "data: {evaluation: rows.csv, label: {column: repaid, favourable: 1, means: outcome}}\n"
        "model: {adapter: predictions, decision: approved}\n"
        "protected: {sex: {column: sex, reference: male}}\n"
        "rules: [{id: F1, measure: fairness.impact_ratio, on: sex, op: '>=', threshold: 0.8, severity: high,\n"
        "         because: x}]\n"
        "report: {formats: [json]}\n"
    )
    result = auditkit.audit_file(policy, as_of=AS_OF)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["policy.yaml", "rows.csv"]
    written = auditkit.audit_file(policy, out=tmp_path / "out", as_of=AS_OF)
    # Only what is written is held against earlier releases, and only what is not says so.
    left = set(result.privacy.not_tested) - set(written.privacy.not_tested)
    assert len(left) == 1
    assert "earlier" in left.pop()
    same = written.privacy.model_copy(update={"not_tested": result.privacy.not_tested})
    assert written.model_copy(update={"privacy": same}) == result
    assert len(list((tmp_path / "out").rglob("audit.json"))) == 1
