"""The threat model of the audit in the words of NIST AI 100-2, which attacks were run, and what was not tested.

NIST AI 100-2 E2025 describes an attacker by the stage of learning (training-time or deployment-time), goal (here:
privacy compromise, by membership inference, attribute or property inference, data reconstruction or model extraction),
capability (query access, model control, training data control) and knowledge (black, gray or white box).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from auditkit.policy.schema import Deployment, PrivacySettings
from auditkit.privacy.membership import Need
from auditkit.privacy.registry import ATTACKS
from auditkit.result import NOT_STATED, ThreatRow

MEMBERSHIP: Final = "Membership inference"
ATTRIBUTE: Final = "Attribute inference"
DEPLOYED: Final = "Deployment-time"
TRAINED: Final = "Training-time"
NOT_RUN: Final = "No attack was run"
QUERY: Final = "Query access: scores"
KNOWLEDGE: Final[dict[Need, tuple[str, str]]] = {
    "loss": ("Black box: the record with its label, and losses of other records", QUERY),
    "retrained": ("Gray box: the record with its label, the recipe, records of the population to retrain on", QUERY),
    "features": ("Black box: the record with its label, and features of records known to be no members", QUERY),
    "course": (
        "Gray box: the record with its label, and the model's answers in the course of its training",
        f"{QUERY}, at checkpoints",
    ),
}
"""By what an attack needs: the attacker's knowledge and capability."""
ACCESS: Final = {
    "decisions": "Query access: decisions",
    "scores": QUERY,
    "parameters": "Query access and the model's parameters (white box)",
    "training": "The model's parameters and the course of its training",
}
NO_SEPARATE_TEST: Final = {
    "decisions": "decisions alone, which show less than the scores that were attacked",
    "parameters": "parameters, which may show more than the scores that were attacked",
    "training": "parameters and gradients, which may show more than the answers that were attacked",
}
WITHOUT_RISK: Final = (
    "Per-record exposure: how likely one record's membership is guessed; that needs retrained models."
)


@dataclass(frozen=True)
class Ran:
    """What this audit really ran; each line of what was not tested goes by one of these."""

    attacks: frozenset[str]
    """Names among ATTACKS."""
    risk: bool
    """Record by record, on retrained models."""
    persons: bool | None
    """Whether records of one person were put together; None where no person has several, or none are known."""
    attributes: bool
    """Attribute inference against a control."""
    recipe_bound: bool
    canaries: bool
    claimed: bool
    """Whether the policy states a claim of differential privacy."""
    earlier_releases: bool
    """Whether differences from earlier releases of the policy are guarded."""


def not_tested(ran: Ran, settings: PrivacySettings) -> tuple[str, ...]:
    """What this audit leaves open, computed from what was run."""
    left = [attack.title for name, attack in ATTACKS.items() if name not in ran.attacks]
    access = settings.access or ""
    lines = {
        WITHOUT_RISK: not ran.risk,
        f"Membership inference by: {'; '.join(left)}.": bool(left),
        f"An attacker who has {NO_SEPARATE_TEST.get(access, '')}.": access in NO_SEPARATE_TEST,
        "Membership inference from decisions alone.": access != "decisions",
        "An attacker with control of training records (poisoning), which can raise what leaks.": True,
        "Membership of a person whose several records are put together.": ran.persons is False,
        "Attribute inference against a control.": not ran.attributes,
        "Property inference, data reconstruction and model extraction.": True,
        "Epsilon of the recipe on models that neither the attack nor its threshold saw.": not ran.recipe_bound,
        "Epsilon by inserted canaries (privacy.canaries).": not ran.canaries,
        "The proof behind the stated claim of differential privacy, and its code.": ran.claimed,
        "Differences between this report and earlier ones of the same policy.": not ran.earlier_releases,
    }
    return tuple(line for line, is_left in lines.items() if is_left)


