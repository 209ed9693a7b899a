"""The annex: the longer tables that chapters have put off, each chapter's under a heading of its own."""

from __future__ import annotations

from auditkit.report.book import Book
from auditkit.result import AuditResult


def view(result: AuditResult, book: Book) -> dict[str, object]:
    """What was put off, in the order of the chapters; empty where nothing was."""
    return {"parts": [(book.heading_of(further), further.tables) for further in book.annex]}
