"""The truth table of verdicts and exit codes: every row names the situation, the verdict and the code."""

from __future__ import annotations

import math
from datetime import date

import pytest

from auditkit.findings import conclude, judge, worst_first
from auditkit.policy.schema import Rule, WaiverRule
from auditkit.result import Conclusion, Estimate, Finding, Group, Measurement

AS_OF = date(2026, 11, 23)


def rule(op: str = ">=", threshold: float = 0.8, **more: object) -> Rule:
    fields = {
        "id": "F1", "measure": "fairness.impact_ratio", "on": "sex", "op": op, "threshold": threshold,
        "severity": "high", "because": "a test", **more,
    }  # fmt: skip
    return Rule.model_validate(fields)


def row(
    value: float | None, low: float | None, high: float | None, group: str = "female", **more: object
) -> Measurement:
    kept = {key: more.pop(key) for key in ("withheld", "step") if key in more}
    estimate = Estimate(value=value, low=low, high=high, n=200, method="test", **kept)  # type: ignore[arg-type]
    fields = {"measure": "fairness.impact_ratio", "on": "sex", "reference": "male", "unit": "ratio", **more}
    return Measurement(group=group, estimate=estimate, **fields)  # type: ignore[arg-type]


def judged(
    rules: list[Rule], rows: list[Measurement], *, groups: tuple[Group, ...] = (), absent: dict[str, str] | None = None
) -> tuple[tuple[Finding, ...], Conclusion]:
    return judge(
        rules, measurements=rows, groups=groups, not_assessed=absent or {}, maximum_unknown=0.2, as_of=AS_OF
    )