def attacks_run(ran: Ran) -> tuple[ThreatRow, ...]:
    """One row an attack, run or not: goal, stage, knowledge and capability of its attacker."""
    rows = [
        _row(attack.title, MEMBERSHIP, *KNOWLEDGE[attack.needs], run=name in ran.attacks)
        for name, attack in ATTACKS.items()
    ]
    rows.append(_row(
        "Attribute inference against a control", ATTRIBUTE,
        "Gray box: the record but for one attribute, and records of the population", QUERY, run=ran.attributes,
    ))  # fmt: skip
    rows.append(_row(
        "Inserted canaries", MEMBERSHIP, "Gray box: the canaries, and the model before them",
        "Training data control: adds records; query access: scores", run=ran.canaries, stage=f"{TRAINED}, then query",
    ))  # fmt: skip
    return tuple(rows)


def _row(attack: str, goal: str, knowledge: str, capability: str, *, run: bool, stage: str = DEPLOYED) -> ThreatRow:
    return ThreatRow(attack=attack, goal=goal, stage=stage, knowledge=knowledge, capability=capability, run=run)


def threat_model(
    settings: PrivacySettings, deployment: Deployment, ran: Ran, *, persons_repeat: bool | None
) -> tuple[tuple[str, str], ...]:
    """Rows (name, value): attacker, goals, stage, knowledge, capability, access, what is released, unit.

    Facts come from the policy; what it does not state reads "not stated". Knowledge and capability of the attacks that
    were run stand row by row in `attacks_run`; here stands the most that any of them was given.
    """
    released = {True: "Yes", False: "No", None: NOT_STATED}[deployment.released]
    unit = {
        True: "A record; some persons have several, and intervals count persons",
        False: "A record; no person has more than one in a split",
        None: "A record; the policy names no person column, so records of one person cannot be told",
    }[persons_repeat]
    rests = (
        "Records of the same population that the model never saw: the policy's reserve"
        if ran.attacks
        else "None: no attack was run, for the reason given"
    )
    most = _most(ATTACKS[name].needs for name in ran.attacks)
    return (
        ("Attacker", settings.attacker or NOT_STATED),
        ("Attacker's knowledge, as stated", settings.knowledge or NOT_STATED),
        ("Attacker's access, as stated", ACCESS.get(settings.access or "", NOT_STATED)),
        ("Access to the model, as stated", deployment.model_access or NOT_STATED),
        ("Model released", released),
        ("Words after", "NIST AI 100-2 E2025: stage of learning, goal, knowledge and capability of the attacker"),
        ("Attacker's goals", _goals(ran)),
        ("Stage of learning", f"{DEPLOYED}: the trained model is queried" if ran.attacks else NOT_RUN),
        ("Attacker's knowledge, as tested", KNOWLEDGE[most][0] if most else NOT_RUN),
        ("Attacker's capability, as tested", _capability(ran)),
        ("Released by this audit", "The public report: aggregates only, no record's values, small cells withheld"),
        ("Non-members tested", rests),
        ("Unit of privacy", unit),
    )  # fmt: skip



def _most(needs: Iterable[Need]) -> Need | None:
    """What the best-informed of the attacks has."""
    order: tuple[Need, ...] = ("loss", "features", "course", "retrained")
    return max(needs, key=order.index, default=None)


def _goals(ran: Ran) -> str:
    tried = [MEMBERSHIP.lower()] * bool(ran.attacks or ran.canaries) + [ATTRIBUTE.lower()] * ran.attributes
    return f"Privacy compromise: {', '.join(tried)}" if tried else "Privacy compromise; none was tested"


def _capability(ran: Ran) -> str:
    if not ran.attacks and not ran.canaries:
        return NOT_RUN
    checkpoints = any(ATTACKS[name].needs == "course" for name in ran.attacks)
    parts = [QUERY, "scores at checkpoints" * checkpoints, "added training records (canaries)" * ran.canaries]
    return "; ".join(part for part in parts if part)
