"""Results made by hand, with every kind of verdict, suppression and caveat that a report has to show.

The numbers are invented but consistent: rates come from counts, intervals from Wilson's formula, ratios from rates.
"""

from __future__ import annotations

from auditkit.result import (
    Artifact,
    AuditResult,
    Conclusion,
    DataPart,
    Fact,
    FairnessPart,
    Finding,
    FrameworkItem,
    FrameworkPart,
    GroupVerdict,
    InfluencePart,
    Measurement,
    ModelPart,
    PrivacyPart,
    SplitFacts,
    Stamp,
    Waiver,
)
from tests.report.example_fairness import fairness, wilson
from tests.report.example_training import influence, privacy


def findings() -> tuple[Finding, ...]:
    part = fairness()
    cells = {(m.measure, m.on, m.group): m.estimate for m in part.measurements}

    def judged(on: str, group: str, verdict: str, reason: str, needed: int | None = None) -> GroupVerdict:
        return GroupVerdict(group=group, verdict=verdict, reason=reason, needed_n=needed,  # type: ignore[arg-type]
                            estimate=cells["fairness.impact_ratio", on, group], side="forbidden")  # fmt: skip

    def rule(id_: str, measure: str, on: str, verdict: str, *told: str, **more: object) -> Finding:
        severity, sentence = told
        base: dict[str, object] = {
            "op": ">=", "threshold": 0.8, "proof": "interval", "because": "Lender's fair-lending standard 4.2",
            "reason": "the interval lies wholly on the forbidden side", "estimate": None, "evidence": "fairness",
        }  # fmt: skip
        base |= {
            "id": id_,
            "measure": measure,
            "on": on,
            "verdict": verdict,
            "severity": severity,
            "sentence": sentence,
        }
        return Finding.model_validate(base | more)

    wholly, between = "the interval lies wholly on the forbidden side", "the interval includes the threshold"
    return (
        rule("F1", "fairness.impact_ratio", "sex", "breaches", "high",
             "Impact ratio for female is 0.73 (95% interval 0.68 to 0.78, n = 1,969); "
             "the policy asks for at least 0.80.",
             estimate=cells["fairness.impact_ratio", "sex", "female"],
             groups=(judged("sex", "female", "breaches", wholly),)),
        rule("F2", "fairness.impact_ratio", "age", "breaches", "high",
             "Impact ratio for 62 and over is 0.63 (n = 992); the policy asks for at least 0.80.",
             estimate=cells["fairness.impact_ratio", "age", "62 and over"],
             groups=(judged("age", "18–24", "insufficient-evidence", between, 1260),
                     judged("age", "40–61", "meets", "the interval lies wholly on the permitted side"),
                     judged("age", "62 and over", "breaches", wholly))),
        rule("F3", "fairness.impact_ratio", "ethnicity", "insufficient-evidence", "medium",
             "Impact ratio for black is 0.86 (n = 1,495); this evidence does not decide: the interval includes the "
             "threshold.", reason=between, estimate=cells["fairness.impact_ratio", "ethnicity", "black"],
             groups=(judged("ethnicity", "black", "insufficient-evidence", between, 2140),
                     judged("ethnicity", "other", "insufficient-evidence", "fewer than 30 records"))),
        rule("F4", "fairness.tpr_difference", "sex", "breaches", "medium",
             "True-positive-rate difference for female is −25.7 points; the policy asks for at least −5 points.",
             op=">=", threshold=-0.05, because="Credit policy committee, 2026-02",
             estimate=cells["fairness.tpr_difference", "sex", "female"],
             waiver=Waiver(owner="Head of model risk", reason="Remedy agreed, due in Q2", expires="2026-12-31",
                           active=True)),
        rule("P1", "privacy.tpr_at_fpr_0.01", "", "meets", "high",
             "True-positive rate at 1 % false positives is 1.3 % (95% interval 0.9 to 1.7, n = 4,000).", op="<=",
             threshold=0.05, because="Privacy review board, 2026-03",
             reason="the interval lies wholly on the permitted side",
             estimate=privacy().measurements[2].estimate, evidence="privacy"),
        rule("P2", "privacy.tpr_at_fpr_0.001", "", "insufficient-evidence", "high",
             "True-positive rate at 0.1 % false positives: insufficient evidence, 10 false positives are needed.",
             op="<=", threshold=0.01, because="Privacy review board, 2026-03", reason="not resolved by these data",
             evidence="privacy"),
        rule("M1", "model.accuracy", "", "meets", "low", "Accuracy is 77.3 % (n = 2,000).", op=">=", threshold=0.7,
             because="Model standard 2.1", proof="point", estimate=wilson(1546, 2000), evidence="data",
             reason="the policy asks for the point value to be judged, not its interval"),
        rule("I1", "influence.fidelity", "", "not-applicable", "low", "Fidelity: not applicable, no retrained models.",
             threshold=0.3, because="Model standard 7", reason="no retrained models", evidence="influence"),
    )  # fmt: skip


