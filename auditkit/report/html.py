"""report.html: one file that needs nothing else, and whose content policy forbids network and foreign scripts."""

from __future__ import annotations

from auditkit.report.document import compose
from auditkit.result import AuditResult


def render(result: AuditResult) -> bytes:
    """The result as one self-contained HTML file; everything but sorting and filtering works without its script."""
    return compose(result, medium="html").encode("utf-8")
