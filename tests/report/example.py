"""Results made by hand, with every kind of verdict, suppression and caveat that a report has to show.

The numbers are invented but consistent: rates come from counts, intervals from Wilson's formula, ratios from rates.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from auditkit.result import (
    Artifact,
    AuditResult,
    Composition,
    CompositionRow,
    Conclusion,
    DataPart,
    Duplicates,
    Estimate,
    Fact,
    FairnessPart,
    Finding,
    FrameworkItem,
    FrameworkPart,
    Group,
    GroupVerdict,
    InfluencePart,
    Measurement,
    MetricNote,
    ModelPart,
    Point,
    PrivacyPart,
    Quality,
    ResolutionRow,
    Screen,
    Series,
    SliceInfluence,
    SplitFacts,
    Stamp,
    Waiver,
)

# attribute: group -> (n, selected, repaid, repaid and selected), reference group
PEOPLE: dict[str, tuple[dict[str, tuple[int, int, int, int]], str]] = {
    "sex": ({"female": (902, 541, 690, 462), "male": (1067, 878, 806, 747)}, "male"),
    "age": (
        {
            "18–24": (203, 118, 142, 96),
            "25–39": (801, 617, 623, 541),
            "40–61": (774, 576, 597, 508),
            "62 and over": (191, 92, 134, 56),
        },
        "25–39",
    ),
    "ethnicity": (
        {
            "white": (1236, 914, 966, 789),
            "asian": (208, 152, 160, 131),
            "black": (259, 165, 188, 140),
            "mixed": (113, 80, 86, 68),
        },
        "white",
    ),
    "sex x age": (
        {
            "female · 18–24": (96, 48, 66, 41),
            "female · 25–39": (371, 236, 284, 203),
            "female · 40–61": (345, 211, 268, 184),
            "female · 62 and over": (90, 36, 72, 30),
            "male · 18–24": (107, 70, 76, 55),
            "male · 25–39": (430, 381, 339, 338),
            "male · 40–61": (429, 365, 329, 324),
            "male · 62 and over": (101, 56, 62, 28),
        },
        "male · 25–39",
    ),
}


def wilson(events: int, n: int) -> Estimate:
    z, p = 1.959964, events / n
    centre, half = p + z * z / (2 * n), z * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    scale = 1 + z * z / n
    return Estimate(
        value=p, low=max((centre - half) / scale, 0.0), high=min((centre + half) / scale, 1.0), n=n, events=events,
        method="Wilson score",
    )  # fmt: skip


def compared(one: Estimate, other: Estimate, *, ratio: bool) -> Estimate:
    """Delta-method interval of a ratio or difference of two rates; good enough for an invented example."""
    assert one.value is not None and other.value is not None and one.n and other.n
    p, q = one.value, other.value
    n = one.n + other.n
    method = "cell bootstrap, 10,000 replicates, simultaneous"
    if ratio:
        half = 2.24 * math.sqrt((1 - p) / (p * one.n) + (1 - q) / (q * other.n))
        return Estimate(value=p / q, low=p / q * math.exp(-half), high=p / q * math.exp(half), n=n, method=method)
    half = 2.24 * math.sqrt(p * (1 - p) / one.n + q * (1 - q) / other.n)
    return Estimate(value=p - q, low=p - q - half, high=p - q + half, n=n, method=method)


def rates(cell: tuple[int, int, int, int]) -> dict[str, Estimate]:
    n, selected, repaid, hit = cell
    false = selected - hit
    return {
        "selection_rate": wilson(selected, n),
        "tpr": wilson(hit, repaid),
        "fpr": wilson(false, n - repaid),
        "fnr": wilson(repaid - hit, repaid),
        "ppv": wilson(hit, selected),
        "tnr": wilson(n - repaid - false, n - repaid),
        "accuracy": wilson(hit + n - repaid - false, n),
    }


METRICS = tuple(
    MetricNote(measure=f"fairness.{name}", title=title, formula=formula, meaning=meaning, source=source)
    for name, title, formula, meaning, source in (
        ("selection_rate", "Selection rate", "selected / all", "Share of the group that is approved.", "29 CFR 1607.4"),
        ("tpr", "True-positive rate", "selected and repaid / repaid",
         "Of those who repaid, the share approved.", "Hardt et al. 2016"),
        ("fpr", "False-positive rate", "selected and not repaid / not repaid",
         "Of those who did not repay, the share approved.", "Hardt et al. 2016"),
        ("fnr", "False-negative rate", "declined and repaid / repaid",
         "Of those who repaid, the share declined.", "Hardt et al. 2016"),
        ("ppv", "Positive predictive value", "selected and repaid / selected",
         "Of those approved, the share who repaid.", "Chouldechova 2017"),
        ("accuracy", "Accuracy", "agreeing decisions / all", "Share of decisions that agree with the label.", "–"),
        ("impact_ratio", "Impact ratio", "selection rate / reference rate",
         "One means equal rates; below 0.80 is under four-fifths.", "29 CFR 1607.4(D)"),
        ("selection_rate_difference", "Selection-rate difference", "rate − reference rate",
         "Zero means equal rates.", "Calders and Verwer 2010"),
        ("tpr_difference", "True-positive-rate difference", "rate − reference rate",
         "Zero means equal opportunity.", "Hardt et al. 2016"),
    )
)  # fmt: skip


def fairness() -> FairnessPart:
    groups: list[Group] = []
    rows: list[Measurement] = []
    for on, (cells, reference) in PEOPLE.items():
        base = rates(cells[reference])
        for name, cell in cells.items():
            groups.append(
                Group(on=on, group=name, n=cell[0], persons=cell[0] - 7, share=cell[0] / 2000, status="assessed",
                      is_reference=name == reference)
            )  # fmt: skip
            own = rates(cell)
            for measure, estimate in own.items():
                rows.append(Measurement(measure=f"fairness.{measure}", on=on, group=name, estimate=estimate))
            if name == reference:
                continue
            for measure, of, ratio in (
                ("impact_ratio", "selection_rate", True),
                ("selection_rate_difference", "selection_rate", False),
                ("tpr_difference", "tpr", False),
                ("fpr_difference", "fpr", False),
                ("fnr_difference", "fnr", False),
                ("tpr_ratio", "tpr", True),
            ):
                rows.append(
                    Measurement(
                        measure=f"fairness.{measure}", on=on, group=name, reference=reference,
                        unit="ratio" if ratio else "points", estimate=compared(own[of], base[of], ratio=ratio),
                    )
                )  # fmt: skip
    groups += [
        Group(on="sex", group="unknown", n=31, share=31 / 2000, status="unknown"),
        Group(on="age", group="unknown", n=31, share=31 / 2000, status="unknown"),
        Group(on="ethnicity", group="other", n=16, share=0.008, status="insufficient-evidence",
              reason="16 records, the policy needs 30"),
        Group(on="ethnicity", group="traveller", n=None, status="insufficient-evidence",
              reason="fewer than 10 records: not shown"),
        Group(on="ethnicity", group="unknown", n=159, share=0.0795, status="unknown"),
    ]  # fmt: skip
    withheld = Estimate(value=None, n=None, withheld="fewer than 30 records")
    for name in ("other", "traveller"):
        for measure, unit in (("selection_rate", "rate"), ("tpr", "rate"), ("impact_ratio", "ratio")):
            reference = "white" if unit == "ratio" else ""
            rows.append(
                Measurement(measure=f"fairness.{measure}", on="ethnicity", group=name, unit=unit,  # type: ignore[arg-type]
                            reference=reference, estimate=withheld)
            )  # fmt: skip
    return FairnessPart(
        status="assessed", attributes=tuple(PEOPLE), groups=tuple(groups), measurements=tuple(rows), metrics=METRICS,
        notes=("The reference of ethnicity is the largest group; the policy names none.",),
    )  # fmt: skip


def composition(direction: str, share: float, n: int, rows: Sequence[tuple[str, str, int, float]]) -> Composition:
    return Composition(
        direction=direction, top_share=share, n=n,  # type: ignore[arg-type]
        rows=tuple(
            CompositionRow(column=c, level=v, share=wilson(k, n), base_share=b, lift=k / n / b) for c, v, k, b in rows
        ),
    )  # fmt: skip


def slice_influence(name: str, kind: str, why: str, value: float, measure: str, scale: float) -> SliceInfluence:
    up = [("branch", "Harbour Street", 15, 0.10), ("branch", "Mill Lane", 13, 0.10), ("sex", "female", 35, 0.47),
          ("label", "not repaid", 38, 0.26), ("employment", "part-time", 14, 0.17), ("age", "18–24", 6, 0.10),
          ("purpose", "medical", 5, 0.07)]  # fmt: skip
    down = [("sex", "male", 26, 0.53), ("label", "repaid", 33, 0.74), ("branch", "Kings Gate", 6, 0.10),
            ("employment", "full-time", 29, 0.63), ("age", "25–39", 18, 0.40)]  # fmt: skip

    def wide(rows: list[tuple[str, str, int, float]]) -> list[tuple[str, str, int, float]]:
        return [(c, v, k * 4, b) for c, v, k, b in rows]

    return SliceInfluence(
        name=name, kind=kind, why=why, n=229, measure=measure, value=value,  # type: ignore[arg-type]
        where="sex = 'female' AND repaid = 1 AND decision = 0" if kind == "slice" else "",
        unit="nats" if measure == "mean loss" else "points",
        p99_raises=0.00041 * scale, p99_lowers=-0.00057 * scale, share_in_top_1pct=0.212,
        compositions=(
            composition("lowers", 0.01, 40, up), composition("lowers", 0.05, 200, wide(up)),
            composition("raises", 0.01, 40, down), composition("raises", 0.05, 200, wide(down)),
        ),
    )  # fmt: skip


def influence() -> InfluencePart:
    return InfluencePart(
        status="assessed", estimator="exact", why_estimator="The model has 78 parameters, so the exact form is affordable.",
        source="Koh and Liang 2017; Newton step in matrix form", damping=0.0, weight_decay="0.001 on all parameters",
        parameters=78, covered_share=1.0, n_train=4000,
        slices=(
            slice_influence("declined-women-who-repaid", "slice", "Women who repaid and would be declined", 0.93,
                            "mean loss", 1.0),
            slice_influence("male − female", "gap", "Gap in the mean favourable score by sex", 0.137,
                            "gap in mean favourable score", 0.4),
            slice_influence("female", "group", "Group of sex", 0.64, "mean favourable score", 0.3),
            slice_influence("male", "group", "Group of sex", 0.78, "mean favourable score", 0.2),
            SliceInfluence(name="cases", kind="case", why="Cases named by the policy", n=None, measure="mean loss",
                           unit="nats", value=None,
                           withheld="a case is one person; its records are in the restricted annex"),
        ),
        quality=(
            Quality(name="Converged", value=3.1e-9, text="Norm of the gradient at the audited parameters."),
            Quality(name="Fidelity", value=None, text="No retrained models in this audit, so agreement with retraining "
                    "was not measured on this model.", warns=True),
        ),
    )  # fmt: skip


def privacy() -> PrivacyPart:
    def clopper(value: float, low: float, high: float, n: int) -> Estimate:
        return Estimate(value=value, low=low, high=high, n=n, events=round(value * n), method="Clopper–Pearson")

    curve = ((0.005, 0.0061), (0.01, 0.0125), (0.02, 0.025), (0.05, 0.058), (0.1, 0.113), (0.2, 0.219), (0.5, 0.52),
             (1.0, 1.0))  # fmt: skip
    return PrivacyPart(
        status="assessed", attack="Loss threshold", attack_source="Yeom et al., CSF 2018",
        measurements=(
            Measurement(measure="privacy.train_evaluation_gap", unit="nats", estimate=Estimate(
                value=0.0121, low=-0.004, high=0.0281, n=6000, method="Welch")),
            Measurement(measure="privacy.attack_auc", unit="score", estimate=Estimate(
                value=0.512, low=0.499, high=0.525, n=8000, method="DeLong")),
            Measurement(measure="privacy.tpr_at_fpr_0.01", estimate=clopper(0.0125, 0.0093, 0.0165, 4000)),
            Measurement(measure="privacy.tpr_at_fpr_0.001", estimate=Estimate(
                value=None, n=4000, withheld="4,000 non-members give 4 expected false positives, 10 are needed")),
        ),
        resolution=(
            ResolutionRow(false_positive_rate=0.001, expected_false_positives=2.0, needed_n=10_000,
                          tpr=Estimate(value=None, withheld="not resolved by these data"),
                          realised_fpr=Estimate(value=None, withheld="not resolved by these data")),
            ResolutionRow(false_positive_rate=0.01, expected_false_positives=20.0,
                          tpr=clopper(0.0125, 0.0093, 0.0165, 4000), realised_fpr=clopper(0.0105, 0.0065, 0.016, 2000)),
            ResolutionRow(false_positive_rate=0.1, expected_false_positives=200.0,
                          tpr=clopper(0.113, 0.1034, 0.1232, 4000), realised_fpr=clopper(0.1, 0.0872, 0.114, 2000)),
        ),
        roc=Series(name="roc", x_label="False-positive rate", y_label="True-positive rate", n=8000, method="binned",
                   points=tuple(Point(x=x, y=y, low=y * 0.82, high=min(y * 1.2, 1.0)) for x, y in curve)),
        screen=Screen(
            status="assessed", rule="self-influence above the upper adjusted box-plot fence", cut=6.3, n=4000,
            flagged=wilson(63, 4000),
            by_group=tuple(
                Measurement(measure="privacy.screen_share", on="sex", group=g, unit="share", estimate=wilson(k, n))
                for g, k, n in (("female", 37, 1880), ("male", 26, 2120))),
            tail=Series(
                name="tail", x_label="Self-influence, multiples of its median",
                y_label="Share of training records at or above", n=4000,
                method="steps that hold fewer than 10 persons are merged; the largest values are not shown",
                points=tuple(Point(x=round(10 ** (k / 10), 3), y=share) for k, share in enumerate(
                    (0.5, 0.42, 0.35, 0.28, 0.22, 0.17, 0.125, 0.08, 0.049, 0.0222, 0.0115, 0.0065, 0.0031)))),
            by=(CompositionRow(column="label", level="not repaid", share=wilson(49, 63), base_share=0.26, lift=2.99),
                CompositionRow(column="branch", level="Mill Lane", share=wilson(17, 63), base_share=0.1, lift=2.7)),
        ),
        duplicates=Duplicates(exact_in_train=0, near_in_train=15, exact_across=None, near_across=12,
                              rule="Nearest neighbour within 5 % of the median distance.",
                              notes=("Pairs of one person are counted.",)),
        threat_model=(("Access", "probabilities to staff"), ("Knows", "the record and its label"), ("Released", "no")),
        not_tested=("Attribute inference.", "Attacks with retrained models."),
    )  # fmt: skip


def findings() -> tuple[Finding, ...]:
    part = fairness()
    cells = {(m.measure, m.on, m.group): m.estimate for m in part.measurements}

    def judged(on: str, group: str, verdict: str, reason: str, needed: int | None = None) -> GroupVerdict:
        return GroupVerdict(group=group, verdict=verdict, reason=reason, needed_n=needed,  # type: ignore[arg-type]
                            estimate=cells["fairness.impact_ratio", on, group], side="forbidden")  # fmt: skip

    def rule(id_: str, measure: str, on: str, verdict: str, severity: str, sentence: str, **more: object) -> Finding:
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
             "Impact ratio for female is 0.73 (95% interval 0.68 to 0.78, n = 1,969); the policy asks for at least 0.80.",
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
             threshold=0.05, because="Privacy review board, 2026-03", reason="the interval lies wholly on the permitted side",
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
            sentence="2 of 8 rules are breached; 2 cannot be decided on this evidence; 1 breach is waived; 1 does not apply.",
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
