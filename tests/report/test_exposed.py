"""The report's words on persons, groups, slices, gaps and structure; bands are printed as bands."""

from __future__ import annotations

import pytest

from auditkit.report.html import render
from auditkit.result import (
    AuditResult,
    Estimate,
    GapExposure,
    Measurement,
    PersonRisk,
    RiskBand,
    SliceExposure,
    StructuralCheck,
    Structure,
    WhoIsExposed,
)
from tests.report.example_fairness import wilson
from tests.report.test_privacy_risk import measured, said

AVERAGE = Estimate(value=0.61, low=0.58, high=0.64, n=1900, method="jackknife")
FEW = Estimate(value=None, low=0.0, high=0.043, n=210, method="banded", withheld="fewer than 10 are counted")
HIDDEN = Estimate(value=None, withheld="withheld: it would tell of fewer than 10 persons, here or by subtraction")
NO_GAPS = "The attribution is withheld"


def detailed(*, persons: PersonRisk | None = None, gaps: bool = True) -> AuditResult:
    result = measured()
    part = result.privacy
    assert part.exposure is not None and part.duplicates is not None
    who = WhoIsExposed(
        by_group=(
            Measurement(measure="privacy.average_risk", on="sex", group="female", unit="score", estimate=AVERAGE),
            Measurement(measure="privacy.average_risk", on="sex", group="male", unit="score", estimate=HIDDEN),
        ),
        slices=(SliceExposure(name="declined", why="Who was declined", average=AVERAGE, flagged=FEW),),
        gaps=(GapExposure(name="sex: female minus male", top_share=0.05, both=FEW, expected=wilson(20, 210)),)
        if gaps else (),
        gaps_unit="persons" if gaps else "", no_gaps="" if gaps else NO_GAPS,
    )  # fmt: skip
    whole = persons or PersonRisk(
        status="assessed", persons=3500, several=wilson(420, 3500), average=AVERAGE, flagged=wilson(35, 3500),
        bands=tuple(
            RiskBand(low=low, high=high, share=wilson(events, 3500))
            for low, high, events in ((0.5, 0.9, 3480), (0.9, 1.0, 20))
        ),
        p_steps=3301,
    )  # fmt: skip
    structure = Structure(checks=(
        StructuralCheck(name="Largest number of records of one person", unit="count", of="training records",
                        meaning="It weighs.",
                        estimate=Estimate(value=None, low=6.0, high=10.0, withheld="a band only")),
        StructuralCheck(name="Levels with one label only", unit="count", of="41 levels of ten persons and more",
                        estimate=Estimate(value=2.0), meaning="Class disclosure.", warns=True),
    ))  # fmt: skip
    exposure = part.exposure.model_copy(update={"who": who, "persons": whole})
    copied = part.duplicates.model_copy(update={"copied": wilson(30, 4000)})
    update = {"exposure": exposure, "structure": structure, "duplicates": copied}
    return result.model_copy(update={"privacy": part.model_copy(update=update)})


@pytest.fixture(scope="module")
def text() -> str:
    return said(detailed())


@pytest.mark.parametrize(
    "words",
    [
        "of the 3,500 persons in training have several records", "The mark is made by person",
        "no p-value below 1 in 3,301", "The largest risk lies in the band from 0.90, at most 1.00",
        "Mean membership risk by group", "Not shown (it would tell of fewer than 10 persons, here or by subtraction)",
        "Membership risk by slice", "0.0 to 4.3 % n = 210, fewer than 10 are counted",
        "Training persons that widen a gap and are exposed", "the 5 % with the largest predicted effect",
        "6 to 10 a band only", "2 of 41 levels", "look at this", "0.8 %", "A low figure is no clearance",
        "spread alike with the record and without it",
    ],
)  # fmt: skip
def test_the_report_says_it(text: str, words: str) -> None:
    assert words in text


def test_tables_stand_in_the_order_of_their_numbers() -> None:
    html = render(detailed()).decode()
    found = [piece.split('"')[0] for piece in html.split('<table id="table-')[1:]]
    chapters = [int(number) for number in found if number.isdigit()]
    annex = [int(number.removeprefix("A")) for number in found if not number.isdigit()]
    assert chapters == list(range(1, len(chapters) + 1)) and annex == list(range(1, len(annex) + 1))
    assert found == [*map(str, chapters), *(f"A{number}" for number in annex)]  # the annex stands last


def test_where_no_person_has_several_records_nothing_is_doubled() -> None:
    reason = "no person has several records: the figures by record are those by person"
    found = said(detailed(persons=PersonRisk(status="not-applicable", reason=reason)))
    assert f"Not measured apart: {reason}." in found
    assert "Membership risk by record and by person" not in found


def test_without_effects_on_gaps_the_reason_stands() -> None:
    found = said(detailed(gaps=False))
    assert f"Not measured: {NO_GAPS}." in found and "Training persons that widen" not in found
