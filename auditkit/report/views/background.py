"""Data and model at the front; rule sets, limits, reproduction and glossary at the back."""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import Any

from auditkit.report import phrasing, wording
from auditkit.report.book import Book, Cell, Column, Row, Table, estimate_cell, methods_note
from auditkit.report.glossary import TERMS
from auditkit.result import AuditResult, FrameworkItem, FrameworkPart

COMPARISONS, IMPACT = ("_difference", "_ratio"), "fairness.impact_ratio"
SPLITS = {"train": "Training", "reserve": "Reserve", "evaluation": "Evaluation"}

CERTAINTY = {
    "verified": "and checked against the primary text",
    "secondary": "in secondary sources only; check the primary text",
    "unverified": "and not yet checked against any source",
}
"""How well the status and dates of a rule set are established."""
READINGS = {"verified": "text read", "secondary": "read about", "unverified": "recalled, not read"}
"""How well the reading of a requirement is established."""
PARTS = {
    "verdicts": "findings", "fairness": "fairness", "fairness-discovery": "fairness.discovery",
    "fairness-proxies": "fairness.proxies", "statutory": "statutory", "statutory-bias-audit": "statutory.bias_audit",
    "statutory-four-fifths": "statutory.four_fifths", "influence": "influence", "privacy": "privacy",
    "remedies": "remedies", "data": "data", "method": "limits", "reproduction": "stamp",
}  # fmt: skip
"""Section of the report, or part of one -> the part of audit.json that it is drawn from."""


def data(result: AuditResult, book: Book) -> dict[str, object]:
    """Splits, counts made on reading, the model's facts and how often its decision agrees with the label."""
    part, model = result.data, result.model
    rows = [
        Row((
            Cell(SPLITS[s.split]),
            Cell("withheld" if s.n is None else wording.count(s.n)),
            Cell("withheld" if s.n is None else "not stated" if s.persons is None else wording.count(s.persons)),
            estimate_cell(s.favourable_share, "share") if s.favourable_share is not None else Cell("no label"),
            Cell(f"fewer than {result.minimum_cell}" if s.missing_cells is None else wording.count(s.missing_cells)),
        ))
        for s in part.splits
    ]  # fmt: skip
    columns = (
        Column("Split", wide=True), Column("Records", numeric=True), Column("Persons", numeric=True),
        Column("Favourable label", numeric=True), Column("Missing cells", numeric=True),
    )  # fmt: skip
    shares = [s.favourable_share for s in part.splits if s.favourable_share is not None]
    return {
        "splits": book.table("The data that were read", columns, rows, notes=methods_note(shares)),
        "label": wording.LABELS[part.label_means][0],
        "checks": [check for check in part.checks if not check.value.startswith("0 ")],
        "none": [check.name for check in part.checks if check.value.startswith("0 ")],
        "model": _model_facts(result),
        "recipe": model.recipe,
        "measures": _model_table(result, book) if model.measurements else None,
    }


def _model_facts(result: AuditResult) -> list[tuple[str, str]]:
    model = result.model
    decided = "taken as decided" if model.adapter == "predictions" else "none: the model decides by itself"
    threshold = f"{model.threshold:g} and above is favourable" if model.threshold is not None else decided
    parameters = wording.count(model.parameters) if model.parameters is not None else "not counted"
    return [
        ("Kind", model.kind), ("Brought by", f"{model.adapter} adapter"), ("Task", model.task),
        ("Decision threshold", threshold), ("Parameters", parameters), *_inputs(result.policy),
    ]  # fmt: skip


def _inputs(policy: Mapping[str, Any]) -> list[tuple[str, str]]:
    """What the policy says that the model reads, and whether a protected column is among it."""
    stated = policy.get("data") or {}
    read = [str(column) for kind in ("numeric", "categorical") for column in stated.get(kind) or ()]
    if not read:
        return []
    groups = [rule for name, rule in (policy.get("protected") or {}).items() if name != "intersections"]
    columns = dict.fromkeys(str(rule["column"]) for rule in groups if isinstance(rule, Mapping) and "column" in rule)
    among = [column for column in columns if column in read]
    words = phrasing.listed(among) if among else f"none of {phrasing.listed(list(columns))}" if columns else ""
    found = [("Inputs", ", ".join(read)), ("Protected inputs", words)]
    return [(name, text) for name, text in found if text]


def _model_table(result: AuditResult, book: Book) -> Table:
    rows = [
        Row(
            (
                Cell(book.title(m.measure), " · ".join(t for t in (m.on, m.group) if t)),
                estimate_cell(m.estimate, m.unit),
            )
        )
        for m in result.model.measurements
    ]
    notes = methods_note([m.estimate for m in result.model.measurements])
    notes += list(dict.fromkeys(caveat for m in result.model.measurements for caveat in m.parts))
    columns = (Column("Measure", wide=True), Column("Value", numeric=True))
    agreement = wording.LABELS[result.data.label_means][1]
    table = book.table(f"How the decisions agree {agreement}", columns, rows, notes=notes)
    book.shows(table, [m.measure for m in result.model.measurements])
    return table


def frameworks(result: AuditResult, book: Book) -> dict[str, object]:
    """One checklist per rule set: what this audit computed, and what only a person can attest."""
    parts = []
    for part in result.frameworks:
        heading = book.heading(part.title, f"framework-{part.id}")
        parts.append((heading, part, in_force(part), _checklist(book, part), _notes(part)))
    told = dict.fromkeys(warning for part in result.frameworks for warning in part.warnings)
    return {"parts": parts, "warnings": list(told)}


