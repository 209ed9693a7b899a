"""Rules meet numbers here and nowhere else: verdicts, their reasons, the conclusion and the exit code.

A rule is judged group by group on the interval of its estimate (simultaneous over the groups it covers):

* `meets` when the interval lies wholly on the permitted side, `breaches` when it lies wholly on the other;
* where a figure is told as a band only (it counts a few persons), the band's interval is judged in the same way;
* `insufficient-evidence` in between, below a minimum, or with too much unknown membership, with the reason, the side
  on which the point lies and the number of records that would decide;
* `not-applicable` with the reason, when the part that measures it was not assessed.

One breach breaches; without one, one insufficient group leaves the rule open: nothing is green on missing data.
A comparison (difference or ratio) is judged for every group but its reference; a rate for every group. Where the policy
asks for Holm or Benjamini–Hochberg, the adjusted test of the threshold decides where there is one, not the interval.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from types import MappingProxyType

from auditkit import sentences
from auditkit.policy import measures
from auditkit.policy.schema import Rule
from auditkit.result import Conclusion, Estimate, Finding, Group, GroupVerdict, Measurement, Verdict, Waiver
from auditkit.result.comparisons import Adjusted
from auditkit.sentences import Side
from auditkit.stats.sizes import Scale, needed

EXIT_CODES: dict[Verdict, int] = {
    "meets": 0,
    "breaches": 1,
    "insufficient-evidence": 3,
    "not-applicable": 3,  # no rule judged never exits 0
}
STRONGEST_FIRST: tuple[Verdict, ...] = ("breaches", "insufficient-evidence", "meets", "not-applicable")
SEVERITIES = ("high", "medium", "low")

ONE_SIDED = "a lower limit shows no upper one; `proof: point` would judge the limit itself"

SCALES: dict[str, Scale] = {"rate": "rate", "share": "rate", "score": "points", "points": "points", "ratio": "ratio"}


def judge(
    rules: Sequence[Rule],
    *,
    measurements: Sequence[Measurement],
    groups: Sequence[Group],
    not_assessed: Mapping[str, str],
    maximum_unknown: float,
    as_of: date,
    adjusted: Adjusted = MappingProxyType({}),
    confounded: Mapping[str, str] = MappingProxyType({}),
) -> tuple[tuple[Finding, ...], Conclusion]:
    """Judge every rule and conclude.

    Args:
        rules: the policy's rules.
        measurements: every measurement of the audit.
        groups: the fairness part's groups; they carry the unknown counts.
        not_assessed: family of measures (`privacy`) -> why that part was not assessed.
        maximum_unknown: share of unknown membership above which an attribute cannot be judged.
        as_of: the date of the audit; decides whether a waiver is still active.
        adjusted: the fairness part's adjusted tests of thresholds, where the policy asks for them.
        confounded: measure -> why its figure is no evidence about the model; a rule on it stays open, by point as well.
    """
    unknown = {on: _unknown_share(groups, on) for on in {group.on for group in groups}}
    case = _Case(measurements, not_assessed, unknown, maximum_unknown, as_of, adjusted, confounded)
    findings = tuple(_finding(rule, case) for rule in rules)
    return findings, conclude(findings)


def conclude(findings: Sequence[Finding]) -> Conclusion:
    """The strongest verdict over the findings that count: breaches, then insufficient evidence, then meets.

    A waived breach is not counted until its waiver expires. When nothing is left to count, no rule was judged and the
    conclusion is insufficient evidence: never exit code 0.
    """
    counted = [f.verdict for f in findings if not (f.waiver and f.waiver.active and f.verdict == "breaches")]
    strongest: Verdict = next((v for v in STRONGEST_FIRST if v in counted), "not-applicable")
    judged = strongest != "not-applicable"
    verdict: Verdict = strongest if judged else "insufficient-evidence"
    counts: Counter[str] = Counter(f.verdict for f in findings)
    waived = len(findings) - len(counted)
    words = sentences.conclusion(verdict, counts, waived, len(findings)) if judged else (
        "No rule could be judged without a waiver: the evidence is insufficient." if waived
        else "No rule could be judged: the evidence is insufficient."
    )
    tally = {name: counts.get(name, 0) for name in STRONGEST_FIRST} | {"waived": waived}
    return Conclusion(verdict=verdict, exit_code=EXIT_CODES[verdict], sentence=words, counts=tally)


def side_of(value: float, op: str, threshold: float) -> Side:
    """The side of the threshold on which a value lies."""
    inside = {">=": value >= threshold, ">": value > threshold, "<=": value <= threshold, "<": value < threshold}[op]
    return "permitted" if inside else "forbidden"


def worst_first(findings: Sequence[Finding]) -> list[Finding]:
    """Findings in the order in which a reader should meet them: open breaches by severity, then what is undecided."""

    def rank(finding: Finding) -> tuple[int, int]:
        waived = finding.verdict == "breaches" and finding.waiver is not None and finding.waiver.active
        order = STRONGEST_FIRST.index(finding.verdict)
        return (len(STRONGEST_FIRST) if waived else order, SEVERITIES.index(finding.severity))

    return sorted(findings, key=rank)


@dataclass(frozen=True)
class _Case:
    """What every rule is judged on."""

    measurements: Sequence[Measurement]
    not_assessed: Mapping[str, str]
    unknown: Mapping[str, tuple[float, str]]
    maximum_unknown: float
    as_of: date
    adjusted: Adjusted
    confounded: Mapping[str, str]


def _finding(rule: Rule, case: _Case) -> Finding:
    rows = [m for m in case.measurements if m.measure == rule.measure and m.on == (rule.on or "")]
    rows = [m for m in rows if (m.group if rule.on else not m.group) and m.group != (m.reference or None)]
    share, said = case.unknown.get(rule.on or "", (0.0, ""))
    if share > case.maximum_unknown:
        reason = f"membership is unknown for {said} of the records; the policy allows {case.maximum_unknown:.1%}"
        verdicts = [_open(m, rule, reason) for m in rows]
    elif rule.measure in case.confounded:
        verdicts = [_no_evidence(m, rule, case.confounded[rule.measure]) for m in rows]
    else:
        verdicts = [_group_verdict(m, rule, case.adjusted) for m in rows]
    verdict, reason = _combine(rule, verdicts, case.not_assessed)
    decisive = _decisive(verdicts, verdict, rule)
    estimate = decisive.estimate if decisive else None
    unit = rows[0].unit if rows else measures.unit(rule.measure)
    return Finding(
        id=rule.id, measure=rule.measure, on=rule.on or "", op=rule.op, threshold=rule.threshold,
        proof=rule.proof, severity=rule.severity, because=rule.because, verdict=verdict, reason=reason,
        sentence=sentences.finding(rule, decisive, verdict, reason, unit=unit, parts=_parts(rule, rows)),
        estimate=estimate, groups=tuple(verdicts),
        waiver=_waiver(rule, case.as_of), evidence=_evidence(rule),
    )  # fmt: skip


def _parts(rule: Rule, rows: Sequence[Measurement]) -> tuple[str, ...]:
    """Which attack the figure is of, where the rule's measure names none."""
    return rows[0].parts if rows and measures.is_strongest(rule.measure) else ()


