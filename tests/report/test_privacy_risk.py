"""The report's words on retrained models: the further attack, the risks in bands, and what the screen is worth."""

from __future__ import annotations

import re

import pytest

from auditkit.report.html import render
from auditkit.result import (
    AttackPart,
    AuditResult,
    Estimate,
    Exposure,
    Measurement,
    PrivacyPart,
    RankingQuality,
    RiskBand,
)
from tests.report.example import full
from tests.report.example_fairness import wilson

BAND = Estimate(value=None, low=0.0, high=0.011, n=4000, method="banded", withheld="fewer than 10 are counted")


def measured() -> AuditResult:
    result = full()
    part = result.privacy
    assert part.screen is not None
    quality = RankingQuality(
        ranking="self-influence", selection="highest 1%", precision=wilson(26, 40), recall=wilson(26, 200),
        lift=Estimate(value=13.0, low=9.7, high=15.9, n=40, method="precision over the base rate"),
    )  # fmt: skip
    groups = (
        Measurement(measure="privacy.exposed_share", on="sex", group="female", unit="share", estimate=wilson(41, 1880)),
        Measurement(measure="privacy.exposed_share", on="sex", group="male", unit="share",
                    estimate=Estimate(value=None, withheld="it would tell of fewer than 10")),
    )  # fmt: skip
    exposure = Exposure(
        status="assessed", rule="Marked: by two tests.", models=64, learned_from=3000, audited_learned_from=4000,
        average=Estimate(value=0.533, low=0.531, high=0.536, n=4000, method="jackknife"),
        bands=(RiskBand(low=0.5, high=0.6, share=wilson(3649, 4000)),
               RiskBand(low=0.6, high=0.75, share=wilson(351, 4000)),
               RiskBand(low=0.75, high=1.0, share=wilson(0, 4000))),
        flagged=BAND, by_group=groups, p_steps=4001,
    )  # fmt: skip
    attack = AttackPart(
        status="assessed", title="Likelihood ratio", source="Carlini et al. 2022", models=64,
        resolution=part.resolution, roc=part.roc,
    )  # fmt: skip
    screen = part.screen.model_copy(update={"calibration": "measured", "quality": (quality,), "truth_share": 0.05})
    update = {"attacks": (attack,), "exposure": exposure, "screen": screen}
    return result.model_copy(update={"privacy": part.model_copy(update=update)})


def said(result: AuditResult) -> str:
    plain = re.sub(r"<[^>]+>", " ", render(result).decode())
    return re.sub(r"[\s\u00a0]+", " ", plain)


@pytest.fixture(scope="module")
def text() -> str:
    return said(measured())


@pytest.mark.parametrize(
    "words",
    [
        "64 retrained models", "Outsized self-influence (measured)", "the 5 % of the training records with the highest",
        "self-influence, highest 1%", "The largest risk lies in the band from 0.60, below 0.75",
        "The reserve allows no p-value below 1 in 4,001", "Not shown, as it would tell of a few persons",
        "so these risks lie on the high side", "The attack “Likelihood ratio”",
    ],
)  # fmt: skip
def test_the_report_says_it(text: str, words: str) -> None:
    assert words in text


def test_without_retrained_models_the_reasons_stand_and_the_screen_is_uncalibrated() -> None:
    result = full()
    update = {
        "attacks": (AttackPart(status="not-applicable", reason="no reserve", title="Likelihood ratio", source="C."),),
        "exposure": Exposure(status="not-applicable", reason="no reserve is named"),
    }
    part: PrivacyPart = result.privacy.model_copy(update=update)
    found = said(result.model_copy(update={"privacy": part}))
    assert "Not run (C.): no reserve." in found and "Not measured: no reserve is named." in found
    assert "Outsized self-influence (uncalibrated)" in found
