"""The threat model of the audit in the words of NIST AI 100-2, and what was not tested under it."""

from __future__ import annotations

from auditkit.policy.schema import Deployment, PrivacySettings
from auditkit.result import NOT_STATED

WITHOUT_RISK = "Per-record exposure: how likely one record's membership is guessed; that needs retrained models."
WITHOUT_MODELS = "Membership inference with reference models (LiRA, RMIA), calibrated loss, or the course of training."
WITH_MODELS = "Membership inference by quantile regression, or from the course of training."
NOT_TESTED = (
    "Membership inference from decisions alone, or by an attacker who poisoned the training records.",
    "Membership of a person whose several records are put together.",
    "Attribute inference, property inference, data reconstruction and model extraction.",
    "A claim of differential privacy, if one is made.",
    "Differences between this report and earlier ones of the same model.",
)


def not_tested(*, retrained: bool) -> tuple[str, ...]:
    """What this audit leaves open; less where models were retrained."""
    return (WITH_MODELS, *NOT_TESTED) if retrained else (WITHOUT_RISK, WITHOUT_MODELS, *NOT_TESTED)


def threat_model(
    settings: PrivacySettings, deployment: Deployment, *, attack_run: bool, persons_repeat: bool | None
) -> tuple[tuple[str, str], ...]:
    """Rows (name, value): attacker, goal, knowledge, capability, access, what is released, unit.

    Facts come from the policy; what it does not state reads "not stated". Knowledge and capability are those
    the attack tested assumes, not those of a real attacker. Source of the words: NIST AI 100-2 E2025, privacy
    attacks.
    """
    released = {True: "Yes", False: "No", None: NOT_STATED}[deployment.released]
    unit = {
        True: "A record; some persons have several, and intervals count persons",
        False: "A record; no person has more than one in a split",
        None: "A record; the policy names no person column, so records of one person cannot be told",
    }[persons_repeat]
    rests = (
        "Records of the same population that the model never saw: the policy's reserve"
        if attack_run
        else "None: no attack was run, for the reason given"
    )
    return (
        ("Attacker", settings.attacker or NOT_STATED),
        ("Attacker's goal", "Privacy compromise by membership inference: was this record used in training?"),
        ("Attacker's knowledge", "The record's features and label, losses of other records; no parameters"),
        ("Attacker's capability", "Query access to the score; no control of the training data"),
        ("Access to the model, as stated", deployment.model_access or NOT_STATED),
        ("Model released", released),
        ("Released by this audit", "The public report: aggregates only, no record's values, small cells withheld"),
        ("Non-members tested", rests),
        ("Unit of privacy", unit),
    )  # fmt: skip
