"""The report's words on attackers without retrained models, on rankings, and on attributes that are guessed."""

from __future__ import annotations

import re

from auditkit.report.html import render
from auditkit.result import AttackPart, AttributeInference, AuditResult, Estimate, InferencePart, RankingQuality
from tests.report.example import full
from tests.report.example_fairness import wilson

POINTS = Estimate(value=0.081, low=0.055, high=0.107, n=6000, method="square-and-add")
HIDDEN = Estimate(value=None, withheld="attack and baseline differ in fewer than 10 persons or records")


def said(result: AuditResult) -> str:
    plain = re.sub(r"<[^>]+>", " ", render(result).decode())
    return re.sub(r"[\s\u00a0]+", " ", plain)


def with_parts() -> AuditResult:
    result = full()
    part = result.privacy
    assert part.screen is not None
    first = AttackPart(status="not-applicable", reason="no bank", title="LiRA", source="Carlini et al. 2022")
    attacks = (
        first,
        AttackPart(
            status="assessed", title="Quantile regression", source="Bertran et al. 2023", needs="features",
            resolution=part.resolution, roc=part.roc,
        ),
        AttackPart(
            status="assessed", title="Loss trace", source="Pollock et al. 2024", needs="course",
            resolution=part.resolution,
        ),
        first.model_copy(update={"title": "RMIA", "reason": "no models were retrained"}),
    )  # fmt: skip
    guessed = (
        AttributeInference(
            name="housing", status="assessed", levels=4, feature=True, members=wilson(2480, 4000),
            control=wilson(1078, 2000), baseline=wilson(2160, 4000), difference=POINTS, gain=POINTS,
        ),
        AttributeInference(
            name="sex", status="assessed", levels=2, members=wilson(3012, 4000), control=wilson(1502, 2000),
            baseline=HIDDEN, difference=POINTS, gain=HIDDEN,
            notes=("Fewer than 10 records of unknown or rare value count as not guessed.",),
        ),
        AttributeInference(name="faith", status="not-applicable", reason="the reserve half is too small"),
    )  # fmt: skip
    quality = RankingQuality(
        ranking="leverage", selection="highest 5%", precision=wilson(29, 200), recall=wilson(29, 200),
        lift=Estimate(value=2.9, low=1.96, high=4.08, n=200, method="precision over the base rate"),
    )  # fmt: skip
    screen = part.screen.model_copy(
        update={
            "quality": (quality,), "truth_share": 0.05, "calibration": "measured",
            "not_ranked": (("TracIn-CP", "the training cannot be replayed"),),
        }
    )  # fmt: skip
    inference = InferencePart(status="assessed", rule="the attacker knows the rest.", attributes=guessed)
    update = {"attacks": attacks, "inference": inference, "screen": screen}
    return result.model_copy(update={"privacy": part.model_copy(update=update)})


def test_every_attacker_is_named_with_what_he_has_or_why_he_was_not_run() -> None:
    text = said(with_parts())
    assert "Quantile regression (Bertran et al. 2023). The attacker needs no retrained models" in text
    assert "Loss trace (Pollock et al. 2024). The attacker saw the training or holds its checkpoints" in text
    assert "RMIA (Carlini et al. 2022). Not run: no models were retrained." in text
    assert "Success of the further attacks" in text


def test_attributes_stand_beside_control_and_baseline_with_what_is_withheld() -> None:
    text = said(with_parts())
    assert "The attacker knows the rest." in text and "4 values, read by the model" in text
    assert "2 values, not read by the model" in text and "62.0 %" in text and "53.9 %" in text and "54.0 %" in text
    assert "8.1 points" in text and "differ in fewer than 10 persons" in text
    assert "faith: not measured, the reserve half is too small." in text
    assert "Fewer than 10 records of unknown or rare value" in text
    assert "leverage, highest 5%" in text and "Not ranked by TracIn-CP: the training cannot be replayed." in text


def test_no_attack_on_attributes_says_why() -> None:
    result = full()
    nothing = InferencePart(status="not-applicable", reason="no reserve")
    part = result.privacy.model_copy(update={"inference": nothing})
    assert "Not measured: no reserve." in said(result.model_copy(update={"privacy": part}))
