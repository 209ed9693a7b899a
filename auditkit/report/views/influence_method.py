"""How the effects were computed and how far they can be trusted: estimator, fidelity, quality figures."""

from __future__ import annotations

from auditkit.report import wording
from auditkit.report.book import Book, Cell, Column, Row, Table
from auditkit.result import InfluencePart

REMOVALS = {
    "fixed": "fixed: the other records keep their weight",
    "renormalised": "renormalised: the mean is taken over the remaining records",
}
FIDELITY = (
    "Fidelity says how well the predictions agree with retraining: the rank correlation of predicted and retrained "
    "measures over models retrained on random halves of the training records. 1 is perfect, 0 is chance."
)


def trust(part: InfluencePart) -> str:
    """What fidelity is and what it came to, or why it was not measured."""
    if part.fidelity is None:
        return ""
    if not part.fidelity.known:
        return f"{FIDELITY} It was not measured here: {wording.why_withheld(part.fidelity) or 'not estimable'}."
    return f"{FIDELITY} Here it is {wording.sentence(part.fidelity, 'score')}, the mean over the measures."


def method(part: InfluencePart) -> list[tuple[str, str]]:
    """The estimator and what it was asked, as names and texts."""
    rows = [
        ("Estimator", " — ".join(text for text in (part.estimator, part.why_estimator) if text)),
        ("Source", part.source),
        ("Sign", part.sign),
        ("Retraining meant", REMOVALS.get(part.removal, part.removal)),
        ("Weight decay", part.weight_decay),
        ("Damping", "" if part.damping is None else wording.significant(part.damping)),
        ("Parameters", "" if part.parameters is None else _parameters(part)),
        ("Training records", "" if part.n_train is None else wording.count(part.n_train)),
    ]  # fmt: skip
    return [(name, text) for name, text in rows if text]


def _parameters(part: InfluencePart) -> str:
    covered = "" if part.covered_share is None else f", {wording.percent(part.covered_share)} of them covered"
    return f"{part.parameters:,}{covered}"


def quality(book: Book, part: InfluencePart) -> Table:
    """The figures by which the estimator reports its own quality."""
    rows = []
    for row in part.quality:
        figure = wording.NONE if row.value is None else wording.significant(row.value)
        state = "read with care" if row.warns else "in order"
        rows.append(Row((Cell(row.name), Cell(figure), Cell(state), Cell(row.text))))
    columns = (
        Column("Check"), Column("Figure", numeric=True), Column("State", tight=True),
        Column("What it means", wide=True, width=60),
    )  # fmt: skip
    # Where nothing was assessed, the figures are why.
    return book.table("How far these rankings can be trusted", columns, rows, annex=part.status == "assessed")