STAMP = Stamp(
    auditkit="0.1.0", as_of="2026-11-23", seed=20260101, run_id="2026-11-23-4f1d20c9",
    command="auditkit run policies/loans.yaml",
    digests={"policy": "4f1d20c9" * 8, "train.csv": "a0b1c2d3" * 8, "evaluation.csv": "99aa88bb" * 8,
             "model": "12fe34dc" * 8},
    environment={"python": "3.11.7", "numpy": "2.4.6", "torch": "2.13.0", "platform": "Linux x86_64"},
)  # fmt: skip

FACTS = (
    Fact(name="Owner", value="Model risk"),
    Fact(name="Purpose", value="Approve or decline unsecured consumer loans."),
    Fact(name="Domain", value="consumer-credit"),
    Fact(name="Population", value="applicants in two regions"),
    Fact(name="Source", value="Synthetic sample, see the data's README"),
    Fact(name="Period", value="2024-01 to 2025-12"),
    Fact(name="Sampling", value="not stated", stated=False),
    Fact(name="Deployment", value="not stated", stated=False),
)

DATA = DataPart(
    label_means="outcome",
    splits=(
        SplitFacts(split="train", n=4000, persons=3811, favourable_share=wilson(2960, 4000), missing_cells=212),
        SplitFacts(split="reserve", n=4000, persons=3806, favourable_share=wilson(3021, 4000), missing_cells=198),
        SplitFacts(split="evaluation", n=2000, persons=1904, favourable_share=wilson(1498, 2000), missing_cells=95),
    ),
    checks=(
        Fact(name="Persons in two splits", value="0 persons occur in two splits"),
        Fact(name="Identical rows", value="12 evaluation rows equal a training row in every feature"),
        Fact(name="Unseen categories", value="fewer than 10 evaluation cells"),
    ),
)

MODEL = ModelPart(
    adapter="tabular", kind="logistic regression", task="binary decision", threshold=0.5, parameters=78,
    recipe=(Fact(name="l2", value="0.001"), Fact(name="epochs", value="60")),
    measurements=(Measurement(measure="model.accuracy", estimate=wilson(1546, 2000)),),
)  # fmt: skip

FRAMEWORK = FrameworkPart(
    id="us-ecoa-reg-b", title="Equal Credit Opportunity Act, Regulation B", jurisdiction="United States",
    citation="12 CFR part 1002", as_of="2026-11-23", status="in force", effective="2026-07-21", superseded_by="",
    certainty="read in a secondary source; check the primary text",
    notes=("The effects test was removed with effect from 2026-07-21.",),
    items=(
        FrameworkItem(requirement="No discrimination on a prohibited basis", kind="computed", evidence="fairness"),
        FrameworkItem(requirement="Notice of reasons for adverse action", kind="attested", evidence="the creditor"),
    ),
)  # fmt: skip


