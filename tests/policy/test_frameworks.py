from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest

from auditkit.errors import PolicyError
from auditkit.policy.frameworks import (
    available,
    domain_problem,
    load_framework,
    read_framework,
    told,
    warnings,
)
from auditkit.report.sections import SECTIONS

SHIPPED = (
    "co-sb24-205", "co-sb26-189", "edpb-opinion-28-2024", "eu-ai-act-annex-iv", "eu-ai-act-article-10",
    "eu-ai-act-article-13", "eu-ai-act-article-15", "gdpr-article-22", "gdpr-article-35", "iso-iec-27559",
    "iso-iec-tr-24027", "nist-ai-rmf-measure", "nyc-ll144", "us-ecoa-reg-b", "us-fha",
    "us-hipaa-expert-determination", "us-sr-11-7", "us-sr-26-2", "us-ugesp-four-fifths",
)  # fmt: skip
TEXT = """framework: 1
id: test
title: Test act
jurisdiction: Nowhere
citation: Test act, section 1
as-of: 2026-11-23
status: superseded
superseded-by: Newer act
effective-from: 2020-01-01
effective-until: 2026-06-30
domains: [employment]
scope: Does it apply?
certainty: unverified
computed: [{requirement: Rates, section: fairness, measures: [fairness.tpr], certainty: secondary}]
attested: []
disclaimer: A map, not legal advice.
"""


def write(folder: Path, text: str) -> Path:
    path = folder / "test.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def test_the_rule_sets_that_are_shipped() -> None:
    assert set(SHIPPED) == set(available())


@pytest.mark.parametrize("name", SHIPPED)
def test_each_says_what_is_computed_what_is_attested_and_how_sure_it_is(name: str) -> None:
    found = load_framework(name)
    assert found.computed and found.attested
    assert all(
        entry.certainty in ("verified", "secondary", "unverified") for entry in (*found.computed, *found.attested)
    )
    assert "not legal advice" in found.disclaimer
    assert found.scope.endswith("?")


def test_no_rule_set_claims_what_the_law_does_not_say() -> None:
    assert any("sets no threshold" in note for note in load_framework("nyc-ll144").notes)
    assert load_framework("us-ecoa-reg-b").certainty == "secondary"
    for name in SHIPPED:
        text = load_framework(name).model_dump_json().lower()
        assert not any(word in text for word in ("compliant", "unbiased", "is fair", "is safe"))


def test_status_is_told_on_the_audits_date(tmp_path: Path) -> None:
    found = read_framework(write(tmp_path, TEXT))
    assert found.status_notes(date(2026, 6, 30)) == (
        "Test act: superseded by Newer act (as of 2026-11-23).",
        "Test act: status and dates are unverified; check the primary text.",
    )
    assert "applied until 2026-06-30" in found.status_notes(date(2026, 7, 1))[1]
    assert "applies from 2020-01-01" in found.status_notes(date(2019, 12, 31))[1]
    assert load_framework("gdpr-article-35").status_notes(date(2026, 11, 23)) == ()
    assert "deferred" in load_framework("eu-ai-act-article-10").status_notes(date(2026, 11, 23))[0]


TODAY = date(2026, 11, 23)


def told_of(*names: str, as_of: date = TODAY) -> dict[str, tuple[str, ...]]:
    return warnings([load_framework(name) for name in names], as_of)


def test_every_section_named_is_one_of_the_report() -> None:
    sections = {section.id for section in SECTIONS}
    for name in SHIPPED:
        assert {item.section.split("-")[0] for item in load_framework(name).computed} <= sections, name


def test_successors_and_conflicts_are_installed() -> None:
    for name in SHIPPED:
        found = load_framework(name)
        assert found.replaced_by is None or found.replaced_by in SHIPPED
        assert {conflict.against for conflict in found.conflicts} <= set(SHIPPED) - {name}
        assert (found.status == "superseded") == (found.superseded_by is not None)
        assert found.superseded_by is None or found.certainty != "verified" or found.replaced_by is not None


def test_nothing_is_told_of_rule_sets_that_bind() -> None:
    assert told_of("gdpr-article-35", "us-ecoa-reg-b", "us-sr-26-2") == {}


