"""What the statutory tables need of a policy: which attributes are sex and race, and the choices that a rule leaves."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Final, Literal

from pydantic import Field

from auditkit.policy.settings import Name, Section, Text

BIAS_AUDIT: Final = "nyc-ll144"
FOUR_FIFTHS: Final = "us-ugesp-four-fifths"
TABULATED: Final = (BIAS_AUDIT, FOUR_FIFTHS)
"""Rule sets whose tables are computed."""
Part = Literal["sex", "race"]
PARTS: Final[tuple[Part, ...]] = ("sex", "race")
USUAL: Final[dict[str, tuple[str, ...]]] = {
    "sex": ("sex", "gender"),
    "race": ("race", "ethnicity", "race_ethnicity", "race-ethnicity"),
}
"""Names of protected attributes that need not be stated."""


class StatutorySettings(Section):
    """Which protected attributes a law's tables are about, and the choices that its text leaves to the auditor."""

    sex: Name | None = None
    """Protected attribute that is sex; if not given, the one named `sex` or `gender`."""
    race: Name | None = None
    """Protected attribute that is race or ethnicity; if not given, the one named `race` or `ethnicity`."""
    variant: Literal["selection", "scores"] = "selection"
    """LL144: `selection` rates, or `scores` for rates of scoring above the full sample's median."""
    ties: Literal["above", "at-or-above"] = "above"
    """LL144 with scores: whether a score at the median itself counts as high; the rule says above."""
    exclude_below: Annotated[float, Field(gt=0, le=0.02)] | None = None
    """LL144: share of the data below which a category has no impact ratio, at most 0.02; none by default."""
    because: Text | None = None
    """LL144: the justification for leaving categories out, which the rule asks to be published."""


def named(settings: StatutorySettings, attributes: Sequence[str], part: Part) -> str | None:
    """The protected attribute that is sex, or race or ethnicity: as stated, or the only one of a usual name."""
    stated = settings.sex if part == "sex" else settings.race
    if stated is not None:
        return stated if stated in attributes else None
    usual = [name for name in attributes if name.lower() in USUAL[part]]
    return usual[0] if len(usual) == 1 else None


def crossing(
    settings: StatutorySettings, attributes: Sequence[str], intersections: Sequence[tuple[str, ...]]
) -> tuple[str, ...] | None:
    """The declared intersection of sex and race, in the order in which it is declared."""
    both = {named(settings, attributes, "sex"), named(settings, attributes, "race")}
    return next((names for names in intersections if len(names) == 2 and set(names) == both), None)
