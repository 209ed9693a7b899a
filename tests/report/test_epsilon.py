"""The report's words on lower limits of epsilon, canaries, the claim, and the attacks of the threat model."""

from __future__ import annotations

from auditkit.report.html import render
from auditkit.result import (
    AuditResult,
    CanaryPart,
    ClaimPart,
    EpsilonBound,
    EpsilonPart,
    Estimate,
    Fact,
    GuessCount,
    Measurement,
    Quality,
    ThreatRow,
)
from tests.report.example import full
from tests.report.test_privacy_risk import said

WITHHELD = Estimate(value=None, level=0.95, withheld="no models were retrained")


def _bound(name: str, title: str, value: float | None, **more: object) -> EpsilonBound:
    fields = {
        "name": f"privacy.{name}", "title": title, "status": "assessed", "about": "it", "attack": "LiRA",
        "relation": "replace", "unit": "record", "delta": 1e-5, "aimed_fpr": 0.01, "assumes": ("Records are alike.",),
        "bound": Estimate(value=value, low=value, n=6000, method="two exact limits"),
        "true_positives": Estimate(value=0.031, low=0.026, high=0.037, n=4000, method="exact"),
        "false_positives": Estimate(value=0.011, low=0.007, high=0.016, n=2000, method="exact"),
    }  # fmt: skip
    return EpsilonBound.model_validate(fields | more)


def limited(*, claim: bool) -> AuditResult:
    bounds = (
        _bound("epsilon_lower_bound", "The audited model", 0.0),
        _bound("recipe_epsilon_lower_bound", "Held-out models", None, status="not-applicable",
               reason="no models were retrained", bound=WITHHELD),
        _bound("canary_epsilon_lower_bound", "By canaries", 1.816, relation="add-or-remove", true_positives=None,
               false_positives=None, most=3.1),
    )  # fmt: skip
    canaries = CanaryPart(
        status="assessed", rule="made-up records", canaries=200, guesses=20, right=19, inserted_into=4321,
        counts=(
            GuessCount(guesses=20, right=19, level=0.975, bound=1.816, most=2.2),
            GuessCount(guesses=200, right=120, level=0.975, bound=0.1, most=3.1),
        ),
    )  # fmt: skip
    stated = ClaimPart(
        epsilon=1.0, delta=1e-5, unit="record", neighbours="add-or-remove",
        points=(Fact(name="Accountant", value="not stated", stated=False),),
        held=(Quality(name="By canaries", value=1.816, text="Allowed is 1: contradicted.", warns=True),),
    )  # fmt: skip
    rows = tuple(Measurement(measure=bound.name, unit="score", estimate=bound.bound) for bound in bounds)
    threats = (
        ThreatRow(attack="LiRA", goal="Membership inference", stage="Deployment-time", knowledge="Gray box",
                  capability="Query access", run=True),
        ThreatRow(attack="Inserted canaries", goal="Membership inference", stage="Training-time",
                  knowledge="Gray box", capability="Training data control", run=False),
    )  # fmt: skip
    result = full()
    update = {
        "epsilon": EpsilonPart(bounds=bounds, canaries=canaries, claim=stated if claim else None), "threats": threats,
        "measurements": (*result.privacy.measurements, *rows),
    }  # fmt: skip
    return result.model_copy(update={"privacy": result.privacy.model_copy(update=update)})


def test_limits_say_what_they_tell_apart_what_they_assume_and_what_a_zero_shows() -> None:
    text = said(limited(claim=False))
    assert "The audited model LiRA; a record replaced by another 0.000 n = 6,000 3.1 % 2.6 to 3.7 %" in text
    assert "By canaries LiRA; a record added or not 1.82 n = 6,000" in text
    assert "Level of each limit: 95 %, one-sided. Delta: 1e-05." in text
    assert "Held-out models: not measured; no models were retrained." in text
    assert "The audited model assumes: Records are alike." in text
    assert "A limit of 0 shows nothing" in text and "(The audited model)" in text
    assert "Canaries 200, put among 4,321 training records; guesses stated beforehand 20, right 19." in text
    assert "20 19 1.82 2.20" in text and "200 120 0.100 3.10" in text
    assert "could have shown, every guess being right, is 3.10." in text and "far larger" not in text
    assert "claim of differential privacy against" not in text


def test_a_contradicted_claim_is_said_beside_the_limits() -> None:
    text = said(limited(claim=True))
    assert "Accountant not stated" in text
    assert "By canaries 1.82 Allowed is 1: contradicted." in text
    assert "A measured limit contradicts the claim." in text


def test_limits_stand_in_their_own_table_only_and_attacks_say_whether_they_were_run() -> None:
    text = said(limited(claim=False))
    assert "Lower limit of epsilon of" not in text
    assert "LiRA Membership inference; deployment-time Gray box Query access run" in text
    assert "Training data control not run" in text


def test_without_limits_there_is_no_such_part() -> None:
    assert b"privacy-epsilon" not in render(full())


def test_a_limit_that_is_the_most_that_could_be_shown_says_so() -> None:
    result = limited(claim=False)
    part = result.privacy.epsilon
    assert part is not None
    bounds = tuple(b.model_copy(update={"most": 1.816}) if b.most is not None else b for b in part.bounds)
    privacy = result.privacy.model_copy(update={"epsilon": part.model_copy(update={"bounds": bounds})})
    text = said(result.model_copy(update={"privacy": privacy}))
    assert "every guess was right, and epsilon may be far larger. More canaries would show more." in text
