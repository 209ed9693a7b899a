"""The cover and the verdicts: what a reader who reads one page, or three, must take away."""

from __future__ import annotations

from collections.abc import Sequence

from auditkit.report import phrasing, wording
from auditkit.report.book import Book, Cell, Column, Row, Table, estimate_cell, methods_note
from auditkit.result import AuditResult, Finding, Measurement, Verdict

STRIP: tuple[Verdict, ...] = ("breaches", "insufficient-evidence", "meets", "not-applicable")
SEVERITIES = ("high", "medium", "low")
WORST = 3


def cover(result: AuditResult, book: Book) -> dict[str, object]:
    """Verdict, counts, the worst findings, the facts with their gaps, and how many records were assessed."""
    counts = {verdict: sum(f.verdict == verdict for f in result.findings) for verdict in STRIP}
    waived = sum(is_waived(f) for f in result.findings)
    missing = [fact.name for fact in result.facts if not fact.stated]
    return {
        "verdict": result.conclusion.verdict,
        "words": wording.VERDICTS[result.conclusion.verdict],
        "strip": [(wording.VERDICTS[v], v, counts[v], _strip_note(v, waived)) for v in STRIP],
        "worst": [(f, wording.VERDICTS[f.verdict], book.link(f.evidence, on=f.on)) for f in worst(result.findings)],
        "facts": result.facts,
        "missing": phrasing.listed(missing),
        "records": _records(result),
        "model": _model(result),
        "attack": _strongest(result),
    }


def worst(findings: tuple[Finding, ...]) -> list[Finding]:
    """At most three: open breaches by severity, then what the evidence does not decide, then waived breaches."""
    named = [f for f in findings if f.verdict in ("breaches", "insufficient-evidence")]
    return sorted(named, key=lambda f: (is_waived(f), STRIP.index(f.verdict), SEVERITIES.index(f.severity)))[:WORST]


def is_waived(finding: Finding) -> bool:
    """Whether a breach is printed but not counted."""
    return finding.verdict == "breaches" and finding.waiver is not None and finding.waiver.active


def verdicts(result: AuditResult, book: Book) -> dict[str, object]:
    """Every rule with its threshold, its source and its verdict; then the groups behind it where there are several."""
    return {
        "table": _rules_table(result, book) if result.findings else None,
        "groups": _groups_table(result, book) if any(_told_apart(f) for f in result.findings) else None,
        "waivers": [f for f in result.findings if f.waiver is not None],
        "points": [f.id for f in result.findings if f.proof == "point"],
    }


def _strip_note(verdict: Verdict, waived: int) -> str:
    return f"{waived} waived" if verdict == "breaches" and waived else ""


def _records(result: AuditResult) -> str:
    evaluation = [split.n for split in result.data.splits if split.split == "evaluation"]
    known = [n for n in evaluation if n is not None]
    words = f"{sum(known):,} evaluation records" if len(known) == len(evaluation) else "a withheld number of records"
    unknown = [g for g in result.fairness.groups if g.status == "unknown" and g.n != 0]
    parts = [f"{g.on} for {wording.count(g.n) if g.n is not None else 'a suppressed number'}" for g in unknown]
    return f"{words}; membership is unknown by {phrasing.listed(parts)}" if parts else words


def _model(result: AuditResult) -> str:
    threshold = result.model.threshold
    rest = "" if threshold is None else f"; a score of {threshold:g} and above is the favourable decision"
    return f"{result.model.kind}{rest}"


def _rules_table(result: AuditResult, book: Book) -> Table:
    measured = result.measurements()
    rows = []
    for finding in result.findings:
        unit = wording.unit_of(finding, measured)
        asked = f"{book.title(finding.measure)}{wording.scope(finding)}: {wording.requirement(finding, unit)}"
        rows.append(
            Row(
                (
                    Cell(finding.id, link=book.link(finding.evidence, on=finding.on), sort=finding.id),
                    Cell(asked, "; ".join([*_attack(finding, measured), f"Source: {finding.because}"])),
                    _observed(finding, unit),
                    Cell(finding.severity, sort=str(SEVERITIES.index(finding.severity))),
                    _pill(finding),
                    Cell(finding.reason),
                ),
                verdict=finding.verdict,
            )
        )
    columns = (
        Column("Rule", width=13), Column("The policy asks", wide=True, width=30),
        Column("Observed, worst group", numeric=True), Column("Severity"),
        Column("Verdict"), Column("Reason", width=20),
    )  # fmt: skip
    estimates = [f.estimate for f in result.findings if f.estimate is not None]
    return book.table("Every rule and its verdict", columns, rows, notes=methods_note(estimates), filterable=True)


def _attack(finding: Finding, measured: Sequence[Measurement]) -> tuple[str, ...]:
    """Which attack a rule was judged by, where its measure names none."""
    rows = [m for m in measured if m.measure == finding.measure and wording.names_no_attack(m.measure)]
    return tuple(f"{part[:1].upper()}{part[1:]}" for row in rows[:1] for part in row.parts)


def _strongest(result: AuditResult) -> list[str]:
    """The strongest attack in one line a measure, for the facts of the cover."""
    return [
        f"{m.parts[0]}; AUC {wording.sentence(m.estimate, m.unit)}"
        for m in result.privacy.measurements
        if m.parts and wording.names_no_attack(m.measure) and m.unit == "score" and m.estimate.known
    ]


def _observed(finding: Finding, unit: str) -> Cell:
    estimate = finding.estimate
    if estimate is None or estimate.value is None:
        return Cell("no value", estimate.withheld if estimate else "")
    near = None if estimate.step else finding.threshold
    text = wording.shown(estimate, unit) if near is None else wording.value(estimate.value, unit, near=near)
    return Cell(text, wording.basis(estimate, unit, bare=True), sort=repr(estimate.value))


def _pill(finding: Finding) -> Cell:
    word = wording.VERDICTS[finding.verdict].word
    text = f"{word}, waived" if is_waived(finding) else word
    order = str(STRIP.index(finding.verdict))
    return Cell(text, verdict=finding.verdict, waived=is_waived(finding), sort=order)


def _told_apart(finding: Finding) -> bool:
    """Whether its groups say more than its own row does."""
    return len(finding.groups) > 1 or any(group.needed_n is not None for group in finding.groups)


def _groups_table(result: AuditResult, book: Book) -> Table:
    measured = result.measurements()
    rows = []
    for finding in filter(_told_apart, result.findings):
        unit = wording.unit_of(finding, measured)
        for group in finding.groups:
            reason = group.reason
            if group.needed_n is not None:
                reason += f"; about {group.needed_n:,} records would decide"
            cells = (
                Cell(f"{finding.id} · {group.group or 'all records'}"),
                Cell(book.title(finding.measure)),
                estimate_cell(group.estimate, unit),
                Cell(wording.VERDICTS[group.verdict].word, verdict=group.verdict, sort=str(STRIP.index(group.verdict))),
                Cell(reason),
            )
            rows.append(Row(cells, verdict=group.verdict))
    columns = (
        Column("Rule and group", width=25), Column("Measure", width=13), Column("Observed", numeric=True),
        Column("Verdict"), Column("Reason", wide=True),
    )  # fmt: skip
    return book.table("Rules that judge several groups, group by group", columns, rows, filterable=True)