def _group_verdict(row: Measurement, rule: Rule, adjusted: Adjusted) -> GroupVerdict:
    if row.estimate.value is None:
        return _banded(row, rule) or _open(row, rule, row.estimate.withheld or "not estimable")
    side, reason = _decided(row, rule, adjusted, side_of(row.estimate.value, rule.op, rule.threshold))
    if not side:
        return _open(row, rule, reason)
    return GroupVerdict(
        group=row.group, reference=row.reference, verdict="meets" if side == "permitted" else "breaches",
        reason=reason, estimate=row.estimate, side=side,
    )  # fmt: skip


def _banded(row: Measurement, rule: Rule) -> GroupVerdict | None:
    """The verdict on a figure of which only a band is told, where the band's whole interval lies on one side."""
    low, high = row.estimate.low, row.estimate.high
    if rule.proof == "point" or low is None or high is None:
        return None
    sides = {side_of(bound, rule.op, rule.threshold) for bound in (low, high)}
    if len(sides) > 1:
        return None
    side = sides.pop()
    return GroupVerdict(
        group=row.group, reference=row.reference, verdict="meets" if side == "permitted" else "breaches",
        reason=f"the interval of all that the figure may be lies wholly on the {side} side",
        estimate=row.estimate, side=side,
    )  # fmt: skip


