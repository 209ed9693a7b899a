"""The sentences of a verdict: a finding for the cover, and the conclusion over all rules. No judgement is made here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, Literal, TypeAlias

from auditkit.policy.measures import title
from auditkit.policy.schema import Rule
from auditkit.result import Estimate, GroupVerdict, Verdict

Side: TypeAlias = Literal["", "permitted", "forbidden"]
STEPWISE: Final = {"holm": "Holm's step-down test", "bh": "Benjamini and Hochberg's test"}
"""The policy's `multiplicity` -> the test in words; the reason of a verdict that rests on it begins so."""
OP_WORDS: Final = {">=": "at least", ">": "more than", "<=": "at most", "<": "less than"}


def finding(
    rule: Rule, decisive: GroupVerdict | None, verdict: Verdict, reason: str, *, unit: str, parts: Sequence[str] = ()
) -> str:
    """One rule's finding with number, interval and n, and what the policy asks for.

    Args:
        rule, decisive, verdict, reason: what was judged, by which group, how and why. unit: of the measure.
        parts: what the measured row says of itself, where a reader of the sentence has to know it.
    """
    name = title(rule.measure)
    asked = f"the policy asks for {OP_WORDS[rule.op]} {number(rule.threshold, unit)}"
    if decisive is None or decisive.estimate.value is None:
        subject = f"{name} on {rule.on}" if rule.on else name
        if decisive is not None and verdict in ("meets", "breaches"):
            subject = f"{name}{f' for {decisive.group}' if decisive.group else ''}"
            reason = f"{reason} ({_interval(decisive.estimate, unit)}; {decisive.estimate.withheld})"
        return "; ".join([f"{subject}: {verdict.replace('-', ' ')}, {reason}", *parts, f"{asked}."])
    who = f" for {decisive.group}" if decisive.group else ""
    against = f" against {decisive.reference}" if decisive.reference else ""
    tail = f", and this evidence does not decide: {decisive.reason}" if verdict == "insufficient-evidence" else ""
    if verdict != "insufficient-evidence" and decisive.reason.startswith(tuple(STEPWISE.values())):
        tail = f"; {decisive.reason}"
    observed = _observed(decisive.estimate, decisive.estimate.value, unit)
    return "; ".join([f"{name}{who}{against} is {observed}", *parts, f"{asked}{tail}."])


def _observed(estimate: Estimate, value: float, unit: str) -> str:
    parts = []
    if estimate.low is not None and estimate.high is not None:
        parts.append(_interval(estimate, unit))
    if estimate.n is not None:
        parts.append(f"n = {estimate.n:,}")
    return number(value, unit) + (f" ({', '.join(parts)})" if parts else "")


def _interval(estimate: Estimate, unit: str) -> str:
    limits = f"{number(estimate.low or 0.0, unit)} to {number(estimate.high or 0.0, unit)}"
    return f"{100 * estimate.level:g} % interval {limits}"


def by_test(multiplicity: str, own: Side, *, decides: bool) -> tuple[Side, str]:
    """The side that an adjusted test against a threshold shows, and the reason; no side where it decides nothing."""
    test = STEPWISE[multiplicity]
    if decides:
        return own, f"{test} against the threshold decides for the {own} side"
    return "", f"{test} does not decide on which side of the threshold it lies"


def number(value: float, unit: str) -> str:
    """As the report prints it: rates in percent, differences in points, ratios with two places, scores with three."""
    text = {
        "rate": f"{100 * value:.1f} %", "share": f"{100 * value:.1f} %", "points": f"{100 * value:.1f} points",
        "ratio": f"{value:.2f}", "nats": f"{value:.3g} nats",
    }.get(unit, f"{value:.3f}")  # fmt: skip
    return text.replace("-", "\N{MINUS SIGN}", 1) if value < 0 else text


def conclusion(verdict: Verdict, counts: Mapping[str, int], waived: int, total: int) -> str:
    """How many rules are breached, undecided, met, waived or do not apply."""
    open_breaches = counts.get("breaches", 0) - waived
    undecided, absent = counts.get("insufficient-evidence", 0), counts.get("not-applicable", 0)
    first = {
        "breaches": f"{open_breaches} of {_rules(total)} {_verb(open_breaches, 'is', 'are')} breached",
        "insufficient-evidence": f"No rule is breached, and {undecided} of {_rules(total)} cannot be decided",
        "meets": f"{counts.get('meets', 0)} of {_rules(total)} {_verb(counts.get('meets', 0), 'is', 'are')} met",
    }[verdict]
    more = []
    if verdict == "breaches" and undecided:
        more.append(f"{undecided} cannot be decided on this evidence")
    if waived:
        more.append(f"{waived} {_verb(waived, 'breach is', 'breaches are')} waived")
    if absent:
        more.append(f"{absent} {_verb(absent, 'does', 'do')} not apply")
    return "; ".join([first, *more]) + "."


def _rules(n: int) -> str:
    return f"{n} rule" if n == 1 else f"{n} rules"


def _verb(n: int, singular: str, plural: str) -> str:
    return singular if n == 1 else plural
