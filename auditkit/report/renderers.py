"""The formats a report can have: one row per format, loaded when it is asked for."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from auditkit.result import AuditResult


class Rendering(Protocol):
    """A file that is being made in a process of its own."""

    def wait(self) -> bytes:
        """Its bytes, once they are whole; an AuditError where it could not be made."""

    def stop(self) -> None:
        """End the process and remove what it left; nothing happens where it has ended."""


@dataclass(frozen=True)
class Renderer:
    """The public file name of a format and what makes its bytes."""

    file: str
    render: Callable[[AuditResult], bytes]
    begin: Callable[[AuditResult, Path | None], Rendering] | None = None
    """Begins in a process of its own, with its scratch files in a folder, where that takes long."""


def _json(result: AuditResult) -> bytes:
    from auditkit.report import json

    return json.render(result)


def _html(result: AuditResult) -> bytes:
    from auditkit.report import html

    return html.render(result)


def _pdf(result: AuditResult) -> bytes:
    from auditkit.report import pdf

    return pdf.render(result)


def _begin_pdf(result: AuditResult, scratch: Path | None) -> Rendering:
    from auditkit.report import pdf

    return pdf.begin(result, scratch=scratch)


@contextmanager
def slow_renderings(
    result: AuditResult, formats: Sequence[str], *, scratch: Path | None = None
) -> Iterator[dict[str, Rendering]]:
    """The formats that take long, begun, by name; those that have not ended when the block ends are stopped.

    Args:
        result: what is rendered. formats: names of formats. scratch: folder of scratch files; None: the system's.
    """
    begun: dict[str, Rendering] = {}
    try:
        for name in formats:
            begin = RENDERERS[name].begin
            if begin is not None:
                begun[name] = begin(result, scratch)
        yield begun
    finally:
        for rendering in begun.values():
            rendering.stop()


def rendered(result: AuditResult, formats: Sequence[str]) -> dict[str, bytes]:
    """The bytes of each format by its name, the others made while one that takes long is under way."""
    with slow_renderings(result, formats) as slow:
        quick = {name: RENDERERS[name].render(result) for name in formats if name not in slow}
        whole = quick | {name: rendering.wait() for name, rendering in slow.items()}
    return {name: whole[name] for name in formats}


RENDERERS: dict[str, Renderer] = {
    "json": Renderer("audit.json", _json),
    "html": Renderer("report.html", _html),
    "pdf": Renderer("report.pdf", _pdf, _begin_pdf),
}
