"""Slips in the settings of the bank, and what is said of them."""

from __future__ import annotations

from pathlib import Path

import pytest

from auditkit.errors import PolicyError
from auditkit.policy.jsonschema import schema
from auditkit.policy.load import load

TEXT = (Path(__file__).parents[1] / "policies" / "bad" / "16-rule-on-nothing-declared" / "policy.yaml").read_text(
    encoding="utf-8"
).replace("on: gender", "on: sex")


def complaints(folder: Path, privacy: str) -> list[str]:
    path = folder / "policy.yaml"
    path.write_text(f"{TEXT}privacy: {privacy}\n", encoding="utf-8")
    with pytest.raises(PolicyError) as caught:
        load(path)
    return [f"{complaint.message} | {complaint.hint}" for complaint in caught.value.complaints]


@pytest.mark.parametrize(
    ("privacy", "said"),
    [
        ("{bank: 8}", "'bank' is 8, and has to be 'auto' or 'none' or at least 16 | "),
        ("{bank: 100000}", "'bank' is 100000, and has to be 'auto' or 'none' or at most 4096 | "),
        ("{bank: non}", "'bank' is 'non', and has to be 'auto' or 'none' or a whole number | did you mean 'none'?"),
        ("{budget: 5 hours}", "'budget' is '5 hours', and has to be a time such as '20 s' or '5 min' | "),
        ("{budget: 300}", "'budget' is 300, and has to be text | put it in quotes"),
        ("{bank: 64, budget: 5 min}",
         "'bank' is 64, so that 'budget' decides nothing | remove it, or write bank: auto"),
        ("{bank: none, budget: 20 s}",
         "'bank' is none, so that 'budget' decides nothing | remove it, or write bank: auto"),
    ],
)  # fmt: skip
def test_a_slip_is_said_with_its_cure(tmp_path: Path, privacy: str, said: str) -> None:
    assert complaints(tmp_path, privacy) == [said]


@pytest.mark.parametrize("privacy", ["{bank: 64}", "{budget: 5 min}", "{bank: auto, budget: 2h}", "{bank: none}"])
def test_what_is_right_is_taken(tmp_path: Path, privacy: str) -> None:
    path = tmp_path / "policy.yaml"
    path.write_text(f"{TEXT}privacy: {privacy}\n", encoding="utf-8")
    assert load(path).policy.privacy.bank in (64, "auto", "none")


def test_an_editor_is_told_of_both_settings() -> None:
    found = schema()["$defs"]["PrivacySettings"]["properties"]
    assert {option.get("minimum") for option in found["bank"]["anyOf"]} == {None, 16}
    assert "5 min" in found["budget"]["description"]
