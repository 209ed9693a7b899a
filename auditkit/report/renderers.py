"""The formats a report can have: one row per format, loaded when it is asked for."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from auditkit.result import AuditResult


@dataclass(frozen=True)
class Renderer:
    """The public file name of a format and what makes its bytes."""

    file: str
    render: Callable[[AuditResult], bytes]
    begin: Callable[[AuditResult], Callable[[], bytes]] | None = None
    """Begins in a process of its own and gives what waits for the bytes, where that takes long."""


def _json(result: AuditResult) -> bytes:
    from auditkit.report import json

    return json.render(result)


def _html(result: AuditResult) -> bytes:
    from auditkit.report import html

    return html.render(result)


def _pdf(result: AuditResult) -> bytes:
    from auditkit.report import pdf

    return pdf.render(result)


def _begin_pdf(result: AuditResult) -> Callable[[], bytes]:
    from auditkit.report import pdf

    return pdf.begin(result)


def rendered(result: AuditResult, formats: Sequence[str]) -> dict[str, bytes]:
    """The bytes of each format by its name, the others made while one that takes long is under way."""
    waiting = {name: begin(result) for name in formats if (begin := RENDERERS[name].begin) is not None}
    done = {name: RENDERERS[name].render(result) for name in formats if name not in waiting}
    done |= {name: wait() for name, wait in waiting.items()}
    return {name: done[name] for name in formats}


RENDERERS: dict[str, Renderer] = {
    "json": Renderer("audit.json", _json),
    "html": Renderer("report.html", _html),
    "pdf": Renderer("report.pdf", _pdf, _begin_pdf),
}