REFERENCE = row(1.0, 1.0, 1.0, group="male")
TABLE = {
    ">= wholly above": (rule(">="), [row(0.9, 0.85, 0.95)], "meets", 0),
    ">= touches from above": (rule(">="), [row(0.9, 0.80, 0.95)], "meets", 0),
    "> touches from above": (rule(">"), [row(0.9, 0.80, 0.95)], "insufficient-evidence", 3),
    ">= wholly below": (rule(">="), [row(0.6, 0.5, 0.79)], "breaches", 1),
    ">= touches from below": (rule(">="), [row(0.7, 0.6, 0.80)], "insufficient-evidence", 3),
    "> touches from below": (rule(">"), [row(0.7, 0.6, 0.80)], "breaches", 1),
    ">= across": (rule(">="), [row(0.9, 0.7, 1.1)], "insufficient-evidence", 3),
    "<= wholly below": (rule("<=", 0.1), [row(0.05, 0.01, 0.1)], "meets", 0),
    "<= wholly above": (rule("<=", 0.1), [row(0.2, 0.11, 0.3)], "breaches", 1),
    "< touches": (rule("<", 0.1), [row(0.05, 0.01, 0.1)], "insufficient-evidence", 3),
    "point below, across": (rule(">=", proof="point"), [row(0.7, 0.5, 0.9)], "breaches", 1),
    "point above, across": (rule(">=", proof="point"), [row(0.85, 0.5, 0.9)], "meets", 0),
    "point without an interval": (
        rule(proof="point"), [row(0.5, None, None, withheld="below 5 events")], "insufficient-evidence", 3,
    ),
    "point rounded across": (rule(proof="point"), [row(0.8, 0.6, 1.0, step=0.1)], "insufficient-evidence", 3),
    "point rounded away": (rule(proof="point"), [row(0.7, 0.6, 1.0, step=0.1)], "breaches", 1),
    "no value": (rule(), [row(None, None, None, withheld="12 records, below 30")], "insufficient-evidence", 3),
    "no interval": (rule(), [row(0.5, None, None, withheld="below 5 events")], "insufficient-evidence", 3),
    "a lower limit above": (rule("<=", 3.0), [row(4.0, 4.0, None)], "breaches", 1),
    "a lower limit below shows no upper one": (rule("<=", 3.0), [row(2.0, 2.0, None)], "insufficient-evidence", 3),
    "a lower limit itself": (rule("<=", 3.0, proof="point"), [row(2.0, 2.0, None)], "meets", 0),
    "one group meets, one open": (
        rule(), [row(0.9, 0.85, 0.95), row(0.9, 0.7, 1.0, group="other")], "insufficient-evidence", 3,
    ),
    "one open, one breaches": (
        rule(), [row(0.9, 0.7, 1.0), row(0.5, 0.4, 0.6, group="other")], "breaches", 1,
    ),
    "never measured": (rule(), [], "insufficient-evidence", 3),
    "a band wholly below": (rule("<=", 0.1), [row(None, 0.0, 0.06, withheld="fewer than 10")], "meets", 0),
    "a band that touches": (rule("<=", 0.1), [row(None, 0.0, 0.1, withheld="fewer than 10")], "meets", 0),
    "a band across": (rule("<=", 0.1), [row(None, 0.0, 0.2, withheld="fewer than 10")], "insufficient-evidence", 3),
    "a band wholly above": (rule("<=", 0.1), [row(None, 0.9, 1.0, withheld="fewer than 10")], "breaches", 1),
    "a band of a floor": (rule(">=", 0.8), [row(None, 0.9, 1.0, withheld="fewer than 10")], "meets", 0),
    "a band without an upper end": (
        rule("<=", 0.1), [row(None, 0.0, None, withheld="fewer than 10")], "insufficient-evidence", 3,
    ),
    "a band by its point": (
        rule("<=", 0.1, proof="point"), [row(None, 0.0, 0.06, withheld="fewer than 10")], "insufficient-evidence", 3,
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", TABLE)
def test_truth_table(name: str) -> None:
    asked, rows, verdict, code = TABLE[name]
    findings, conclusion = judged([asked], [*rows, REFERENCE] if rows else [])
    assert findings[0].verdict == verdict
    assert conclusion.exit_code == code


@pytest.mark.parametrize("low, high, verdict", [(0.0, 0.02, "meets"), (0.9, 1.0, "breaches"), (0.0, 0.2, "insuff")])
def test_a_band_is_said_with_its_interval_and_reason(low: float, high: float, verdict: str) -> None:
    rate = row(
        None, low, high, group="", measure="privacy.exposed_share", on="", reference="", unit="share",
        withheld="fewer than 10 are counted",
    )  # fmt: skip
    (finding,), _ = judged([rule("<=", 0.05, measure="privacy.exposed_share", on=None)], [rate])
    assert finding.verdict.startswith(verdict)
    assert "fewer than 10 are counted" in finding.sentence
    assert ("95 % interval" in finding.sentence) == (verdict != "insuff")


STRONGEST = ("privacy.attack_auc", "privacy.tpr_at_fpr_0.1", "privacy.tpr_at_fpr_0.01", "privacy.tpr_at_fpr_0.001")
OWN = ("privacy.rmia_auc", "privacy.lira_tpr_at_fpr_0.1", "privacy.loss_threshold_auc", "privacy.trace_tpr_at_fpr_0.01")


@pytest.mark.parametrize("measure", [*STRONGEST, *OWN])
@pytest.mark.parametrize(("low", "high"), [(0.01, 0.02), (0.03, 0.08), (0.06, 0.2)])
def test_a_finding_of_the_strongest_attack_names_it(measure: str, low: float, high: float) -> None:
    said = "the strongest of the 5 attacks measured: Relative likelihood (RMIA)"
    figure = row((low + high) / 2, low, high, group="", measure=measure, on="", reference="", parts=(said,))
    (finding,), _ = judged([rule("<=", 0.05, measure=measure, on=None)], [figure])
    assert (said in finding.sentence) == (measure in STRONGEST)


def test_the_reference_is_not_compared_with_itself() -> None:
    findings, conclusion = judged([rule("<", 1.0)], [REFERENCE])
    assert findings[0].groups == ()
    assert conclusion.exit_code == 3


def test_a_part_that_was_not_assessed_does_not_apply_and_never_exits_zero() -> None:
    asked = rule("<=", 0.05, measure="privacy.tpr_at_fpr_0.01", on=None)
    findings, conclusion = judged([asked], [], absent={"privacy": "decisions only: there are no losses"})
    assert findings[0].verdict == "not-applicable"
    assert "no losses" in findings[0].reason
    assert conclusion.exit_code == 3


def test_what_does_not_apply_leaves_a_met_rule_met() -> None:
    absent = rule("<=", 0.05, id="P1", measure="privacy.tpr_at_fpr_0.01", on=None)
    _, conclusion = judged([absent, rule()], [row(0.9, 0.85, 0.95)], absent={"privacy": "no losses"})
    assert conclusion.exit_code == 0


def test_no_rules_at_all_is_insufficient_evidence() -> None:
    assert conclude(()).exit_code == 3


@pytest.mark.parametrize(
    ("expires", "active", "code"), [(AS_OF, True, 0), (date(2026, 11, 22), False, 1)], ids=["last day", "expired"]
)
def test_a_waived_breach_is_printed_but_not_counted_until_it_expires(expires: date, active: bool, code: int) -> None:
    waiver = WaiverRule(owner="Head of risk", reason="remedy under way", expires=expires)
    findings, conclusion = judged(
        [rule(waiver=waiver), rule("<=", 2.0, id="F2")], [row(0.5, 0.4, 0.6), REFERENCE]
    )
    assert findings[0].verdict == "breaches"
    assert findings[0].waiver is not None
    assert findings[0].waiver.active is active
    assert conclusion.exit_code == code


def test_when_only_a_waived_breach_is_left_nothing_was_judged() -> None:
    waiver = WaiverRule(owner="Head of risk", reason="remedy under way", expires=AS_OF)
    _, conclusion = judged([rule(waiver=waiver)], [row(0.5, 0.4, 0.6)])
    assert conclusion.exit_code == 3


@pytest.mark.parametrize(("share", "verdict"), [(0.2, "breaches"), (0.21, "insufficient-evidence")])
def test_too_much_unknown_membership_decides_nothing(share: float, verdict: str) -> None:
    unknown = Group(on="sex", group="unknown", n=200, share=share, status="unknown")
    findings, _ = judged([rule()], [row(0.5, 0.4, 0.6)], groups=(unknown,))
    assert findings[0].verdict == verdict


def test_an_open_verdict_says_on_which_side_the_point_lies_and_how_many_records_would_decide() -> None:
    findings, _ = judged([rule()], [row(0.9, 0.7, 1.1)])
    group = findings[0].groups[0]
    assert group.side == "permitted"
    # on the log scale: (ln 0.9 - ln 0.7) / (ln 0.9 - ln 0.8), squared, times the 200 records
    assert group.needed_n == math.floor(200 * (math.log(0.9 / 0.7) / math.log(0.9 / 0.8)) ** 2) + 1


def test_a_rate_is_judged_for_every_group_the_reference_too() -> None:
    asked = rule(">=", 0.5, measure="fairness.accuracy")
    rows = [row(0.9, 0.8, 0.95, measure="fairness.accuracy", reference=""),
            row(0.3, 0.2, 0.4, group="male", measure="fairness.accuracy", reference="")]  # fmt: skip
    findings, _ = judged([asked], rows)
    assert [g.group for g in findings[0].groups] == ["female", "male"]
    assert findings[0].verdict == "breaches"


def test_the_sentence_carries_number_interval_and_n() -> None:
    findings, _ = judged([rule()], [row(0.62, 0.55, 0.70)])
    assert findings[0].sentence == (
        "Impact ratio for female against male is 0.62 (95 % interval 0.55 to 0.70, n = 200); "
        "the policy asks for at least 0.80."
    )


def test_differences_are_told_in_points_and_rates_in_percent() -> None:
    gap = row(-0.222, -0.268, -0.177, measure="fairness.tpr_difference", unit="points")
    rate = row(0.0132, 0.0095, 0.018, group="", measure="privacy.tpr_at_fpr_0.01", on="", reference="", unit="rate")
    asked = [rule(">=", -0.1, measure="fairness.tpr_difference"),
             rule("<=", 0.05, id="P", measure="privacy.tpr_at_fpr_0.01", on=None)]  # fmt: skip
    findings, _ = judged(asked, [gap, rate])
    assert "is \u221222.2 points (95 % interval \u221226.8 points to \u221217.7 points" in findings[0].sentence
    assert "at least \u221210.0 points" in findings[0].sentence
    assert "is 1.3 % (95 % interval" in findings[1].sentence


def test_worst_first_puts_open_breaches_by_severity_before_what_is_undecided() -> None:
    findings, _ = judged(
        [rule(id="A", severity="low"), rule(">=", 0.3, id="B"), rule("<=", 0.3, id="C", severity="high"),
         rule(">=", 0.5, id="D")],
        [row(0.5, 0.4, 0.6)],
    )  # fmt: skip
    assert [f.id for f in worst_first(findings)] == ["C", "A", "D", "B"]
