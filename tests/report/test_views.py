from __future__ import annotations

from auditkit.report import html, wording
from auditkit.report.book import Book
from auditkit.report.views import background, fairness_matrices, front, influence_method
from auditkit.result import AuditResult, Estimate, GroupVerdict

NOTE = "figures rounded: a cell of this group, or one that would follow from it, is below 10 persons"


def rounded(result: AuditResult) -> AuditResult:
    """The result with every figure of one group rounded, as the fairness room publishes small groups."""
    part = result.fairness
    group = next(g for g in part.groups if g.status == "assessed" and not g.is_reference)
    rows = []
    for m in part.measurements:
        if m.on == group.on and m.group == group.group and m.estimate.known:
            step = 0.1 if m.unit == "ratio" else 0.05
            said = (f"rounded to {step:g}, limits outwards", NOTE)
            rows.append(m.model_copy(update={"estimate": m.estimate.model_copy(update={"step": step}), "parts": said}))
        else:
            rows.append(m)
    groups = tuple(g.model_copy(update={"reason": NOTE}) if g == group else g for g in part.groups)
    changed = part.model_copy(update={"measurements": tuple(rows), "groups": groups})
    return result.model_copy(update={"fairness": changed})


def test_rounding_is_explained_once_in_the_units_that_are_printed(full: AuditResult) -> None:
    page = html.render(rounded(full)).decode()
    assert page.count("Rounded figures.") == 1
    assert "rates and differences to steps of 5 points and ratios to steps of 0.1" in page
    assert "limits outwards" not in page
    assert "figures rounded:" not in page
    assert "Rounded figures." not in html.render(full).decode()


def test_a_caveat_that_is_not_of_rounding_stays_under_its_table(full: AuditResult) -> None:
    row = full.fairness.measurements[0].model_copy(update={"parts": ("rounded to 0.05, limits outwards", "of 3 years")})
    assert fairness_matrices.caveats([row]) == ["Some numbers: of 3 years."]


def test_the_reader_is_told_the_fidelity_before_the_rankings(full: AuditResult) -> None:
    measured = Estimate(value=0.913, low=0.871, high=0.944, n=32, method="jackknife")
    part = full.influence.model_copy(update={"fidelity": measured})
    assert "0.913 (95 % interval 0.871 to 0.944, n = 32)" in influence_method.trust(part).replace(wording.NBSP, " ")
    unknown = part.model_copy(update={"fidelity": Estimate(value=None, withheld="withheld: no bank was asked for")})
    assert influence_method.trust(unknown).endswith("It was not measured here: no bank was asked for.")


def test_a_reason_does_not_say_withheld_twice() -> None:
    estimate = Estimate(value=None, withheld="withheld: too few records")
    assert wording.basis(estimate, "rate") == "too few records"
    assert wording.sentence(estimate, "rate") == "withheld: too few records"


def test_the_unit_stands_once_in_a_cell_and_in_full_in_a_sentence() -> None:
    estimate = Estimate(value=-0.2, low=-0.25, high=-0.15, n=90)
    assert "points" not in wording.basis(estimate, "points", bare=True)
    assert wording.basis(estimate, "points").replace(wording.NBSP, " ") == "−25.0 to −15.0 points, n = 90"


def test_inputs_are_named_and_protected_ones_among_them_told() -> None:
    data = {"numeric": ["income", "age"], "categorical": ["branch"]}
    policy = {
        "data": data,
        "protected": {"sex": {"column": "sex"}, "age": {"column": "age"}, "intersections": [["sex", "age"]]},
    }
    assert dict(background._inputs(policy)) == {"Inputs": "income, age, branch", "Protected inputs": "age"}
    data["numeric"] = ["income"]
    assert dict(background._inputs(policy))["Protected inputs"] == "none of sex and age"
    assert background._inputs({}) == []


def test_notes_of_a_rule_set_repeat_neither_its_title_nor_its_status(full: AuditResult) -> None:
    part = full.frameworks[0]
    told = (
        f"{part.title}: deferred (as of 2026-11-23).", f"{part.title}: applies from 2027-12-02.",
        f"{part.title}: status and dates are secondary; check the primary text.", "Not legal advice.",
    )  # fmt: skip
    part = part.model_copy(update={"status": "deferred", "certainty": "secondary", "notes": told})
    assert background._notes(part) == ["Applies from 2027-12-02.", "Not legal advice."]
    assert "deferred, as read on" in background.in_force(part)
    assert "check the primary text" in background.in_force(part)


def test_a_computed_requirement_names_the_section_by_its_printed_number(full: AuditResult) -> None:
    book = Book(full, "pdf", sections=frozenset({"fairness"}), numbers={"fairness": "2"})
    rows = background._checklist(book, full.frameworks[0]).rows
    assert rows[0].cells[2].text.replace(wording.NBSP, " ") == "Section 2"
    assert rows[0].cells[2].link == "fairness"


def test_a_rule_of_one_group_is_told_once_unless_its_groups_say_how_many_would_decide(full: AuditResult) -> None:
    finding = next(f for f in full.findings if f.groups)
    one: GroupVerdict = finding.groups[0].model_copy(update={"needed_n": None})
    assert not front._told_apart(finding.model_copy(update={"groups": (one,)}))
    assert front._told_apart(finding.model_copy(update={"groups": (one, one)}))
    assert front._told_apart(finding.model_copy(update={"groups": (one.model_copy(update={"needed_n": 900}),)}))
