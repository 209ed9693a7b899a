"""Whether a policy says what the statutory tables of the rule sets that it names need."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from auditkit.errors import Complaint
from auditkit.policy.explain import Locate, did_you_mean, listed
from auditkit.policy.statutory import BIAS_AUDIT, PARTS, TABULATED, StatutorySettings, crossing, named


def check_statutory(
    raw: Mapping[str, Any],
    settings: StatutorySettings | None,
    *,
    attributes: Sequence[str],
    intersections: Sequence[tuple[str, ...]],
    scores: bool,
    locate: Locate,
) -> Iterator[Complaint]:
    """Every complaint about the section and about what the tables of the named rule sets lack.

    Args:
        raw: the policy as written. settings: its section, None where that has a fault of its own.
        attributes, intersections: what the policy declares as protected.
        scores: whether the model gives scores. locate: `file:line:column` of a key path.
    """
    frameworks = raw.get("frameworks")
    asked = [name for name in TABULATED if isinstance(frameworks, list) and name in frameworks]
    if settings is None:
        return
    if not asked and "statutory" in raw:
        hint = f"name {' or '.join(TABULATED)} in 'frameworks', or remove it"
        yield Complaint("'statutory' is stated, and no rule set that reads it is named", locate(("statutory",)), hint)
        return
    wrong = list(_misnamed(settings, attributes, locate))
    yield from wrong
    if not asked or wrong:
        return
    yield from _missing(asked, frameworks, settings, attributes, locate)
    sex, race = (named(settings, attributes, part) for part in PARTS)
    if BIAS_AUDIT not in asked:
        return
    if sex and race and crossing(settings, attributes, intersections) is None:
        message = f"'{BIAS_AUDIT}' asks for a table of sex by race, and that intersection is not declared"
        where = locate(("frameworks", frameworks.index(BIAS_AUDIT) if frameworks else 0))
        yield Complaint(message, where, f"add [{sex}, {race}] to 'intersections' under 'protected'")
    if settings.exclude_below is not None and settings.because is None:
        message = "'exclude-below' leaves categories out, and no justification is stated"
        yield Complaint(message, locate(("statutory", "exclude-below")), "add because:, it is published")
    if settings.variant == "scores" and not scores:
        message = "the variant 'scores' needs scores, and the model brings decisions only"
        yield Complaint(message, locate(("statutory", "variant")), "add score: to 'model', or write selection")


def _misnamed(settings: StatutorySettings, attributes: Sequence[str], locate: Locate) -> Iterator[Complaint]:
    for part in PARTS:
        stated = getattr(settings, part)
        if stated is not None and stated not in attributes:
            close = did_you_mean(stated, attributes)
            hint = f"did you mean '{close}'?" if close else f"declared are {listed(attributes) or 'none'}"
            message = f"'{part}' names '{stated}', which is no protected attribute"
            yield Complaint(message, locate(("statutory", part)), hint)
    if settings.sex is not None and settings.sex == settings.race:
        message = f"'sex' and 'race' both name '{settings.sex}'"
        yield Complaint(message, locate(("statutory", "race")), "name two protected attributes")


def _missing(
    asked: Sequence[str], frameworks: Any, settings: StatutorySettings, attributes: Sequence[str], locate: Locate
) -> Iterator[Complaint]:
    """A rule set asks for a table of an attribute that nobody pointed out."""
    lacking = [part for part in PARTS if named(settings, attributes, part) is None]
    for name in asked:
        absent = lacking if name == BIAS_AUDIT else lacking if len(lacking) == len(PARTS) else []
        for part in absent:
            words = "sex" if part == "sex" else "race or ethnicity"
            message = f"'{name}' asks for a table by {words}, and the policy does not say which attribute that is"
            hint = f"add statutory: {{{part}: …}} with one of {listed(attributes) or 'the protected attributes'}"
            yield Complaint(message, locate(("frameworks", frameworks.index(name))), hint)
