"""The formats a report can have: one row per format, loaded when it is asked for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from auditkit.result import AuditResult


@dataclass(frozen=True)
class Renderer:
    """The public file name of a format and what makes its bytes."""

    file: str
    render: Callable[[AuditResult], bytes]


def _json(result: AuditResult) -> bytes:
    from auditkit.report import json

    return json.render(result)


def _html(result: AuditResult) -> bytes:
    from auditkit.report import html

    return html.render(result)


def _pdf(result: AuditResult) -> bytes:
    from auditkit.report import pdf

    return pdf.render(result)


RENDERERS: dict[str, Renderer] = {
    "json": Renderer("audit.json", _json),
    "html": Renderer("report.html", _html),
    "pdf": Renderer("report.pdf", _pdf),
}