def test_a_superseded_one_is_told_with_what_replaced_it() -> None:
    (status, expired) = told_of("us-sr-11-7")["us-sr-11-7"]
    assert "superseded by SR 26-2" in status and "applied until 2026-04-16" in expired
    assert len(told_of("us-sr-11-7", as_of=date(2026, 4, 16))["us-sr-11-7"]) == 1
    (status,) = told_of("co-sb24-205")["co-sb24-205"]
    assert "superseded by SB 26-189" in status


def test_one_that_does_not_bind_yet_is_told() -> None:
    assert "applies from 2027-01-01, after this audit's date" in told_of("co-sb26-189")["co-sb26-189"][0]
    assert told_of("co-sb26-189", as_of=date(2027, 1, 1)) == {}
    deferred = told_of("eu-ai-act-article-15")["eu-ai-act-article-15"]
    assert "deferred" in deferred[0] and "applies from 2027-12-02" in deferred[1]


def test_one_beside_its_successor_is_told() -> None:
    found = told_of("us-sr-11-7", "us-sr-26-2")
    assert "and its successor SR 26-2, model risk management are both named" in found["us-sr-11-7"][-1]
    assert "us-sr-26-2" not in found


@pytest.mark.parametrize("pair", [("us-fha", "us-ecoa-reg-b"), ("us-ugesp-four-fifths", "nyc-ll144")])
def test_a_conflict_is_told_of_both_and_once(pair: tuple[str, str]) -> None:
    found = told_of(*pair)
    assert set(found) == set(pair) and found[pair[0]] == found[pair[1]]
    assert "conflict:" in found[pair[0]][0]
    assert told([load_framework(name) for name in pair], TODAY) == found[pair[0]]
    assert told_of(pair[0]) == {}


def test_what_the_notes_do_not_establish_is_not_said_to_be_verified() -> None:
    assert load_framework("us-sr-26-2").certainty == "secondary"
    assert load_framework("co-sb26-189").certainty == "secondary"
    recalled = ("iso-iec-tr-24027", "gdpr-article-22", "eu-ai-act-article-13", "eu-ai-act-annex-iv")
    for name in recalled:
        found = load_framework(name)
        assert {item.certainty for item in (*found.computed, *found.attested)} == {"unverified"}, name
    items = load_framework("nist-ai-rmf-measure").computed
    assert [item.certainty for item in items] == ["verified", "unverified", "unverified"]


def test_a_rule_set_of_another_domain_is_a_problem_and_an_empty_list_is_every_domain() -> None:
    ugesp, gdpr = load_framework("us-ugesp-four-fifths"), load_framework("gdpr-article-35")
    assert domain_problem(ugesp, "employment") is None
    assert domain_problem(ugesp, "consumer-credit") is not None
    assert "states no domain" in (domain_problem(ugesp, None) or "")
    assert domain_problem(gdpr, None) is None


def test_an_unknown_rule_set_is_refused_with_the_nearest_or_the_list() -> None:
    with pytest.raises(PolicyError, match=r"no rule set 'nyc-ll-144'; did you mean 'nyc-ll144'\?"):
        load_framework("nyc-ll-144")
    with pytest.raises(PolicyError, match="available: co-sb24-205, co-sb26-189"):
        load_framework("weather")
    with pytest.raises(PolicyError, match="no rule set"):
        load_framework("../loans")


def test_a_faulty_rule_set_is_placed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(PolicyError) as caught:
        read_framework(
            write(tmp_path, TEXT.replace("status: superseded", "status: in force").replace("not legal", "x"))
        )
    lines = [str(complaint) for complaint in caught.value.complaints]
    assert lines[0].startswith("test.yaml:7:1: 'status' is 'in force', and has to be 'in_force'")
    assert lines[1].startswith("test.yaml:16:1: 'disclaimer'") and lines[1].endswith(
        "has to be text that says 'not legal advice'"
    )
    with pytest.raises(PolicyError, match=r"id is 'other' and its file is named 'test\.yaml'"):
        read_framework(write(tmp_path, TEXT.replace("id: test", "id: other")))
