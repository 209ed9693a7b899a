"""What the section `statutory` and the rule sets with tables ask of a policy, complaint by complaint."""

from __future__ import annotations

from pathlib import Path

import pytest

from auditkit.errors import PolicyError
from auditkit.policy.load import load
from auditkit.policy.statutory import StatutorySettings, crossing, named

GOOD = Path(__file__).resolve().parents[1] / "policies" / "good" / "hiring.yaml"
STATED = "statutory: {race: ethnicity, variant: selection, exclude-below: 0.02, because: Too few to be compared}\n"


def complaints(folder: Path, **changes: str) -> list[str]:
    text = GOOD.read_text(encoding="utf-8")
    for old, new in changes.items():
        assert old in text
        text = text.replace(old, new)
    path = folder / "hiring.yaml"
    path.write_text(text, encoding="utf-8")
    try:
        load(path)
    except PolicyError as error:
        return [str(complaint).removeprefix(f"{path}:") for complaint in error.complaints]
    return []


def test_the_good_policy_has_no_complaint(tmp_path: Path) -> None:
    assert complaints(tmp_path) == []
    assert complaints(tmp_path, **{STATED: ""}) == []  # sex and ethnicity are usual names


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"race: ethnicity": "race: etnicity"}, "which is no protected attribute; did you mean 'ethnicity'?"),
        ({"race: ethnicity": "race: sex, sex: sex"}, "'sex' and 'race' both name 'sex'; name two protected attributes"),
        ({"  intersections: [[sex, ethnicity]]\n": ""},
         "'nyc-ll144' asks for a table of sex by race, and that intersection is not declared; "
         "add [sex, ethnicity] to 'intersections' under 'protected'"),
        ({", because: Too few to be compared": ""},
         "'exclude-below' leaves categories out, and no justification is stated; add because:, it is published"),
        ({"variant: selection": "variant: scores", ", score: score}": "}"},
         "the variant 'scores' needs scores, and the model brings decisions only"),
        ({"exclude-below: 0.02": "exclude-below: 0.05"}, "'exclude-below' is 0.05, and has to be at most 0.02"),
        ({"frameworks: [nyc-ll144, us-ugesp-four-fifths]\n": ""},
         "'statutory' is stated, and no rule set that reads it is named"),
        ({"domain: employment": "domain: housing"}, "'nyc-ll144' is for the domain 'employment', and the policy is of "
         "the domain 'housing'"),
    ],
)  # fmt: skip
def test_what_is_amiss_is_said_with_what_to_do(changes: dict[str, str], expected: str, tmp_path: Path) -> None:
    found = complaints(tmp_path, **changes)
    assert any(expected in line for line in found), found
    assert len(found) == (2 if "housing" in expected else 1), found


def test_attributes_of_other_names_have_to_be_pointed_out(tmp_path: Path) -> None:
    found = complaints(tmp_path, ethnicity="origin", **{STATED.replace("ethnicity", "origin"): ""})
    (line,) = [text for text in found if "race or ethnicity" in text]
    assert "'nyc-ll144' asks for a table by race or ethnicity, and the policy does not say which attribute" in line
    assert "add statutory: {race: …} with one of sex, origin" in line


def test_usual_names_are_found_and_two_of_them_are_not_chosen_between() -> None:
    nothing = StatutorySettings()
    assert named(nothing, ["age", "Gender"], "sex") == "Gender"
    assert named(nothing, ["race", "ethnicity"], "race") is None
    assert named(StatutorySettings(race="race"), ["race", "ethnicity"], "race") == "race"
    assert crossing(nothing, ["sex", "race"], [("race", "sex")]) == ("race", "sex")
    assert crossing(nothing, ["sex", "race"], [("sex", "age"), ("sex", "race", "age")]) is None
