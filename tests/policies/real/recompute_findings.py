"""Every rule judged again on the claimed figures: verdicts, the group that decides, the n that would, the exit code."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable
from typing import Any

from tests.policies.real.claims import Near, Says
from tests.policies.real.recompute_data import (
    LEVEL,
    MINIMUM_CELL,
    MINIMUM_DENOMINATOR,
    MINIMUM_GROUP,
    World,
)

STRONGEST_FIRST = ("breaches", "insufficient-evidence", "meets", "not-applicable")
EXIT_CODES = {"breaches": 1, "insufficient-evidence": 3, "meets": 0, "not-applicable": 3}


def expected_findings(world: World, rows: dict[str, dict[str, Any]], applicable: dict[str, bool]) -> dict[str, Any]:
    """Findings by rule; `rows` are all claimed measurements by `measure / on / group`."""
    return {rule["id"]: _finding(world, rule, rows, applicable) for rule in world.policy["rules"]}


def expected_conclusion(findings: dict[str, Any]) -> dict[str, Any]:
    """The strongest verdict, its exit code and the tally."""
    tally = Counter(finding["verdict"] for finding in findings.values())
    verdict = next(v for v in STRONGEST_FIRST if tally[v])
    counts = {name: tally[name] for name in STRONGEST_FIRST} | {"waived": 0}
    return {
        "verdict": verdict if verdict != "not-applicable" else "insufficient-evidence",
        "exit_code": EXIT_CODES[verdict], "counts": counts, "sentence": Says(*counts.values(), len(findings)),
    }  # fmt: skip


def _finding(
    world: World, rule: dict[str, Any], rows: dict[str, dict[str, Any]], applicable: dict[str, bool]
) -> dict[str, Any]:
    on, names = rule.get("on", ""), _names(world)
    found = {
        key.split(" / ", 2)[2]: row
        for key, row in rows.items()
        if key.startswith(f"{rule['measure']} / {on} / ") and bool(key.split(" / ", 2)[2]) == bool(on)
    }
    assert found or not applicable[rule["measure"].split(".")[0]]
    groups = [_group(group, row["reference"], row["estimate"], rule, names) for group, row in found.items()]
    met = {group["verdict"] for group in groups}
    verdict = next((v for v in STRONGEST_FIRST if v in met), "not-applicable")
    decisive = _decisive([g for g in groups if g["verdict"] == verdict], rule["op"])
    estimate = decisive["estimate"] if decisive else None
    said = [] if estimate is None else [estimate[name] for name in ("value", "low", "high", "n")]
    minimums = (MINIMUM_CELL, MINIMUM_GROUP, MINIMUM_DENOMINATOR)
    return {
        "id": rule["id"], "threshold": rule["threshold"], "verdict": verdict, "estimate": estimate,
        "groups": {group["group"]: group for group in groups},
        "sentence": Says(
            *said, LEVEL, rule["threshold"], *minimums, *_rate_in(rule), *_attacks(found.values()), names=names
        ),
        "reason": Says(*minimums, names=names), "because": rule["because"],
    }  # fmt: skip


def _attacks(rows: Iterable[dict[str, Any]]) -> list[float | Near | None]:
    """How many attacks the strongest was chosen from, where a row says so."""
    said = [row["parts"] for row in rows if isinstance(row.get("parts"), list)]
    return [figure for parts in said for part in parts for figure in part.figures]


def _rate_in(rule: dict[str, Any]) -> list[float]:
    """The false-positive rate that a measure's name holds."""
    tail = rule["measure"].rpartition("_")[2]
    return [float(tail)] if tail.replace(".", "").isdigit() else []


def _names(world: World) -> tuple[str, ...]:
    return tuple(label for attribute in world.attributes for label in attribute.labels)


def _group(
    group: str, reference: str, estimate: dict[str, Any], rule: dict[str, Any], names: tuple[str, ...]
) -> dict[str, Any]:
    verdict, needed = "insufficient-evidence", None
    if estimate["low"] is not None and (estimate["value"] is not None or estimate["high"] is not None):
        # A lower limit alone has no upper end.
        ends = (estimate[end] if estimate[end] is not None else math.inf for end in ("low", "high"))
        low, high = (_one(_inside(end, rule)) for end in ends)
        if low == high:
            verdict = "meets" if low else "breaches"
        else:
            needed = _needed(estimate, rule)
    return {
        "group": group, "reference": reference, "verdict": verdict, "estimate": estimate, "needed_n": needed,
        "reason": Says(MINIMUM_CELL, MINIMUM_GROUP, MINIMUM_DENOMINATOR, 5, names=names),
    }  # fmt: skip


def _inside(limit: float | Near, rule: dict[str, Any]) -> set[bool]:
    """On which sides of the threshold a limit may lie."""
    ends = [limit.shown(limit.low), limit.shown(limit.high)] if isinstance(limit, Near) else [limit]
    at_least = rule["op"].startswith(">")
    return {end >= rule["threshold"] if at_least else end <= rule["threshold"] for end in ends}


def _one(sides: set[bool]) -> bool:
    assert len(sides) == 1, "a limit lies within Monte-Carlo error of its threshold: choose another threshold"
    return next(iter(sides))


def _needed(estimate: dict[str, Any], rule: dict[str, Any]) -> int | Near | None:
    """Records at which the interval would let go of the threshold, at the same value."""
    value, n, threshold = estimate["value"], estimate["n"], rule["threshold"]
    value = value.shown(value.low) if isinstance(value, Near) else value
    if n is None or value == threshold:
        return None
    near = estimate["low"] if value > threshold else estimate["high"]
    plain = rule["measure"].rpartition("_")[2] not in ("difference", "ratio", "gap", "auc")
    if plain and "tpr_at_fpr_" not in rule["measure"]:
        bounds = [b for b in (estimate["low"], estimate["high"]) if 0 < b < 1 and b != value]
        spread = max((value - b) ** 2 / (b * (1 - b)) for b in bounds)
        return max(n + 1, math.floor(n * spread * threshold * (1 - threshold) / (value - threshold) ** 2) + 1)
    log = rule["measure"].endswith("ratio")

    def at(limit: float) -> int:
        a, b, c = (math.log(x) if log else x for x in (value, limit, threshold))
        return max(n + 1, math.floor(n * ((a - b) / (a - c)) ** 2) + 1)

    if not isinstance(near, Near):
        return at(near)
    ends = sorted(at(near.shown(end)) for end in (near.low, near.high))
    return Near(*map(float, ends))


def _decisive(groups: list[dict[str, Any]], op: str) -> dict[str, Any] | None:
    """The group furthest to the forbidden side among those that gave the rule its verdict."""
    known = [g for g in groups if g["estimate"]["value"] is not None] or groups
    sign = 1.0 if op.startswith(">") else -1.0

    def margin(group: dict[str, Any]) -> float:
        value = group["estimate"]["value"]
        value = value.shown(value.low) if isinstance(value, Near) else value
        return math.inf if value is None else sign * value

    return min(known, key=margin, default=None)
