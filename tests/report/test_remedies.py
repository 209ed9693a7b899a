"""The section on remedies: what was tried is told with its intervals, what was not with its reason."""

from __future__ import annotations

import re

from auditkit.report import html
from auditkit.result import AuditResult, Change, Estimate, Fact, Onion, RemediesPart, Remedy


def told(value: float, half: float) -> Estimate:
    return Estimate(value=value, low=value - half, high=value + half, n=64, method="mean over pairs; t interval")


NONE = Estimate(value=None, withheld="fewer than 30 records in this group")
SHARE = Estimate(value=0.07, low=0.05, high=0.09, n=280, method="exact")
PART = RemediesPart(
    status="assessed", reason="", notes=("Each remedy's models learned the same halves.",),
    remedies=(
        Remedy(
            name="dp-sgd", title="Differentially private training (DP-SGD)", status="assessed", models=64,
            what="DP-SGD at epsilon 3.", source="Abadi et al.", notes=("Noise is seeded <here>.",),
            facts=(Fact(name="Noise multiplier", value="2.12"),),
            changes=(
                Change(measure="remedies.average_risk", before=told(0.62, 0.01), after=told(0.53, 0.01),
                       change=told(-0.09, 0.012)),
                Change(measure="model.accuracy", unit="rate", before=told(0.8, 0.02), after=told(0.79, 0.02),
                       change=told(-0.01, 0.02)),
                Change(measure="fairness.impact_ratio", on="sex", group="female", reference="male", unit="ratio",
                       before=told(0.9, 0.05), after=told(0.75, 0.05), change=told(-0.15, 0.04)),
                Change(measure="fairness.impact_ratio", on="sex", group="other", reference="male", unit="ratio",
                       before=NONE, after=NONE, change=NONE),
            ),
        ),
        Remedy(
            name="remove-flagged", title="Removal of the records marked as exposed", status="assessed", models=64,
            what="The records marked as exposed are not learned from.",
            onion=Onion(newly=SHARE, no_longer=SHARE, control=SHARE, control_risk=told(0.001, 0.0001)),
        ),
        Remedy(name="fewer-epochs", title="Fewer epochs", status="not-applicable", reason="there are no epochs"),
    ),
)  # fmt: skip


def section(result: AuditResult) -> str:
    text = html.render(result).decode()
    start = text.index('id="remedies"')
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", text[start : text.index('id="data"', start)]))


def annexed(result: AuditResult) -> str:
    text = html.render(result).decode()
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", text[text.index('<section class="chapter" id="annex"') :]))


def test_changes_are_told_with_their_intervals_and_which_way_they_go(full: AuditResult) -> None:
    text = section(full.model_copy(update={"remedies": PART}))
    assert "Average risk is lower with the remedy: change −0.0900 (95" in text
    assert "no change of accuracy is shown" in text
    assert "of 1 group comparison, 1 changed with an interval off zero" in text
    table = annexed(full.model_copy(update={"remedies": PART}))
    assert "−0.15" in table
    assert "sex · female (against male)" in table
    assert "Not shown (fewer than 30 records in this group): sex = other" in table
    assert "Noise multiplier" in text
    assert "Noise is seeded &lt;here&gt;." in text


def test_the_remedies_stand_side_by_side(full: AuditResult) -> None:
    text = section(full.model_copy(update={"remedies": PART}))
    overview = text[text.index("What the remedies changed") : text.index("5.1")]
    assert "−0.0900" in overview and "−1.0 points" in overview and "1 of 1" in overview
    assert "Removal of the records marked as exposed – – – 0 of 0" in overview


def test_the_onion_and_its_control_stand_side_by_side(full: AuditResult) -> None:
    text = section(full.model_copy(update={"remedies": PART}))
    assert "Newly exposed, of the records that stay" in text
    assert "after removing as many others at random" in text


def test_what_was_not_tried_says_why(full: AuditResult) -> None:
    assert "Not tried: there are no epochs." in section(full.model_copy(update={"remedies": PART}))


def test_without_remedies_the_section_says_how_to_ask(full: AuditResult) -> None:
    assert "remedies: {try: [stronger-l2" in section(full)