def full() -> AuditResult:
    """A lender with breaches, open questions, a waiver, withheld cells, influence and privacy."""
    return AuditResult(
        title="Loan approvals, quarterly audit", stamp=STAMP, facts=FACTS,
        policy={"name": "Loan approvals, quarterly audit", "seed": 20260101, "cases": 1,
                "protected": {"sex": {"column": "sex", "groups": ["female", "male"], "reference": "male"}},
                "rules": [{"id": "F1", "measure": "fairness.impact_ratio", "on": "sex", "op": ">=", "threshold": 0.8}]},
        conclusion=Conclusion(
            verdict="breaches", exit_code=1,
            sentence="2 of 8 rules are breached; 2 cannot be decided on this evidence; 1 breach is waived; "
            "1 does not apply.",
            counts={"breaches": 3, "insufficient-evidence": 2, "meets": 2, "not-applicable": 1, "waived": 1},
        ),
        findings=findings(), data=DATA, model=MODEL, fairness=fairness(), influence=influence(), privacy=privacy(),
        frameworks=(FRAMEWORK,),
        limits=(
            Fact(name="Reasons", value="The audit observes differences; it does not establish why they exist."),
            Fact(name="Fidelity", value="Agreement with retraining was not measured.", stated=False),
        ),
        artifacts=(Artifact(name="influence/scores.npy", sha256="77" * 32, shape=(5, 4000), dtype="float32"),),
    )  # fmt: skip


def minimal() -> AuditResult:
    """Predictions only: one attribute, nothing judged by interval, influence and privacy not applicable."""
    reason = "the predictions adapter brings no model"
    part = fairness()
    keep = [m for m in part.measurements if m.on == "sex" and m.measure == "fairness.selection_rate"]
    return AuditResult(
        title="Scores of a vendor", stamp=STAMP, facts=(), policy={},
        conclusion=Conclusion(verdict="insufficient-evidence", exit_code=3, counts={},
                              sentence="No rule could be judged: the evidence is insufficient."),
        findings=(),
        data=DataPart(splits=(SplitFacts(split="evaluation", n=1969, persons=None, favourable_share=None),),
                      label_means="past-decision"),
        model=ModelPart(adapter="predictions", kind="decisions in a column", task="binary decision", threshold=None,
                        parameters=None),
        fairness=FairnessPart(status="assessed", attributes=("sex",), measurements=tuple(keep),
                              groups=tuple(g for g in part.groups if g.on == "sex")),
        influence=InfluencePart(status="not-applicable", reason=reason),
        privacy=PrivacyPart(status="not-applicable", reason=reason),
    )  # fmt: skip


HOSTILE = (
    "<script>alert(1)</script>", "{{7*7}}", "javascript:alert(1)", "😀 smile", "N" * 300, "a\u202eb", "日本",
    "$x^2$ \\frac", '"><img src=file:///etc/passwd>', "](file:///etc/passwd)",
)  # fmt: skip


def hostile() -> AuditResult:
    """Group names, owners, titles and reasons that try to be markup, links, formulas or too long."""
    data = full().model_dump()
    names = dict(zip(("female", "male", "white", "black", "asian", "18–24", "25–39"), HOSTILE, strict=False))

    def spoil(node: object) -> object:
        if isinstance(node, dict):
            return {key: spoil(item) for key, item in node.items()}
        if isinstance(node, list | tuple):
            return [spoil(item) for item in node]
        return names.get(node, node) if isinstance(node, str) else node

    spoilt = spoil(data)
    assert isinstance(spoilt, dict)
    spoilt["title"] = " ".join(HOSTILE)
    spoilt["facts"] = [{"name": text[:40], "value": text, "stated": True} for text in HOSTILE]
    spoilt["frameworks"][0]["citation"] = "javascript:alert(1)"
    return AuditResult.model_validate(spoilt)