def in_force(part: FrameworkPart) -> str:
    """The state of a rule set in one sentence, with the date on which it was read."""
    words = f"Status: {part.status}, as read on {part.as_of} {CERTAINTY.get(part.certainty, part.certainty)}."
    words += f" Effective: {part.effective}." if part.effective else ""
    return words + (f" Superseded by {part.superseded_by}." if part.superseded_by else "")


def _notes(part: FrameworkPart) -> list[str]:
    """What a reader has to know, without the title over it and without what the line on its status has said."""
    said = (f"{part.status} (as of", "status and dates are")
    bare = [note.removeprefix(f"{part.title}: ") for note in part.notes if note not in part.warnings]
    return [note[:1].upper() + note[1:] for note in bare if not note.startswith(said)]


def _checklist(book: Book, part: FrameworkPart) -> Table:
    rows = []
    for item in part.items:
        if item.kind == "computed":
            link = book.link(item.evidence)
            number = book.headed.get(link) or book.numbers.get(link, link)
            named = f"Section{wording.NBSP}{number}" if link else "not in this report"
            where = Cell(named, link=link)
        else:
            where = Cell(item.evidence)
        kind = "computed" if item.kind == "computed" else "attested"
        certainty = READINGS.get(item.certainty, item.certainty)
        rows.append(Row((Cell(item.requirement), Cell(kind, certainty), where, _evidence(book, item))))
    columns = (
        Column("Requirement", wide=True, width=35), Column("How"), Column("Where, or by whom", tight=True),
        Column("Evidence", width=35),
    )  # fmt: skip
    return book.table(f"Checklist: {part.title}", columns, rows, splits=True)


def _evidence(book: Book, item: FrameworkItem) -> Cell:
    """The measures that speak to a requirement, each with the first table that shows it, and what has no figure."""
    if item.kind != "computed":
        return Cell("statement, date and signature")
    if not item.measures:
        return Cell(_part(book, item.evidence))
    known = {m.measure for m in book.result.measurements() if m.estimate.known}
    found = [measure for measure in item.measures if measure in known]
    if not found:
        return Cell("no figure in this audit")
    lacking = [("of other measures no figure in this audit", "", "")] if len(found) < len(item.measures) else []
    return Cell("", links=(*_tabled(book, found), *lacking))


def _tabled(book: Book, measures: list[str]) -> list[tuple[str, str, str]]:
    """Measures with the first table that shows them, and where that is; those of one table together."""
    titles: dict[Table | None, list[str]] = {}
    for measure in measures:
        titles.setdefault(book.shown.get(measure), []).append(book.title(measure))
    return [
        ("; ".join(named), "", "") if table is None
        else (f"Table{wording.NBSP}{table.number}", table.anchor, f": {'; '.join(named)}")
        for table, named in titles.items()
    ]  # fmt: skip


def _part(book: Book, section: str) -> str:
    """The part of audit.json that a section is drawn from, or that it was not assessed."""
    name = PARTS.get(section, "")
    part: object = book.result if book.link(section) else None
    for step in name.split("."):
        part = getattr(part, step, None)
    if part is None or getattr(part, "status", "assessed") != "assessed":
        return "not assessed in this audit"
    return f"audit.json: {name}"


def method(result: AuditResult, book: Book) -> dict[str, object]:
    """What the audit cannot say, and the definition of every metric."""
    table = None
    if result.fairness.metrics:
        noted = {m.measure for m in result.fairness.metrics}
        # A comparison of a listed measure needs no line of its own.
        own = [m for m in result.fairness.metrics if not _bases(m.measure) & noted or m.measure == IMPACT]
        rows = [Row((Cell(m.title), Cell(m.formula, m.meaning), Cell(m.source))) for m in own]
        columns = (Column("Metric"), Column("Formula and meaning", wide=True, width=50), Column("Source"))
        note = (
            "A difference is the group's rate minus the reference's; a ratio is the group's rate over the reference's."
        )
        table = book.table("Metrics", columns, rows, notes=[note], annex=True)
    return {"limits": result.limits, "metrics": table, "cell": result.minimum_cell}


def _bases(measure: str) -> set[str]:
    """The measure that a comparison compares; empty for what is no comparison."""
    return {measure.removesuffix(suffix) for suffix in COMPARISONS if measure.endswith(suffix)}


def reproduction(result: AuditResult, book: Book) -> dict[str, object]:
    """Digests, versions, seed and command; the resolved policy; the restricted files by reference."""
    stamp = result.stamp
    digests = {"audit.json": book.digest, **stamp.digests}
    rows = [Row((Cell(name), Cell(value, code=True))) for name, value in digests.items()]
    files = [
        Row((Cell(a.name), Cell(_shape(a.shape)), Cell(a.dtype), Cell(a.sha256, code=True))) for a in result.artifacts
    ]
    columns = (Column("File"), Column("Shape"), Column("Type"), Column("Keyed digest (HMAC-SHA256)", wide=True))
    return {
        "stamp": stamp,
        "digests": book.table("SHA-256 digests", (Column("File"), Column("SHA-256", wide=True)), rows),
        "policy": policy_text(result.policy) if result.policy else "",
        "artifacts": book.table("Restricted evidence files, by reference", columns, files, annex=True)
        if files
        else None,
    }


def _shape(shape: tuple[int, ...]) -> str:
    return " × ".join(str(length) for length in shape) or "one value"


def policy_text(policy: dict[str, object]) -> str:
    """The resolved policy as YAML."""
    from ruamel.yaml import YAML

    out = io.StringIO()
    writer = YAML(typ="safe", pure=True)
    writer.default_flow_style = None
    writer.width = 54
    writer.allow_unicode = True
    writer.dump(policy, out)
    return out.getvalue().rstrip("\n")


def glossary(result: AuditResult, book: Book) -> dict[str, object]:
    """The terms in plain words."""
    return {"terms": TERMS}