def _decided(row: Measurement, rule: Rule, adjusted: Adjusted, own: Side) -> tuple[Side, str]:
    """The side that the evidence shows, and by what; no side, and why, where it shows none. `own` is the point's."""
    estimate, key = row.estimate, (row.on, row.measure, rule.threshold, row.group)
    if rule.proof == "point":
        doubt = _doubt(estimate, estimate.value or 0.0, rule.threshold)
        return ("", doubt) if doubt else (own, "the policy asks for the point value to be judged, not its interval")
    if estimate.low is None:
        return "", estimate.withheld or "there is no interval"
    if key in adjusted:
        multiplicity, p = adjusted[key]
        return sentences.by_test(multiplicity, own, decides=p <= 1 - estimate.level)
    # A lower limit alone is an interval without an upper end: it can breach, and cannot meet, a rule of "at most".
    high = math.inf if estimate.high is None else estimate.high
    sides = {side_of(bound, rule.op, rule.threshold) for bound in (estimate.low, high)}
    if len(sides) > 1:
        return "", "the interval includes the threshold" if estimate.high is not None else ONE_SIDED
    return (side := sides.pop()), f"the interval lies wholly on the {side} side"


def _doubt(estimate: Estimate, value: float, threshold: float) -> str:
    """Why a point value may not be judged: too few events for an interval, or rounding that may hide its side."""
    if estimate.withheld:
        return estimate.withheld
    if estimate.step and abs(value - threshold) <= estimate.step / 2:
        return f"the value is published rounded to {estimate.step:g}, which may hide its side of the threshold"
    return ""


def _open(row: Measurement, rule: Rule, reason: str) -> GroupVerdict:
    """Insufficient evidence, with the side of the point and the n that would decide."""
    estimate = row.estimate
    value = estimate.value
    side: Side = side_of(value, rule.op, rule.threshold) if value is not None else ""
    # Wilson's condition holds for a rate with a known threshold only; other widths shrink with the root of n.
    scale = "points" if measures.is_attack_rate(row.measure) else SCALES.get(row.unit, "points")
    return GroupVerdict(
        group=row.group, reference=row.reference, verdict="insufficient-evidence", reason=reason,
        estimate=estimate, side=side,
        needed_n=needed(estimate=estimate, threshold=rule.threshold, scale=scale),
    )  # fmt: skip


def _no_evidence(row: Measurement, rule: Rule, reason: str) -> GroupVerdict:
    """Insufficient evidence that more records of the same kind would not mend."""
    return _open(row, rule, row.estimate.withheld or reason).model_copy(update={"needed_n": None})


def _combine(
    rule: Rule, verdicts: Sequence[GroupVerdict], not_assessed: Mapping[str, str]
) -> tuple[Verdict, str]:
    if not verdicts:
        family = rule.measure.split(".", 1)[0]
        if family in not_assessed:
            return "not-applicable", not_assessed[family]
        place = f"on {rule.on}" if rule.on else "over all records"
        return "insufficient-evidence", f"{rule.measure} was not measured {place}"
    verdict = next(v for v in STRONGEST_FIRST if any(g.verdict == v for g in verdicts))
    named = [g for g in verdicts if g.verdict == verdict]
    labels = ", ".join(g.group for g in named if g.group)
    reasons = "; ".join(dict.fromkeys(g.reason for g in named))
    return verdict, f"{labels}: {reasons}" if labels else reasons


def _decisive(verdicts: Sequence[GroupVerdict], verdict: Verdict, rule: Rule) -> GroupVerdict | None:
    """The group furthest to the forbidden side among those that gave the rule its verdict."""
    named = [g for g in verdicts if g.verdict == verdict]
    shown = [g for g in named if g.estimate.value is not None] or named
    sign = 1.0 if rule.op in (">=", ">") else -1.0

    def margin(g: GroupVerdict) -> float:
        return sign * g.estimate.value if g.estimate.value is not None else float("inf")

    return min(shown, key=margin, default=None)


def _waiver(rule: Rule, as_of: date) -> Waiver | None:
    if rule.waiver is None:
        return None
    given = rule.waiver
    return Waiver(
        owner=given.owner, reason=given.reason, expires=given.expires.isoformat(), active=as_of <= given.expires
    )


def _evidence(rule: Rule) -> str:
    family = rule.measure.split(".", 1)[0]
    return {"model": "data"}.get(family, family)


def _unknown_share(groups: Sequence[Group], on: str) -> tuple[float, str]:
    """Share of unknown membership, and in words; an upper limit where the count itself is withheld."""
    unknown = [g for g in groups if g.on == on and g.status == "unknown"]
    share = sum(g.share or 0.0 for g in unknown)
    return share, f"at most {share:.1%}" if any(g.n is None for g in unknown) else f"{share:.1%}"
