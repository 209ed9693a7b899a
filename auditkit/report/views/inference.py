"""How well attributes of training records are guessed through the model, beside a control and a baseline."""

from __future__ import annotations

from auditkit.report.book import Book, Cell, Column, Row, Table, estimate_cell, methods_note
from auditkit.result import AttributeInference, Estimate, InferencePart


def view(book: Book, part: InferencePart) -> dict[str, object]:
    """The tables of rates and of differences, and the attributes that were not attacked."""
    done = [one for one in part.attributes if one.status == "assessed"]
    return {
        "part": part,
        "rates": _rates(book, done) if done else None,
        "differences": _differences(book, done) if done else None,
        "absent": [one for one in part.attributes if one.status != "assessed"],
    }


def _rates(book: Book, done: list[AttributeInference]) -> Table:
    rows = [
        Row((
            Cell(one.name, f"{one.levels} values, {'read' if one.feature else 'not read'} by the model"),
            _cell(one.members), _cell(one.control), _cell(one.baseline),
        ))
        for one in done
    ]  # fmt: skip
    columns = (
        Column("Attribute", wide=True), Column("Training records, with the model", numeric=True),
        Column("Control, with the model", numeric=True), Column("Training records, without the model", numeric=True),
    )  # fmt: skip
    every = [rate for one in done for rate in (one.members, one.control, one.baseline) if rate is not None]
    notes = [*methods_note(every), *dict.fromkeys(note for one in done for note in one.notes)]
    return book.table("Share of records whose attribute is guessed rightly", columns, rows, notes=notes)


def _differences(book: Book, done: list[AttributeInference]) -> Table:
    rows = [Row((Cell(one.name), _cell(one.difference, "points"), _cell(one.gain, "points"))) for one in done]
    columns = (
        Column("Attribute", wide=True), Column("Training records less control", numeric=True),
        Column("With the model less without", numeric=True),
    )  # fmt: skip
    every = [found for one in done for found in (one.difference, one.gain) if found is not None]
    return book.table("What training, and what the model, add to the guess", columns, rows, notes=methods_note(every))


def _cell(found: Estimate | None, unit: str = "rate") -> Cell:
    return Cell("–") if found is None else estimate_cell(found, unit)
