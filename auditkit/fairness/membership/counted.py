"""The rows that say how many belong to which group of a membership, and the notes that explain its figures."""

from __future__ import annotations

from typing import Literal

import numpy as np

from auditkit.fairness.disclosure import share_at_most
from auditkit.fairness.groups import UNKNOWN_LABEL, closed_note
from auditkit.fairness.membership.subject import Subject
from auditkit.result import MembershipGroup
from auditkit.subject.types import Mask

OVERLAP = (
    "Groups overlap: a record counts in every group that it belongs to, so that groups do not add up to all records; "
    "intervals of comparisons allow for the records that two groups share."
)
BIAS = (
    "Membership is known by probability. Each rate is the weighted estimator of Chen, Kallus, Mao, Svacha and Udell "
    "(FAT* 2019): sum of probabilities times events over sum of probabilities times trials. Its bias is known: minus "
    "the mean covariance of membership and event among records with the same proxies, over the share of the group. It "
    "is right where group and decision are independent among such records; where members are selected less often than "
    "others with the same proxies, it hides part of the gap. Its interval holds the sampling error alone."
)
BOUNDED = (
    "Bounds (Kallus, Mao and Zhou, Management Science 68 (2022) 1959, in bins of the probability) hold whatever group "
    "and decision have to do with each other. Weighted estimates and bounds both take the probabilities for "
    "calibrated: among records with a probability of one in five, one in five is a member. No figure of this report "
    "checks that."
)
FINE = "Figures made of probabilities are printed to four decimals at most; an n of theirs is a sum of probabilities."
WEIGHTS = "Rates weigh records by the sample weight; n and the minimum sizes count records and persons."


def group_rows(subject: Subject) -> tuple[MembershipGroup, ...]:
    """One row per group, then records in several groups, known records in none, and unknown ones, always."""
    rows, own, total = subject.rows, subject.membership, len(subject.rows.cell)
    everywhere = rows.known
    heads, sums = rows.heads(everywhere), rows.records.sum(axis=1)
    out = []
    for group, label in enumerate(own.labels):
        hidden = bool(subject.state.hidden[group])
        size = None if hidden else round(float(sums[group]))
        out.append(MembershipGroup(
            group=label, status=_status(subject, group), is_reference=label == own.reference,
            reason=_reason(subject, group), n=None if rows.soft else size, expected=size if rows.soft else None,
            persons=round(float(heads[group])) if rows.repeats and not hidden else None,
            share=None if size is None else _share(float(sums[group]), total, exact=not rows.soft),
        ))  # fmt: skip
    member = rows.share[:, : len(own.labels)]
    if rows.soft:
        rest = float(everywhere.sum() - member.sum())
        if rest >= subject.minimum_cell:
            out.append(_soft_rest(rest, total))
    else:
        belongs = member.sum(axis=1)
        out.append(_further(subject, "several groups", "several", belongs > 1, subject.state.several))
        out.append(_further(subject, "none of the groups", "none", everywhere & (belongs == 0), subject.state.none))
    return (*out, _unknown(subject))


def notes(subject: Subject, *, undecided: int) -> tuple[str, ...]:
    """What holds for the whole membership."""
    found = [BIAS, BOUNDED, FINE] if subject.rows.soft else [OVERLAP]
    if subject.rows.weights is not None:
        found.append(WEIGHTS)
    if not subject.membership.reference_stated:
        found.append("The policy states no reference; it is the largest group.")
    counts = (
        (undecided, "have no decision and are not in these figures"),
        (subject.membership.undeclared, "hold a further label that the policy does not declare; it is left out"),
    )
    for count, what in counts:
        if count:
            size = f"{count:,}" if count >= subject.minimum_cell else f"Fewer than {subject.minimum_cell}"
            found.append(f"{size} evaluation records {what}.")
    return tuple(found)


def _status(subject: Subject, group: int) -> Literal["assessed", "empty", "insufficient-evidence"]:
    if subject.state.assessed[group]:
        return "assessed"
    return "empty" if subject.state.empty[group] else "insufficient-evidence"


def _reason(subject: Subject, group: int) -> str:
    parts = [subject.state.why_not(group, soft=subject.rows.soft)]
    if subject.state.assessed[group] and subject.state.closed[group]:
        parts.append(closed_note(subject.minimum_cell))
    if subject.state.hidden[group]:
        parts.append(_withheld(subject.minimum_cell))
    return "; ".join(part for part in parts if part)


def _withheld(minimum: int) -> str:
    return f"count withheld: it, or one that would follow from it, is below {minimum}"


def _share(count: float, total: int, *, exact: bool) -> float:
    return count / total if exact else round(count / total, 4)


def _further(subject: Subject, group: str, status: str, where: Mask, told: bool) -> MembershipGroup:
    count, total = int(where.sum()), len(subject.rows.cell)
    if not told and count:
        return MembershipGroup.model_validate(
            {"group": group, "status": status, "reason": _withheld(subject.minimum_cell)}
        )
    persons = int(np.unique(subject.rows.persons[where]).size) if subject.rows.repeats else None
    return MembershipGroup.model_validate(
        {"group": group, "status": status, "n": count, "persons": persons, "share": count / total}
    )


def _soft_rest(rest: float, total: int) -> MembershipGroup:
    return MembershipGroup(
        group="none of the groups", status="none", expected=round(rest), share=_share(rest, total, exact=False),
        reason="what the probabilities of the groups leave to 1",
    )  # fmt: skip


def _unknown(subject: Subject) -> MembershipGroup:
    where, minimum = ~subject.rows.known, subject.minimum_cell
    count, total = int(where.sum()), len(subject.rows.cell)
    people = int(np.unique(subject.rows.persons[where]).size)
    hidden = 0 < people < minimum
    share = share_at_most(count=count, total=total, minimum=minimum) if hidden else count / total
    reasons = ["membership not known: counted, and in no comparison"] if count else []
    if share > subject.settings.maximum_unknown:
        reasons.append(f"above the policy's maximum share of unknowns, {subject.settings.maximum_unknown:g}")
    if hidden:
        reasons.append(_withheld(minimum))
    return MembershipGroup(
        group=UNKNOWN_LABEL, status="unknown", n=None if hidden else count, share=share, reason="; ".join(reasons),
        persons=people if subject.rows.repeats and not hidden else None,
    )  # fmt: skip
