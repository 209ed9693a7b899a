from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest

from auditkit.errors import PolicyError
from auditkit.policy.frameworks import available, domain_problem, load_framework, read_framework

SHIPPED = ("eu-ai-act-article-10", "gdpr-article-35", "nyc-ll144", "us-ecoa-reg-b", "us-ugesp-four-fifths")
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
    assert set(SHIPPED) <= set(available())


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
    assert any("no pass mark" in note for note in load_framework("nyc-ll144").notes)
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


def test_a_rule_set_of_another_domain_is_a_problem_and_an_empty_list_is_every_domain() -> None:
    ugesp, gdpr = load_framework("us-ugesp-four-fifths"), load_framework("gdpr-article-35")
    assert domain_problem(ugesp, "employment") is None
    assert domain_problem(ugesp, "consumer-credit") is not None
    assert "states no domain" in (domain_problem(ugesp, None) or "")
    assert domain_problem(gdpr, None) is None


def test_an_unknown_rule_set_is_refused_with_the_nearest_or_the_list() -> None:
    with pytest.raises(PolicyError, match=r"no rule set 'nyc-ll-144'; did you mean 'nyc-ll144'\?"):
        load_framework("nyc-ll-144")
    with pytest.raises(PolicyError, match="available: eu-ai-act-article-10, gdpr-article-35"):
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
